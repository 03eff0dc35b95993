// JSON as Tickr keeps it: whole numbers are exact. One that a JavaScript number cannot hold is a BigInt, both ways.

const STRING_OR_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;
const WHOLE = /^-?\d{16,}$/;
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** A JSON text that stays as it is, to the letter: `parse` makes one of what is to be kept, `stringify` writes it. */
export class Source {
  constructor(text) {
    this.text = text;
  }
}

/** Return the value of a JSON text; whole numbers beyond ±(2**53 - 1) as BigInt. Throws SyntaxError. */
export function parse(text) {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  const mark = token();
  const marked = text.replace(STRING_OR_NUMBER, (found) =>
    WHOLE.test(found) && !Number.isSafeInteger(Number(found)) ? `"${mark}${found}"` : found,
  );
  return JSON.parse(marked, (_, value) =>
    typeof value === "string" && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value,
  );
}

/** Return the value of a JSON object; its members of these names that are not null as Sources. Throws SyntaxError. */
export function parseKeeping(names, text) {
  const value = parse(text);
  const sources = members(text);
  for (const name of names) if ((value[name] ?? null) !== null) value[name] = new Source(sources[name]);
  return value;
}

/** Return the texts of which a JSON text is made, without the space between them: `{`, `"a"`, `:`, `1.0`, `}`. */
export function tokens(text) {
  return text.match(TOKEN) ?? [];
}

function members(text) {
  const found = {};
  let [depth, name, from, before] = [0, null, 0, null];
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (depth === 1 && name === null && token === ":") [name, from] = [JSON.parse(before), index + 1];
    else if (depth === 1 && name !== null && (token === "," || token === "}")) {
      found[name] = text.slice(from, index).trim();
      name = null;
    }
    if (token === "{" || token === "[") depth += 1;
    if (token === "}" || token === "]") depth -= 1;
    before = token;
  }
  return found;
}

/** Return the JSON of a value, BigInts as numbers and Sources as they are. Throws TypeError: there is none for it. */
export function stringify(value) {
  const mark = token();
  const sources = [];
  let long = false;
  const text = JSON.stringify(value, (_, one) => {
    if (typeof one === "number" && !Number.isFinite(one)) throw new TypeError(`there is no JSON for ${one}`);
    if (one instanceof Source) return `${mark}#${sources.push(one.text) - 1}`;
    if (typeof one !== "bigint") return one;
    long = true;
    return `${mark}${one}`;
  });
  if (!long && !sources.length) return text;
  return text.replaceAll(new RegExp(`"${mark}(#?)(-?\\d+)"`, "g"), (_, kept, digits) => (kept ? sources[digits] : digits));
}

// What no text of a user's begins with: nobody knows it before. (`randomUUID` is not there in a page without TLS.)
function token() {
  return `${Array.from(crypto.getRandomValues(new Uint32Array(4)), (one) => one.toString(36)).join("")}:`;
}
