// What has been done, and what could not be: a line at the edge, for eyes and for screen readers.

import { fill, h } from "./dom.mjs";

const SHOWN_MS = 8000;
const MOST = 4;

/** Say something. kind: "good", "bad" or "plain". One that is bad stays until it is put away. */
export function notify(text, kind = "plain") {
  const place = document.getElementById("notices");
  const notice = h("div", { class: `notice ${kind}` }, h("span", {}, text));
  notice.append(h("button", { class: "quiet", "aria-label": "Put away", onclick: () => notice.remove() }, "×"));
  place.append(notice);
  while (place.children.length > MOST) place.firstChild.remove();
  if (kind !== "bad") setTimeout(() => notice.remove(), SHOWN_MS);
}

/** Do something that is asked of the server, and say how it went. Return its answer, or null if it could not be done. */
export async function attempt(action, done) {
  try {
    const answer = await action();
    if (done) notify(typeof done === "function" ? done(answer) : done, "good");
    return answer ?? true;
  } catch (error) {
    notify(error.message, "bad");
    return null;
  }
}

/** Show over a screen that it could not be read, and since when what is shown is old; null: it could be. */
export function banner(place, error) {
  if (!error) return fill(place);
  return fill(place, h("div", { class: "banner bad", role: "alert" }, error.message));
}
