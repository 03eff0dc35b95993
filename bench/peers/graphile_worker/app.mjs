// What a user of graphile-worker would write: a worker, and a program that submits to it.

import { createRequire } from "node:module";
import { mark } from "../marks.mjs";
import { chunks, serve } from "../producer.mjs";

const { makeWorkerUtils, run, Logger } = createRequire(`${process.env.PEERS_MODULES}/`)("graphile-worker");
const connectionString = process.env.PEERS_POSTGRES;
const job = { identifier: "noop", payload: { to: "a@b.c", body: "hello world" } };

if (process.argv[2] === "worker") {
  // Without a line in the log for each job; errors are still told.
  const logger = new Logger(() => (level, message) => level === "error" && console.error(message));
  const worker = {
    connectionString,
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
    logger,
  };
  await run({ preset: { worker }, taskList: { noop: async () => mark() } });
} else {
  const utils = await makeWorkerUtils({ connectionString });
  if (process.argv[2] === "migrate") {
    await utils.migrate();
    await utils.release();
  } else {
    await serve({
      many: async (count) => {
        for (const size of chunks(count)) await utils.addJobs(Array(size).fill(job));
      },
      one: () => utils.addJob(job.identifier, job.payload),
    });
  }
}
