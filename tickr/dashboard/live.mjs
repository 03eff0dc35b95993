// What is shown stays true: a screen is read again when the feed tells of something that concerns it, and from time to
// time. One subscription at a time, the screen's own. Where more happens than a page can listen to, it is read regularly
// instead. Paused, nothing on the screen moves.

import { Unavailable, Unexpected } from "./client/client.mjs";

const SOON_MS = 400; // after an event; what comes meanwhile goes with it
const MANY = 1500; // events a second …
const BUSY_MS = 30_000; // … after which the feed is left alone for so long
const OFTEN_MS = 2000; // then, a screen is read so often
const SELDOM_MS = 10_000; // otherwise, at least so often: ages grow, nodes die without a word

export class Live {
  #status;
  #paused = false;
  #waiting = new Set();

  /** status: called with "live", "busy", "paused", "lost", "refused" or "idle", and why. */
  constructor(status) {
    this.#status = status;
  }

  get paused() {
    return this.#paused;
  }

  pause() {
    this.#paused = true;
    this.#status("paused");
  }

  resume() {
    this.#paused = false;
    for (const wake of this.#waiting) wake();
  }

  /**
   * Call `load` now, whenever something may have changed, and after `resume`, one call at a time, until `signal` aborts.
   *
   * filters: of the feed, what concerns the screen; null: it is read from time to time alone. load(events): what has
   * happened since the last call. What it returns is in how many milliseconds it is called again at the latest. What it
   * throws is shown by `failed`, and it is called again later.
   */
  async follow(client, filters, signal, load, failed) {
    const follower = new Follower(client, filters, signal, (status) => this.#paused || this.#status(status));
    this.#waiting.add(follower.wake);
    signal.addEventListener("abort", () => this.#waiting.delete(follower.wake));
    while (!signal.aborted) {
      let latestMs;
      try {
        latestMs = await load(follower.take());
        failed(null);
        follower.say();
      } catch (error) {
        if (signal.aborted) return;
        failed(error);
        const silent = error instanceof Unavailable || error instanceof Unexpected; // a proxy may have answered instead
        this.#status(silent ? "lost" : "refused", error.message);
      }
      do await follower.changed(latestMs);
      while (this.#paused && !signal.aborted);
    }
  }
}

class Follower {
  #client;
  #filters;
  #signal;
  #status;
  #events = [];
  #busyUntil = 0;
  #deafUntil = 0; // the feed could not be opened
  #second = { at: 0, count: 0 };
  #resolve = () => {};
  #heard = () => {};

  constructor(client, filters, signal, status) {
    [this.#client, this.#filters, this.#signal, this.#status] = [client, filters, signal, status];
    signal.addEventListener("abort", this.wake);
    document.addEventListener("visibilitychange", () => document.hidden || this.wake(), { signal });
    if (filters !== null) this.#listen();
  }

  wake = () => this.#resolve();

  take() {
    return this.#events.splice(0);
  }

  say() {
    const deaf = this.#filters === null || performance.now() < this.#deafUntil;
    this.#status(deaf ? "idle" : this.#busy ? "busy" : "live");
  }

  /** Resolves when the screen is to be read again, in `latestMs` at the latest. */
  async changed(latestMs = Infinity) {
    const [timers, mostMs] = [[], Math.min(latestMs, this.#busy ? OFTEN_MS : SELDOM_MS)];
    await new Promise((resolve) => {
      this.#resolve = resolve;
      this.#heard = () => timers.length > 1 || timers.push(setTimeout(resolve, SOON_MS));
      timers.push(setTimeout(resolve, document.hidden ? 6 * SELDOM_MS : mostMs));
      if (this.#events.length) this.#heard();
      if (this.#signal.aborted) resolve();
    });
    timers.forEach(clearTimeout);
    this.#heard = () => {};
  }

  get #busy() {
    return performance.now() < this.#busyUntil;
  }

  async #listen() {
    while (!this.#signal.aborted) {
      const feed = this.#client.events(this.#filters);
      const close = () => feed.close();
      this.#signal.addEventListener("abort", close);
      try {
        for await (const event of feed) {
          if (this.#events.length < MANY) this.#events.push(event);
          this.#heard();
          if (this.#tooMany()) break;
        }
      } catch {
        this.#deafUntil = performance.now() + SELDOM_MS; // what a call says of it is shown
      }
      this.#signal.removeEventListener("abort", close);
      await new Promise((resolve) => setTimeout(resolve, Math.max(1000, Math.max(this.#busyUntil, this.#deafUntil) - performance.now())));
    }
  }

  #tooMany() {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second.at) this.#second = { at: second, count: 0 };
    if (++this.#second.count < MANY) return false;
    this.#busyUntil = performance.now() + BUSY_MS;
    this.say();
    return true;
  }
}
