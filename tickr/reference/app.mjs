// The page about the API: what /openapi.json describes, by groups; the bar above it, and the keys.

import { fill, h } from "../ui/dom.mjs";
import { signedIn, signIn, signOut, url } from "../ui/session.mjs";
import { call } from "./call.mjs";
import { prose } from "./prose.mjs";

const THEME = "tickr.theme";
const main = document.getElementById("main");
const nav = document.getElementById("nav");
const search = document.getElementById("search");
let groups = []; // of the page: {section, links, calls: [{details, link, words}]}

start();

async function start() {
  setTheme(localStorage.getItem(THEME));
  furnish();
  addEventListener("keydown", typed);
  addEventListener("hashchange", () => open(location.hash));
  search.addEventListener("input", find);
  try {
    const answer = await fetch(`${url}/openapi.json`);
    show(await answer.json());
    open(location.hash);
  } catch (error) {
    fill(main, h("p", { role: "alert", class: "banner" }, `The description could not be read: ${error.message}`));
  }
}

function show(description) {
  const { info, tags, paths } = description;
  const calls = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, said]) => ({ method: method.toUpperCase(), path, said })),
  );
  groups = tags.map((tag) => group(tag, calls.filter(({ said }) => said.tags.includes(tag.name)), description));
  fill(
    main,
    h("h1", {}, `The API of ${info.title} `, h("small", { class: "soft" }, info.version)),
    info.description.split("\n\n").map((one) => h("p", {}, prose(one))),
    h("p", {}, prose(description.components.securitySchemes.token.description)),
    h("p", {}, "All of this page as OpenAPI 3.1: ", h("a", { href: "../openapi.json" }, "openapi.json"), "."),
    groups.map(({ section }) => section),
  );
  fill(nav, groups.map(({ links }) => links));
}

function group(tag, calls, description) {
  const shown = calls.map(({ method, path, said }) => ({
    details: call({ method, path, said }, description),
    link: h("li", {}, h("a", { href: `#${said.operationId}` }, h("span", { class: `method ${method}` }, method), said.summary)),
    words: [method, path, said.operationId, said.summary, said.description].join(" ").toLowerCase(),
  }));
  const head = h("h2", {}, tag.name);
  return {
    calls: shown,
    section: h("section", { class: "group" }, head, h("p", { class: "soft" }, prose(tag.description)), shown.map(({ details }) => details)),
    links: h("div", {}, h("h3", {}, tag.name), h("ul", {}, shown.map(({ link }) => link))),
  };
}

/** Show the call that the address names. */
function open(hash) {
  const found = document.getElementById(`call-${hash.slice(1)}`);
  if (!found) return;
  found.hidden = found.parentElement.hidden = false;
  found.open = true;
  found.scrollIntoView();
  found.querySelector("summary").focus({ preventScroll: true });
}

/** Show those calls alone of which all that is sought is said. */
function find() {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const { section, links, calls } of groups) {
    for (const { details, link, words } of calls) details.hidden = link.hidden = !wanted.every((one) => words.includes(one));
    section.hidden = links.hidden = calls.every(({ details }) => details.hidden);
  }
}

function furnish() {
  const token = signedIn()
    ? h("button", { class: "quiet", onclick: () => (signOut(), furnish()) }, "Forget the token")
    : h("form", { onsubmit: takeToken }, h("input", { name: "token", type: "password", autocomplete: "off", placeholder: "Token", "aria-label": "Token" }), h("button", {}, "Use"));
  fill(document.getElementById("tools"), token, h("button", { class: "quiet", onclick: turn, title: "Key: t" }, "Light or dark"));
}

function takeToken(event) {
  event.preventDefault();
  const given = event.target.elements.token.value.trim();
  if (given) signIn(given);
  furnish();
}

function typed(event) {
  if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "/") (event.preventDefault(), search.focus());
  if (event.key === "t") turn();
}

function turn() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  setTheme(now === "dark" ? "light" : "dark");
  localStorage.setItem(THEME, document.documentElement.dataset.theme);
}

function setTheme(theme) {
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
}
