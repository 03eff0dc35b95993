// To the clipboard; where the browser forbids that (a page without TLS), into a field to copy it from.

import { ask } from "./dialog.mjs";
import { h } from "./dom.mjs";
import { notify } from "./notices.mjs";

/** Make a button that copies what `text()` returns, or resolves to. what: what that is, in words. */
export function copyButton(name, what, text, attributes = {}) {
  return h("button", { type: "button", ...attributes, onclick: () => copy(text, what) }, name);
}

async function copy(text, what) {
  const found = await text();
  try {
    await navigator.clipboard.writeText(found);
    notify(`${what} copied.`, "good");
  } catch {
    const place = h("textarea", { readonly: true, "aria-label": what });
    place.value = found;
    await ask({ title: `Copy: ${what}`, body: [place], agree: "Done", wide: true });
  }
}
