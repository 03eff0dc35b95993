// Who looks: the client of the Tickr that this page came from, and the token, which lives as long as the tab.

import { Client } from "./client/client.mjs";

const TOKEN = "tickr.token";
const TOTAL_S = 4; // how long a call is tried; then it is said that nobody answers

/** The address of the Tickr, whatever prefix a proxy has put before it. */
export const url = new URL("..", document.baseURI).href.replace(/\/$/, "");

export function connect() {
  return new Client(url, { token: sessionStorage.getItem(TOKEN) ?? undefined, totalS: TOTAL_S });
}

export function signIn(token) {
  sessionStorage.setItem(TOKEN, token);
}

export function signOut() {
  sessionStorage.removeItem(TOKEN);
}

export const signedIn = () => sessionStorage.getItem(TOKEN) !== null;

/** Return the answer to a GET that the client has no call for. Throws an Error with the problem's words and its `status`. */
export async function ask(path) {
  const token = sessionStorage.getItem(TOKEN);
  const answer = await fetch(url + path, { headers: token === null ? {} : { Authorization: `Bearer ${token}` } });
  const told = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(told.detail), { status: answer.status });
  return told;
}

/** Return who looks: {who, scopes, expires_at, asked}; `asked`: whether a token is asked for at all. */
export const whoami = () => ask("/whoami");

/** Return what Tickr says of itself: {status, store, index, reason}. It may be asked without a token. */
export async function readiness() {
  return (await fetch(`${url}/readyz`)).json();
}
