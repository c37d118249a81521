// Orders of every client, newest first, by whatever is known of them. What is shown changes in place; what is new waits to be asked for.

import { get } from "../api.js";
import { orderId } from "../copy.js";
import { badge, el, fill, put, table, time } from "../dom.js";
import { count, money, NOTHING, timeOf } from "../format.js";
import { follow, poll } from "../live.js";
import { remember, say, to } from "../shell.js";

const PAUSE_MS = 4000;
const PAGE = 50;
const PAGE_MAX = 200; // The most that the listener tells at once.
const STATUSES = ["RECEIVED", "PENDING", "RUNNING", "COMPENSATING", "STUCK", "COMPLETED", "FAILED", "CANCELLED", "DECLINED"];
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
// By name: what stands in the address and in the question. Labels come beside these, as `metadata.KEY`.
const FIELDS = [
  { name: "status", label: "Status", options: STATUSES },
  { name: "saga", label: "Saga" },
  { name: "customer_id", label: "Customer" },
  { name: "client_id", label: "Client" },
  { name: "client_request_id", label: "Client key" },
  { name: "error", label: "Error text" },
  { name: "since", label: "Placed since", type: "datetime-local" },
  { name: "until", label: "Placed before", type: "datetime-local" },
];
const FLAGS = [{ name: "stuck", label: "STUCK only", options: ["true"] }, { name: "paused", label: "On hold only", options: ["true"] }];
const LABEL = "metadata.";

export const title = "Orders";

export function show(root, { query }, signal) {
  let filters = known(query);
  let orders = []; // As they are shown.
  let ids = new Set();
  let next = null; // Where the list goes on: `{ cursor, reached_at }`.
  let gone = new Set(); // Ids of those that do not fit any more; they stay until somebody asks anew.
  let fresh = [];  // Those that have come since and are not shown yet.
  let gap = null;  // Where the list goes on below these, if there are others between them and what is shown.
  let turn = 0;    // Of the question; an answer to an earlier one is not shown.

  const form = formOf(filters, (asked) => {
    filters = asked;
    remember(asked);
    startAnew();
  });
  const newer = el("button", { type: "button", class: "main", hidden: true, onclick: takeFresh });
  const list = table("Orders, newest first", ["Order", "Status", "Step", "Last error", { text: "Value", number: true },
    "Placed", "Customer", "Saga", "Client, its key"], { none: "No order fits." });
  const told = el("p", { class: "note" });
  const more = el("button", { type: "button", hidden: true, onclick: showMore });
  const wide = matchMedia("(min-width: 40rem)").matches;
  root.append(el("details", { open: wide || Object.keys(filters).length > 0 }, el("summary", {}, "Filters"), form), el("div", { class: "buttons", role: "status" }, newer), list.region, told, el("div", { class: "buttons" }, more));

  const ask = (query) => get("/admin/orders", { query: { ...filters, ...query }, signal });

  function draw() {
    list.rows(orders.map((order) => ({ ...rowOf(order), soft: gone.has(order.order_ledger_id) })));
    const left = gone.size ? ` ${count(gone.size)} of them no longer ${gone.size === 1 ? "fits" : "fit"}: dimmed.` : "";
    newer.hidden = fresh.length === 0;
    put(newer, `${fresh.length === PAGE_MAX ? "At least " : ""}${count(fresh.length)} new order${fresh.length === 1 ? "" : "s"}`);
    more.hidden = next === null;
    put(more, next?.reached_at ? "Look further back" : "Show more");
    put(told, (next?.reached_at ? `Looked back to orders of ${timeOf(next.reached_at)}.`
      : next ? `The newest ${count(orders.length)} are shown.` : `${count(orders.length)} shown: all there are.`) + left);
  }

  function keep(found) {
    orders = found;
    ids = new Set(orders.map((order) => order.order_ledger_id));
  }

  function takeFresh() {
    if (gap) next = gap;
    keep(gap ? fresh : [...fresh, ...orders].sort((one, other) => at(other) - at(one)));
    fresh = [];
    gap = null;
    draw();
    list.region.focus();
  }

  // What is shown is asked for again as far as it fits into one answer; the stream tells of the rest.
  async function refresh() {
    const asked = turn;
    const page = await ask({ limit: Math.min(Math.max(orders.length + fresh.length, PAGE), PAGE_MAX) });
    if (asked !== turn) return;
    if (orders.length === 0) {
      keep(page.orders);
      next = page.next_cursor ? { cursor: page.next_cursor, reached_at: page.reached_at } : null;
    } else {
      const now = new Map(page.orders.map((order) => [order.order_ledger_id, order]));
      // Those that the answer reaches and does not have.
      const least = page.next_cursor ? at(page.orders.at(-1) ?? orders[0]) : -Infinity;
      gone = new Set(orders.filter((order) => !now.has(order.order_ledger_id) && at(order) > least).map((order) => order.order_ledger_id));
      orders = orders.map((order) => now.get(order.order_ledger_id) ?? order);
      // An old order comes in too when it changes to what is asked for; what stands behind the list is no news.
      const last = next ? at(orders.at(-1)) : 0;
      fresh = page.orders.filter((order) => !ids.has(order.order_ledger_id) && at(order) >= last);
      gap = fresh.length === PAGE_MAX && at(fresh.at(-1)) > at(orders[0])
        ? { cursor: page.next_cursor, reached_at: page.reached_at } : null;
    }
    draw();
  }

  async function showMore() {
    const asked = turn;
    more.disabled = true;
    try {
      const page = await ask({ limit: PAGE, cursor: next.cursor });
      if (asked !== turn) return;
      keep([...orders, ...page.orders]);
      next = page.next_cursor ? { cursor: page.next_cursor, reached_at: page.reached_at } : null;
      draw();
      say(`${count(page.orders.length)} more orders.`);
    } catch (error) {
      if (!signal.aborted) say(`No more orders could be shown: ${error.message}`);
    } finally {
      more.disabled = false;
    }
  }

  function startAnew() {
    turn += 1;
    keep([]);
    gone = new Set();
    fresh = [];
    gap = null;
    next = null;
    newer.hidden = true;
    soon();
  }

  const soon = poll("Orders", refresh, PAUSE_MS, signal);
  follow({
    changed(messages) {
      const byId = new Map(messages.map((message) => [message.order_ledger_id, message]));
      if (orders.some((order) => byId.has(order.order_ledger_id))) {
        orders = orders.map((order) => {
          const message = byId.get(order.order_ledger_id);
          return message ? { ...order, status: message.status, step: message.step ?? order.step } : order;
        });
        draw();
      }
      soon();
    },
    anew: () => soon(),
  }, signal);
}

const at = (order) => Date.parse(order.created_at);

function rowOf(order) {
  const id = order.order_ledger_id;
  return {
    key: id,
    cells: [
      orderId(id, to("orders", id)),
      [badge(order.status), order.paused_at ? [" ", badge("paused")] : null],
      order.step ?? NOTHING,
      el("span", { class: "error-text" }, order.last_error ?? ""),
      order.currency ? money(order.total_minor, order.currency) : NOTHING,
      time(order.created_at),
      order.customer_id ?? NOTHING,
      order.saga,
      [order.client_id, " ", el("span", { class: "note key" }, order.client_request_id)],
    ],
  };
}

// What of an address is a filter here; of what can be none it is told that it is left out.
function known(query) {
  const fields = new Map([...FIELDS, ...FLAGS].map((field) => [field.name, field]));
  const fits = ([name, value]) => {
    const { options = [value], type } = fields.get(name) ?? {};
    return (fields.has(name) || name.startsWith(LABEL)) && options.includes(value) && !(type && Number.isNaN(Date.parse(value)));
  };
  const given = [...query].filter(([, value]) => value);
  const left = given.filter((pair) => !fits(pair));
  if (left.length) say(`Nothing can be filtered by ${left.map((pair) => pair.join("=")).join(", ")}: it is left out.`);
  return Object.fromEntries(given.filter(fits).map(([name, value]) => [name, fields.get(name)?.type ? new Date(value).toISOString() : value]));
}

function formOf(filters, found) {
  const labels = Object.entries(filters).filter(([name]) => name.startsWith(LABEL))
    .map(([name, value]) => `${name.slice(LABEL.length)}=${value}`).join(", ");
  const field = ({ name, label, options, type = "text" }) => el("label", {}, label, options
    ? el("select", { name }, el("option", { value: "" }, "any"),
      options.map((option) => el("option", { selected: filters[name] === option }, option)))
    : el("input", { name, type, autocomplete: "off", spellcheck: "false", step: type === "text" ? null : 1,
      value: type === "text" ? filters[name] ?? "" : local(filters[name]) }));
  const form = el("form", { class: "filters", role: "search", "aria-label": "Orders" },
    el("label", {}, "Order id", el("input", { name: "id", autocomplete: "off", spellcheck: "false" })),
    FIELDS.map(field),
    el("label", {}, "Labels", el("input", { name: "labels", value: labels, placeholder: "channel=web, shop=3", autocomplete: "off" })),
    el("div", { class: "buttons" }, FLAGS.map(({ name, label }) => el("label", { class: "check" },
      el("input", { type: "checkbox", name, checked: filters[name] === "true" }), ` ${label}`))),
    el("div", { class: "buttons" }, el("button", { type: "submit", class: "main" }, "Show"),
      el("a", { href: to("orders") }, "Every order")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const id = form.elements.id.value.trim();
    if (ID.test(id)) location.hash = to("orders", id.toLowerCase());
    else if (id) say(`${id} is no order id.`);
    else found(asked(form));
  });
  return form;
}

function asked(form) {
  const filters = {};
  for (const { name, type } of FIELDS) {
    const value = form.elements[name].value.trim();
    if (value) filters[name] = type ? new Date(value).toISOString() : value;
  }
  for (const { name } of FLAGS) if (form.elements[name].checked) filters[name] = "true";
  for (const pair of form.elements.labels.value.split(",")) {
    const [name, ...value] = pair.split("=");
    if (name.trim() && value.length) filters[LABEL + name.trim()] = value.join("=").trim();
  }
  return filters;
}

// A time of the address as the form's field has it, in the reader's zone.
function local(iso) {
  const at = new Date(iso ?? "");
  return Number.isNaN(at.getTime()) ? "" : new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
