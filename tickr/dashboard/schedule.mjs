// What is said of a schedule and done to it, in the list and on its own page.

import { ask, field } from "./dialog.mjs";
import { h } from "./dom.mjs";
import { Fault } from "./faults.mjs";
import { attempt, notify } from "./notices.mjs";
import { needs } from "./rights.mjs";
import { go } from "./route.mjs";
import { indented, wrong } from "./source.mjs";
import { Source } from "./client/client.mjs";
import { inWords } from "./timing.mjs";

/** The events of the feed after which schedules are not what they were. Of a tick there is none: see `soon`. */
export const CHANGES = ["created", "changed", "paused", "resumed", "deleted", "skipped", "ended"].map((name) => `schedule.${name}`);

const [SOONEST_MS, AFTER_MS] = [1000, 400];
const MISSED = { once: "one job for all that were missed", skip: "none, but for those of the last 30 s", all: "a job for each, 1,000 at most" };
const OVERLAP = { allow: "a job all the same", skip: "none as long as the last job is not final" };

/** Return in how many milliseconds the next of the ticks has come. */
export function soon(schedules) {
  const next = schedules.map(({ next_at: at }) => (at ? Date.parse(at) : Infinity));
  return Math.max(SOONEST_MS, Math.min(...next) - Date.now() + AFTER_MS);
}

/** Make what says when it comes: in words, and as it was put. */
export function timing(schedule) {
  const words = inWords(schedule);
  const exact = schedule.cron && h("code", { class: words && "soft" }, schedule.cron);
  const zone = schedule.timezone && h("span", { class: "soft" }, schedule.timezone);
  return h("div", { class: "stack" }, words && h("span", {}, words), (exact || zone) && h("small", {}, exact, " ", zone));
}

export const missed = ({ missed: name }) => `${name}: ${MISSED[name] ?? ""}`;
export const overlap = ({ overlap: name }) => `${name}: ${OVERLAP[name] ?? ""}`;

const ENDS = { end_at: "its end has passed", times: "it has made its last job", never: "no tick comes any more" };

export function standing({ paused, ended }) {
  if (ended) return h("span", { class: "badge", title: ENDS[ended] }, "ended");
  return paused ? h("span", { class: "badge paused" }, "paused") : h("span", { class: "badge active" }, "going");
}

/** Make the buttons. more: also those that are only on its own page, with the schedule read to the letter. */
export function actions(client, schedule, { more = false } = {}) {
  const { name } = schedule;
  const say = (text, action, danger) => h("button", { onclick: action, "aria-label": `${text} ${name}`, class: danger && "danger", ...needs("queues:admin") }, text);
  return h(
    "div",
    { class: "actions" },
    schedule.paused ? say("Resume", () => resume(client, schedule)) : say("Pause", () => pause(client, schedule)),
    say("Run now", () => run(client, schedule)),
    more && say("Edit", () => edit(client, schedule)),
    more && say("Delete", () => remove(client, schedule), true),
  );
}

async function pause(client, { name, version }) {
  const body = h("p", {}, "It makes no job until it is resumed, and what would have come meanwhile is not made up for.");
  if (await ask({ title: `Pause ${name}?`, body, agree: "Pause" })) {
    await attempt(() => client.schedules.pause(name, { version }), `Schedule ${name} is paused.`);
  }
}

async function resume(client, { name, version }) {
  const body = h("p", {}, "It goes on from now; what would have come while it was paused is not made up for.");
  if (await ask({ title: `Resume ${name}?`, body, agree: "Resume" })) {
    await attempt(() => client.schedules.resume(name, { version }), `Schedule ${name} goes on.`);
  }
}

async function run(client, { name, job }) {
  const body = h("p", {}, `A job of the type ${job.type ?? ""} is made at once. No tick moves.`);
  if (await ask({ title: `Run ${name} now?`, body, agree: "Run now" })) {
    const made = await attempt(() => client.schedules.run(name));
    if (made) notify([`Schedule ${name} made a job: `, h("a", { href: `#/job/${made.id}` }, made.id)], "good");
  }
}

async function remove(client, { name, version, declared }) {
  const body = [
    h("p", {}, "It makes no job any more, and what it knows of its ticks is gone. The jobs that it made stay."),
    declared && h("p", { class: "warn" }, "The code of a node has put it: the next node that starts puts it again. Pause it instead."),
  ];
  if (!(await ask({ title: `Delete ${name}?`, body, agree: "Delete the schedule", danger: true }))) return;
  if (await attempt(() => client.schedules.delete(name, { version }), `Schedule ${name} is deleted.`)) go(["schedules"]);
}

/** Change a schedule, or without one make it. The template is taken as it is written, to the letter. */
export async function edit(client, schedule = null) {
  const text = (name, value, hints = {}) => h("input", { name, value: value ?? "", ...hints });
  const choice = (name, found, chosen) =>
    h("select", { name }, Object.entries(found).map(([value, words]) => h("option", { value, selected: value === chosen }, `${value}: ${words}`)));
  const inputs = {
    name: text("name", schedule?.name, { required: true, disabled: schedule !== null, placeholder: "nightly-report" }),
    cron: text("cron", schedule?.cron, { placeholder: "30 2 * * MON-FRI", class: "mono" }),
    timezone: text("timezone", schedule?.timezone, { placeholder: "UTC", list: "zones" }),
    every: text("every", schedule?.every, { type: "number", min: 1, step: "any", placeholder: "60" }),
    start_at: text("start_at", schedule?.start_at, { placeholder: "2030-01-31T12:00:00Z" }),
    end_at: text("end_at", schedule?.end_at, { placeholder: "never" }),
    times: text("times", schedule?.times, { type: "number", min: 1, step: 1, placeholder: "without end" }),
    missed: choice("missed", MISSED, schedule?.missed ?? "once"),
    overlap: choice("overlap", OVERLAP, schedule?.overlap ?? "allow"),
    job: h("textarea", { name: "job", spellcheck: false, value: schedule ? indented(schedule.job.text) : NEW_JOB }),
  };
  const hidden = schedule?.encrypted && h("p", { class: "warn" }, "Its payload is encrypted and not shown: write it anew, or it is gone.");
  const done = await ask({
    title: schedule ? `Edit ${schedule.name}` : "New schedule",
    body: [form(inputs), hidden],
    agree: schedule ? "Have it be so" : "Make it",
    wide: true,
    answer: () => client.schedules.put(schedule?.name ?? inputs.name.value.trim(), written(inputs, schedule), put(schedule)),
  });
  if (!done) return;
  notify(`Schedule ${done.name} is so.`, "good");
  if (!schedule) go(["schedules", done.name]);
}

const put = (schedule) => (schedule ? { version: schedule.version } : { onlyNew: true });

const NEW_JOB = '{\n  "type": "report",\n  "payload": {}\n}';

function form(inputs) {
  const zones = h("datalist", { id: "zones" }, Intl.supportedValuesOf("timeZone").map((value) => h("option", { value })));
  return [
    field("Name", inputs.name),
    h(
      "div",
      { class: "pair" },
      field("Cron", inputs.cron, "minute hour day month weekday; or @daily …"),
      field("Time zone", inputs.timezone, "of the cron expression"),
      field("Or every so many seconds", inputs.every),
      field("from this instant on", inputs.start_at, "without it, from now on"),
      field("Until", inputs.end_at),
      field("So many jobs in all", inputs.times),
      field("Ticks that nobody was there for", inputs.missed),
      field("While the last job is not final", inputs.overlap),
    ),
    field("Job", inputs.job, "JSON, the fields of POST /jobs: type, payload, queue, priority, max_attempts, timeout, labels …"),
    zones,
  ];
}

function written(inputs, schedule) {
  const fault = wrong(inputs.job.value);
  if (fault) throw new Fault("job", fault.message, fault.at);
  const value = (name) => inputs[name].value.trim() || undefined;
  const whole = (name) => (value(name) === undefined ? undefined : Number(value(name)));
  return {
    cron: value("cron"),
    timezone: value("timezone"),
    every: whole("every"),
    start_at: value("start_at"),
    start: schedule?.start ?? undefined,
    end_at: value("end_at"),
    times: whole("times"),
    missed: inputs.missed.value,
    overlap: inputs.overlap.value,
    job: new Source(inputs.job.value),
  };
}
