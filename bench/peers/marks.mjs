// Marks, as marks.py makes them: 16 bytes for each job that starts, its instant (CLOCK_MONOTONIC, ns) and its process.

import { openSync, writeSync } from "node:fs";

const record = Buffer.alloc(16);
record.writeBigInt64LE(BigInt(process.pid), 8);
let file;

export function mark() {
  file ??= openSync(process.env.PEERS_MARKS, "a");
  record.writeBigInt64LE(process.hrtime.bigint(), 0);
  writeSync(file, record);
}
