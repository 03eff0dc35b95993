// Listens to what is created, and writes the id of each job in a line; ends with a job of the type "last".

import { Client } from "../../clients/js/client.mjs";

const client = new Client(process.argv[2]);
const events = client.events({ event: "created" });
events.opened.then(() => console.log("open"));
for await (const event of events) {
  console.log(event.job.id);
  if (event.job.type === "last") break;
}
client.close();
