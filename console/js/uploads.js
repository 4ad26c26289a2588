// Files for a reply, from the browser to the object store: announced, sent, checked; each belongs to its conversation.

import { call, newKey } from "./api.js";
import { about, ask, discard } from "./media.js";
import { changed, state } from "./state.js";

const MOST = 10;
const LOOK_MS = 1500;

export const filesOf = (conversation) => state.files.get(conversation) ?? [];

export const ready = (file) => file.state === "ready";

// `kind`: voice or attachment. -> whether there was room for it.
export function add(conversation, content, kind, name) {
  const files = filesOf(conversation);
  if (files.length >= MOST) return false;
  const file = { key: newKey(), kind, name, size: content.size, state: "uploading", progress: 0, media: null, code: null };
  state.files.set(conversation, [...files, file]);
  changed();
  begin(conversation, file, content).catch((problem) => {
    Object.assign(file, { state: "rejected", code: problem.code ?? "", why: problem.message });
    changed();
  });
  return true;
}

async function begin(conversation, file, content) {
  const announced = {
    purpose: file.kind,
    content_type: content.type || "application/octet-stream",
    size: content.size,
    conversation_id: conversation,
    ...(file.name ? { filename: file.name } : {}),
  };
  const made = await call("POST", "/v1/media", announced);
  file.media = made.media_id;
  await put(made.upload, content, (share) => {
    file.progress = share;
    changed();
  });
  file.state = "checking";
  changed();
  await call("POST", `/v1/media/${file.media}/complete`).catch((problem) => {
    if (problem.status !== 202) throw problem;
  });
  await settled(file);
}

// XMLHttpRequest, since fetch tells nothing of its progress.
function put({ method, url, headers }, content, onProgress) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded / event.total));
    request.addEventListener("load", () => (request.status < 300 ? done() : failed(new Error("The upload was refused."))));
    request.addEventListener("error", () => failed(new Error("The upload broke off. Check the connection, then add it again.")));
    request.send(content);
  });
}

// The stream tells when it was checked; asking now and then is for where it doesn't.
async function settled(file) {
  while (file.state === "checking") {
    await new Promise((wake) => {
      file.wake = wake;
      setTimeout(wake, LOOK_MS);
    });
    await look(file);
  }
}

async function look(file) {
  const media = await ask(file.media).catch((problem) => {
    if (problem.status === 404) return { state: "rejected", code: "DISCARDED" };
    return null; // asked again
  });
  if (!media || !["ready", "rejected"].includes(media.state)) return;
  Object.assign(file, { state: media.state, code: media.code, facts: about(file.media) });
  changed();
}

export function toldOf(media) {
  for (const files of state.files.values()) files.find((file) => file.media === media)?.wake?.();
}

export function remove(conversation, file) {
  state.files.set(conversation, filesOf(conversation).filter((one) => one !== file));
  if (file.media) discard(file.media).catch(() => {}); // it expires by itself
  changed();
}

// Taken along by a reply, and back where it was refused.
export function take(conversation) {
  const files = filesOf(conversation);
  state.files.set(conversation, []);
  return files;
}

export function giveBackFiles(conversation, files) {
  state.files.set(conversation, [...files, ...filesOf(conversation)]);
}
