// What operators do to one order: each is previewed, then done, by the routes of `/admin/orders/ID`.

import { part, send } from "./api.js";
import { ask, field, listed } from "./ask.js";
import { el } from "./dom.js";
import { to } from "./shell.js";

// `label` of the button that opens it, `now` of the one that does it, `says` what it is for, of an order where that depends on it.
export const VERBS = {
  retry: { label: "Retry", now: "Retry now", says: "A STUCK order goes on where it stands. A FAILED one is placed anew, as an order of its own." },
  resume: { label: "Resume", now: "Resume now", says: "The order goes on where it stands, with its time anew." },
  pause: { label: "Pause", now: "Pause now", says: "No further call is made until it is resumed. A call that is on its way ends, and its answer counts." },
  "skip-step": { label: "Skip step", now: "Skip it now", danger: true, says: (order) => (order.direction === "compensation"
    ? "What is left is undone without undoing this step: what the step did stands." : "The order goes on without this step.") },
  resolve: { label: "Resolve", now: "Resolve now", danger: true, says: "The order ends as you say. No call follows: put right by hand what must not stand." },
  cancel: { label: "Cancel", now: "Cancel it now", danger: true, says: "An order on its way is undone, a completed one is taken back." },
};

// Asks for what a verb needs, shows what would follow, and does it, if the order is still as it was previewed. `changed()` is called once it is
// done. Returns a function to be called when the order has changed meanwhile.
export function verb(name, order, { signal, changed }) {
  const { label, now, says, danger } = VERBS[name];
  const path = `/admin/orders/${part(order.order_ledger_id)}/${name}`;
  let seen = null; // What the preview told of the order's state.
  const drop = ask({
    title: `${label}: order ${order.order_ledger_id}`,
    intro: el("p", {}, typeof says === "function" ? says(order) : says),
    fields: fieldsOf(name, order),
    label: now,
    danger,
    signal,
    async preview(said, ends) {
      const told = await send("POST", path, { ...said, dry_run: true }, { signal: ends });
      seen = told.seen;
      return shown(told, order);
    },
    async act(said, ends) {
      const told = await send("POST", path, { ...said, dry_run: false, seen }, { signal: ends });
      changed();
      const other = told.order_ledger_id !== order.order_ledger_id;
      const done = told.done ? "done" : "it was so already";
      const which = other ? ["Order ", el("a", { href: to("orders", told.order_ledger_id) }, told.order_ledger_id)] : "The order";
      return [`${label}: ${done}. `, which, ` is ${told.status}${told.paused ? ", on hold" : ""}.`];
    },
  });
  return () => drop("The order has changed since: preview it again.");
}

function fieldsOf(name, order) {
  if (name === "resolve") {
    return [field("As", el("select", { name: "as" }, ["failed", "completed"].map((ending) => el("option", {}, ending))))];
  }
  if (name === "skip-step") {
    const { steps } = order.verbs.find(({ verb: offered }) => offered === name);
    return [field("Step", el("select", { name: "step" }, steps.map((step) => el("option", {}, step))))];
  }
  return [];
}

function shown(told, order) {
  const other = told.order_ledger_id !== order.order_ledger_id;
  const when = told.paused ? "Calls that follow once it is resumed, if every one succeeds" : "Calls that follow, if every one succeeds";
  return [
    other ? el("p", {}, `It goes on as an order of its own: ${told.order_ledger_id}`) : null,
    listed(when, told.calls, "No call follows."),
    listed("What can't be undone", told.irreversible),
    el("p", { class: "note" }, "Nothing has been changed yet."),
  ];
}
