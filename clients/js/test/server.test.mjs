// Each call on a real server, whose URL is in TICKR_TEST_URL; without it nothing is tested here.
//
// With TICKR_TEST_PATIENCE_S the server is killed again and again meanwhile and comes back, within so many seconds: then,
// too, no call fails but those that are not repeated where a first try may have done it, and those whose second try is
// refused as the first has done it. `settled` is what a user does about these.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Client, ClientError, Conflict, Invalid, NotFinal, NotFound, Source } from "../client.mjs";

const url = process.env.TICKR_TEST_URL;
const killed = "TICKR_TEST_PATIENCE_S" in process.env;
const timeoutS = Number(process.env.TICKR_TEST_PATIENCE_S ?? 60);
const skip = url ? false : "TICKR_TEST_URL names no server";
const CALM_ONLY = killed ? "the node is another one after each kill" : skip;

let client;
before(() => (client = new Client(url, { totalS: timeoutS })));
after(() => client.close());

/** Return what `call` does, or, where its answer was lost, what `look` sees, if that has changed since. */
async function settled(call, look) {
  const seen = JSON.stringify(await look(), (_, value) => (typeof value === "bigint" ? String(value) : value));
  for (;;)
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof ClientError) || !error.mayBeStored) throw error;
      const now = await look();
      if (JSON.stringify(now, (_, value) => (typeof value === "bigint" ? String(value) : value)) !== seen) return now;
    }
}

/** Return `look` as one that sees null where there is nothing. */
const there = (look) => () =>
  look().catch((error) => {
    if (error instanceof NotFound) return null;
    throw error;
  });

const newQueue = () => `js-${crypto.randomUUID()}`;
const waiting = (queue, payload, more) =>
  client.submit("report", payload, { delay: 3600, queue, labels: { by: "js" }, ...more });
const job = (one) => there(() => client.get(one));
const edit = (one, changes) => settled(() => client.edit(one, changes), job(one));
const retry = (one, changes) => settled(() => client.retry(one, changes), job(one));
const ended = async (one) => {
  for (;;) {
    const seen = await client.wait(one, { timeoutS });
    if (seen.error?.kind !== "crashed") return seen;
    await retry(one, {}); // it was lost with its node too often
  }
};
const remove = (one, options) => settled(() => client.delete(one, options), job(one));
const schedule = (name) => there(() => client.schedules.get(name));

test("a job is submitted, changed, waited for, and run again", { skip }, async () => {
  const queue = newQueue();
  const stored = await waiting(queue, { customer: 7, exact: 2n ** 70n });
  assert.equal((await client.get(stored)).payload.exact, 2n ** 70n);
  assert.equal((await edit(stored, { priority: 1, version: 1 })).priority, 1);
  assert.equal((await client.explain(stored)).state, "scheduled");
  await assert.rejects(client.wait(stored, { timeoutS: 0.1 }), NotFinal);
  assert.equal((await edit(stored, { payload: { time: 0 }, delay: 0 })).id, stored.id);
  assert.equal((await ended(stored)).state, "succeeded");
  assert.ok((await client.attempts(stored)).items.length >= 1);
  assert.deepEqual((await client.log(stored)).items, []);
  assert.equal((await client.tree(stored)).tree.id, stored.id);
  assert.equal((await retry(stored, { delay: 3600 })).state, "scheduled");
  assert.equal((await client.cancel(stored, { reason: "enough" })).error.message, "Cancelled on request: enough");
  await remove(stored);
  await assert.rejects(client.get(stored), NotFound);
});

test("what is written is kept to the letter", { skip }, async () => {
  const written = '{"price": -0.10, "many": [12345678901234567890, 1e2], "text": "a \\"}, \\u00e9"}';
  const kept = await waiting(newQueue(), new Source(written), { labels: { payload: "{" } });
  const exact = await client.get(kept, { exact: true });
  assert.deepEqual([exact.payload.text, exact.result, exact.labels], [written, null, { payload: "{" }]);
  assert.equal((await client.edit(kept, { payload: new Source("[1.0]") })).payload[0], 1);
  assert.equal((await client.get(kept, { exact: true })).payload.text, "[1.0]");
});

test("each of hundreds, from many callers and in one call, is stored once", { skip }, async () => {
  const queue = newQueue();
  const alone = Array.from({ length: 100 }, (_, n) => waiting(queue, { n }));
  const many = client.submitMany(Array.from({ length: 300 }, (_, n) => ({ type: "report", queue, delay: 3600, payload: { n: 100 + n } })));
  const ids = [...(await Promise.all(alone)), ...(await many)].map((one) => one.id);
  const jobs = await client.list({ queue }).all();
  assert.equal(new Set(ids).size, 400);
  assert.deepEqual(jobs.map((one) => one.id).sort(), ids.toSorted());
  assert.deepEqual(jobs.map((one) => one.payload.n).sort((a, b) => a - b), [...ids.keys()]);
});

test("lists are read page by page, and searched", { skip }, async () => {
  const queue = newQueue();
  const first = await waiting(queue, { customer: 7, exact: 1 });
  const last = await waiting(`${queue}-2`, { customer: 8 });
  const page = await client.page({ queue: [queue, `${queue}-2`], limit: 1 });
  assert.deepEqual([page.items.length, page.items[0].id], [1, last.id]);
  const second = await client.page({ queue: [queue, `${queue}-2`], limit: 1, cursor: page.next_cursor });
  assert.equal(second.items[0].id, first.id);
  for (const [filters, count] of [
    [{ payload: { customer: 7 }, label: { by: "js" } }, 1],
    [{ payload: { customer: [8, 9] } }, 0],
    [{ contains: ["customer", "exact"] }, 1],
    [{ schedule: "none" }, 0],
    [{ parent: first }, 0],
  ]) {
    assert.equal((await client.list({ queue, ...filters }).all()).length, count);
    assert.equal((await client.operations.look("edit", { queue, ...filters })).total, count);
  }
  assert.equal((await client.deadLetters({ queue })).total, 0);
});

test("each event is told once, in order", { skip }, async () => {
  const queue = newQueue();
  const events = client.events({ queue, event: "created" });
  const heard = (async () => {
    const ids = [];
    for await (const event of events) {
      ids.push(event.job.id);
      if (event.job.type === "last") return ids;
    }
  })();
  await events.opened;
  const stored = [];
  for (let n = 0; n < 30; n++) stored.push((await waiting(queue, { n })).id);
  stored.push((await client.submit("last", {}, { queue, delay: 3600 })).id);
  assert.deepEqual(await heard, stored);
});

test("operations change, retry, cancel and delete all that match", { skip }, async () => {
  const queue = newQueue();
  const one = await waiting(queue, { customer: 7 });
  const done = async (operation) => (await client.operations.wait(operation, { timeoutS })).done;
  assert.equal(await done(await client.operations.edit({ queue, payload: { customer: 7 } }, { changes: { priority: 1 } })), 1);
  assert.equal((await client.get(one)).priority, 1);
  assert.equal(await done(await client.operations.cancel({ queue }, { reason: "all" })), 1);
  assert.equal(await done(await client.operations.retry({ ids: [one] }, { changes: { delay: 3600 } })), 0, "it was cancelled");
  assert.equal(await done(await client.operations.retry({ queue, state: "cancelled" }, { changes: { delay: 3600 } })), 1);
  const begun = await client.operations.cancel({ queue, type: "none" });
  assert.equal((await client.operations.stop(begun)).id, begun.id);
  assert.equal((await client.operations.get(begun)).id, begun.id);
  assert.ok((await client.operations.list({ limit: 3 })).length === 3);
  assert.equal(await done(await client.operations.delete({ queue, state: "scheduled" })), 1);
  await assert.rejects(client.get(one), NotFound);
});

test("queues are paused, limited, put in order, emptied and taken away", { skip }, async () => {
  const queue = newQueue();
  const seen = there(() => client.queues.get(queue));
  assert.ok((await settled(() => client.queues.pause(queue, { forS: 3600 }), seen)).paused_until);
  assert.equal((await client.queues.resume(queue)).paused, false);
  assert.equal((await client.queues.limit(queue, { max_running: 3 })).max_running, 3);
  assert.equal((await client.queues.order(queue, "newest")).order, "newest");
  assert.equal((await client.queues.get(queue)).name, queue);
  assert.ok((await client.queues.list()).some((one) => one.name === queue));
  await waiting(queue, {});
  assert.equal((await client.operations.wait(await client.queues.empty(queue, { delete: true }), { timeoutS })).done, 1);
  await settled(() => client.queues.delete(queue), seen);
  assert.equal(await seen(), null);
});

test("marks and statistics", { skip }, async () => {
  const mark = await client.marks.add("v1", { at: new Date("2020-01-31T12:00:00Z") });
  assert.ok((await client.marks.list({ until: "2020-02-01T00:00:00Z" })).some((one) => one.id === mark.id));
  const days = { step: "day", since: new Date("2020-01-31T00:00:00Z"), until: "2020-02-01T00:00:00Z" };
  const done = await client.statistics({ ...days, queue: newQueue(), by: "type" });
  assert.equal(done.series[0].total.created, 0);
  assert.ok(done.marks.some((one) => one.text === "v1"));
  await settled(() => client.marks.delete(mark), () => client.marks.list());
  assert.ok(!(await client.marks.list()).some((one) => one.id === mark.id));
});

test("nodes are told what to do, and broadcasts reach them", { skip: CALM_ONLY }, async () => {
  const told = await client.broadcast("report", { title: "to all" }, { expires_in: 60 });
  assert.equal(told.items.length, 1);
  const { items: nodes, here } = await client.nodes.list();
  assert.equal((await client.nodes.get(nodes[0].id)).id, here);
  assert.equal((await client.nodes.change("self", { slots: nodes[0].slots })).slots, nodes[0].slots);
  await client.nodes.quiet("self");
  await client.nodes.resume("self");
});

test("schedules are put, paused, resumed, run and taken away", { skip }, async () => {
  const [name, second] = [newQueue(), newQueue()];
  const job = { type: "report", payload: { time: 0 } };
  await client.schedules.put(name, { every: 3600, job });
  assert.equal((await client.schedules.get(name, { ticks: 3 })).next.length, 3);
  const template = (more = "") => new Source(`{"type": "report", "payload": {"share": 1.0}${more}}`);
  const putNew = (one, job) => settled(() => client.schedules.put(one, { every: 3600, job }, { onlyNew: true }), schedule(one));
  await assert.rejects(putNew(name, template()), Conflict);
  await assert.rejects(putNew(second, template(', "delay": 1')), Invalid);
  await putNew(second, template());
  const { job: lettered } = await client.schedules.get(second, { exact: true });
  assert.equal(lettered.text.replaceAll(" ", ""), template().text.replaceAll(" ", ""));
  await settled(() => client.schedules.delete(second), schedule(second));
  assert.ok((await client.schedules.list()).some((one) => one.name === name));
  assert.equal((await client.schedules.pause(name)).paused, true);
  assert.equal((await settled(() => client.schedules.resume(name, { version: 2 }), schedule(name))).paused, false);
  const newest = async () => (await client.page({ schedule: name, limit: 1 })).items[0]?.id ?? null;
  const made = await settled(() => client.schedules.run(name), newest);
  assert.equal((await ended(made)).schedule.name, name);
  assert.deepEqual((await client.list({ schedule: name }).all()).length, 1);
  await settled(() => client.schedules.delete(name), schedule(name));
  assert.equal(await schedule(name)(), null);
});
