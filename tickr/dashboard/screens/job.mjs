// One job: what it is, how far, why not yet, each of its starts, what it says, and what can be done to it.

import { NotFound, Source } from "../client/client.mjs";
import { copyButton } from "../copying.mjs";
import { fill, h } from "../dom.mjs";
import * as filters from "../filters.mjs";
import { distance, duration, isId, number, short, visible } from "../format.mjs";
import { actions, copies } from "../job_actions.mjs";
import { JobEvents } from "../job_events.mjs";
import { JobLog } from "../job_log.mjs";
import { badge, ENDED, jobLink, labels, progress, took, when } from "../marks.mjs";
import { address } from "../route.mjs";
import { timeline } from "../timeline.mjs";
import { family } from "../tree.mjs";
import { value } from "../value.mjs";
import { needs } from "../rights.mjs";

const SECTIONS = ["head", "error", "why", "facts", "payload", "result", "said", "attempts", "family"];

export const title = ([, id = ""]) => `Job ${short(id)}`;

export function open(page) {
  const { client, content } = page;
  const [id = ""] = page.path;
  if (!isId(id)) return gone(content, id, "This is no id of a job.");
  const decrypt = page.query.get("decrypt") === "true";
  const known = filters.known(client);
  const place = Object.fromEntries(SECTIONS.map((name) => [name, h("section", { class: `job-${name}` })]));
  const [log, events] = [new JobLog(), new JobEvents()];
  const read = async () => whole(await client.get(id, { exact: true, decrypt }));
  let [all, heard] = [false, null];
  lay(content, place, log, events);

  return page.follow({ job: id }, async (told) => {
    events.add(told);
    heard = told.findLast(({ what }) => what === "progress") ?? heard;
    let job;
    try {
      job = as(await read(), heard);
    } catch (error) {
      if (!(error instanceof NotFound)) throw error;
      return void gone(content, id, "It was deleted, was kept long enough after its end, or never was.");
    }
    if (!place.head.isConnected) lay(content, place, log, events);
    const [history, tree, why] = await Promise.all([
      client.attempts(id),
      client.tree(id),
      ENDED.has(job.state) ? null : client.explain(id),
      log.read(client, id, decrypt),
    ]);
    const show = () => {
      fill(place.attempts, h("h2", {}, "Attempts"), timeline(job, history, all, () => ((all = true), show())));
    };
    fill(place.head, head(page, job, read, known));
    fill(place.error, job.error && fault(job));
    fill(place.why, why && !runs(why) && reasons(why));
    fill(place.facts, h("h2", {}, "Facts"), facts(job));
    for (const name of ["payload", "result"]) keep(place[name], job[name]?.text ?? job.state, () => held(page, job, name));
    keep(place.said, job.progress_data?.text ?? null, () => job.progress_data && value("Progress data", job.progress_data.text));
    show();
    const kin = family(job, tree);
    fill(place.family, kin && [h("h2", {}, "Other jobs"), kin]);
  });
}

/** Return the job with null as a text, too, where it is what the job holds. */
function whole(job) {
  const nothing = new Source("null");
  if (job.encrypted) return job;
  const result = job.state === "succeeded" ? (job.result ?? nothing) : job.result;
  return { ...job, payload: job.payload ?? nothing, result };
}

/** Return the job with the progress that was heard of last: the feed is a little ahead of what is stored. */
function as(job, heard) {
  if (job.state !== "running" || heard === null || heard.job.attempt !== job.attempt || job.encrypted) return job;
  const { progress: share, message } = heard.data;
  return (job.progress ?? 0) > share ? job : { ...job, progress: share, progress_message: message };
}

function lay(content, place, log, events) {
  const card = (name, ...parts) => h("section", { class: `card ${name}` }, parts);
  for (const name of ["error", "why", "facts", "payload", "result", "said", "family"]) place[name].classList.add("card");
  fill(
    content,
    place.head,
    place.error,
    place.why,
    h("div", { class: "job-columns" }, place.facts, h("div", { class: "job-held" }, place.payload, place.result, place.said)),
    place.attempts,
    place.family,
    card("job-log", h("h2", {}, "Log"), log.element),
    card("job-events", h("h2", {}, "Events"), events.element),
  );
}

function gone(content, id, words) {
  fill(
    content,
    h("h1", {}, "No such job"),
    h("p", {}, h("code", {}, visible(id))),
    h("p", {}, words),
    h("p", {}, h("a", { href: address(["jobs"]) }, "To all jobs")),
  );
}

function head(page, job, read, known) {
  return [
    h(
      "div",
      { class: "head" },
      h("h1", {}, job.type),
      badge(job.state),
      progress(job),
      h("div", { class: "actions" }, actions(page.client, job, read, known)),
    ),
    h(
      "div",
      { class: "head second" },
      h("code", { class: "soft" }, job.id),
      copyButton("Copy", "The id", () => job.id, { class: "quiet", "aria-label": "Copy the id" }),
      h("div", { class: "actions" }, copies(page.client, job, known)),
    ),
    job.notice && h("p", { class: "warn" }, visible(job.notice)),
  ];
}

function fault({ error, state }) {
  const lead = state === "failed" ? "bad" : "warn";
  return [
    h("h2", { class: lead }, state === "failed" ? "Why it failed" : state === "cancelled" ? "Why it was cancelled" : "The last error"),
    h("p", { class: "words" }, h("code", {}, visible(error.kind)), " ", visible(error.message)),
    error.traceback && h("details", { "data-key": "traceback", open: state === "failed" }, h("summary", {}, "Traceback"), h("pre", { class: "inset" }, visible(error.traceback))),
  ];
}

/** Return whether nothing is to be said of why a job does not run: a running one may be on a node that is silent. */
function runs({ reasons: [first] }) {
  return first?.code === "running";
}

function reasons({ reasons: found, ahead, estimated_start: start }) {
  const line = ({ code, detail, until, jobs = [] }) =>
    h(
      "li",
      {},
      visible(detail),
      until && [" That is ", when(until), "."],
      h("span", { class: "soft small", title: "Code of this reason" }, ` ${code}`),
      jobs?.length > 0 && h("ul", {}, jobs.map((one) => h("li", {}, badge(one.state), " ", jobLink(one.id, one.type), h("span", { class: "mono soft small" }, ` ${short(one.id)}`)))),
    );
  return [
    h("h2", {}, found[0]?.code === "node_silent" ? "Its node is silent" : "Why it is not running"),
    h("ul", { class: "reasons" }, found.map(line)),
    h("p", { class: "soft" }, [ahead ? `${number(ahead)} due jobs of its queue come before it.` : "", start ? `At the present pace it starts ${distance(start)}.` : ""].join(" ")),
  ];
}

function facts(job) {
  const rows = [
    ["Queue", h("a", { href: address(["queues", job.queue]) }, job.queue)],
    ["Priority", String(job.priority)],
    ["Attempt", `${number(job.attempt)} of ${number(job.max_attempts)}`],
    job.crashes > 0 && ["Crashes", `${job.crashes}, outlives ${job.max_crashes}`],
    ["Created", when(job.created_at)],
    !ENDED.has(job.state) && job.state !== "running" && ["Due", when(job.run_at)],
    job.started_at && ["Started", when(job.started_at)],
    job.finished_at && ["Ended", when(job.finished_at)],
    job.started_at && (job.finished_at || job.state === "running") && ["Took", took(job)],
    job.expires_at && ["Expires", when(job.expires_at)],
    job.keep !== null && ["Kept after its end", duration(job.keep)],
    job.node && ["Node", h("a", { class: "mono", href: address(["nodes", job.node]) }, job.node)],
    Object.keys(job.labels).length > 0 && ["Labels", labels(job.labels, Infinity)],
    job.limit_key && ["Limit key", visible(job.limit_key)],
    job.unique && ["Unique key", `${visible(job.unique.key)} (until ${job.unique.until})`],
    job.sequence && ["Sequence", visible(job.sequence)],
    job.schedule && ["Schedule", [h("a", { href: address(["schedules", job.schedule.name]) }, job.schedule.name), job.schedule.tick && [" of ", when(job.schedule.tick)]]],
    job.parent && ["Submitted by", jobLink(job.parent)],
    job.traceparent && ["Trace", h("span", { class: "mono" }, job.traceparent)],
    job.encrypted && ["Encrypted", `with the key ${job.encryption_key}`],
    ["Version", String(job.version)],
  ];
  return h("dl", { class: "facts" }, rows.filter(Boolean).map(([name, said]) => [h("dt", {}, name), h("dd", {}, said)]));
}

/** Show what a job holds; where that is encrypted, say so, and offer to open it. */
function held(page, job, name) {
  const says = name[0].toUpperCase() + name.slice(1);
  if (job[name]) return value(says, job[name].text);
  if (!job.encrypted || (name === "result" && job.state !== "succeeded")) return null;
  const reveal = h("button", { onclick: () => page.choose({ decrypt: "true" }), ...needs("admin") }, "Show in the clear");
  return [h("h2", {}, says), h("p", { class: "soft" }, "Encrypted. Tickr's log notes who has it opened. "), name === "payload" && reveal];
}

const kept = new WeakMap();

/** Fill a place anew only where what it shows has changed: what is opened, or marked to be copied, stays so. */
function keep(place, key, make) {
  if (kept.has(place) && kept.get(place) === key) return;
  kept.set(place, key);
  fill(place, make());
}
