// The right pane: who the customer is.

import { $, avatar, element, exactly } from "./dom.js";
import { nameOf } from "./model.js";
import { memberName, state } from "./state.js";

let drawn = "";

export function drawDetails() {
  const conversation = state.conversations.get(state.selected);
  $("details").hidden = !conversation;
  if (!conversation) return;
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
  const signature = JSON.stringify([nameOf(contact), facts]);
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
  );
}

function fact([label, value]) {
  return element("div", {}, element("dt", { text: label }), element("dd", { text: value, dir: "auto" }));
}
