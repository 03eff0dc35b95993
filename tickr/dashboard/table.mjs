// A list as a table: a link leads from a row to what it is about, j and k go from row to row.

import { h } from "./dom.mjs";

/**
 * Make a table of `rows`. columns: {name, cell(row), class?, label?}; the first that gives a link makes the row's way in.
 * options: caption (said to screen readers), empty (what is said without rows), row(row) → attributes of its <tr>.
 */
export function table(columns, rows, { caption, empty = "Nothing here.", row: attributes = () => ({}) }) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  const head = columns.map((one) => h("th", { scope: "col", class: one.class, "aria-sort": one.sorted }, one.name));
  const body = rows.map((row) =>
    h("tr", attributes(row), columns.map((one) => cell(one, row))),
  );
  return h(
    "div",
    { class: "scroll" },
    h("table", {}, h("caption", { class: "hidden" }, caption), h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)),
  );
}

function cell(column, row) {
  const content = column.cell(row);
  return h("td", { class: column.class, "data-name": label(column) }, Array.isArray(content) ? h("div", {}, content) : content);
}

const label = (column) => column.label ?? (typeof column.name === "string" ? column.name : "");

/** Move the focus by `steps` rows, to the link or the button by which one gets into the row. */
export function step(steps) {
  const ways = [...document.querySelectorAll("main tbody tr")].map((row) => row.querySelector("a, button")).filter(Boolean);
  if (!ways.length) return;
  const at = ways.findIndex((one) => one.closest("tr").contains(document.activeElement));
  ways[Math.min(ways.length - 1, Math.max(0, at + steps))].focus();
}
