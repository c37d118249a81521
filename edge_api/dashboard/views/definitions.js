// What sagas are: their steps and what undoes them, drawn; their versions, and how many orders are on each.

import { get, part } from "../api.js";
import { el, facts, fill, svg, table } from "../dom.js";
import { count, lasting, NOTHING } from "../format.js";
import { poll } from "../live.js";
import { retitle, to } from "../shell.js";

const PAUSE_MS = 10_000;
const BOX = 40;
const GAP = 26;
const END = 26; // Height of an end's box.
const END_ROOM = 88; // Width of one at the least.
const LETTER = 7.3; // About as wide as a letter of a name.

export const title = "Definitions";

export function show(root, { id }, signal) {
  if (id === null) showAll(root, signal);
  else showOne(root, id, signal);
}

function showAll(root, signal) {
  const sagas = table("Sagas", ["Saga", "Does", { text: "Version", number: true }, { text: "Steps", number: true }, { text: "Unfinished orders", number: true }]);
  root.append(sagas.region);
  poll("Definitions", async () => {
    const { definitions } = await get("/admin/definitions", { signal });
    sagas.rows(definitions.map(({ saga, description, versions }) => ({
      key: saga,
      cells: [el("a", { href: to("definitions", saga) }, saga), description ?? "its code is not known to this process", versions[0]?.version ?? NOTHING,
        versions[0] ? count(versions[0].steps.length) : NOTHING, count(versions.reduce((all, one) => all + one.unfinished, 0))],
    })));
  }, PAUSE_MS, signal);
}

function showOne(root, saga, signal) {
  retitle(`Saga ${saga}`);
  const says = el("div");
  const drawn = el("div", { class: "drawn" });
  const steps = table("Steps, in their order", ["Step", "Kind", "Does", "Undone by", { text: "Attempts", number: true },
    { text: "Again after", number: true }, { text: "Time limit", number: true }]);
  const ways = table("Ways from step to step, as drawn", ["From", "To", "When"]);
  const versions = table("Versions", [{ text: "Version", number: true }, "Runs here", { text: "Unfinished orders", number: true }, "Steps", "Fingerprint of its code"]);
  root.append(el("p", {}, el("a", { href: to("definitions") }, "All sagas"), ". ", el("a", { href: to("configuration", saga) }, "How it is configured"), ". ",
    el("a", { href: to("orders", null, { saga }) }, "Its orders")), says, el("h2", {}, "Drawn"),
  el("figure", {}, drawn, el("figcaption", {}, "Left what is done, downwards; right what undoes it, upwards. Thick: a pivot. Dashed: where it turns round when a step fails. ",
    "What can't be undone ends STUCK. The table of ways says the same.")),
  el("h2", {}, "Steps"), steps.region, el("h2", {}, "Versions"), versions.region, el("h2", {}, "Ways"), ways.region);
  let told = null;

  function redraw() {
    if (told?.graph && drawn.clientWidth) fill(drawn, draw(told, Math.min(drawn.clientWidth, 720)));
  }

  async function look() {
    try {
      told = await get(`/admin/definitions/${part(saga)}`, { signal });
    } catch (error) {
      if (error.status !== 404) throw error;
      fill(root, el("p", { class: "failed", role: "alert" }, "There is no saga of this name. ", el("a", { href: to("definitions") }, "All sagas")));
      return;
    }
    const { runs, graph } = told;
    fill(says, el("p", {}, runs?.description || "Its code does not say what it does."), runs ? aboutOf(runs) : el("p", {}, "This process has no code of it: only the ledger knows of it."));
    redraw();
    steps.rows((runs?.steps ?? []).map(stepRow));
    ways.rows((graph?.arrows ?? []).map(({ source, target, why }) => ({ key: `${source} ${target}`, cells: [named(source), named(target), why] })));
    versions.rows(told.versions.map((one) => ({
      key: `${one.version} ${one.fingerprint}`,
      cells: [one.version, one.runs_here ? "yes" : "no", count(one.unfinished), one.steps.join(", "), el("code", {}, one.fingerprint.slice(0, 12))],
      loud: !one.runs_here && one.unfinished > 0,
    })));
  }

  const watch = new ResizeObserver(redraw);
  watch.observe(drawn);
  signal.addEventListener("abort", () => watch.disconnect());
  poll("Definition", look, PAUSE_MS, signal);
}

function aboutOf(runs) {
  const shown = facts([["New orders run", `version ${runs.version}`], ["Started by clients", runs.startable ? "yes" : "no: begun on another order"],
    ["Undone when it waits longer than", lasting(runs.deadline_s)],
    ["When an undoing fails for good", runs.undo_failure === "stop" ? "it stops" : "the earlier steps are undone all the same"]]);
  shown.className = "small";
  return shown;
}

const named = (box) => box.replace(/^undo_/, "undo ").replace(/^group_/, "group ");
const call = (endpoint) => endpoint && `${endpoint.participant}: ${endpoint.method} ${endpoint.path}`;

function stepRow(step) {
  const marks = [step.kind?.replace("_", "-") ?? step.type, step.optional && "optional", step.conditional && "if it applies", step.group && `group ${step.group}`];
  const waits = step.type === "signal" ? `waits for an answer, at most ${lasting(step.timeout_s)}`
    : `waits ${step.wait_s === null ? "until a time" : lasting(step.wait_s)}`;
  return {
    key: step.name,
    cells: [step.name, marks.filter(Boolean).join(", "), step.action ? call(step.action) : waits, call(step.compensation) ?? (step.undone_by ? `with ${step.undone_by}` : NOTHING),
      step.retry?.attempts_max ?? NOTHING, lasting(step.retry?.first_s), step.timeout_s === null ? NOTHING : lasting(step.timeout_s)],
  };
}

// Two columns: steps from top to bottom, compensations beside them from bottom to top; ends where each leads.
function draw({ saga, runs, graph }, width) {
  const column = Math.min((width - 40) / 2, 280);
  const [left, right] = [1, width - column - 1];
  const top = END + GAP;
  const placed = new Map();
  let y = top;
  const groups = [];
  for (const unit of graph.units) {
    const from = y;
    for (const step of unit.steps) {
      placed.set(step, { x: left, y, height: BOX });
      if (graph.undone.includes(step)) placed.set(`undo_${step}`, { x: right, y, height: BOX });
      y += BOX + (unit.steps.length > 1 && step !== unit.steps.at(-1) ? GAP / 3 : GAP);
    }
    if (unit.steps.length > 1) groups.push({ name: unit.group, y: from - 6, height: y - GAP - from + 12 });
    placed.set(unit.name, { ...placed.get(unit.steps[0]), height: y - GAP - from });
  }
  const targets = new Set(graph.arrows.map(({ target }) => target));
  const ends = ["DECLINED", "FAILED", "CANCELLED"].filter((status) => targets.has(status));
  const room = Math.max(column / ends.length, END_ROOM);
  ends.forEach((status, index) => placed.set(status, { x: width - 1 - (ends.length - index) * room + 4, y: 1, height: END, width: room - 4 }));
  if (targets.has("COMPLETED")) placed.set("COMPLETED", { x: left, y, height: END });
  if (targets.has("STUCK")) placed.set("STUCK", { x: right, y, height: END });
  const steps = new Map(runs.steps.map((step) => [step.name, step]));
  const label = `${saga}: ${runs.steps.map(({ name }) => name).join(", then ")}. The tables that follow say the same.`;

  return svg("svg", { class: "graph", viewBox: `0 0 ${width} ${y + END + 2}`, width, height: y + END + 2, role: "img", "aria-label": label },
    svg("defs", {}, head("onward"), head("back")),
    groups.map((group) => svg("g", { class: "group" }, svg("rect", { x: left - 1, y: group.y, width: column + 2, height: group.height, rx: 4 }),
      svg("title", {}, `${group.name}: called at once`))),
    graph.arrows.map((arrow) => arrowAt(arrow, placed, column)),
    [...steps.values()].flatMap((step) => [boxAt(step.name, said(step), placed.get(step.name), column, `step ${step.kind ?? step.type}`),
      graph.undone.includes(step.name) ? boxAt(`↩ ${step.name}`, call(step.compensation), placed.get(`undo_${step.name}`), column, "undo") : null]),
    [...ends, "COMPLETED", "STUCK"].filter((end) => placed.has(end)).map((end) => boxAt(end, null, placed.get(end), column, `end ${end.toLowerCase()}`)));
}

const said = (step) => [step.action ? step.action.participant : step.type, step.kind && step.kind !== "compensatable" && step.kind.replace("_", "-"), step.optional && "optional",
  step.conditional && "if it applies"].filter(Boolean).join(", ");

const head = (name) => svg("marker", { id: `head-${name}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse", class: name },
  svg("path", { d: "M0 0 L8 4 L0 8 Z" }));

function boxAt(name, below, { x, y, height, width = null }, column, kind) {
  const wide = width ?? column;
  return svg("g", { class: kind }, svg("title", {}, below ? `${name}: ${below}` : name), svg("rect", { x, y, width: wide, height, rx: 4 }),
    svg("text", { x: x + wide / 2, y: y + (below ? 17 : height / 2 + 4), "text-anchor": "middle" }, fitting(name, wide)),
    below ? svg("text", { x: x + wide / 2, y: y + 32, "text-anchor": "middle", class: "below" }, fitting(below, wide + 8)) : null);
}

const fitting = (text, width) => (text.length * LETTER > width ? `${text.slice(0, Math.max(Math.floor(width / LETTER) - 1, 1))}…` : text);

// Onward and undoing lead along their columns; a failure leads across, from the edge of a step to the box where undoing begins.
function arrowAt({ source, target, why }, placed, column) {
  const [from, till] = [placed.get(source), placed.get(target)];
  const undoing = source.startsWith("undo_");
  if (!from || !till || (undoing && target === "STUCK")) return null;
  const middle = (box) => box.x + (box.width ?? column) / 2;
  const title = svg("title", {}, `${named(source)} to ${named(target)}: ${why}`);
  if (undoing) return svg("path", { class: "undoing", d: `M${middle(from)} ${from.y} L${middle(till)} ${till.y + till.height + 1}`, "marker-end": "url(#head-back)" }, title);
  if (from.x === till.x) {
    return svg("path", { class: "onward", d: `M${middle(from)} ${from.y + from.height} V${till.y - 1}`, "marker-end": "url(#head-onward)" }, title);
  }
  const [startX, startY] = [from.x + column, from.y + from.height / 2];
  // An end at the top is reached from below, so that no arrow crosses its neighbours.
  const atTop = till.width !== undefined;
  const [endX, endY] = atTop ? [middle(till), till.y + till.height + 1] : [till.x - 1, till.y + till.height / 2];
  const bend = (endX - startX) / 2;
  const arrives = atTop ? `${endX} ${endY + GAP}` : `${endX - bend} ${endY}`;
  return svg("path", { class: "back", d: `M${startX} ${startY} C${startX + bend} ${startY} ${arrives} ${endX} ${endY}`, "marker-end": "url(#head-back)" }, title);
}
