// A subscription to the feed that outlives its connections: each event once, in order, for as long as it takes.
//
// Server-sent events by `fetch`, in Node and in browsers alike, as `EventSource` can send no token. A connection that is
// lost is made again after the last cursor.

import { ClientError, CursorExpired, refused, Unavailable, Unexpected } from "./errors.mjs";
import { parse } from "./json.mjs";
import { ANSWER_S, Lost, now, pause, Pauses, Reply } from "./wire.mjs";

const SILENCE_S = 20; // Tickr speaks every 10
const MAX_EVENT_CHARS = 4 * 1024 * 1024;
const REMEMBERED = 4096; // of the last events, so that none is told twice
const ERROR = "tickr.error";

/**
 * An async iterable over events: {what, subject, id, time, cursor, job, data}. Leaving the loop ends the connection; so
 * does `close()`. `cursor`: the place after everything that was told; to go on from there, give it as `after`. `onlost`: a
 * function of yours, called with {why, againInS} when the connection is lost, and with null when it stands again.
 */
export class Subscription {
  #wire;
  #query;
  #pauses = new Pauses();
  #seen = new Set();
  #began = now();
  #opened = false;
  #ending = new AbortController();
  #place;
  #silenceS;
  onlost = () => {};

  constructor(wire, { after = null, silenceS = SILENCE_S, ...filters } = {}) {
    this.#wire = wire;
    this.#query = filters;
    this.#silenceS = silenceS;
    this.cursor = after;
    wire.signal.addEventListener("abort", () => this.close());
    /** Resolves once there is a place to come back to: what happens from then on is told. */
    this.opened = new Promise((resolve, reject) => (this.#place = { resolve, reject }));
    this.opened.catch(() => {}); // who does not ask is told by the loop
  }

  close() {
    this.#ending.abort();
  }

  async *[Symbol.asyncIterator]() {
    const { signal } = this.#ending;
    try {
      while (!signal.aborted) {
        await pause(Math.max(0, this.#pauses.notBefore - now()), signal);
        const lost = yield* this.#connection(signal);
        if (!signal.aborted) this.#lost(lost);
      }
    } catch (error) {
      this.#place.reject(error);
      throw error;
    } finally {
      this.close();
    }
  }

  /** Yield what one connection tells; return why it ended, a Reply or a Lost. */
  async *#connection(signal) {
    const silence = new Silence(signal);
    try {
      silence.wait(ANSWER_S);
      const after = this.cursor === null ? {} : { after: this.cursor };
      const headers = { accept: "text/event-stream" };
      const answer = await this.#wire.open({ path: "/events", query: { ...this.#query, ...after }, headers }, silence.signal);
      if (!answer.ok) return new Reply(answer.status, answer.headers, await answer.text());
      this.onlost(null);
      let rest = "";
      for await (const chunk of chunks(answer.body)) {
        silence.wait(this.#silenceS);
        const messages = (rest + chunk).replaceAll("\r\n", "\n").split("\n\n");
        rest = messages.pop();
        if (rest.length > MAX_EVENT_CHARS) throw new Unexpected(`An event is longer than ${MAX_EVENT_CHARS} characters.`);
        for (const message of messages) yield* this.#told(message);
      }
      return new Lost("the connection ended");
    } catch (error) {
      if (error instanceof ClientError) throw error;
      return new Lost(silence.over ? "nothing was heard" : (error?.cause?.message ?? error?.message ?? String(error)));
    } finally {
      silence.end();
    }
  }

  *#told(message) {
    const { event, data, id } = fields(message);
    if (event !== ERROR && data) {
      const told = this.#read(data, id);
      if (!this.#seen.has(told.id)) {
        this.#remember(told.id);
        this.#pauses.succeeded();
        this.cursor = told.cursor; // whoever leaves the loop now has dealt with it
        this.#open();
        yield told;
      }
    }
    if (id) this.cursor = id;
    if (this.cursor !== null) this.#open();
  }

  #open() {
    this.#opened = true;
    this.#place.resolve();
  }

  #read(data, id) {
    try {
      const event = parse(data);
      const { job = null } = event.data;
      return { ...event, what: event.type.replace(/^tickr\.(job\.)?/, ""), job, cursor: id ?? this.cursor };
    } catch {
      throw new Unexpected(`What comes from the feed of ${this.#wire.url} is of too different a version.`);
    }
  }

  #remember(id) {
    this.#seen.add(id);
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.values().next().value);
  }

  #lost(reply) {
    if (!reply.again) {
      const error = reply.refusal ? refused(reply.refusal) : this.#wire.notTickr(reply);
      if (error instanceof CursorExpired)
        error.message += "\nList the jobs again, and listen after the list's feedCursor; or after 'earliest'.";
      throw error;
    }
    this.#pauses.failed(reply.retryAfterS);
    this.onlost({ why: reply.reason ?? `HTTP ${reply.status}`, againInS: this.#pauses.notBefore - now() });
    if (!this.#opened && this.#pauses.notBefore > this.#began + this.#wire.totalS) {
      const why = reply.reason ?? `HTTP ${reply.status}`;
      throw new Unavailable(`${this.#wire.url} did not open the feed within ${this.#wire.totalS} s: ${why}.`);
    }
  }
}

/** Aborts a connection on which nothing comes for too long, or whose subscription ends. */
class Silence {
  #clock = new AbortController();
  #end = () => this.#clock.abort();
  #timer;
  over = false;

  constructor(signal) {
    this.ending = signal;
    signal.addEventListener("abort", this.#end);
    if (signal.aborted) this.#end();
  }

  get signal() {
    return this.#clock.signal;
  }

  wait(seconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.over = true;
      this.#end();
    }, seconds * 1000);
  }

  end() {
    clearTimeout(this.#timer);
    this.ending.removeEventListener("abort", this.#end);
    this.#end(); // also where the loop was left in the middle
  }
}

/** Yield the text of a body as it comes. (Not every browser's body can be iterated over.) */
async function* chunks(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield decoder.decode(value, { stream: true });
  }
}

function fields(message) {
  const found = {};
  for (const line of message.split("\n")) {
    const [name] = line.split(":", 1);
    found[name] = line.slice(name.length + 1).replace(/^ /, "");
  }
  return found;
}
