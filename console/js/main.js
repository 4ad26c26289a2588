// Puts the console together: sign in, panes, keys, the stream.

import { CLOSE, RelaydeskStream } from "../clients/relaydesk-stream.js";
import { Problem, command, post } from "./api.js";
import { drawComposer, listenToComposer, setMode } from "./composer.js";
import { drawDetails } from "./details.js";
import { $, toast } from "./dom.js";
import { drawInbox, drawMe, listed } from "./inbox.js";
import { complain, countersSoon, markRead, reload, takeEvent } from "./loading.js";
import { loadConversation, loadList, loadMore, loadPeople, loadThread } from "./loading.js";
import { assignmentSeen } from "./model.js";
import { signIn, signInFromAddress, signOut, token } from "./session.js";
import { changed, eventsOf, onChange, state } from "./state.js";
import { drawThread, scrollToEnd } from "./thread.js";
import { startRecording } from "./tray.js";

const VIEWS = ["all", "mine", "unassigned"];
const READ_MS = 400;
const STOPPED = {
  [CLOSE.FORBIDDEN]: "You are not allowed in here any more.",
  [CLOSE.PROTOCOL]: "This page and the server do not understand each other. Load it anew.",
};

let stream = null;
let reading = null;

function showSignIn(why) {
  stream?.stop();
  signOut();
  $("app").hidden = true;
  $("sign-in").hidden = false;
  if (why) $("sign-in-why").textContent = why;
  $("sign-in-token").focus();
}

async function begin() {
  $("sign-in").hidden = true;
  try {
    const [cursor] = await Promise.all([loadList(), loadPeople()]);
    drawMe();
    $("app").hidden = false;
    listenToStream(cursor);
    countersSoon();
    await openFromAddress();
    changed();
  } catch (problem) {
    if (problem.status === 401 || problem.status === 403) showSignIn(problem.message);
    else retryBegin(problem);
  }
}

function retryBegin(problem) {
  toast(`${problem.message} Trying again …`);
  setTimeout(begin, 3000);
}

async function readAnew() {
  try {
    return await reload();
  } catch (problem) {
    complain(problem);
    throw problem; // asked again
  }
}

function listenToStream(cursor) {
  stream = new RelaydeskStream({
    ticket: () => post("/v1/stream/ticket"),
    cursor,
    onEvent: takeEvent,
    onSnapshotRequired: readAnew,
    onState: (live, { code, error }) => {
      state.live = live;
      changed();
      if (error && !(error instanceof Problem)) throw error; // a fault of ours: into the browser's log
      if (live === "stopped" && (code || error)) showSignIn(error?.message ?? STOPPED[code]);
    },
  }).start();
}

async function open(id) {
  if (state.selected === id) return;
  state.selected = id;
  history.replaceState(null, "", id ? `#/${id}` : location.pathname);
  changed();
  if (!id) return;
  try {
    if (!state.conversations.has(id)) await loadConversation(id);
    await loadThread(id);
    scrollToEnd();
  } catch (problem) {
    if (problem.status === 404) state.selected = null;
    complain(problem);
    changed();
  }
}

async function openFromAddress() {
  const id = location.hash.match(/^#\/([0-9a-f-]{36})$/)?.[1];
  if (id) await open(id);
}

async function setView(view, status = state.status) {
  Object.assign(state, { view, status, floor: "", next: null });
  changed();
  await loadList().catch(complain);
}

// A command on the open conversation; its answer is the state after it, the stream brings the rest.
async function act(path, body) {
  const id = state.selected;
  try {
    const after = await command(`/v1/conversations/${id}/${path}`, body);
    const known = state.conversations.get(id);
    if (known && after.seq >= known.seq) state.conversations.set(id, after);
  } catch (problem) {
    complain(problem);
    await loadConversation(id).catch(complain);
  }
  changed();
}

function assign(assignee) {
  $("assignee").blur();
  const seen = assignmentSeen(eventsOf(state.selected));
  return act("assignment", { assignee: assignee || null, ...(seen ? { expected_version: seen } : {}) });
}

// Looked at for a moment by somebody who is there: read.
function readSoon() {
  const conversation = state.conversations.get(state.selected);
  if (!conversation?.unread || document.visibilityState !== "visible" || !document.hasFocus()) return;
  reading ??= setTimeout(() => {
    reading = null;
    if (state.selected) markRead(state.selected);
  }, READ_MS);
}

function move(step) {
  const ids = listed().map((one) => one.id);
  const at = ids.indexOf(state.selected);
  const next = ids[at === -1 ? 0 : Math.min(ids.length - 1, Math.max(0, at + step))];
  if (!next) return;
  open(next);
  setTimeout(() => $(`row-${next}`)?.scrollIntoView({ block: "nearest" }), 20);
}

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  r: () => state.selected && setMode("reply"),
  n: () => state.selected && setMode("note"),
  v: () => startRecording(),
  a: () => state.selected && $("assignee").focus(),
  1: () => setView("all"),
  2: () => setView("mine"),
  3: () => setView("unassigned"),
  "?": () => $("keys").showModal(),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open || $("picture").open || $("app").hidden) return;
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "Escape" && typing) {
    typing.blur();
    $("list").focus();
  } else if (!typing && KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  }
}

function onListKey(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    event.preventDefault();
    move(step);
  } else if (event.key === "Enter" && state.selected) {
    event.preventDefault();
    setMode("reply");
  }
}

function onViewsKey(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const view = VIEWS[(VIEWS.indexOf(state.view) + step + VIEWS.length) % VIEWS.length];
  setView(view);
  setTimeout(() => $("views").querySelector(`[data-view="${view}"]`)?.focus(), 20);
}

function listen() {
  document.addEventListener("keydown", onKey);
  $("list").addEventListener("keydown", onListKey);
  $("list").addEventListener("click", (event) => {
    const row = event.target.closest("[data-id]");
    if (row) open(row.dataset.id);
  });
  $("views").addEventListener("keydown", onViewsKey);
  $("views").addEventListener("click", (event) => {
    const tab = event.target.closest("[data-view]");
    if (tab) setView(tab.dataset.view);
  });
  $("status-filter").addEventListener("change", (event) => setView(state.view, event.target.value));
  $("more").addEventListener("click", () => loadMore().catch(complain));
  $("older").addEventListener("click", () => {
    loadThread(state.selected, state.oldest.get(state.selected)).catch(complain);
  });
  $("newest").addEventListener("click", scrollToEnd);
  $("back").addEventListener("click", () => open(null));
  $("composer").addEventListener("missed", ({ detail: id }) => {
    Promise.all([loadThread(id), loadConversation(id)]).catch(complain); // a reply also assigns, reopens, silences
  });
  $("assignee").addEventListener("change", (event) => assign(event.target.value));
  $("close").addEventListener("click", () => {
    act(state.conversations.get(state.selected).status === "open" ? "close" : "reopen", {});
  });
  $("bot").addEventListener("click", () => act("bot", { enabled: !state.conversations.get(state.selected).bot.enabled }));
  $("show-keys").addEventListener("click", () => $("keys").showModal());
  $("sign-out").addEventListener("click", () => {
    signOut();
    location.reload();
  });
  $("sign-in-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (signIn($("sign-in-token").value)) begin();
    else $("sign-in-why").textContent = "That is no sign-in link and no token.";
  });
  addEventListener("focus", readSoon);
  document.addEventListener("visibilitychange", readSoon);
  addEventListener("hashchange", () => {
    const before = token();
    signInFromAddress();
    if (token() !== before) location.reload();
    else openFromAddress();
  });
  setInterval(changed, 60_000); // times of day move on
  listenToComposer();
}

function draw() {
  if ($("app").hidden || !state.me) return;
  drawInbox();
  drawThread();
  drawComposer();
  drawDetails();
  readSoon();
}

onChange(draw);
listen();
signInFromAddress();
if (token()) begin();
else showSignIn();
