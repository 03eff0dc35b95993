// Elements, made of data. Whatever comes from a job is text here and never markup: there is no way in for HTML.

/** Make an element. attributes: `on…` are listeners, `true` is a bare one, null and false are left out. */
export function h(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

/** The same for the elements of a drawing. */
export function svg(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/**
 * Have `parent` hold these children and no others. Where the focus is on one that comes again, it stays there; and
 * <details> with a `data-key` that are open, and come again, stay open.
 */
export function fill(parent, ...children) {
  const before = parent.contains(document.activeElement) ? document.activeElement : null;
  const open = new Set([...parent.querySelectorAll("details[open][data-key]")].map((one) => one.dataset.key));
  parent.replaceChildren(...nodes(children));
  if (open.size) for (const one of parent.querySelectorAll("details[data-key]")) one.open ||= open.has(one.dataset.key);
  if (before?.isConnected === false) same(parent, before)?.focus({ preventScroll: true });
  return parent;
}

/** Return what an element is to whoever uses it: one that says the same in the same place is the same one, made anew. */
export function says(one) {
  return [one.tagName, one.getAttribute("aria-label"), one.getAttribute("href"), one.name, one.textContent].join("\n");
}

function same(parent, before) {
  const wanted = says(before);
  return [...parent.querySelectorAll(before.tagName)].find((one) => says(one) === wanted);
}

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false && one !== "");
}
