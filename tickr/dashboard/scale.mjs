// Which values and instants stand beside the axes of a chart: round ones, as many as there is room for. Pure.

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const LONG_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];
const MINUTE_MS = 60_000;
const SIZE_MS = { minute: MINUTE_MS, hour: 60 * MINUTE_MS, day: 1440 * MINUTE_MS, month: 43_200 * MINUTE_MS };
const STEPS = Object.entries({ minute: [1, 2, 5, 10, 15, 30], hour: [1, 2, 3, 6, 12], day: [1, 2, 4, 7, 14], month: [1, 2, 3, 6, 12] })
  .flatMap(([unit, counts]) => counts.map((count) => [unit, count]));

/** Return round values from 0 to at least `max`, about `most`. seconds: they are durations, of which 60 is round. */
export function values(max, most, { seconds = false } = {}) {
  const step = (seconds && max > 1 && LONG_S.find((size) => max / size <= most)) || round(max / most);
  const count = Math.max(1, Math.ceil(max / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, at) => Number((at * step).toPrecision(12)));
}

function round(least) {
  if (!(least > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= least * (1 - 1e-9));
}

/** Return {at, text} of the round instants between two, in milliseconds, at most about `most`. utc: of its days. */
export function instants(since, until, most, { utc = false } = {}) {
  const [unit, count] = STEPS.find(([name, many]) => (until - since) / (SIZE_MS[name] * many) <= most) ?? STEPS.at(-1);
  const make = utc ? (...parts) => Date.UTC(...parts) : (...parts) => new Date(...parts).getTime();
  const [year, month, day] = parts(since, utc);
  const nth = {
    minute: (at) => make(year, month, day, 0, at * count),
    hour: (at) => make(year, month, day, at * count),
    day: (at) => make(year, month, day + at * count),
    month: (at) => make(year, Math.floor(month / count) * count + at * count, 1),
  }[unit];
  const found = [];
  for (let [at, one] = [0, nth(0)]; one <= until; one = nth(++at)) {
    if (one >= since) found.push({ at: one, text: label(one, unit, utc) });
  }
  return found;
}

function label(at, unit, utc) {
  const [year, month, day, hour, minute] = parts(at, utc);
  if (unit === "month") return month === 0 ? String(year) : MONTHS[month];
  if (unit === "day" || (hour === 0 && minute === 0)) return `${MONTHS[month]} ${day}`;
  return `${two(hour)}:${two(minute)}`;
}

/** Return the time from `at` on that a point stands for: "Nov 23, 14:05", "Nov 23" for a day. */
export function moment(at, stepMs, { utc = false } = {}) {
  const [year, month, day, hour, minute] = parts(at, utc);
  return stepMs >= SIZE_MS.day ? `${MONTHS[month]} ${day}, ${year}` : `${MONTHS[month]} ${day}, ${two(hour)}:${two(minute)}`;
}

function parts(at, utc) {
  const date = new Date(at);
  if (utc) return [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes()];
  return [date.getFullYear(), date.getMonth(), date.getDate(), date.getHours(), date.getMinutes()];
}

const two = (number) => String(number).padStart(2, "0");
