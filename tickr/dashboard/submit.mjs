// A new job, by hand.

import { JobForm } from "./changes.mjs";
import { ask } from "./dialog.mjs";
import { h } from "./dom.mjs";
import { jobLink } from "./marks.mjs";
import { notify } from "./notices.mjs";

/** Ask for a job and submit it. known: promise of {types, queues} to be suggested. like: a job that it is to be like. */
export async function submitJob(client, known, like = {}) {
  const form = new JobForm(like, { fresh: true, known: await known });
  let id; // of a try that may have stored it: the next one is the same job, and never a second
  const stored = await ask({
    title: "Submit a job",
    body: form.nodes,
    agree: "Submit",
    wide: true,
    answer: async () => {
      const { type = like.type, payload, ...options } = form.changes();
      try {
        return await client.submit(type, payload, { ...options, id });
      } catch (error) {
        if (error.mayBeStored) id = error.jobId;
        throw error;
      }
    },
  });
  if (!stored) return;
  const words = stored.held ? "Another job holds its unique key: " : "Submitted: ";
  notify([words, jobLink(stored.id, stored.type), h("span", { class: "mono soft" }, ` ${stored.id}`)], "good");
}
