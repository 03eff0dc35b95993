// The load generator's side of the conversation, as producer.py holds it: one line on stdin, one JSON line on stdout.

import { createInterface } from "node:readline";

const say = (fields) => process.stdout.write(JSON.stringify(fields) + "\n");

// `many(count)` and `one()` submit; nanoseconds of CLOCK_MONOTONIC fit a number for a hundred days.
export async function serve({ many, one }) {
  say({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    const began = process.hrtime.bigint();
    const [what, count] = line.trim().split(" ");
    await (what === "many" ? many(Number(count)) : one());
    say({ began_ns: Number(began), ended_ns: Number(process.hrtime.bigint()) });
  }
}

export function* chunks(count) {
  const size = Number(process.env.PEERS_CHUNK);
  for (let done = 0; done < count; done += size) yield Math.min(size, count - done);
}
