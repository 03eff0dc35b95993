// Jobs → stored jobs. Whoever submits joins the line; a flight takes all that waits, as one request. So an idle client
// has its answer after one round trip, and under load batches grow by themselves. A job keeps its id through all tries,
// and Tickr stores an id once: a lost answer never makes a second job.
//
// State: `#line` holds the tickets that wait, in order; those on the way are with their flight.

import { ClientError, Closed, foundHere, Invalid, refused, Unavailable } from "./errors.mjs";
import { parse, stringify } from "./json.mjs";
import { ANSWER_S, LEAST_TRY_S, Lost, now, pause, Pauses, unsure } from "./wire.mjs";

const MAX_BATCH = 1000; // jobs in a request; the server takes no more
const MAX_BATCH_CHARS = 4 * 1024 * 1024; // of them; a single longer job goes alone
const MAX_JOBS = 10_000; // without an answer; who brings more waits at the door
const SHARE = 2 * MAX_BATCH; // of one call of `many`
const FLIGHTS = 2; // the second goes on while the first is lost
const NOT_ALONE = new Set([400, 413, 422, 500]); // refusals of a batch for what may be one job's fault

export class Submission {
  #wire;
  #prepare;
  #line = [];
  #jobs = 0;
  #door = [];
  #flights = 0;
  #pauses = new Pauses();
  #trouble = "there was no time for a try";

  constructor(wire, prepare) {
    this.#wire = wire;
    this.#prepare = prepare;
  }

  /** Submit one job, and return {id, type, replayed, held} once it is durable. Throws ClientError. */
  async one(job) {
    const ticket = this.#ticket(job);
    while (this.#jobs >= MAX_JOBS) await new Promise((resolve) => this.#door.push(resolve));
    if (this.#wire.signal.aborted) throw closed(ticket);
    this.#jobs += 1;
    return new Promise((resolve, reject) => {
      Object.assign(ticket, { resolve, reject });
      this.#line.push(ticket);
      if (this.#flights < FLIGHTS) this.#carry();
    }).finally(() => {
      this.#jobs -= 1;
      this.#door.shift()?.();
    });
  }

  /** Submit all `jobs`, read no faster than they are stored, and return what became of each, in order. */
  async many(jobs) {
    const results = [];
    let [count, free] = [0, () => {}];
    const settle = (place, answer) => {
      results[place] = answer;
      count -= 1;
      free();
    };
    const submit = (place, job) =>
      this.one(job).then(
        (stored) => settle(place, stored),
        (error) => settle(place, error),
      );
    const until = async (most) => {
      while (count > most) await new Promise((resolve) => (free = resolve));
    };
    let place = 0;
    const source = jobs[Symbol.asyncIterator]?.() ?? jobs[Symbol.iterator]();
    for (;;) {
      const next = source.next();
      const { done, value } = next instanceof Promise ? await next : next; // those at hand travel together
      if (done) break;
      count += 1;
      submit(place++, value);
      if (count >= SHARE) await until(SHARE / 2);
    }
    await until(0);
    const bug = results.find((one) => one instanceof Error && !(one instanceof ClientError));
    if (bug) throw bug;
    return results;
  }

  #ticket(job) {
    if (job === null || typeof job !== "object" || Array.isArray(job)) throw foundHere("A job must be an object.");
    const given = Object.entries(job).filter(([, value]) => value !== null && value !== undefined);
    const fields = Object.fromEntries(given);
    this.#prepare?.(fields);
    const idIsOurs = fields.id === undefined;
    const id = (fields.id ??= uuid7());
    const deadline = now() + this.#wire.totalS;
    try {
      const text = stringify(fields);
      return { id, text, deadline, idIsOurs, type: fields.type, unsure: false, refusal: null, most: MAX_BATCH };
    } catch (error) {
      throw foundHere(`The job cannot be written as JSON: ${error.message}`, { jobId: id });
    }
  }

  /** Take what waits to the server, until nothing does. */
  async #carry() {
    this.#flights += 1;
    try {
      await null; // whoever submits in this very moment comes along
      while (this.#line.length) {
        const leftS = this.#giveUp();
        const earlyS = this.#pauses.notBefore - now();
        if (earlyS > 0) {
          await pause(Math.min(earlyS, leftS), this.#wire.signal);
          if (this.#wire.signal.aborted) this.#end([]);
          continue;
        }
        await this.#fly(this.#take(), leftS);
      }
    } finally {
      this.#flights -= 1;
    }
  }

  async #fly(batch, leftS) {
    if (!batch.length) return;
    const request =
      batch.length === 1
        ? { method: "POST", path: "/jobs", text: batch[0].text }
        : { method: "POST", path: "/jobs/batch", text: `{"jobs":[${batch.map((one) => one.text).join(",")}]}` };
    try {
      this.#unload(batch, await this.#wire.send(request, Math.min(ANSWER_S, leftS)));
    } catch (error) {
      if (error instanceof Closed) this.#end(batch);
      else for (const one of batch) one.reject(error instanceof Invalid ? foundHere(error.detail, { jobId: one.id }) : error);
    }
  }

  /** Settle those whose time is over, or whose next try would come too late; return the least time that is left. */
  #giveUp() {
    const at = now();
    const tried = Math.max(at, this.#pauses.notBefore);
    const late = (one) => one.deadline <= (one.unsure || one.refusal ? tried : at) + LEAST_TRY_S;
    for (const one of this.#line.filter(late)) one.reject(this.#tooLate(one));
    this.#line = this.#line.filter((one) => !late(one));
    return Math.min(...this.#line.slice(0, 1).map((one) => one.deadline - at)); // no other is over earlier
  }

  #take() {
    const batch = [];
    let [most, size] = [MAX_BATCH, 0];
    for (const one of this.#line) {
      most = Math.min(most, one.most);
      size += one.text.length;
      if (batch.length && (batch.length >= most || size > MAX_BATCH_CHARS)) break;
      batch.push(one);
    }
    this.#line.splice(0, batch.length);
    return batch;
  }

  #unload(batch, reply) {
    const again = reply instanceof Lost ? batch : this.#settle(batch, reply);
    for (const one of again) if (reply instanceof Lost) one.unsure ||= reply.sent;
    this.#line.unshift(...again);
    const putOff = again.find((one) => one.refusal)?.refusal;
    if (reply instanceof Lost) this.#trouble = reply.reason;
    else if (putOff) this.#trouble = `${putOff.problem.detail} (${putOff.problem.code})`;
    if (reply instanceof Lost || putOff || reply.status >= 500) this.#pauses.failed(reply.retryAfterS);
    else this.#pauses.succeeded();
  }

  /** Give the tickets of a batch their answers, and return those that are to be tried again. */
  #settle(batch, reply) {
    if (batch.length === 1 && (reply.status === 200 || reply.status === 201)) return this.#single(batch[0], reply);
    if (reply.status === 200) return this.#each(batch, reply);
    const { refusal } = reply;
    if (refusal === null) return this.#notTickr(batch, reply);
    if (batch.length > 1 && NOT_ALONE.has(reply.status)) {
      for (const one of batch) {
        one.most = Math.floor(batch.length / 2); // one of them is at fault: find out which
        one.unsure ||= unsure(reply);
      }
      return batch;
    }
    return batch.filter((one) => this.#refused(one, refusal, reply.again, unsure(reply)));
  }

  #single(ticket, reply) {
    try {
      const held = reply.headers.get("tickr-unique") !== null;
      const replayed = reply.status === 200 && !held;
      ticket.resolve({ id: parse(reply.text).id, type: ticket.type, replayed, held });
      return [];
    } catch {
      return this.#notTickr([ticket], reply);
    }
  }

  #each(batch, reply) {
    let results = [];
    try {
      ({ results } = parse(reply.text));
    } catch {
      // not Tickr's
    }
    if (results?.length !== batch.length || results.some((one, at) => one.index !== at))
      return this.#notTickr(batch, reply);
    return batch.filter((ticket, at) => {
      const { status, id, held = false, error } = results[at];
      if (status !== 200 && status !== 201) {
        const doubtful = status === 500 || error.outcome_unknown === true;
        return this.#refused(ticket, { status, problem: error }, status === 429 || status === 503, doubtful);
      }
      ticket.resolve({ id, type: ticket.type, replayed: status === 200 && !held, held });
      return false;
    });
  }

  /** Answer a ticket that was refused; return whether it is to be tried again instead. */
  #refused(ticket, refusal, again, doubtful) {
    const { status, problem } = refusal;
    if (status === 409 && problem.code === "duplicate_job" && ticket.idIsOurs && ticket.unsure) {
      // Nobody else has this id, so the job is ours, stored by a try whose answer was lost.
      ticket.resolve({ id: ticket.id, type: ticket.type, replayed: true, held: false });
      return false;
    }
    ticket.unsure ||= doubtful;
    if (again) ticket.refusal = refusal;
    else ticket.reject(refused(refusal, { jobId: ticket.id, mayBeStored: ticket.unsure }));
    return again;
  }

  #notTickr(batch, reply) {
    for (const one of batch) one.reject(this.#wire.notTickr(reply, { jobId: one.id, mayBeStored: true }));
    return [];
  }

  #tooLate(ticket) {
    const told = `${this.#wire.url} did not take the job within ${this.#wire.totalS} s: ${this.#trouble}.`;
    return new Unavailable(told, ticket.refusal, { jobId: ticket.id, mayBeStored: ticket.unsure });
  }

  /** The client was closed: tell those on the way, and those who wait. */
  #end(flying) {
    for (const one of flying) one.unsure = true;
    for (const one of [...flying, ...this.#line.splice(0)]) one.reject(closed(one));
  }
}

function closed(ticket) {
  return new Closed("The client is closed.", { jobId: ticket.id, mayBeStored: ticket.unsure });
}

/** Return a UUID of version 7: in the order of time, so that the store's index grows at its end (RFC 9562, 5.7). */
export function uuid7() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  new DataView(bytes.buffer).setBigUint64(0, (BigInt(Date.now()) << 16n) | BigInt((bytes[6] << 8) | bytes[7]));
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
