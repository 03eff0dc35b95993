// One queue: what waits and runs in it, why it may stand still, what was done in it, and what is done to it.

import { fill, h } from "./dom.mjs";
import { number } from "./format.mjs";
import { History } from "./history.mjs";
import { jobLink, when } from "./marks.mjs";
import { watch } from "./operations.mjs";
import { wayBack } from "./ordering.mjs";
import { actions, counted, limits, standing, WAITING } from "./queue.mjs";
import { address } from "./route.mjs";

const LOOKED_AT = 50; // jobs that are due, to see which types wait

export function open(page) {
  const [name] = page.path;
  const { client } = page;
  const [head, hints, tiles, emptying] = [h("div", { class: "head" }, h("h1", {}, name)), h("div"), h("div", { class: "tiles" }), h("div")];
  const [facts, chosen] = [h("section", { class: "card" }), new History(page, { fixed: { queue: name } })];
  fill(page.content, wayBack("queues", "Queues"), head, hints, tiles, facts, emptying, chosen.element);
  const look = watch(page, emptying, ({ filter }) => [filter?.queue ?? []].flat().includes(name));
  return page.follow({ queue: name }, async () => {
    const queue = await client.queues.get(name);
    const [fleet, running, due] = await Promise.all([
      client.nodes.list(),
      client.page({ queue: name, state: "running", limit: 5 }),
      queue.ready ? client.page({ queue: name, state: "ready", limit: LOOKED_AT }) : { items: [] },
    ]);
    fill(head, h("h1", {}, name), standing(queue), actions(client, queue, { more: true, done: look }));
    fill(hints, why(queue, fleet.items, due.items));
    fill(tiles, [...WAITING, "running"].map((state) => tile(queue, state)));
    fill(facts, said(queue, fleet.items, running.items));
    await chosen.load();
  });
}

const tile = (queue, state) =>
  h("a", { class: "tile", href: address(["jobs"], { queue: queue.name, state }) }, h("b", {}, counted(queue, state)), h("span", {}, state));

const takes = ({ roles, kind, queues }, name) => (kind === "remote" || roles.includes("worker")) && (!queues.length || queues.includes(name));

/** Return why jobs of the queue may not start: what can be seen from outside. */
function why(queue, nodes, due) {
  const workers = nodes.filter((node) => takes(node, queue.name));
  const awake = workers.filter(({ state }) => state === "running");
  const handled = new Set(awake.flatMap(({ types }) => types));
  const unknown = [...new Set(due.map(({ type }) => type))].filter((type) => !handled.has(type));
  const found = [
    queue.paused && ["It is paused: none of its jobs starts", queue.paused_until ? [" until it goes on ", when(queue.paused_until)] : " until somebody resumes it", "."],
    !workers.length && "No live node takes jobs of this queue.",
    workers.length > 0 && !awake.length && "All nodes that take jobs of this queue are quiet, or about to stop.",
    awake.length > 0 && unknown.length > 0 && `No live node that takes this queue handles ${unknown.length === 1 ? "the type" : "the types"} ${unknown.join(", ")}.`,
    queue.max_running !== null && queue.running >= queue.max_running && `${number(queue.running)} of its jobs run, as many as may at once.`,
    queue.rate !== null && queue.ready > 0 && `No more than ${number(queue.rate.starts)} of its jobs start in ${queue.rate.period} s.`,
    awake.length > 0 && awake.every(({ running, slots }) => running >= slots) && queue.ready > 0 && "Every slot of the nodes that take this queue is in use.",
  ].filter(Boolean);
  const [oldest] = due.slice(-1);
  if (!found.length || !(queue.ready || queue.paused)) return null;
  return h(
    "div",
    { class: "banner warning", role: "status" },
    found.length === 1 ? h("p", {}, found[0]) : h("ul", { class: "hints" }, found.map((one) => h("li", {}, one))),
    oldest && h("p", {}, "Why a single job does not run is on its page: ", jobLink(oldest.id), "."),
  );
}

function said(queue, nodes, running) {
  const workers = nodes.filter((node) => takes(node, queue.name));
  const lines = [
    ["Limits", limits(queue)],
    ["Oldest due", queue.oldest_due_at ? when(queue.oldest_due_at) : "nothing waits that is due"],
    ["Taken by", h("a", { href: address(["nodes"]) }, workers.length === 1 ? "1 node" : `${number(workers.length)} nodes`)],
    ["Runs now", running.length ? running.map((job, at) => [at > 0 && ", ", jobLink(job.id, job.type)]) : "nothing"],
    ["Its jobs", [h("a", { href: address(["jobs"], { queue: queue.name }) }, "all"), ", ", h("a", { href: address(["failed"], { queue: queue.name }) }, "dead letters")]],
  ];
  return h("dl", { class: "facts row" }, lines.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
