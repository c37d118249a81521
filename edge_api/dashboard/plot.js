// Small plots of what was seen since the page was opened: a line, its newest value, and in words what the line shows.

import { el, svg } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 32;
const KEPT = 150;
const LEAST = 15; // Values that the whole width is for, at least: with fewer a line begins at its right end.

// What was seen of one number; it lasts as long as the page.
export class Series {
  #values = [];

  // Takes a number, null for one that is not known now.
  add(value) {
    this.#values.push(value);
    if (this.#values.length > KEPT) this.#values.shift();
  }

  // A figure with the newest value; `shown` makes a text of a number, `everyS` is the time between two of them.
  figure(name, shown, everyS, href = null) {
    const seen = this.#values.filter((value) => value !== null);
    const now = shown(this.#values.at(-1) ?? null);
    const minutes = Math.max(Math.round(this.#values.length * everyS / 60), 1);
    const words = seen.length < 2 ? `${name}: ${now}`
      : `${name}: ${now}, between ${shown(Math.min(...seen))} and ${shown(Math.max(...seen))} in the last ${minutes} min`;
    return el("figure", {},
      el("figcaption", {}, href ? el("a", { href }, name) : name), el("strong", {}, now),
      svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
        this.#drawn(Math.max(...seen, 0))));
  }

  #drawn(most) {
    if (this.#values.length < 2 || most === 0) return svg("path", { class: "plot-line", d: `M0 ${HEIGHT - 1}H${WIDTH}` });
    const room = Math.max(this.#values.length, LEAST);
    const step = WIDTH / (room - 1);
    const first = room - this.#values.length;
    const points = this.#values.map((value, index) => (value === null ? null
      : `${((first + index) * step).toFixed(1)} ${(HEIGHT - 1 - (value / most) * (HEIGHT - 3)).toFixed(1)}`));
    // A gap where nothing was known.
    const line = points.map((point, index) => (point === null ? "" : `${index && points[index - 1] !== null ? "L" : "M"}${point}`));
    return svg("path", { class: "plot-line", d: line.join("") });
  }
}
