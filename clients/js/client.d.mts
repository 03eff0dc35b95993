// Types of client.mjs. Documents are those of the API (docs/http-api.md); instants are texts in RFC 3339.

export type State = "scheduled" | "ready" | "blocked" | "running" | "retrying" | "succeeded" | "failed" | "cancelled";
/** What JSON can say; whole numbers that a number cannot hold are BigInts. */
export type Json = null | boolean | number | bigint | string | Json[] | { [name: string]: Json };
/** What names a job: its id, or whatever has it. */
export type JobRef = string | { id: string };
/** One value of a filter, or several. */
export type Filter = string | number | boolean | Date | Filter[] | { [name: string]: string };

export interface Failure {
  kind: string;
  message: string;
  traceback: string | null;
}

export interface Job {
  id: string;
  type: string;
  queue: string;
  priority: number;
  state: State;
  payload: any;
  result: any;
  error: Failure | null;
  attempt: number;
  max_attempts: number;
  crashes: number;
  max_crashes: number;
  run_at: string;
  expires_at: string | null;
  keep: number | null;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  node: string | null;
  version: number;
  labels: Record<string, string>;
  limit_key: string | null;
  unique: { key: string; until: number | string } | null;
  progress: number | null;
  progress_message: string | null;
  progress_data: any;
  traceparent: string | null;
  schedule: { name: string; tick: string | null } | null;
  depends_on: { jobs: string[]; on_failure: string } | null;
  sequence: string | null;
  parent: string | null;
  encrypted: boolean;
  encryption_key: string | null;
  notice: string | null;
  [field: string]: any;
}

/** What may be said of a job beside its type and payload: the fields of `POST /jobs`, with their rules. */
export interface Options {
  id?: string;
  queue?: string;
  priority?: number;
  delay?: number;
  run_at?: string | Date;
  expires_at?: string | Date;
  expires_in?: number;
  max_attempts?: number;
  max_crashes?: number;
  timeout?: number;
  backoff?: string | Record<string, unknown>;
  labels?: Record<string, string>;
  limit_key?: string;
  unique?: { key: string; until?: number | string; on_conflict?: "return" | "reject" | "replace" };
  depends_on?: string[] | { jobs: string[]; on_failure?: "fail" | "cancel" | "run" };
  keep?: number;
  sequence?: string;
  traceparent?: string;
  tracestate?: string;
  [field: string]: unknown;
}

export interface NewJob extends Options {
  type: string;
  payload?: unknown;
}

/** replayed: it was stored before. held: it is another job, which holds the unique key. */
export interface Submitted {
  id: string;
  type: string;
  replayed: boolean;
  held: boolean;
}

export interface Event {
  id: string;
  /** `created`, `started`, `succeeded` … of a job; `schedule.paused`, `queue.resumed` … of something else. */
  what: string;
  type: string;
  subject: string;
  time: string;
  job: Partial<Job> | null;
  data: any;
  /** The place after it: whoever has dealt with the event and notes it comes back right behind. */
  cursor: string;
}

export interface Filters {
  state?: Filter;
  type?: Filter;
  queue?: Filter;
  label?: Filter;
  error?: Filter;
  /** Made by this schedule. */
  schedule?: Filter;
  /** Submitted by the handler of this job. */
  parent?: JobRef;
  /** Paths into payloads, and what is to be there: `{ "order.id": 7 }`. */
  payload?: Record<string, unknown>;
  contains?: Filter;
  created_after?: string | Date;
  created_before?: string | Date;
  finished_after?: string | Date;
  finished_before?: string | Date;
  [name: string]: any;
}

export interface Which extends Filters {
  ids?: Iterable<JobRef> & any;
}

export interface Versioned {
  /** Only if it is still at this one. */
  version?: number;
}

export interface Pages<T> extends AsyncIterable<T> {
  readonly feedCursor: string | null;
  all(): Promise<T[]>;
}

export interface Subscription extends AsyncIterable<Event> {
  cursor: string | null;
  readonly opened: Promise<void>;
  /** Called when the connection is lost, and with null when it stands again. */
  onlost: (lost: { why: string; againInS: number } | null) => void;
  close(): void;
}

export interface ClientOptions {
  token?: string;
  /** How long a call is tried, pauses and all, in seconds; 30. */
  totalS?: number;
  prepare?: (job: Record<string, any>) => void;
  fetch?: typeof globalThis.fetch;
}

export class Client {
  constructor(url?: string | URL, options?: ClientOptions);
  readonly url: string;
  readonly schedules: Schedules;
  readonly operations: Operations;
  readonly queues: Queues;
  readonly nodes: Nodes;
  readonly marks: Marks;
  submit(type: string, payload?: unknown, options?: Options): Promise<Submitted>;
  submitMany(jobs: Iterable<NewJob> | AsyncIterable<NewJob>): Promise<(Submitted | ClientError)[]>;
  get(job: JobRef, options?: { decrypt?: boolean; exact?: boolean }): Promise<Job>;
  wait(job: JobRef, options?: { timeoutS?: number; decrypt?: boolean }): Promise<Job>;
  cancel(job: JobRef, options?: Versioned & { reason?: string }): Promise<Job>;
  retry(job: JobRef, changes?: Versioned & Options & { payload?: unknown }): Promise<Job>;
  edit(job: JobRef, changes: Versioned & Options & { payload?: unknown }): Promise<Job>;
  delete(job: JobRef, options?: Versioned & { cancel?: boolean }): Promise<null>;
  broadcast(type: string, payload?: unknown, options?: Options): Promise<{ id: string; items: Job[] }>;
  log(job: JobRef, options?: { after?: string; attempt?: number; decrypt?: boolean }): Promise<{ items: any[]; cursor: string }>;
  attempts(job: JobRef): Promise<{ items: any[]; redrives: any[] }>;
  explain(job: JobRef): Promise<any>;
  tree(job: JobRef): Promise<{ tree: any; parent: string | null; complete: boolean }>;
  statistics(which?: StatisticsOf): Promise<Statistics>;
  deadLetters(filters?: Filters): Promise<{ total: number; exact: boolean; groups: any[] }>;
  list(filters?: Filters & { limit?: number }): Pages<Job>;
  page(filters?: Filters & { limit?: number; cursor?: string }): Promise<{ items: Job[]; next_cursor: string | null; feed_cursor: string }>;
  events(filters?: { after?: string; job?: Filter | JobRef; queue?: Filter; type?: Filter; event?: Filter; name?: Filter; silenceS?: number }): Subscription;
  close(): void;
}

export interface Schedules {
  put(name: string, schedule: Record<string, unknown> & { job: NewJob | Source }, options?: Versioned & { onlyNew?: boolean }): Promise<any>;
  get(name: string, options?: { ticks?: number; exact?: boolean }): Promise<any>;
  list(): Promise<any[]>;
  pause(name: string, options?: Versioned): Promise<any>;
  resume(name: string, options?: Versioned): Promise<any>;
  run(name: string): Promise<Job>;
  delete(name: string, options?: Versioned): Promise<null>;
}

export interface Operation {
  id: string;
  action: string;
  state: "running" | "done" | "stopped";
  total: number;
  exact: boolean;
  done: number;
  skipped: number;
  [field: string]: any;
}

export interface Operations {
  look(action: "retry" | "cancel" | "edit" | "delete", which?: Which): Promise<any>;
  edit(which: Which, options: { all?: boolean; changes: Options & { payload?: unknown }; rate?: number }): Promise<Operation>;
  delete(which?: Which, options?: { all?: boolean; reason?: string; rate?: number }): Promise<Operation>;
  retry(which?: Which, options?: { all?: boolean; changes?: Options & { payload?: unknown }; rate?: number }): Promise<Operation>;
  cancel(which?: Which, options?: { all?: boolean; reason?: string; rate?: number }): Promise<Operation>;
  get(operation: string | Operation): Promise<Operation>;
  stop(operation: string | Operation): Promise<Operation>;
  list(options?: { limit?: number }): Promise<Operation[]>;
  wait(operation: string | Operation, options?: { timeoutS?: number }): Promise<Operation>;
}

export interface Queues {
  list(): Promise<any[]>;
  get(name: string): Promise<any>;
  limit(name: string, limits: Record<string, unknown>): Promise<any>;
  pause(name: string, options?: { forS?: number; until?: string | Date }): Promise<any>;
  resume(name: string): Promise<any>;
  order(name: string, order: "oldest" | "newest"): Promise<any>;
  empty(name: string, options?: { delete?: boolean; reason?: string; rate?: number }): Promise<Operation>;
  delete(name: string): Promise<null>;
}

/** Which statistics; `GET /statistics` has the rules of each. */
export interface StatisticsOf {
  step?: "minute" | "hour" | "day";
  since?: string | Date;
  until?: string | Date;
  queue?: Filter;
  type?: Filter;
  by?: "queue" | "type";
  points?: boolean;
}

/** In seconds. */
export interface Times {
  count: number;
  mean: number;
  p50: number;
  p95: number;
  p99: number;
}

export interface Amounts {
  created: number;
  started: number;
  succeeded: number;
  retrying: number;
  failed: number;
  cancelled: number;
  released: number;
  redriven: number;
  wait: Times | null;
  run: Times | null;
}

export interface Statistics {
  step: string;
  since: string;
  until: string;
  as_of: string;
  series: {
    queue: string | null;
    type: string | null;
    other: boolean;
    points: (Amounts & { at: string })[];
    total: Amounts;
    /** How long the oldest due job had waited, at most, in seconds; null: of types that is not known. */
    backlog: { age: number | null; points: { at: string; age: number }[] } | null;
  }[];
  marks: Mark[];
}

export interface Mark {
  id: string;
  at: string;
  text: string;
}

export interface Marks {
  add(text: string, options?: { at?: string | Date; id?: string }): Promise<Mark>;
  list(span?: { since?: string | Date; until?: string | Date }): Promise<Mark[]>;
  delete(mark: string | Mark): Promise<null>;
}

export interface Nodes {
  list(): Promise<{ items: any[]; here: string; lost: number; counted_to: number }>;
  get(id: string): Promise<any>;
  change(id: string, wish: { slots: number }): Promise<any>;
  quiet(id: string): Promise<any>;
  resume(id: string): Promise<any>;
  stop(id: string): Promise<any>;
}

/** Base of everything the client throws. mayBeStored: whether the job may be stored, or the change made, all the same. */
export class ClientError extends Error {
  readonly jobId: string | null;
  readonly mayBeStored: boolean;
}

export interface Problem {
  code: string;
  detail: string;
  errors?: { pointer: string; detail: string }[];
  [member: string]: any;
}

/** The server said no. status: of HTTP; null if the fault was found here and nothing was sent. */
export class Refused extends ClientError {
  readonly status: number | null;
  readonly code: string;
  readonly detail: string;
  readonly faults: { pointer: string; detail: string }[];
  readonly problem: Problem;
}

export class Invalid extends Refused {}
export class Denied extends Refused {}
export class NotFound extends Refused {}
export class Conflict extends Refused {}
export class CursorExpired extends Refused {}

export class Unavailable extends ClientError {
  readonly refusal: { status: number; problem: Problem } | null;
}

export class Unexpected extends ClientError {}
export class Closed extends ClientError {}

export class NotFinal extends ClientError {
  readonly job: Job;
}

export class NotEnded extends ClientError {
  readonly operation: Operation;
}

/** A JSON text that stays as it is, to the letter: what `get` with `exact` has, and what may be given for a payload. */
export class Source {
  constructor(text: string);
  readonly text: string;
}

/** Return the value of a JSON text; whole numbers beyond ±(2**53 - 1) as BigInt. */
export function parse(text: string): any;
/** Return the texts of which a JSON text is made, without the space between them. */
export function tokens(text: string): string[];
/** Return the JSON of a value, BigInts as numbers and Sources as they are. */
export function stringify(value: unknown): string;
