// Calls each method of the client once, on a real server, and looks at what comes back.

import assert from "node:assert/strict";

import { Client, Conflict, Invalid, NotFound, Source } from "../../clients/js/client.mjs";

const client = new Client(process.argv[2]);
const queue = `js-${crypto.randomUUID()}`;
const waiting = (payload) => client.submit("report", payload, { delay: 3600, queue, labels: { by: "js" } });

const job = await waiting({ customer: 7, exact: 2n ** 70n });
assert.equal((await client.get(job)).payload.exact, 2n ** 70n);
assert.equal((await client.edit(job, { priority: 1, version: 1 })).priority, 1);
const written = '{"price": -0.10, "many": [12345678901234567890, 1e2], "text": "a \\"}, \\u00e9"}';
const kept = await client.submit("report", new Source(written), { delay: 3600, queue: `${queue}-exact`, labels: { payload: "{" } });
const exact = await client.get(kept, { exact: true });
assert.deepEqual([exact.payload.text, exact.result, exact.labels], [written, null, { payload: "{" }]);
assert.equal((await client.edit(kept, { payload: new Source("[1.0]") })).payload[0], 1);
assert.equal((await client.get(kept, { exact: true })).payload.text, "[1.0]");
const first = await client.page({ queue: [queue, `${queue}-exact`], limit: 1 });
assert.deepEqual([first.items.length, first.items[0].id], [1, kept.id]);
const second = await client.page({ queue: [queue, `${queue}-exact`], limit: 1, cursor: first.next_cursor });
assert.equal(second.items[0].id, job.id);
assert.equal((await client.explain(job)).state, "scheduled");
for (const [filters, count] of [
  [{ payload: { customer: 7 }, label: { by: "js" } }, 1],
  [{ payload: { customer: [8, 9] } }, 0],
  [{ contains: ["customer", "exact"] }, 1],
]) {
  assert.equal((await client.list({ queue, ...filters }).all()).length, count);
  assert.equal((await client.operations.look("edit", { queue, ...filters })).total, count);
}
const edited = await client.operations.edit({ queue, payload: { customer: 7 } }, { changes: { payload: {}, delay: 0 } });
assert.equal((await client.operations.wait(edited, { timeoutS: 30 })).done, 1);
assert.equal((await client.wait(job, { timeoutS: 30 })).state, "succeeded");
assert.equal((await client.attempts(job)).items.length, 1);
assert.deepEqual((await client.log(job)).items, []);
assert.equal((await client.tree(job)).tree.id, job.id);
assert.equal((await client.deadLetters({ queue })).total, 0);

const again = await client.retry(job, { delay: 3600 });
assert.equal(again.state, "scheduled");
assert.equal((await client.cancel(job, { reason: "enough" })).error.message, "Cancelled on request: enough");
await client.operations.wait(await client.operations.retry({ ids: [job] }, { changes: { delay: 3600 } }));
await client.operations.wait(await client.operations.cancel({ queue }, { reason: "all" }));
await client.operations.stop(await client.operations.retry({ ids: [job], state: "failed" }));
assert.ok((await client.operations.list({ limit: 3 })).length === 3);
assert.equal(await client.delete(job), null);
await assert.rejects(client.get(job), NotFound);

assert.ok((await client.queues.pause(queue, { forS: 60 })).paused_until);
assert.equal((await client.queues.resume(queue)).paused, false);
assert.equal((await client.queues.limit(queue, { max_running: 3 })).max_running, 3);
assert.equal((await client.queues.order(queue, "newest")).order, "newest");
assert.equal((await client.queues.get(queue)).name, queue);
assert.ok((await client.queues.list()).some((one) => one.name === queue));
await waiting({});
assert.equal((await client.operations.wait(await client.queues.empty(queue, { delete: true }))).done, 1);
assert.equal(await client.queues.delete(queue), null);

const mark = await client.marks.add("v1", { at: new Date("2020-01-31T12:00:00Z") });
assert.ok((await client.marks.list({ until: "2020-02-01T00:00:00Z" })).some((one) => one.id === mark.id));
const done = await client.statistics({ step: "day", since: new Date("2020-01-31T00:00:00Z"), until: "2020-02-01T00:00:00Z", queue, by: "type" });
assert.equal(done.series[0].total.created, 0);
assert.ok(done.marks.some((one) => one.text === "v1"));
assert.equal(await client.marks.delete(mark), null);

const told = await client.broadcast("report", { title: "to all" }, { expires_in: 60 });
assert.equal(told.items.length, 1);
const { items: nodes, here } = await client.nodes.list();
assert.equal((await client.nodes.get(nodes[0].id)).id, here);
assert.equal((await client.nodes.change("self", { slots: nodes[0].slots })).slots, nodes[0].slots);
await client.nodes.quiet("self");
await client.nodes.resume("self");

await client.schedules.put(queue, { every: 3600, job: { type: "report", payload: {} } });
assert.equal((await client.schedules.get(queue, { ticks: 3 })).next.length, 3);
const template = (more = "") => new Source(`{"type": "report", "payload": {"share": 1.0}${more}}`);
await assert.rejects(client.schedules.put(queue, { every: 60, job: template() }, { onlyNew: true }), Conflict);
await assert.rejects(client.schedules.put(`${queue}-2`, { every: 60, job: template(', "delay": 1') }, { onlyNew: true }), Invalid);
await client.schedules.put(`${queue}-2`, { every: 3600, job: template() }, { onlyNew: true });
const { job: lettered } = await client.schedules.get(`${queue}-2`, { exact: true });
assert.equal(lettered.text.replaceAll(" ", ""), template().text.replaceAll(" ", ""));
await client.schedules.delete(`${queue}-2`);
assert.ok((await client.schedules.list()).some((one) => one.name === queue));
assert.equal((await client.schedules.pause(queue)).paused, true);
assert.equal((await client.schedules.resume(queue, { version: 2 })).paused, false);
assert.equal((await client.wait(await client.schedules.run(queue), { timeoutS: 30 })).schedule.name, queue);
assert.equal(await client.schedules.delete(queue), null);
client.close();
console.log("done");
