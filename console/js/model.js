// What events make of conversations and threads. Pure: takes values, answers values, touches no page and no network.

export function kindOf(event) {
  return event.type.replace(/^relaydesk\./, "").replace(/\.v\d+$/, "");
}

// The conversation after its next event; null where that cannot be told from here and it must be fetched.
export function evolved(conversation, event) {
  if (event.seq <= conversation.seq) return conversation;
  if (event.seq !== conversation.seq + 1) return null;
  const kind = kindOf(event);
  const after = { ...conversation, seq: event.seq };
  if (kind !== "message.status_changed" && event.time > after.updated_at) after.updated_at = event.time;
  return (RULES[kind] ?? same)(after, event.data);
}

const same = (conversation) => conversation;

const RULES = {
  "contact.created": (c, data) => ({ ...c, contact: data.contact }),
  "contact.updated": (c, data) => ({ ...c, contact: data.contact }),
  "conversation.closed": (c) => ({ ...c, status: "closed", needs_human: false }),
  "conversation.reopened": (c) => ({ ...c, status: "open" }),
  "conversation.assigned": (c, data) => ({
    ...c,
    assignee: data.assignee,
    needs_human: c.needs_human && data.assignee === null,
  }),
  "bot.enabled": (c, data) => ({ ...c, bot: { ...c.bot, enabled: true, epoch: data.epoch } }),
  "bot.disabled": (c, data) => ({
    ...c,
    bot: { ...c.bot, enabled: false, epoch: data.epoch },
    needs_human: data.reason === "handoff",
  }),
  "bot.failed": (c) => ({ ...c, needs_human: true }),
  "message.received": (c, data) => ({ ...c, last_message: data.message, unread: c.unread + 1 }),
  "message.sent": (c, data) =>
    data.message.author.kind === "agent"
      ? { ...c, last_message: data.message, unread: 0, needs_human: false }
      : { ...c, last_message: data.message },
  "message.status_changed": (c, data) => withLast(c, data, { status: data.status }),
  "message.edited": (c, data) => withLast(c, data, { text: data.text }),
  "message.deleted": (c, data) => withLast(c, data, { text: null, attachments: [] }),
};

function withLast(conversation, data, change) {
  const last = conversation.last_message;
  if (last?.id !== data.message_id) return conversation;
  return { ...conversation, last_message: { ...last, ...change } };
}

// An attachment as it is now: what was heard of it counts where the message is older.
export function current(attachment, arrived) {
  const news = attachment.status === "pending" ? arrived.get(attachment.media_id) : null;
  if (!news) return attachment;
  return news.attachment ?? { ...attachment, status: "rejected" };
}

// Events of a thread in order of seq -> lines to show: messages with what became of them, and what happened between.
export function linesOf(events, arrived = new Map()) {
  const lines = [];
  const messages = new Map();
  for (const event of events) {
    const kind = kindOf(event);
    const { data } = event;
    if (data?.message) {
      const attachments = (data.message.attachments ?? []).map((one) => current(one, arrived));
      const line = { seq: event.seq, at: data.message.accepted_at, kind, message: { ...data.message, attachments } };
      messages.set(data.message.id, line);
      lines.push(line);
    } else if (kind.startsWith("message.")) {
      change(messages.get(data.message_id), kind, data);
    } else if (kind !== "contact.created") {
      lines.push({ seq: event.seq, at: event.time, kind, data, actor: event.actor });
    }
  }
  return lines;
}

function change(line, kind, data) {
  if (!line) return;
  if (kind === "message.status_changed") {
    line.message = { ...line.message, status: data.status };
    line.error = data.error;
  } else if (kind === "message.edited") {
    line.message = { ...line.message, text: data.text };
    line.edited = true;
  } else if (kind === "message.deleted") {
    line.message = { ...line.message, text: null, attachments: [] };
    line.deleted = true;
  }
}

// The seq of the last assignment among events: what `expected_version` asks for.
export function assignmentSeen(events) {
  return events.findLast((event) => kindOf(event) === "conversation.assigned")?.seq;
}

export function inView(conversation, view, status, me) {
  if (status && conversation.status !== status) return false;
  if (view === "mine") return conversation.assignee === me;
  return view === "unassigned" ? conversation.assignee === null : true;
}

export function nameOf(contact) {
  const both = [contact.first_name, contact.last_name].filter(Boolean).join(" ");
  return contact.name || both || contact.email || contact.external_id;
}

const FILE_NAMES = { image: "Picture", voice: "Voice message", audio: "Audio", video: "Video" };

export function previewOf(message) {
  if (!message) return "";
  if (message.text) return message.text;
  const [file] = message.attachments ?? [];
  return file ? (file.filename ?? FILE_NAMES[file.kind] ?? "File") : "Message deleted";
}
