// What is wrong with a form, said where it is wrong: at the field that a fault points to.

import { h } from "./dom.mjs";

/** What is wrong with one field of a form that is not sent yet. at: the place in its text. */
export class Fault extends Error {
  constructor(field, message, at = null) {
    super(message);
    this.faults = [{ pointer: `/${field}`, detail: message }];
    this.at = at;
  }
}

/** Show the faults of `error` at the fields of `form` they point to; return what went wrong for the others, "" if there are none. */
export function point(form, error) {
  for (const one of form.querySelectorAll(".fault")) one.remove();
  for (const one of form.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
  const faults = error.faults ?? [];
  const shown = faults.filter((fault) => mark(form, fault));
  if (!shown.length) return error.message;
  const first = form.querySelector("[aria-invalid]");
  first.focus();
  if (error.at !== undefined && error.at !== null) first.setSelectionRange?.(error.at, error.at + 1);
  return shown.length < faults.length ? error.message : "";
}

function mark(form, { pointer = "", detail }) {
  const [name] = pointer.replace(/^\/changes\b/, "").split("/").slice(1);
  const control = name && form.querySelector(`[name="${CSS.escape(name)}"]`);
  if (!control) return false;
  control.setAttribute("aria-invalid", "true");
  const inside = pointer.replace(/^\/changes\b/, "").split("/").slice(2).join("/");
  control.after(h("small", { class: "fault bad", role: "alert" }, `${inside && `${inside} `}${detail}`));
  return true;
}
