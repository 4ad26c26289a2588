// Files of messages in the thread: pictures, recordings, films, documents; those on their way, and those that never came.

import { $, element, toast } from "./dom.js";
import { about, contentUrl, playable, reason, size } from "./media.js";
import { player } from "./player.js";

const NAMES = { image: "Picture", voice: "Voice message", audio: "Audio", video: "Video", file: "File" };

const KEPT = 500;
const views = new Map();

// The same element as long as its file is the same, however often its message is drawn anew: who listens goes on.
export function attachment(message, file) {
  const key = `${message} ${file.media_id} ${file.status}`;
  const view = views.get(key) ?? viewOf(file);
  views.delete(key);
  views.set(key, view);
  if (views.size > KEPT) views.delete([...views.keys()][0]);
  return view;
}

function viewOf(file) {
  const name = file.filename ?? NAMES[file.kind] ?? "File";
  if (file.status === "pending") return element("p", { class: "file pending", text: `${name} is on its way …` });
  if (file.status === "rejected") return refused(file, name);
  return (VIEWS[file.kind] ?? download)(file, name);
}

const VIEWS = { image: picture, voice: recording, audio: recording, video: film };

function refused(file, name) {
  const line = element("p", { class: "file refused", text: `${name} could not be taken` });
  about(file.media_id).then(
    ({ code }) => code && line.append(`: ${reason(code)}`),
    () => {},
  );
  return line;
}

function picture(file, name) {
  const small = element("img", { alt: name, class: "thumb" });
  contentUrl(file.media_id, "thumb").then(
    (url) => {
      small.src = url;
    },
    () => small.replaceWith(element("span", { class: "file refused", text: `${name} cannot be loaded` })),
  );
  return element("button", { type: "button", class: "picture", "aria-label": `Show ${name}`, onclick: () => enlarge(file, name) }, small);
}

async function enlarge(file, name) {
  try {
    const url = await contentUrl(file.media_id, "original");
    const whole = element("img", { src: url, alt: name });
    const save = element("a", { href: url, download: name, class: "button", text: "Save" });
    $("picture-shown").replaceChildren(whole);
    $("picture-save").replaceChildren(save);
    $("picture").showModal();
  } catch (problem) {
    toast(problem.message);
  }
}

function recording(file, name) {
  const rendition = file.kind === "voice" ? playable() : "original";
  const facts = file.kind === "voice" ? about(file.media_id) : Promise.resolve(file);
  const view = player(name, () => contentUrl(file.media_id, rendition), facts);
  return file.kind === "audio" ? element("div", {}, view, download(file, name)) : view;
}

function film(file, name) {
  const start = element("button", { type: "button", class: "film", text: `▶ ${name} (${size(file.size ?? 0)})` });
  start.addEventListener("click", async () => {
    try {
      const url = await contentUrl(file.media_id, "original");
      start.replaceWith(element("video", { src: url, controls: true, autoplay: true, class: "film" }));
    } catch (problem) {
      toast(problem.message);
    }
  });
  return start;
}

function download(file, name) {
  const about = file.size ? `${name} (${size(file.size)})` : name;
  const button = element("button", { type: "button", class: "file", text: about });
  button.addEventListener("click", async () => {
    try {
      const url = await contentUrl(file.media_id, "original");
      element("a", { href: url, download: name }).click();
    } catch (problem) {
      toast(problem.message);
    }
  });
  return button;
}
