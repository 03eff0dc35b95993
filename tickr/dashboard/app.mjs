// The dashboard: which screen is shown, the bar above it, and the keys that work everywhere.

import { ask } from "./dialog.mjs";
import { fill, h } from "./dom.mjs";
import { clock, distance } from "./format.mjs";
import { Live } from "./live.mjs";
import { when } from "./marks.mjs";
import { banner } from "./notices.mjs";
import * as press from "./press.mjs";
import { address, go, here } from "./route.mjs";
import { learn, may, readOnly } from "./rights.mjs";
import * as session from "./session.mjs";
import { step } from "./table.mjs";
import * as login from "./screens/login.mjs";
import * as overview from "./screens/overview.mjs";
import * as jobs from "./screens/jobs.mjs";
import * as job from "./screens/job.mjs";
import * as failed from "./screens/failed.mjs";
import * as queues from "./screens/queues.mjs";
import * as schedules from "./screens/schedules.mjs";
import * as nodes from "./screens/nodes.mjs";
import * as audit from "./screens/audit.mjs";

// By the first part of the path; those with a key are in the bar, and `g` and the key leads there.
const SCREENS = { "": overview, jobs, failed, queues, schedules, nodes, audit, job };
const BAR = [
  ["", "Overview", "o"],
  ["jobs", "Jobs", "j"],
  ["failed", "Dead letters", "d"],
  ["queues", "Queues", "q"],
  ["schedules", "Schedules", "s"],
  ["nodes", "Nodes", "n"],
  ["audit", "Audit", "a", "admin"],
];
const STATUS = {
  live: ["Live", "Shown as it happens"],
  busy: ["Busy", "More happens than a page can show one by one: read again every 2 s"],
  idle: ["Regular", "Read again every 10 s"],
  paused: ["Paused", "Nothing moves until you go on (key: .)"],
  refused: ["Not shown", "Tickr answers, but not with this; it is asked again"],
  lost: ["Offline", "Tickr does not answer; it is asked again"],
};
const THEME = "tickr.theme";

const main = document.getElementById("main");
let client = session.connect();
let caller = null;
let leaving = new AbortController();
let pressed = null;
const statusText = h("span", { id: "status" });
const pauseButton = h("button", { class: "quiet", onclick: toggleLive, "aria-pressed": "false" }, "Pause");
let tried = null; // when Tickr is asked again, where it does not answer
const live = new Live((status, why, again = null) => {
  const [name, words] = STATUS[status];
  tried = status === "lost" ? again : null;
  fill(statusText, h("span", { class: `dot ${status}` }), name, h("span", { class: "soft", id: "again", "aria-hidden": "true" }));
  statusText.title = why ?? words;
  countDown();
});

/** Show the screen that the address says. */
async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { path, query } = here();
  const screen = Object.hasOwn(SCREENS, path[0] ?? "") ? SCREENS[path[0] ?? ""] : null;
  mark(path[0] === "job" ? "jobs" : (path[0] ?? ""));
  const [trouble, content] = [h("div"), h("div", { class: "screen" })];
  fill(main, trouble, content);
  window.scrollTo(0, 0);
  if (!screen) return void fill(content, h("h1", {}, "No such screen"), h("p", {}, "There is nothing at this address."));
  document.title = `${screen.title(path)} · Tickr`;
  const page = {
    client,
    path: path.slice(1),
    query,
    content,
    signal,
    paused: () => live.paused,
    /** Choose otherwise on this screen: the address changes, and with it what is shown. */
    choose: (changes) => go(path, { ...chosen(query), ...changes }),
    /** Keep a choice in the address, with the screen as it is. */
    note(changes) {
      for (const [name, value] of Object.entries(changes)) value ? query.set(name, value) : query.delete(name);
      history.replaceState(null, "", address(path, chosen(query)));
    },
    /** Keep the screen true; see `Live.follow`. */
    follow: (filters, load) => live.follow(client, may("events:read") ? filters : null, signal, load, (error) => troubled(trouble, error)),
  };
  try {
    await screen.open(page);
  } catch (error) {
    if (!signal.aborted) troubled(trouble, error);
  }
}

function troubled(place, error) {
  if (error?.status === 401) askForToken(error);
  else banner(place, error);
}

function askForToken(error) {
  leaving.abort();
  const trouble = session.signedIn() ? error.message : null;
  session.signOut();
  learn((caller = null));
  furnish();
  login.show(main, trouble, (token) => {
    session.signIn(token);
    begin();
  });
}

/** Find out who looks, and show the screen as he may see it. */
async function begin() {
  client.close();
  client = session.connect();
  caller = null;
  try {
    caller = await session.whoami();
  } catch (error) {
    if (error.status === 401) return askForToken(error);
  }
  learn(caller); // null, if nobody answers: the screen says why
  furnish();
  show();
}

function chosen(query) {
  const found = {};
  for (const name of query.keys()) found[name] = query.getAll(name);
  return found;
}

const offered = () => BAR.filter(([, , , scope]) => !scope || may(scope));

function mark(name) {
  const links = offered().map(([path, text]) =>
    h("a", { href: address(path ? [path] : []), "aria-current": path === name ? "page" : null }, text),
  );
  const nav = fill(document.getElementById("nav"), links);
  nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function furnish() {
  const out = () => (session.signOut(), begin());
  fill(
    document.getElementById("tools"),
    statusText,
    pauseButton,
    h("button", { class: "quiet", onclick: toggleTheme, "aria-label": "Dark or light", title: "Dark or light (key: t)" }, "◐"),
    h("button", { class: "quiet", onclick: help, "aria-label": "Keys", title: "Keys (key: ?)" }, "?"),
    caller?.asked && whoLooks(),
    session.signedIn() && h("button", { class: "quiet", onclick: out }, "Sign out"),
  );
}

function whoLooks() {
  const { who, scopes, expires_at: ends } = caller;
  const words = `May: ${scopes.join(", ")}. ${ends ? `Its token ends ${clock(ends)}.` : "Its token does not end."}`;
  return h("span", { class: "who", title: words }, readOnly() && h("span", { class: "badge quiet" }, "read-only"), h("span", {}, who), ends && h("small", { class: "soft" }, "ends ", when(ends)));
}

function toggleLive() {
  if (live.paused) live.resume();
  else live.pause();
  pauseButton.textContent = live.paused ? "Go on" : "Pause";
  pauseButton.setAttribute("aria-pressed", String(live.paused));
}

function toggleTheme() {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  setTheme(dark ? "light" : "dark");
  localStorage.setItem(THEME, document.documentElement.dataset.theme);
}

function setTheme(theme) {
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
}

function help() {
  const keys = [
    ["g, then a letter", offered().map(([, name, key]) => `${key} ${name}`).join(", ")],
    ["j, k", "to the next row, to the one before; Enter opens it"],
    ["/", "to the first filter"],
    [".", "pause what is live, and go on"],
    ["t", "dark or light"],
    ["?", "this"],
  ];
  const rows = keys.map(([key, what]) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, key)), h("td", {}, what)));
  ask({ title: "Keys", body: h("table", { class: "keys" }, h("tbody", {}, rows)), agree: "Good" });
}

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  "/": () => main.querySelector("input, select")?.focus(),
  ".": toggleLive,
  t: toggleTheme,
  "?": help,
};

function typed(event) {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (target.closest("input, select, textarea")) {
    if (key === "Escape") target.blur();
    return;
  }
  const screen = pressed === "g" ? offered().find(([, , letter]) => letter === key) : null;
  const action = screen ? () => go(screen[0] ? [screen[0]] : []) : pressed === "g" ? null : KEYS[key];
  pressed = key;
  if (!action) return;
  pressed = null;
  event.preventDefault();
  action();
}

/** Say when Tickr is asked again; not to screen readers, who would hear each second. */
function countDown() {
  const place = document.getElementById("again");
  if (!place || tried === null) return;
  const leftS = Math.ceil((tried - performance.now()) / 1000);
  place.textContent = leftS > 0 ? `again in ${leftS} s` : "asking …";
}

/** Ages grow, and what is to come gets nearer, between two looks at the server. */
function age() {
  if (live.paused || document.hidden) return;
  for (const time of document.querySelectorAll("time.ago")) {
    const words = distance(time.dateTime);
    if (time.textContent !== words) time.textContent = words;
  }
}

setTheme(localStorage.getItem(THEME));
furnish();
press.listen();
setInterval(age, 1000);
setInterval(countDown, 1000);
addEventListener("hashchange", show);
addEventListener("keydown", typed);
begin();
