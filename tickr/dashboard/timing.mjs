// When a schedule comes, in words. Pure.

import { duration } from "./format.mjs";

const NAMED = { "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
  "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *" };
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/** Return it as "every 5 s", "at 02:30 every day"; null where there are no short words for it. */
export function inWords({ cron, every }) {
  return every === null ? ofCron(cron) : `every ${duration(every).replace(".0 ", " ")}`;
}

function ofCron(cron) {
  const fields = (NAMED[cron.toLowerCase()] ?? cron).trim().split(/\s+/);
  const second = fields.length === 6 ? fields.shift() : "0";
  const [minute, hour, day, month, weekday] = fields;
  const time = ofTime(second, minute, hour);
  const date = ofDate(day, month, weekday);
  if (time === null || date === null) return null;
  return time.startsWith("at ") ? `${time} ${date || "every day"}` : [time, date].filter(Boolean).join(" ");
}

function ofTime(second, minute, hour) {
  const clock = [minute, hour].join(" ");
  if (second !== "0") return clock === "* *" ? each(second, "second", "s", 60) : null;
  if (hour === "*" && minute.startsWith("*")) return each(minute, "minute", "min", 60);
  if (!numbers(minute)) return null;
  if (hour.startsWith("*")) {
    const often = each(hour, "hour", "h", 24);
    return often && `${often}, at minute ${list(minute.split(","))}`;
  }
  if (!numbers(hour)) return null;
  const times = hour.split(",").flatMap((one) => minute.split(",").map((other) => `${two(one)}:${two(other)}`));
  return times.length <= 4 ? `at ${list(times)}` : null;
}

function ofDate(day, month, weekday) {
  const months = month === "*" ? "" : ofMonth(month);
  const days = day === "*" ? "" : ofDay(day);
  const weekdays = weekday === "*" ? "" : ofWeekday(weekday);
  if ([months, days, weekdays].includes(null)) return null;
  return [[days, weekdays].filter(Boolean).join(" and "), months].filter(Boolean).join(" ");
}

function ofDay(day) {
  if (day === "L") return "on the last day of the month";
  if (day === "LW") return "on the last working day of the month";
  return numbers(day) ? `on day ${list(day.split(","))} of the month` : null;
}

function ofWeekday(weekday) {
  const range = /^(\w+)-(\w+)$/.exec(weekday);
  const name = (one) => DAYS[one] ?? DAYS.find((day) => day.slice(0, 3).toUpperCase() === one.toUpperCase()) ?? null;
  const names = (range ? [range[1], range[2]] : weekday.split(",")).map(name);
  if (names.includes(null)) return null;
  return range ? `${names[0]} to ${names[1]}` : `on ${list(names)}`;
}

function ofMonth(month) {
  const name = (one) => MONTHS[one - 1] ?? MONTHS.find((full) => full.slice(0, 3).toUpperCase() === one.toUpperCase()) ?? null;
  const names = month.split(",").map(name);
  return names.includes(null) ? null : `in ${list(names)}`;
}

// A step is the same all round the clock only where it divides that.
function each(field, unit, short, round) {
  if (field === "*") return `every ${unit}`;
  const step = Number(/^\*\/(\d+)$/.exec(field)?.[1] ?? 0);
  return step && round % step === 0 ? `every ${step} ${short}` : null;
}

const numbers = (field) => /^\d+(,\d+)*$/.test(field);
const two = (number) => String(Number(number)).padStart(2, "0");
const list = (parts) => (parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`);
