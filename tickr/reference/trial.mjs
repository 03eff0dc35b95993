// Trying a call: a form of what it takes, the same as a command for a shell, and what Tickr answered.

import { copyButton } from "../ui/copying.mjs";
import { fill, h } from "../ui/dom.mjs";
import { visible } from "../ui/format.mjs";
import { signedIn, url } from "../ui/session.mjs";
import { indented } from "../ui/source.mjs";
import { command } from "./shell.mjs";

const TOKEN = "tickr.token";
const SHOWN = 200_000; // characters of an answer
const TOLD = ["location", "etag", "retry-after", "idempotent-replayed", "tickr-unique", "content-type"];

export function trial({ method, path, said, body }) {
  if (said.responses["101"] && !said.responses["200"]) return h("p", { class: "soft" }, "This one is a websocket.");
  const inputs = (said.parameters ?? []).map((one) => [one, input(one)]);
  const text = body && h("textarea", { "aria-label": "Body", spellcheck: "false", value: first(body), oninput: write });
  const shell = h("pre", { class: "shell", tabindex: 0, "aria-label": "As a command" });
  const place = h("div", { class: "answer", role: "status" });
  const send = h("button", { class: method === "DELETE" ? "danger" : "primary" }, "Send");
  write();
  return h(
    "form",
    { onsubmit: (event) => (event.preventDefault(), sent()), class: "trial" },
    inputs.map(([one, field]) => h("label", { class: "field" }, h("span", {}, h("code", {}, one.name), one.required && h("small", { class: "warn" }, " required")), field)),
    body && examples(body, (value) => ((text.value = value), write())),
    text,
    shell,
    h("div", { class: "actions" }, send, copyButton("Copy the command", "The command", () => shell.textContent)),
    place,
  );

  function input(one) {
    const values = one.schema.enum ?? one.schema.items?.enum;
    const many = one.schema.type === "array" || one.schema.type === "object";
    if (values && !many) return h("select", { name: one.name, onchange: write }, h("option", { value: "" }, ""), values.map((value) => h("option", {}, value)));
    const hint = one.schema.type === "object" ? "payload.order.id=1207" : many ? "several: one in each line" : "";
    const attributes = { name: one.name, oninput: write, placeholder: hint, required: one.required };
    return many ? h("textarea", { ...attributes, class: "short", rows: 1 }) : h("input", attributes);
  }

  /** Return what is to be asked, as the form says it now. */
  function request() {
    const query = new URLSearchParams();
    const headers = {};
    let address = path;
    for (const [one, field] of inputs) {
      const values = field.value.split("\n").map((value) => value.trim()).filter(Boolean);
      if (one.in === "path") address = address.replace(`{${one.name}}`, () => values[0] ? encodeURIComponent(values[0]) : `{${one.name}}`);
      else if (one.in === "header") values[0] && (headers[one.name] = values[0]);
      else for (const value of values) query.append(...(one.schema.type === "object" ? value.split(/=(.*)/s, 2) : [one.name, value]));
    }
    const content = text?.value.trim();
    if (content) headers["Content-Type"] = "application/json";
    return { method, url: `${url}${address}${query.size ? `?${query}` : ""}`, headers, body: content || undefined };
  }

  function write() {
    fill(shell, visible(command(request(), said.security.length > 0 && signedIn())));
  }

  async function sent() {
    const { url: address, headers, ...wish } = request();
    const token = sessionStorage.getItem(TOKEN);
    write();
    send.disabled = true;
    try {
      const began = performance.now();
      const answer = await fetch(address, { ...wish, redirect: "manual", headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }) } });
      const took = Math.round(performance.now() - began);
      fill(place, shown(answer, await answer.text(), took));
    } catch (error) {
      fill(place, h("p", { class: "bad" }, `There was no answer: ${error.message}`));
    } finally {
      send.disabled = false;
    }
  }
}

function shown(answer, content, took) {
  const headers = TOLD.filter((name) => answer.headers.has(name));
  const long = content.length > SHOWN;
  const told = long || !answer.headers.get("content-type")?.includes("json") ? visible(content.slice(0, SHOWN)) : indented(content);
  return [
    h("div", {}, h("span", { class: `badge ${answer.ok ? "succeeded" : "failed"}` }, answer.status), h("small", { class: "soft" }, ` in ${took} ms`)),
    h("dl", { class: "facts" }, headers.map((name) => [h("dt", {}, name), h("dd", {}, visible(answer.headers.get(name)))])),
    told && h("pre", { tabindex: 0, "aria-label": "Answer" }, told, long && "\n…"),
  ];
}

const first = (body) => pretty(Object.values(body.examples)[0].value);
const pretty = (value) => JSON.stringify(value, null, 2);

function examples(body, choose) {
  const some = Object.entries(body.examples);
  if (some.length < 2) return null;
  const options = some.map(([name, { summary }]) => h("option", { value: name }, summary));
  return h("label", { class: "field" }, h("span", {}, "Example"), h("select", { onchange: (event) => choose(pretty(body.examples[event.target.value].value)) }, options));
}
