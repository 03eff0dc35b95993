// A schema as a list of fields with what each must be; records inside of others open on demand, so one may hold itself.

import { fill, h } from "../ui/dom.mjs";
import { prose } from "./prose.mjs";

const BOUNDS = [
  ["minimum", "≥"],
  ["exclusiveMinimum", ">"],
  ["maximum", "≤"],
  ["minLength", "characters ≥"],
  ["maxLength", "characters ≤"],
  ["minItems", "items ≥"],
  ["maxItems", "items ≤"],
  ["maxProperties", "fields ≤"],
];

/** Return what `{"$ref": …}` stands for; anything else as it is. */
export function resolve(one, description) {
  if (!one.$ref) return one;
  return one.$ref.slice(2).split("/").reduce((found, name) => found[name], description);
}

/** Return what a value must be: a line for one that is plain, fields for a record. */
export function schema(shape, description) {
  const inner = resolve(shape, description);
  if (inner.properties) return fields(inner, description);
  return h("div", {}, plain(inner), records(inner).map((one) => record(one, description)));
}

function fields(shape, description) {
  const required = new Set(shape.required ?? []);
  const comesIn = shape.additionalProperties === false;
  return h(
    "div",
    { class: "fields" },
    shape.description && h("p", { class: "soft" }, prose(shape.description)),
    Object.entries(shape.properties).map(([name, one]) =>
      h(
        "div",
        { class: "one" },
        h("div", {}, h("code", { class: "name" }, name), comesIn && required.has(name) && h("small", { class: "warn" }, " required"), " ", plain(one)),
        one.description && h("div", { class: "soft" }, prose(one.description)),
        records(one).map((inner) => record(inner, description)),
      ),
    ),
  );
}

/** A record, by its name: what it has is shown when it is opened. */
function record(reference, description) {
  const place = h("div");
  const name = reference.$ref.split("/").at(-1);
  const details = h("details", { ontoggle: () => details.open && !place.hasChildNodes() && fill(place, schema(reference, description)) }, h("summary", {}, name), place);
  return details;
}

/** The records that a value may be, or hold. */
function records(shape) {
  if (shape.$ref) return [shape];
  const inner = [shape.items, shape.additionalProperties, ...(shape.anyOf ?? []), ...(shape.allOf ?? [])];
  return inner.filter((one) => one && typeof one === "object").flatMap(records);
}

function plain(shape) {
  const bounds = BOUNDS.filter(([name]) => name in shape).map(([name, sign]) => `${sign} ${shape[name]}`);
  const values = shape.enum?.map((one) => JSON.stringify(one)).join(" ");
  const told = [kind(shape), shape.format, values, ...bounds, "default" in shape && `default ${JSON.stringify(shape.default)}`];
  return [
    h("small", { class: "kind" }, told.filter(Boolean).join(" · ")),
    shape.pattern && h("small", { class: "kind pattern" }, shape.pattern),
  ];
}

function kind(shape) {
  if (shape.$ref) return shape.$ref.split("/").at(-1);
  if (shape.anyOf) return shape.anyOf.map(kind).join(" or ");
  if (shape.type === "array") return `list of ${kind(shape.items)}`;
  return [shape.type ?? "any JSON"].flat().join(" or ");
}
