// What happens to a job while one looks, as the feed tells it. State: the lines that are shown.

import { h } from "./dom.mjs";
import { clock, json, visible } from "./format.mjs";
import { cut } from "./marks.mjs";

const MOST = 200;

export class JobEvents {
  #list = h("ol", { class: "events plain", reversed: true });
  #none = h("p", { class: "soft" }, "Nothing since the page was opened.");
  element = h("div", {}, this.#none);

  add(events) {
    if (!events.some(({ what }) => what !== "log")) return;
    this.#none.remove();
    this.element.append(this.#list);
    for (const one of events) {
      if (one.what === "progress" && this.#list.firstChild?.dataset.what === "progress") this.#list.firstChild.remove(); // the last will do
      if (one.what !== "log") this.#list.prepend(line(one)); // which is shown as such
    }
    while (this.#list.children.length > MOST) this.#list.lastChild.remove();
  }
}

function line({ what, time, data }) {
  return h("li", { "data-what": what }, h("span", { class: "at", title: clock(time) }, clock(time).slice(11)), h("strong", {}, what), h("span", {}, cut(words(what, data), 2000)));
}

function words(what, data) {
  if (what === "progress") return [`${Math.round((data.progress ?? 0) * 100)} %`, data.message && visible(data.message)].filter(Boolean).join(", ");
  if (what === "emitted") return `${visible(data.name)} ${json(data.data ?? null)}`;
  const moved = data.previous_state && data.previous_state !== data.job.state ? `${data.previous_state} → ${data.job.state}` : "";
  const changed = data.changed?.length ? `another ${data.changed.join(", ")}` : "";
  const error = data.error ? `${visible(data.error.kind)}: ${visible(data.error.message ?? "")}` : "";
  return [moved, changed, error].filter(Boolean).join("; ");
}
