// Elements without a framework. Text is only ever set as text.

export const $ = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") made.className = value;
    else if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

// Make `parent` hold exactly these children in this order, moving as little as possible: focus and scrolling survive.
export function reconcile(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}

// Children by key, built anew only where their signature differs.
export class Keyed {
  #kept = new Map();

  draw(parent, items, build) {
    const now = new Map();
    for (const { key, signature, value } of items) {
      const kept = this.#kept.get(key);
      now.set(key, kept?.signature === signature ? kept : { signature, node: build(value) });
    }
    this.#kept = now;
    reconcile(parent, [...now.values()].map((kept) => kept.node));
  }
}

export function avatar(name, id, size = "") {
  const words = name.trim().split(/\s+/);
  const letters = (words.length > 1 ? [words[0], words.at(-1)] : [words[0]]).map((word) => [...word][0] ?? "").join("");
  return element("span", { class: `avatar ${size} tone-${toneOf(id)}`, "aria-hidden": "true", text: letters.toUpperCase() });
}

function toneOf(id) {
  let sum = 0;
  for (const letter of id) sum = (sum * 31 + letter.codePointAt(0)) % 997;
  return sum % 8;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const longDay = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const DAY_MS = 24 * 3600 * 1000;

export const timeOfDay = (at) => clock.format(new Date(at));
export const dayOf = (at) => longDay.format(new Date(at));
export const exactly = (at) => full.format(new Date(at));

// As short as it is clear: 14:05 today, Tue this week, 3 Jan before.
export function shortly(at) {
  const moment = new Date(at);
  const now = new Date();
  if (moment.toDateString() === now.toDateString()) return clock.format(moment);
  return now - moment < 6 * DAY_MS ? weekday.format(moment) : date.format(moment);
}

export function toast(text) {
  const shown = element("p", { class: "toast", text });
  $("toasts").append(shown);
  setTimeout(() => shown.remove(), 6000);
}
