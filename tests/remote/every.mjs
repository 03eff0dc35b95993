// Handlers that end in every way in which one can.

import { Drop, GiveUp, RetryLater, Snooze } from "../../clients/js/worker.mjs";

const stopped = (signal) =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error(`stopped: ${signal.reason}`))));

export default {
  greet: async (job) => ({ hello: job.payload.name, attempt: job.attempt }),
  nothing: async () => {},
  echoes: async (job, { progress, emit }) => {
    progress(0.5, null, { n: job.payload.n });
    emit("seen", { n: job.payload.n });
    return job.payload;
  },
  talks: async (job, { progress, log, emit }) => {
    emit("made", { width: 200 });
    emit("done");
    log("first");
    progress(0.25, "a quarter", { rows: [1, 2] });
    log("second");
  },
  babbles: async (job, { progress, log }) => {
    progress(50, "x".repeat(100_000)); // of a hundred, it thinks
    for (let n = 1; n <= 50; n++) log(`${n}y\0\ud83d${"y".repeat(100_000)}`); // and half of a smile
    throw new Error("z".repeat(2_000_000));
  },
  throws: async () => {
    throw new TypeError("this went wrong");
  },
  gives_up: async () => {
    throw new GiveUp("no use");
  },
  drops: async () => {
    throw new Drop("not needed any more");
  },
  later: async (job) => {
    if (job.attempt === 1) throw new RetryLater(0.2);
    return job.attempt;
  },
  snoozes: async (job) => {
    if (job.fence < 3) throw new Snooze(0.1);
    return job.attempt;
  },
  not_json: async () => {
    const own = {};
    return Object.assign(own, { own });
  },
  too_long: async () => "x".repeat(2 * 1024 * 1024),
  back_in_time: async () => {
    throw new RetryLater(-5);
  },
  waits: async (job, { signal }) => stopped(signal),
};
