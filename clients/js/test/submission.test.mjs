// A job is never stored twice and never lost in silence: lost answers, refusals, time-outs.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, ClientError, Closed, Conflict, Invalid, Unavailable, Unexpected } from "../client.mjs";
import { behave, cut, problem, say, Standin, still, storeAndCut } from "./standin.mjs";

/** Run `body` with a stand-in and a client of it. */
const at = (options, script, body) => async () => {
  const server = await Standin.start(...script);
  const client = new Client(server.url, options);
  try {
    await body(client, server);
  } finally {
    client.close();
    await server.stop();
  }
};

test(
  "a lost answer brings the same job again",
  at({}, [storeAndCut, storeAndCut], async (client, server) => {
    const stored = await client.submit("a", { n: 1 });
    assert.deepEqual([...server.stored.keys()], [stored.id]);
    assert.equal(server.seen.length, 3);
    assert.ok(stored.replayed);
    assert.equal(new Set(server.seen.map((one) => one.text)).size, 1, "the same bytes each time");
  }),
);

test(
  "jobs that are handed in at once travel together, and a lost batch is sent again",
  at({}, [cut, storeAndCut, say(503, "later", {}, { outcome_unknown: true })], async (client, server) => {
    const stored = await Promise.all(Array.from({ length: 50 }, (_, n) => client.submit("a", { n })));
    assert.deepEqual(new Set(stored.map((one) => one.id)), new Set(server.stored.keys()));
    assert.deepEqual(server.seen.map((one) => one.jobs.length).slice(-2), [50, 50]);
    assert.ok(stored.every((one) => one.replayed));
  }),
);

test(
  "some of a batch are put off and come again",
  at({}, [putOffHalf], async (client, server) => {
    const stored = await client.submitMany(Array.from({ length: 10 }, (_, n) => ({ type: "a", payload: n })));
    assert.deepEqual(stored.map((one) => server.stored.get(one.id).payload), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.deepEqual(server.seen.map((one) => one.jobs.length), [10, 5]);
  }),
);

function putOffHalf(server, { jobs }) {
  const even = server.store(jobs.filter((_, at) => at % 2 === 0));
  const results = jobs.map((_, index) =>
    index % 2 ? { index, status: 429, error: problem(429, "overloaded") } : { ...even[index / 2], index },
  );
  return [200, { results }];
}

test(
  "one wrong job of many is told alone, where the server refuses the whole for it, too",
  at({}, [say(413, "too_large"), behave], async (client) => {
    const results = await client.submitMany([{ type: "a" }, { type: "wrong" }, { type: "b" }]);
    assert.deepEqual(results.map((one) => one instanceof Invalid), [false, true, false]);
    assert.equal(results[1].mayBeStored, false);
    assert.match(results[1].message, /was not stored/);
  }),
);

test(
  "what is no job is told in its place, and hides no other",
  at({}, [], async (client, server) => {
    for (const odd of [null, undefined, 5, "report", ["report"]]) {
      const [first, second, third] = await client.submitMany([{ type: "a" }, odd, { type: "b" }]);
      assert.ok(second instanceof Invalid);
      assert.deepEqual([first, third].map((one) => server.stored.get(one.id).type), ["a", "b"]);
    }
  }),
);

test(
  "Retry-After is honoured",
  at({}, [say(429, "overloaded", { "retry-after": "1" })], async (client, server) => {
    const began = performance.now();
    await client.submit("a");
    assert.ok(performance.now() - began >= 1000);
    assert.equal(server.seen.length, 2);
  }),
);

const later = say(503, "store_unavailable");
const tooLate = say(503, "store_unavailable", { "retry-after": "60" });

test(
  "when the next try would come too late it says at once that the job was not stored",
  at({ totalS: 10 }, [later, tooLate], async (client, server) => {
    const began = performance.now();
    await assert.rejects(client.submit("a"), (error) => {
      assert.ok(error instanceof Unavailable);
      assert.equal(error.jobId, server.seen[0].jobs[0].id);
      assert.equal(error.mayBeStored, false);
      assert.equal(error.refusal.status, 503);
      assert.match(error.message, /\(store_unavailable\)/);
      return true;
    });
    assert.ok(performance.now() - began < 5000);
  }),
);

test(
  "or that this is not known",
  at({ totalS: 10 }, [storeAndCut, tooLate], async (client, server) => {
    await assert.rejects(client.submit("a"), (error) => error.mayBeStored && server.stored.has(error.jobId));
  }),
);

test(
  "a server that never answers",
  at({ totalS: 0.5 }, [still], async (client) => {
    await assert.rejects(client.submit("a"), (error) => error instanceof Unavailable && error.mayBeStored);
  }),
);

test("nobody there", async () => {
  const server = await Standin.start();
  await server.stop();
  const client = new Client(server.url, { totalS: 1 });
  await assert.rejects(client.submit("a"), (error) => error instanceof Unavailable && !error.mayBeStored);
  await assert.rejects(client.get("x"), /GET \/jobs\/x/);
});

test(
  "something else is there",
  at({}, [(_, __, response) => void response.writeHead(200).end("<h1>hello</h1>")], async (client) => {
    await assert.rejects(client.submit("a"), (error) => error instanceof Unexpected && error.mayBeStored);
  }),
);

test(
  "a duplicate after a lost answer is ours; with an id of the caller's it is a conflict",
  at({}, [cut, say(409, "duplicate_job")], async (client, server) => {
    assert.ok((await client.submit("a")).replayed);
    server.script.push(cut, say(409, "duplicate_job"));
    const id = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c";
    await assert.rejects(client.submit("a", null, { id }), (error) => error instanceof Conflict && error.mayBeStored);
  }),
);

test(
  "who closes is told of what is under way, and what waits",
  at({}, [still, still], async (client) => {
    const first = client.submit("a");
    const second = client.submit("b");
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.close();
    for (const one of [first, second]) await assert.rejects(one, (error) => error instanceof Closed && error.mayBeStored);
    await assert.rejects(client.submit("c"), (error) => error instanceof Closed && !error.mayBeStored);
  }),
);

test(
  "whole numbers are exact both ways, and what JSON cannot say is found before anything is sent",
  at({}, [], async (client, server) => {
    const n = 123456789012345678901234567890n;
    const text = 'a \\ "quoted" 12345678901234567890';
    await client.submit("a", { n, small: 7n, text, list: [2 ** 53 - 1, -n] });
    assert.match(server.seen[0].text, /"n":123456789012345678901234567890,"small":7,/);
    for (const payload of [{ x: NaN }, { x: Infinity }])
      await assert.rejects(client.submit("a", payload), (error) => error instanceof Invalid && !error.mayBeStored);
    assert.equal(server.seen.length, 1);
    server.script.push((_, __, response) => void response.writeHead(200).end(server.seen[0].text));
    assert.deepEqual((await client.get("x")).payload, { n, small: 7, text, list: [2 ** 53 - 1, -n] });
  }),
);

test(
  "`prepare` sees each job before it goes, and `undefined` is nothing said",
  at({ prepare: (job) => (job.queue ??= "mine") }, [], async (client, server) => {
    await client.submit("a", undefined, { delay: undefined, queue: null });
    assert.deepEqual(Object.keys(server.seen[0].body), ["type", "queue", "id"]);
  }),
);

test(
  "submitMany reads no faster than jobs are stored, from any iterable",
  at({}, [], async (client, server) => {
    let ahead = 0;
    async function* jobs() {
      for (let n = 0; n < 6000; n++) {
        ahead = Math.max(ahead, n - server.stored.size);
        yield { type: "a", payload: n };
      }
    }
    const stored = await client.submitMany(jobs());
    assert.deepEqual(stored.map((one) => server.stored.get(one.id).payload), Array.from({ length: 6000 }, (_, n) => n));
    assert.ok(ahead <= 2000, `it was ${ahead} ahead`);
    assert.ok(!stored.some((one) => one instanceof ClientError));
  }),
);
