// One schedule: what it is, its next ticks, and what its jobs are like.

import { fill, h } from "./dom.mjs";
import { clock, number } from "./format.mjs";
import { badge, jobLink, when } from "./marks.mjs";
import { wayBack } from "./ordering.mjs";
import { address } from "./route.mjs";
import { actions, CHANGES, missed, overlap, soon, standing, timing } from "./schedule.mjs";
import { indented } from "./source.mjs";

const SHOWN = 10; // of its jobs

export function open(page) {
  const [name] = page.path;
  const [head, body] = [h("div", { class: "head" }), h("div", { class: "cards" })];
  fill(page.content, wayBack("schedules", "Schedules"), head, body);
  return page.follow({ event: CHANGES }, async () => {
    const [schedule, made] = await Promise.all([
      page.client.schedules.get(name, { exact: true }),
      page.client.page({ schedule: name, limit: SHOWN }),
    ]);
    fill(head, h("h1", {}, schedule.name), standing(schedule), actions(page.client, schedule, { more: true }));
    fill(body, facts(schedule), ticks(schedule), h("div", { class: "column" }, jobs(schedule, made), template(schedule)));
    return soon([schedule]);
  });
}

function facts(schedule) {
  const { skipped, last_tick: last, last_job: job, start_at: from, end_at: until, times, declared, version } = schedule;
  const lines = [
    ["When", timing(schedule)],
    from && ["From", clock(from)],
    until && ["Until", clock(until)],
    times && ["Jobs in all", number(times)],
    ["Missed ticks", missed(schedule)],
    ["Overlap", overlap(schedule)],
    ["Last tick", last ? [when(last), h("span", { class: "soft" }, ` ${clock(last)}`)] : "–"],
    ["Last job", job ? jobLink(job) : "–"],
    ["Jobs made", number(schedule.fired)],
    ["Left out", `${number(skipped.missed)} missed, ${number(skipped.overlap)} overlapping`],
    ["Put by", declared ? "the code of a node" : "a call"],
    ["Changed", [when(schedule.updated_at), h("span", { class: "soft" }, ` version ${number(version)}`)]],
    ["Made", when(schedule.created_at)],
  ].filter(Boolean);
  return h("section", { class: "card" }, h("h2", {}, "Facts"), h("dl", { class: "facts" }, lines.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
}

function ticks({ next, paused, ended, timezone }) {
  const none = ended ? "It has ended: no tick comes any more." : paused ? "Paused: no tick comes." : "No tick comes.";
  const inZone = timezone && new Intl.DateTimeFormat("en-GB", { timeZone: timezone, weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const line = (at) => h("li", {}, h("span", { class: "mono" }, clock(at)), " ", when(at), inZone && h("small", { class: "soft" }, inZone.format(new Date(at))));
  const said = timezone ? `your clock; small, that of ${timezone}` : "your clock";
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "Next ticks ", h("small", { class: "soft" }, said)),
    next.length ? h("ol", { class: "ticks" }, next.map(line)) : h("p", { class: "soft" }, none),
  );
}

/** made: the first page of its jobs; where few of the newest jobs are, it is short, and has others behind it. */
function jobs({ name }, { items, next_cursor: next }) {
  const line = (job) => h("li", {}, badge(job.state), " ", jobLink(job.id, job.type), job.schedule.tick ? [" of ", when(job.schedule.tick)] : " made by hand");
  const none = next === null ? "None is stored." : "None among the newest jobs.";
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "Its jobs"),
    items.length ? h("ul", { class: "tree" }, items.map(line)) : h("p", { class: "soft" }, none),
    (items.length || next !== null) && h("p", {}, h("a", { href: address(["jobs"], { schedule: name }) }, "All its jobs")),
  );
}

function template({ job, encrypted }) {
  const { type, queue } = JSON.parse(job.text);
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "What its jobs are like"),
    h("p", {}, h("a", { href: address(["jobs"], { type, queue: queue ?? "default" }) }, `Jobs of the type ${type} in ${queue ?? "default"}`)),
    encrypted && h("p", { class: "soft" }, "The payload is encrypted and left out."),
    h("pre", { class: "source", tabindex: 0 }, indented(job.text)),
  );
}
