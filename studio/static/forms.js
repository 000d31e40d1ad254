// Parts of forms: the speech (recorded, a file, a text), the video's options, the speaker.

import { clock, cssColour, prepare, showError, size, template } from "./api.js";
import { checkSize } from "./jobs.js";

let instances = 0;

/** Fill a select with speakers, and keep what is chosen if it is among them. */
export function fillSpeakers(select, speakers) {
  const chosen = select.value;
  select.replaceChildren(...speakers.map((one) => new Option(one.name, one.name)));
  if (speakers.some((one) => one.name === chosen)) select.value = chosen;
  select.disabled = !speakers.length;
}

/** Fill a select with the languages that texts and transcripts may be in. */
export function fillLanguages(select, limits) {
  const others = (limits.languages || []).map((one) => new Option(one.name, one.tag));
  select.replaceChildren(new Option("English", ""), ...others);
}

export const wholeNumber = (input) => {
  const value = input.value.trim();
  if (!/^\d+$/.test(value) || !Number.isSafeInteger(Number(value))) {
    throw new Error("Seed: a whole number from 0 on is needed.");
  }
  return value;
};

/** Speech of a form: `values()` returns the fields of a request, or throws one line. */
export class SpeechInput {
  constructor(slot, limits) {
    this.limits = limits;
    this.root = template("speech-input");
    slot.replaceWith(this.root);
    [this.recording, this.file, this.recorder] = [null, null, null];
    const one = (selector) => this.root.querySelector(selector);
    this.error = one(".error");
    this.button = one(".record");
    this.level = one(".level");
    this.time = one(".clock");
    this.playback = one("audio");
    fillLanguages(one("[name=language]"), limits);
    document.getElementById("voices").replaceChildren(
      ...(limits.voices || []).map((voice) => new Option(voice, voice)));
    instances += 1;
    for (const radio of this.root.querySelectorAll("[type=radio]")) {
      radio.name = `source-${instances}`;
      radio.addEventListener("change", () => this.choose(radio.value));
      if (radio.value === "text" && !limits.text) {
        radio.disabled = true;
        radio.parentElement.title = "No voice is installed";
      }
    }
    this.button.addEventListener("click", () => this.record());
    const drop = one(".drop");
    const input = drop.querySelector("input");
    input.addEventListener("change", () => this.take(input.files[0]));
    drop.addEventListener("dragover", (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      this.take(event.dataTransfer.files[0]);
    });
    this.choose("record");
  }

  choose(source) {
    this.source = source;
    showError(this.error, "");
    for (const part of this.root.querySelectorAll("[data-source]")) {
      part.hidden = !part.dataset.source.split(" ").includes(source);
    }
    if (source !== "record") this.recorder?.stop();
  }

  take(file) {
    if (!file) return;
    try {
      checkSize(file, this.limits);
    } catch (error) {
      showError(this.error, error);
      return;
    }
    showError(this.error, "");
    this.file = file;
    this.root.querySelector(".drop-text").textContent = `${file.name} · ${size(file.size)}`;
  }

  async record() {
    if (this.recorder) {
      this.recorder.stop();
      return;
    }
    showError(this.error, "");
    this.button.disabled = true;
    let stream;
    try {
      if (!navigator.mediaDevices || !window.MediaRecorder) {
        throw new Error("This browser records only on https or localhost.");
      }
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch (error) {
      showError(this.error, microphoneError(error));
      return;
    } finally {
      this.button.disabled = false;
    }
    const recorder = new MediaRecorder(stream);
    const chunks = [];
    recorder.ondataavailable = (event) => chunks.push(event.data);
    const context = new AudioContext();
    const analyser = new AnalyserNode(context, { fftSize: 1024 });
    context.createMediaStreamSource(stream).connect(analyser);
    const began = performance.now();
    recorder.onstop = () => {
      stream.getTracks().forEach((track) => track.stop());
      context.close();
      this.recorder = null;
      this.setRecording(false);
      const type = recorder.mimeType.split(";")[0] || "audio/webm";
      this.recording = new File(chunks, `recording.${type.split("/")[1]}`, { type });
      URL.revokeObjectURL(this.playback.src);
      this.playback.src = URL.createObjectURL(this.recording);
      this.playback.hidden = false;
    };
    this.recorder = recorder;
    recorder.start();
    this.setRecording(true);
    this.meter(analyser, began);
  }

  setRecording(on) {
    this.button.classList.toggle("on", on);
    this.button.ariaPressed = String(on);
    this.button.ariaLabel = on ? "Stop" : "Record";
    this.button.querySelector("use").setAttribute("href", on ? "#i-stop" : "#i-mic");
    this.level.hidden = false;
    if (on) this.playback.hidden = true;
  }

  /** Draw the level of the last seconds until the recording ends. */
  meter(analyser, began) {
    const samples = new Float32Array(analyser.fftSize);
    const peaks = [];
    const draw = () => {
      if (!this.recorder) return;
      const seconds = (performance.now() - began) / 1000;
      this.time.textContent = clock(seconds);
      if (seconds >= this.limits.max_seconds) {
        this.recorder.stop();
        return;
      }
      analyser.getFloatTimeDomainData(samples);
      peaks.push(Math.min(1, 1.6 * samples.reduce((peak, x) => Math.max(peak, Math.abs(x)), 0)));
      const { context, width, height } = prepare(this.level);
      context.fillStyle = cssColour("--record");
      peaks.splice(0, peaks.length - Math.ceil(width / 4));
      peaks.forEach((peak, index) => {
        const tall = Math.max(2, peak * height);
        context.fillRect(width - 4 * (peaks.length - index), (height - tall) / 2, 2, tall);
      });
      requestAnimationFrame(draw);
    };
    draw();
  }

  values() {
    const field = (name) => this.root.querySelector(`[name=${name}]`).value.trim();
    const values = { language: field("language") };
    try {
      if (this.source === "text") {
        if (!field("text")) throw new Error("Write what the speaker says.");
        return { ...values, text: field("text"), voice: field("voice") };
      }
      if (this.recorder) throw new Error("Stop the recording first.");
      const audio = this.source === "record" ? this.recording : this.file;
      if (!audio) {
        throw new Error(this.source === "record" ? "Record something first." : "Choose a file.");
      }
      checkSize(audio, this.limits);
      showError(this.error, "");
      return { ...values, audio, transcript: field("transcript") };
    } catch (error) {
      showError(this.error, error);
      throw new Shown();
    }
  }
}

/** An error that is already shown where it arose. */
export class Shown extends Error {
  constructor() {
    super("");
  }
}

export function microphoneError(error) {
  if (error.name === "NotAllowedError") return "The browser does not allow the microphone.";
  if (error.name === "NotFoundError") return "There is no microphone.";
  return error.message || "The microphone cannot be used.";
}

/** Options of a video: `values()` returns the fields of a request, or throws one line. */
export class VideoOptions {
  constructor(slot, limits) {
    this.limits = limits;
    this.root = template("render-options");
    slot.replaceWith(this.root);
    this.error = this.root.querySelector(".error");
    this.format = this.field("format");
    this.format.append(...limits.formats.map((one) => new Option(one, one)));
    this.field("backdrop").addEventListener("change", () => this.update());
    this.field("skeleton").addEventListener("change", () => this.update());
    this.update();
  }

  field(name) {
    return this.root.querySelector(`[name=${name}]`);
  }

  /** Show what applies to a speaker. */
  setSpeaker(speaker) {
    const emotions = speaker?.emotions || [];
    this.field("emotion").replaceChildren(
      new Option("Of the voice", ""), ...emotions.map((one) => new Option(one, one)));
    this.root.querySelector("[data-emotion]").hidden = !emotions.length;
    const body = speaker?.model !== "speech2face";
    this.root.querySelector("[data-skeleton]").hidden = !body;
    for (const name of ["face_motion_scale", "backdrop"]) {
      this.field(name).closest("label").hidden = !body;
    }
    if (!body) {
      this.field("skeleton").checked = false;
      this.field("backdrop").value = "";
      this.field("face_motion_scale").value = "";
    }
    this.update();
  }

  update() {
    // a drawn skeleton has no background of its own choice
    const backdrop = this.field("backdrop");
    backdrop.disabled = this.field("skeleton").checked;
    const chosen = backdrop.disabled ? "" : backdrop.value;
    for (const part of this.root.querySelectorAll("[data-backdrop]")) {
      part.hidden = part.dataset.backdrop !== chosen;
    }
    const usable = chosen === "transparent" ? this.limits.alpha_formats : this.limits.formats;
    for (const option of this.format.options) option.disabled = !usable.includes(option.value);
    if (!usable.includes(this.format.value)) this.format.value = usable[0];
  }

  values() {
    showError(this.error, "");
    try {
      return this.read();
    } catch (error) {
      showError(this.error, error);
      throw new Shown();
    }
  }

  read() {
    const backdrop = this.field("backdrop");
    const chosen = backdrop.disabled ? "" : backdrop.value;
    const file = this.field("background_file").files[0];
    if (chosen === "file" && !file) throw new Error("Choose an image or video for the background.");
    if (chosen === "file") checkSize(file, this.limits);
    const scale = this.field("face_motion_scale");
    if (!scale.checkValidity()) throw new Error("Articulation: a number from 0 to 4 is needed.");
    return {
      format: this.format.value,
      background: { colour: this.field("colour").value, transparent: "transparent" }[chosen],
      background_file: chosen === "file" ? file : undefined,
      face_motion_scale: scale.value,
      emotion: this.field("emotion").value,
      skeleton: this.field("skeleton").checked ? "true" : undefined,
    };
  }
}
