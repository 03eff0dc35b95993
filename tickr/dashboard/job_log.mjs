// What a job has logged, line by line, as it comes. State: the lines that are shown, and the place behind the last.

import { h } from "./dom.mjs";
import { clock, number, visible } from "./format.mjs";

const MOST = 1200; // Tickr keeps about a thousand

export class JobLog {
  #cursor;
  #empty = h("p", { class: "soft" }, "It has logged nothing.");
  #lines = h("div", { class: "log", role: "log", tabindex: 0, "aria-label": "Log" });
  element = h("div", {}, this.#empty);

  /** Read what has come since the last time, and show it. Who looks at the end goes on looking at the end. */
  async read(client, id, decrypt) {
    const { items, cursor } = await client.log(id, { after: this.#cursor, decrypt });
    this.#cursor = cursor;
    if (!items.length) return;
    if (this.#empty.isConnected) this.element.replaceChildren(this.#lines);
    const lines = this.#lines;
    const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 30;
    lines.append(...items.flatMap(line));
    while (lines.children.length > MOST) lines.firstChild.remove();
    if (atEnd) lines.scrollTop = lines.scrollHeight;
  }
}

function line({ attempt, at, message, dropped }) {
  const said = message === null ? "(encrypted)" : visible(message);
  return [
    dropped > 0 && h("div", { class: "warn" }, `… ${number(dropped)} lines were left out here`),
    h("div", {}, h("span", { class: "at", title: clock(at) }, clock(at).slice(11)), h("span", { class: "soft", title: "Attempt" }, String(attempt)), h("span", {}, said)),
  ].filter(Boolean);
}
