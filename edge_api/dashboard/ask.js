// What is asked before something is changed: who and why, then what would follow, and only then it is done.

import { isLeft } from "./api.js";
import { el, fill, put } from "./dom.js";
import { say } from "./shell.js";

let actor = ""; // Who acted last on this page, so that nobody writes it twice.
let made = 0; // Of dialogs; their fields have ids of their own.

// Opens a dialog over the page and gives the focus back when it is closed, by its button, by Escape, or because the view is left.
//
// `title`: its heading. `intro`: children that say what it is about. `fields`: elements of the form, see `field`; what is typed into one
// that has a name is a member of `said`. `preview(said, signal)` returns children that say what would follow; without it the act can be done at
// once. `act(said, signal)` does it and returns a sentence for the page, as children. What either throws is shown in the dialog. `label`: of the button
// that acts; `danger`: whether what it does can't be undone. `signal`: of the view.
//
// Returns a function for whoever learns that what was previewed does not hold any more: it drops the preview, and says the sentence it is given.
export function ask({ title, intro = [], fields = [], preview = null, act, label, danger = false, signal }) {
  made += 1;
  const heading = el("h2", { id: `ask-${made}` }, title);
  const refused = el("p", { class: "failed", role: "alert" });
  const shown = el("div", { role: "status" });
  const doIt = el("button", { type: "button", class: danger ? "danger" : "main", disabled: preview !== null }, label);
  const show = preview === null ? null : el("button", { type: "submit" }, "Preview");
  const form = el("form", { class: "ask" }, intro,
    field("Reason", el("input", { name: "reason", required: true, maxlength: 500, autocomplete: "off" }), "It stands in the record."),
    field("Actor", el("input", { name: "actor", required: true, maxlength: 128, autocomplete: "username", value: actor })),
    fields, refused, shown,
    el("div", { class: "buttons" }, show, doIt, el("button", { type: "button", onclick: () => dialog.close() }, "Close")));
  const dialog = el("dialog", { "aria-labelledby": heading.id }, heading, form);
  const closed = new AbortController();
  let edits = 0;
  const ends = { signal: closed.signal };

  // What was looked at is what is done: any change wants another look.
  function forget() {
    put(refused, "");
    if (preview !== null) drop();
  }

  function drop(why = null) {
    edits += 1;
    fill(shown, why && el("p", {}, why));
    if (document.activeElement === doIt) show.focus();
    doIt.disabled = true;
  }

  async function run(button, work) {
    if (!form.reportValidity()) return;
    const said = Object.fromEntries(new FormData(form));
    actor = said.actor;
    put(refused, "");
    const buttons = [show, doIt].filter((one) => one !== null).map((one) => [one, one.disabled]);
    buttons.forEach(([one]) => { one.disabled = true; });
    button.setAttribute("aria-busy", "true");
    const before = edits;
    let worked = false;
    try {
      await work(said);
      worked = true;
    } catch (error) {
      if (isLeft(error)) return;
      if (error.status === 409 && button === doIt && preview !== null) drop(); // It is not as it was previewed.
      fill(refused, told(error, button === doIt));
      if (error.status === 401) dialog.close(); // The page asks who it is; nothing behind an open dialog can be reached.
      if (!("status" in error) && error.name !== "Away") reportError(error);
    } finally {
      button.removeAttribute("aria-busy");
      buttons.forEach(([one, was]) => { one.disabled = one === doIt ? before !== edits || (button === show ? !worked : was) : was; });
      if (button === show && !doIt.disabled) doIt.focus(); // What comes next by keyboard is to do it, not to look again.
      if (doIt.disabled && [doIt, document.body].includes(document.activeElement)) show?.focus();
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (show === null) run(doIt, perform);
    else run(show, look);
  });
  form.addEventListener("input", forget);
  doIt.addEventListener("click", () => run(doIt, perform));

  async function look(said) {
    fill(shown, await preview(said, closed.signal));
    doIt.scrollIntoView({ block: "nearest" });
  }

  async function perform(said) {
    const done = await act(said, closed.signal);
    dialog.close();
    say(done);
  }

  dialog.addEventListener("close", () => {
    closed.abort();
    dialog.remove();
  });
  signal.addEventListener("abort", () => dialog.close(), ends);
  document.body.append(dialog);
  dialog.showModal();
  form.elements.reason.focus();
  return (why) => {
    if (shown.childElementCount && !doIt.hasAttribute("aria-busy")) drop(why);
  };
}

// A labelled field of a form; `control` is an input, a select or a textarea.
export function field(label, control, hint = "") {
  made += 1;
  control.id = `field-${made}`;
  if (hint) control.setAttribute("aria-describedby", `hint-${made}`);
  return el("p", { class: "field" }, el("label", { for: control.id }, label), control,
    hint ? el("span", { class: "note", id: `hint-${made}` }, hint) : null);
}

// A heading with a list under it; `none` where the list is empty.
export const listed = (heading, lines, none = null) => (lines.length || none
  ? [el("h3", {}, heading), lines.length ? el("ol", {}, lines.map((line) => el("li", {}, line))) : el("p", {}, none)] : []);

// An error in sentences: what was refused, with what is wrong at which place, or that nobody knows what became of it.
function told(error, wasActing) {
  if (error.name === "Away" && wasActing) return `There was no answer (${error.message}): it may have been done. Look before you do it again.`;
  const places = (error.errors ?? []).map(({ pointer, detail }) => el("li", {}, el("code", {}, pointer), ` ${detail}`));
  return [error.message, places.length ? el("ul", {}, places) : null];
}
