/**
 * Relaydesk's live stream, for browsers and for Node 22 or newer: every event of a workspace, each once and in the order
 * of its conversation. It connects with a ticket, resumes where its handlers have got to, notices a dead connection,
 * waits longer after each failure, and leaves out what it has had.
 *
 * One module, no dependency. The protocol: docs/stream.md.
 *
 * @typedef {{type: string, id: string, time: string, subject: string, seq?: number, data: object}} StreamEvent
 *   A CloudEvent. `type` such as `relaydesk.message.received.v1`, `time` RFC 3339, `subject` the conversation or the
 *   resource; `seq` counts 1, 2, 3 … within a conversation, and is missing where none was changed.
 * @typedef {{ticket: string, url: string}} Ticket what `POST /v1/stream/ticket` answers; good for one connection, 30 s
 * @typedef {"connecting" | "live" | "waiting" | "stopped"} StreamState
 * @typedef {{code?: number, error?: unknown, waitMs?: number}} StateDetail
 *   `code`: how the connection was closed (0: it went silent). `error`: what `ticket` or a handler threw.
 *   `waitMs`: milliseconds until the next try.
 *
 * @typedef {object} Options
 * @property {() => Promise<Ticket>} ticket asked before each connection. A rejection whose error has the `status` 401 or
 *   403 stops the stream; any other is tried again, after `error.retryAfter` seconds at least where it has that.
 * @property {string} [cursor] everything after it; without one, what happens from now on
 * @property {(event: StreamEvent, cursor: string) => unknown} onEvent a promise is waited for before the next event. An
 *   event counts as handled when it has returned; where it throws, the same event comes again, after a pause.
 * @property {(gap: {reason: string, cursor: string}) => unknown} onSnapshotRequired events are missing and won't come:
 *   read everything anew from the API, and return the `stream_cursor` that `GET /v1/conversations` gave with it: the
 *   stream goes on from there. Returning nothing: it goes on with what happens from now on. Throwing: asked again.
 * @property {(event: StreamEvent) => unknown} [onEphemeral] typing and presence: may be lost
 * @property {(state: StreamState, detail: StateDetail) => unknown} [onState] what it throws, and without it what a handler
 *   throws, goes to the browser's log
 * @property {number} [firstWaitMs] the longest pause after a first failure; doubled with each further one
 * @property {number} [longestWaitMs] no pause is longer
 * @property {number} [connectMs] so long may a connection take to be welcomed
 * @property {() => number} [random] 0 up to 1
 */

const DEFAULTS = { firstWaitMs: 500, longestWaitMs: 30_000, connectMs: 20_000, random: Math.random };
const SILENT_HEARTBEATS = 2;
const RATE_WAIT_MS = 10_000;
const TYPING_MS = 3_000;
const MOST_WAITING = 10_000;
const MOST_CONVERSATIONS = 50_000;

/** How a connection was closed, by its code; every other one is resumed. */
export const CLOSE = Object.freeze({ SILENT: 0, FORBIDDEN: 4003, PROTOCOL: 4009, RATE: 4029 });
const FINAL = [CLOSE.FORBIDDEN, CLOSE.PROTOCOL];
const REFUSALS = [401, 403];

export class RelaydeskStream {
  #options;
  #cursor;
  #seen = new Seen();
  #line = null;
  #state = "stopped";
  #failures = 0;
  #wake = null;
  #going = 0; // counts starts and stops: what belongs to an earlier one ends by itself
  #running = Promise.resolve();
  #typed = new Map(); // conversation id -> when last said, in milliseconds
  #presence = null;
  #online = () => this.#wake?.();

  /** @param {Options} options */
  constructor(options) {
    this.#options = { ...DEFAULTS, ...options };
    this.#cursor = options.cursor ?? "";
  }

  /** Where the handlers have got to: a new stream that is given it goes on from there. Empty before the first welcome. */
  get cursor() {
    return this.#cursor;
  }

  /** @returns {StreamState} */
  get state() {
    return this.#state;
  }

  start() {
    if (this.#state !== "stopped") return this;
    globalThis.addEventListener?.("online", this.#online);
    this.#failures = 0;
    this.#tell("connecting", {});
    const going = ++this.#going;
    this.#running = this.#running.then(() => this.#run(going)); // a handler of an earlier run may be at work
    return this;
  }

  /** No handler is called any more; the one that runs may finish. */
  stop() {
    this.#end({});
  }

  /** Say that this member writes. Said at most every 3 s for a conversation, and only while live. */
  typing(conversationId) {
    const now = Date.now();
    if (now - (this.#typed.get(conversationId) ?? 0) < TYPING_MS) return;
    if (this.#say({ type: "typing", conversation_id: conversationId })) this.#typed.set(conversationId, now);
  }

  /** @param {"online" | "away"} state kept, and said again after a reconnect */
  presence(state) {
    if (state === this.#presence) return;
    this.#presence = state;
    this.#say({ type: "presence", state });
  }

  async #run(going) {
    while (going === this.#going) {
      const end = await this.#connection(going);
      if (going !== this.#going) return;
      if (end.final) return this.#end(end);
      await this.#pause(end);
      if (going === this.#going) this.#tell("connecting", {});
    }
  }

  // One connection, from its ticket until everything that came with it is handled. -> how it ended
  async #connection(going) {
    let line = null;
    try {
      const { ticket, url } = await this.#options.ticket();
      if (going !== this.#going) return {};
      line = this.#line = new Line(addressOf(url, ticket, this.#cursor), this.#options.connectMs);
      for (let frame; (frame = await line.next()) && going === this.#going; ) await this.#take(frame, line);
      return { code: line.code, final: FINAL.includes(line.code) };
    } catch (error) {
      if (line && !this.#options.onState) complain(error);
      return { error, final: !line && REFUSALS.includes(error?.status) };
    } finally {
      line?.drop();
      if (this.#line === line) this.#line = null;
    }
  }

  async #take(frame, line) {
    if (frame.type === "welcome") return this.#welcomed(frame, line);
    if (frame.type === "ephemeral") return this.#options.onEphemeral?.(frame.event);
    if (frame.type === "snapshot_required") return this.#snapshot(frame, line);
    if (frame.type !== "event" && frame.type !== "heartbeat") return undefined;
    if (frame.type === "event" && !this.#seen.has(frame.event)) {
      await this.#options.onEvent(frame.event, frame.cursor);
      this.#seen.add(frame.event);
    }
    this.#cursor = frame.cursor;
    this.#failures = 0;
    return undefined;
  }

  // Where a gap can't be filled, this frame's cursor lies behind it: it is taken over with `snapshot_required` only, so
  // that a connection which is lost between the two doesn't hide the gap.
  #welcomed(frame, line) {
    line.expect(frame.heartbeat_s * 1000 * SILENT_HEARTBEATS);
    if (frame.recovered || !this.#cursor) this.#cursor = frame.cursor;
    this.#tell("live", {});
    if (this.#presence) this.#say({ type: "presence", state: this.#presence });
  }

  // What was seen counts no more: after a restored backup seqs begin lower.
  async #snapshot({ reason, cursor }, line) {
    const position = await this.#options.onSnapshotRequired({ reason, cursor });
    this.#seen.clear();
    this.#cursor = position || cursor;
    if (position) line.drop();
  }

  #pause({ code, error }) {
    const least = code === CLOSE.RATE ? RATE_WAIT_MS : (error?.retryAfter ?? 0) * 1000;
    const waitMs = least + backoff(this.#failures++, this.#options);
    this.#tell("waiting", { code, error, waitMs });
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake?.(), waitMs);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = null;
        resolve();
      };
    });
  }

  #end({ code, error }) {
    if (this.#state === "stopped") return;
    this.#going += 1;
    globalThis.removeEventListener?.("online", this.#online);
    this.#line?.drop();
    this.#wake?.();
    this.#tell("stopped", { code, error });
  }

  #tell(state, detail) {
    this.#state = state;
    try {
      this.#options.onState?.(state, detail);
    } catch (error) {
      complain(error);
    }
  }

  #say(frame) {
    return this.#state === "live" && Boolean(this.#line?.send(JSON.stringify(frame)));
  }
}

/** A WebSocket as a queue of frames that ends. Too many frames waiting: it ends, and the rest is resumed for later. */
class Line {
  #socket;
  #frames = [];
  #waiting = null;
  #timer = null;
  #silence;
  #open = true;
  code = CLOSE.SILENT;

  /** `silence`: milliseconds without a frame after which the connection counts as dead. */
  constructor(address, silence) {
    this.#socket = new WebSocket(address);
    this.#socket.addEventListener("message", ({ data }) => this.#open && this.#came(data));
    this.#socket.addEventListener("close", ({ code }) => this.#close(code));
    this.expect(silence);
  }

  expect(silence) {
    this.#silence = silence;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#close(CLOSE.SILENT), silence);
  }

  /** The next frame; null when there are no more. Throws where it is no JSON. */
  async next() {
    while (!this.#frames.length && this.#open) await new Promise((resolve) => (this.#waiting = resolve));
    return this.#frames.length ? JSON.parse(this.#frames.shift()) : null;
  }

  send(text) {
    if (!this.#open || this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  /** Ends it, and what is waiting is forgotten. */
  drop() {
    this.#frames = [];
    this.#close(CLOSE.SILENT);
  }

  #came(frame) {
    this.expect(this.#silence);
    this.#frames.push(frame);
    if (this.#frames.length >= MOST_WAITING) this.#close(CLOSE.SILENT);
    this.#waiting?.();
  }

  #close(code) {
    if (!this.#open) return;
    this.#open = false;
    this.code = code;
    clearTimeout(this.#timer);
    this.#socket.close();
    this.#waiting?.();
  }
}

/** The last seq of each conversation, of so many that changed lately. */
export class Seen {
  #last = new Map();
  #most;

  constructor(most = MOST_CONVERSATIONS) {
    this.#most = most;
  }

  /** Whether this event has been handled; false for one without a seq. */
  has({ subject, seq }) {
    return Boolean(seq) && seq <= (this.#last.get(subject) ?? 0);
  }

  add({ subject, seq }) {
    if (!seq) return;
    this.#last.delete(subject);
    this.#last.set(subject, seq);
    if (this.#last.size > this.#most) this.#last.delete(this.#last.keys().next().value);
  }

  clear() {
    this.#last.clear();
  }
}

/** The pause after so many failures: exponential with full jitter, in milliseconds. */
export function backoff(failures, { firstWaitMs, longestWaitMs, random } = DEFAULTS) {
  return random() * Math.min(longestWaitMs, firstWaitMs * 2 ** failures);
}

/**
 * A source of tickets: `ticket: ticketsFrom("https://desk.example", () => token)`.
 * @param {string} api the API's origin; "" where the page comes from the same one
 * @param {() => string | Promise<string>} token asked each time: a token that has ended must not come twice
 * @returns {() => Promise<Ticket>}
 */
export function ticketsFrom(api, token) {
  return async () => {
    const headers = { accept: "application/json", authorization: `Bearer ${await token()}` };
    const signal = AbortSignal.timeout(DEFAULTS.connectMs);
    const answer = await fetch(`${api}/v1/stream/ticket`, { method: "POST", headers, signal, cache: "no-store" });
    if (answer.ok) return answer.json();
    const error = new Error(`no ticket for the stream: the server answered ${answer.status}`);
    throw Object.assign(error, { status: answer.status, retryAfter: Number(answer.headers.get("retry-after")) || 0 });
  };
}

function addressOf(url, ticket, cursor) {
  const address = new URL(url);
  address.searchParams.set("ticket", ticket);
  if (cursor) address.searchParams.set("cursor", cursor);
  return address;
}

function complain(error) {
  if (globalThis.reportError) globalThis.reportError(error);
  else console.error(error);
}
