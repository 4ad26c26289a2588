// The right pane: who the customer is.

import { command, get, newKey } from "./api.js";
import { $, avatar, element, exactly, toast } from "./dom.js";
import { nameOf } from "./model.js";
import { memberName, state } from "./state.js";

const WRITERS = ["owner", "manager"];

let drawn = "";

export function drawDetails() {
  const conversation = state.conversations.get(state.selected);
  $("details").hidden = !conversation;
  if (!conversation) {
    drawn = "";
    $("details").replaceChildren();
    return;
  }
  const { contact } = conversation;
  const channel = state.channels.get(conversation.channel_id);
  const facts = [
    ["Email", contact.email],
    ["Country", contact.country],
    ["First name", contact.first_name],
    ["Last name", contact.last_name],
    ["Channel", channel?.name || conversation.channel_id],
    ["Known there as", contact.external_id],
    ["Status", conversation.status === "open" ? "Open" : "Closed"],
    ["Assigned to", conversation.assignee === null ? "Nobody" : memberName(conversation.assignee)],
    ["Chatbot", conversation.bot.configured ? (conversation.bot.enabled ? "Answers" : "Silent") : "None"],
    ["Last activity", exactly(conversation.updated_at)],
    ["Contact ID", contact.id],
  ].filter(([, value]) => value);
  const signature = JSON.stringify([nameOf(contact), facts, state.me?.role]);
  if (signature === drawn) return;
  drawn = signature;
  $("details").replaceChildren(
    element(
      "div",
      { class: "details-head" },
      avatar(nameOf(contact), contact.id, "large"),
      element("h2", { text: nameOf(contact), dir: "auto" }),
    ),
    element("dl", { class: "facts" }, ...facts.map(fact)),
    ...(WRITERS.includes(state.me?.role) ? [privacy(contact)] : []),
  );
}

function fact([label, value]) {
  return element("div", {}, element("dt", { text: label }), element("dd", { text: value, dir: "auto" }));
}

// What the law gives the customer a right to; the server decides who may.
function privacy(contact) {
  return element(
    "div",
    { class: "privacy" },
    element("button", { type: "button", text: "Export", title: "All that is kept about this contact, as a file", onclick: () => exported(contact) }),
    element("button", { type: "button", text: "Erase…", title: "Delete this contact, their messages and files", onclick: () => erased(contact) }),
  );
}

async function exported(contact) {
  try {
    const document = await get(`/v1/contacts/${contact.id}/export`);
    const url = URL.createObjectURL(new Blob([JSON.stringify(document, null, 1)], { type: "application/json" }));
    element("a", { href: url, download: `contact-${contact.id}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (problem) {
    toast(problem.message);
  }
}

// The stream says when it is done: this page and all others forget the contact then.
async function erased(contact) {
  const question = `Erase ${nameOf(contact)} for good? All messages, notes and files go. This cannot be undone.`;
  if (!confirm(question)) return;
  try {
    await command(`/v1/contacts/${contact.id}`, undefined, newKey(), "DELETE");
  } catch (problem) {
    toast(problem.message);
  }
}
