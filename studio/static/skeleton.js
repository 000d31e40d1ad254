// Skeleton previews: points of a plan, drawn on a canvas in time with the audio.

import { clock, h, icon } from "./api.js";

const POINTS = 144;
const SCALE = 8; // stored numbers a pixel
const NOT_DRAWN = -32768;

// Widths as in the skeleton maps, shares of the image's larger side; points are in the order
// body, hands, face and feet, fingertips, face.
const [BODY, FINGER, FACE] = [1 / 128, 1 / 256, 1 / 512];
function lineWidth(i, j) {
  const last = Math.max(i, j);
  if (last < 22) return BODY;
  return last < 55 || (last > 64 && last < 75) ? FINGER : FACE;
}

/** The skeleton of one take on a canvas. */
export class Skeleton {
  constructor(canvas, plan, edges) {
    [this.canvas, this.plan, this.points, this.frame] = [canvas, plan, null, 0];
    // a canvas of the image's own shape: the page scales it
    const scale = Math.min(2, 1024 / Math.max(plan.width, plan.height));
    canvas.width = Math.round(plan.width * scale);
    canvas.height = Math.round(plan.height * scale);
    canvas.style.aspectRatio = `${plan.width} / ${plan.height}`;
    this.scale = scale / SCALE;
    const larger = Math.max(canvas.width, canvas.height);
    // edges of one colour and width are one path, which draws faster
    this.groups = new Map();
    for (const [i, j, colour] of edges) {
      const width = Math.max(1.3, lineWidth(i, j) * larger);
      const key = `${colour} ${width}`;
      if (!this.groups.has(key)) this.groups.set(key, { colour, width, pairs: [] });
      this.groups.get(key).pairs.push([2 * i, 2 * j]);
    }
  }

  show(points) {
    this.points = points;
    this.draw(this.frame);
  }

  draw(frame) {
    this.frame = frame;
    const context = this.canvas.getContext("2d");
    context.fillStyle = "#0b0d10";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    const frames = this.points ? Math.floor(this.points.length / (2 * POINTS)) : 0;
    if (!frames) return;
    const at = Math.min(Math.max(frame, 0), frames - 1) * 2 * POINTS;
    context.lineCap = context.lineJoin = "round";
    for (const { colour, width, pairs } of this.groups.values()) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      for (const [i, j] of pairs) {
        const [x, y] = [this.points[at + i], this.points[at + i + 1]];
        const [u, v] = [this.points[at + j], this.points[at + j + 1]];
        if (x === NOT_DRAWN || u === NOT_DRAWN) continue;
        context.moveTo(x * this.scale, y * this.scale);
        context.lineTo(u * this.scale, v * this.scale);
      }
      context.stroke();
    }
  }
}

/** Plays a plan's audio and calls `onframe(frame, seconds)` for what is to be shown. */
export class Player {
  constructor(url, plan, onframe) {
    this.plan = plan;
    this.audio = h("audio", { src: url, preload: "auto" });
    const show = () => {
      const seconds = this.audio.currentTime;
      onframe(Math.min(plan.frames - 1, Math.floor(seconds * plan.fps)), seconds);
      this.range.value = seconds;
      this.range.setAttribute("aria-valuetext", `${seconds.toFixed(1)} seconds`);
      this.time.textContent = `${clock(seconds)} / ${clock(plan.seconds)}`;
    };
    const tick = () => {
      show();
      if (!this.audio.paused) requestAnimationFrame(tick);
    };
    this.show = show;
    this.range = h("input", {
      type: "range", min: "0", max: String(plan.seconds), step: "0.04", value: "0",
      ariaLabel: "Position", oninput: () => this.seek(Number(this.range.value)),
    });
    this.time = h("output", { className: "clock" });
    this.button = h("button", {
      type: "button", className: "play", ariaLabel: "Play", onclick: () => this.toggle(),
    }, icon("play"));
    this.error = h("span", { className: "error", role: "alert", hidden: true });
    this.element = h("div", { className: "transport" },
      this.button, this.range, this.time, this.error);
    const state = () => {
      this.button.replaceChildren(icon(this.audio.paused ? "play" : "pause"));
      this.button.ariaLabel = this.audio.paused ? "Play" : "Pause";
      tick();
    };
    this.audio.addEventListener("play", state);
    this.audio.addEventListener("pause", state);
    this.audio.addEventListener("seeked", show);
    show();
  }

  async toggle() {
    if (!this.audio.paused) return this.audio.pause();
    this.error.hidden = true;
    try {
      await this.audio.play();
    } catch (error) {
      if (error.name === "AbortError") return undefined; // paused before it began
      this.error.textContent = "The audio of this plan cannot be played.";
      this.error.hidden = false;
    }
    return undefined;
  }

  seek(seconds) {
    this.audio.currentTime = Math.min(this.plan.seconds, Math.max(0, seconds));
    this.show();
  }

  stop() {
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
  }
}
