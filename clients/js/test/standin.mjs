// A server of a few lines for answers that Tickr gives rarely: told when to say 429, to cut the line, or to keep still.
// What it is not told it does as Tickr does: it stores a job under its id once, and says 200 to the same again.

import { createServer } from "node:http";

export class Standin {
  script = [];
  seen = []; // requests: { method, path, query, headers, body, jobs }
  stored = new Map();

  static async start(...script) {
    const standin = new Standin();
    standin.script.push(...script);
    standin.server = createServer((request, response) => standin.#serve(request, response));
    await new Promise((resolve) => standin.server.listen(0, "127.0.0.1", resolve));
    standin.url = `http://127.0.0.1:${standin.server.address().port}`;
    return standin;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  store(jobs) {
    return jobs.map((job, index) => {
      if (job.type === "wrong") return { index, status: 422, error: problem(422, "invalid_request") };
      const before = this.stored.has(job.id);
      if (before && JSON.stringify(this.stored.get(job.id)) !== JSON.stringify(job))
        return { index, status: 409, error: problem(409, "duplicate_job") };
      this.stored.set(job.id, job);
      return { index, status: before ? 200 : 201, id: job.id };
    });
  }

  async #serve(request, response) {
    let text = "";
    for await (const chunk of request) text += chunk;
    const { pathname: path, searchParams: query } = new URL(request.url, this.url);
    const body = text ? JSON.parse(text) : undefined;
    const jobs = path === "/jobs/batch" ? body.jobs : [body];
    const seen = { method: request.method, path, query, headers: request.headers, text, body, jobs };
    this.seen.push(seen);
    const [status, document, headers = {}] = (await (this.script.shift() ?? behave)(this, seen, response)) ?? [];
    if (status === CUT) request.socket.destroy();
    else if (status) response.writeHead(status, headers).end(JSON.stringify(document));
  }
}

export const CUT = "cut";
export const problem = (status, code, more = {}) => ({ status, code, detail: `It is ${status}.`, ...more });
export const say =
  (status, code = "said", headers = {}, more = {}) =>
  () => [status, problem(status, code, more), headers];
export const cut = () => [CUT];
export const still = () => new Promise(() => {});
export const storeAndCut = (server, { jobs }) => (server.store(jobs), [CUT]);

export function behave(server, { path, jobs }) {
  const results = server.store(jobs);
  if (path === "/jobs/batch") return [200, { results }];
  return [results[0].status, results[0].error ?? { id: results[0].id }];
}
