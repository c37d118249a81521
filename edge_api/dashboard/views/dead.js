// Dead letters: events that a webhook's receiver would not take, and having them sent once more.

import { get, part, search, send } from "../api.js";
import { ask } from "../ask.js";
import { orderId } from "../copy.js";
import { el, fill, table, time } from "../dom.js";
import { count } from "../format.js";
import { poll } from "../live.js";
import { remember, to } from "../shell.js";

const PAUSE_MS = 5000;
const LIMIT = 200;

export const title = "Dead letters";

export function show(root, { query }, signal) {
  let webhook = query.get("webhook") ?? "";
  let newest = null; // When the last one was given up of those that are shown.
  const chosen = el("select", { id: "webhook" });
  const total = el("p", { role: "status" });
  const all = el("button", { type: "button", onclick: replayAll, disabled: true }, "Replay all");
  const letters = table("Deliveries that were given up, the last first", ["Event", "Order", "Webhook", { text: "Attempts", number: true },
    "Given up", "Error", "Act"], { none: "no dead letters" });
  root.append(el("div", { class: "buttons" }, el("label", { for: "webhook" }, "Webhook"), chosen, all), total, letters.region);
  chosen.addEventListener("change", () => {
    webhook = chosen.value;
    remember({ webhook });
    soon();
  }, { signal });

  function replay(letter) {
    ask({
      title: `Replay ${letter.type} to ${letter.webhook}`,
      intro: [el("p", {}, `Event ${letter.event_id} is delivered once more, with all its attempts, as it was recorded.`),
        el("p", {}, `What it failed with: ${letter.error ?? "nobody knows"}`)],
      label: "Replay it now",
      signal,
      async act(said, ends) {
        await send("POST", `/admin/outbox/dead/${part(letter.event_id)}/replay${search({ webhook: letter.webhook })}`, said, { signal: ends });
        soon();
        return "It is delivered once more.";
      },
    });
  }

  function replayAll() {
    const set = { before: newest, webhook: webhook || null };
    ask({
      title: webhook ? `Replay all of ${webhook}` : "Replay all dead letters",
      intro: el("p", {}, "All that are dead by now are delivered once more; what is given up from now on is not among them."),
      label: "Replay them now",
      signal,
      async preview(_, ends) {
        const { webhooks } = await get("/admin/webhooks", { signal: ends });
        const meant = webhooks.filter((one) => one.dead > 0 && (!webhook || one.name === webhook));
        return [el("h3", {}, "Deliveries that follow"), el("ul", {}, meant.map((one) => el("li", {},
          `${count(one.dead)} to ${one.name} at ${one.url}${one.enabled ? "" : ": it is disabled, so they wait until it is enabled"}`))),
        el("p", { class: "note" }, "Receivers may have seen some of them: each bears the id of its event. Nothing has been changed yet.")];
      },
      async act(said, ends) {
        let replayed = 0;
        for (let more = true; more;) {
          const told = await send("POST", "/admin/outbox/dead/replay", { ...said, ...set }, { signal: ends });
          replayed += told.replayed;
          ({ more } = told);
        }
        soon();
        return `${count(replayed)} ${replayed === 1 ? "is" : "are"} delivered once more.`;
      },
    });
  }

  const buttons = new Map();
  function buttonOf(letter) {
    const key = `${letter.event_id} ${letter.webhook}`;
    if (!buttons.has(key)) {
      buttons.set(key, el("button", { type: "button", "aria-label": `Replay event ${letter.event_id} to ${letter.webhook}`, onclick: () => replay(letter) }, "Replay"));
    }
    return buttons.get(key);
  }

  async function look() {
    const [told, { webhooks }] = await Promise.all([
      get("/admin/outbox/dead", { query: { webhook, limit: LIMIT }, signal }), get("/admin/webhooks", { signal })]);
    newest = told.dead[0]?.dead_at ?? null;
    all.disabled = newest === null;
    const names = [...new Set([...webhooks.map(({ name }) => name), ...(webhook ? [webhook] : [])])];
    fill(chosen, el("option", { value: "" }, "all"), names.map((name) => el("option", { value: name }, name)));
    chosen.value = webhook;
    const shown = told.dead.length < told.total ? `, the last ${count(told.dead.length)} are shown` : "";
    fill(total, told.total ? `${count(told.total)} dead${shown}` : "No delivery was given up.");
    letters.rows(told.dead.map((letter) => ({
      key: `${letter.event_id} ${letter.webhook}`,
      cells: [[letter.type, " ", el("code", { title: letter.event_id }, letter.event_id.slice(0, 8))],
        orderId(letter.order_ledger_id, to("orders", letter.order_ledger_id)), letter.webhook,
        count(letter.attempts), time(letter.dead_at), letter.error ?? "", buttonOf(letter)],
    })));
  }

  const soon = poll("Dead letters", look, PAUSE_MS, signal);
}
