// A chart over time: lines, vertical marks with their words, the values at the instant one points at or goes to by the
// arrow keys, and the same as a table. Drawn in the pixels that there are; drawn again when it is given another width.

import { fill, h, svg } from "./dom.mjs";
import { HEIGHT, Plot } from "./plot.mjs";
import { moment } from "./scale.mjs";

export class Chart {
  #lines;
  #format;
  #seconds;
  #data = null;
  #at = null;
  #place = h("div", { class: "plot", tabindex: 0, role: "group" });
  #cursor = svg("g", { class: "cursor" });
  #readings;
  #when = h("span", { class: "when" });
  #told = h("p", { class: "hidden", "aria-live": "polite" });
  #details;
  #drawn = null;

  /**
   * title: what is measured. unit: said beside it. lines: {name, kind}, kind a class of the style sheet, which has its
   * colour and its dashes. format(value) → text. seconds: the values are durations.
   */
  constructor({ title, unit, lines, format, seconds = false }) {
    [this.#lines, this.#format, this.#seconds] = [lines, format, seconds];
    this.unit = unit;
    this.#readings = lines.map(() => h("b"));
    const legend = lines.map((line, at) => h("li", {}, swatch(line.kind), h("span", {}, line.name), this.#readings[at]));
    this.#details = h("details", { class: "figures", ontoggle: () => this.#tabulate() }, h("summary", {}, "As a table"));
    this.#place.setAttribute("aria-label", `${title}: the arrow keys go from instant to instant`);
    this.element = h(
      "figure",
      { class: "chart card" },
      h("figcaption", {}, h("h2", {}, title), this.#when, h("ul", { class: "legend" }, legend)),
      this.#place,
      this.#told,
      this.#details,
    );
    this.title = title;
    this.#listen();
    new ResizeObserver(() => this.#draw()).observe(this.#place);
  }

  /**
   * Show other values. points: {at, values}, at in milliseconds, a value for each line, or null where there is none; each
   * stands for `stepMs` from there on. marks: {at, text}. totals: texts for the whole, one for each line. utc: of days.
   * nothing: said where there is nothing to draw.
   */
  show({ points, stepMs, marks = [], totals = [], utc = false, nothing = "Nothing in this time." }) {
    this.#data = { points, stepMs, marks, totals, utc, nothing };
    if (this.#at !== null) this.#at = Math.min(this.#at, points.length - 1);
    this.#draw();
    this.#tabulate();
  }

  #listen() {
    const place = this.#place;
    place.addEventListener("pointermove", ({ clientX }) => {
      if (this.#drawn) this.#read(this.#drawn.index(clientX - place.getBoundingClientRect().left));
    });
    place.addEventListener("pointerleave", () => this.#read(null));
    place.addEventListener("blur", () => this.#read(null));
    place.addEventListener("keydown", (event) => {
      const last = (this.#data?.points.length ?? 0) - 1;
      const from = this.#at ?? last + 1;
      const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last, Escape: null }[event.key];
      if (to === undefined || last < 0) return;
      event.preventDefault();
      this.#read(to === null ? null : Math.max(0, Math.min(last, to)));
      this.#told.textContent = to === null ? "" : this.#words(this.#at);
    });
  }

  /** Show the values at one of the points, or the totals again. */
  #read(at) {
    this.#at = at;
    const { points, totals, stepMs, utc } = this.#data ?? { points: [], totals: [] };
    const point = points[at];
    this.#when.textContent = point ? [moment(point.at, stepMs, { utc }), ...this.#marksAt(point)].join(" · ") : this.unit;
    this.#readings.forEach((place, line) => {
      place.textContent = point ? this.#said(point.values[line]) : (totals[line] ?? "");
    });
    fill(this.#cursor, point && this.#drawn && this.#drawn.cursor(point));
  }

  #said(value) {
    return value === null ? "–" : this.#format(value);
  }

  #words(at) {
    const { points, stepMs, utc } = this.#data;
    const said = this.#lines.map(({ name }, line) => `${name} ${this.#said(points[at].values[line])}`);
    return [moment(points[at].at, stepMs, { utc }), ...said, ...this.#marksAt(points[at])].join(", ");
  }

  #marksAt(point) {
    const { marks, stepMs } = this.#data;
    return marks.filter(({ at }) => at >= point.at && at < point.at + stepMs).map(({ text }) => text);
  }

  #draw() {
    const width = Math.floor(this.#place.clientWidth);
    if (!this.#data || width < 60) return;
    const { points, marks } = this.#data;
    if (!points.some((point) => point.values.some((value) => value !== null && value !== 0)) && !marks.length) {
      this.#drawn = null;
      fill(this.#place, h("p", { class: "nothing" }, this.#data.nothing));
      return this.#read(null);
    }
    const plot = new Plot(this.#data, width, { format: this.#format, seconds: this.#seconds });
    const lines = this.#lines.map(({ kind }, line) => plot.line(kind, line));
    const size = { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" };
    fill(this.#place, svg("svg", size, plot.axes(), plot.marks(marks), lines, this.#cursor));
    this.#drawn = plot;
    this.#read(this.#at);
  }

  #tabulate() {
    if (!this.#details.open || !this.#data) return;
    const { points, stepMs, utc } = this.#data;
    const head = ["From", ...this.#lines.map(({ name }) => name), "Marks"].map((name) => h("th", { scope: "col" }, name));
    const rows = points.map((point) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, moment(point.at, stepMs, { utc })),
        point.values.map((value) => h("td", {}, this.#said(value))),
        h("td", {}, this.#marksAt(point).join(", ")),
      ),
    );
    const caption = h("caption", { class: "hidden" }, `${this.title}, ${this.unit}`);
    const table = h("table", {}, caption, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows.reverse()));
    fill(this.#details, this.#details.querySelector("summary"), h("div", { class: "figures", tabindex: 0 }, table));
  }
}

function swatch(kind) {
  const line = svg("g", { class: `line ${kind}` }, svg("path", { d: "M1 6L23 6" }));
  return svg("svg", { width: 24, height: 12, "aria-hidden": "true" }, line);
}
