// The breaker of every participant: whether it is called, and why not.

import { get, part, send } from "../api.js";
import { ask } from "../ask.js";
import { badge, el, table, time } from "../dom.js";
import { lasting, NOTHING } from "../format.js";
import { poll } from "../live.js";

const PAUSE_MS = 3000;
const VERBS = {
  hold: { label: "Hold", now: "Hold it now",
    says: "Nobody calls the participant until its breaker is reset. Orders that need it wait, and spend no attempts; one whose deadline passes meanwhile is undone." },
  reset: { label: "Reset", now: "Reset it now", says: "Calls are made again at once, whether it opened by itself or is held." },
};

export const title = "Breakers";

export function show(root, _, signal) {
  const breakers = table("Breakers, one for the whole fleet", ["Participant", "State", "Last calls that were reported", "Changed",
    { text: "Tried again in", number: true }, "By", "Act"]);
  root.append(el("p", {}, "A breaker opens when too many of the last calls of its participant ended without a clear answer. ",
    "Then one call tries now and then whether it is back. Of the last calls, ", el("code", {}, "."), " was answered and ", el("code", {}, "x"), " was not."),
  breakers.region);

  function act(name, what) {
    const { label, now, says } = VERBS[what];
    ask({
      title: `${label}: ${name}`,
      intro: el("p", {}, says),
      label: now,
      danger: what === "hold",
      signal,
      async act(said, ends) {
        const told = await send("POST", `/admin/breakers/${part(name)}/${what}`, said, { signal: ends });
        soon();
        return `The breaker of ${name} is ${told.state}.`;
      },
    });
  }

  // Made once a participant, so that the focus stays on a button while the table changes around it.
  const buttons = new Map();
  function buttonsOf(name, state) {
    if (!buttons.has(name)) {
      const made = Object.entries(VERBS).map(([what, { label }]) => el("button", { type: "button", onclick: () => act(name, what) }, `${label} ${name}`));
      buttons.set(name, { made, cell: el("div", { class: "buttons" }, made) });
    }
    const { made: [hold, reset], cell } = buttons.get(name);
    const focused = [hold, reset].find((button) => button === document.activeElement);
    hold.disabled = state === "held";
    reset.disabled = state === "closed";
    if (focused?.disabled) (focused === hold ? reset : hold).focus();
    return cell;
  }

  async function look() {
    const told = await get("/admin/breakers", { signal });
    breakers.rows(told.breakers.map((one) => ({
      key: one.participant,
      cells: [one.participant, [badge(one.state), one.opened_for_s > 0 ? ` for ${lasting(one.opened_for_s)}` : ""], el("code", {}, one.recent || NOTHING), one.updated_at ? time(one.updated_at) : "never",
        one.wait_s > 0 ? lasting(one.wait_s) : NOTHING, [one.actor ?? "", one.reason ? `: ${one.reason}` : ""], buttonsOf(one.participant, one.state)],
      loud: one.state === "open" || one.state === "held",
    })));
  }

  const soon = poll("Breakers", look, PAUSE_MS, signal);
}
