// A recording to listen to: play, pause, a waveform that is also where to jump to.

import { element } from "./dom.js";
import { clock } from "./media.js";

const PEAKS = 64;
const STEP_S = 5;

let playing = null; // only one at a time is heard

// `source()` answers the promise of a URL, asked when it is first played; `facts` the promise of {duration_s, waveform}.
export function player(label, source, facts) {
  const audio = element("audio", { preload: "none" });
  const button = element("button", { type: "button", class: "play", "aria-label": `Play ${label}`, text: "▶" });
  const bars = Array.from({ length: PEAKS }, () => element("span"));
  const wave = element(
    "div",
    { class: "wave", role: "slider", tabindex: 0, "aria-label": `Position in ${label}`, "aria-valuemin": 0 },
    ...bars,
  );
  const time = element("span", { class: "player-time", text: "0:00" });
  let length = 0;

  function draw() {
    const at = audio.currentTime || 0;
    const whole = Number.isFinite(audio.duration) ? audio.duration : length;
    bars.forEach((bar, index) => bar.classList.toggle("heard", whole > 0 && index < (at / whole) * PEAKS));
    time.textContent = at > 0 || !audio.paused ? clock(at) : clock(whole);
    wave.setAttribute("aria-valuemax", String(Math.round(whole)));
    wave.setAttribute("aria-valuenow", String(Math.round(at)));
    wave.setAttribute("aria-valuetext", `${clock(at)} of ${clock(whole)}`);
    button.textContent = audio.paused ? "▶" : "❚❚";
    button.setAttribute("aria-label", `${audio.paused ? "Play" : "Pause"} ${label}`);
  }

  function show({ duration_s: seconds, waveform }) {
    length = seconds ?? 0;
    const loudest = Math.max(...(waveform ?? []), 0.05);
    waveform?.forEach((peak, index) => {
      bars[index].style.height = `${Math.max(8, (peak / loudest) * 100)}%`;
    });
    draw();
  }

  async function play() {
    if (!audio.src) audio.src = await source();
    if (playing !== audio) playing?.pause();
    playing = audio;
    await audio.play();
  }

  async function jump(share) {
    if (!audio.src) audio.src = await source();
    const whole = Number.isFinite(audio.duration) ? audio.duration : length;
    audio.currentTime = Math.min(Math.max(share, 0), 1) * whole;
    draw();
  }

  const failed = () => {
    time.textContent = "cannot be played";
  };
  button.addEventListener("click", () => (audio.paused ? play().catch(failed) : audio.pause()));
  wave.addEventListener("click", (event) => {
    const box = wave.getBoundingClientRect();
    jump((event.clientX - box.left) / box.width).catch(failed);
  });
  wave.addEventListener("keydown", (event) => {
    const step = { ArrowRight: STEP_S, ArrowLeft: -STEP_S }[event.key];
    if (!step || !length) return;
    event.preventDefault();
    jump((audio.currentTime + step) / length).catch(failed);
  });
  for (const kind of ["timeupdate", "play", "pause", "ended", "durationchange"]) audio.addEventListener(kind, draw);
  show({ duration_s: 0, waveform: null });
  facts.then(show, () => {});
  return element("div", { class: "player" }, button, wave, time, audio);
}

export function silence() {
  playing?.pause();
}
