// Where one is: the screen and all that is chosen on it stand behind the # of the address, so that a link shows the same,
// the browser's "back" goes back, and no server or proxy needs to know the screens.

/** Return {path, query} of an address like `#/jobs?state=failed`: the parts of the path, and URLSearchParams. */
export function here(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(query) };
}

/** Return the address of a screen, for a link. query: values, lists of them, or null for what is left out. */
export function address(path, query = {}) {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    [value].flat().filter((one) => one !== null && one !== undefined && one !== "").map((one) => [name, String(one)]),
  );
  return `#/${path.map(encodeURIComponent).join("/")}${pairs.length ? `?${new URLSearchParams(pairs)}` : ""}`;
}

export function go(path, query = {}) {
  location.hash = address(path, query);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // typed by hand
  }
}
