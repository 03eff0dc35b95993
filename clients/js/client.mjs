// Tickr from JavaScript: Node 20 or later, and browsers. No dependencies.
//
//   import { Client } from "tickr-client";
//
//   const client = new Client("http://127.0.0.1:8080");
//   const stored = await client.submit("report", { title: "Hello" });
//   const job = await client.wait(stored);
//
// The methods are those of the Python client (docs/client.md); documents come as the API has them (docs/http-api.md),
// but for whole numbers that a JavaScript number cannot hold: they are BigInts, and stay exact.

import { NotEnded, NotFinal } from "./errors.mjs";
import { Subscription } from "./events.mjs";
import { parse, parseKeeping, stringify } from "./json.mjs";
import { Submission, uuid7 } from "./submission.mjs";
import { now, pause, texts, Wire } from "./wire.mjs";

export * from "./errors.mjs";
export { parse, Source, stringify, tokens } from "./json.mjs";

const PAGE = 200; // the server takes no more
const LINES = 500; // of a log; likewise
const WAIT_S = 20; // one request has the server wait so long; what lies in between may end one that is longer
const WAITS = 50; // requests that wait at once; further callers look from time to time
const [FIRST_LOOK_S, LOOK_S] = [0.05, 3]; // pauses between such looks: the first, and the longest
const TO_THE_LETTER = ["payload", "result", "progress_data"];
const FINAL = new Set(["succeeded", "failed", "cancelled"]);

const environment = globalThis.process?.env ?? {};

export class Client {
  #wire;
  #submission;
  #waits = 0;

  /**
   * url: of a node, or of what distributes to several; by default $TICKR_URL, or where the page came from. token: by
   * default $TICKR_TOKEN. totalS: how long a call is tried, pauses and all. prepare: gets the fields of each job before
   * it is sent, and may change them. fetch: another one than the global.
   */
  constructor(url, { token, totalS = 30, prepare, fetch = globalThis.fetch.bind(globalThis) } = {}) {
    const origin = globalThis.location?.origin ?? "http://127.0.0.1:8080";
    this.#wire = new Wire({
      url: String(url ?? environment.TICKR_URL ?? origin),
      token: token ?? environment.TICKR_TOKEN,
      totalS,
      fetch,
    });
    this.#submission = new Submission(this.#wire, prepare);
    this.schedules = new Schedules(this.#wire);
    this.operations = new Operations(this.#wire);
    this.queues = new Queues(this.#wire);
    this.nodes = new Nodes(this.#wire);
    this.marks = new Marks(this.#wire);
  }

  get url() {
    return this.#wire.url;
  }

  /** Hand in a job, and return {id, type, replayed, held} once it is durable. options: as in `POST /jobs`. */
  submit(type, payload, options = {}) {
    return this.#submission.one({ type, payload, ...options });
  }

  /** Hand in any number of jobs, {type, payload, …} each; return what became of each: as `submit`, or a ClientError. */
  submitMany(jobs) {
    return this.#submission.many(jobs);
  }

  /**
   * Return the job as it is now. decrypt: with what is encrypted of it in the clear. exact: with `payload`, `result` and
   * `progress_data` as Sources, to the letter, which a number like 1.0 does not survive otherwise.
   */
  get(job, { decrypt = false, exact = false } = {}) {
    const as = exact ? (text) => parseKeeping(TO_THE_LETTER, text) : parse;
    return this.#wire.ask({ path: path(job), query: decrypted(decrypt) }, { as });
  }

  /** Return the job once it has ended. Throws NotFinal after `timeoutS` seconds, with the job as it was last seen. */
  async wait(job, { timeoutS = Infinity, decrypt = false } = {}) {
    const over = now() + timeoutS;
    for (let lookS = FIRST_LOOK_S; ; ) {
      const [asked, long] = [now(), this.#waits < WAITS];
      const waitS = long ? Math.min(WAIT_S, Math.max(0, over - asked)) : 0;
      this.#waits += long;
      const seen = await this.#wire
        .ask({ path: path(job), query: decrypted(decrypt) }, { waitS })
        .finally(() => (this.#waits -= long));
      if (FINAL.has(seen.state)) return seen;
      if (now() >= over) throw new NotFinal(seen);
      if (now() - asked < Math.min(WAIT_S, over - asked)) {
        // It was not waited for: a look, or the server stops.
        await pause(Math.min(lookS, Math.max(0, over - now())), this.#wire.signal);
        lookS = Math.min(1.5 * lookS, LOOK_S);
      }
    }
  }

  /** Keep a waiting job from running, have a running one stopped. version: only if the job is still at this one. */
  cancel(job, { version, reason } = {}) {
    const request = { method: "POST", path: path(job, "/cancel"), ...ifMatch(version), ...body({ reason }) };
    return this.#wire.ask(request, { repeatable: version === undefined });
  }

  /** Start a job over that has ended, changed as said. Not repeated where a first try may have done it. */
  retry(job, { version, ...changes } = {}) {
    const text = Object.keys(changes).length ? stringify(changes) : undefined;
    const request = { method: "POST", path: path(job, "/retry"), ...ifMatch(version), text };
    return this.#wire.ask(request, { repeatable: false });
  }

  /** Change a job that waits, or the time-out of one that runs: `{ priority, run_at, payload, … }`. */
  edit(job, { version, ...changes }) {
    const request = { method: "PATCH", path: path(job), ...ifMatch(version), text: stringify(changes) };
    return this.#wire.ask(request, { repeatable: version === undefined });
  }

  /** Delete a job that has ended for good; cancel: also one that waits. Not repeated where a first try may have. */
  delete(job, { version, cancel = false } = {}) {
    const query = cancel ? { cancel: true } : {};
    return this.#wire.ask({ method: "DELETE", path: path(job), query, ...ifMatch(version) }, { repeatable: false });
  }

  /** Hand in a job for every node that handles the type; return {id, items}. options: as of `POST /broadcasts`. */
  broadcast(type, payload, options = {}) {
    return this.#wire.ask({ method: "POST", path: "/broadcasts", ...body({ id: uuid7(), type, payload, ...options }) });
  }

  /** Return {items, cursor}: what the job has logged, oldest first. after: the `cursor` of an earlier answer. */
  async log(job, { after, attempt, decrypt = false } = {}) {
    const items = [];
    for (let more = true; more; ) {
      const query = { limit: LINES, after, attempt, ...decrypted(decrypt) };
      const page = await this.#wire.ask({ path: path(job, "/log"), query });
      items.push(...page.items);
      [after, more] = [page.cursor, page.more];
    }
    return { items, cursor: after };
  }

  /** Return {items, redrives}: every start of a job and how it ended, over all its retries. */
  attempts(job) {
    return this.#wire.ask({ path: path(job, "/attempts") });
  }

  /** Return why the job is not running, and when it may. */
  explain(job) {
    return this.#wire.ask({ path: path(job, "/explain") });
  }

  /** Return {tree, parent, complete}: the job with all that its handler, and theirs, have submitted. */
  tree(job) {
    return this.#wire.ask({ path: path(job, "/tree") });
  }

  /** Return {step, since, until, as_of, series, marks}: how much was done. which: of `GET /statistics`; Dates are taken. */
  statistics(which = {}) {
    return this.#wire.ask({ path: "/statistics", query: which });
  }

  /** Return {total, exact, groups}: failed jobs in groups of the same type and kind of error. */
  deadLetters(filters = {}) {
    return this.#wire.ask({ path: "/dead-letters", query: searched(filters) });
  }

  /** Return an async iterable over jobs, newest first, `limit` at most, read page by page. filters: of `GET /jobs`. */
  list({ limit = Infinity, ...filters } = {}) {
    return new Pages(this.#wire, "/jobs", searched(filters), limit);
  }

  /** Return one page of that list: {items, next_cursor, feed_cursor}. cursor: `next_cursor` of the page before. */
  page(filters = {}) {
    return this.#wire.ask({ path: "/jobs", query: searched(filters) });
  }

  /** Return a subscription to the feed, which is taken for lost after `silenceS` (20) without a word: `for await (const event of client.events({ after, job, queue, type, event }))`. */
  events(filters = {}) {
    return new Subscription(this.#wire, filters);
  }

  /** End everything; who still waits is told Closed. */
  close() {
    this.#wire.close();
  }
}

/** An async iterable over what a list has. `feedCursor`: the place in the feed from before the first page was read. */
class Pages {
  feedCursor = null;
  #wire;
  #request;
  #limit;

  constructor(wire, path, query, limit) {
    this.#wire = wire;
    this.#request = { path, query };
    this.#limit = limit;
  }

  async *[Symbol.asyncIterator]() {
    let [left, cursor] = [this.#limit, undefined];
    while (left > 0 && cursor !== null) {
      const query = { ...this.#request.query, limit: Math.min(PAGE, left), cursor };
      const page = await this.#wire.ask({ ...this.#request, query });
      this.feedCursor ??= page.feed_cursor ?? null;
      yield* page.items;
      [left, cursor] = [left - page.items.length, page.next_cursor];
    }
  }

  /** Return all of it as an array. */
  async all() {
    const found = [];
    for await (const one of this) found.push(one);
    return found;
  }
}

/** `client.schedules`: jobs that are made by the clock. version: only if the schedule is still at this one. */
class Schedules {
  #wire;

  constructor(wire) {
    this.#wire = wire;
  }

  /**
   * Have a schedule be so: `{ cron, timezone, every, missed, overlap, …, job: { type, payload, … } }`. onlyNew: only if
   * there is none of this name yet.
   */
  put(name, schedule, { version, onlyNew = false } = {}) {
    const only = onlyNew ? { headers: { "if-none-match": "*" } } : ifMatch(version);
    const request = { method: "PUT", path: at("schedules", name), ...only, ...body(schedule) };
    return this.#wire.ask(request, { repeatable: version === undefined && !onlyNew });
  }

  /** Return the schedule with its next ticks, 10 or so many. exact: with `job` as a Source, to the letter. */
  get(name, { ticks, exact = false } = {}) {
    const as = exact ? (text) => parseKeeping(["job"], text) : parse;
    return this.#wire.ask({ path: at("schedules", name), query: { ticks } }, { as });
  }

  /** Return all schedules, by name; their next ticks are left out. */
  list() {
    return new Pages(this.#wire, "/schedules", {}, Infinity).all();
  }

  pause(name, options) {
    return this.#change(name, "/pause", options);
  }

  /** Have it go on from now; what was missed meanwhile is not made up for. */
  resume(name, options) {
    return this.#change(name, "/resume", options);
  }

  /** Have a job of it be made now, and return that. Not repeated where a first try may have made one. */
  run(name) {
    return this.#wire.ask({ method: "POST", path: at("schedules", name, "/run") }, { repeatable: false });
  }

  /** Take it away; its jobs stay. Not repeated where a first try may have done it. */
  delete(name, { version } = {}) {
    const request = { method: "DELETE", path: at("schedules", name), ...ifMatch(version) };
    return this.#wire.ask(request, { repeatable: false });
  }

  #change(name, action, { version } = {}) {
    const request = { method: "POST", path: at("schedules", name, action), ...ifMatch(version) };
    return this.#wire.ask(request, { repeatable: version === undefined });
  }
}

/** `client.operations`: what is done to all jobs that match. which: the filters of `list`, and `ids` for certain jobs. */
class Operations {
  #wire;

  constructor(wire) {
    this.#wire = wire;
  }

  /** Return how many jobs an operation would be about, in groups; nothing is done. */
  look(action, which = {}) {
    return this.#begin({ action, filter: filter(which), dry_run: true });
  }

  /** Begin to retry all that match. all: without any filter, every job that has failed. rate: jobs a second at most. */
  retry(which = {}, { all, changes, rate } = {}) {
    return this.#begin({ action: "retry", filter: filter(which), all, changes, rate, id: uuid7() });
  }

  /** Begin to cancel all that match. */
  cancel(which = {}, { all, reason, rate } = {}) {
    return this.#begin({ action: "cancel", filter: filter(which), all, reason, rate, id: uuid7() });
  }

  /** Begin to change all that match: what waits, or with `state: "running"` the time-out of what runs. */
  edit(which, { all, changes, rate }) {
    return this.#begin({ action: "edit", filter: filter(which), all, changes, rate, id: uuid7() });
  }

  /** Begin to delete all that match for good; those that wait, where `state` names them, are cancelled first. */
  delete(which = {}, { all, reason, rate } = {}) {
    return this.#begin({ action: "delete", filter: filter(which), all, reason, rate, id: uuid7() });
  }

  get(operation) {
    return this.#wire.ask({ path: at("operations", named(operation)) });
  }

  /** Have it go no further. */
  stop(operation) {
    return this.#wire.ask({ method: "DELETE", path: at("operations", named(operation)) });
  }

  /** Return the newest ones. */
  list({ limit = 50 } = {}) {
    return new Pages(this.#wire, "/operations", {}, limit).all();
  }

  /** Return the operation once it has ended. Throws NotEnded after `timeoutS` seconds. */
  async wait(operation, { timeoutS = Infinity } = {}) {
    const over = now() + timeoutS;
    for (let lookS = FIRST_LOOK_S; ; lookS = Math.min(1.5 * lookS, LOOK_S)) {
      const seen = await this.get(operation);
      if (seen.state !== "running") return seen;
      if (now() >= over) throw new NotEnded(seen);
      await pause(Math.min(lookS, over - now()), this.#wire.signal);
    }
  }

  // Under an id that is made here, so that asking again is safe.
  #begin(wish) {
    return this.#wire.ask({ method: "POST", path: "/operations", ...body(wish) });
  }
}

/** `client.queues`: what waits and runs, what is set. */
class Queues {
  #wire;

  constructor(wire) {
    this.#wire = wire;
  }

  async list() {
    return (await this.#wire.ask({ path: "/queues" })).items;
  }

  get(name) {
    return this.#wire.ask({ path: at("queues", name) });
  }

  /** Limit it: `{ max_running, max_running_per_key, rate }`, the whole of it; what is left out is no limit any more. */
  limit(name, limits) {
    return this.#wire.ask({ method: "PUT", path: at("queues", name), text: stringify(limits) });
  }

  /** Start none of its jobs; what runs goes on. forS, until: so many seconds, or until then; else until it is resumed. */
  pause(name, { forS, until } = {}) {
    const request = { method: "POST", path: at("queues", name, "/pause"), ...body({ for: forS, until }) };
    return this.#wire.ask(request, { repeatable: forS === undefined }); // which a second try would lengthen
  }

  resume(name) {
    return this.#wire.ask({ method: "POST", path: at("queues", name, "/resume") });
  }

  /** Start its "oldest" or its "newest" due jobs first, among those of one priority. */
  order(name, order) {
    return this.#wire.ask({ method: "PUT", path: at("queues", name, "/order"), text: stringify({ order }) });
  }

  /** Begin to cancel all that waits in it, and return that operation; delete: and to delete it for good. */
  empty(name, { delete: gone = false, reason, rate } = {}) {
    const text = stringify({ delete: gone, reason, rate, id: uuid7() });
    return this.#wire.ask({ method: "POST", path: at("queues", name, "/empty"), text });
  }

  /** Take it away, with nothing waiting or running in it. Not repeated where a first try may have done it. */
  delete(name) {
    return this.#wire.ask({ method: "DELETE", path: at("queues", name) }, { repeatable: false });
  }
}

/** `client.marks`: marks in the charts. */
class Marks {
  #wire;

  constructor(wire) {
    this.#wire = wire;
  }

  /** Make one, at this moment unless `at` is given. Under an id that is made here, so that asking again is safe. */
  add(text, { at, id = uuid7() } = {}) {
    return this.#wire.ask({ method: "POST", path: "/marks", ...body({ text, at, id }) });
  }

  async list({ since, until } = {}) {
    return (await this.#wire.ask({ path: "/marks", query: { since, until } })).items;
  }

  /** Delete a mark, or the one with that id. Not repeated where a first try may have done it. */
  delete(mark) {
    return this.#wire.ask({ method: "DELETE", path: at("marks", mark.id ?? mark) }, { repeatable: false });
  }
}

/**
 * `client.nodes`: who is there, what they run, what they are told. A node is named by its id, or "self": the one that
 * answers, which another try may find to be another, so that nothing is told it again where a first try may have been.
 */
class Nodes {
  #wire;

  constructor(wire) {
    this.#wire = wire;
  }

  /** Return {items, here, lost, counted_to}. */
  list() {
    return this.#wire.ask({ path: "/nodes" });
  }

  get(id) {
    return this.#wire.ask({ path: at("nodes", id) });
  }

  /** Have it run so many jobs at once. */
  change(id, { slots }) {
    return this.#tell(id, { method: "PATCH", path: at("nodes", id), ...body({ slots }) });
  }

  /** Have it take nothing new. */
  quiet(id) {
    return this.#tell(id, { method: "POST", path: at("nodes", id, "/quiet") });
  }

  resume(id) {
    return this.#tell(id, { method: "POST", path: at("nodes", id, "/resume") });
  }

  stop(id) {
    return this.#tell(id, { method: "POST", path: at("nodes", id, "/stop") });
  }

  #tell(id, request) {
    return this.#wire.ask(request, { repeatable: id !== "self" });
  }
}

const named = (one) => (typeof one === "string" ? one : one.id);
const at = (what, name, action = "") => `/${what}/${encodeURIComponent(whole(name))}${action}`;
const whole = (name) => String(name).replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
const path = (job, action) => at("jobs", named(job), action);
const decrypted = (wanted) => (wanted ? { decrypt: true } : {});
const ifMatch = (version) => (version === undefined ? {} : { headers: { "if-match": `"v${version}"` } });

/** Return the body of a request; none if nothing is said. */
function body(fields) {
  const said = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  return said.length ? { text: stringify(Object.fromEntries(said)) } : {};
}

/** Return filters as the query has them. payload: paths with what is to be there; contains: what is anywhere in it. */
function searched({ payload = {}, contains, ...filters }) {
  const paths = Object.entries(payload).map(([place, value]) => [`payload.${place}`, [value].flat().map(String)]);
  return { ...filters, ...Object.fromEntries(paths), "payload~": contains };
}

/** Return filters as a body has them. ids: of certain jobs. */
function filter({ ids, parent, payload, contains, ...which }) {
  const found = Object.fromEntries(Object.entries(which).map(([name, value]) => [name, texts(value)]));
  if (parent) found.parent = named(parent);
  if (payload) found.payload = Object.fromEntries(Object.entries(payload).map(([at, one]) => [at, [one].flat().map(String)]));
  if (contains !== undefined) found["payload~"] = texts(contains);
  return ids === undefined ? found : { ...found, ids: Array.from(ids, named) };
}
