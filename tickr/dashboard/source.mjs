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

/** Return what is wrong with a JSON text as {message, at}, `at` the place in it if known; null: nothing. */
export function wrong(text) {
  if (!text.trim()) return { message: "is empty; JSON has at least null", at: null };
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    const at = Number(/position (\d+)/.exec(error.message)?.[1] ?? NaN);
    if (Number.isNaN(at)) return { message: `is no JSON: ${visible(error.message)}`, at: null };
    const before = text.slice(0, at).split("\n");
    const why = visible(error.message.replace(/(,? ?\.{3}.*is not valid JSON|( in JSON)? at position .*)$/s, ""));
    return { message: `is no JSON in line ${before.length}, column ${before.at(-1).length + 1}: ${why}`, at };
  }
}
