// Long lists: found in by a few letters, put in order by a column, and the way back to them. What is chosen stands in the
// address.

import { h } from "./dom.mjs";
import { address } from "./route.mjs";

/** Make the link from the page of one thing to the list of all. */
export const wayBack = (path, name) => h("a", { class: "back", href: address([path]) }, `‹ ${name}`);

/** Make a field that finds rows: `element`, and `has(...texts)`, whether all its words are in one of them. */
export function finder(page, what, changed) {
  const input = h("input", { type: "search", name: "find", value: page.query.get("find") ?? "", placeholder: `Find: ${what}` });
  input.setAttribute("aria-label", `Find: ${what}`);
  input.addEventListener("input", () => {
    page.note({ find: input.value.trim() });
    changed();
  });
  return {
    element: input,
    has(...texts) {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      return words.every((word) => texts.some((text) => String(text ?? "").toLowerCase().includes(word)));
    },
  };
}

/**
 * Return {columns, rows} in the order that is chosen on the page, or by `first`: a column's name, `-` before it for
 * downwards. Columns with `by(row)`, a number or a text, can be chosen; null comes last. changed: called on a choice.
 */
export function ordered(page, columns, rows, first, changed) {
  const chosen = page.query.get("sort") ?? first;
  const down = chosen.startsWith("-");
  const column = columns.find((one) => one.by && label(one) === chosen.replace(/^-/, ""));
  const heads = columns.map((one) => (one.by ? head(page, one, one === column ? (down ? "descending" : "ascending") : null, changed) : one));
  if (!column) return { columns: heads, rows };
  return { columns: heads, rows: [...rows].sort((one, other) => compare(column.by(one), column.by(other), down ? -1 : 1)) };
}

function head(page, column, sorted, changed) {
  const name = label(column);
  const way = sorted === "descending" || (sorted === null && !column.down) ? name : `-${name}`;
  const choose = () => {
    page.note({ sort: way });
    changed();
  };
  const arrow = sorted && h("span", { "aria-hidden": "true" }, sorted === "ascending" ? " ↑" : " ↓");
  return { ...column, sorted, label: name, name: h("button", { class: "sort", onclick: choose }, name, arrow) };
}

const label = (column) => column.label ?? column.name;

function compare(one, other, way) {
  if (one === null || other === null) return (one === null) - (other === null);
  return way * (typeof one === "number" ? one - other : one < other ? -1 : one > other ? 1 : 0);
}
