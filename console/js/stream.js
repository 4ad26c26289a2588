// The live stream: connect with a ticket, resume with the last cursor, wait longer after each failure.

import { Problem, post } from "./api.js";

const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 15_000;
const SILENCE = 2.5; // heartbeats missed before the connection counts as dead
const FORBIDDEN = 4003;

export class Stream {
  #cursor = null;
  #socket = null;
  #failures = 0;
  #silence = null;
  #retry = null;
  #handlers;
  #stopped = false;

  // handlers: event(event), snapshot() -> Promise, state("connecting" | "live" | "lost"), refused(problem)
  constructor(handlers) {
    this.#handlers = handlers;
    addEventListener("online", () => this.#soon(0));
  }

  // Everything after this cursor, or from now on without one.
  start(cursor) {
    this.#cursor = cursor;
    this.#connect();
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    this.#socket?.close();
  }

  async #connect() {
    clearTimeout(this.#retry);
    if (this.#stopped || this.#socket) return;
    this.#handlers.state("connecting");
    const socket = (this.#socket = {}); // a place taken, while the ticket is on its way
    try {
      const { ticket, url } = await post("/v1/stream/ticket");
      if (!this.#stopped) this.#open(url, ticket);
    } catch (problem) {
      if (this.#socket === socket) this.#socket = null;
      this.#failed(problem);
    }
  }

  #open(url, ticket) {
    const address = new URL(url);
    address.searchParams.set("ticket", ticket);
    if (this.#cursor) address.searchParams.set("cursor", this.#cursor);
    const socket = new WebSocket(address);
    this.#socket = socket;
    this.#expect(20);
    socket.addEventListener("message", ({ data }) => this.#frame(JSON.parse(data)));
    socket.addEventListener("close", ({ code }) => this.#closed(socket, code));
  }

  #frame(frame) {
    if (frame.type === "welcome") {
      this.#failures = 0;
      this.heartbeat = frame.heartbeat_s;
      this.#handlers.state("live");
    }
    this.#expect(this.heartbeat ?? 30);
    if (frame.cursor) this.#cursor = frame.cursor;
    if (frame.type === "event") this.#handlers.event(frame.event);
    else if (frame.type === "snapshot_required") this.#handlers.snapshot();
  }

  #expect(heartbeat_s) {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#drop(), heartbeat_s * SILENCE * 1000);
  }

  #drop() {
    const socket = this.#socket;
    socket?.close?.();
    this.#closed(socket, 0);
  }

  #closed(socket, code) {
    if (this.#socket !== socket) return;
    this.#socket = null;
    clearTimeout(this.#silence);
    if (code === FORBIDDEN) this.#handlers.refused(new Problem(403, { detail: "You are not allowed in here any more." }));
    else this.#failed();
  }

  #failed(problem) {
    if (problem && (problem.status === 401 || problem.status === 403)) {
      this.#handlers.refused(problem);
      return;
    }
    this.#handlers.state("lost");
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#soon(longest * (0.5 + Math.random() / 2));
  }

  #soon(milliseconds) {
    clearTimeout(this.#retry);
    if (!this.#stopped && !this.#socket) this.#retry = setTimeout(() => this.#connect(), milliseconds);
  }
}
