// The token, where one is needed.

import { field } from "../dialog.mjs";
import { fill, h } from "../dom.mjs";

const UNSENDABLE = /[^\x20-\x7e\xa0-\xff]/u; // in a header

/** Show the form in `place`; `done` is called with the token. trouble: why the one before was not taken. */
export function show(place, trouble, done) {
  const token = h("input", { type: "password", name: "token", autocomplete: "current-password", required: true });
  const fault = h("p", { class: "bad", role: "alert" }, trouble);
  const submit = (event) => {
    event.preventDefault();
    const given = token.value.trim();
    const strange = UNSENDABLE.exec(given);
    if (strange) fault.textContent = `No token has “${strange[0]}” in it. Was it copied whole, and nothing else?`;
    else done(given);
  };
  fill(
    place,
    h(
      "form",
      { class: "login card", onsubmit: submit },
      h("h1", {}, "Sign in"),
      h("p", {}, "This Tickr asks for a token: one that ", h("code", {}, "tickr token create"), " has made, or what is set as ", h("code", {}, "TICKR_TOKEN"), "."),
      field("Token", token, "Kept in this tab until you sign out or close it."),
      fault,
      h("button", { class: "primary", type: "submit" }, "Sign in"),
    ),
  );
  token.focus();
}
