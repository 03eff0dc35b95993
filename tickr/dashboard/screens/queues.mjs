// Queues: what waits and runs in each, what is set on it, and setting it.

import { ask, field } from "../dialog.mjs";
import { fill, h } from "../dom.mjs";
import { clock, distance, number } from "../format.mjs";
import { attempt } from "../notices.mjs";
import { address } from "../route.mjs";
import { table } from "../table.mjs";

export const title = () => "Queues";

export function open(page) {
  const list = h("div");
  fill(page.content, h("div", { class: "head" }, h("h1", {}, title())), list);
  return page.follow({}, async () => {
    const queues = await page.client.queues.list();
    fill(list, table(columns(page), queues, { caption: "Queues", empty: "No queue yet: the first job in a queue makes it." }));
  });
}

function columns({ client }) {
  const count = (state) => ({
    name: state[0].toUpperCase() + state.slice(1),
    class: "number",
    cell: (queue) => h("a", { href: address(["jobs"], { queue: queue.name, state }) }, counted(queue, state)),
  });
  return [
    { name: "Queue", cell: (queue) => h("a", { href: address(["jobs"], { queue: queue.name }) }, queue.name) },
    ...["ready", "scheduled", "retrying", "running"].map(count),
    { name: "Oldest due", class: "number", cell: ({ oldest_due_at: at }) => h("span", { title: clock(at) }, at ? distance(at) : "–") },
    { name: "Limits", cell: limits },
    { name: "State", cell: state },
    { name: h("span", { class: "hidden" }, "Actions"), class: "tight", label: "", cell: (queue) => actions(client, queue) },
  ];
}

const counted = (queue, state) => number(queue[state]) + (queue[state] >= queue.counted_to ? "+" : "");

function limits({ max_running: running, max_running_per_key: perKey, rate, shared_keys: shared }) {
  const said = [
    running !== null && `${number(running)} at once`,
    perKey !== null && `${number(perKey)} at once per key${shared ? ", over all queues" : ""}`,
    rate !== null && `${number(rate.starts)} starts in ${rate.period} s`,
  ].filter(Boolean);
  return said.join("; ") || "none";
}

function state({ paused, paused_until: until }) {
  if (!paused) return h("span", { class: "badge active" }, "going");
  return h("span", { class: "badge paused", title: until && clock(until) }, until ? `paused, ends ${distance(until)}` : "paused");
}

function actions(client, queue) {
  const { name } = queue;
  const say = (text, action, what) => h("button", { onclick: action, "aria-label": `${text} ${name}` }, what ?? text);
  return h(
    "div",
    { class: "actions" },
    queue.paused
      ? say("Resume", () => attempt(() => client.queues.resume(name), `Queue ${name} goes on.`))
      : say("Pause", () => pause(client, name)),
    say("Limit", () => limit(client, queue)),
    say("Empty", () => empty(client, queue)),
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
  const waiting = ["ready", "scheduled", "retrying"].map((state) => `${counted(queue, state)} ${state}`).join(", ");
  const gone = h("input", { type: "checkbox" });
  const wish = await ask({
    title: `Empty ${queue.name}?`,
    body: [
      h("p", {}, `All that waits in it is cancelled: ${waiting}. What runs goes on.`),
      h("label", {}, gone, " Delete the jobs for good as well"),
    ],
    agree: "Cancel what waits",
    danger: true,
    answer: () => ({ delete: gone.checked }),
  });
  if (wish) await attempt(() => client.queues.empty(queue.name, wish), `Queue ${queue.name} is being emptied.`);
}
