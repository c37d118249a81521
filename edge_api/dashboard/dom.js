// Elements of the page. Whatever is told by the ledger or by a participant is hostile: it becomes text, and nothing else.

import { NOTHING, shortTimeOf } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

// An element with attributes and children. A child is a text, a number, an element, or null and false for none; lists of them
// are flattened. An attribute that is null or false is left out, true stands without a value, a function named `onclick` and the
// like listens. Addresses lead within this page or to files of this listener.
export function el(tag, attributes = {}, ...children) {
  return made(document.createElement(tag), attributes, children);
}

// The same of a drawing.
export function svg(tag, attributes = {}, ...children) {
  return made(document.createElementNS(SVG, tag), attributes, children);
}

function made(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value);
    else if (name === "value") element.value = value;
    else if (name === "href" && !/^(#|\/(?!\/))/.test(value)) throw new Error("an address must lead within this page");
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false).map(node));
  return element;
}

const node = (child) => (child instanceof Node ? child : document.createTextNode(String(child)));

// Assigning the same text again would make screen readers say it again.
export function put(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

// Gives an element these children; those that are equal to what is there stay, with focus and selection.
export function fill(element, ...children) {
  const wanted = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false).map(node);
  wanted.forEach((child, index) => {
    const there = element.childNodes[index];
    if (!there) element.append(child);
    else if (!there.isEqualNode(child)) there.replaceWith(child);
  });
  while (element.childNodes.length > wanted.length) element.lastChild.remove();
}

// A table in a region that scrolls by itself and by keyboard; `columns` are texts, or `{ text, number: true }`.
// Returns `{ region, rows(list), name(text) }`: `list` has `{ key, cells, loud, soft }`, a cell being a child of `el` or a list of them. Rows of
// the same key stay where they are and change in place; a cell that is the same element as before is not touched, with its focus.
// Until there is a list it says that it is loading. `name(text)` changes the caption.
export function table(caption, columns, { none = "none" } = {}) {
  const heads = columns.map((column) => (typeof column === "string" ? { text: column } : column));
  const noneOf = (text) => el("tr", { class: "none" }, el("td", { colspan: heads.length }, text));
  const body = el("tbody", {}, noneOf("Loading…"));
  const titled = el("caption", {}, caption);
  const region = el("div", { class: "wide", role: "region", "aria-label": caption, tabindex: 0 },
    el("table", {}, titled,
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col", class: head.number ? "number" : null }, head.text)))),
      body));
  const shown = new Map();

  function rows(list) {
    const hadFocus = region.contains(document.activeElement);
    showRows(list);
    // The row that had it is gone: whoever goes on by keyboard goes on in the table.
    if (hadFocus && !region.contains(document.activeElement)) region.focus({ preventScroll: true });
  }

  function showRows(list) {
    const kept = new Set(list.map(({ key }) => key));
    for (const [key, tr] of shown) {
      if (!kept.has(key)) {
        tr.remove();
        shown.delete(key);
      }
    }
    if (!list.length) {
      fill(body, noneOf(none));
      return;
    }
    body.querySelector(":scope > tr.none")?.remove();
    list.forEach(({ key, cells, loud = false, soft = false }, index) => {
      let tr = shown.get(key);
      const made = cells.map((cell, column) => (cell instanceof Node && cell === tr?.children[column].firstChild ? tr.children[column]
        : el(column === 0 ? "th" : "td", { scope: column === 0 ? "row" : null, class: heads[column].number ? "number" : null,
          "data-label": heads[column].text }, labelled(cell))));
      if (!tr) {
        tr = el("tr", {}, made);
        shown.set(key, tr);
      } else {
        fillCells(tr, made);
      }
      tr.className = loud ? "loud" : soft ? "soft" : "";
      if (body.children[index] !== tr) body.insertBefore(tr, body.children[index] ?? null);
    });
  }

  function name(text) {
    put(titled, text);
    region.setAttribute("aria-label", text);
  }

  return { region, rows, name };
}

// As one element, so that on a phone it stands beside the name of its column; nothing for what says nothing.
const labelled = (cell) => (cell instanceof Node || cell === "" ? cell : el("span", {}, cell));

function fillCells(tr, made) {
  made.forEach((cell, column) => {
    const there = tr.children[column];
    if (!there.isEqualNode(cell)) there.replaceWith(cell);
  });
}

// A name and what it is: `[["Unfinished", "12"], …]`; a value may be an element.
export const facts = (pairs) => el("dl", {}, pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));

// A status or a state in words that also has a colour and a sign.
export const badge = (state) => el("span", { class: `badge ${String(state).toLowerCase().replace(/[^a-z_]/g, "")}` }, state);

// A time as the reader's clock shows it, with date and zone where it is not of today; the title has it as the ledger does.
export function time(iso) {
  if (!iso) return NOTHING;
  return el("time", { datetime: iso, title: iso }, shortTimeOf(iso));
}
