// Handlers that write what they do into the ledger of tests/faults, as those of tests/faults/ledger.py do.

import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

function marked(handler) {
  return async (job, context) => {
    const mark = (what) => {
      const { id, fence, attempt, payload } = job;
      const line = { job: id, number: payload.number, fence, attempt, what, at: Date.now() * 1000, pid: process.pid };
      appendFileSync(process.env.LEDGER, JSON.stringify(line) + "\n");
    };
    mark("start");
    try {
      const result = await handler(job, context);
      mark("done");
      return result;
    } catch (error) {
      mark(context.signal.aborted ? "cancelled" : "failed");
      throw error;
    }
  };
}

export default {
  quick: marked(async (job) => job.payload.number),
  slow: marked(async (job, { signal }) => {
    await sleep(1000 * job.payload.seconds, null, { signal });
    return job.payload.number;
  }),
  flaky: marked(async (job) => {
    if (job.attempt === 1) throw new Error("not yet");
    return job.payload.number;
  }),
};
