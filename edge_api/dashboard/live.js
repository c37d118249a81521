// How the page stays true: a stream of changes, questions that are asked again, and a banner while either fails.
//
// `follow` hands on what the stream of this listener tells (`GET /stream`); it goes on after a break where it was, without a gap.
// `poll` asks again and again for what the stream does not tell. Every source that fails is named in the banner with the time since
// which what is shown of it is old; it is taken out when the source is back.

import { isLeft, Away, Problem } from "./api.js";
import { put } from "./dom.js";
import { clock } from "./format.js";
import { refuse, token } from "./session.js";

const BATCH_MS = 100; // Changes of this long are shown together: a busy fleet has hundreds a second.
const BATCH_MAX = 10_000; // Orders. With more, as in a tab in the background, everything is loaded anew instead.
const WAIT_MS = [500, 1000, 2000, 5000]; // Before each further attempt to connect; the last one from then on.
const SOON_MS = 1000; // Between two questions that changes bring about.
const SIGNED_OUT = 4401;
const POSITION_GONE = 4410;
const STREAM = "Changes";

const sources = new Map();
const followers = new Set();
const batch = new Map();
let socket = null;
let state = "polled"; // How changes come.
let last = null;
let failures = 0;
let retry;
let delivery;

// Says that a source is as it is now.
export function fresh(name) {
  sources.set(name, { at: new Date(), why: "" });
  tell();
}

// Says that a source could not be asked, and why, in words for people.
export function stale(name, why) {
  sources.set(name, { at: sources.get(name)?.at ?? null, why });
  tell();
}

// Says that nobody looks at a source any more.
export function forget(name) {
  sources.delete(name);
  tell();
}

function tell() {
  const old = [...sources].filter(([, { why }]) => why);
  put(document.getElementById("stale"), old.map(([name, { at, why }]) =>
    at ? `${name}: stale since ${clock(at)} (${why}).` : `${name}: not known yet (${why}).`).join(" "));
  document.getElementById("main").classList.toggle("old", old.length > 0);
  // A stream over which nothing comes looks as one on which nothing happens: while anything is old, nothing is called live.
  put(document.getElementById("live"), old.length ? "stale" : state);
}

// Calls `ask(signal)` now and `ms` after it ended, until the view is left. What it throws is told in the banner under `name`.
// Returns a function that has it asked soon, as when a change was told.
export function poll(name, ask, ms, signal) {
  let timer;
  let endedAt = 0;
  let asking = false;
  let wanted = false;

  async function turn() {
    asking = true;
    wanted = false;
    try {
      await ask(signal);
      if (!signal.aborted) fresh(name);
    } catch (error) {
      if (!signal.aborted && !isLeft(error)) stale(name, error.message);
      if (!(isLeft(error) || error instanceof Away || error instanceof Problem)) reportError(error);
    }
    asking = false;
    endedAt = Date.now();
    if (!signal.aborted) timer = setTimeout(turn, wanted ? SOON_MS : ms);
  }

  function soon() {
    if (signal.aborted || wanted) return;
    wanted = true;
    if (asking) return;
    clearTimeout(timer);
    timer = setTimeout(turn, Math.max(SOON_MS - (Date.now() - endedAt), 0));
  }

  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    forget(name);
  });
  turn();
  return soon;
}

// Hands on changes until the view is left: `changed(messages)` gets a list of the newest message of each order that changed,
// `{ seq, order_ledger_id, status, step, state, at }`; `anew()` is called when changes may have been missed, so that the view
// loads what it shows once more.
export function follow({ changed, anew = () => {} }, signal) {
  const follower = { changed, anew };
  followers.add(follower);
  signal.addEventListener("abort", () => followers.delete(follower));
}

// Opens the stream if it is not open: whoever asks has been let in, so a handshake is no attempt in vain.
export function connect() {
  if (socket === null && retry === undefined) open();
}

// Closes the stream for good, as for somebody who is not let in any more.
export function disconnect() {
  clearTimeout(retry);
  retry = undefined;
  const closed = socket;
  socket = null;
  closed?.close();
  showState("polled");
}

// Gives up a stream that is open or being opened, and opens another: a browser does not tell that the other side says nothing.
export function reconnect() {
  if (socket === null) return;
  const hung = socket;
  lost();
  hung.close();
}

function open() {
  retry = undefined;
  const address = new URL("/stream", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const resumed = last !== null;
  if (resumed) address.searchParams.set("after", last);
  const opened = socket = new WebSocket(address, protocols());
  opened.onopen = () => {
    failures = 0;
    fresh(STREAM);
    showState("live");
    if (!resumed) missed(); // Nobody can say what changed before.
  };
  opened.onmessage = ({ data }) => take(JSON.parse(data));
  opened.onclose = ({ code }) => {
    if (opened === socket) lost(code);
  };
}

function lost(code) {
  socket = null;
  showState("polled");
  // Before the first time there is nothing to be old: what is shown is asked for again and again.
  if (sources.has(STREAM)) stale(STREAM, "the connection is away");
  if (code === SIGNED_OUT) {
    refuse(401);
    return;
  }
  if (code === POSITION_GONE) last = null;
  retry = setTimeout(open, WAIT_MS[Math.min(failures, WAIT_MS.length - 1)]);
  failures += 1;
}

function take(message) {
  last = message.seq;
  sources.get(STREAM).at = new Date();
  batch.delete(message.order_ledger_id); // The newest stand last.
  batch.set(message.order_ledger_id, message);
  if (batch.size > BATCH_MAX) missed();
  else delivery ??= setTimeout(deliver, BATCH_MS);
}

function deliver() {
  const messages = [...batch.values()];
  batch.clear();
  delivery = undefined;
  for (const { changed } of [...followers]) changed(messages);
}

function missed() {
  batch.clear();
  for (const { anew } of [...followers]) anew();
}

// A browser can give a handshake no header of its own; the subprotocol says who asks.
function protocols() {
  if (token() === null) return ["saga.v1"];
  const bytes = new TextEncoder().encode(token());
  const text = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return ["saga.v1", `saga.token.${text}`];
}

function showState(now) {
  state = now;
  tell();
}
