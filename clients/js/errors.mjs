// What can go wrong for a program that asks a Tickr. Whose turn it is can be read from the branch:
//
//   ClientError (jobId, mayBeStored)
//   ├── Refused (status, code, detail, faults)   the server said no
//   │   ├── Invalid                              the job or the question is wrong: 400, 413, 415, 422 …
//   │   ├── Denied                               no token, a wrong one, or not allowed: 401, 403, 421
//   │   ├── NotFound                             404
//   │   ├── Conflict                             409, 412
//   │   └── CursorExpired                        410: list the jobs again, then listen after the list's cursor
//   ├── Unavailable (refusal)                    nobody answered in the whole time, or only "later"
//   ├── Unexpected                               what answers there is not Tickr
//   ├── NotFinal (job), NotEnded (operation)     the time for waiting is over
//   └── Closed                                   the client was closed

export class ClientError extends Error {
  /** jobId: of a submission. mayBeStored: whether the job may be stored, or the change made, all the same. */
  constructor(message, { jobId = null, mayBeStored = false } = {}) {
    super(jobId === null ? message : `${message}\n${fate(jobId, mayBeStored)}`);
    this.name = new.target.name;
    this.jobId = jobId;
    this.mayBeStored = mayBeStored;
  }
}

function fate(jobId, mayBeStored) {
  if (!mayBeStored) return `Job ${jobId} was not stored.`;
  return `Whether job ${jobId} is stored is not known: submit it again with this id, or look for it.`;
}

export class Refused extends ClientError {
  /** refusal: {status, problem}; problem is what the server said. */
  constructor({ status, problem }, about) {
    const faults = problem.errors ?? [];
    const told = faults.map((one) => `\n  ${one.pointer || "the body"} ${one.detail}`).join("");
    super(`${problem.detail} (${problem.code})${told}`, about);
    Object.assign(this, { status, code: problem.code, detail: problem.detail, faults, problem });
  }
}

export class Invalid extends Refused {}
export class Denied extends Refused {}
export class NotFound extends Refused {}
export class Conflict extends Refused {}
export class CursorExpired extends Refused {}

export class Unavailable extends ClientError {
  /** refusal: the last answer that said "later", or null. */
  constructor(message, refusal = null, about) {
    super(message, about);
    this.refusal = refusal;
  }
}

export class Unexpected extends ClientError {}
export class Closed extends ClientError {}

export class NotFinal extends ClientError {
  constructor(job) {
    super(`Job ${job.id} is still ${job.state}; the time for waiting is over.`);
    this.job = job;
  }
}

export class NotEnded extends ClientError {
  constructor(operation) {
    super(`Operation ${operation.id} is still ${operation.state}; the time for waiting is over.`);
    this.operation = operation;
  }
}

const KINDS = new Map([
  ...[400, 408, 413, 414, 415, 422, 431].map((status) => [status, Invalid]),
  ...[401, 403, 421].map((status) => [status, Denied]),
  [404, NotFound],
  [409, Conflict],
  [412, Conflict],
  [410, CursorExpired],
]);

/** Return the error that an answer of the server is. */
export function refused(refusal, about) {
  return new (KINDS.get(refusal.status) ?? Refused)(refusal, about);
}

/** Return the error for what is wrong already here; nothing was sent. */
export function foundHere(detail, about) {
  return new Invalid({ status: null, problem: { code: "invalid_request", detail } }, about);
}
