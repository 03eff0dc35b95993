// Types of worker.mjs. Whole numbers beyond ±(2**53 - 1) are BigInts.

/** A job as its handler gets it: the document of the API, with the fence of this attempt. */
export interface LeasedJob {
  id: string;
  type: string;
  queue: string;
  payload: any;
  attempt: number;
  fence: number;
  /** Seconds that this attempt may take. */
  timeout: number;
  [field: string]: any;
}

export interface Context {
  /** Aborts when the job is to stop; its reason is "cancelled", "timeout", "lost" or "shutdown". */
  signal: AbortSignal;
  /** Say how far the job is, from 0 to 1. */
  progress(fraction: number, message?: string | null, data?: any): void;
  /** Add a line to the job's log. */
  log(line: string): void;
  /** Have an event of the application's own told. */
  emit(name: string, data?: any): void;
}

/** Runs one attempt; what it returns is the result. */
export type Handler = (job: LeasedJob, context: Context) => unknown;

export interface WorkerOptions {
  /** Of a node, or of several that have the same store. */
  url: string | string[];
  /** By the type of job. */
  handlers: Record<string, Handler>;
  token?: string;
  /** Those to work on; none: all. */
  queues?: string[];
  /** How many jobs run at once; 4. */
  concurrency?: number;
  /** What people shall call the worker. */
  name?: string;
  /** How long a poll waits, in seconds; 20. */
  wait?: number;
  /** How long running jobs have after stop(), in seconds; 30. */
  grace?: number;
  /** Is told what happens; nobody, where it is left out. */
  log?: (line: string) => void;
}

export class Worker {
  constructor(options: WorkerOptions);
  /** Work until stop(); resolves when everything is reported and the lease is given back. */
  run(): Promise<void>;
  /** Take nothing more; what runs has `grace` seconds, then it is aborted and handed back. */
  stop(): void;
}

/** Run a worker until SIGTERM or Ctrl-C. */
export function work(options: WorkerOptions): Promise<void>;

/** Thrown by a handler: the job has failed for good. */
export class GiveUp extends Error {}
/** Thrown by a handler: there is nothing to be done any more, and that is no failure: the job is cancelled. */
export class Drop extends Error {}
/** Thrown by a handler: try again after so many seconds; it costs an attempt. */
export class RetryLater extends Error {
  constructor(seconds: number, message?: string);
  readonly seconds: number;
}
/** Thrown by a handler: nothing to do yet, look again after so many seconds (0.1 at least); it costs no attempt. */
export class Snooze extends Error {
  constructor(seconds: number, message?: string);
  readonly seconds: number;
}
