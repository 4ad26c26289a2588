// Above the reply box: the recording under way, and the files that go with the reply.

import { $, Keyed, element, toast } from "./dom.js";
import { clock, contentUrl, playable, reason, size } from "./media.js";
import { player } from "./player.js";
import { LONGEST_S, Recorder } from "./recorder.js";
import { changed, state } from "./state.js";
import { add, filesOf, ready, remove } from "./uploads.js";

const WARN_S = LONGEST_S - 30;
const STATES = { uploading: "is sent", checking: "is being checked …" };

const chips = new Keyed();
let recording = null; // {conversation, recorder}

export const isRecording = () => recording !== null;

export function drawTray(open) {
  $("tray-tools").hidden = !open || isRecording();
  $("recording").hidden = !isRecording();
  const files = open ? filesOf(state.selected) : [];
  const items = files.map((file) => ({
    key: file.key,
    signature: JSON.stringify([file.state, file.code, Math.round(file.progress * 20)]),
    value: () => chip(state.selected, file),
  }));
  chips.draw($("tray"), items, (value) => value());
  if (recording && recording.conversation !== state.selected) endRecording(true); // what was said is kept there
}

function chip(conversation, file) {
  const voice = file.kind === "voice";
  const name = voice ? "Voice message" : file.name;
  return element(
    "li",
    { class: `chip ${file.state}` },
    voice && ready(file)
      ? player("your voice message", () => contentUrl(file.media, playable()), file.facts)
      : element("span", { class: "chip-name", text: name, dir: "auto" }),
    element("span", { class: "soft", text: saying(file) }),
    element("button", {
      type: "button",
      class: "quiet",
      "aria-label": voice ? "Discard the voice message" : `Remove ${name}`,
      text: voice ? "Discard" : "✕",
      onclick: () => remove(conversation, file),
    }),
  );
}

function saying(file) {
  if (file.state === "rejected") return `refused: ${file.code ? reason(file.code) : file.why}`;
  if (file.state === "uploading") return `${STATES.uploading} ${Math.round(file.progress * 100)} %`;
  return STATES[file.state] ?? (file.kind === "voice" ? "" : size(file.size));
}

export async function startRecording() {
  if (recording || !state.selected || $("tray-tools").hidden) return;
  const recorder = new Recorder(level, () => endRecording(true));
  recording = { conversation: state.selected, recorder };
  $("recording-time").textContent = clock(0);
  $("recording-state").textContent = "Recording";
  changed();
  try {
    await recorder.start();
    $("recording-stop").focus();
  } catch (problem) {
    recorder.release();
    recording = null;
    toast(problem.message);
    changed();
  }
}

function level(seconds, loud) {
  $("recording-time").textContent = clock(seconds);
  $("recording-level").value = loud;
  if (seconds >= WARN_S) $("recording-state").textContent = "Recording: it ends at five minutes";
}

async function endRecording(keep) {
  if (!recording) return;
  const { conversation, recorder } = recording;
  recording = null;
  changed();
  if (!keep) {
    recorder.release();
    return;
  }
  const content = await recorder.stop();
  if (content.size === 0) toast("Nothing was recorded.");
  else if (!add(conversation, content, "voice", null)) toast("A reply has at most ten files.");
}

function attach(files) {
  if (!state.selected || $("tray-tools").hidden) return;
  for (const file of files) {
    if (file.size === 0) toast(`${file.name} is empty.`);
    else if (!add(state.selected, file, "attachment", file.name)) toast("A reply has at most ten files.");
  }
}

export function listenToTray() {
  $("record").addEventListener("click", startRecording);
  $("recording-stop").addEventListener("click", () => endRecording(true));
  $("recording-discard").addEventListener("click", () => endRecording(false));
  $("attach").addEventListener("click", () => $("attach-files").click());
  $("attach-files").addEventListener("change", (event) => {
    attach([...event.target.files]);
    event.target.value = "";
  });
  $("opened").addEventListener("dragover", (event) => event.preventDefault());
  $("opened").addEventListener("drop", (event) => {
    event.preventDefault();
    attach([...event.dataTransfer.files]);
  });
  $("text").addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (!files.length) return;
    event.preventDefault();
    attach(files);
  });
  addEventListener("pagehide", () => recording?.recorder.release());
}
