// Marks in the charts: a deploy, say. Whoever looks at a chart then sees what changed when.

import { ask, field } from "./dialog.mjs";
import { h } from "./dom.mjs";
import { clock } from "./format.mjs";
import { when } from "./marks.mjs";
import { attempt, notify } from "./notices.mjs";
import { needs } from "./rights.mjs";

/** Ask for the words of a mark, and make it. done: called when it is made. */
export async function makeMark(client, done) {
  const text = h("input", { name: "text", required: true, maxlength: 200, placeholder: "Release 4.2" });
  const at = h("input", { name: "at", placeholder: "now" });
  const made = await ask({
    title: "Mark this moment",
    body: [
      h("p", {}, "It is a vertical line with these words in every chart, for whoever looks at them."),
      field("Words", text),
      field("When", at, "An instant with its offset, like 2030-01-31T12:00:00Z; without one, it is now"),
    ],
    agree: "Mark it",
    answer: () => client.marks.add(text.value.trim(), at.value.trim() ? { at: at.value.trim() } : {}),
  });
  if (!made) return;
  notify(`Marked: ${made.text}`, "good");
  await attempt(done);
}

/** Make the list of marks, each with a button that deletes it. */
export function markList(client, marks, done) {
  if (!marks.length) return null;
  const line = (mark) =>
    h(
      "li",
      {},
      h("span", {}, mark.text),
      h("span", { class: "soft", title: clock(mark.at) }, when(mark.at)),
      h("button", { class: "quiet", "aria-label": `Delete the mark ${mark.text}`, onclick: () => remove(client, mark, done), ...needs("queues:admin") }, "Delete"),
    );
  return h("ul", { class: "moments", "aria-label": "Marks" }, marks.toReversed().map(line));
}

async function remove(client, mark, done) {
  const body = h("p", {}, `“${mark.text}” is taken out of all charts.`);
  if (!(await ask({ title: "Delete this mark?", body, agree: "Delete the mark", danger: true }))) return;
  if (await attempt(() => client.marks.delete(mark), "The mark is deleted.")) await attempt(done);
}
