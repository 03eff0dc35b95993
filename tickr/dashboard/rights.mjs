// What whoever looks may do. Only for show: the server looks at each call itself. State: what `GET /whoami` has said.

const CHANGING = ["jobs:write", "queues:admin", "admin"];
let caller = null;

/** Take what `GET /whoami` says; null: nobody has been asked yet, and everything is offered. */
export function learn(found) {
  caller = found;
}

export const may = (scope) => caller === null || caller.scopes.includes(scope);

/** Whether nothing that this page can do to things is his to do. */
export const readOnly = () => !CHANGING.some(may);

/** Return the attributes of a button for what needs `scope`. */
export const needs = (scope) => (may(scope) ? {} : { disabled: true, title: `${readOnly() ? "Read-only: your" : "Your"} token has not the scope ${scope}` });
