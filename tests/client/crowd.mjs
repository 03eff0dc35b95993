// Submits so many jobs from so many callers at once, and says of each under which id it is stored: "<number> <id>".

import { Client } from "../../clients/js/client.mjs";

const [url, jobs, callers, delay, totalS] = process.argv.slice(2);
const client = new Client(url, { totalS: Number(totalS) });
let next = 0;

async function call() {
  while (next < Number(jobs)) {
    const n = next++;
    const { id } = await client.submit("later", { n }, { delay: Number(delay) });
    console.log(`${n} ${id}`);
  }
}

await Promise.all(Array.from({ length: Number(callers) }, call));
client.close();
