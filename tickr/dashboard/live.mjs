// What is shown stays true: a screen is read again when the feed tells of something that concerns it, and from time to
// time. One subscription at a time, the screen's own. Where more happens than a page can listen to, it is read regularly
// instead. Paused, nothing on the screen moves.

import { Unavailable, Unexpected } from "./client/client.mjs";

const SOON_MS = 400; // after an event; what comes meanwhile goes with it
const MANY = 1500; // events a second …
const BUSY_MS = 30_000; // … after which the feed is left alone for so long
const OFTEN_MS = 2000; // then, a screen is read so often
const SELDOM_MS = 10_000; // otherwise, at least so often: ages grow, nodes die without a word
const SILENCE_S = 12; // Tickr speaks every 10 on the feed
const AGAIN_MS = 2000; // where it could not be opened at all

export class Live {
  #status;
  #paused = false;
  #waiting = new Set();

  /**
   * status: called with "live", "busy", "paused", "lost", "refused" or "idle", and why; with "lost", also with when it is
   * tried again, in milliseconds on the page's clock.
   */
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
    const follower = new Follower(client, filters, signal, (...told) => this.#paused || this.#status(...told));
    this.#waiting.add(follower.wake);
    signal.addEventListener("abort", () => this.#waiting.delete(follower.wake));
    while (!signal.aborted) {
      let latestMs;
      try {
        latestMs = await load(follower.take());
        failed(null);
        follower.found();
      } catch (error) {
        if (signal.aborted) return;
        failed(error);
        const silent = error instanceof Unavailable || error instanceof Unexpected; // a proxy may have answered instead
        if (silent) follower.lose(error.message, follower.againAt(latestMs));
        else this.#status("refused", error.message);
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
  #lost = null; // nobody answers: why, and when it is tried again
  #telling;
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

  /** Nobody answers. at: when the next try is. */
  lose(why, at) {
    this.#lost = { why, at };
    this.say();
  }

  /** Somebody answers. */
  found() {
    this.#lost = null;
    this.say();
  }

  againAt(latestMs = Infinity) {
    return this.#lost?.at > performance.now() ? this.#lost.at : performance.now() + Math.min(latestMs, SELDOM_MS);
  }

  say() {
    if (this.#lost) return this.#status("lost", this.#lost.why, this.#lost.at);
    const deaf = this.#filters === null || performance.now() < this.#deafUntil;
    return this.#status(deaf ? "idle" : this.#busy ? "busy" : "live");
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
      const feed = this.#client.events({ ...this.#filters, silenceS: SILENCE_S });
      feed.onlost = (lost) => this.#connected(lost);
      const close = () => feed.close();
      this.#signal.addEventListener("abort", close);
      try {
        for await (const event of feed) {
          if (this.#events.length < MANY) this.#events.push(event);
          this.#heard();
          if (this.#tooMany()) break;
        }
      } catch (error) {
        // What a call says of it is shown.
        const silent = error instanceof Unavailable && error.refusal === null;
        this.#deafUntil = performance.now() + (silent ? AGAIN_MS : SELDOM_MS);
      }
      this.#signal.removeEventListener("abort", close);
      await new Promise((resolve) => setTimeout(resolve, Math.max(1000, Math.max(this.#busyUntil, this.#deafUntil) - performance.now())));
    }
  }

  #connected(lost) {
    if (this.#signal.aborted) return;
    clearTimeout(this.#telling);
    const at = performance.now() + 1000 * (lost?.againInS ?? 0);
    // One that stands again at once was no loss.
    if (lost) this.#telling = setTimeout(() => this.#signal.aborted || this.lose(lost.why, at), this.#lost ? 0 : SOON_MS);
    else if (this.#lost) this.wake(); // what was missed meanwhile is read
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
