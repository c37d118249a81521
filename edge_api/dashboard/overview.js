// Fills index.html from two routes of this listener, each on its own: one that fails says so and keeps its old numbers.
"use strict";

const PAUSE_MS = 2000;
const TIMEOUT_MS = 7000; // A little more than the edge gives a read itself, so that its own answer is seen.
const UNFINISHED = ["RECEIVED", "PENDING", "RUNNING", "COMPENSATING", "STUCK"];
const FINISHED = ["COMPLETED", "FAILED", "CANCELLED", "DECLINED"];
const NOTHING = "–";
const TOKEN = "token"; // In the tab's own storage: no other site, tab or server is given it by the browser.

const byId = (id) => document.getElementById(id);
const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);
const shown = (count) => count.toLocaleString("en");
const timeOf = (date) => date.toTimeString().slice(0, 8);

// Assigning the same text again would make screen readers say it again.
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function lasting(seconds) {
  if (seconds === null) return NOTHING;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

// A cell is a text, or a text with a class.
function row(cells, loud = false) {
  const tr = document.createElement("tr");
  if (loud) tr.className = "loud";
  cells.forEach((cell, index) => {
    const [text, name] = Array.isArray(cell) ? cell : [cell, ""];
    const td = document.createElement(index === 0 ? "th" : "td");
    if (index === 0) td.scope = "row";
    if (name) td.className = name;
    td.textContent = text;
    tr.append(td);
  });
  return tr;
}

// The known ones first and always, so that nothing jumps; then what a newer ledger may have.
const known = (names, found) => [...names, ...found.filter((name) => !names.includes(name))];

function countRows(names, counts) {
  return known(names, Object.keys(counts)).map((status) => {
    const orders = counts[status] ?? 0;
    return row([status, [shown(orders), orders ? "number" : "number none"]], status === "STUCK" && orders > 0);
  });
}

function showSteps(steps) {
  const rows = steps.map((step) =>
    row([step.step, step.direction, ...[step.succeeded, step.rejected, step.unknown].map((calls) =>
      [shown(calls), calls ? "number" : "number none"]),
    ...[step.p50_ms, step.p95_ms].map((ms) => [lasting(ms === null ? null : ms / 1000), "number"]), step.saga]));
  byId("steps").replaceChildren(...(rows.length ? rows : [row(["none yet"])]));
}

function showStatistics(statistics) {
  const stuck = byId("stuck");
  stuck.className = statistics.stuck > 0 ? "loud" : "";
  const need = statistics.stuck === 1 ? "order is STUCK and needs" : "orders are STUCK and need";
  put(stuck, statistics.stuck > 0 ? `${shown(statistics.stuck)} ${need} an operator: saga ledger list --status STUCK`
    : "No order is stuck.");
  put(byId("unfinished-total"), shown(sum(statistics.unfinished)));
  put(byId("oldest"), lasting(statistics.oldest_unfinished_age_s));
  for (const place of document.getElementsByClassName("window")) put(place, lasting(statistics.window_s));
  put(byId("finished-total"), shown(sum(statistics.finished)));
  put(byId("p50"), lasting(statistics.p50_s));
  put(byId("p95"), lasting(statistics.p95_s));
  byId("unfinished").replaceChildren(...countRows(UNFINISHED, statistics.unfinished));
  byId("finished").replaceChildren(...countRows(FINISHED, statistics.finished));
  showSteps(statistics.steps);
}

function showParticipants(health) {
  const rows = Object.entries(health.participants).map(([name, participant]) => {
    const up = participant.status === "up" && participant.breaker === "closed";
    const latency = participant.latency_ms.toFixed(1);
    return row([name, [participant.status, up ? "up" : "down"], participant.breaker, [`${latency} ms`, "number"],
      participant.error ?? ""], !up);
  });
  byId("participants-rows").replaceChildren(...rows);
}

const SOURCES = [
  { name: "Orders", path: "statistics", sections: ["orders", "calls"], asOf: "orders-as-of", show: showStatistics },
  { name: "Participants", path: "health/participants", sections: ["participants"], asOf: "participants-as-of",
    show: showParticipants },
];

function showStale() {
  const told = SOURCES.filter((source) => source.error).map((source) =>
    source.freshAt ? `${source.name} stale since ${timeOf(source.freshAt)} (${source.error}).`
      : `${source.name} not known yet (${source.error}).`);
  put(byId("stale"), told.join(" "));
}

// A listener that is open answers without a token, so nobody is asked for one before it is wanted.
function showSignIn(refused) {
  const token = sessionStorage.getItem(TOKEN);
  const form = byId("sign-in");
  if (refused && form.hidden) byId("token").focus();
  form.hidden = !refused;
  put(byId("refused"), !refused || token === null ? "" : refused === 403 ? "This key does not have the scope admin."
    : "This is not a valid token or key.");
  byId("sign-out").hidden = token === null;
}

function headers() {
  const token = sessionStorage.getItem(TOKEN);
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

async function refresh(source) {
  const turn = source.turn = (source.turn ?? 0) + 1; // Of two that run, as after signing in, the later one goes on.
  try {
    const response = await fetch(source.path, { cache: "no-store", credentials: "omit", headers: headers(),
      signal: AbortSignal.timeout(TIMEOUT_MS) });
    source.refused = response.status === 401 || response.status === 403 ? response.status : 0;
    showSignIn(Math.max(...SOURCES.map((each) => each.refused ?? 0)));
    if (source.refused) throw new Error("you are not signed in");
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    source.show(await response.json());
    source.freshAt = new Date();
    source.error = "";
    put(byId(source.asOf), timeOf(source.freshAt));
  } catch (error) {
    source.error = error.name === "TimeoutError" ? "no answer in time" : error.message;
  }
  for (const section of source.sections) byId(section).classList.toggle("old", Boolean(source.error));
  showStale();
  if (turn === source.turn) source.next = setTimeout(refresh, PAUSE_MS, source);
}

function refreshNow() {
  for (const source of SOURCES) {
    clearTimeout(source.next);
    refresh(source);
  }
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, byId("token").value.trim());
  byId("token").value = "";
  refreshNow();
});
byId("sign-out").addEventListener("click", () => {
  sessionStorage.removeItem(TOKEN);
  location.reload(); // What was shown is not to be read on.
});
SOURCES.forEach((source) => refresh(source));
