// The drawing of an order's course in time: a lane a step, so that doing leads down and undoing climbs back up.
//
// Colour never says anything alone: undoing points backwards, an outcome has a sign, a wait is hollow, a delay is a dashed line.

import { svg } from "./dom.js";
import { lasting } from "./format.js";

const LANE = 34;
const BAR = 14;
const BAND = 20; // Of the statuses, above the lanes.
const AXIS = 22; // Below them.
const NARROW = 560; // Below this width a step's name stands above its lane.
const LETTER = 6.6; // About as wide as a letter of this drawing.
const TICK_ROOM = 74;
const BAR_MIN = 7;
const NOTCH = 5; // How far the point of an undoing bar reaches.

export const SIGNS = { succeeded: "✓", rejected: "✕", unknown: "?", open: "…" };

// The drawing of `timeline` (as `GET /admin/orders/ID` tells it), `width` pixels wide; `toScale` draws all times as long as they are.
export function draw(timeline, width, { toScale = false, label }) {
  const narrow = width < NARROW;
  const names = narrow ? 0 : Math.min(Math.max(...timeline.lanes.map((one) => named(one).length), 4) * LETTER + 16, width * 0.35);
  const lane = narrow ? LANE + 14 : LANE;
  const [left, right] = [names + 8, width - 22];
  const place = toScale ? linear(timeline.length_s) : bent(timeline.scale);
  const x = (at) => left + (right - left) * Math.min(Math.max(place(at), 0), 1);
  const top = BAND + 10;
  const bottom = top + timeline.lanes.length * lane;
  const end = timeline.length_s;
  const numbered = marksOf(timeline);

  return svg("svg", { class: "course", viewBox: `0 0 ${width} ${bottom + AXIS + 8}`, width, height: bottom + AXIS + 8, role: "img", "aria-label": label },
    svg("defs", {}, svg("pattern", { id: "held", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("line", { x1: 0, y1: 0, x2: 0, y2: 6, class: "held-line" }))),
    timeline.holds.map((hold) => band(x(hold.start_s), x(hold.end_s ?? end), 0, bottom, "held", `On hold for ${span(hold, end)}`)),
    timeline.statuses.map((phase) => statusBand(phase, x(phase.start_s), x(phase.end_s ?? end), end)),
    timeline.ended ? ending(timeline.statuses, x) : null,
    timeline.lanes.map((one, index) => laneOf(one, { y: top + index * lane, lane, names, narrow, left, right, x, end })),
    numbered.map((mark) => markAt(mark, x(mark.at_s), bottom)),
    axis(timeline, x, left, right, bottom));
}

// Marks with their numbers in the drawing and in the list under it.
export const marksOf = (timeline) => timeline.marks.map((mark, index) => ({ ...mark, number: index + 1 }));

// What a bar stands for, in words.
export function what(bar) {
  if (bar.kind === "wait") return "wait";
  const again = bar.round > 1 ? `, round ${bar.round}` : "";
  if (bar.kind === "delay") return `delay before attempt ${bar.attempt}${again}`;
  return `${bar.direction === "compensation" ? "undo" : "do"}, attempt ${bar.attempt}${again}`;
}

// What became of it.
export const became = (bar) => (bar.end_s === null ? "open" : bar.outcome);

export const span = ({ start_s, end_s }, end) => lasting(Math.max((end_s ?? end) - start_s, 0));

const linear = (length) => (at) => (length ? at / length : 0);

// Between two points of the scale it is linear.
const bent = (scale) => (at) => {
  const index = Math.min(Math.max(scale.findIndex(([moment]) => moment >= at), 1), scale.length - 1);
  const [[before, from], [after, till]] = at > scale.at(-1)[0] ? scale.slice(-2) : scale.slice(index - 1, index + 1);
  return from + (till - from) * ((at - before) / (after - before));
};

const band = (from, till, y, height, name, title) => svg("rect", { x: from, y, width: Math.max(till - from, 2), height, class: name,
  fill: name === "held" ? "url(#held)" : null }, svg("title", {}, title));

function statusBand(phase, from, till, end) {
  const room = till - from;
  const fits = phase.name.length * LETTER + 16 < room;
  return svg("g", { class: `phase ${phase.name.toLowerCase().replace(/[^a-z_]/g, "")}` },
    svg("title", {}, `${phase.name}, ${span(phase, end)}${phase.reason ? `: ${phase.reason}` : ""}`),
    svg("line", { x1: from, x2: from, y1: 0, y2: BAND }),
    svg("rect", { x: from, y: BAND - 4, width: Math.max(room, 2), height: 4 }),
    fits ? svg("text", { x: from + 4, y: BAND - 8 }, phase.name) : null);
}

// The last status has no length; it stands at the end where the one before leaves it room.
function ending(statuses, x) {
  const [before, last] = statuses.slice(-2);
  const at = x(last.start_s);
  return at - x(before.start_s) > (before.name.length + last.name.length) * LETTER + 24
    ? svg("text", { x: at - 5, y: BAND - 8, "text-anchor": "end", class: "ending" }, last.name) : null;
}

const named = ({ step, group }) => `${step}${group ? ` (${group})` : ""}`;

function laneOf({ step, state, group, bars }, { y, lane, names, narrow, left, right, x, end }) {
  const middle = y + lane - BAR / 2 - 6;
  const name = named({ step, group });
  const room = Math.floor(((narrow ? right - left : names) - 4) / LETTER);
  return svg("g", { class: "lane" }, svg("title", {}, `${name}: ${state}`),
    svg("text", { x: narrow ? left : names, y: narrow ? y + 10 : middle + 4, "text-anchor": narrow ? "start" : "end", class: bars.length ? "name" : "name idle" },
      name.length > room ? `${name.slice(0, room - 1)}…` : name),
    svg("line", { x1: left, x2: right, y1: middle, y2: middle, class: "rail" }),
    bars.map((bar) => barAt(bar, x(bar.start_s), x(bar.end_s ?? end), middle, end)));
}

function barAt(bar, from, till, middle, end) {
  const title = svg("title", {}, `${what(bar)}: ${became(bar) ?? "over"}, ${span(bar, end)}`);
  if (bar.kind === "delay") {
    return svg("g", { class: "delay" }, title, svg("line", { x1: from, x2: Math.max(till, from + 2), y1: middle, y2: middle }),
      till - from > 64 ? svg("text", { x: (from + till) / 2, y: middle - 5, "text-anchor": "middle" }, span(bar, end)) : null);
  }
  const width = Math.max(till - from, BAR_MIN);
  const [high, low] = [middle - BAR / 2, middle + BAR / 2];
  const back = bar.direction === "compensation";
  const shape = back
    ? svg("path", { d: `M${from} ${middle} L${from + NOTCH} ${high} H${from + width} V${low} H${from + NOTCH} Z` })
    : svg("rect", { x: from, y: high, width, height: BAR, rx: 2 });
  const outcome = became(bar);
  return svg("g", { class: `bar ${bar.kind} ${back ? "back" : "forth"} ${outcome}` }, title, shape,
    svg("text", { x: from + width / 2, y: high - 2, "text-anchor": "middle" }, SIGNS[outcome] ?? ""));
}

function markAt({ kind, what, number, actor, reason }, at, bottom) {
  return svg("g", { class: `mark ${kind}` }, svg("title", {}, [what, actor && `by ${actor}`, reason].filter(Boolean).join(": ")),
    svg("line", { x1: at, x2: at, y1: BAND, y2: bottom }),
    svg("circle", { cx: at, cy: bottom, r: 8 }), svg("text", { x: at, y: bottom + 4, "text-anchor": "middle" }, number));
}

function axis(timeline, x, left, right, bottom) {
  const shown = [0];
  for (const [at] of timeline.scale) {
    const before = shown.at(-1);
    const room = Math.min(x(at) - x(before), right - x(at));
    if (at < timeline.length_s && room >= TICK_ROOM && lasting(at) !== lasting(before) && lasting(at) !== lasting(timeline.length_s)) shown.push(at);
  }
  if (timeline.length_s) shown.push(timeline.length_s);
  return svg("g", { class: "axis" }, shown.map((at, index) => svg("text", { x: x(at), y: bottom + AXIS,
    "text-anchor": index === 0 ? "start" : index === shown.length - 1 ? "end" : "middle" }, index === 0 ? "0" : `+${lasting(at)}`)));
}
