// One node: what it is, how it stands, and every job that it runs.

import { NotFound } from "./client/client.mjs";
import { fill, h } from "./dom.mjs";
import { clock, number } from "./format.mjs";
import { jobLink, when } from "./marks.mjs";
import { actions, called, CHANGES, lease, list, load, standing } from "./node.mjs";
import { wayBack } from "./ordering.mjs";
import { address } from "./route.mjs";
import { table } from "./table.mjs";

const OFTEN_MS = 2000;

export function open(page) {
  const [id] = page.path;
  const [head, body, jobs] = [h("div", { class: "head" }, h("h1", {}, "Node")), h("div"), h("div")];
  const section = h("section", { class: "list" }, h("h2", {}, "What it runs now"), jobs);
  fill(page.content, wayBack("nodes", "Nodes"), head, body, section);
  return page.follow({ event: CHANGES }, async () => {
    const node = await found(page.client, id);
    if (node === null) {
      section.remove();
      return void fill(body, gone(id));
    }
    if (!section.isConnected) page.content.append(section);
    fill(head, h("h1", {}, called(node)), standing(node), actions(page.client, node));
    fill(body, facts(node));
    fill(jobs, table(COLUMNS, node.jobs, { caption: "Running jobs", empty: "Nothing just now." }));
    return OFTEN_MS;
  });
}

async function found(client, id) {
  try {
    return await client.nodes.get(id);
  } catch (error) {
    if (error instanceof NotFound) return null;
    throw error;
  }
}

function gone(id) {
  return h(
    "div",
    { class: "empty" },
    h("p", {}, "There is no live node of this id: it has stopped, was killed, or lost its lease and goes on under another one."),
    h("p", {}, "What it ran is taken back, and runs on other nodes. "),
    h("p", { class: "mono" }, id),
  );
}

function facts(node) {
  const lines = [
    ["Id", h("span", { class: "mono" }, node.id)],
    ["Kind", node.kind === "remote" ? "the lease of a remote worker" : "a process of Tickr"],
    node.kind !== "remote" && ["Machine and process", called(node)],
    node.version && ["Version", node.version],
    node.kind !== "remote" && ["Roles", list(node.roles, "none")],
    ["Runs", load(node)],
    ["Types", list(node.types, "none")],
    ["Queues", list(node.queues, "all")],
    ["Lease", lease(node)],
    ["Since", [when(node.started_at), h("span", { class: "soft" }, ` ${clock(node.started_at)}`)]],
  ].filter(Boolean);
  return h("section", { class: "card" }, h("dl", { class: "facts" }, lines.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
}

const COLUMNS = [
  { name: "Job", cell: ({ id }) => jobLink(id) },
  { name: "Type", cell: ({ type }) => type },
  { name: "Queue", cell: ({ queue }) => h("a", { href: address(["queues", queue]) }, queue) },
  { name: "Attempt", class: "number", cell: ({ attempt }) => number(attempt) },
  { name: "Since", cell: ({ since }) => when(since) },
  { name: "", label: "", cell: ({ cancelling }) => cancelling && h("span", { class: "badge paused" }, "told to stop") },
];
