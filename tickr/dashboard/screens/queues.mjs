// Queues: what waits and runs in each, what is set on it, and setting it. One of them: ../queue_page.mjs.

import { fill, h } from "../dom.mjs";
import { number } from "../format.mjs";
import { when } from "../marks.mjs";
import { finder, ordered } from "../ordering.mjs";
import { actions, counted, limits, standing, WAITING } from "../queue.mjs";
import * as one from "../queue_page.mjs";
import { address } from "../route.mjs";
import { table } from "../table.mjs";

export const title = (path) => (path.length > 1 ? path[1] : "Queues");

export function open(page) {
  if (page.path.length) return one.open(page);
  let queues = [];
  const [list, count] = [h("div"), h("span", { class: "soft" })];
  const find = finder(page, "name", show);
  function show() {
    const found = queues.filter(({ name }) => find.has(name));
    const { columns, rows } = ordered(page, COLUMNS(page.client), found, "Queue", show);
    count.textContent = queues.length ? `${number(found.length)} of ${number(queues.length)}` : "";
    const empty = queues.length ? "No queue is called so." : "No queue yet: the first job in a queue makes it.";
    fill(list, table(columns, rows, { caption: "Queues", empty }));
  }
  fill(page.content, h("div", { class: "head" }, h("h1", {}, "Queues"), count, h("div", { class: "actions" }, find.element)), list);
  return page.follow({}, async () => {
    queues = await page.client.queues.list();
    show();
  });
}

function COLUMNS(client) {
  const count = (state) => ({
    name: state[0].toUpperCase() + state.slice(1),
    class: "number",
    down: true,
    by: (queue) => queue[state],
    cell: (queue) => h("a", { href: address(["jobs"], { queue: queue.name, state }) }, counted(queue, state)),
  });
  return [
    { name: "Queue", by: ({ name }) => name, cell: ({ name }) => h("a", { href: address(["queues", name]) }, name) },
    ...[...WAITING, "running"].map(count),
    { name: "Oldest due", class: "number", by: ({ oldest_due_at: at }) => at, cell: ({ oldest_due_at: at }) => (at ? when(at) : "–") },
    { name: "Limits", cell: limits },
    { name: "State", by: ({ paused }) => (paused ? "paused" : "going"), cell: standing },
    { name: h("span", { class: "hidden" }, "Actions"), class: "tight", label: "", cell: (queue) => actions(client, queue) },
  ];
}
