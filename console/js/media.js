// Files of messages: their bytes as blob: URLs, and what the server knows of each.

import { call, get } from "./api.js";
import { token } from "./session.js";

const KEPT = 60;
const LISTENED = { OGG: "ogg", M4A: "m4a" };

const urls = new Map(); // "id rendition" -> promise of a blob: URL, the longest unused first
const known = new Map(); // id -> promise of the media

// A blob: URL of a rendition. The API answers with a redirect to the object store; the browser leaves the token behind
// where it follows one to another origin.
export function contentUrl(id, rendition) {
  const key = `${id} ${rendition}`;
  const url = urls.get(key) ?? download(id, rendition);
  urls.delete(key);
  urls.set(key, url);
  url.catch(() => urls.delete(key));
  if (urls.size > KEPT) forget([...urls.keys()][0]);
  return url;
}

async function download(id, rendition) {
  const query = rendition ? `?rendition=${rendition}` : "";
  const headers = { authorization: `Bearer ${token()}` };
  const answer = await fetch(`/v1/media/${id}/content${query}`, { headers });
  if (answer.status === 404 && rendition) return download(id, "");
  if (!answer.ok) throw new Error("The file cannot be loaded.");
  return URL.createObjectURL(await answer.blob());
}

function forget(key) {
  const url = urls.get(key);
  urls.delete(key);
  setTimeout(() => url.then(URL.revokeObjectURL, () => {}), 60_000); // whoever just got it still loads it
}

// What a media is now; a recording's waveform and a refusal's code are nowhere else.
export function about(id) {
  if (!known.has(id)) {
    const asked = get(`/v1/media/${id}`);
    known.set(id, asked);
    asked.then((media) => !["ready", "rejected"].includes(media.state) && known.delete(id), () => known.delete(id));
  }
  return known.get(id);
}

export const ask = (id) => get(`/v1/media/${id}`);

export const discard = (id) => call("DELETE", `/v1/media/${id}`);

// What this browser can play of a recording: Safari knows no Ogg.
export function playable() {
  return document.createElement("audio").canPlayType("audio/ogg; codecs=opus") ? LISTENED.OGG : LISTENED.M4A;
}

const REASONS = {
  TOO_LONG: "it is longer than five minutes",
  UNREADABLE: "it is damaged",
  TYPE_MISMATCH: "it is not what it claims to be",
  TOO_COMPLEX: "it is too large to be looked at",
  UNSAFE_ARCHIVE: "it is an archive that unpacks to too much",
  FILE_TOO_LARGE: "it is too large",
  TYPE_NOT_ALLOWED: "files of this type are not taken",
  QUOTA_EXCEEDED: "the workspace's storage is full",
  SIZE_MISMATCH: "the upload was cut off",
  MEDIA_EXPIRED: "it was not sent within a day",
  FETCH_REFUSED: "the channel would not give it out",
  FETCH_EXPIRED: "the channel did not give it out for a day",
  URL_NOT_ALLOWED: "it lies where we must not look",
};

export const reason = (code) => REASONS[code] ?? code;

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1 << 20 ? `${Math.round(bytes / 1024)} KB` : `${(bytes / (1 << 20)).toFixed(1)} MB`;
}

export function clock(seconds) {
  const whole = Math.floor(seconds || 0);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
