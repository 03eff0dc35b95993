// What a job holds, shown as it is written: in lines, with its size; what is large is opened on demand.

import { copyButton } from "./copying.mjs";
import { fill, h } from "./dom.mjs";
import { number, size } from "./format.mjs";
import { indented } from "./source.mjs";

const [MANY_LINES, MANY_CHARS] = [40, 6000];

/** Make a block of a JSON text under a name. */
export function value(name, text) {
  const full = indented(text);
  const lines = full.split("\n");
  const large = lines.length > MANY_LINES || full.length > MANY_CHARS;
  const place = h("pre", { tabindex: 0, "aria-label": name }, large ? shortened(lines) : full);
  const more = h("button", { onclick: () => (fill(place, full), more.remove()) }, `Show all ${number(lines.length)} lines`);
  return [
    h("div", { class: "head" }, h("h2", {}, name), h("span", { class: "soft small" }, size(text)), h("div", { class: "actions" }, copyButton("Copy", name, () => text, { "aria-label": `Copy ${name}` }))),
    place,
    large && more,
  ];
}

function shortened(lines) {
  const text = lines.slice(0, MANY_LINES / 2).join("\n");
  return `${text.slice(0, MANY_CHARS / 4)}\n…`;
}
