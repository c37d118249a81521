// Taking a text along: an id, a statement, a command.

import { el } from "./dom.js";
import { say } from "./shell.js";

// A button that copies `text`. Without TLS a browser lets nothing be copied by a script: then the text is marked where it stands, in
// the element that `shown()` returns, or told, to be copied by hand.
export function copier(text, label, { name = label, shown = null } = {}) {
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      say("Copied.");
    } catch {
      if (shown) getSelection().selectAllChildren(shown());
      say(shown ? "It is marked: copy it with the keyboard." : text);
    }
  }
  return el("button", { type: "button", class: "copy", "aria-label": name, title: name, onclick: copy }, label);
}

// An id of an order in a list: its beginning leads to it, the button beside it copies the whole.
export const orderId = (id, href) => el("span", { class: "line" },
  el("a", { href, title: id, "aria-label": `Order ${id}`, class: "mono" }, id.slice(0, 8)), " ",
  copier(id, "Copy", { name: `Copy order id ${id}` }));

// A word of a command line as a shell takes it, literally: nothing in it ends it.
export const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
