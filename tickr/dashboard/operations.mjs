// Operations: how far each of them is, and a way to stop it. They go on whoever looks.

import { ask } from "./dialog.mjs";
import { fill, h } from "./dom.mjs";
import { number } from "./format.mjs";
import { words as filterWords } from "./filters.mjs";
import { when } from "./marks.mjs";
import { attempt } from "./notices.mjs";
import { needs } from "./rights.mjs";
import { table } from "./table.mjs";

const OFTEN_MS = 700; // as long as one of them runs
const SELDOM_MS = 10_000;
const MOST = 20;

/**
 * Show in `place` those operations that `wanted(operation)` picks of the newest, and keep that true as long as the screen is
 * shown. Return what has them looked at now. ended(operation): one that ran has ended.
 */
export function watch(page, place, wanted, ended = () => {}) {
  const { client, signal } = page;
  let [wake, running] = [() => {}, new Set()];
  const show = (found) => {
    fill(place, found.length > 0 && h("section", {}, h("h2", {}, "Operations"), table(columns(client, () => wake()), found, { caption: "Operations" })));
    for (const one of found) if (running.has(one.id) && one.state !== "running") ended(one);
    running = new Set(found.filter((one) => one.state === "running").map((one) => one.id));
  };
  const look = async () => {
    while (!signal.aborted) {
      const found = page.paused() ? null : await client.operations.list({ limit: MOST }).catch(() => null); // the screen says why
      if (signal.aborted) return;
      const poked = new Promise((resolve) => (wake = resolve));
      if (found) show(found.filter(wanted));
      const timer = setTimeout(() => wake(), running.size ? OFTEN_MS : SELDOM_MS);
      await poked;
      clearTimeout(timer);
    }
  };
  signal.addEventListener("abort", () => wake());
  look();
  return () => wake();
}

function columns(client, wake) {
  return [
    { name: "What", cell: (one) => [h("strong", {}, one.action), h("span", { class: "soft" }, ` ${about(one)}`)] },
    { name: "Progress", cell: progress },
    { name: "Begun", class: "tight", cell: (one) => when(one.created_at) },
    { name: "State", class: "tight", cell: (one) => h("span", { class: `badge ${one.state === "done" ? "succeeded" : one.state}` }, one.state) },
    { name: h("span", { class: "hidden" }, "Stop"), label: "", class: "tight", cell: (one) => one.state === "running" && h("button", { onclick: () => stop(client, one, wake), ...needs("jobs:write") }, "Stop") },
  ];
}

function about({ filter, changes, reason }) {
  const said = Object.entries(filter ?? {}).flatMap(([name, value]) => {
    if (name === "payload") return Object.entries(value).map(([path, one]) => filterWords(`payload.${path}`, [one].flat().join(" or ")));
    return [filterWords(name, [value].flat().join(" or "))];
  });
  const changed = Object.keys(changes ?? {});
  if (changed.length) said.push(`changing ${changed.join(", ")}`);
  if (reason) said.push(`“${reason}”`);
  return said.join("; ");
}

function progress(one) {
  const gone = one.done + one.skipped;
  const share = one.state === "done" ? 1 : one.total ? Math.min(1, gone / one.total) : 0;
  const text = `${number(one.done)} of ${number(one.total)}${one.exact ? "" : " or more"}${one.skipped ? `, ${number(one.skipped)} skipped` : ""}`;
  return h("span", { class: "progress" }, h("progress", { value: share, max: 1, "aria-label": `Progress of ${one.action}` }), h("span", {}, text));
}

async function stop(client, one, wake) {
  const wish = await ask({ title: `Stop this ${one.action}?`, body: [h("p", {}, "It goes no further. What it has done stays done.")], agree: "Stop it", danger: true });
  if (wish) await attempt(() => client.operations.stop(one), (seen) => `It is ${seen.state}: ${number(seen.done)} of ${number(seen.total)} were changed.`);
  wake();
}
