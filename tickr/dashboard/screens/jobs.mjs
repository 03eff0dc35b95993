// Jobs: those that pass the filters of the address, newest first, page by page; and what is done to many of them.

import { Choice } from "../choice.mjs";
import { fill, h } from "../dom.mjs";
import * as filters from "../filters.mjs";
import { number, short, visible } from "../format.mjs";
import { badge, ENDED, jobLink, labels, progress, STATES, took, when } from "../marks.mjs";
import * as operations from "../operations.mjs";
import { address } from "../route.mjs";
import { submitJob } from "../submit.mjs";
import { table } from "../table.mjs";
import { needs } from "../rights.mjs";

const PAGE = 50;
const MOST_REQUESTS = 4; // for one page: with filters that few jobs pass, the server's pages hold few
const before = new Map(); // cursor of a page -> that of the page before it, as far as one came that way
let focus = null; // what is to have the focus when the screen is shown again, as a filter was changed

export const title = () => "Jobs";

export function open(page) {
  const { client, query } = page;
  const cursor = query.get("cursor");
  const which = filters.which(query);
  const known = filters.known(client);
  const begun = new Set();
  const [list, pager, running] = [h("div"), h("div", { class: "pager" }), h("div")];
  const look = operations.watch(page, running, (one) => one.state === "running" || begun.has(one.id));
  const choice = new Choice(client, which, filters.pairs(query).length ? "All that match:" : "All jobs:", ({ id }) => (begun.add(id), look()));
  const choose = (changes, next) => {
    focus = next;
    page.choose({ ...changes, cursor: null });
  };
  const bar = h("div", { class: "filterbar" }, filters.bar(page, choose, known, STATES));
  const submit = h("button", { class: "primary", onclick: () => submitJob(client, known), ...needs("jobs:write") }, "Submit a job");
  const head = h("div", { class: "head" }, h("h1", {}, title()), h("div", { class: "actions" }, submit));
  fill(page.content, head, bar, running, choice.element, list, pager);
  if (focus) page.content.querySelector(`[data-focus="${focus}"]`)?.focus();
  focus = null;
  fill(pager, turns(page, cursor, { items: [], next: null })); // the way back from a cursor that cannot be used

  return page.follow(cursor === null ? filters.concerning(which) : null, async () => {
    if (choice.some) return;
    const found = await filters.blamed(bar, list, gather(client, which, cursor));
    if (found === null || choice.some) return;
    const columns = [choice.column(found.items), ...COLUMNS];
    fill(list, table(columns, found.items, { caption: "Jobs", empty: nothing(query, found) }));
    fill(pager, turns(page, cursor, found));
  });
}

async function gather(client, which, cursor) {
  let [items, next] = [[], cursor ?? undefined];
  for (let asked = 0; asked < MOST_REQUESTS && items.length < PAGE && next !== null; asked++) {
    const page = await client.page({ ...which, limit: PAGE - items.length, cursor: next });
    items = items.concat(page.items);
    next = page.next_cursor;
  }
  return { items, next };
}

function nothing(query, { next }) {
  if (next !== null) return "None among the newest jobs. Older ones have not been looked through yet.";
  return filters.pairs(query).length ? "No job matches." : "No job yet.";
}

function turns(page, cursor, { items, next }) {
  const to = (place) => page.choose({ cursor: place });
  const forth = () => {
    before.set(next, cursor);
    to(next);
  };
  return [
    cursor !== null && h("button", { onclick: () => to(null) }, "First page"),
    before.has(cursor) && h("button", { onclick: () => to(before.get(cursor)) }, "Previous"),
    cursor !== null && h("span", { class: "soft" }, "New jobs do not move this page"),
    next !== null && h("button", { onclick: forth }, items.length < PAGE ? "Search on" : "Next"),
  ];
}

const COLUMNS = [
  { name: "Job", class: "name", cell: named },
  { name: "State", cell: state },
  { name: "Queue", class: "name", cell: (job) => h("a", { href: address(["jobs"], { queue: job.queue }), class: "plain" }, job.queue) },
  { name: "Priority", class: "number", cell: (job) => String(job.priority) },
  { name: "Attempt", class: "number", cell: (job) => `${number(job.attempt)}/${number(job.max_attempts)}` },
  { name: "When", class: "tight", cell: moment },
  { name: "Took", class: "number", cell: took },
  { name: "Labels", cell: (job) => labels(job.labels) },
];

function named(job) {
  return h("div", { class: "named" }, jobLink(job.id, job.type), h("span", { class: "mono soft small", title: job.id }, short(job.id)));
}

function state(job) {
  if (job.state === "running") return [badge(job.state), progress(job)];
  return [badge(job.state), job.error && h("span", { class: "soft small", title: visible(job.error.message) }, ` ${visible(job.error.kind)}`)];
}

function moment(job) {
  if (ENDED.has(job.state)) return ["ended ", when(job.finished_at)];
  if (job.state === "running") return ["started ", when(job.started_at)];
  return [job.state === "blocked" ? "created " : "due ", when(job.state === "blocked" ? job.created_at : job.run_at)];
}
