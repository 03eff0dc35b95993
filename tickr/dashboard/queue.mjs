// What is said of a queue and done to it, in the list and on its own page.

import { ask, field } from "./dialog.mjs";
import { h } from "./dom.mjs";
import { clock, distance, number } from "./format.mjs";
import { attempt } from "./notices.mjs";
import { needs } from "./rights.mjs";
import { go } from "./route.mjs";

/** States of jobs that wait in a queue; those a queue is counted by. */
export const WAITING = ["ready", "scheduled", "retrying"];

export const counted = (queue, state) => number(queue[state]) + (queue[state] >= queue.counted_to ? "+" : "");

export function limits({ max_running: running, max_running_per_key: perKey, rate, shared_keys: shared }) {
  const said = [
    running !== null && `${number(running)} at once`,
    perKey !== null && `${number(perKey)} at once per key${shared ? ", over all queues" : ""}`,
    rate !== null && `${number(rate.starts)} starts in ${rate.period} s`,
  ].filter(Boolean);
  return said.join("; ") || "none";
}

export function standing({ paused, paused_until: until }) {
  if (!paused) return h("span", { class: "badge active" }, "going");
  return h("span", { class: "badge paused", title: until && clock(until) }, until ? `paused, ends ${distance(until)}` : "paused");
}

/** Make the buttons. more: also those that are only on its own page. done: called after each, with what was begun. */
export function actions(client, queue, { more = false, done = () => {} } = {}) {
  const { name } = queue;
  const say = (text, action, danger) =>
    h("button", { onclick: async () => done(await action()), "aria-label": `${text} ${name}`, class: danger && "danger", ...needs("queues:admin") }, text);
  return h(
    "div",
    { class: "actions" },
    queue.paused
      ? say("Resume", () => attempt(() => client.queues.resume(name), `Queue ${name} goes on.`))
      : say("Pause", () => pause(client, name)),
    say("Limit", () => limit(client, queue)),
    say("Empty", () => empty(client, queue)),
    more && say("Take away", () => takeAway(client, queue), true),
  );
}

async function pause(client, name) {
  const minutes = h("input", { type: "number", min: 0.1, max: 44_640, step: "any", placeholder: "until it is resumed" });
  const wish = await ask({
    title: `Pause ${name}?`,
    body: [h("p", {}, "None of its jobs is started meanwhile. What runs goes on."), field("For how many minutes", minutes)],
    agree: "Pause",
    answer: () => (minutes.value ? { forS: Number(minutes.value) * 60 } : {}),
  });
  if (wish) await attempt(() => client.queues.pause(name, wish), `Queue ${name} is paused.`);
}

async function limit(client, queue) {
  const whole = (value, hint) => h("input", { type: "number", min: 1, step: 1, value: value ?? "", placeholder: hint });
  const running = whole(queue.max_running, "no limit");
  const perKey = whole(queue.max_running_per_key, "no limit");
  const starts = whole(queue.rate?.starts, "no limit");
  const period = h("input", { type: "number", min: 0.001, step: "any", value: queue.rate?.period ?? 1 });
  const shared = h("input", { type: "checkbox", checked: queue.shared_keys });
  const wish = await ask({
    title: `Limits of ${queue.name}`,
    body: [
      field("Running at once, over all nodes", running),
      field("Running at once for the same key (limit_key)", perKey),
      field("Starts", starts),
      field("in so many seconds", period),
      h("label", {}, shared, " The limit by key counts over all queues that say so"),
    ],
    agree: "Set",
    answer: () => ({
      max_running: running.value ? Number(running.value) : null,
      max_running_per_key: perKey.value ? Number(perKey.value) : null,
      rate: starts.value ? { starts: Number(starts.value), period: Number(period.value) } : null,
      shared_keys: shared.checked,
    }),
  });
  if (wish) await attempt(() => client.queues.limit(queue.name, wish), `The limits of ${queue.name} are set.`);
}

async function empty(client, queue) {
  const look = await attempt(() => client.operations.look("cancel", { queue: queue.name, state: [...WAITING, "blocked"] }));
  if (!look) return;
  const gone = h("input", { type: "checkbox" });
  const wish = await ask({
    title: `Empty ${queue.name}?`,
    body: [
      h("p", {}, `All that waits in it is cancelled: ${number(look.total)}${look.exact ? "" : " or more"} ${look.total === 1 ? "job" : "jobs"} just now. What runs goes on.`),
      h("label", {}, gone, " Delete the jobs for good as well"),
    ],
    agree: "Cancel what waits",
    danger: true,
    answer: () => ({ delete: gone.checked }),
  });
  if (wish) return attempt(() => client.queues.empty(queue.name, wish), `Queue ${queue.name} is being emptied.`);
}

async function takeAway(client, { name }) {
  const body = h("p", {}, "It is no longer listed, and what was set on it is forgotten. That works only while nothing waits or runs in it; the next job in it makes it anew.");
  if (!(await ask({ title: `Take ${name} away?`, body, agree: "Take it away", danger: true }))) return;
  if (await attempt(() => client.queues.delete(name), `Queue ${name} is gone.`)) go(["queues"]);
}
