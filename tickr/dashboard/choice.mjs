// The jobs that are chosen by their boxes, and the bar of what is to be done: to them, or to all that match.

import * as bulk from "./bulk.mjs";
import { fill, h } from "./dom.mjs";
import { number, short } from "./format.mjs";

export class Choice {
  element = h("div", { class: "acts" });
  #ids = new Set();
  #boxes = new Map();
  #buttons;
  #all;

  /** which: the filters. all: what is meant while none is chosen, in words. begun(operation): one has begun. */
  constructor(client, which, all, begun) {
    const meant = () => (this.#ids.size ? { ids: [...this.#ids] } : which);
    const started = (operation) => {
      this.clear();
      begun(operation);
    };
    this.#buttons = h("div", { class: "actions" }, bulk.buttons(client, meant, started));
    this.#all = all;
    this.#show();
  }

  /** Whether some are chosen: then the list is to stand still. */
  get some() {
    return this.#ids.size > 0;
  }

  /** Make the column of boxes for these jobs. */
  column(jobs) {
    this.#boxes = new Map(jobs.map((job) => [job.id, this.#box(`Choose ${job.type} ${short(job.id)}`, (on) => this.#pick([job.id], on))]));
    const every = this.#box("Choose all on this page", (on) => this.#pick([...this.#boxes.keys()], on));
    return { name: every, label: "Choose", class: "tight", cell: (job) => this.#boxes.get(job.id) };
  }

  clear() {
    this.#pick([...this.#boxes.keys()], false);
  }

  #box = (says, changed) => h("input", { type: "checkbox", "aria-label": says, onchange: ({ target }) => changed(target.checked) });

  #pick(ids, on) {
    for (const id of ids) {
      this.#boxes.get(id).checked = on;
      if (on) this.#ids.add(id);
      else this.#ids.delete(id);
    }
    this.#show();
  }

  #show() {
    const chosen = [
      h("strong", {}, `${number(this.#ids.size)} chosen`),
      h("button", { class: "quiet", onclick: () => this.clear() }, "Clear"),
      h("span", { class: "soft" }, "The list stands still meanwhile."),
    ];
    fill(this.element, this.some ? chosen : h("span", { class: "soft" }, this.#all), this.#buttons);
  }
}
