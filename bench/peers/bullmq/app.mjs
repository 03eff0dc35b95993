// What a user of BullMQ would write: a worker, and a program that submits to it.

import { createRequire } from "node:module";
import { mark } from "../marks.mjs";
import { chunks, serve } from "../producer.mjs";

const { Queue, Worker } = createRequire(`${process.env.PEERS_MODULES}/`)("bullmq");
const { hostname: host, port } = new URL(process.env.PEERS_REDIS);
const connection = { host, port: Number(port) };
const job = { name: "noop", data: { to: "a@b.c", body: "hello world" } };

if (process.argv[2] === "worker") {
  const worker = new Worker("peers", async () => mark(), { connection, concurrency: 50 });
  process.on("SIGTERM", () => worker.close().then(() => process.exit(0)));
} else {
  const queue = new Queue("peers", { connection, defaultJobOptions: { removeOnComplete: true } });
  await queue.waitUntilReady();
  await serve({
    many: async (count) => {
      for (const size of chunks(count)) await queue.addBulk(Array(size).fill(job));
    },
    one: () => queue.add(job.name, job.data),
  });
}
