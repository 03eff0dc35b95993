// Jobs: those that pass the filters of the address, newest first, page by page; and what is done to many of them.

import * as bulk from "../bulk.mjs";
import * as filters from "../filters.mjs";
import { fill, h } from "../dom.mjs";
import { number, short, visible } from "../format.mjs";
import { badge, ENDED, jobLink, labels, progress, STATES, took, when } from "../marks.mjs";
import * as operations from "../operations.mjs";
import { address } from "../route.mjs";
import { submitJob } from "../submit.mjs";
import { table } from "../table.mjs";

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
  const chosen = new Set();
  const [list, pager, acts, running] = [h("div"), h("div", { class: "pager" }), h("div", { class: "acts" }), h("div")];
  const begun = new Set();
  const choose = (changes, next) => {
    focus = next;
    page.choose({ ...changes, cursor: null });
  };
  const bar = h("div", { class: "filterbar" }, filters.bar(page, choose, known, STATES));
  const submit = h("button", { class: "primary", onclick: () => submitJob(client, known) }, "Submit a job");
  fill(page.content, h("div", { class: "head" }, h("h1", {}, title()), h("div", { class: "actions" }, submit)), bar, running, acts, list, pager);
  if (focus) page.content.querySelector(`[data-focus="${focus}"]`)?.focus();
  focus = null;

  const look = operations.watch(page, running, (one) => one.state === "running" || begun.has(one.id));
  const started = (operation) => {
    begun.add(operation.id);
    chosen.clear();
    marked();
    look();
  };
  const meant = () => (chosen.size ? { ids: [...chosen] } : which);
  const marked = () => {
    const said = chosen.size
      ? [h("strong", {}, `${number(chosen.size)} chosen`), h("button", { class: "quiet", onclick: clear }, "Clear"), h("span", { class: "soft" }, "The list stands still meanwhile.")]
      : h("span", { class: "soft" }, filters.pairs(query).length ? "All that match:" : "All jobs:");
    fill(acts, said, h("div", { class: "actions" }, bulk.buttons(client, meant, started)));
  };
  const boxes = () => [...list.querySelectorAll("input[type=checkbox]")];
  const clear = () => {
    chosen.clear();
    for (const one of boxes()) one.checked = false;
    marked();
  };
  const pick = (job, on) => {
    if (on) chosen.add(job.id);
    else chosen.delete(job.id);
    marked();
  };
  marked();

  return page.follow(cursor === null ? concerning(which) : null, async () => {
    if (chosen.size) return;
    let found;
    try {
      found = await gather(client, which, cursor);
    } catch (error) {
      if (filters.blame(bar, error)) return void fill(list, h("p", { class: "empty" }, "Nothing is shown: a filter is wrong."));
      throw error;
    }
    if (chosen.size) return;
    filters.blame(bar, null);
    fill(list, table(columns(found.items, pick), found.items, { caption: "Jobs", empty: nothing(query, found) }));
    fill(pager, turns(page, cursor, found));
  });
}

/** Return what of the filters the feed knows too: other events are no reason to look. */
function concerning({ queue, type }) {
  return Object.fromEntries(Object.entries({ queue, type }).filter(([, value]) => value));
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

function columns(items, pick) {
  const all = ({ target }) => {
    const boxes = [...target.closest("table").querySelectorAll("tbody input[type=checkbox]")];
    boxes.forEach((one, at) => {
      one.checked = target.checked;
      pick(items[at], target.checked);
    });
  };
  return [
    {
      name: h("input", { type: "checkbox", "aria-label": "Choose all on this page", onchange: all }),
      label: "Choose",
      class: "tight",
      cell: (job) => h("input", { type: "checkbox", "aria-label": `Choose ${job.type} ${short(job.id)}`, onchange: ({ target }) => pick(job, target.checked) }),
    },
    { name: "Job", class: "name", cell: (job) => h("div", { class: "named" }, jobLink(job.id, job.type), h("span", { class: "mono soft small", title: job.id }, short(job.id))) },
    { name: "State", cell: state },
    { name: "Queue", class: "name", cell: (job) => h("a", { href: address(["jobs"], { queue: job.queue }), class: "plain" }, job.queue) },
    { name: "Priority", class: "number", cell: (job) => String(job.priority) },
    { name: "Attempt", class: "number", cell: (job) => `${number(job.attempt)}/${number(job.max_attempts)}` },
    { name: "When", class: "tight", cell: moment },
    { name: "Took", class: "number", cell: took },
    { name: "Labels", cell: (job) => labels(job.labels) },
  ];
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
