// A question before something is changed: what will happen, and two ways out.

import { h } from "./dom.mjs";

/**
 * Ask, and resolve to what `answer()` returns once it is agreed to, or to null. body: nodes, perhaps with fields.
 * agree: what is to be done, in words, on the button. `danger`: it cannot be taken back.
 */
export function ask({ title, body = [], agree, danger = false, answer = () => true }) {
  return new Promise((resolve) => {
    const fault = h("p", { class: "bad", role: "alert" });
    const dialog = h(
      "dialog",
      { "aria-labelledby": "dialog-title", onclose: () => (dialog.remove(), resolve(dialog.answer ?? null)) },
      h(
        "form",
        { method: "dialog", onsubmit: agreed },
        h("h2", { id: "dialog-title" }, title),
        h("div", { class: "body" }, body),
        fault,
        h(
          "div",
          { class: "actions" },
          h("button", { type: "button", onclick: () => dialog.close() }, "Leave it"),
          h("button", { class: danger ? "danger" : "primary", type: "submit" }, agree),
        ),
      ),
    );
    function agreed(event) {
      event.preventDefault();
      try {
        dialog.answer = answer();
        dialog.close();
      } catch (error) {
        fault.textContent = error.message;
      }
    }
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Make a field with its name above it. control: an input, a select or a textarea. hint: a line below. */
export function field(name, control, hint) {
  return h("label", { class: "field" }, h("span", {}, name), control, hint && h("small", {}, hint));
}
