// A remote worker for Tickr in plain JavaScript: no dependencies, Node 20 or later (docs/remote-workers.md).
//
//   import { work } from "./worker.mjs";
//   await work({ url: "http://127.0.0.1:8080", handlers: { greet: async (job) => `Hello, ${job.payload.name}!` } });
//
// It takes a lease, polls for as many jobs as it has free slots, keeps the lease by heartbeats, and reports in batches
// how the jobs ended. A job counts as held until its report was answered: what the server has and the worker does not
// name, it is told again. Whole numbers beyond ±(2**53 - 1) are BigInts, in payloads, results and all that is said.

import { parse, stringify } from "./json.mjs";

/** Thrown by a handler: the job has failed for good. */
export class GiveUp extends Error {}

/** Thrown by a handler: there is nothing to be done any more, and that is no failure: the job is cancelled. */
export class Drop extends Error {}

class Later extends Error {
  constructor(seconds, message = `again in ${seconds} s`) {
    super(message);
    this.seconds = seconds;
  }
}

/** Thrown by a handler: try again after so many seconds; it costs an attempt. */
export class RetryLater extends Later {}

/** Thrown by a handler: nothing to do yet, look again after so many seconds (0.1 at least); it costs no attempt. */
export class Snooze extends Later {}

const SELF_FENCE = 0.8; // of the lease without a renewal, and the jobs are given up: others may run them soon
const PATIENCE_S = 5; // for a handler that was asked to stop, when the worker ends
const REQUEST_S = 10;
const [MOST_MESSAGE, MOST_STACK] = [4000, 16000];
const STOP = "the worker stops";
const MOST_REPORTS = 100;
const MOST_REPORT_BYTES = { complete: 3 * 1024 * 1024, fail: 512 * 1024 }; // the server takes a little more
const MOST_LINES = 20; // of a job in a heartbeat
const MOST_SAID = 100; // of all jobs in a heartbeat
const MOST_DATA = 16 * 1024; // bytes, with a progress
const MOST_EVENTS = 20; // of a job in a heartbeat
const MOST_KEPT = 1000;

const sleep = (seconds, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(done, seconds * 1000);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    if (signal?.aborted) done();
    else signal?.addEventListener("abort", done);
  });

const timeout = (ms) => AbortSignal.timeout(Math.ceil(ms)); // which takes whole numbers alone

class Refused extends Error {
  constructor(status, problem) {
    const faults = (problem.errors ?? []).map((one) => `; ${one.pointer} ${one.detail}`);
    super(`${status} ${problem.code}: ${problem.detail}${faults.join("")}`);
    Object.assign(this, { status, code: problem.code });
  }
}

export class Worker {
  /**
   * url: of a node, or an array of several that have the same store: when one is away or stops, the next is asked.
   * handlers: {type: async (job, {signal, progress, log, emit}) => result}. `signal` aborts when the job is to stop: somebody
   * cancelled it, its time is over, or the lease is lost (`signal.reason` says which). queues: those to work on; none:
   * all. concurrency: how many jobs at once. wait: how long a poll waits, seconds. grace: how long running jobs have
   * after stop(), seconds.
   */
  constructor(options) {
    const { url, handlers, token, queues = [], concurrency = 4, name = "", wait = 20, grace = 30 } = options;
    if (token && !/^[!-~]+$/.test(token)) throw new TypeError("The token must be printable ASCII without spaces.");
    this.log = options.log ?? (() => {});
    this.urls = [url].flat().map((one) => one.replace(/\/+$/, ""));
    Object.assign(this, { handlers, token, queues, concurrency, name, wait, grace });
    this.lease = null;
    this.held = new Map(); // "<id>.<fence>" -> attempt, until its report was answered
    this.reports = [];
    [this.stopping, this.ending] = [new AbortController(), new AbortController()];
    this.polling = this.flushing = null;
    this.freed = () => {};
  }

  /** Work until stop(); resolves when everything is reported and the lease is given back. */
  async run() {
    await this.#takeLease();
    const beats = this.#beat();
    try {
      await this.#poll();
      await this.#drain();
    } finally {
      this.ending.abort();
      await beats;
    }
    const kept = (error) => this.log(`the lease will end by itself: ${error.message}`);
    if (this.lease) await this.#call("DELETE", `/leases/${this.lease}`).catch(kept);
  }

  /** Take nothing more; what runs has `grace` seconds, then it is aborted and handed back. */
  stop() {
    this.stopping.abort();
    this.polling?.abort(STOP);
    this.freed();
  }

  async #takeLease() {
    // With nothing asked for: an answer that gets lost then costs nobody anything.
    const { queues, name, concurrency: slots } = this;
    const body = { types: Object.keys(this.handlers), queues, name, slots, max: 0, wait: 0 };
    for (let pause = 0.2; !this.stopping.signal.aborted; pause = Math.min(2 * pause, 5)) {
      const asked = performance.now();
      try {
        const answer = await this.#call("POST", "/leases", body);
        this.lease = answer.lease;
        this.leaseMs = answer.expires_in * 1000;
        this.beatMs = answer.heartbeat_every * 1000;
        this.renewed = asked;
        this.log(`lease ${this.lease}`);
        return;
      } catch (error) {
        if (error instanceof Refused && error.status < 500 && error.status !== 429) throw error;
        this.log(`no lease: ${error.message}`);
        await sleep(pause, this.stopping.signal);
      }
    }
  }

  /** Others may run what ran here: stop it, and report nothing of it. */
  #loseLease() {
    if (this.lease) this.log(`lease ${this.lease} is lost`);
    this.lease = null;
    for (const attempt of this.held.values()) {
      attempt.lost = true;
      attempt.controller.abort("lost");
    }
    this.held.clear();
    this.reports.length = 0;
    this.freed();
  }

  async #beat() {
    while (!this.ending.signal.aborted) {
      await sleep((this.beatMs ?? 5000) / 1000, this.ending.signal);
      if (this.ending.signal.aborted || !this.lease) continue;
      await this.#heartbeat();
      if (this.lease && performance.now() - this.renewed > SELF_FENCE * this.leaseMs) this.#loseLease();
    }
  }

  async #heartbeat() {
    let room = MOST_SAID;
    const jobs = [...this.held.values()].map((attempt) => {
      const said = attempt.said(Math.min(room, MOST_LINES));
      room -= Object.keys(said).length ? Math.max(1, said.log?.length ?? 0, said.events?.length ?? 0) : 0;
      return { ...attempt.key, ...said };
    });
    const lease = this.lease;
    const asked = performance.now();
    try {
      const answer = await this.#call("POST", `/leases/${lease}/heartbeat`, { jobs }, timeout(this.beatMs));
      if (lease === this.lease) this.#heard(answer, asked);
    } catch (error) {
      this.log(`no heartbeat: ${error.message}`);
      if (error.code === "lease_lost" && lease === this.lease) this.#loseLease();
    }
  }

  #heard(answer, asked) {
    this.renewed = Math.max(this.renewed, asked);
    for (const { id, fence, reason } of answer.stop) {
      const attempt = this.held.get(`${id}.${fence}`);
      if (!attempt || attempt.ended) continue;
      if (reason === "lost") {
        attempt.lost = true;
        this.held.delete(`${id}.${fence}`);
        this.freed();
      }
      attempt.controller.abort(reason);
    }
    // From a heartbeat: claimed before, and the answer got lost. At a stop they are handed back with the lease.
    if (!this.stopping.signal.aborted) for (const job of answer.jobs) this.#start(job);
  }

  async #poll() {
    const stop = this.stopping.signal;
    while (!stop.aborted) {
      const free = this.concurrency - this.held.size;
      if (!this.lease || free <= 0) {
        await (this.lease ? new Promise((resolve) => (this.freed = resolve)) : this.#takeLease());
        continue;
      }
      const lease = this.lease;
      const asked = performance.now();
      const polling = (this.polling = new AbortController());
      const timer = setTimeout(() => polling.abort("no answer in time"), (this.wait + REQUEST_S) * 1000);
      try {
        const jobs = [...this.held.values()].map((attempt) => attempt.key);
        const body = { lease, jobs, max: Math.min(free, 100), wait: this.wait };
        const answer = await this.#call("POST", "/leases", body, polling.signal);
        if (lease === this.lease) this.#heard(answer, asked);
        if (answer.draining) {
          this.#nextNode(); // this one is on its way down
          await sleep(0.5, stop);
        }
      } catch (error) {
        if (stop.aborted) return;
        this.log(`no jobs: ${error.message}`);
        if (error.code === "lease_lost" && lease === this.lease) this.#loseLease();
        else await sleep(1, stop);
      } finally {
        clearTimeout(timer);
      }
    }
  }

  #start(job) {
    const key = `${job.id}.${job.fence}`;
    if (this.held.has(key)) return; // listed a second time
    const notes = new Notes();
    const attempt = {
      key: { id: job.id, fence: job.fence },
      controller: new AbortController(),
      ended: false,
      lost: false,
      said: (most) => notes.take(most),
    };
    this.held.set(key, attempt);
    attempt.done = this.#run(job, attempt, notes);
  }

  async #run(job, attempt, notes) {
    const { controller } = attempt;
    const timer = setTimeout(() => controller.abort("timeout"), Math.min(job.timeout * 1000, 2 ** 31 - 1));
    const context = {
      signal: controller.signal,
      progress: (fraction, message = null, data = null) => notes.progress(fraction, message, data),
      log: (line) => notes.log(line),
      emit: (name, data = null) => notes.emit(name, data),
    };
    let report;
    try {
      const result = (await this.handlers[job.type](job, context)) ?? null;
      report = { path: "complete", text: written({ ...attempt.key, result }) };
    } catch (error) {
      report = { path: "fail", text: stringify({ ...attempt.key, ...failure(error, controller.signal) }) };
    }
    clearTimeout(timer);
    attempt.ended = true;
    // Its words come first, if the server hears them.
    for (let tries = MOST_KEPT / MOST_LINES; tries && notes.waiting && !attempt.lost; tries--) await this.#heartbeat();
    if (!attempt.lost) this.#report(report, attempt);
  }

  #report(report, attempt) {
    report.key = attempt.key;
    report.held = `${attempt.key.id}.${attempt.key.fence}`;
    this.reports.push(report);
    this.flushing ??= this.#flush().finally(() => (this.flushing = null));
  }

  /** Report what has ended, batch by batch; what comes meanwhile goes with the next. */
  async #flush() {
    for (let pause = 0.2; this.reports.length && !this.ending.signal.aborted; ) {
      const batch = this.#nextBatch();
      const lease = this.lease;
      try {
        const text = `{"jobs":[${batch.map((one) => one.text).join(",")}]}`;
        const answer = await this.#call("POST", `/leases/${lease}/${batch[0].path}`, text);
        for (const one of answer.items) if (one.status !== "done") this.log(`${one.id}: the report was ${one.status}`);
      } catch (error) {
        this.log(`not reported: ${error.message}`);
        if (!(error instanceof Refused) || error.status >= 500 || error.status === 429) {
          // It may be stored or not: the same report once more is answered as the first time.
          await sleep(pause, this.ending.signal);
          pause = Math.min(2 * pause, 5);
          continue;
        }
        if (batch.length === 1 && !batch[0].short) {
          const why = { kind: "bad_result", message: cut(error.message, MOST_MESSAGE) };
          const text = stringify({ ...batch[0].key, then: "give_up", error: why });
          Object.assign(batch[0], { short: true, path: "fail", text });
          continue;
        }
        if (batch.length > 1) {
          batch.forEach((one) => (one.alone = true)); // one of them is at fault: find out which
          continue;
        }
      }
      pause = 0.2;
      const told = new Set(batch);
      this.reports = this.reports.filter((one) => !told.has(one));
      for (const one of batch) this.held.delete(one.held);
      this.freed();
    }
  }

  #nextBatch() {
    const [first] = this.reports;
    if (first.alone) return [first];
    let bytes = 0;
    const alike = this.reports.filter((one) => one.path === first.path && !one.alone).slice(0, MOST_REPORTS);
    const most = MOST_REPORT_BYTES[first.path];
    return alike.filter((one) => (bytes += Buffer.byteLength(one.text)) <= most || one === first);
  }

  async #drain() {
    const ended = () => Promise.allSettled([...this.held.values()].map((attempt) => attempt.done));
    const clock = new AbortController();
    await Promise.race([ended(), sleep(this.grace, clock.signal)]);
    for (const attempt of this.held.values()) if (!attempt.ended) attempt.controller.abort("shutdown");
    await Promise.race([ended(), sleep(PATIENCE_S, clock.signal)]);
    await Promise.race([this.flushing, sleep(REQUEST_S, clock.signal)]);
    clock.abort();
  }

  async #call(method, path, body, signal = timeout(REQUEST_S * 1000)) {
    const headers = { "content-type": "application/json" };
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    const text = body === undefined || typeof body === "string" ? body : stringify(body);
    const [url] = this.urls;
    const response = await fetch(url + path, { method, headers, body: text, signal }).catch((error) => {
      if (signal.reason !== STOP && url === this.urls[0]) this.#nextNode();
      throw new Error(error?.cause?.message ?? error?.message ?? String(error));
    });
    const answer = await response.text().then(parse).catch(() => ({ code: "not_json", detail: "the answer is no JSON" }));
    if (!response.ok) throw new Refused(response.status, answer);
    return answer;
  }

  /** Ask the next of several nodes from now on. Leases are in their store: any of them knows this worker's. */
  #nextNode() {
    this.urls.push(this.urls.shift());
  }
}

/** What an attempt says between two heartbeats: how far it is, and its last lines. */
class Notes {
  #said = {};
  #lines = [];
  #events = [];

  get waiting() {
    return this.#lines.length > 0 || this.#events.length > 0 || "progress" in this.#said;
  }

  progress(fraction, message, data) {
    const text = message === null ? null : cut(String(message), 500);
    this.#said = { progress: Math.min(1, Math.max(0, Number(fraction) || 0)), message: text };
    if (data !== null) this.#said.data = parse(bounded(data)); // as it is now
  }

  log(line) {
    this.#lines.push(cut(String(line), 2000));
    if (this.#lines.length > MOST_KEPT) this.#lines.shift();
  }

  /** Have an event of the application's own told. Throws where it cannot be, or too many wait already. */
  emit(name, data) {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$/.test(name)) throw new TypeError(`this is no name of an event: ${name}`);
    if (this.#events.length >= MOST_KEPT) throw new RangeError(`${MOST_KEPT} events wait to be told`);
    this.#events.push({ name, data: parse(bounded(data)) }); // as it is now
  }

  /** Return what there is to say, in at most so many lines; it is said then. */
  take(most) {
    if (most <= 0 || !this.waiting) return {};
    const said = { ...this.#said };
    this.#said = {};
    const log = this.#lines.splice(0, most);
    const events = this.#events.splice(0, Math.min(most, MOST_EVENTS));
    return { ...said, ...(log.length && { log }), ...(events.length && { events }) };
  }
}

/** Return what can be stored and shown of a text: at most so much, without NUL and halves of surrogate pairs. */
function cut(text, most) {
  const short = text.length > most ? text.slice(0, most - 1) + "…" : text;
  return short.replace(/\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "?");
}

/** Return data as JSON. Throws TypeError, RangeError: there is none for it, or it is too long for the server. */
function bounded(data) {
  const text = stringify(data);
  if (text === undefined) throw new TypeError("the data cannot be written as JSON");
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > MOST_DATA) throw new RangeError(`the data has ${bytes} bytes; at most ${MOST_DATA} are told`);
  return text;
}

/** Return a report of a success as JSON. Throws GiveUp: there is no JSON for the result. */
function written(item) {
  try {
    return stringify(item);
  } catch (error) {
    throw new GiveUp(`The result cannot be written as JSON: ${error.message}`);
  }
}

/** Return what to report of a handler that threw: why it was asked to stop goes before what it threw. */
function failure(error, signal) {
  const message = cut(String(error?.message ?? error) || "failed", MOST_MESSAGE);
  if (signal.aborted && signal.reason === "cancelled") return { then: "cancelled" };
  if (signal.aborted && signal.reason === "shutdown") return { then: "hand_back" };
  if (signal.aborted && signal.reason === "timeout") return { error: { kind: "timeout", message: "Not in time." } };
  if (error instanceof GiveUp) return { then: "give_up", error: { kind: "give_up", message } };
  const stack = error?.stack ? cut(String(error.stack), MOST_STACK) : null;
  if (error instanceof Drop) return { then: "drop", error: { kind: "dropped", message } };
  const why = { kind: "exception", message: `${error?.name ?? "Error"}: ${message}`, traceback: stack };
  if (error instanceof Snooze) return { then: "snooze", retry_in: error.seconds, error: { kind: "snoozed", message } };
  if (error instanceof RetryLater) return { retry_in: error.seconds, error: { kind: "retry_later", message } };
  return { error: why };
}

/** Run a worker until SIGTERM or Ctrl-C. */
export async function work(options) {
  const worker = new Worker({ log: (line) => console.error(line), ...options });
  for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => worker.stop());
  await worker.run();
}
