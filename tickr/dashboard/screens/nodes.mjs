// Nodes, and the leases of remote workers: who is there, and what each of them runs. One of them: ../node_page.mjs.

import { fill, h } from "../dom.mjs";
import { number } from "../format.mjs";
import { breakable, jobLink, when } from "../marks.mjs";
import { actions, called, CHANGES, lease, list as names, load, standing } from "../node.mjs";
import * as one from "../node_page.mjs";
import { finder, ordered } from "../ordering.mjs";
import { address } from "../route.mjs";
import { table } from "../table.mjs";

export const title = (path) => (path.length > 1 ? "Node" : "Nodes");

const OFTEN_MS = 3000;

export function open(page) {
  if (page.path.length) return one.open(page);
  let fleet = { items: [], here: null, lost: 0 };
  const [list, lost, count] = [h("div"), h("div"), h("span", { class: "soft" })];
  const find = finder(page, "machine, type, queue", show);
  function show() {
    const found = fleet.items.filter((node) => find.has(node.id, called(node), node.version, ...node.types, ...node.queues, ...node.roles));
    const { columns, rows } = ordered(page, COLUMNS(page.client, fleet.here), found, "Node", show);
    const slots = fleet.items.reduce((sum, node) => sum + node.slots, 0);
    const running = fleet.items.reduce((sum, node) => sum + node.running, 0);
    count.textContent = `${number(found.length)} of ${number(fleet.items.length)}; ${running === 1 ? "1 job runs" : `${number(running)} jobs run`} in ${number(slots)} slots`;
    fill(list, table(columns, rows, { caption: "Nodes", empty: "No node is called so." }));
    fill(lost, fleet.lost > 0 && told(fleet.lost));
  }
  fill(page.content, h("div", { class: "head" }, h("h1", {}, "Nodes"), count, h("div", { class: "actions" }, find.element)), lost, list);
  return page.follow({ event: CHANGES }, async () => {
    fleet = await page.client.nodes.list();
    show();
    return OFTEN_MS;
  });
}

function told(lost) {
  const jobs = lost === 1 ? "1 job runs" : `${number(lost)} jobs run`;
  return h("div", { class: "banner warning", role: "status" }, `${jobs} on nodes that are gone, and will be taken back in a moment.`);
}

const COLUMNS = (client, here) => [
  {
    name: "Node",
    class: "name",
    by: called,
    cell: (node) => h("div", { class: "stack" }, h("a", { href: address(["nodes", node.id]) }, breakable(called(node))), kind(node, here)),
  },
  { name: "State", by: ({ state }) => state, cell: standing },
  { name: "Runs", by: ({ running, slots }) => (slots ? running / slots : -1), down: true, cell: load },
  { name: "Lease", by: ({ lease_age: age }) => age, down: true, cell: lease },
  { name: "Types", cell: ({ types }) => some(types, "none") },
  { name: "Queues", cell: ({ queues }) => some(queues, "all") },
  { name: "Longest job", by: ({ jobs }) => jobs[0]?.since ?? null, cell: ({ jobs: [job] }) => (job ? [jobLink(job.id, job.type), ", ", when(job.since)] : "–") },
  { name: "Since", by: ({ started_at: at }) => at, cell: ({ started_at: at }) => when(at) },
  { name: "Version", by: ({ version }) => version, cell: ({ version }) => version || "–" },
  { name: h("span", { class: "hidden" }, "Actions"), class: "tight", label: "", cell: (node) => actions(client, node) },
];

function kind({ kind: one, roles, id }, here) {
  const said = one === "remote" ? "remote worker" : roles.join(", ");
  return h("small", { class: "soft" }, id === here ? `${said} · answers here` : said);
}

const SHOWN = 2; // of its types and queues

function some(found, none) {
  if (found.length <= SHOWN) return names(found, none);
  return h("span", { title: found.join(", ") }, breakable(found.slice(0, SHOWN).join(", ")), ` and ${found.length - SHOWN} more`);
}
