// What is done to many jobs at once: first how many that are, by kind, then the operation.

import { JobForm } from "./changes.mjs";
import { ask, field } from "./dialog.mjs";
import { h } from "./dom.mjs";
import { number, visible } from "./format.mjs";
import { badge, STATES } from "./marks.mjs";
import { attempt, notify } from "./notices.mjs";
import { needs } from "./rights.mjs";
import { table } from "./table.mjs";

const WAITING = ["scheduled", "ready", "blocked", "retrying"];
const ACTIONS = {
  retry: { name: "Retry", states: ["succeeded", "failed", "cancelled"], done: "start over, ready at once" },
  cancel: { name: "Cancel", states: [...WAITING, "running"], done: "be cancelled, those that run stopped", danger: true },
  edit: { name: "Edit", states: WAITING, done: "be changed" },
  delete: { name: "Delete", states: STATES.filter((one) => one !== "running"), done: "be deleted for good", danger: true },
};
const RATE = 200;

/** Return `which`, as far as the action is possible in the states it names; null if it is in none. ids alone: in all. */
export function narrowed(action, which) {
  const wanted = which.state ?? (which.ids ? ACTIONS[action].states : null);
  if (wanted === null) return which;
  const state = wanted.filter((one) => ACTIONS[action].states.includes(one) || !STATES.includes(one));
  return state.length ? { ...which, state } : null;
}

/** Make the buttons of the actions. which(): of the jobs that are meant now. begun(operation): one has begun. */
export function buttons(client, which, begun, actions = Object.keys(ACTIONS)) {
  return actions.map((action) => {
    const { name, danger } = ACTIONS[action];
    const begin = async () => {
      const operation = await start(client, action, which());
      if (operation) begun(operation);
    };
    return h("button", { onclick: begin, class: danger && "danger", "data-action": action, ...needs("jobs:write") }, `${name} …`);
  });
}

/** Ask for the operation, and return it once it has begun, or null. changing: its jobs are to be changed as well. */
export async function start(client, action, wanted, { changing = false } = {}) {
  const { name, done, danger } = ACTIONS[action];
  const which = narrowed(action, wanted);
  if (which === null) return notify(`None of these can be told to ${action}: it is for jobs that are ${ACTIONS[action].states.join(", ")}.`);
  const found = await attempt(() => client.operations.look(action, which));
  if (found === null) return null;
  const count = `${number(found.total)}${found.exact ? "" : " or more"} ${found.total === 1 ? "job" : "jobs"}`;
  if (!found.total && found.exact) return notify(`There is no job to ${action}: it is for those that are ${ACTIONS[action].states.join(", ")}.`);
  const rate = h("input", { name: "rate", type: "number", min: 0.1, max: 5000, step: "any", value: RATE });
  const reason = h("input", { name: "reason", maxlength: 500, placeholder: "optional" });
  const form = new JobForm({}, { all: true, retry: action === "retry" });
  const changeable = action === "retry" || action === "edit";
  const operation = await ask({
    title: `${name} ${count}?`,
    body: [
      h("p", {}, `${found.total === 1 ? "It is" : "They are"} to ${done}, step by step; what does not match any more when its turn comes is skipped.`),
      Object.keys(which).every((name) => name === "state") && h("p", { class: "warn" }, "No filter narrows this down: all jobs in these states are meant."),
      found.total ? groups(found.groups) : h("p", {}, "None is among the jobs that were counted; there are others that were not."),
      changeable && h("details", { open: changing || action === "edit" }, h("summary", {}, "Change them"), h("div", { class: "fields" }, h("p", { class: "soft" }, "What is left empty stays as it is; what is not, is the same for all of them."), form.nodes)),
      danger && field("Reason", reason, "Stands with the jobs and in their events."),
      field("At most so many jobs a second", rate),
    ],
    agree: `${name} ${count}`,
    danger: Boolean(danger),
    wide: changeable,
    answer: () => {
      const said = { all: true, rate: Number(rate.value) || RATE };
      if (danger && reason.value.trim()) said.reason = reason.value.trim();
      if (changeable) said.changes = form.changes();
      return client.operations[action](which, said);
    },
  });
  if (operation) notify(`${name}: an operation about ${count} has begun.`, "good");
  return operation;
}

function groups(found) {
  const columns = [
    { name: "State", class: "tight", cell: (one) => badge(one.state) },
    { name: "Type", cell: (one) => one.type },
    { name: "Kind of error", cell: (one) => one.error && visible(one.error) },
    { name: "Jobs", class: "number", cell: (one) => number(one.count) },
  ];
  return table(columns, found, { caption: "Jobs that are meant" });
}
