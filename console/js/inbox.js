// The left pane: views with their counters, the list, who is signed in.

import { $, Keyed, avatar, element, exactly, shortly } from "./dom.js";
import { inView, nameOf, previewOf } from "./model.js";
import { memberName, state } from "./state.js";

const VIEWS = [
  ["all", "All", "open"],
  ["mine", "Mine", "mine"],
  ["unassigned", "Unassigned", "unassigned"],
];
const LIVE = { live: "Live", connecting: "Connecting …", waiting: "Offline, trying again …", stopped: "Offline" };
const EMPTY = {
  all: "No conversations. What customers write appears here.",
  mine: "Nothing is assigned to you.",
  unassigned: "Nobody waits for an owner.",
};

const rows = new Keyed();
const tabs = new Keyed();

// What the list shows: known conversations of the view, newest first, down to where the loaded pages end.
export function listed() {
  return [...state.conversations.values()]
    .filter((one) => inView(one, state.view, state.status, state.me.id) && one.updated_at >= state.floor)
    .sort((a, b) => (a.updated_at === b.updated_at ? (a.id < b.id ? 1 : -1) : a.updated_at < b.updated_at ? 1 : -1));
}

export function drawInbox() {
  drawViews();
  const items = listed();
  rows.draw($("list"), items.map(keyed), row);
  const active = $(`row-${state.selected}`);
  if (active) $("list").setAttribute("aria-activedescendant", active.id);
  else $("list").removeAttribute("aria-activedescendant");
  $("list-empty").hidden = items.length > 0;
  $("list-empty").textContent = state.status === "closed" ? "Nothing is closed here." : EMPTY[state.view];
  $("more").hidden = state.next === null;
  $("status-filter").value = state.status;
  $("live").textContent = LIVE[state.live];
  $("live").className = `live is-${state.live}`;
  const unread = state.counters.unread ?? 0;
  document.title = (unread ? `(${unread}) ` : "") + "Relaydesk";
}

export function drawMe() {
  $("me-avatar").replaceWith(Object.assign(avatar(state.me.name, state.me.id), { id: "me-avatar" }));
  $("me-name").textContent = state.me.name;
  $("me-name").title = `${state.me.role} in ${state.me.workspace}`;
}

function drawViews() {
  const items = VIEWS.map(([view, label, counter]) => {
    const value = { view, label, selected: view === state.view, count: state.counters[counter] };
    return { key: view, signature: JSON.stringify(value), value };
  });
  const focused = document.activeElement?.dataset?.view;
  tabs.draw($("views"), items, tab);
  if (focused) $("views").querySelector(`[data-view="${focused}"]`)?.focus();
  const { unread = 0, needs_human: waiting = 0 } = state.counters;
  $("waiting").textContent = [unread && `${unread} unread`, waiting && `${waiting} need a person`].filter(Boolean).join(" · ");
}

function tab({ view, label, selected, count }) {
  return element(
    "button",
    {
      type: "button",
      role: "tab",
      "data-view": view,
      "aria-selected": String(selected),
      "aria-controls": "list",
      tabindex: selected ? 0 : -1,
    },
    label,
    count ? element("span", { class: "count", text: String(count) }) : null,
  );
}

function keyed(conversation) {
  const selected = conversation.id === state.selected;
  const { contact, last_message: last } = conversation;
  const signature = JSON.stringify([
    [selected, nameOf(contact), previewOf(last), last?.author, shortly(conversation.updated_at)],
    [conversation.unread, conversation.status, memberName(conversation.assignee), conversation.needs_human],
    [conversation.bot.enabled, state.channels.get(conversation.channel_id)?.name],
  ]);
  return { key: conversation.id, signature, value: conversation };
}

function row(conversation) {
  const { contact, last_message: last, updated_at: at } = conversation;
  const name = nameOf(contact);
  const selected = conversation.id === state.selected;
  const from = { agent: "You: ", bot: "Bot: " }[last?.author.kind] ?? "";
  const said = last?.author.kind === "agent" && last.author.id !== state.me.id ? `${last.author.name}: ` : from;
  return element(
    "li",
    {
      class: `row ${conversation.unread ? "unread" : ""}`,
      id: `row-${conversation.id}`,
      role: "option",
      "aria-selected": String(selected),
      "data-id": conversation.id,
    },
    avatar(name, contact.id),
    element("span", { class: "row-name", text: name, dir: "auto" }),
    element("time", { class: "row-time", text: shortly(at), datetime: at, title: exactly(at) }),
    element("span", { class: "row-text", text: said + previewOf(last), dir: "auto" }),
    element("span", { class: "row-marks" }, ...marks(conversation)),
  );
}

function marks(conversation) {
  const channel = state.channels.get(conversation.channel_id)?.name;
  return [
    channel && element("span", { class: "mark", text: channel }),
    conversation.needs_human && element("span", { class: "mark alert", text: "Needs a person" }),
    conversation.bot.enabled && element("span", { class: "mark", text: "Chatbot" }),
    conversation.status === "closed" && element("span", { class: "mark", text: "Closed" }),
    element("span", { class: "mark owner", text: conversation.assignee === null ? "Unassigned" : memberName(conversation.assignee) }),
    conversation.unread > 0 &&
      element("span", { class: "badge", text: String(conversation.unread), "aria-label": `${conversation.unread} unread` }),
  ].filter(Boolean);
}
