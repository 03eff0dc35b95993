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

/** Return what Tickr says of itself: {status, store, index, reason}. It may be asked without a token. */
export async function readiness() {
  return (await fetch(`${url}/readyz`)).json();
}
