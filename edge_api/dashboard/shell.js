// The page: it shows one view at a time, says who is signed in and whether what is shown is true now.
//
// How a view is made
//
// * A view is a file in `views/`, imported at the start (what is fetched later may fail then) and named in VIEWS below. It exports `title` (a text) and `show(root, params, signal)`, which may be
//   async. `root` is an empty element under the view's heading, its own. `params` is `{ id, query }`: the part of the address after
//   the view's name, decoded (null for none), and a URLSearchParams. `signal` is an AbortSignal that ends when the view is left:
//   give it to everything that goes on (`get`, `poll`, `follow`, `addEventListener`). What `show` throws is told in place of the view.
// * Addresses are `#/NAME`, `#/NAME/ID` and `#/NAME?filter=value`; make them by `to(name, id, query)`. A view keeps what was
//   chosen in its address by `remember(query)`, which adds to the history and does not show the view again; the back button does.
//   One order is `#/orders/ID`.
// * Elements are made by `el` and `svg` of dom.js, tables by `table`: texts only become text. There is no other way (no markup from texts,
//   no `style` attribute; a test reads the files, and the browser refuses). SVG is styled by classes and presentation attributes.
// * What is told comes by `get` and `send` of api.js; their errors have a `message` for people. `poll(name, ask, ms, signal)` asks again
//   and tells in the banner what fails; `follow({ changed, anew }, signal)` hands on the stream of changes.
// * Headings of a view begin with h2; its h1 is the shell's, changed by `retitle(text)`. `say(...)` tells something in passing, texts and links ("Retried.");
//   what needs an answer is a native `<dialog>`, which keeps and gives back the focus by itself.
// * Nothing moves or jumps by itself: rows that are there change in place, what is new is announced.

import { Away, get, part, search } from "./api.js";
import { el, fill, put } from "./dom.js";
import { connect, disconnect, poll, reconnect } from "./live.js";
import { signIn, signOut, token, whenAnswered } from "./session.js";
import * as breakers from "./views/breakers.js";
import * as configuration from "./views/configuration.js";
import * as dead from "./views/dead.js";
import * as definitions from "./views/definitions.js";
import * as order from "./views/order.js";
import * as orders from "./views/orders.js";
import * as overview from "./views/overview.js";
import * as stuck from "./views/stuck.js";

const VIEWS = [
  { name: "overview", label: "Overview", view: overview },
  { name: "orders", label: "Orders", view: orders, one: order },
  { name: "stuck", label: "Stuck", view: stuck },
  { name: "dead", label: "Dead letters", view: dead },
  { name: "breakers", label: "Breakers", view: breakers },
  { name: "configuration", label: "Configuration", view: configuration },
  { name: "definitions", label: "Definitions", view: definitions },
];
const READY_MS = 2000;
const READY_LIMIT_MS = 3000; // With the pause less than ten seconds, after which nobody may take for true what is not.

const byId = (id) => document.getElementById(id);
const main = byId("main");
let leaving = new AbortController();
let current = null; // The name of the view that is shown.

// The address of a view: `to("orders", null, { status: "STUCK" })` is `#/orders?status=STUCK`.
export const to = (name, id = null, query = {}) => `#/${name}${id === null ? "" : `/${part(id)}`}${search(query)}`;

// Puts what a view was told to show into its address. The view itself shows it.
export function remember(query) {
  const address = to(...place().path, query);
  if (address !== location.hash) history.pushState(null, "", address);
}

// Changes the heading and the title of the page, as for one order.
export function retitle(text) {
  put(byId("heading"), text);
  document.title = `${text} · Sagaledger`;
}

// Tells something in passing, to screen readers too.
export const say = (...said) => fill(byId("said"), ...said);

function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [name, id = null] = path.split(/\/(.*)/s);
  return { path: [name || "overview", id === null || id === "" ? null : decoded(id)], query: new URLSearchParams(query) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function showPlace() {
  const { path: [name, id], query } = place();
  const known = VIEWS.find((view) => view.name === name);
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const heading = el("h1", { id: "heading", tabindex: -1 }, known ? known.label : "Nothing here");
  const root = el("div", { class: "view" });
  main.replaceChildren(heading, root);
  say("");
  for (const link of byId("views").querySelectorAll("a")) {
    if (link.dataset.name === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${heading.textContent} · Sagaledger`;
  // Not with the first one: a page that has just been opened is read from its beginning.
  if (current !== null) heading.focus({ preventScroll: true });
  if (current !== null) scrollTo(0, 0);
  current = name;
  if (!known) {
    fill(root, el("p", {}, "There is no such view. ", el("a", { href: to("overview") }, "Overview")));
    return;
  }
  try {
    const view = id !== null && known.one ? known.one : known.view;
    retitle(view.title);
    await view.show(root, { id, query }, signal);
  } catch (error) {
    if (signal.aborted) return;
    root.append(el("p", { class: "failed", role: "alert" }, `This can't be shown: ${error.message}`));
    if (!("status" in error) && error.name !== "Away") reportError(error);
  }
}

function showSignIn(status) {
  disconnect();
  const form = byId("sign-in");
  if (form.hidden) {
    form.hidden = false;
    byId("token").focus();
  }
  put(byId("refused"), token() === null ? "" : status === 403 ? "This key does not have the scope admin."
    : "This is not a valid token or key.");
  byId("sign-out").hidden = token() === null;
}

async function ready(signal) {
  try {
    await get("/readyz", { signal, limitMs: READY_LIMIT_MS });
  } catch (error) {
    if (error instanceof Away) reconnect();
    throw error;
  }
}

function prepare() {
  fill(byId("views"), VIEWS.map(({ name, label }) => el("li", {}, el("a", { href: to(name), "data-name": name }, label))));
  // The link of what is shown changes no address, and shows it again all the same.
  byId("views").addEventListener("click", ({ target }) => {
    if (target.hash === location.hash) showPlace();
  });
  // A fragment names a view here, so the link to the content can't be left to the browser.
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  const theme = byId("theme");
  theme.value = document.documentElement.dataset.theme ?? "";
  theme.addEventListener("change", () => {
    if (theme.value) localStorage.setItem("theme", theme.value);
    else localStorage.removeItem("theme");
    if (theme.value) document.documentElement.dataset.theme = theme.value;
    else delete document.documentElement.dataset.theme;
  });
  byId("sign-out").hidden = token() === null;
  byId("sign-out").addEventListener("click", () => {
    signOut();
    location.reload(); // What was shown is not to be read on.
  });
  byId("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    signIn(byId("token").value.trim());
    byId("token").value = "";
    byId("sign-in").hidden = true;
    byId("sign-out").hidden = false;
    disconnect();
    showPlace();
  });
  whenAnswered({ admitted: connect, refused: showSignIn });
  addEventListener("hashchange", showPlace);
}

prepare();
poll("Ledger", ready, READY_MS, new AbortController().signal);
showPlace();
