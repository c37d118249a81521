// What the page asks of this listener. Each answer is JSON, or an error that says in a sentence what is wrong.

import { admit, headers, refuse } from "./session.js";

const TIMEOUT_MS = 7000; // A little more than the edge gives a read itself, so that its own answer is seen.
// What is read is asked for again by the page itself; the edge's own sentences tell clients to repeat what they sent.
const READING = { 500: "this edge has failed", 503: "the ledger can't be reached" };
const OPEN = "/readyz"; // Tells nothing of who may come in.

// An answer that is a problem (RFC 9457). `errors` are pairs of pointer and detail where the request does not fit.
export class Problem extends Error {
  constructor(status, told) {
    super(told.detail ?? told.title ?? `it answered ${status}`);
    this.name = "Problem";
    this.status = status;
    this.title = told.title ?? "";
    this.type = told.type ?? "";
    this.errors = told.errors ?? [];
  }
}

// There was no answer: what was asked for may have been done or not.
export class Away extends Error {
  constructor(message) {
    super(message);
    this.name = "Away";
  }
}

// The JSON at a path such as `/statistics`; `query` has what stands after `?`, null and "" left out, lists repeated.
// `limitMs` is how long an answer may take. Throws Problem or Away; when `signal` ends it, an AbortError that nobody needs to be told of (see `isLeft`).
export const get = (path, { query = {}, signal, limitMs } = {}) => ask("GET", path + search(query), undefined, signal, limitMs);

// Sends `body` as JSON by POST, PUT or DELETE; returns the JSON that is answered, null for none. Throws as `get` does.
export const send = (method, path, body, { signal } = {}) => ask(method, path, body, signal);

// Whether an error only says that the view was left.
export const isLeft = (error) => error.name === "AbortError";

// One part of a path, whatever stands in it.
export const part = encodeURIComponent;

export function search(query) {
  const pairs = Object.entries(query).flatMap(([name, value]) => (Array.isArray(value) ? value : [value])
    .filter((one) => one !== null && one !== undefined && one !== "").map((one) => [name, one]));
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

async function ask(method, path, body, signal, limitMs = TIMEOUT_MS) {
  const limits = [AbortSignal.timeout(limitMs), ...(signal ? [signal] : [])];
  let response;
  let text;
  try {
    response = await fetch(path, {
      method, cache: "no-store", credentials: "omit", redirect: "error", signal: AbortSignal.any(limits),
      headers: { ...headers(), ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw new DOMException("the view was left", "AbortError");
    throw new Away(error.name === "TimeoutError" ? "no answer in time" : "this edge can't be reached");
  }
  if (response.status === 401 || (response.status === 403 && method === "GET")) refuse(response.status);
  if (response.ok && path !== OPEN) admit();
  const told = read(text);
  if (!response.ok) throw new Problem(response.status, { ...told, ...(method === "GET" && response.status in READING && { detail: READING[response.status] }) });
  return told;
}

// Whole numbers that a double can't hold stay exact, as BigInt.
function read(text) {
  try {
    return JSON.parse(text, (_, value, context) => (typeof value === "number" && Number.isInteger(value)
      && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "") ? BigInt(context.source) : value));
  } catch {
    return null;
  }
}
