// Where a job stands among others: who has submitted it, what it has submitted, what it waits for.

import { h } from "./dom.mjs";
import { duration, secondsBetween, visible } from "./format.mjs";
import { badge, jobLink } from "./marks.mjs";
import { address } from "./route.mjs";

const SHOWN = 30; // of the children of one job, before one asks for the others

/** Make the card's content, or null where the job stands alone. found: of `client.tree`. */
export function family(job, found) {
  const { tree, parent, complete } = found;
  const after = job.depends_on;
  if (!parent && !tree.children.length && !after) return null;
  return [
    parent && h("p", {}, "Submitted by ", jobLink(parent)),
    after && h("p", {}, "Depends on ", after.jobs.flatMap((id, at) => [at > 0 && ", ", jobLink(id)]), h("span", { class: "soft" }, ` (if one fails: ${after.on_failure})`)),
    tree.children.length > 0 && h("ul", { class: "tree" }, branches(tree)),
    tree.children.length > 0 && h("p", {}, h("a", { href: address(["jobs"], { parent: job.id }) }, "What it has submitted, as a list")),
    !complete && h("p", { class: "soft" }, "There are more than are shown."),
  ];
}

function branches({ id, children }) {
  const [first, rest] = [children.slice(0, SHOWN), children.slice(SHOWN)];
  const others = rest.length > 0 && h("li", {}, h("details", { "data-key": `tree-${id}` }, h("summary", {}, `${rest.length} more`), h("ul", {}, rest.map(branch))));
  return [...first.map(branch), others];
}

function branch(job) {
  const ran = job.started_at && job.finished_at && duration(Math.max(0, secondsBetween(job.started_at, job.finished_at)));
  return h(
    "li",
    {},
    badge(job.state),
    " ",
    jobLink(job.id, job.type),
    job.name && h("span", { class: "soft" }, ` ${visible(job.name)}`),
    ran && h("span", { class: "soft" }, ` ${ran}`),
    job.error && h("span", { class: "bad" }, ` ${visible(job.error.kind)}: ${visible(job.error.message)}`),
    job.children.length > 0 && h("ul", {}, branches(job)),
  );
}
