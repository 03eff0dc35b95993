// Dead letters: jobs that have failed, in groups that are alike, and what is done to a whole group.

import * as bulk from "../bulk.mjs";
import { fill, h } from "../dom.mjs";
import * as filters from "../filters.mjs";
import { number, visible } from "../format.mjs";
import { breakable, cut, jobLink, when } from "../marks.mjs";
import * as operations from "../operations.mjs";
import { address } from "../route.mjs";
import { table } from "../table.mjs";
import { needs } from "../rights.mjs";

const EXAMPLES = 30; // groups whose example is read for its words
const RECENT = 8; // operations that are shown
let focus = null; // what is to have the focus when the screen is shown again, as a filter was changed

export const title = () => "Dead letters";

export function open(page) {
  const { client, query } = page;
  const which = filters.which(query);
  const words = new Words(client);
  const choose = (changes, next) => {
    focus = next;
    page.choose(changes);
  };
  const [list, sum, acts, running] = [h("div"), h("span", { class: "soft" }), h("div", { class: "acts" }), h("div")];
  const bar = h("div", { class: "filterbar" }, filters.bar(page, choose, filters.known(client)));
  fill(page.content, h("div", { class: "head" }, h("h1", {}, title()), sum), bar, acts, list, running);
  if (focus) page.content.querySelector(`[data-focus="${focus}"]`)?.focus();
  focus = null;

  const look = operations.watch(page, running, recent());
  const all = () => ({ ...which, state: ["failed"] });
  fill(acts, h("span", { class: "soft" }, filters.pairs(query).length ? "All that match:" : "All of them:"), h("div", { class: "actions" }, buttons(client, all, look)));

  return page.follow({ event: ["failed", "redriven", "deleted"], ...filters.concerning(which) }, async () => {
    const found = await filters.blamed(bar, list, client.deadLetters(which));
    if (found === null) return;
    const show = () => fill(list, table(columns(client, query, all, look, words), found.groups, { caption: "Groups of failed jobs", empty: nothing(found) }));
    fill(sum, found.total > 0 && `${number(found.total)}${found.exact ? "" : " or more"} ${found.total === 1 ? "job" : "jobs"}`);
    show();
    if (await words.read(found.groups.slice(0, EXAMPLES))) show();
  });
}

function nothing({ exact }) {
  return exact ? "No job has failed." : "None among the jobs that were counted. There are others that were not.";
}

/** Return what picks the operations that run, and the last ones that have ended. */
function recent() {
  let shown = 0;
  return (one, at) => {
    if (at === 0) shown = 0;
    return one.state === "running" || shown++ < RECENT;
  };
}

function columns(client, query, all, look, words) {
  const group = (one) => ({ ...all(), type: [one.type], ...(one.error && { error: [one.error] }) });
  return [
    { name: "Type", class: "name", cell: (one) => h("a", { href: there(query, one) }, breakable(one.type)) },
    { name: "Kind of error", class: "name", cell: (one) => one.error && visible(one.error) },
    { name: "Jobs", class: "number", cell: (one) => number(one.count) },
    { name: "First", class: "tight", cell: (one) => when(one.oldest_at) },
    { name: "Last", class: "tight", cell: (one) => when(one.newest_at) },
    { name: "Example", cell: (one) => [jobLink(one.example), h("div", { class: "words small soft" }, words.of(one.example))] },
    { name: h("span", { class: "hidden" }, "Actions"), label: "", class: "tight", cell: (one) => h("div", { class: "actions" }, buttons(client, () => group(one), look, one)) },
  ];
}

/** Return the address of the jobs of a group. */
function there(query, { type, error }) {
  const chosen = {};
  for (const name of query.keys()) chosen[name] = query.getAll(name);
  return address(["jobs"], { ...chosen, state: "failed", type, error });
}

function buttons(client, which, look, group = null) {
  const of = group ? ` ${group.type}, ${group.error}` : " all";
  const button = (name, action, options, attributes = {}) => {
    const begin = async () => {
      if (await bulk.start(client, action, which(), options)) look();
    };
    return h("button", { onclick: begin, "aria-label": name + of, ...attributes, ...needs("jobs:write") }, `${name} …`);
  };
  return [button("Retry", "retry"), button("Edit and retry", "retry", { changing: true }), button("Delete", "delete", {}, { class: "danger" })];
}

/** What the examples of the groups say of their errors; each is read once. */
class Words {
  #client;
  #found = new Map();

  constructor(client) {
    this.#client = client;
  }

  of(id) {
    return this.#found.get(id) ?? "";
  }

  /** Read what is not known yet; return whether there was any. */
  async read(groups) {
    const unknown = groups.map((one) => one.example).filter((id) => !this.#found.has(id));
    await Promise.all(unknown.map(async (id) => this.#found.set(id, await this.#message(id))));
    return unknown.length > 0;
  }

  async #message(id) {
    const job = await this.#client.get(id).catch(() => null); // gone meanwhile: the next look has another example
    return job?.error ? cut(visible(job.error.message), 300) : "";
  }
}
