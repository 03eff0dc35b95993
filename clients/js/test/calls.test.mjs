// What is asked beside submitting: what may be repeated, waiting, lists, the feed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, Conflict, CursorExpired, Invalid, NotFinal, NotFound, Unavailable, Unexpected } from "../client.mjs";
import { cut, say, Standin } from "./standin.mjs";

const ID = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c";
const job = (state, more = {}) => ({ id: ID, state, ...more });
const answer = (document) => () => [200, document];

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
  "a cancellation is asked for again, a retry is not where it may have been done",
  at({}, [cut, answer(job("cancelled"))], async (client, server) => {
    assert.equal((await client.cancel(ID, { reason: "enough" })).state, "cancelled");
    assert.deepEqual(server.seen[1].body, { reason: "enough" });
    for (const call of [
      () => client.retry(ID),
      () => client.cancel(ID, { version: 3 }),
      () => client.nodes.stop("self"),
      () => client.nodes.change("self", { slots: 3 }),
    ]) {
      server.script.push(cut);
      await assert.rejects(call(), (error) => error instanceof Unavailable && error.mayBeStored);
    }
    assert.deepEqual([server.seen.length, server.seen[3].headers["if-match"]], [6, '"v3"']);
    server.script.push(say(503, "store_unavailable"), answer(job("ready")));
    assert.equal((await client.retry(ID, { payload: { n: 1 } })).state, "ready");
    assert.deepEqual(server.seen.at(-1).body, { payload: { n: 1 } });
  }),
);

test(
  "a refusal after a lost try may be of what that has done",
  at({}, [cut, say(409, "not_editable"), say(409, "not_editable"), cut], async (client, server) => {
    const conflict = (mayBeStored) => (error) => error instanceof Conflict && error.mayBeStored === mayBeStored;
    await assert.rejects(client.edit(ID, { delay: 0 }), conflict(true));
    await assert.rejects(client.edit(ID, { delay: 0 }), conflict(false));
    server.script.push(say(404, "job_not_found"));
    await assert.rejects(client.get(ID), (error) => error instanceof NotFound && !error.mayBeStored);
    assert.equal(server.seen.length, 5);
  }),
);

test(
  "a lost try is not forgotten over later ones that did nothing",
  at({ totalS: 1 }, [cut, ...Array(50).fill(say(503, "store_unavailable"))], async (client, server) => {
    await assert.rejects(client.cancel(ID), (error) => error instanceof Unavailable && error.mayBeStored);
    assert.ok(server.seen.length > 1);
  }),
);

test(
  "a queue is emptied by one operation, however often it is asked for",
  at({}, [cut, say(503, "store_unavailable"), answer({ id: "x" })], async (client, server) => {
    assert.equal((await client.queues.empty("q", { reason: "moved" })).id, "x");
    const bodies = server.seen.map((one) => one.text);
    assert.deepEqual([bodies.length, new Set(bodies).size], [3, 1]);
    assert.match(server.seen[0].body.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  }),
);

test(
  "waiting goes on until the job has ended, or the time is over",
  at({}, [answer(job("running")), cut, answer(job("succeeded", { result: 5 }))], async (client, server) => {
    assert.equal((await client.wait({ id: ID })).result, 5);
    assert.deepEqual(server.seen.map((one) => one.query.get("wait") > 0), [true, true, false], "after a loss it looks");
    server.script.push(...Array(100).fill(answer(job("running"))));
    await assert.rejects(client.wait(ID, { timeoutS: 0.3 }), (error) => error instanceof NotFinal && error.job.id === ID);
  }),
);

test(
  "a list is read page by page, as far as it is wanted",
  at({}, [], async (client, server) => {
    const page = (from, next) => () => [200, { items: [{ id: from }], next_cursor: next, feed_cursor: `f${from}` }];
    server.script.push(page(1, "c1"), page(2, "c2"), page(3, null));
    const payload = { "who.id": [7, 2n ** 70n] };
    const jobs = client.list({ state: ["failed", "cancelled"], label: { customer: "42" }, payload, created_after: new Date(0) });
    assert.deepEqual((await jobs.all()).map((one) => one.id), [1, 2, 3]);
    assert.equal(jobs.feedCursor, "f1");
    const { query } = server.seen[2];
    assert.deepEqual([query.getAll("state"), query.get("label"), query.get("cursor")], [["failed", "cancelled"], "customer=42", "c2"]);
    assert.equal(query.get("created_after"), "1970-01-01T00:00:00.000Z");
    assert.deepEqual(query.getAll("payload.who.id"), ["7", "1180591620717411303424"]);
  }),
);

test(
  "a refusal has its words and its faults",
  at({}, [say(404, "job_not_found", {}, { errors: [{ pointer: "/id", detail: "is none" }] })], async (client) => {
    await assert.rejects(client.get(ID), (error) => {
      assert.ok(error instanceof NotFound);
      assert.deepEqual([error.name, error.status, error.code], ["NotFound", 404, "job_not_found"]);
      assert.match(error.message, /\/id is none/);
      return true;
    });
  }),
);

test(
  "a token goes with every request",
  at({ token: "secret" }, [answer(job("ready"))], async (client, server) => {
    await client.get(ID);
    assert.equal(server.seen[0].headers.authorization, "Bearer secret");
  }),
);

test(
  "no name leads to another call than the one that is meant",
  at({}, [], async (client, server) => {
    for (const name of ["", ".", "..", "a/b", "../jobs", "a%2Fb/.."])
      for (const call of [
        () => client.get(name),
        () => client.cancel({ id: name }),
        () => client.queues.pause(name),
        () => client.schedules.run(name),
        () => client.operations.stop(name),
        () => client.nodes.stop(name),
        () => client.marks.delete(name),
      ])
        await assert.rejects(call(), (error) => error instanceof Invalid && error.status === null && /is no name/.test(error.message));
    assert.deepEqual(server.seen, []);
    for (const name of ["...", "a%2fb", "\ud800", "a b?#"]) {
      server.script.push(say(404, "queue_not_found"));
      await assert.rejects(client.queues.get(name), NotFound);
    }
    assert.deepEqual(
      server.seen.map((one) => one.path),
      ["/queues/...", "/queues/a%252fb", "/queues/%EF%BF%BD", "/queues/a%20b%3F%23"],
    );
  }),
);

test(
  "a token that cannot be sent is told as such, by each call",
  at({ token: "p\u00e4ssw\u00f6rd-\u20ac" }, [], async (client, server) => {
    const wrong = (error) => error instanceof Invalid && /token must be printable ASCII/.test(error.message);
    await assert.rejects(client.get(ID), wrong);
    await assert.rejects(client.submit("a"), (error) => wrong(error) && !error.mayBeStored && /was not stored/.test(error.message));
    await assert.rejects(client.events()[Symbol.asyncIterator]().next(), wrong);
    assert.ok(wrong((await client.submitMany([{ type: "a" }]))[0]));
    assert.deepEqual(server.seen, []);
  }),
);

// -- the feed ---------------------------------------------------------------------------------------------------------

const told = (n) => JSON.stringify({ id: `e${n}`, type: "tickr.job.created", data: { job: { id: `j${n}` } } });
const stream = (text, end = "end") => (_, __, response) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(text, () => end === "cut" && response.destroy());
  if (end === "end") response.end();
};
const message = (n) => `id: c.${n}\nevent: tickr.job.created\ndata: ${told(n)}\n\n`;

test(
  "a subscription comes back after its last cursor, and tells each event once",
  at({}, [], async (client, server) => {
    server.script.push(
      say(503, "store_unavailable"),
      stream(`retry: 1000\nid: c.0\n\n${message(1)}${message(2)}id: c.3\nevent: tickr.job.created\nda`, "cut"),
      cut,
      stream(`${message(2)}${message(3).replaceAll("\n", "\r\n")}${message(4)}`, "open"),
    );
    const [events, heard] = [client.events({ queue: ["a", "b"], job: { id: ID } }), []];
    for await (const event of events) {
      heard.push([event.what, event.job.id, event.cursor]);
      if (heard.length === 4) break;
    }
    assert.deepEqual(heard, [1, 2, 3, 4].map((n) => ["created", `j${n}`, `c.${n}`]));
    assert.equal(events.cursor, "c.4");
    await events.opened;
    assert.deepEqual(server.seen.map((one) => one.query.get("after")), [null, null, "c.2", "c.2"]);
    assert.deepEqual(server.seen[0].query.getAll("queue"), ["a", "b"]);
    assert.equal(server.seen[0].query.get("job"), ID);
  }),
);

test(
  "a subscription that cannot go on says why",
  at({}, [say(410, "cursor_expired")], async (client) => {
    const events = client.events({ after: "old.1" });
    await assert.rejects(events[Symbol.asyncIterator]().next(), (error) => error instanceof CursorExpired && /feedCursor/.test(error.message));
    await assert.rejects(events.opened, CursorExpired);
  }),
);

test(
  "what is no event ends it",
  at({}, [stream("id: c.1\nevent: tickr.job.created\ndata: {\n\n")], async (client) => {
    await assert.rejects(client.events()[Symbol.asyncIterator]().next(), Unexpected);
  }),
);

test(
  "a feed that never opens is given up",
  at({ totalS: 0.3 }, Array(50).fill(say(503, "store_unavailable")), async (client) => {
    await assert.rejects(client.events()[Symbol.asyncIterator]().next(), Unavailable);
  }),
);

test(
  "closing the client ends a subscription without a word",
  at({}, [stream(message(1), "open")], async (client) => {
    let count = 0;
    for await (const _ of client.events()) if (++count === 1) setTimeout(() => client.close(), 20);
    assert.equal(count, 1);
  }),
);
