// JSON as text: put in lines, compared and checked without a value being made of it, so that every digit stays. Pure.

import { tokens } from "./client/client.mjs";
import { visible } from "./format.mjs";

/** Return a JSON text over several lines; its numbers and texts as they are written, what is invisible made visible. */
export function indented(text) {
  const out = [];
  let [depth, before] = [0, ""];
  const line = () => `\n${"  ".repeat(depth)}`;
  for (const token of tokens(text)) {
    const opens = before === "{" || before === "[";
    if (token === "}" || token === "]") {
      depth -= 1;
      if (!opens) out.push(line());
    } else if (opens) out.push(line());
    out.push(token);
    if (token === ",") out.push(line());
    if (token === ":") out.push(" ");
    if (token === "{" || token === "[") depth += 1;
    before = token;
  }
  return visible(out.join(""));
}

/** Whether two JSON texts differ in more than space. */
export const same = (one, other) => tokens(visible(one)).join("") === tokens(visible(other)).join("");

/** Return what is wrong with a JSON text as {message, at}, `at` the place in it; null: nothing. */
export function wrong(text) {
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    const [at, why] = fault(text) ?? [text.length, visible(error.message)];
    const before = text.slice(0, at).split("\n");
    return { message: `is no JSON in line ${before.length}, column ${before.at(-1).length + 1}: ${why}`, at };
  }
}

const STRING = String.raw`"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"`;
const NUMBER = String.raw`-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])`;
const PIECE = new RegExp(`(?<string>${STRING})|(?<value>${NUMBER}|true|false|null)|(?<mark>[{}[\\],:])`, "y");
const SPACE = /[ \t\n\r]*/y;
const WANTED = {
  value: "a value is expected",
  item: "a value or ] is expected",
  name: "a name in quotes is expected",
  member: "a name in quotes or } is expected",
  colon: "a colon is expected",
  rest: "a comma or the end of it is expected",
  end: "nothing more is expected",
};

/** Return [place, what is expected there] of the first fault in a JSON text; null: it has none that is known here. */
function fault(text) {
  const inside = [];
  let [at, wanted] = [0, "value"];
  const after = () => (inside.length ? "rest" : "end");
  for (;;) {
    SPACE.lastIndex = at;
    at += SPACE.exec(text)[0].length;
    if (at === text.length) return wanted === "end" ? null : [at, `it ends where ${WANTED[wanted].replace(" is expected", " has to be")}`];
    PIECE.lastIndex = at;
    const { string, value, mark } = PIECE.exec(text)?.groups ?? {};
    const isValue = wanted === "value" || wanted === "item";
    const closes = inside.at(-1) === "{" ? "}" : "]";
    if (isValue && (string ?? value) !== undefined) wanted = after();
    else if (isValue && (mark === "{" || mark === "[")) wanted = inside.push(mark) && mark === "{" ? "member" : "item";
    else if ((wanted === "name" || wanted === "member") && string !== undefined) wanted = "colon";
    else if (wanted === "colon" && mark === ":") wanted = "value";
    else if (wanted === "rest" && mark === ",") wanted = closes === "}" ? "name" : "value";
    else if (mark === closes && ["rest", "item", "member"].includes(wanted) && (wanted === "rest" || (closes === "}") === (wanted === "member"))) {
      inside.pop();
      wanted = after();
    } else return [at, WANTED[wanted]];
    at += (string ?? value ?? mark).length;
  }
}
