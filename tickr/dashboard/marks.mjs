// What is said of a job in a few characters, the same on every screen: its state, its labels, how far it is, when.

import { h } from "./dom.mjs";
import { clock, distance, duration, secondsBetween, short, visible } from "./format.mjs";
import { address } from "./route.mjs";

export const STATES = ["scheduled", "ready", "blocked", "running", "retrying", "succeeded", "failed", "cancelled"];
export const ENDED = new Set(["succeeded", "failed", "cancelled"]);

export const badge = (state) => h("span", { class: `badge ${state}` }, state);

export const jobLink = (id, text = short(id)) => h("a", { href: address(["job", id]), title: id, class: text === short(id) && "mono" }, text);

/** Make an instant: how far it is from now, exact when pointed at. */
export const when = (instant) => h("time", { class: "ago", datetime: instant, title: clock(instant) }, distance(instant));

/** Make chips of labels, of so many characters each; each leads to the jobs that have it. */
export function labels(found, most = 40) {
  const pairs = Object.entries(found);
  if (!pairs.length) return null;
  const chip = ([name, value]) =>
    h("a", { class: "chip", href: address(["jobs"], { label: `${name}=${value}` }), title: `${name}=${visible(value)}` }, cut(`${name}=${visible(value)}`, most));
  return h("span", { class: "chips" }, pairs.map(chip));
}

/** Make a bar of how far a job says it is, with its words for that; nothing if it does not say. */
export function progress({ progress: share, progress_message: message, type }) {
  if (share === null || share === undefined) return null;
  const percent = `${Math.round(share * 100)} %`;
  const words = message ? `${percent}, ${visible(message)}` : percent;
  return h("span", { class: "progress" }, h("progress", { value: share, max: 1, "aria-label": `Progress of ${type}` }), h("span", {}, words));
}

/** Return how long the last start of a job took, or takes. */
export function took(job) {
  if (!job.started_at || (!job.finished_at && job.state !== "running")) return "–";
  return duration(Math.max(0, secondsBetween(job.started_at, job.finished_at ?? new Date().toISOString())));
}

/** Return text of at most so many characters. */
export function cut(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** A long name of a machine or a type goes over to the next line behind a dot. */
export const breakable = (name) => name.split(/(?<=\.)/).flatMap((part, at) => (at ? [h("wbr"), part] : [part]));
