// The token, where one is needed.

import { field } from "../dialog.mjs";
import { fill, h } from "../dom.mjs";

/** Show the form in `place`; `done` is called with the token. trouble: why the one before was not taken. */
export function show(place, trouble, done) {
  const token = h("input", { type: "password", name: "token", autocomplete: "current-password", required: true });
  const submit = (event) => {
    event.preventDefault();
    done(token.value.trim());
  };
  fill(
    place,
    h(
      "form",
      { class: "login card", onsubmit: submit },
      h("h1", {}, "Sign in"),
      h("p", {}, "This Tickr asks for a token: what its operator has set as TICKR_TOKEN."),
      field("Token", token, "Kept in this tab until you sign out or close it."),
      trouble && h("p", { class: "bad", role: "alert" }, trouble),
      h("button", { class: "primary", type: "submit" }, "Sign in"),
    ),
  );
  token.focus();
}
