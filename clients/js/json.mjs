// JSON as Tickr keeps it: whole numbers are exact. One that a JavaScript number cannot hold is a BigInt, both ways.

const STRING_OR_LONG = /"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g;

/** Return the value of a JSON text; whole numbers beyond ±(2**53 - 1) as BigInt. Throws SyntaxError. */
export function parse(text) {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  const mark = token();
  const marked = text.replace(STRING_OR_LONG, (found) =>
    found[0] === '"' || Number.isSafeInteger(Number(found)) ? found : `"${mark}${found}"`,
  );
  return JSON.parse(marked, (_, value) =>
    typeof value === "string" && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value,
  );
}

/** Return the JSON of a value, BigInts as numbers. Throws TypeError: there is none for it. */
export function stringify(value) {
  const mark = token();
  let long = false;
  const text = JSON.stringify(value, (_, one) => {
    if (typeof one === "number" && !Number.isFinite(one)) throw new TypeError(`there is no JSON for ${one}`);
    if (typeof one !== "bigint") return one;
    long = true;
    return `${mark}${one}`;
  });
  return long ? text.replaceAll(new RegExp(`"${mark}(-?\\d+)"`, "g"), "$1") : text;
}

// What no text of a user's begins with: nobody knows it before.
function token() {
  return `${crypto.randomUUID()}:`;
}
