// A press lasts a tenth of a second and more, and what is live may be made anew meanwhile: the browser then has no click for
// the button that is gone. Its successor gets it, if it is the same one at the same place. State: what is pressed.

import { says } from "./dom.mjs";

const PRESSED = "button, a, input, summary";
let pressed = null;

/** Have each press be a click, whatever is redrawn between its beginning and its end. */
export function listen() {
  const press = (target) => (pressed = target.closest?.(PRESSED) ?? null);
  const bare = (event) => !(event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  addEventListener("mousedown", (event) => press(bare(event) ? event.target : document), true);
  addEventListener("mouseup", (event) => release(document.elementFromPoint(event.clientX, event.clientY)), true);
  addEventListener("keydown", (event) => event.key === " " && !event.repeat && press(event.target), true);
  addEventListener("keyup", (event) => event.key === " " && release(document.activeElement), true);
}

function release(target) {
  const [before, now] = [pressed, target?.closest(PRESSED)];
  pressed = null;
  if (!before || before.isConnected || !now || says(now) !== says(before) || row(now) !== row(before)) return;
  now.click();
}

/** What a row of a table is about: buttons of several rows may say the same. */
const row = (one) => one.closest("tr")?.querySelector("a")?.href;
