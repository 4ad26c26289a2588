// The HTTP API as the console uses it. Every refusal is a Problem with the server's stable `code`.

import { token } from "./session.js";

const TIMEOUT_MS = 20_000;
const READ_TRIES = 2;
const RETRY_MS = [300, 1000, 2500, 5000];

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.code = body.code ?? "";
    this.body = body;
  }

  // The result is unknown: the same request with the same key is safe, and the only right thing.
  get unknown() {
    return this.status === 0 || this.status === 202 || this.status === 429 || this.status >= 500;
  }
}

export async function call(method, path, body, headers = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: {
        accept: "application/json",
        authorization: `Bearer ${token()}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
      cache: "no-store",
    });
  } catch {
    throw new Problem(0, { detail: "The server cannot be reached." });
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok || answer.status === 202) throw new Problem(answer.status, content);
  return content;
}

// Reading is repeated for a moment: a read model that lags behind the stream has caught up then.
export async function get(path) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await call("GET", path);
    } catch (problem) {
      if (problem.status !== 503 || attempt === READ_TRIES) throw problem;
      await new Promise((wake) => setTimeout(wake, RETRY_MS[attempt]));
    }
  }
}

export const post = (path, body) => call("POST", path, body);

// A command, tried with one key until its outcome is known; gives up after a while with an unknown one.
export async function command(path, body, key = newKey(), method = "POST") {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await call(method, path, body, { "idempotency-key": key });
    } catch (problem) {
      if (!problem.unknown || attempt === RETRY_MS.length) throw problem;
      await new Promise((wake) => setTimeout(wake, RETRY_MS[attempt]));
    }
  }
}

// crypto.randomUUID exists only on https and on this very machine.
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
