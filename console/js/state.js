// What the console knows, in one place; panes draw themselves from it when it has changed.

export const state = {
  me: null,
  members: new Map(), // id -> member
  channels: new Map(), // id -> channel
  conversations: new Map(), // id -> conversation
  threads: new Map(), // conversation id -> Map of seq -> event
  oldest: new Map(), // conversation id -> first seq known, 1 = all of it
  counters: {},
  view: "all",
  status: "open",
  floor: "", // nothing older than this is known to be complete in the list
  next: null, // cursor of the following page of the list
  selected: null,
  live: "connecting", // connecting, live, waiting, stopped
  sending: new Map(), // conversation id -> messages on their way
  drafts: new Map(), // conversation id -> {text, mode}
  files: new Map(), // conversation id -> files of the reply that is being written
  arrived: new Map(), // media id -> what became of a customer's file: {attachment} or {code}
};

const listeners = [];
let due = false;

export function onChange(draw) {
  listeners.push(draw);
}

// Say that something changed. Many changes in a burst are drawn once; a hidden tab is kept up to date too.
export function changed() {
  if (due) return;
  due = true;
  setTimeout(() => {
    due = false;
    for (const draw of listeners) draw();
  }, 8);
}

export function memberName(id) {
  if (id === null || id === undefined) return "nobody";
  return state.members.get(id)?.name ?? id;
}

export function eventsOf(conversation) {
  return [...(state.threads.get(conversation)?.values() ?? [])].sort((a, b) => a.seq - b.seq);
}
