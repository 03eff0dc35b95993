// What is said of a node and done to it, in the list and on its own page.

import { ask, field } from "./dialog.mjs";
import { h } from "./dom.mjs";
import { duration, number } from "./format.mjs";
import { attempt } from "./notices.mjs";
import { needs } from "./rights.mjs";

/** What the feed tells of nodes. That one came, or died, nobody tells: it is seen in the next list. */
export const CHANGES = ["quieted", "resumed", "changed", "stopping"].map((name) => `node.${name}`);

const SLOTS = 10_000;
const AGING = 0.5; // of a lease: a node renews it several times before

export const called = ({ name, pid, kind }) => (kind === "remote" ? name || "a remote worker" : `${name}:${pid}`);

export function standing({ state, obeyed }) {
  const words = obeyed ? state : `${state}, not heard of yet`;
  return h("span", { class: `badge ${state === "running" ? "active" : "quiet"}` }, words);
}

/** Make how many jobs it runs of how many it may, as a bar with its numbers. */
export function load({ running, slots }) {
  if (!slots) return h("span", { class: "soft" }, "runs no jobs");
  const bar = h("meter", { min: 0, max: slots, value: Math.min(running, slots), "aria-label": "Slots in use" });
  return h("span", { class: "load" }, bar, h("span", {}, `${number(running)} of ${number(slots)}`));
}

/** Make how old its lease is; it is spoken of where it should have been renewed. */
export function lease({ lease: length, lease_age: age }) {
  const old = age > AGING * length;
  const words = `${duration(age)} of ${duration(length)}`;
  return h("span", { class: old && "warn", title: old && "It should have renewed it: it hangs, or is gone" }, words);
}

export const list = (names, none) => (names.length ? names.join(", ") : none);

/** Make the buttons for a node; none for a remote worker, which takes no orders. */
export function actions(client, node) {
  const { id, kind, state, roles } = node;
  if (kind === "remote" || state === "stopping") return null;
  const name = called(node);
  const say = (text, action, danger) => h("button", { onclick: action, "aria-label": `${text} ${name}`, class: danger && "danger", ...needs("admin") }, text);
  const works = roles.includes("worker");
  return h(
    "div",
    { class: "actions" },
    works && state === "running" && say("Quiet", () => quiet(client, id, name)),
    works && state === "quiet" && say("Resume", () => resume(client, id, name)),
    works && say("Slots", () => slots(client, node, name)),
    say("Stop", () => stop(client, node, name), true),
  );
}

async function quiet(client, id, name) {
  const body = h("p", {}, "It takes nothing new; what it runs goes on, and it stays. Its work waits for other nodes.");
  if (await ask({ title: `Quiet ${name}?`, body, agree: "Quiet" })) await attempt(() => client.nodes.quiet(id), `${name} is told to be quiet.`);
}

async function resume(client, id, name) {
  const body = h("p", {}, "It takes work again.");
  if (await ask({ title: `Resume ${name}?`, body, agree: "Resume" })) await attempt(() => client.nodes.resume(id), `${name} is told to go on.`);
}

async function slots(client, { id, slots: before }, name) {
  const wished = h("input", { type: "number", name: "slots", min: 1, max: SLOTS, step: 1, value: before, required: true });
  await ask({
    title: `How many jobs may ${name} run at once?`,
    body: [
      h("p", {}, "With fewer, what runs goes on, and nothing is taken until it is few enough. It holds until the node is started anew."),
      field("Jobs at once", wished),
    ],
    agree: "Set",
    answer: () => client.nodes.change(id, { slots: Number(wished.value) }),
  });
}

async function stop(client, { id, running }, name) {
  const goesOn = running ? `The ${number(running)} jobs it runs have its grace to end in; then they are taken back and run elsewhere.` : "It runs nothing just now.";
  const body = h("p", {}, "It ends as after SIGTERM, and there is no way back. ", goesOn);
  if (await ask({ title: `Stop ${name}?`, body, agree: "Stop the node", danger: true })) {
    await attempt(() => client.nodes.stop(id), `${name} is told to stop.`);
  }
}
