// What needs a person: orders that are STUCK, and orders that somebody has on hold.

import { get } from "../api.js";
import { copier, orderId, quoted } from "../copy.js";
import { badge, el, facts, fill, put, table, time } from "../dom.js";
import { ago, count, money, NOTHING } from "../format.js";
import { follow, poll } from "../live.js";
import { remember, to } from "../shell.js";

const PAUSE_MS = 5000;

export const title = "Stuck";

export function show(root, { query }, signal) {
  let by = query.get("by") === "value" ? "value" : "age";
  let shown = new Set();
  const summary = el("p", { role: "status" });
  const risk = el("div");
  const choice = el("select", { onchange: choose }, [["age", "longest stopped first"], ["value", "greatest value first"]].map(
    ([value, text]) => el("option", { value, selected: by === value }, text)));
  const list = table("Orders that need a person", ["Order", "State", "Since", { text: "Value", number: true }, "Stuck on", "Why", "Saga",
    "Customer"], { none: "None." });
  const groups = table("Why, and how many", ["Why", "Saga", "Stuck on", "State", { text: "Orders", number: true },
    { text: "Value", number: true }, "Since", "Retry them all, once mended"], { none: "None." });
  root.append(summary, risk, el("p", {}, el("label", {}, "Order: ", choice)), list.region, el("h2", {}, "By reason"), groups.region);

  function choose() {
    by = choice.value;
    remember(by === "age" ? {} : { by });
    soon();
  }

  function draw(told) {
    shown = new Set(told.orders.map((order) => order.order_ledger_id));
    summary.className = told.looked_at ? "loudly" : "fine";
    put(summary, !told.looked_at ? "No order needs a person."
      : `${told.complete ? "" : "More than "}${count(told.looked_at)} ${told.looked_at === 1 ? "order needs" : "orders need"} a person.`);
    fill(risk, told.totals.length ? facts(told.totals.map(({ currency, orders, total_minor }) => [
      currency ? `At risk in ${currency}, ${count(orders)} orders` : "Without an amount",
      currency ? money(total_minor, currency) : `${count(orders)} orders`])) : []);
    list.rows(told.orders.map((order) => ({
      key: order.order_ledger_id,
      cells: [
        orderId(order.order_ledger_id, to("orders", order.order_ledger_id)),
        order.paused_at ? [badge("paused"), ` ${order.status}`] : badge(order.status),
        [time(order.since), ` (${ago(order.since)})`],
        order.currency ? money(order.total_minor, order.currency) : NOTHING,
        order.step ?? NOTHING,
        el("span", { class: "error-text" }, order.paused_at ? `on hold by ${order.actor ?? "somebody"}: ${order.reason ?? NOTHING}`
          : order.last_error ?? NOTHING),
        order.saga,
        order.customer_id ?? NOTHING,
      ],
    })));
    groups.rows(byReason(told.groups).map(({ key, of, orders, values, since }) => ({
      key,
      cells: [
        el("a", { href: to("orders", null, filterOf(of)) }, of.reason ?? "on hold"),
        of.saga, of.step ?? NOTHING, badge(of.state === "STUCK" ? "STUCK" : "paused"), count(orders),
        values.length ? values.map((value) => el("div", {}, value)) : NOTHING, time(since),
        of.state === "STUCK" ? command(key, of) : NOTHING,
      ],
    })));
  }

  // Made once a group, so that what is unfolded stays so.
  const commands = new Map();
  function command(key, of) {
    if (!commands.has(key)) commands.set(key, commandOf(of));
    return commands.get(key);
  }

  const soon = poll("Stuck orders", async () => {
    const asked = by;
    const told = await get("/admin/stuck", { query: { by }, signal });
    if (asked === by) draw(told);
  }, PAUSE_MS, signal);
  follow({
    changed(messages) {
      if (messages.some(({ status, order_ledger_id }) => status === "STUCK" || shown.has(order_ledger_id))) soon();
    },
    anew: () => soon(),
  }, signal);
}

// Groups without regard to their currencies, in the order in which the first of each came.
function byReason(groups) {
  const merged = new Map();
  for (const of of groups) {
    const key = JSON.stringify([of.saga, of.state, of.step, of.reason]);
    const group = merged.get(key) ?? { key, of, orders: 0, values: [], since: of.since };
    group.orders += of.orders;
    if (of.currency) group.values.push(money(of.total_minor, of.currency));
    if (of.since < group.since) group.since = of.since;
    merged.set(key, group);
  }
  return [...merged.values()];
}

// The list's filters for a group.
const filterOf = ({ saga, state, reason }) => ({ saga, ...(state === "STUCK" ? { stuck: "true", error: literal(reason) } : { paused: "true" }) });

// Numbers are left out of a group's reason, and no command holds what can't be seen: the longest part that is left is looked for.
const literal = (reason) => (reason ?? "").split(/…|\p{C}/u).sort((a, b) => b.length - a.length)[0].trim();

// What mends a group from a terminal. It wants a reason of whoever does it, and first shows what would follow.
function commandOf({ saga, reason }) {
  const like = literal(reason);
  const text = `saga ledger retry --all --status STUCK --saga ${quoted(saga)}${like ? ` --error-like ${quoted(like)}` : ""} --canary 5 --rate 10 --dry-run --reason ''`;
  const code = el("code", {}, text);
  const unfolded = el("details", {}, el("summary", {}, "Read it"), code);
  const shown = () => {
    unfolded.open = true;
    return code;
  };
  return el("div", {}, copier(text, "Copy command", { name: `Copy command for ${saga}: ${like}`, shown }), unfolded);
}
