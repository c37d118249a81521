// One order: where it stands, how it came to that, what it said to whom, and what can be done to it.

import { get, part } from "../api.js";
import { became, draw, marksOf, SIGNS, span, what } from "../course.js";
import { copier } from "../copy.js";
import { badge, el, facts, fill, table, time } from "../dom.js";
import { count, lasting, money, NOTHING } from "../format.js";
import { follow, poll } from "../live.js";
import { retitle, to } from "../shell.js";
import { VERBS, verb } from "../verbs.js";

const PAUSE_MS = 2000;

export const title = "Order";

export async function show(root, { id }, signal) {
  retitle(`Order ${id}`);
  const head = el("div");
  const verbs = el("div", { class: "buttons", role: "group", "aria-label": "What can be done" });
  const course = courseOf(id, signal);
  const sent = table("Attempts and waits", ["Step", "What", { text: "After", number: true }, { text: "Lasted", number: true }, "Outcome",
    "Error", "Said"]);
  const steps = table("Where each step stands", ["Step", "State", { text: "Attempts", number: true }, "Started", "Ended", "Last error"]);
  const items = table("What was ordered", ["SKU", { text: "Quantity", number: true }, { text: "Unit price", number: true }, "Description"]);
  const journal = table("Journal, every entry in order", [{ text: "Seq", number: true }, { text: "After", number: true }, "Kind", "Step", "Outcome", "Why", "Who"]);
  const statements = el("div");
  root.append(head, verbs, el("h2", {}, "Course"), course.figure, sent.region, el("h2", {}, "Steps"), steps.region,
    el("h2", {}, "Items"), items.region, el("h2", {}, "Journal"), journal.region, el("h2", {}, "See it yourself"), statements);
  const said = bodies();
  let order = null;
  let dropPreview = () => {};

  function showOrder(found) {
    if (order !== null && stateOf(order) !== stateOf(found)) dropPreview();
    order = found;
    retitle(`Order ${order.order_ledger_id}`);
    fill(head, headOf(order));
    fillVerbs(verbs, order, (name) => { dropPreview = verb(name, order, { signal, changed: soon }); });
    course.show(order);
    sent.rows(attemptsOf(order, said));
    steps.rows(order.steps.map((step) => ({
      key: step.name,
      cells: [step.name, badge(step.state), count(step.attempts), time(step.started_at), time(step.finished_at), step.error ?? ""],
      loud: step.state === "compensation_failed",
      soft: step.state === "pending",
    })));
    items.rows(order.items.map((item) => ({
      key: item.line,
      cells: [item.sku, count(item.quantity), money(item.unit_price_minor, order.currency), item.description ?? ""],
    })));
    journal.rows(order.journal.map((entry) => journalRow(entry, order)));
    if (!statements.childElementCount) fill(statements, order.statements.map(statement));
  }

  async function look() {
    try {
      showOrder(await get(`/admin/orders/${part(id)}`, { signal }));
    } catch (error) {
      if (error.status !== 404) throw error;
      fill(root, el("p", { class: "failed", role: "alert" }, "There is no order of this id. Retention may have removed it. ",
        el("a", { href: to("orders") }, "All orders")));
    }
  }

  const soon = poll("Order", look, PAUSE_MS, signal);
  follow({ changed: (messages) => messages.some((message) => message.order_ledger_id === order?.order_ledger_id) && soon(), anew: soon }, signal);
}

// What a preview hangs on: where the order stands, and what people did. What it does by itself goes on under a preview.
const stateOf = ({ status, paused_at, journal, children }) => JSON.stringify(
  [status, paused_at, journal.filter(({ kind }) => kind === "operator").length, children.length]);

function headOf(order) {
  const failed = order.status === "STUCK" ? order.steps.filter(({ state }) => state === "compensation_failed").map(({ name }) => name) : [];
  const about = [
    ["Status", [badge(order.status), order.paused_at ? [" ", badge("paused")] : null]],
    ["Value", order.total_minor === null ? NOTHING : money(order.total_minor, order.currency)],
    ["Customer", order.customer_id ?? NOTHING],
    ["Saga", el("a", { href: to("definitions", order.saga) }, `${order.saga}, version ${order.saga_version}`)],
    [order.status === "STUCK" ? "Stuck on" : "At step", breakable(failed.length ? failed.join(", ") : order.step)],
    ["Retries", count(order.retry_count)],
    ["Recorded", time(order.created_at)],
    ["Took", order.finished_at ? lasting(order.timeline.length_s) : `${lasting(order.timeline.length_s)} so far`],
    order.finished_at ? ["Ended", time(order.finished_at)] : ["Undone or STUCK after", time(order.deadline_at)],
    ["Next attempt", time(order.next_retry_at)],
    ["People were told", order.notified_at && time(order.notified_at)],
    ["On hold since", order.paused_at && time(order.paused_at)],
    ["Client", order.client_id],
    ["Client's key", order.client_request_id],
    ["Correlation ID", order.correlation_id],
    ["About order", order.parent_id && link(order.parent_id)],
    ...order.children.map((child) => [child.saga === order.saga ? "Placed anew as" : child.saga, [link(child.order_ledger_id), " ", badge(child.status)]]),
    ...Object.entries(order.metadata).map(([name, value]) => [`metadata.${name}`, typeof value === "string" ? value : JSON.stringify(value)]),
  ].filter(([, value]) => value !== null && value !== NOTHING);
  const small = facts(about);
  small.className = "small";
  return [order.last_error ? el("p", { class: order.status === "STUCK" ? "loudly" : "failed" }, order.last_error) : null, small];
}

const breakable = (names) => (names === null ? names : names.split(/(?<=_)/).flatMap((piece) => [piece, el("wbr")]));
const link = (id) => el("a", { href: to("orders", id), class: "mono" }, id);

// Buttons stay the same elements while the order goes on, so that the focus stays where it is.
function fillVerbs(place, order, act) {
  const wanted = order.verbs.filter(({ verb: name }) => name in VERBS).map(({ verb: name }) => name);
  const hadFocus = place.contains(document.activeElement);
  for (const button of [...place.children]) if (!wanted.includes(button.value)) button.remove();
  wanted.forEach((name, index) => {
    const button = [...place.children].find(({ value }) => value === name)
      ?? el("button", { type: "button", value: name, onclick: () => act(name) }, VERBS[name].label);
    if (place.children[index] !== button) place.insertBefore(button, place.children[index] ?? null);
  });
  place.hidden = !wanted.length;
  // What was pressed may not be offered any more; whoever goes on by keyboard goes on from here.
  if (hadFocus && !place.contains(document.activeElement)) (place.firstElementChild ?? document.getElementById("heading")).focus();
}

// The drawing, which is made anew when the order has changed or the room has, and its list of marks.
function courseOf(id, signal) {
  const drawn = el("div", { class: "drawn" });
  const toScale = el("input", { type: "checkbox", id: "to-scale" });
  const marks = el("ol", { class: "marks" });
  const figure = el("figure", {}, drawn, el("figcaption", {}, legend(),
    el("p", {}, "Long times are drawn shorter than they are. ", toScale, " ", el("label", { for: "to-scale" }, "Draw them as long as they are"))), marks);
  let order = null;

  function redraw() {
    if (order === null || !drawn.clientWidth) return;
    const { timeline } = order;
    const bars = timeline.lanes.flatMap((lane) => lane.bars).filter((bar) => bar.kind === "attempt");
    const undone = bars.filter((bar) => bar.direction === "compensation").length;
    const label = `The order's course over ${lasting(timeline.length_s)}: ${timeline.statuses.map((phase) => phase.name).join(", then ")}. `
      + `${bars.length} calls, ${undone} of them to undo. The table that follows says the same.`;
    fill(drawn, draw(timeline, drawn.clientWidth, { toScale: toScale.checked, label }));
  }

  toScale.addEventListener("change", redraw);
  const watch = new ResizeObserver(redraw);
  watch.observe(drawn);
  signal.addEventListener("abort", () => watch.disconnect());
  return {
    figure,
    show(found) {
      order = found;
      redraw();
      fill(marks, marksOf(order.timeline).map(({ kind, what, at_s, step, actor, reason, replica }) => el("li", {},
        `+${lasting(at_s)} `, el("strong", {}, kind === "takeover" ? `taken over by ${replica}` : what), step ? ` of ${step}` : "",
        actor ? ` by ${actor}` : "", reason ? `: ${reason}` : "")));
      marks.hidden = !order.timeline.marks.length;
    },
  };
}

const legend = () => el("ul", { class: "legend" }, [["forth", "being done"], ["back", "being undone: it points backwards"], ["delay", "waits for the next attempt"],
  ["wait", "waits for an answer or a time"], ["hold", "on hold"], ["mark", "takeovers and what somebody asked for, in the list"]].map(([name, says]) => el("li", { class: name }, says)),
  Object.entries(SIGNS).map(([outcome, sign]) => el("li", {}, `${sign} ${outcome === "open" ? "on its way" : outcome}`)));

function attemptsOf(order, said) {
  const { timeline, journal } = order;
  const entries = new Map(journal.map((entry) => [entry.seq, entry]));
  return timeline.lanes.flatMap(({ step, bars }) => bars.map((bar) => ({ step, bar })))
    .sort((one, other) => one.bar.start_s - other.bar.start_s || (one.bar.seq ?? 0) - (other.bar.seq ?? 0))
    .map(({ step, bar }) => ({
      key: `${step} ${bar.kind} ${bar.direction} ${bar.round} ${bar.attempt}`,
      cells: [
        step,
        el("span", { class: "line" }, what(bar)),
        `+${lasting(bar.start_s)}`,
        span(bar, timeline.length_s),
        bar.kind === "delay" ? (bar.due_s === null ? "" : `due at +${lasting(bar.due_s)}`) : badge(became(bar)),
        [bar.error ?? "", bar.note ? ` (${bar.note})` : "", bar.taken_over ? " (taken over)" : ""],
        said(`${step} ${bar.seq}`, entries.get(bar.seq), entries.get(bar.end_seq)),
      ],
    }));
}

// What was sent and answered, closed until it is opened; what is open stays so when the order goes on.
function bodies() {
  const made = new Map();
  return (key, asked, answered) => {
    const [request, response] = [asked?.request ?? null, answered?.response ?? null];
    if (request === null && response === null) return "";
    const text = JSON.stringify([request, response]);
    if (made.get(key)?.text !== text) {
      const block = (name, value) => (value === null ? null
        : [el("h3", {}, name), el("pre", { tabindex: 0, role: "region", "aria-label": `${name} of ${key}` }, JSON.stringify(value, null, 2))]);
      made.set(key, { text, element: el("details", {}, el("summary", {}, "request and answer"), block("Request", request), block("Answer", response)) });
    }
    return made.get(key).element;
  };
}

function journalRow(entry, order) {
  const attempt = entry.attempt === null ? "" : ` ${entry.attempt}${entry.round > 1 ? `, round ${entry.round}` : ""}`;
  const took = entry.duration_ms === null ? "" : ` in ${lasting(entry.duration_ms / 1000)}`;
  const after = Math.max(Date.parse(entry.at) - Date.parse(order.created_at), 0) / 1000;
  return {
    key: entry.seq,
    cells: [entry.seq, el("time", { datetime: entry.at, title: entry.at }, `+${lasting(after)}`), `${entry.kind}${attempt}`, `${entry.direction === "compensation" ? "undo " : ""}${entry.step ?? ""}`,
      `${entry.outcome ?? ""}${took}`, [entry.error, entry.reason].filter(Boolean).join("; "), el("span", { class: "line" }, entry.actor ?? entry.replica)],
    loud: entry.outcome === "STUCK",
  };
}

function statement({ says, sql }) {
  const text = el("pre", { tabindex: 0, role: "region", "aria-label": `SQL: ${says}` }, sql);
  return [el("h3", {}, says), text, el("div", { class: "buttons" }, copier(sql, `Copy: ${says}`, { shown: () => text }))];
}
