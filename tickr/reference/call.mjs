// One call: what it takes, what it answers, and a form to try it. What is inside is made when it is opened first.

import { fill, h } from "../ui/dom.mjs";
import { prose } from "./prose.mjs";
import { resolve, schema } from "./schema.mjs";
import { trial } from "./trial.mjs";

export function call({ method, path, said }, description) {
  const place = h("div", { class: "inside" });
  const summary = h(
    "summary",
    {},
    h("span", { class: `method ${method}` }, method),
    h("code", { class: "path" }, path),
    h("span", { class: "soft" }, said.summary),
  );
  const details = h("details", { class: "card call", id: `call-${said.operationId}`, ontoggle: make }, summary, place);
  return details;

  function make() {
    if (details.open && !place.hasChildNodes()) fill(place, inside({ method, path, said }, description));
  }
}

function inside({ method, path, said }, description) {
  const answers = Object.entries(said.responses).map(([status, one]) => [status, resolve(one, description)]);
  const scopes = said.security.flatMap((one) => one.token);
  const body = said.requestBody?.content["application/json"];
  return [
    said.description && h("p", {}, prose(said.description)),
    h("p", { class: "soft" }, scopes.length ? ["Needs the scope ", h("code", {}, scopes.join(", ")), "."] : said.security.length ? "Needs no scope." : "Needs no token."),
    said.parameters && part("Parameters", said.parameters.map((one) => parameter(one, description))),
    body && part(said.requestBody.required ? "Body" : "Body, if there is one", schema(body.schema, description)),
    part("Answers", answers.filter(([status]) => status < 400).map((one) => answer(one, description))),
    folded("Problems", answers.filter(([status]) => status >= 400).map((one) => problem(one))),
    part("Try it", trial({ method, path, said, body })),
  ];
}

const part = (name, ...content) => h("section", {}, h("h3", {}, name), content);
const folded = (name, ...content) => h("details", {}, h("summary", {}, h("h3", {}, name)), content);

function parameter(one, description) {
  return h(
    "div",
    { class: "one" },
    h("div", {}, h("code", { class: "name" }, one.name), " ", h("small", { class: "soft" }, `in the ${one.in}${one.required ? ", required" : ""}`)),
    h("div", {}, prose(one.description)),
    schema(one.schema, description),
  );
}

function answer([status, one], description) {
  const headers = Object.entries(one.headers ?? {});
  return h(
    "div",
    { class: "one" },
    h("div", {}, h("span", { class: "badge succeeded" }, status), " ", prose(one.description)),
    headers.length > 0 && h("dl", { class: "facts" }, headers.map(([name, told]) => [h("dt", {}, h("code", {}, name)), h("dd", {}, prose(told.description))])),
    Object.entries(one.content ?? {}).map(([media, { schema: shape }]) => h("div", {}, h("small", { class: "soft" }, media), media === "application/json" && schema(shape, description))),
  );
}

function problem([status, one]) {
  const codes = one.content["application/problem+json"]?.schema.allOf[1].properties.code.enum ?? [];
  return h("div", { class: "one" }, h("span", { class: "badge failed" }, status), " ", codes.map((code) => [h("code", {}, code), " "]));
}
