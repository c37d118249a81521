// What sagas are configured to be: what new orders start on, what comes next and what that would change, and who did what to it.

import { get, part, search, send } from "../api.js";
import { ask, field, listed } from "../ask.js";
import { badge, el, facts, fill, table, time } from "../dom.js";
import { NOTHING, percent } from "../format.js";
import { poll } from "../live.js";
import { retitle, to } from "../shell.js";

const PAUSE_MS = 5000;

export const title = "Configuration";

export function show(root, { id }, signal) {
  if (id === null) showAll(root, signal);
  else showOne(root, id, signal);
}

function showAll(root, signal) {
  const sagas = table("Sagas", ["Saga", "Active", "Next", { text: "Would change", number: true }, "Calls"]);
  root.append(el("p", {}, "A configuration says what differs from code and settings. What is set is pending; it holds once it is applied, for orders that begin from then on."),
    sagas.region);
  poll("Configuration", async () => {
    const told = await get("/admin/config", { signal });
    sagas.rows(told.sagas.map((one) => ({
      key: one.saga,
      cells: [el("a", { href: to("configuration", one.saga) }, one.saga), revision(one.active) ?? "as code and settings have it",
        one.next ? [badge(one.next.state), ` ${revision(one.next)}`] : NOTHING, one.differences.length || NOTHING, one.participants.join(", ")],
      loud: one.unfit !== null,
    })));
  }, PAUSE_MS, signal);
}

const revision = (one) => one && `revision ${one.revision} by ${one.actor}: ${one.reason}`;

function showOne(root, saga, signal) {
  retitle(`Configuration of ${saga}`);
  const path = `/admin/config/${part(saga)}`;
  const unfit = el("div");
  const stands = el("div");
  const changes = table("What the next revision changes", ["Setting", "Now", "Next"], { none: "nothing" });
  const runs = table("What new orders start on", ["Setting", "Value"]);
  const acts = table("What was done, the newest first", ["At", "Act", { text: "Revision", number: true }, "By", "Why", "Says"]);
  const buttons = {
    set: el("button", { type: "button", onclick: set }, "Set"),
    apply: el("button", { type: "button", onclick: apply }, "Apply"),
    discard: el("button", { type: "button", onclick: discard }, "Discard"),
  };
  root.append(el("p", {}, el("a", { href: to("configuration") }, "All sagas"), ". ", el("a", { href: to("definitions", saga) }, `How ${saga} is made`)),
    unfit, stands, el("div", { class: "buttons", role: "group", "aria-label": "What can be done" }, Object.values(buttons)),
    el("h2", {}, "Next beside active"), changes.region, el("h2", {}, "Active"), runs.region, el("h2", {}, "History"), acts.region);
  let told = null;

  const sentence = () => listed(`What revision ${told.next.revision} changes`,
    told.differences.map(({ key, before, after }) => `${key}: ${plain(before)} becomes ${plain(after)}`), "Nothing: new orders run as they do now.");

  function set() {
    const text = el("textarea", { name: "text", rows: 12, cols: 60, spellcheck: "false", required: true, class: "mono" });
    text.value = JSON.stringify((told.next ?? told.active)?.configuration ?? {}, null, 2);
    ask({
      title: `Set what comes next for ${saga}`,
      intro: el("p", {}, "All that is to differ from code and settings, as JSON. ", el("code", {}, "{}"), " is nothing. It is pending until it is applied."),
      fields: [field("Configuration", text, "Such as {\"retry\": {\"attempts_max\": 7}} or {\"steps\": {\"capture_payment\": {\"timeout_s\": 3}}}")],
      label: "Set it",
      signal,
      async act({ actor, reason, text: json }, ends) {
        await send("PUT", path, { actor, reason, configuration: read(json) }, { signal: ends });
        soon();
        return "It is pending: apply it to have new orders start on it.";
      },
    });
  }

  function apply() {
    const { revision: meant, state } = told.next;
    const share = el("input", { name: "percent", type: "number", min: 0.1, max: 99.9, step: "any" });
    const minutes = el("input", { name: "minutes", type: "number", min: 1, max: 43_200, step: "any", value: 30 });
    ask({
      title: `Apply revision ${meant} of ${saga}`,
      intro: sentence(),
      fields: state === "canary" ? [] : [field("Try it first on this percentage of new orders", share, "Empty: all new orders start on it at once."),
        field("For so many minutes", minutes, "Then it becomes active, unless too many of its orders failed.")],
      label: "Apply it now",
      signal,
      async act({ actor, reason, percent: on, minutes: during }, ends) {
        const canary = on ? { percent: Number(on), for_s: Number(during) * 60 } : null;
        await send("POST", `${path}/apply`, { actor, reason, revision: meant, canary }, { signal: ends });
        soon();
        return canary ? `Revision ${meant} is tried on ${on} % of new orders.` : `New orders start on revision ${meant}.`;
      },
    });
  }

  function discard() {
    const { revision: meant, state } = told.next;
    ask({
      title: `Discard revision ${meant} of ${saga}`,
      intro: el("p", {}, state === "canary" ? "The trial ends: no further order starts on it. Those that did end on it." : "What is pending is dropped."),
      label: "Discard it now",
      danger: true,
      signal,
      async act({ actor, reason }, ends) {
        await send("DELETE", path + search({ actor, reason }), undefined, { signal: ends });
        soon();
        return `Revision ${meant} is dropped.`;
      },
    });
  }

  async function look() {
    const [shown, { history }] = await Promise.all([get(path, { signal }), get(`${path}/history`, { signal })]);
    told = shown;
    fill(unfit, told.unfit ? el("p", { class: "loudly" }, `A revision does not fit this process: ${told.unfit}`) : null);
    const { active, next } = told;
    const pairs = facts([["Active", revision(active) ?? "as code and settings have it"], ["Next", next ? [badge(next.state), ` ${revision(next)}`] : "nothing"],
      ...(next?.canary ? [["Tried on", `${percent(next.canary.percent / 100)} of new orders`], ["Until", time(next.canary.until)],
        ["Taken back above", `${percent(next.canary.failure_rate_max)} failures of ${next.canary.orders_min} or more`]] : []),
      ["Versions here", told.versions.join(", ")]]);
    pairs.className = "small";
    fill(stands, pairs);
    buttons.set.disabled = next?.state === "canary";
    buttons.apply.disabled = buttons.discard.disabled = next === null;
    changes.rows(told.differences.map(({ key, before, after }) => ({
      key, cells: [key, el("del", {}, plain(before)), el("ins", {}, plain(after))],
    })));
    runs.rows(Object.entries(told.runs).map(([key, value]) => ({ key, cells: [key, plain(value)] })));
    acts.rows(history.map((one) => ({
      key: one.seq,
      cells: [time(one.at), one.act, one.revision, one.actor, one.reason, el("code", {}, [one.body, ...(Object.keys(one.figures ?? {}).length ? [one.figures] : [])].map((each) => JSON.stringify(each)).join(" "))],
    })));
  }

  const soon = poll("Configuration", look, PAUSE_MS, signal);
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw Object.assign(new Error(`This is no JSON: ${error.message}`), { status: 0 });
  }
}

const plain = (value) => (value === null ? "none" : Array.isArray(value) ? value.join(", ") : String(value));
