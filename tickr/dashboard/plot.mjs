// The parts of a chart's drawing, each where its values and instants belong.

import { svg } from "./dom.mjs";
import { instants, values } from "./scale.mjs";

export const HEIGHT = 190;
const [TOP, RIGHT, BOTTOM] = [20, 12, 24];
const LETTER = 6.4; // the width of one, about
const TICK_APART = 64;
const VALUES = 4;

const letters = (pixels) => Math.floor((pixels - 9) / LETTER);

export class Plot {
  #points;
  #middle;
  #ticks;
  #format;
  #utc;

  /** Of `points`, as `Chart.show` has them, so many pixels wide. */
  constructor({ points, stepMs, utc }, width, { format, seconds }) {
    const largest = Math.max(0, ...points.flatMap((point) => point.values.map((value) => value ?? 0)));
    this.#ticks = values(largest, VALUES, { seconds });
    [this.#points, this.#format, this.#utc] = [points, format, utc];
    this.left = Math.ceil(LETTER * Math.max(...this.#ticks.map((one) => format(one).length))) + 12;
    this.right = width - RIGHT;
    [this.since, this.until] = [points[0].at, points.at(-1).at + stepMs];
    this.#middle = stepMs / 2;
  }

  x(at) {
    return this.left + ((at - this.since) / (this.until - this.since)) * (this.right - this.left);
  }

  y(value) {
    return TOP + (1 - value / this.#ticks.at(-1)) * (HEIGHT - TOP - BOTTOM);
  }

  /** Return which point lies at `x` pixels. */
  index(x) {
    const share = (x - this.left) / (this.right - this.left);
    return Math.max(0, Math.min(this.#points.length - 1, Math.floor(share * this.#points.length)));
  }

  axes() {
    const across = this.#ticks.map((value) => {
      const y = Math.round(this.y(value)) + 0.5;
      return [
        svg("line", { class: value ? "grid" : "axis", x1: this.left, x2: this.right, y1: y, y2: y }),
        svg("text", { x: this.left - 6, y: y + 4, "text-anchor": "end" }, this.#format(value)),
      ];
    });
    const most = Math.max(2, Math.floor((this.right - this.left) / TICK_APART));
    const along = instants(this.since, this.until, most, { utc: this.#utc }).map(({ at, text }) => {
      const x = Math.round(this.x(at)) + 0.5;
      const half = (text.length * LETTER) / 2;
      return [
        svg("line", { class: "axis", x1: x, x2: x, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 4 }),
        x + half <= this.right + RIGHT && svg("text", { x, y: HEIGHT - 6, "text-anchor": "middle" }, text),
      ];
    });
    return svg("g", { class: "axes" }, across, along);
  }

  /** A line for each mark, and its words where there is room up to the next; of the first also on the other side. */
  marks(marks) {
    const shown = marks.filter(({ at }) => at >= this.since && at < this.until).sort((one, other) => one.at - other.at);
    return shown.map(({ at, text }, nth) => {
      const x = Math.round(this.x(at)) + 0.5;
      const next = nth + 1 < shown.length ? this.x(shown[nth + 1].at) : this.right + RIGHT;
      const [after, ahead] = [letters(next - x), nth > 0 ? 0 : letters(x - this.left)];
      const back = text.length > after && ahead > after;
      const room = back ? ahead : after;
      const words = text.length <= room ? text : room > 5 ? `${text.slice(0, room - 1)}…` : "";
      return svg(
        "g",
        { class: "mark" },
        svg("title", {}, text),
        svg("line", { x1: x, x2: x, y1: 6, y2: HEIGHT - BOTTOM }),
        svg("path", { d: `M${x} 6l6 3.5l-6 3.5z` }),
        words && svg("text", { x: back ? x - 4 : x + 9, y: 13, "text-anchor": back ? "end" : "start" }, words),
      );
    });
  }

  /** A line with gaps where there is no value; a point that stands alone is a dot. */
  line(kind, line) {
    const parts = [[]];
    for (const point of this.#points) {
      const value = point.values[line];
      if (value === null) parts.push([]);
      else parts.at(-1).push(`${this.x(point.at + this.#middle).toFixed(1)} ${this.y(value).toFixed(1)}`);
    }
    const drawn = parts.filter((part) => part.length > 1).map((part) => `M${part.join("L")}`).join("");
    const alone = parts.filter((part) => part.length === 1).map(([place]) => place.split(" "));
    return svg(
      "g",
      { class: `line ${kind}` },
      drawn && svg("path", { d: drawn }),
      alone.map(([cx, cy]) => svg("circle", { cx, cy, r: 2.5 })),
    );
  }

  cursor(point) {
    const x = this.x(point.at + this.#middle);
    return [
      svg("line", { x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }),
      point.values.map((value) => value !== null && svg("circle", { cx: x, cy: this.y(value), r: 3.5 })),
    ];
  }
}
