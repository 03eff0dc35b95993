// What was done over a time, as charts: of everything, of a queue, of a type. The time and the choice stand in the address.

import { Chart } from "./chart.mjs";
import { fill, h } from "./dom.mjs";
import { distance, duration, number } from "./format.mjs";
import { makeMark, markList } from "./moments.mjs";
import { attempt } from "./notices.mjs";
import { needs } from "./rights.mjs";

const [MINUTE_MS, HOUR_MS] = [60_000, 3_600_000];
const DAY_MS = 24 * HOUR_MS;
const STEP_MS = { minute: MINUTE_MS, hour: HOUR_MS, day: DAY_MS };
const READ_MS = { minute: 5000, hour: 10_000, day: 60_000 }; // sums of longer steps change less, and cost more
const LEAST_SHARE = 0.2; // of a step that has just begun: before, its rate would be a matter of chance

/** By the name in the address: what is said, how long it is, and in which steps. */
export const SPANS = {
  "1h": ["1 h", HOUR_MS, "minute"],
  "6h": ["6 h", 6 * HOUR_MS, "minute"],
  "24h": ["24 h", DAY_MS, "hour"],
  "30d": ["30 d", 30 * DAY_MS, "hour"],
  "1y": ["1 y", 365 * DAY_MS, "day"],
};
const FIRST = "1h";

const perMinute = (value) => (value >= 100 ? number(Math.round(value)) : String(Number(value.toPrecision(3))));
const times = (name, what) => ({
  title: what,
  unit: "within which half (p50), 95 % (p95) of the jobs were",
  lines: [{ name: "p50", kind: "p50" }, { name: "p95", kind: "p95" }],
  format: (value) => duration(value).replace(".0 ", " "),
  seconds: true,
  of: (amounts) => [amounts?.[name]?.p50 ?? null, amounts?.[name]?.p95 ?? null],
  total: ({ [name]: all }) => (all ? [duration(all.p50), duration(all.p95)] : []),
});
const rates = (title, names, kinds = names) => ({
  title,
  unit: "per minute",
  lines: names.map((name, at) => ({ name, kind: kinds[at] })),
  format: perMinute,
  of: (amounts, minutes) => names.map((name) => (minutes === null ? null : (amounts?.[name] ?? 0) / minutes)),
  total: (all) => names.map((name) => `${number(all[name])} in all`),
});
const age = {
  title: "Backlog: age of the oldest due job",
  unit: "the greatest seen, every few seconds",
  lines: [{ name: "oldest", kind: "oldest" }],
  format: times().format,
  seconds: true,
  of: (amounts, minutes, seen) => [seen ?? null],
  total: (all, backlog) => ((backlog?.age ?? null) === null ? [] : [`${duration(backlog.age)} at most`]),
  nothing: (backlog) => (backlog === null ? "It is known by queue, not by type." : backlog.age === null ? "It is not known of this time." : "Nothing that was due was seen to wait."),
};
const CHARTS = [
  rates("Jobs", ["created", "succeeded", "failed"]),
  rates("Failures", ["failed", "retrying"]),
  times("wait", "Wait: from due to started"),
  times("run", "Run: from started to ended"),
  age,
];

export class History {
  #page;
  #fixed;
  #charts = CHARTS.map((one) => [one, new Chart(one)]);
  #spans = h("div", { class: "choice", role: "group", "aria-label": "Time shown" });
  #chosen = h("div", { class: "filters" });
  #asOf = h("span", { class: "soft" });
  #marks = h("div");
  #readAt = -Infinity;
  #shown = "";

  /** fixed: {queue}, where that is not to be chosen. beside(span): called with what to ask for whenever it is read. */
  constructor(page, { fixed = {}, beside = async () => {} } = {}) {
    [this.#page, this.#fixed, this.beside] = [page, fixed, beside];
    const mark = h("button", { onclick: () => makeMark(page.client, () => this.load(true)), ...needs("queues:admin") }, "Mark this moment");
    this.element = h(
      "section",
      { class: "history", "aria-label": "Over time" },
      h("div", { class: "head" }, this.#spans, this.#chosen, this.#asOf, h("div", { class: "actions" }, mark)),
      h("div", { class: "charts" }, this.#charts.map(([, chart]) => chart.element)),
      this.#marks,
    );
    this.#offer();
  }

  get #span() {
    const name = this.#page.query.get("span");
    return Object.hasOwn(SPANS, name) ? name : FIRST;
  }

  /** What is asked for: {step, since, queue, type}. */
  get wish() {
    const [, lengthMs, step] = SPANS[this.#span];
    const since = new Date(Math.floor(Date.now() / STEP_MS[step]) * STEP_MS[step] - lengthMs + STEP_MS[step]);
    const choice = (name) => this.#fixed[name] ?? this.#page.query.get(name) ?? undefined;
    return { step, since, queue: choice("queue"), type: choice("type") };
  }

  /** Offer queues and types to choose from. */
  offer({ queues, types }) {
    const shown = JSON.stringify([queues, types]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    fill(this.#chosen, this.#select("queue", "Queue", "all queues", queues), this.#select("type", "Type", "all types", types));
  }

  #select(name, words, all, found) {
    if (this.#fixed[name] !== undefined) return null;
    const chosen = this.#page.query.get(name) ?? "";
    const known = chosen && !found.includes(chosen) ? [chosen, ...found] : found;
    const options = [h("option", { value: "" }, all), known.map((one) => h("option", { value: one, selected: one === chosen }, one))];
    const chosenNow = ({ target }) => this.#choose({ [name]: target.value });
    return h("select", { name, "aria-label": words, onchange: chosenNow }, options);
  }

  #offer() {
    const button = ([name, [words]]) =>
      h("button", { "aria-pressed": String(name === this.#span), onclick: () => this.#choose({ span: name === FIRST ? "" : name }) }, words);
    fill(this.#spans, Object.entries(SPANS).map(button));
  }

  #choose(changes) {
    this.#page.note(changes);
    this.#offer();
    attempt(() => this.load(true));
  }

  /** Read it again, if it may be another one by now; now: in any case. */
  async load(now = false) {
    const { wish } = this;
    if (!now && performance.now() - this.#readAt < READ_MS[wish.step]) return;
    this.#readAt = performance.now();
    const [found] = await Promise.all([this.#page.client.statistics(wish), this.beside(wish)]);
    if (JSON.stringify({ ...wish, since: 0 }) !== JSON.stringify({ ...this.wish, since: 0 })) return; // chosen otherwise meanwhile
    this.#show(found);
  }

  #show(found) {
    const stepMs = STEP_MS[found.step];
    const [{ points, total, backlog }] = found.series;
    const marks = found.marks.map(({ at, text }) => ({ at: Date.parse(at), text }));
    const steps = every(found, { points, ages: backlog?.points ?? [] }, stepMs);
    for (const [{ of, total: totals, nothing }, chart] of this.#charts) {
      const shown = steps.map(({ at, amounts, minutes, seen }) => ({ at, values: of(amounts, minutes, seen) }));
      chart.show({ points: shown, stepMs, marks, totals: totals(total, backlog), utc: found.step === "day", nothing: nothing?.(backlog) });
    }
    fill(this.#asOf, `As of ${distance(found.as_of)}`);
    fill(this.#marks, markList(this.#page.client, found.marks, () => this.load(true)));
  }
}

/**
 * Return every step of the time: {at, amounts, minutes, seen}, in how many minutes the amounts were, null where it is too
 * few yet; and which age of the backlog was seen, if it was looked at.
 */
function every({ since, until, as_of: asOf }, { points, ages }, stepMs) {
  const known = new Map(points.map((point) => [Date.parse(point.at), point]));
  const seen = new Map(ages.map((one) => [Date.parse(one.at), one.age]));
  const steps = [];
  for (let at = Date.parse(since); at < Date.parse(until); at += stepMs) {
    const past = Math.min(stepMs, Date.parse(asOf) - at);
    steps.push({ at, amounts: known.get(at), minutes: past < LEAST_SHARE * stepMs ? null : past / MINUTE_MS, seen: seen.get(at) });
  }
  return steps;
}
