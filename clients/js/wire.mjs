// One request → one answer, and whether it is worth another try. Knows nothing of jobs.

import { ClientError, Closed, foundHere, refused, Unavailable, Unexpected } from "./errors.mjs";
import { parse } from "./json.mjs";

export const ANSWER_S = 10; // the longest wait for an answer; then it is taken for lost
const [FIRST_S, LONGEST_S] = [0.1, 5]; // bounds of the first pause and of the longest; each may be twice the one before
export const LEAST_TRY_S = 0.1; // with less time left no try is begun: cut short, it only made the outcome uncertain
const MAX_RETRY_AFTER_S = 3600;
const LATER = new Set([408, 429, 502, 503, 504]);
const UNSURE = new Set([500, 502, 504]);

const NO_NAME = /^\.{0,2}$|%2f/i;
const TOKEN = /^[!-~]{1,1000}$/;

export const now = () => performance.now() / 1000;

/** Wait so many seconds. Ends early, without a word, when `signal` aborts. */
export function pause(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, seconds * 1000);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    if (signal?.aborted) done();
    else signal?.addEventListener("abort", done);
  });
}

/** How long to wait before the next try: full jitter, doubling, never before the server wants to be asked again. */
export class Pauses {
  #failures = 0;
  notBefore = 0;

  failed(retryAfterS = 0) {
    const bound = Math.min(LONGEST_S, FIRST_S * 2 ** Math.min(this.#failures++, 16));
    this.notBefore = Math.max(this.notBefore, now() + retryAfterS + Math.random() * bound);
  }

  succeeded() {
    this.#failures = 0;
    this.notBefore = 0;
  }
}

/** An answer: `status`, `headers`, `text`. */
export class Reply {
  constructor(status, headers, text) {
    Object.assign(this, { status, headers, text });
  }

  get again() {
    return LATER.has(this.status);
  }

  get retryAfterS() {
    const wanted = Number(this.headers.get("retry-after") ?? 0);
    return wanted > 0 ? Math.min(wanted, MAX_RETRY_AFTER_S) : 0;
  }

  /** What an answer that is no says, as {status, problem}; null if Tickr does not speak like this. */
  get refusal() {
    try {
      const problem = parse(this.text);
      if (typeof problem.code === "string" && typeof problem.detail === "string")
        return { status: this.status, problem };
    } catch {
      // a proxy's own page
    }
    const detail = `HTTP ${this.status}, not in Tickr's words.`;
    return this.again ? { status: this.status, problem: { code: `http_${this.status}`, detail } } : null;
  }
}

/** No answer came: why, in words, and whether the request may have got there. */
export class Lost {
  again = true;
  refusal = null;
  retryAfterS = 0;

  constructor(reason, sent = true) {
    Object.assign(this, { reason, sent });
  }
}

// Of Node's ways to fail, those before anything is sent. A browser does not tell them apart.
const NOBODY_THERE = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "UND_ERR_CONNECT_TIMEOUT"]);

/** Whether what was asked for may have been done all the same. */
export function unsure(reply) {
  if (reply instanceof Lost) return reply.sent;
  if (reply.refusal === null) return true;
  return UNSURE.has(reply.status) || reply.refusal.problem.outcome_unknown === true;
}

/** The way to one server. `signal` ends with the client. */
export class Wire {
  #ending = new AbortController();

  constructor({ url, token, totalS, fetch }) {
    Object.assign(this, { url: url.replace(/\/+$/, ""), token: token?.trim(), totalS, fetch });
  }

  get signal() {
    return this.#ending.signal;
  }

  close() {
    this.#ending.abort();
  }

  /** Return the answer as it begins, its body unread. request: {method, path, query, text, headers}. Throws. */
  async open(request, signal) {
    const { method = "GET", path, query, text, headers = {} } = request;
    this.#check(path);
    const sent = { accept: "application/json", ...headers };
    if (text !== undefined) sent["content-type"] = "application/json";
    if (this.token) sent.authorization = `Bearer ${this.token}`;
    return this.fetch(this.url + path + asked(query), { method, headers: sent, body: text, signal });
  }

  // What would come to another call than the one that is meant, or not leave this machine.
  #check(path) {
    const names = path.slice(1).split("/");
    const wrong = names.find((name) => NO_NAME.test(name));
    if (wrong !== undefined) {
      const told = `"${decodeURIComponent(wrong)}" is no name: it must not be empty, "." or "..", or have a slash.`;
      throw foundHere(told);
    }
    if (this.token && !TOKEN.test(this.token)) throw foundHere("The token must be printable ASCII without spaces.");
  }

  /** Return a Reply, or a Lost. Throws Closed, Refused. */
  async send(request, withinS = ANSWER_S) {
    if (this.signal.aborted) throw new Closed("The client is closed.");
    const clock = new AbortController();
    const timer = setTimeout(() => clock.abort(), Math.max(0, withinS) * 1000);
    const end = () => clock.abort();
    this.signal.addEventListener("abort", end);
    try {
      const answer = await this.open(request, clock.signal);
      return new Reply(answer.status, answer.headers, await answer.text());
    } catch (error) {
      if (error instanceof ClientError) throw error;
      if (this.signal.aborted) throw new Closed("The client is closed.");
      if (clock.signal.aborted) return new Lost(`no answer within ${withinS.toFixed(1)} s`);
      const { cause } = error;
      return new Lost(cause?.message || cause?.code || error.message, !NOBODY_THERE.has(cause?.code));
    } finally {
      clearTimeout(timer);
      this.signal.removeEventListener("abort", end);
    }
  }

  /**
   * Ask until there is an answer that is not "later", and return its value.
   *
   * repeatable: whether it may be asked again where it may have been done. waitS: how long the server is to hold the
   * answer back. as: what makes a value of its text. Throws Refused, Unexpected, Unavailable, Closed; `mayBeStored` where
   * any of the tries may have done it.
   */
  async ask(request, { repeatable = true, waitS = 0, ifNone = null, as = parse } = {}) {
    const pauses = new Pauses();
    const over = now() + this.totalS + waitS;
    let done = false;
    for (let waits = waitS; ; waits = 0) {
      // Where one that waits is lost, the next only looks: it is lost with every end of a server.
      const one = waits ? { ...request, query: { ...request.query, wait: waits.toFixed(3) } } : request;
      const reply = await this.send(one, Math.min(ANSWER_S + waits, over - now()));
      if (!reply.again) return this.#read(reply, ifNone, as, done);
      if ((one.method ?? "GET") !== "GET") done ||= unsure(reply);
      pauses.failed(reply.retryAfterS);
      if (pauses.notBefore > over - LEAST_TRY_S || (done && !repeatable)) throw this.#noAnswer(one, reply, done);
      await pause(Math.max(0, pauses.notBefore - now()), this.signal);
    }
  }

  /** Return the value of a good answer. done: whether an earlier try may have done it. Throws Refused, Unexpected. */
  #read(reply, ifNone, as, done) {
    if (reply.status >= 200 && reply.status < 300) {
      try {
        return reply.text ? as(reply.text) : ifNone;
      } catch {
        throw this.notTickr(reply, { mayBeStored: done });
      }
    }
    const { refusal } = reply;
    throw refusal ? refused(refusal, { mayBeStored: done || unsure(reply) }) : this.notTickr(reply, { mayBeStored: done });
  }

  notTickr(reply, about) {
    const told = `What answers at ${this.url} is not Tickr, or of too different a version: HTTP ${reply.status}.`;
    return new Unexpected(told, about);
  }

  #noAnswer({ method = "GET", path }, reply, mayBeStored) {
    const why = reply.reason ?? reply.refusal?.problem.detail ?? reply.status;
    const end = mayBeStored ? "; whether it was done is not known." : ".";
    return new Unavailable(`${this.url} gave no answer to ${method} ${path}: ${why}${end}`, reply.refusal, { mayBeStored });
  }
}

/** Return the query of a URL: arrays are parameters that repeat, objects name=value pairs, dates RFC 3339. */
function asked(query = {}) {
  const pairs = Object.entries(query).flatMap(([name, value]) => texts(value).map((text) => [name, text]));
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

/** Return the values of a filter as texts. */
export function texts(value) {
  if (value === null || value === undefined) return [];
  if (value instanceof Date) return [value.toISOString()];
  if (Array.isArray(value)) return value.flatMap(texts);
  if (typeof value === "object") return "id" in value ? [value.id] : Object.entries(value).map((pair) => pair.join("="));
  return [String(value)];
}
