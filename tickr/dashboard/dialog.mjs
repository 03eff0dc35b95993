// A question before something is changed: what will happen, and two ways out.

import { h } from "./dom.mjs";
import { point } from "./faults.mjs";

/**
 * Ask, and resolve to what `answer()` returns, or resolves to, once it is agreed to, or to null. What it throws is shown,
 * at the fields that are at fault, and the question stays. body: nodes, perhaps with fields. agree: what is to be done,
 * in words, on the button. `danger`: it cannot be taken back. wide: there is much to be read or written.
 */
export function ask({ title, body = [], agree, danger = false, wide = false, answer = () => true }) {
  return new Promise((resolve) => {
    const fault = h("p", { class: "bad", role: "alert" });
    const leave = h("button", { type: "button", onclick: () => dialog.close() }, "Leave it");
    const submit = h("button", { class: danger ? "danger" : "primary", type: "submit" }, agree);
    const dialog = h(
      "dialog",
      { "aria-labelledby": "dialog-title", class: wide && "wide", oncancel: stay, onclose: () => (dialog.remove(), resolve(dialog.answer ?? null)) },
      h(
        "form",
        { method: "dialog", onsubmit: agreed },
        h("h2", { id: "dialog-title" }, title),
        h("div", { class: "body" }, body),
        fault,
        h("div", { class: "actions" }, leave, submit),
      ),
    );
    async function agreed(event) {
      event.preventDefault();
      leave.disabled = submit.disabled = true; // what is on its way cannot be left any more: how it ends is to be seen
      try {
        dialog.answer = await answer();
        dialog.close();
      } catch (error) {
        fault.textContent = point(dialog, error);
      }
      leave.disabled = submit.disabled = false;
    }
    function stay(event) {
      if (submit.disabled) event.preventDefault();
    }
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Make a field with its name above it. control: an input, a select or a textarea. hint: a line below. */
export function field(name, control, hint) {
  return h("label", { class: "field" }, h("span", {}, name), control, hint && h("small", {}, hint));
}
