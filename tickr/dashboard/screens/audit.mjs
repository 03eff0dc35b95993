// Who changed what, the newest first.

import { fill, h } from "../dom.mjs";
import { clock, short, visible } from "../format.mjs";
import { jobLink, when } from "../marks.mjs";
import { address } from "../route.mjs";
import { ask } from "../session.mjs";
import { table } from "../table.mjs";

export const title = () => "Audit";

const PAGE = 50;
const OFTEN_MS = 2000; // tokens, marks and refusals are no events: they are looked for, in the first entries of an index
/** What the feed tells of most changes that somebody may have asked for. */
const CHANGES = {
  schedule: ["created", "changed", "paused", "resumed", "deleted"],
  queue: ["paused", "resumed", "changed", "deleted"],
  operation: ["started", "done", "stopped"],
  node: ["quieted", "resumed", "changed", "stopping"],
};
const EVENTS = ["cancelled", "changed", "redriven", "deleted", ...Object.entries(CHANGES).flatMap(([kind, whats]) => whats.map((what) => `${kind}.${what}`))];
const FILTERS = { who: "Who, by name", subject: "What, by name or id" };
const PLACES = { queues: "queues", schedules: "schedules", nodes: "nodes" };

export function open(page) {
  const { query } = page;
  const [list, pager] = [h("div"), h("div", { class: "pager" })];
  const fields = Object.entries(FILTERS).map(([name, words]) => {
    const choose = ({ target }) => page.choose({ [name]: target.value.trim(), cursor: null });
    return h("input", { type: "search", name, value: query.get(name) ?? "", placeholder: words, "aria-label": words, onchange: choose });
  });
  fill(page.content, h("div", { class: "head" }, h("h1", {}, title()), h("div", { class: "actions" }, fields)), list, pager);
  const first = !query.get("cursor");
  return page.follow(first ? { event: EVENTS } : null, async () => {
    const wanted = ["who", "subject", "cursor"].filter((name) => query.get(name)).map((name) => [name, query.get(name)]);
    const found = await ask(`/audit?${new URLSearchParams([["limit", PAGE], ...wanted])}`);
    const next = found.next_cursor;
    fill(list, table(COLUMNS, found.items, { caption: "Changes", empty: wanted.length ? "Nothing was changed so." : "Nobody has changed anything yet." }));
    fill(
      pager,
      query.get("cursor") && h("button", { onclick: () => page.choose({ cursor: null }) }, "Newest"),
      next && h("button", { onclick: () => page.choose({ cursor: next }) }, "Older"),
    );
    return first ? OFTEN_MS : undefined;
  });
}

const COLUMNS = [
  { name: "When", class: "tight", cell: ({ at }) => when(at) },
  { name: "Who", cell: (one) => h("a", { href: address(["audit"], { who: one.who }), title: one.token && `token ${one.token}` }, one.who) },
  { name: "Did", cell: (one) => h("span", { title: `${one.method} ${visible(one.path)}, ${clock(one.at)}` }, one.action.replaceAll("_", " ")) },
  { name: "To", cell: subject },
  { name: "From", cell: ({ address: from }) => h("span", { class: "mono" }, from) },
  { name: "Answer", cell: answer },
];

function subject({ subject: name, path }) {
  const kind = path.split("/")[1];
  if (!name) return "–";
  if (kind === "jobs") return jobLink(name, visible(short(name)));
  if (kind === "marks") return h("span", { class: "mono" }, visible(name));
  return PLACES[kind] && name !== "*" ? h("a", { href: address([PLACES[kind], name]) }, visible(name)) : visible(name);
}

function answer({ status }) {
  if (status === null) return h("span", { class: "warn", title: "It was cut short: it may have been done or not" }, "unknown");
  return status < 400 ? `done (${status})` : h("span", { class: "soft" }, `refused (${status})`);
}
