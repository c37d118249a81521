// Whether somebody is needed, and what the fleet is doing now.

import { get } from "../api.js";
import { badge, el, facts, fill, table } from "../dom.js";
import { count, lasting, NOTHING, perSecond, sum } from "../format.js";
import { follow, poll } from "../live.js";
import { Series } from "../plot.js";
import { remember, to } from "../shell.js";

const PAUSE_MS = 2000;
const WINDOW_PAUSE_MS = 5000;
const NOW_S = 20; // Of the plots: so soon is seen that nothing comes any more.
const NOW_SAMPLE = 300;
const SAMPLE = 1000; // Orders whose calls are looked into: enough for a 95th percentile, and little work for the ledger.
const UNFINISHED = ["RECEIVED", "PENDING", "RUNNING", "COMPENSATING", "STUCK"];
const FINISHED = ["COMPLETED", "FAILED", "CANCELLED", "DECLINED"];
const WINDOWS = [["60", "minute"], ["300", "5 minutes"], ["3600", "hour"], ["86400", "day"]];
const LONG_S = 7200; // As the alert OrderUnfinishedForLong has it.

const seen = { in: new Series(), out: new Series(), unfinished: new Series(), due: new Series(), p95: new Series() };

export const title = "Overview";

export function show(root, { query }, signal) {
  let over = WINDOWS.some(([value]) => value === query.get("window")) ? query.get("window") : "300";
  const told = { now: null, fleet: null, health: null };

  const wrong = el("div", { role: "status" });
  const choice = el("select", { onchange: choose }, WINDOWS.map(([value, text]) =>
    el("option", { value, selected: value === over }, `the last ${text}`)));
  const plots = el("div", { class: "plots" });
  const numbers = el("div");
  const standing = el("div");
  const unfinished = table("Unfinished now", ["Status", { text: "Orders", number: true }]);
  const finished = table("Ended", ["Status", { text: "Orders", number: true }]);
  const wakes = el("div");
  const participants = table("Participants, as this edge's health checks find them",
    ["Participant", "State", "Breaker", { text: "Latency", number: true }, "Error"]);
  const calls = table("Calls of participants, by step and outcome", ["Step", "Direction",
    { text: "Succeeded", number: true }, { text: "Rejected", number: true }, { text: "Unknown", number: true },
    { text: "p50", number: true }, { text: "p95", number: true }, "Saga"]);
  root.append(wrong, plots, el("p", { class: "note" }, `In, Out and p95 are of the last ${NOW_S} s each time.`), standing,
    el("p", {}, el("label", {}, "Figures of ", choice)), numbers,
    el("div", { class: "pair" }, unfinished.region, finished.region),
    el("h2", {}, "Orchestrators"), wakes, el("h2", {}, "Participants"), participants.region, el("h2", {}, "Calls"), calls.region);

  function choose() {
    over = choice.value;
    remember({ window: over });
    soon();
  }

  function showNow(statistics) {
    seen.in.add(statistics.started_per_s);
    seen.out.add(statistics.finished_per_s);
    seen.unfinished.add(sum(statistics.unfinished));
    seen.p95.add(statistics.p95_s);
    seen.due.add(told.fleet?.due ?? null);
    const every = PAUSE_MS / 1000;
    fill(plots, seen.in.figure("In", perSecond, every), seen.out.figure("Out", perSecond, every),
      seen.unfinished.figure("Unfinished", count, every, to("orders")),
      seen.due.figure("Due, in nobody's hands", count, every), seen.p95.figure("p95, placed to ended", lasting, every));
    fill(standing, facts([
      ["Oldest unfinished", lasting(statistics.oldest_unfinished_age_s)],
      ["Deliveries that wait", count(statistics.outbox_pending)],
      ["Orders in the ledger", count(statistics.orders)],
    ]));
    unfinished.rows(byStatus(UNFINISHED, statistics.unfinished));
  }

  function showStatistics(statistics) {
    // Fewer seconds where more orders ended in them than are looked into.
    const sampled = sum(statistics.finished) >= SAMPLE;
    const reach = sampled ? `of the newest ${count(SAMPLE)} orders that ended, the last ${lasting(statistics.window_s)}`
      : `of the last ${WINDOWS.find(([value]) => value === over)[1]}`;
    const { succeeded, operations } = statistics.compensation;
    fill(numbers, facts([
      [`p50, placed to ended, ${reach}`, lasting(statistics.p50_s)],
      [`p95, placed to ended, ${reach}`, lasting(statistics.p95_s)],
      [`Undoings that worked, ${reach}`, operations ? el("span", { class: succeeded < operations ? "failed" : null },
        `${count(succeeded)} of ${count(operations)}`) : NOTHING],
    ]));
    finished.name(`Ended: ${reach}`);
    calls.name(`Calls of participants, by step and outcome: ${reach}`);
    finished.rows(byStatus(FINISHED, statistics.finished));
    calls.rows(statistics.steps.map((step) => ({
      key: JSON.stringify([step.saga, step.step, step.direction]),
      cells: [step.step, step.direction, count(step.succeeded), count(step.rejected), count(step.unknown),
        inMs(step.p50_ms), inMs(step.p95_ms), step.saga],
    })));
  }

  function showFleet(fleet) {
    const { notify, poll: polled, timer } = fleet.claims;
    fill(wakes, facts([
      ["Replicas alive", el("span", { title: fleet.replicas.join(", ") }, count(fleet.replicas.length))],
      ["Listening", count(fleet.listeners.length)],
      ["Youngest listener since", lasting(least(fleet.listeners.map(({ age_s }) => age_s)))],
      ["Claimed by notification", count(notify)],
      ["Claimed by poll", count(polled)],
      ["Claimed by timer", count(timer)],
    ]), el("p", { class: "note" },
      "Orders claimed since the replicas that listen were started, by what woke them; each tells it within half a minute."));
  }

  function showParticipants({ participants: parts }) {
    participants.rows(Object.entries(parts).map(([name, one]) => ({
      key: name,
      cells: [name, badge(one.status), el("a", { href: to("breakers") }, badge(one.breaker)), `${one.latency_ms.toFixed(1)} ms`,
        one.error ?? ""],
      loud: one.status !== "up" || one.breaker !== "closed",
    })));
  }

  function showWrong() {
    const found = [...wrongOf(told)];
    const known = told.now && told.fleet && told.health;
    fill(wrong, found.length ? el("ul", { class: "loudly" }, found.map(([text, href]) =>
      el("li", {}, href ? el("a", { href }, text) : text))) : known ? el("p", { class: "fine" }, "Nothing needs a person.") : []);
  }

  const source = (name, what, path, draw) => poll(name, async () => {
    told[what] = await get(path, { signal });
    draw(told[what]);
    showWrong();
  }, PAUSE_MS, signal);

  source("Fleet", "fleet", "/admin/fleet", showFleet);
  const soonNow = source("Orders", "now", `/statistics?window=${NOW_S}&sample=${NOW_SAMPLE}`, showNow);
  source("Participants", "health", "/health/participants", showParticipants);
  const soon = poll("Figures", async () => {
    const asked = over;
    const statistics = await get(`/statistics?window=${over}&sample=${SAMPLE}`, { signal });
    if (asked === over) showStatistics(statistics);
  }, WINDOW_PAUSE_MS, signal);
  follow({ changed: (messages) => messages.some(({ status }) => status === "STUCK") && soonNow() }, signal);
}

// What a person should look at now, the worst first, each with where to.
function* wrongOf({ now: statistics, fleet, health }) {
  if (fleet && !fleet.replicas.length) yield ["No orchestrator is connected: nothing goes on", null];
  if (statistics?.stuck) yield [`${orders(statistics.stuck)} STUCK and ${statistics.stuck === 1 ? "needs" : "need"} a person`, to("stuck")];
  for (const [name, one] of Object.entries(health?.participants ?? {})) {
    if (one.status !== "up") yield [`${name} does not answer: ${one.error}`, null];
    if (one.breaker !== "closed") yield [`The breaker of ${name} is ${one.breaker.replace("_", "-")}`, to("breakers")];
  }
  if (fleet?.deliveries.dead) yield [`Deliveries of events that were given up: ${count(fleet.deliveries.dead)}`, to("dead")];
  const oldest = Math.max(0, ...(statistics?.active_at ?? []).filter(({ status }) => status !== "STUCK").map((at) => at.oldest_age_s));
  if (oldest > LONG_S) yield [`An order has been on its way for ${lasting(oldest)}`, to("orders")];
  if (statistics?.paused) yield [`${orders(statistics.paused)} on hold`, to("orders", null, { paused: "true" })];
  if (fleet?.replicas.length && !fleet.listeners.length) yield ["No orchestrator listens: work is found by polling", null];
}

const orders = (number) => `${count(number)} ${number === 1 ? "order is" : "orders are"}`;
const inMs = (ms) => (ms === null ? NOTHING : lasting(ms / 1000));
const least = (values) => (values.length ? Math.min(...values) : null);

// The known ones first and always, so that nothing jumps; then what a newer ledger may have.
function byStatus(names, counts) {
  return [...names, ...Object.keys(counts).filter((name) => !names.includes(name))].map((status) => ({
    key: status,
    cells: [el("a", { href: to("orders", null, { status }) }, badge(status)), count(counts[status] ?? 0)],
    loud: status === "STUCK" && counts[status] > 0,
    soft: !counts[status],
  }));
}
