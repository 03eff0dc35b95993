// The fields of a job as a form, and what of them was changed: nothing else is sent.

import { Source } from "./client/client.mjs";
import { field } from "./dialog.mjs";
import { h } from "./dom.mjs";
import { Fault } from "./faults.mjs";
import { indented, same, wrong } from "./source.mjs";

const NUMBERS = {
  priority: { min: 0, max: 9, step: 1 },
  delay: { min: 0, step: "any" },
  max_attempts: { min: 1, step: 1 },
  timeout: { min: 0.001, step: "any" },
  expires_in: { min: 0.001, step: "any" },
};
const NULLABLE = new Set(["limit_key"]);
const BACKOFFS = ["constant", "linear", "exponential"];

export class JobForm {
  #before = {};
  #written = {}; // the JSON that some began with, to the letter
  #controls = {};
  #fresh;

  /**
   * job: what stands in it at first; its payload as a `Source`. of it: `all` many jobs, whose values are not shown; `retry`: it
   * is about a new start; `running`: the time-out is all that can be changed; `fresh`: a new job, with its type.
   */
  constructor(job, { all = false, retry = false, running = false, fresh = false, known = {} } = {}) {
    const as = fresh ? "by default" : "as it is";
    this.#fresh = fresh;
    this.nodes = running
      ? [this.#number("timeout", "Time-out", null, "seconds from the start of the attempt")]
      : [
          fresh && this.#text("type", "Type", job.type, { required: true, ...this.#list("types", known.types) }),
          fresh && this.#datalist("types", known.types),
          this.#json("payload", "Payload", job.payload?.text, all && "as it is, of each of them"),
          h(
            "div",
            { class: "columns" },
            this.#text("queue", "Queue", job.queue, { placeholder: as, ...this.#list("queues", known.queues) }),
            this.#datalist("queues", known.queues),
            this.#number("priority", "Priority", job.priority, "0 runs first, 9 last", as),
            this.#number("delay", "Due in", null, "seconds; 0: now", retry ? "at once" : as),
            this.#instant("run_at", "Or due at"),
            this.#number("max_attempts", "Attempts", job.max_attempts, null, as),
            this.#number("timeout", "Time-out", null, "seconds, of each attempt", as),
            this.#number("expires_in", "Expires in", null, "seconds; not started after that", as),
            this.#choice("backoff", "Back-off", BACKOFFS, as),
            this.#text("limit_key", "Limit key", job.limit_key, { placeholder: fresh ? "none" : as }),
            fresh && this.#text("sequence", "Sequence", null, { placeholder: "none" }),
            fresh && this.#text("unique", "Unique key", null, { placeholder: "none" }),
          ),
          this.#json("labels", "Labels", job.labels && JSON.stringify(job.labels), all && "as they are", true),
        ];
  }

  /** Return what was changed, as the API takes it; of a new job, all that is there. Throws Fault. */
  changes() {
    const found = {};
    for (const [name, control] of Object.entries(this.#controls)) {
      const [value, before] = [control.value, this.#before[name]];
      if (value === before) {
        if (this.#fresh && value) found[name] = name in this.#written ? new Source(this.#written[name]) : read(name, value);
      } else if (name === "payload" || name === "labels") {
        const text = json(name, value, this.#fresh);
        if (text !== null && !(before && same(before, text) && !this.#fresh)) found[name] = new Source(text);
      } else if (value === "") {
        if (this.#fresh) continue;
        if (NULLABLE.has(name)) found[name] = null;
        else throw new Fault(name, "cannot be taken away");
      } else found[name] = read(name, value);
    }
    return found;
  }

  #add(name, title, control, hint) {
    this.#controls[name] = control;
    this.#before[name] = control.value;
    return field(title, control, hint);
  }

  #text(name, title, value, attributes = {}) {
    return this.#add(name, title, h("input", { name, value: value ?? "", autocomplete: "off", spellcheck: "false", ...attributes }));
  }

  #number(name, title, value, hint, placeholder) {
    return this.#add(name, title, h("input", { name, type: "number", value: value ?? "", placeholder, ...NUMBERS[name] }), hint);
  }

  #instant(name, title) {
    return this.#add(name, title, h("input", { name, type: "datetime-local", step: 1 }));
  }

  #choice(name, title, values, first) {
    const options = [h("option", { value: "" }, first), ...values.map((one) => h("option", { value: one }, one))];
    return this.#add(name, title, h("select", { name }, options));
  }

  #json(name, title, text, placeholder, low = false) {
    const control = h("textarea", { name, spellcheck: "false", placeholder: placeholder || (this.#fresh ? "{}" : null), class: low && "low" });
    control.value = text ? indented(text) : "";
    if (text) this.#written[name] = text;
    return this.#add(name, title, control);
  }

  #list = (name, values) => (values ? { list: `known-${name}` } : {});

  #datalist = (name, values) => values && h("datalist", { id: `known-${name}` }, values.map((one) => h("option", { value: one })));
}

/** Return the text of a field with JSON, or null if there is none in a form for a new job. Throws Fault. */
function json(name, text, optional) {
  if (optional && !text.trim()) return null;
  const trouble = wrong(text);
  if (trouble) throw new Fault(name, trouble.message, trouble.at);
  return text.trim();
}

function read(name, value) {
  if (name in NUMBERS) return Number(value);
  if (name === "run_at") return new Date(value).toISOString();
  return name === "unique" ? { key: value } : value.trim();
}
