// What one can do to a job. Each change is of the version that was seen: if somebody else was faster, that is said first.

import { stringify } from "./client/client.mjs";
import { JobForm } from "./changes.mjs";
import { copyButton } from "./copying.mjs";
import { ask, field } from "./dialog.mjs";
import { h } from "./dom.mjs";
import { ENDED } from "./marks.mjs";
import { notify } from "./notices.mjs";
import { needs } from "./rights.mjs";
import { signedIn, url } from "./session.mjs";
import { indented } from "./source.mjs";
import { submitJob } from "./submit.mjs";

const COMPARED = ["state", "type", "payload", "queue", "priority", "run_at", "attempt", "max_attempts", "labels", "limit_key", "expires_at"];
const SUBMITTED = ["type", "payload", "queue", "priority", "max_attempts", "max_crashes", "labels", "limit_key", "keep", "unique", "sequence"];

/** Make the buttons for a job as it is. read(): returns it anew. known: what may be suggested in forms. */
export function actions(client, job, read, known) {
  const waits = !ENDED.has(job.state) && job.state !== "running";
  const about = { client, job, read, known };
  const button = (name, action, attributes = {}) => h("button", { onclick: () => action(about), ...attributes, ...needs("jobs:write") }, name);
  return [
    ENDED.has(job.state) && [button("Retry", retry, { class: "primary" }), button("Edit and retry …", mend)],
    waits && [job.state !== "blocked" && Date.parse(job.run_at) > Date.now() && button("Run now", runNow), button("Edit …", edit)],
    job.state === "running" && button("Time-out …", limit),
    !ENDED.has(job.state) && button("Cancel …", cancel, { class: "danger" }),
    job.state !== "running" && button("Delete …", remove, { class: "danger" }),
  ];
}

/** Make the buttons that change nothing. */
export function copies(client, job, known) {
  const closed = job.encrypted && job.payload === null;
  return [
    copyButton("Copy as JSON", "The job", () => indented(stringify(job))),
    !closed && copyButton("Copy as curl", "The command", () => curl(job)),
    !closed && h("button", { onclick: () => submitJob(client, known, job), ...needs("jobs:write") }, "Submit another …"),
  ];
}

/** Return a command that submits such a job. */
export function curl(job) {
  const said = SUBMITTED.filter((name) => (job[name] ?? null) !== null && (name !== "labels" || Object.keys(job.labels).length));
  const body = stringify(Object.fromEntries(said.map((name) => [name, job[name]])));
  const token = !signedIn() ? "" : ' -H "Authorization: Bearer $TICKR_TOKEN"';
  return `curl ${url}/jobs${token} -H 'Content-Type: application/json' \\\n  --data-binary '${body.replaceAll("'", "'\\''")}'`;
}

async function retry(about) {
  const body = [h("p", {}, `It has ${about.job.state}. It starts over, ready at once, and keeps its history.`)];
  await change(about, { title: "Retry?", body, agree: "Retry", done: "It runs again." }, (version) => about.client.retry(about.job, { version }));
}

async function mend(about) {
  const form = new JobForm(about.job, { retry: true, known: await about.known });
  const body = [h("p", { class: "soft" }, "What is left as it is stays as it was."), form.nodes];
  const doing = (version) => about.client.retry(about.job, { version, ...form.changes() });
  await change(about, { title: "Edit and retry", body, agree: "Retry so", done: "It runs again, changed.", wide: true }, doing);
}

async function edit(about) {
  const form = new JobForm(about.job, { known: await about.known });
  await change(about, { title: "Edit", body: form.nodes, agree: "Change it", done: "It is changed.", wide: true }, (version) =>
    about.client.edit(about.job, { version, ...form.changes() }),
  );
}

async function limit(about) {
  const form = new JobForm(about.job, { running: true });
  await change(about, { title: "Change the time-out?", body: form.nodes, agree: "Change it", done: "It has another time-out." }, (version) =>
    about.client.edit(about.job, { version, ...form.changes() }),
  );
}

async function runNow(about) {
  await change(about, { title: "Run it now?", body: [h("p", {}, "It is due at once, and starts as soon as its queue has a place.")], agree: "Run now", done: "It is due now." }, (version) =>
    about.client.edit(about.job, { version, delay: 0 }),
  );
}

async function cancel(about) {
  const reason = h("input", { name: "reason", maxlength: 500, placeholder: "optional" });
  const runs = about.job.state === "running";
  const body = [h("p", {}, runs ? "Its handler is told to stop; it is cancelled once that has ended." : "It will not run."), field("Reason", reason)];
  await change(about, { title: "Cancel this job?", body, agree: "Cancel the job", danger: true, done: runs ? "It is told to stop." : "It is cancelled." }, (version) =>
    about.client.cancel(about.job, { version, reason: reason.value.trim() || undefined }),
  );
}

async function remove(about) {
  const ended = ENDED.has(about.job.state);
  const body = [h("p", {}, `${ended ? "It is" : "It is cancelled and"} deleted for good, with its payload, its result and its history.`)];
  await change(about, { title: "Delete this job?", body, agree: "Delete for good", danger: true, done: "It is deleted." }, (version) =>
    about.client.delete(about.job, { version, cancel: !ended }),
  );
}

/** Ask, and do it to the version that is shown; to the one there is now where that is agreed to in its turn. */
async function change(about, { done, ...question }, doing) {
  const answer = async () => {
    try {
      return (await doing(about.job.version)) ?? true;
    } catch (error) {
      if (error.code !== "version_mismatch") throw error;
      const now = await about.read();
      const found = differences(about.job, now);
      about.job = now;
      throw new Error(`Nothing was done: the job has changed meanwhile. ${found} Agree again to do it all the same.`);
    }
  };
  if (await ask({ ...question, answer })) notify(done, "good");
}

function differences(before, now) {
  const said = (one) => (one?.text ?? (typeof one === "object" ? stringify(one) : String(one))).slice(0, 200);
  const found = COMPARED.filter((name) => said(before[name]) !== said(now[name]));
  const words = found.map((name) => `${name}: ${said(before[name])} → ${said(now[name])}.`);
  return [`Version ${before.version} → ${now.version}.`, ...words].join(" ");
}
