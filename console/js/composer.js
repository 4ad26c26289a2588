// The reply box: drafts, replies and notes on their way, and what to do when one is refused.

import { command, newKey } from "./api.js";
import { $, toast } from "./dom.js";
import { silence } from "./player.js";
import { changed, eventsOf, state } from "./state.js";
import { scrollToEnd } from "./thread.js";
import { drawTray, isRecording, listenToTray } from "./tray.js";
import { filesOf, giveBackFiles, ready, take } from "./uploads.js";

const STREAM_MS = 1500;

const WAYS_OUT = {
  BOT_ACTIVE: {
    text: "The chatbot is answering this customer. Disable it to answer yourself.",
    act: "Disable chatbot and send",
    fields: { disable_bot: true },
  },
  STALE_VIEW: {
    text: "A colleague answered meanwhile; their message is above. Send yours as well?",
    act: "Send anyway",
    fields: { force: true },
  },
};

let shown = null; // the conversation whose draft is in the box
let refused = null; // {id, code}

export function drawComposer() {
  const conversation = state.conversations.get(state.selected);
  drawTray(Boolean(conversation) && mode() === "reply" && !locked(conversation));
  if (!conversation) {
    shown = null;
    return;
  }
  if (shown !== conversation.id) takeDraft(conversation.id);
  const note = mode() === "note";
  $("composer").classList.toggle("for-note", note);
  $("mode-reply").setAttribute("aria-selected", String(!note));
  $("mode-note").setAttribute("aria-selected", String(note));
  $("text-label").textContent = note ? "Note for the team" : "Reply to the customer";
  $("text").placeholder = placeholder(conversation, note);
  $("text").readOnly = locked(conversation); // not disabled: who is typing keeps the focus, and what they typed
  $("send").textContent = note ? "Add note" : "Send";
  $("send").disabled = locked(conversation) || isRecording() || !sendable(conversation.id, note);
  $("composer-hint").textContent = hint(conversation, note);
  const way = refused?.id === conversation.id ? WAYS_OUT[refused.code] : null;
  $("refusal").hidden = !way;
  if (way) {
    $("refusal-text").textContent = way.text;
    $("refusal-act").textContent = way.act;
  }
}

// While the chatbot answers, the customer hears nobody else; notes are for the team and go on.
function locked(conversation) {
  return mode() === "reply" && conversation.bot.enabled;
}

// Something to say, and no file that isn't ready.
function sendable(id, note) {
  const files = note ? [] : filesOf(id);
  return files.every(ready) && (files.length > 0 || $("text").value.trim() !== "");
}

function placeholder(conversation, note) {
  if (note) return "Write a note: only the team sees it";
  return locked(conversation) ? "Disable the chatbot to write a reply" : "Write a reply";
}

function hint(conversation, note) {
  if (note) return "";
  if (locked(conversation)) return "The chatbot is answering. Disable it (upper right) to reply yourself.";
  const waiting = filesOf(conversation.id).filter((file) => !ready(file));
  if (waiting.some((file) => file.state === "rejected")) return "Remove what was refused, then send.";
  if (waiting.length) return "It can be sent when its files are ready.";
  if (conversation.status === "closed") return "Your reply reopens the conversation.";
  return conversation.assignee === null ? "Your reply assigns the conversation to you." : "";
}

export function setMode(next) {
  state.drafts.set(state.selected, { text: $("text").value, mode: next });
  changed();
  $("text").focus();
}

function mode() {
  return state.drafts.get(state.selected)?.mode ?? "reply";
}

function takeDraft(id) {
  shown = id;
  $("text").value = state.drafts.get(id)?.text ?? "";
  grow();
}

function keepDraft() {
  state.drafts.set(state.selected, { text: $("text").value, mode: mode() });
}

function grow() {
  const text = $("text");
  text.style.height = "auto";
  text.style.height = `${Math.min(text.scrollHeight + 2, 240)}px`;
}

function write(value) {
  $("text").value = value;
  keepDraft();
  grow();
  changed();
}

async function submit(fields = {}) {
  const id = state.selected;
  const text = $("text").value;
  const note = mode() === "note";
  if (!id || isRecording() || !sendable(id, note)) return;
  if (locked(state.conversations.get(id)) && !fields.disable_bot) return;
  const seen = eventsOf(id).at(-1)?.seq;
  refused = null;
  const files = note ? [] : take(id);
  silence();
  write("");
  const attachments = files.map((file) => ({ media_id: file.media }));
  const said = { ...(text.trim() === "" ? {} : { text }), ...(files.length ? { attachments } : {}) };
  const body = note ? { text } : { ...said, last_seen_seq: seen, ...fields };
  await deliver(id, { key: newKey(), text, note, files, body });
}

async function deliver(id, message) {
  state.sending.set(id, [...(state.sending.get(id) ?? []), message]);
  scrollToEnd();
  await attempt(id, message);
}

// One key for all attempts: however often it is tried, the customer sees it once.
async function attempt(id, message) {
  message.fault = null;
  changed();
  try {
    const made = await command(`/v1/conversations/${id}/${message.note ? "notes" : "messages"}`, message.body, message.key);
    message.made = made.id;
    settled(id);
    setTimeout(() => missed(id, message), STREAM_MS);
  } catch (problem) {
    if (problem.unknown) {
      message.fault = `Not known whether it was sent. ${problem.message}`;
      message.again = () => attempt(id, message);
    } else {
      state.sending.set(id, state.sending.get(id).filter((one) => one !== message));
      giveBack(id, message, problem);
    }
    changed();
  }
}

// Sent, and the stream has not shown it: then the thread is read.
function missed(id, message) {
  if (state.sending.get(id)?.includes(message)) $("composer").dispatchEvent(new CustomEvent("missed", { detail: id }));
}

// A message that is in the thread is not on its way any more; told by its answer or by the stream, whichever is first.
export function settled(id) {
  const thread = new Set(eventsOf(id).map((event) => event.data?.message?.id));
  const waiting = state.sending.get(id) ?? [];
  state.sending.set(id, waiting.filter((message) => !message.made || !thread.has(message.made)));
  changed();
}

// Nothing an agent wrote or recorded is lost: it comes back into the box, before what was written since.
function giveBack(id, message, problem) {
  giveBackFiles(id, message.files);
  const draft = state.drafts.get(id) ?? { text: "", mode: "reply" };
  const text = [message.text, draft.text].filter(Boolean).join("\n");
  state.drafts.set(id, { text, mode: message.note ? "note" : "reply" });
  if (shown === id) takeDraft(id);
  if (WAYS_OUT[problem.code]) refused = { id, code: problem.code };
  else toast(problem.message);
  if (shown === id) $("text").focus();
}

export function listenToComposer() {
  listenToTray();
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  $("text").addEventListener("input", () => {
    keepDraft();
    grow();
    changed();
  });
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
  });
  $("mode-reply").addEventListener("click", () => setMode("reply"));
  $("mode-note").addEventListener("click", () => setMode("note"));
  $("refusal-act").addEventListener("click", () => submit(WAYS_OUT[refused.code].fields));
  $("refusal-dismiss").addEventListener("click", () => {
    refused = null;
    changed();
    $("text").focus();
  });
}
