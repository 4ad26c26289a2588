// The middle pane above the composer: who it is with, whose it is, and what was said.

import { attachment } from "./attachments.js";
import { $, Keyed, dayOf, element, exactly, timeOfDay } from "./dom.js";
import { linesOf, nameOf } from "./model.js";
import { eventsOf, memberName, state } from "./state.js";

const STATUS = {
  queued: ["○", "On its way"],
  sent: ["✓", "Sent"],
  delivered: ["✓✓", "Delivered"],
  read: ["✓✓", "Read"],
  played: ["✓✓", "Played"],
  failed: ["!", "Not delivered"],
  unknown: ["?", "Unknown whether it arrived"],
};
const REASONS = {
  BOT_SILENCED: "a person had taken over",
  CHANNEL_GONE: "the channel no longer exists",
  ADAPTER_REFUSED: "the channel refused it",
  DELIVERY_EXPIRED: "not within a day",
  RESULT_UNKNOWN: "the hand-over was interrupted",
};
const NEAR_END = 120;

const lines = new Keyed();
let shown = null; // the conversation whose thread is on the page
let newestShown = 0;

export function drawThread() {
  const conversation = state.conversations.get(state.selected);
  $("opened").hidden = !conversation;
  $("nothing").hidden = Boolean(conversation);
  document.body.classList.toggle("has-opened", Boolean(conversation));
  if (!conversation) {
    clear();
    return;
  }
  drawBar(conversation);
  drawLines(conversation);
}

// Of nobody: also what is hidden says nothing of whom it showed last.
function clear() {
  shown = null;
  $("contact-name").textContent = "";
  lines.draw($("thread"), []);
}

function drawBar(conversation) {
  $("contact-name").textContent = nameOf(conversation.contact);
  drawAssignee(conversation);
  const { bot } = conversation;
  $("bot").hidden = !bot.configured && !bot.enabled;
  $("bot").textContent = bot.enabled ? "Disable chatbot" : "Enable chatbot";
  $("bot").classList.toggle("on", bot.enabled);
  $("close").textContent = conversation.status === "open" ? "Close" : "Reopen";
  $("needs-human").hidden = !conversation.needs_human;
}

function drawAssignee(conversation) {
  const select = $("assignee");
  const as = `${conversation.id} ${conversation.assignee}`;
  if (document.activeElement === select && select.dataset.as === as) return; // open under somebody's hand
  const people = [...state.members.values()].filter((member) => member.active || member.id === conversation.assignee);
  people.sort((a, b) => (a.id === state.me.id ? -1 : b.id === state.me.id ? 1 : a.name.localeCompare(b.name)));
  const options = people.map((member) =>
    element("option", { value: member.id, text: member.id === state.me.id ? `${member.name} (me)` : member.name }),
  );
  select.replaceChildren(element("option", { value: "", text: "Nobody" }), ...options);
  if (conversation.assignee && !state.members.has(conversation.assignee)) {
    select.append(element("option", { value: conversation.assignee, text: conversation.assignee }));
  }
  select.value = conversation.assignee ?? "";
  select.dataset.as = as;
}

function drawLines(conversation) {
  const scroll = $("scroll");
  const another = shown !== conversation.id;
  const atEnd = another || scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_END;
  const before = scroll.scrollHeight - scroll.scrollTop;
  const items = [...dated(linesOf(eventsOf(conversation.id), state.arrived)), ...waiting(conversation.id)];
  lines.draw($("thread"), items, (value) => value());
  $("older").hidden = (state.oldest.get(conversation.id) ?? 1) <= 1;
  const newest = eventsOf(conversation.id).at(-1)?.seq ?? 0;
  if (atEnd) scroll.scrollTop = scroll.scrollHeight;
  else if (newest === newestShown) scroll.scrollTop = scroll.scrollHeight - before; // earlier messages came in above
  $("newest").hidden = atEnd || newest === newestShown;
  if (atEnd) newestShown = newest;
  shown = conversation.id;
}

export function scrollToEnd() {
  const scroll = $("scroll");
  scroll.scrollTop = scroll.scrollHeight;
  $("newest").hidden = true;
  newestShown = eventsOf(state.selected).at(-1)?.seq ?? 0;
}

function* dated(found) {
  let day = "";
  let author = "";
  for (const line of found) {
    if (dayOf(line.at) !== day) {
      day = dayOf(line.at);
      author = "";
      const text = day;
      yield { key: `day-${day}`, signature: day, value: () => element("li", { class: "day", text }) };
    }
    const by = line.message ? `${line.kind} ${line.message.author.kind} ${line.message.author.id}` : "";
    const first = by !== author;
    author = by;
    const names = line.message ? "" : describe(line);
    yield {
      key: line.seq,
      signature: JSON.stringify([line, first, names]),
      value: () => (line.message ? message(line, first) : happened(line, names)),
    };
  }
}

function waiting(conversation) {
  return (state.sending.get(conversation) ?? []).map((one) => ({
    key: one.key,
    signature: JSON.stringify([one.text, one.note, one.fault, one.files.length]),
    value: () =>
      element(
        "li",
        { class: `line ours ${one.note ? "note" : ""} ${one.fault ? "failed" : "waiting"}` },
        element(
          "div",
          { class: "bubble", text: one.text, dir: "auto" },
          ...one.files.map((file) => element("p", { class: "file", text: file.name ?? "Voice message" })),
        ),
        element("p", { class: "meta" }, one.fault ?? "Sending …", one.fault && again(one)),
      ),
  }));
}

function again(one) {
  return element("button", { type: "button", text: "Try again", onclick: one.again });
}

function message(line, first) {
  const { message: said } = line;
  const side = said.author.kind === "contact" ? "theirs" : "ours";
  const note = line.kind === "note.added";
  const text = line.deleted ? "This message was deleted." : (said.text ?? "");
  const files = (said.attachments ?? []).map((file) => attachment(said.id, file));
  const classes = ["line", side, note && "note", said.author.kind, line.deleted && "deleted", said.status];
  return element(
    "li",
    { class: classes.filter(Boolean).join(" ") },
    first && element("p", { class: "author", text: authorOf(said, note), dir: "auto" }),
    element("div", { class: "bubble", dir: "auto", text }, ...files),
    element("p", { class: "meta" }, ...meta(line)),
  );
}

function authorOf(said, note) {
  const { kind, id, name } = said.author;
  if (kind === "contact") return name ?? "Customer";
  const shown = kind === "bot" ? "Chatbot" : id === state.me.id ? "You" : (name ?? "Somebody");
  return note ? `${shown} · note, only for the team` : shown;
}

function meta(line) {
  const parts = [element("time", { text: timeOfDay(line.at), datetime: line.at, title: exactly(line.at) })];
  if (line.edited) parts.push(" · edited");
  const status = STATUS[line.message.status];
  if (status) {
    const [sign, label] = status;
    const why = line.error ? `: ${REASONS[line.error] ?? line.error}` : "";
    const text = ["failed", "unknown"].includes(line.message.status) ? label + why : sign;
    parts.push(" · ", element("span", { class: "status", text, title: label, "aria-label": label }));
  }
  return parts;
}

function happened(line, text) {
  return element("li", { class: "happened", title: exactly(line.at), text });
}

function describe(line) {
  const { data } = line;
  const by = line.actor?.startsWith("agent:") ? memberName(line.actor.slice(6)) : null;
  switch (line.kind) {
    case "contact.erased":
      return "The contact was erased; what was said before is gone";
    case "conversation.opened":
      return "The conversation began";
    case "contact.updated":
      return by ? `${by} changed the contact's details` : "The contact's details changed";
    case "conversation.closed":
      return by ? `${by} closed the conversation` : "The conversation was closed";
    case "conversation.reopened":
      return by ? `${by} reopened the conversation` : "The customer wrote again: reopened";
    case "conversation.assigned":
      return assignment(data, by);
    case "bot.disabled":
      return data.reason === "handoff" ? "The chatbot handed over to a person" : `${by ?? "Somebody"} disabled the chatbot`;
    case "bot.enabled":
      return `${by ?? "Somebody"} enabled the chatbot`;
    case "bot.failed":
      return "The chatbot could not answer";
    case "bot.reply_dropped":
      return "A late answer of the chatbot was dropped";
    default:
      return line.kind;
  }
}

function assignment(data, by) {
  if (data.reason === "first_reply") return `${memberName(data.assignee)} took the conversation by answering`;
  if (data.assignee === null) return `${by ?? "Somebody"} took it off ${memberName(data.previous)}`;
  const to = memberName(data.assignee);
  return by === to ? `${to} took the conversation` : `${by ?? "The system"} assigned it to ${to}`;
}
