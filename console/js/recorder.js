// The microphone: from pressing it to a recording in the browser's own format. It is let go in every case.

const TYPES = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus", "audio/webm"];
const LEVEL_MS = 100;
export const LONGEST_S = 300;

export class Recorder {
  #stream = null;
  #recorder = null;
  #parts = [];
  #timer = null;
  #context = null;
  #began = 0;

  // `onLevel(seconds, level)` ten times a second, level from 0 to 1; `onEnd()` when the time is up.
  constructor(onLevel, onEnd) {
    this.onLevel = onLevel;
    this.onEnd = onEnd;
  }

  // Rejects with what to tell the agent.
  async start() {
    if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) {
      throw new Error("This browser cannot record here: recording needs https.");
    }
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    } catch (error) {
      throw new Error(SENTENCES[error.name] ?? "The microphone cannot be used.");
    }
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    this.#recorder = new MediaRecorder(this.#stream, mimeType ? { mimeType } : {});
    this.#recorder.addEventListener("dataavailable", (event) => this.#parts.push(event.data));
    this.#recorder.start(1000);
    this.#began = performance.now();
    this.#listen();
  }

  // -> the recording, a Blob.
  async stop() {
    const recorder = this.#recorder;
    if (recorder.state !== "inactive") {
      await new Promise((stopped) => {
        recorder.addEventListener("stop", stopped, { once: true });
        recorder.stop();
      });
    }
    this.release();
    return new Blob(this.#parts, { type: recorder.mimeType.toLowerCase() });
  }

  release() {
    clearInterval(this.#timer);
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#context?.close().catch(() => {});
    this.#context = null;
  }

  #listen() {
    this.#context = new AudioContext();
    const analyser = this.#context.createAnalyser();
    this.#context.createMediaStreamSource(this.#stream).connect(analyser);
    const samples = new Uint8Array(analyser.fftSize);
    this.#timer = setInterval(() => {
      analyser.getByteTimeDomainData(samples);
      const level = Math.max(...samples.map((sample) => Math.abs(sample - 128))) / 128;
      const seconds = (performance.now() - this.#began) / 1000;
      this.onLevel(seconds, level);
      if (seconds >= LONGEST_S) this.onEnd();
    }, LEVEL_MS);
  }
}

const SENTENCES = {
  NotAllowedError: "The browser does not let this page use the microphone: allow it next to the address, then try again.",
  NotFoundError: "There is no microphone: connect one, then try again.",
  NotReadableError: "Another program uses the microphone: close it, then try again.",
};
