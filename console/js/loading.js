// Bringing what the console knows up to date: from the API as a whole, from the stream event by event.

import { Problem, get, post } from "./api.js";
import { settled } from "./composer.js";
import { toast } from "./dom.js";
import { evolved, kindOf } from "./model.js";
import { changed, eventsOf, state } from "./state.js";
import { toldOf } from "./uploads.js";

const PAGE = 50;
const COUNTERS_MS = 250;
const FETCH_MS = 60;

const arriving = new Map(); // conversation id -> for each page of it on its way, what came meanwhile
const heard = new Map(); // conversation id -> the highest seq that the stream told of: what is read must have it
const missing = new Set(); // ids of conversations to be fetched soon
let countersDue = null;
let missingDue = null;

// How far the stream has told of a conversation.
export const heardOf = (id) => heard.get(id) ?? 0;

export async function loadPeople() {
  const [me, members] = await Promise.all([get("/v1/me"), get("/v1/members?limit=200"), loadChannels()]);
  state.me = me;
  state.members = new Map(members.items.map((member) => [member.id, member]));
}

async function loadChannels() {
  const channels = await get("/v1/channels?limit=200");
  for (const channel of channels.items) state.channels.set(channel.id, channel);
}

// A channel that was added meanwhile: asked for once.
function channelSeen(id) {
  if (!id || state.channels.has(id)) return;
  state.channels.set(id, { id, name: "" });
  loadChannels().then(changed, () => state.channels.delete(id));
}

// The first page of the view. -> the stream position that goes with it.
export async function loadList() {
  const asked = [state.view, state.status].join();
  const page = await get(listPath());
  if (asked === [state.view, state.status].join()) {
    takePage(page);
    changed();
  }
  return page.stream_cursor;
}

export async function loadMore() {
  if (!state.next) return;
  takePage(await get(`${listPath()}&after=${encodeURIComponent(state.next)}`));
  changed();
}

function listPath() {
  return `/v1/conversations?view=${state.view}&limit=${PAGE}${state.status ? `&status=${state.status}` : ""}`;
}

function takePage(page) {
  for (const item of page.items) take(item);
  state.next = page.next;
  state.floor = page.next === null ? "" : (page.items.at(-1)?.updated_at ?? "");
}

// What is newer wins, wherever it came from.
function take(conversation) {
  const known = state.conversations.get(conversation.id);
  channelSeen(conversation.channel_id);
  if (!known || conversation.seq >= known.seq) state.conversations.set(conversation.id, conversation);
}

export async function loadConversation(id) {
  take(await get(`/v1/conversations/${encodeURIComponent(id)}?min_seq=${heardOf(id)}`));
  changed();
}

// The newest page of a thread, and pages before it on demand. What the stream brings while the page is on its way is
// kept beside it; what the stream brought before, the page must have (`min_seq`): so nothing falls between the two.
export async function loadThread(id, before = null) {
  const arrived = new Map();
  arriving.set(id, [...(arriving.get(id) ?? []), arrived]);
  const query = `limit=${PAGE}&min_seq=${heardOf(id)}${before ? `&before=${before}` : ""}`;
  try {
    const page = await get(`/v1/conversations/${id}/messages?${query}`);
    joinThread(id, before, page.items, arrived);
  } finally {
    arriving.set(id, arriving.get(id).filter((one) => one !== arrived));
  }
  settled(id);
  changed();
}

function joinThread(id, before, items, arrived) {
  const kept = before || reaches(id, items[0]?.seq) ? state.threads.get(id) : null;
  const thread = kept ?? new Map();
  for (const event of [...items, ...arrived.values()]) thread.set(event.seq, event);
  state.threads.set(id, thread);
  state.oldest.set(id, oldestOf(thread));
}

// The first seq known; 1 where nothing is before it, also because it was erased.
function oldestOf(thread) {
  const first = Math.min(...thread.keys());
  const event = thread.get(first);
  return event && kindOf(event) === "contact.erased" ? 1 : first;
}

// Whether what is known of a thread goes on without a hole in a page that begins at `first`.
function reaches(id, first) {
  const last = eventsOf(id).at(-1)?.seq;
  return last !== undefined && first !== undefined && last >= first - 1;
}

export function countersSoon() {
  if (countersDue) return;
  countersDue = setTimeout(async () => {
    countersDue = null;
    try {
      state.counters = await get("/v1/counters");
      changed();
    } catch {
      // the next event asks again
    }
  }, COUNTERS_MS);
}

// One event of the stream. Repeats and what is known already change nothing.
export function takeEvent(event) {
  const kind = kindOf(event);
  if (kind === "member.updated") {
    state.members.set(event.data.member.id, event.data.member);
    changed();
  } else if (kind === "media.ready" || kind === "media.rejected") {
    takeMedia(event.data);
  } else if (kind === "conversation.read") {
    wanted(event.subject);
    countersSoon();
  } else if (event.seq) {
    takeSequenced(event);
    countersSoon();
  }
}

// Of a customer's file its message may come later than this, or be on its way in an older page.
function takeMedia(data) {
  if (data.message_id) state.arrived.set(data.media_id, { attachment: data.attachment, code: data.code });
  else toldOf(data.media_id);
  changed();
}

function takeSequenced(event) {
  const id = event.subject;
  heard.set(id, Math.max(event.seq, heardOf(id)));
  if (kindOf(event) === "contact.erased") {
    forget(event);
    return;
  }
  const known = state.conversations.get(id);
  const after = known ? evolved(known, event) : null;
  if (after) state.conversations.set(id, after);
  else wanted(id);
  for (const arrived of arriving.get(id) ?? []) arrived.set(event.seq, event);
  const thread = state.threads.get(id);
  if (thread && !thread.has(event.seq)) {
    const last = Math.max(0, ...thread.keys());
    if (event.seq === last + 1) thread.set(event.seq, event);
    else if (event.seq > last) loadThread(id, null, event.seq).catch(complain);
    settled(id);
  }
  changed();
}

// Nothing of an erased contact stays on the page; who writes again is fetched as somebody new.
function forget({ subject: id, seq }) {
  if (state.conversations.get(id)?.seq > seq) return;
  const { conversations, threads, oldest, drafts, files, sending } = state;
  for (const kept of [conversations, threads, oldest, drafts, files, sending]) kept.delete(id);
  missing.delete(id);
  if (state.selected === id) {
    state.selected = null;
    history.replaceState(null, "", location.pathname);
    toast("This contact was erased.");
  }
  changed();
}

// Conversations to fetch: each once, however many of its events come in a burst.
function wanted(id) {
  missing.add(id);
  missingDue ??= setTimeout(async () => {
    missingDue = null;
    const now = [...missing];
    missing.clear();
    for (const conversation of now) await loadConversation(conversation).catch(complainUnlessGone);
  }, FETCH_MS);
}

function complainUnlessGone(problem) {
  if (problem.status !== 404) complain(problem);
}

// After a gap that nobody can fill: everything that is shown is read anew. -> the stream position that goes with it.
export async function reload() {
  state.threads.forEach((_, id) => id !== state.selected && state.threads.delete(id));
  const [cursor] = await Promise.all([loadList(), loadPeople()]);
  if (state.selected) await Promise.all([loadConversation(state.selected), loadThread(state.selected)]);
  countersSoon();
  return cursor;
}

export async function markRead(id) {
  const conversation = state.conversations.get(id);
  const last = eventsOf(id).at(-1)?.seq;
  if (!conversation?.unread || !last) return;
  try {
    take(await post(`/v1/conversations/${id}/read`, { up_to_seq: last }));
    changed();
    countersSoon();
  } catch {
    // it stays unread, and is tried again with the next look
  }
}

export function complain(problem) {
  if (problem instanceof Problem) toast(problem.message);
  else throw problem;
}
