// Schedules: when each comes next; one of them: see ../schedule.mjs.

import { fill, h } from "../dom.mjs";
import { clock, number } from "../format.mjs";
import { breakable, when } from "../marks.mjs";
import { finder, ordered } from "../ordering.mjs";
import { address } from "../route.mjs";
import { actions, CHANGES, edit, soon, standing, timing } from "../schedule.mjs";
import * as one from "../schedule_page.mjs";
import { table } from "../table.mjs";
import { inWords } from "../timing.mjs";
import { needs } from "../rights.mjs";

export const title = (path) => (path.length > 1 ? path[1] : "Schedules");

export function open(page) {
  if (page.path.length) return one.open(page);
  let schedules = [];
  const [list, count] = [h("div"), h("span", { class: "soft" })];
  const find = finder(page, "name, type, queue", show);
  const make = h("button", { class: "primary", onclick: () => edit(page.client), ...needs("queues:admin") }, "New schedule");
  function show() {
    const found = schedules.filter(({ name, cron, timezone, job }) => find.has(name, cron, timezone, job.type, job.queue ?? "default"));
    const { columns, rows } = ordered(page, COLUMNS(page.client), found, "Name", show);
    count.textContent = schedules.length ? `${number(found.length)} of ${number(schedules.length)}` : "";
    const empty = schedules.length ? "No schedule is called so." : "No schedule yet: one makes jobs by the clock, by cron or at an interval.";
    fill(list, table(columns, rows, { caption: "Schedules", empty }));
  }
  fill(page.content, h("div", { class: "head" }, h("h1", {}, "Schedules"), count, h("div", { class: "actions" }, find.element, make)), list);
  return page.follow({ event: CHANGES }, async () => {
    schedules = await page.client.schedules.list();
    show();
    return soon(schedules);
  });
}

const COLUMNS = (client) => [
  { name: "Name", by: ({ name }) => name, cell: ({ name }) => h("a", { href: address(["schedules", name]) }, name) },
  { name: "When", by: (one) => inWords(one) ?? one.cron, cell: timing },
  { name: "Type", class: "name", by: ({ job }) => job.type, cell: ({ job }) => breakable(job.type) },
  { name: "Queue", by: ({ job }) => job.queue ?? "default", cell: ({ job }) => job.queue ?? "default" },
  { name: "Next", by: ({ next_at: at }) => at, cell: next },
  { name: "Last", by: ({ last_tick: at }) => at, down: true, cell: last },
  { name: "Made", class: "number", by: ({ fired }) => fired, down: true, cell: ({ fired }) => number(fired) },
  { name: "Left out", class: "number", by: left, down: true, cell: leftOut },
  { name: h("span", { class: "hidden" }, "Actions"), class: "tight", label: "", cell: (one) => actions(client, one) },
];

function next(one) {
  if (!one.next_at) return standing(one);
  return h("div", { class: "stack" }, when(one.next_at), h("small", { class: "soft" }, clock(one.next_at).slice(0, 19)));
}

function last({ last_tick: at, last_job: job }) {
  if (!at) return "–";
  return job ? h("a", { href: address(["job", job]) }, when(at)) : when(at);
}

const left = ({ skipped: { missed, overlap } }) => missed + overlap;

function leftOut({ skipped: { missed, overlap } }) {
  const words = [missed && `${number(missed)} missed`, overlap && `${number(overlap)} overlapping`].filter(Boolean);
  return words.join(", ") || "–";
}
