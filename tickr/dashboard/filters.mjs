// Which jobs: filters that stand in the address with the names that the API gives them, as chips, and a form for more.

import { fill, h } from "./dom.mjs";
import { clock, isId, visible } from "./format.mjs";
import { cut } from "./marks.mjs";
import { go } from "./route.mjs";

const PAYLOAD = "payload.";
const PART = "payload~";
// Names come from the address, and may be any: what every object has is none of these.
const INSTANTS = {
  __proto__: null,
  created_after: "Created after",
  created_before: "Created before",
  finished_after: "Ended after",
  finished_before: "Ended before",
};
const HINTS = {
  __proto__: null,
  type: ["Type", "report"],
  queue: ["Queue", "default"],
  label: ["Label", "name=value, or name"],
  error: ["Kind of error", "exception"],
  schedule: ["Made by the schedule", "nightly"],
  parent: ["Submitted by the job", "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"],
  payload: ["Payload has", "order.id=7"],
  [PART]: ["Payload contains", "any text in it"],
  ...Object.fromEntries(Object.entries(INSTANTS).map(([name, says]) => [name, [says, ""]])),
  id: ["Job with the id", "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"],
};
const OWN = new Set(["cursor"]); // of the address, and no filter

/** Return the filters of an address as [name, value] pairs. */
export const pairs = (query) => [...query].filter(([name]) => !OWN.has(name));

/** Return those filters as the client takes them: `{ state: […], payload: { path: […] }, contains: […] }`. */
export function which(query) {
  const found = Object.create(null); // whatever a name is, it is one
  const add = (place, name, value) => (place[name] ??= []).push(value);
  for (const [name, value] of pairs(query)) {
    if (name.startsWith(PAYLOAD)) add((found.payload ??= Object.create(null)), name.slice(PAYLOAD.length), value);
    else add(found, name === PART ? "contains" : name, value);
  }
  return found;
}

/** Return what of the filters the feed knows too: other events are no reason to look. */
export function concerning({ queue, type }) {
  return Object.fromEntries(Object.entries({ queue, type }).filter(([, value]) => value));
}

/** Return what a filter says, in words. */
export function words(name, value) {
  if (name in INSTANTS && !Number.isNaN(Date.parse(value))) return `${INSTANTS[name]} ${clock(value).slice(0, 19)}`;
  if (name.startsWith(PAYLOAD)) return `${name} = ${visible(value)}`;
  return `${name === "state" ? "State" : (HINTS[name]?.[0] ?? name)}: ${visible(value)}`;
}

/**
 * Make the row of states, the form, and the chips. page: its address is what is chosen. choose: as `page.choose`, with the
 * name of the part that is to have the focus afterwards. known: promise of {types, queues}, to be suggested. states: those
 * there are to choose from.
 */
export function bar(page, choose, known, states = []) {
  const chosen = new Set(page.query.getAll("state"));
  const toggle = (state) => {
    const wanted = states.filter((one) => chosen.has(one) !== (one === state));
    choose({ state: wanted }, `state-${state}`);
  };
  const button = (state) =>
    h("button", { class: `toggle ${state}`, "aria-pressed": String(chosen.has(state)), "data-focus": `state-${state}`, onclick: () => toggle(state) }, state);
  const rest = pairs(page.query).filter(([name, value]) => name !== "state" || !states.includes(value));
  return [
    states.length > 0 && h("div", { class: "toggles", role: "group", "aria-label": "States" }, states.map(button)),
    form(page, choose, known),
    rest.length > 0 && h("div", { class: "chips", role: "list", "aria-label": "Filters" }, rest.map((pair) => chip(page, choose, pair))),
  ];
}

function chip(page, choose, [name, value]) {
  const says = words(name, value);
  const off = () => choose({ [name]: page.query.getAll(name).filter((one) => one !== value) }, "filter-value");
  const cross = h("button", { class: "quiet", "aria-label": `Take off ${says}`, onclick: off }, "×");
  return h("span", { class: "chip big", role: "listitem", "data-filter": name }, h("span", { title: says }, cut(says, 80)), cross);
}

function form(page, choose, known) {
  const kind = h("select", { name: "filter", "aria-label": "Filter by" });
  for (const [name, [says]] of Object.entries(HINTS)) kind.append(h("option", { value: name }, says));
  const value = h("input", { name: "value", "aria-label": "Value of the filter", "data-focus": "filter-value", list: "known", autocomplete: "off", spellcheck: "false" });
  const suggestions = h("datalist", { id: "known" });
  const fault = h("small", { class: "bad", role: "alert" });
  const turn = async () => {
    fault.textContent = "";
    value.type = kind.value in INSTANTS ? "datetime-local" : "text";
    value.step = "1";
    value.placeholder = HINTS[kind.value][1];
    const { types, queues } = await known;
    suggestions.replaceChildren(...({ type: types, queue: queues }[kind.value] ?? []).map((one) => h("option", { value: one })));
  };
  kind.addEventListener("change", turn);
  turn();
  const submit = (event) => {
    event.preventDefault();
    const text = value.value.trim();
    if (!text) return;
    if (isId(text) && kind.value !== "parent") return go(["job", text.toLowerCase()]);
    const [found, trouble] = read(kind.value, text);
    if (trouble) return void (fault.textContent = trouble);
    const [name, wanted] = found;
    if (page.query.getAll(name).includes(wanted)) return void (fault.textContent = "is chosen already");
    const before = name in INSTANTS || name === "parent" ? [] : page.query.getAll(name);
    choose({ [name]: [...before, wanted] }, "filter-value");
  };
  return h("form", { class: "filters", onsubmit: submit }, kind, value, suggestions, h("button", { type: "submit" }, "Add filter"), fault);
}

/** Return [[name, value], null] of what was typed, or [null, what is wrong with it]. */
function read(kind, text) {
  if (kind === "id") return [null, "This is no id of a job: 32 hexadecimal digits in five groups."];
  if (kind in INSTANTS) return [[kind, new Date(text).toISOString()], null];
  if (kind !== "payload") return [[kind, text], null];
  const [path, ...value] = text.split("=");
  if (!path.trim() || !value.length) return [null, "Write a path, = and a value: order.id=7"];
  return [[PAYLOAD + path.trim(), value.join("=").trim()], null];
}

/** Return what is asked for; null where the server finds filters wrong: that is shown at their chips then, in `bar`. */
export async function blamed(bar, list, asked) {
  try {
    const found = await asked;
    blame(bar, []);
    return found;
  } catch (error) {
    if (!blame(bar, error.faults ?? [])) throw error;
    fill(list, h("p", { class: "empty" }, "Nothing is shown: a filter is wrong."));
    return null;
  }
}

/** Show faults at the chips they point to; return whether there are any, and all are shown. */
function blame(bar, faults) {
  for (const one of bar.querySelectorAll(".chip .fault")) one.remove();
  const shown = faults.filter(({ pointer, detail }) => {
    const name = pointer.slice(1).replaceAll("~1", "/").replaceAll("~0", "~");
    const chips = [...bar.querySelectorAll("[data-filter]")].filter((one) => one.dataset.filter === name);
    for (const one of chips) one.append(h("small", { class: "fault bad", role: "alert" }, visible(detail)));
    return chips.length;
  });
  return faults.length > 0 && shown.length === faults.length;
}

/** Return what may be suggested: {types, queues}. */
export async function known(client) {
  const [nodes, queues] = await Promise.allSettled([client.nodes.list(), client.queues.list()]); // a hint less is no fault
  const types = nodes.value?.items.flatMap((one) => one.types ?? []) ?? [];
  return { types: [...new Set(types)].sort(), queues: queues.value?.map((one) => one.name) ?? [] };
}
