// The visitor's page. The server is the memory: everything shown came from /events, also one's own messages.

const list = document.querySelector("#lines");
const welcome = document.querySelector("#welcome");
const connection = document.querySelector("#connection");
const composer = document.querySelector("#composer");
const text = document.querySelector("#text");
const send = document.querySelector("#send");
const fault = document.querySelector("#fault");
const who = document.querySelector("#who");
const nameField = document.querySelector("#name");

const lines = new Map(); // id -> {line, item}
const STATES = { waiting: "Sending …", sent: "Sent", refused: "Not delivered" };
const RETRY_MS = [500, 1000, 2000, 5000];

const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

async function post(path, body) {
  return fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

// The same id at every try: the server takes it once. Gives up only where the server says that it will never do.
async function insist(path, body) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const answer = await post(path, body);
      if (answer.status < 500) return answer;
    } catch {
      // offline: try again
    }
    await new Promise((wake) => setTimeout(wake, RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]));
  }
}

function element(tag, className, content) {
  const made = document.createElement(tag);
  made.className = className;
  if (content !== undefined) made.textContent = content;
  return made;
}

function fileView(file) {
  const address = /^https?:/i.test(file.url ?? "") ? file.url : undefined;
  if (address && (file.kind === "voice" || file.kind === "audio")) {
    const player = element("audio", "file");
    player.controls = true;
    player.preload = "none";
    player.src = address;
    return player;
  }
  const link = element("a", "file", file.filename || file.kind);
  if (address) link.href = address;
  link.rel = "noopener noreferrer";
  link.target = "_blank";
  return link;
}

function draw(item, line) {
  const mine = line.author === "visitor";
  item.className = `line ${mine ? "mine" : "theirs"} ${line.state}`;
  item.replaceChildren();
  if (!mine) item.append(element("p", "author", line.name || (line.author === "bot" ? "Chatbot" : "Support")));
  const bubble = element("div", "bubble", line.text ?? "");
  bubble.dir = "auto";
  for (const file of line.attachments) bubble.append(fileView(file));
  const at = time.format(new Date(line.at));
  item.append(bubble, element("p", "meta", mine ? `${at} · ${STATES[line.state] ?? ""}` : at));
}

function atEnd() {
  return list.scrollHeight - list.scrollTop - list.clientHeight < 80;
}

function lastLine() {
  return [...lines.values()].at(-1)?.line;
}

function show(line) {
  const follow = atEnd() || line.author === "visitor";
  const known = lines.get(line.id);
  if (known) {
    known.line = line;
    draw(known.item, line);
  } else {
    const before = lastLine();
    if (!before || day.format(new Date(before.at)) !== day.format(new Date(line.at))) {
      list.append(element("li", "day", day.format(new Date(line.at))));
    }
    const item = element("li", "line");
    draw(item, line);
    lines.set(line.id, { line, item });
    list.append(item);
  }
  welcome.hidden = true;
  if (follow) list.scrollTop = list.scrollHeight;
}

// Answers on the page are delivered; answers on a page that is looked at are read.
function acknowledge() {
  const looking = document.visibilityState === "visible" && document.hasFocus();
  const status = looking ? "read" : "delivered";
  const wanted = looking ? ["new", "delivered"] : ["new"];
  const ids = [...lines.values()].map((kept) => kept.line).filter((line) => wanted.includes(line.state)).map((line) => line.id);
  for (let start = 0; start < ids.length; start += 200) {
    post("receipts", { ids: ids.slice(start, start + 200), status }).catch(() => {});
  }
}

let acknowledging;
function acknowledgeSoon() {
  clearTimeout(acknowledging);
  acknowledging = setTimeout(acknowledge, 150);
}

function connect() {
  const stream = new EventSource("events"); // resumes by itself with Last-Event-ID
  stream.addEventListener("open", () => {
    connection.textContent = "Connected";
    connection.classList.add("live");
  });
  stream.addEventListener("error", () => {
    connection.textContent = "Reconnecting …";
    connection.classList.remove("live");
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  });
  stream.addEventListener("message", (event) => {
    const line = JSON.parse(event.data);
    show(line);
    if (line.author !== "visitor") acknowledgeSoon();
  });
}

function grow() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
  send.disabled = text.value.trim() === "";
}

composer.addEventListener("submit", async (event) => {
  event.preventDefault();
  const value = text.value;
  if (value.trim() === "") return;
  text.value = "";
  grow();
  text.focus();
  fault.textContent = "";
  const answer = await insist("messages", { id: crypto.randomUUID?.() ?? randomId(), text: value });
  if (!answer.ok) {
    fault.textContent = `Your message was not taken: ${await answer.text()}`;
    if (text.value === "") text.value = value;
    grow();
  }
});

// crypto.randomUUID exists only on https and on this very machine.
function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

text.addEventListener("input", grow);
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    composer.requestSubmit();
  }
});

who.addEventListener("submit", (event) => {
  event.preventDefault();
  nameField.blur();
  text.focus();
});
nameField.addEventListener("change", () => {
  if (nameField.value.trim()) insist("profile", { name: nameField.value });
});

document.addEventListener("visibilitychange", acknowledgeSoon);
window.addEventListener("focus", acknowledgeSoon);

fetch("profile")
  .then((answer) => answer.json())
  .then((profile) => {
    nameField.value = profile.name ?? "";
  })
  .catch(() => {});
connect();
text.focus();
