// Values as texts for people. Pure.

const INVISIBLE =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const UNITS = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];

/** Return seconds as "2 h 5 min", "3.2 s", "12 ms". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0) return `−${duration(-seconds)}`;
  if (seconds < 0.0005) return "0 ms";
  if (seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const at = UNITS.findIndex(([, size]) => seconds >= size);
  const [[unit, size], [finer, fine] = []] = [UNITS[at], UNITS[at + 1]];
  const rest = fine && Math.floor((seconds % size) / fine);
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${finer}` : ""}`;
}

export const secondsBetween = (from, to) => (Date.parse(to) - Date.parse(from)) / 1000;

/** Return how far an instant is from now: "3.2 s ago", "in 5 min". */
export function distance(instant, now = Date.now()) {
  if (!instant) return "–";
  const seconds = (Date.parse(instant) - now) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  return seconds < 0 ? `${duration(-seconds)} ago` : `in ${duration(seconds)}`;
}

/** Return an instant in the browser's own zone, to the millisecond. */
export function clock(instant) {
  if (!instant) return "–";
  const at = new Date(instant);
  const two = (number, width = 2) => String(number).padStart(width, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${two(at.getMilliseconds(), 3)}`;
}

/** Return a whole number with thin spaces: 1 234 567. */
export function number(value) {
  if (value === null || value === undefined) return "–";
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, " ");
}

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Whether a text can be the id of a job. */
export const isId = (text) => ID.test(text);

export const short = (id) => (id.length > 13 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id);

/** Return a value as JSON over several lines. Whole numbers keep every digit: they come as BigInts. */
export function json(value, indent = "") {
  if (typeof value === "bigint") return String(value);
  if (value === null || typeof value !== "object") return visible(JSON.stringify(value) ?? "null");
  const deeper = `${indent}  `;
  const isList = Array.isArray(value);
  const parts = isList
    ? value.map((one) => deeper + json(one, deeper))
    : Object.entries(value).map(([name, one]) => `${deeper}${visible(JSON.stringify(name))}: ${json(one, deeper)}`);
  const [open, close] = isList ? "[]" : "{}";
  return parts.length ? `${open}\n${parts.join(",\n")}\n${indent}${close}` : open + close;
}

/** Return text whose invisible characters are seen, such as those that turn the direction of what follows. */
export function visible(text) {
  return text.replace(INVISIBLE, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Return how large a text is in UTF-8: "12 KB". */
export function size(text) {
  const bytes = new TextEncoder().encode(text).length;
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} KB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
