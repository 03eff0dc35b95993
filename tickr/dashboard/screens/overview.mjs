// The overview: what there is now, what was done over a time, how long each type takes, what waits longest, what fails.

import { fill, h } from "../dom.mjs";
import { duration, number } from "../format.mjs";
import { History } from "../history.mjs";
import { when } from "../marks.mjs";
import { ordered } from "../ordering.mjs";
import { address } from "../route.mjs";
import { readiness } from "../session.mjs";
import { table } from "../table.mjs";

export const title = () => "Overview";

const OFTEN_MS = 5000;
const APART_MS = 1500; // each look costs counts of what there is: a busy Tickr is not counted all the time
const TOP = 6;

export function open(page) {
  const [state, tiles, types, backlog, failing] = [h("div"), h("div", { class: "tiles" }), h("div"), h("div"), h("div")];
  let [names, found, lookedAt] = [[], [], -Infinity];
  const showTypes = () => fill(types, typeTable(page, found, showTypes));
  const history = new History(page, {
    beside: async ({ type, ...wish }) => {
      const answer = await page.client.statistics({ ...wish, by: "type", points: false });
      found = answer.series.filter(({ total }) => Object.values(total).some(Boolean));
      showTypes();
      history.offer({ queues: names, types: found.flatMap((one) => one.type ?? []) });
    },
  });
  fill(
    page.content,
    h("h1", { class: "hidden" }, "Overview"),
    state,
    tiles,
    history.element,
    section("How long each type takes", types),
    h("div", { class: "cards" }, section("What waits longest", backlog), section("What fails most", failing)),
  );
  return page.follow({}, async () => {
    const waitMs = lookedAt + APART_MS - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    lookedAt = performance.now();
    const { client } = page;
    const [queues, fleet, dead, ready] = await Promise.all([client.queues.list(), client.nodes.list(), client.deadLetters(), readiness()]);
    names = queues.map(({ name }) => name);
    fill(state, degraded(ready, queues));
    fill(tiles, now(queues, fleet, dead));
    fill(backlog, backlogTable(queues));
    fill(failing, failingTable(dead));
    await history.load();
    return OFTEN_MS;
  });
}

const section = (name, content) => h("section", { class: "list" }, h("h2", {}, name), content);

const TROUBLES = {
  degraded: "The index (Redis) is away. Everything goes on, slower.",
  unavailable: "The store cannot be used: nothing is taken, and nothing starts.",
  stopping: "The node that answers here is about to stop.",
};

function degraded({ status, reason }, queues) {
  const paused = queues.filter((queue) => queue.paused && queue.ready > 0);
  return [
    status !== "ready" && h("div", { class: `banner ${status === "degraded" ? "warning" : "bad"}`, role: "alert" }, [TROUBLES[status] ?? status, reason].filter(Boolean).join(" ")),
    paused.length > 0 &&
      h("div", { class: "banner warning", role: "status" }, "Paused with jobs that are due: ", paused.slice(0, TOP).map((queue, at) => [at > 0 && ", ", h("a", { href: address(["queues", queue.name]) }, queue.name)]), paused.length > TOP && ` and ${paused.length - TOP} more`),
  ];
}

function now(queues, fleet, dead) {
  const count = (state) => {
    const sum = queues.reduce((all, queue) => all + queue[state], 0);
    return number(sum) + (queues.some((queue) => queue[state] >= queue.counted_to) ? "+" : "");
  };
  const tile = (words, value, href, kind) => h("a", { class: `tile ${kind ?? ""}`, href }, h("b", {}, value), h("span", {}, words));
  const states = ["running", "ready", "scheduled", "retrying"].map((state) => tile(state, count(state), address(["jobs"], { state })));
  const failed = number(dead.total) + (dead.exact ? "" : "+");
  const nodes = tile(fleet.items.length === 1 ? "node" : "nodes", number(fleet.items.length), address(["nodes"]));
  return [...states, tile("failed", failed, address(["failed"]), dead.total > 0 && "trouble"), nodes];
}

function typeTable(page, series, changed) {
  const share = ({ total }) => (done({ total }) ? total.failed / done({ total }) : null);
  const time = (name, what, quantile) => ({
    name: `${name} ${quantile}`,
    class: "number",
    down: true,
    by: ({ total }) => total[what]?.[quantile] ?? null,
    cell: ({ total }) => duration(total[what]?.[quantile]),
  });
  const columns = [
    { name: "Type", by: ({ type }) => type ?? "\uffff", cell: ({ type, other }) => (other ? "all others" : h("a", { href: address(["jobs"], { type }) }, type)) },
    { name: "Created", class: "number", down: true, by: ({ total }) => total.created, cell: ({ total }) => number(total.created) },
    { name: "Done", class: "number", down: true, by: done, cell: (one) => number(done(one)) },
    { name: "Failed", class: "number", down: true, by: share, cell: (one) => failedShare(one, share(one)) },
    time("Run", "run", "p50"),
    time("Run", "run", "p95"),
    time("Wait", "wait", "p50"),
    time("Wait", "wait", "p95"),
  ];
  const { columns: heads, rows } = ordered(page, columns, series, "-Done", changed);
  return table(heads, rows, { caption: "Types of jobs in the time shown", empty: "No job was made or run in this time." });
}

const done = ({ total }) => total.succeeded + total.failed;

function failedShare({ total, type }, share) {
  if (share === null) return "–";
  const words = share > 0 && share < 0.001 ? "< 0.1 %" : `${Number((share * 100).toFixed(1))} %`;
  return total.failed && type ? h("a", { href: address(["failed"], { type }), class: "bad" }, words) : words;
}

function backlogTable(queues) {
  const waiting = queues.filter(({ oldest_due_at: at }) => at).sort((one, other) => (one.oldest_due_at < other.oldest_due_at ? -1 : 1));
  const columns = [
    { name: "Queue", cell: ({ name }) => h("a", { href: address(["queues", name]) }, name) },
    { name: "Oldest due", class: "number", cell: ({ oldest_due_at: at }) => when(at) },
    { name: "Ready", class: "number", cell: ({ ready, counted_to: to }) => number(ready) + (ready >= to ? "+" : "") },
    { name: "", label: "", cell: ({ paused }) => paused && h("span", { class: "badge paused" }, "paused") },
  ];
  return table(columns, waiting.slice(0, TOP), { caption: "Queues with the oldest backlog", empty: "Nothing that is due waits." });
}

function failingTable({ groups }) {
  const columns = [
    { name: "Type", cell: ({ type, error }) => h("a", { href: address(["failed"], { type, error }) }, type) },
    { name: "Fault", cell: ({ error }) => error },
    { name: "Jobs", class: "number", cell: ({ count }) => number(count) },
    { name: "Newest", class: "number", cell: ({ newest_at: at, example }) => h("a", { href: address(["job", example]) }, when(at)) },
  ];
  const most = [...groups].sort((one, other) => other.count - one.count).slice(0, TOP);
  return table(columns, most, { caption: "Dead letters by type and fault", empty: "Nothing has failed for good." });
}
