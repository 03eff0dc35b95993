// Every start of a job, drawn to the scale of its life: how long it waited, ran, and waited again.

import { h, svg } from "./dom.mjs";
import { duration, number, secondsBetween, short, visible } from "./format.mjs";
import { badge, ENDED, when } from "./marks.mjs";
import { table } from "./table.mjs";

const SHOWN = 50; // of many, the last
const LEAST = 0.6; // percent of the width: what is shorter is seen all the same

/** Make the table of attempts. history: of `client.attempts`. all: however many there are. more: shows them all. */
export function timeline(job, history, all, more) {
  const rows = starts(job, history, new Date().toISOString());
  const shown = all ? rows : rows.slice(-SHOWN);
  return [
    table(columns(rows.at(-1)?.life > 1), shown, { caption: "Attempts", empty: "It has not been started yet." }),
    shown.length < rows.length && h("button", { onclick: more }, `Show all ${number(rows.length)}`),
    redrives(history.redrives),
  ];
}

/** Return a row for each start, and one for the wait that goes on; each with `since`, when it began to wait. */
function starts(job, { items, redrives }, now) {
  const begun = new Map([[1, job.created_at], ...redrives.map((one) => [one.life, one.at])]);
  const rows = items.map((one, at) => {
    const before = items[at - 1]?.life === one.life ? items[at - 1] : null;
    return { ...one, since: before?.finished_at ?? begun.get(one.life) ?? one.started_at, again: before !== null, until: one.finished_at ?? now };
  });
  const [life, last] = [Math.max(1, ...begun.keys()), rows.at(-1)];
  if (!ENDED.has(job.state) && job.state !== "running") {
    const same = last?.life === life ? last : null;
    const since = same?.finished_at ?? begun.get(life);
    rows.push({ life, number: null, node: null, since, started_at: null, until: now, again: same !== null, outcome: job.state, error: null, due: job.run_at });
  }
  for (const row of rows) {
    const alike = rows.filter((one) => one.life === row.life);
    row.scale = [Date.parse(alike[0].since), Date.parse(alike.at(-1).until)];
  }
  return rows;
}

function columns(lives) {
  return [
    { name: "Attempt", class: "tight", cell: (row) => [lives && h("span", { class: "soft" }, `life ${row.life}, `), row.number === null ? "next" : number(row.number)] },
    { name: "Waited", class: "number", cell: (row) => duration(Math.max(0, secondsBetween(row.since, row.started_at ?? row.until))) },
    { name: "Ran", class: "number", cell: (row) => (row.started_at ? duration(Math.max(0, secondsBetween(row.started_at, row.until))) : "–") },
    { name: "Course", class: "course", cell: drawn },
    { name: "Outcome", cell: outcome },
    { name: "Started", class: "tight", cell: (row) => (row.started_at ? when(row.started_at) : row.due && ["due ", when(row.due)]) },
    { name: "Node", class: "tight", cell: (row) => row.node && h("span", { class: "mono", title: row.node }, short(row.node)) },
  ];
}

function drawn({ since, started_at: started, until, scale: [from, to], outcome, again }) {
  const share = (instant) => Math.min(100, Math.max(0, (100 * (Date.parse(instant) - from)) / Math.max(1, to - from)));
  const bar = (start, end, kind) => {
    const width = Math.max(LEAST, share(end) - share(start));
    return svg("rect", { x: `${Math.min(share(start), 100 - width)}%`, width: `${width}%`, y: 3, height: 10, rx: 2, class: kind });
  };
  const words = started ? `waited, then ${outcome}` : "waits";
  return svg("svg", { class: "course", height: 16, role: "img", "aria-label": words }, bar(since, started ?? until, again ? "again" : "wait"), started && bar(started, until, `run ${outcome}`));
}

function outcome({ life, number: at, fence, outcome: how, error }) {
  if (!error) return badge(how);
  const words = `${visible(error.kind)}: ${visible(error.message)}`;
  if (!error.traceback) return [badge(how), h("div", { class: "words" }, words)];
  return [badge(how), h("details", { "data-key": `${life}.${at}.${fence}` }, h("summary", { class: "words" }, words), h("pre", {}, visible(error.traceback)))];
}

function redrives(found) {
  if (!found.length) return null;
  const line = ({ life, at, changed, operation }) =>
    h("li", {}, `Life ${life} began `, when(at), changed.length ? `, with another ${changed.join(", ")}` : "", operation && `, by an operation (${short(operation)})`);
  return h("ul", { class: "plain soft" }, found.map(line));
}
