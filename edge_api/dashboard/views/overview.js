// What the fleet is doing now, and whether somebody is needed.

import { get } from "../api.js";
import { badge, el, facts, fill, table } from "../dom.js";
import { count, lasting, NOTHING, perSecond, sum } from "../format.js";
import { poll } from "../live.js";
import { to } from "../shell.js";

const PAUSE_MS = 2000;
const UNFINISHED = ["RECEIVED", "PENDING", "RUNNING", "COMPENSATING", "STUCK"];
const FINISHED = ["COMPLETED", "FAILED", "CANCELLED", "DECLINED"];

export const title = "Overview";

export function show(root, _, signal) {
  const alarm = el("div", { id: "alarm" });
  const numbers = el("div");
  const unfinished = table("Unfinished now", ["Status", { text: "Orders", number: true }]);
  const finished = table("Finished lately", ["Status", { text: "Orders", number: true }]);
  const participants = table("Participants, as this edge's health checks find them",
    ["Participant", "State", "Breaker", { text: "Latency", number: true }, "Error"]);
  const calls = table("Calls of participants lately, by step and outcome", ["Step", "Direction",
    { text: "Succeeded", number: true }, { text: "Rejected", number: true }, { text: "Unknown", number: true },
    { text: "p50", number: true }, { text: "p95", number: true }, "Saga"]);
  root.append(alarm, numbers, el("div", { class: "pair" }, unfinished.region, finished.region),
    el("h2", {}, "Participants"), participants.region, el("h2", {}, "Calls"), calls.region);

  function showStatistics(told) {
    const need = told.stuck === 1 ? "order is STUCK and needs" : "orders are STUCK and need";
    fill(alarm, told.stuck > 0
      ? el("p", { class: "loudly" }, el("a", { href: to("stuck") }, `${count(told.stuck)} ${need} an operator`))
      : el("p", { class: "fine" }, "No order is stuck."));
    fill(numbers, facts([
      ["Unfinished", count(sum(told.unfinished))],
      ["Oldest unfinished", lasting(told.oldest_unfinished_age_s)],
      ["On hold", count(told.paused)],
      ["In", perSecond(told.started_per_s)],
      ["Out", perSecond(told.finished_per_s)],
      [`p50 of the last ${lasting(told.window_s)}`, lasting(told.p50_s)],
      ["p95 of these", lasting(told.p95_s)],
    ]));
    unfinished.rows(byStatus(UNFINISHED, told.unfinished));
    finished.rows(byStatus(FINISHED, told.finished));
    calls.rows(told.steps.map((step) => ({
      key: `${step.saga} ${step.step} ${step.direction}`,
      cells: [step.step, step.direction, count(step.succeeded), count(step.rejected), count(step.unknown),
        inMs(step.p50_ms), inMs(step.p95_ms), step.saga],
    })));
  }

  function showParticipants({ participants: told }) {
    participants.rows(Object.entries(told).map(([name, one]) => ({
      key: name,
      cells: [name, badge(one.status), badge(one.breaker), `${one.latency_ms.toFixed(1)} ms`, one.error ?? ""],
      loud: one.status !== "up" || one.breaker !== "closed",
    })));
  }

  poll("Orders", async () => showStatistics(await get("/statistics", { signal })), PAUSE_MS, signal);
  poll("Participants", async () => showParticipants(await get("/health/participants", { signal })), PAUSE_MS, signal);
}

const inMs = (ms) => (ms === null ? NOTHING : lasting(ms / 1000));

// The known ones first and always, so that nothing jumps; then what a newer ledger may have.
function byStatus(names, counts) {
  return [...names, ...Object.keys(counts).filter((name) => !names.includes(name))].map((status) => ({
    key: status,
    cells: [el("a", { href: to("orders", null, { status }) }, badge(status)), count(counts[status] ?? 0)],
    loud: status === "STUCK" && counts[status] > 0,
    soft: !counts[status],
  }));
}
