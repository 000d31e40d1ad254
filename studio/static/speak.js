// Speak: speech in, a video or several takes out; and the list of the jobs.

import { api, attempt, h } from "./api.js";
import { fillSpeakers, SpeechInput, VideoOptions, wholeNumber } from "./forms.js";
import { add, follow, showList, videoResult } from "./jobs.js";
import { Player, Skeleton } from "./skeleton.js";

const TAKES = 4;

export class Speak {
  constructor({ limits, speakers, direct }) {
    [this.limits, this.direct, this.player] = [limits, direct, null];
    this.form = document.getElementById("speak-form");
    this.result = document.getElementById("speak-result");
    this.error = this.form.querySelector(":scope > .error");
    this.takes = this.form.querySelector("[data-do=takes]");
    this.speaker = this.form.elements.namedItem("speaker");
    this.seed = this.form.elements.namedItem("seed");
    this.speech = new SpeechInput(this.form.querySelector("[data-slot=speech]"), limits);
    this.options = new VideoOptions(this.form.querySelector("[data-slot=options]"), limits);
    this.speaker.addEventListener("change", () => this.chooseSpeaker());
    this.form.querySelector("[data-do=dice]").addEventListener("click", () => {
      this.seed.value = Math.floor(Math.random() * 1e6);
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit(this.form.querySelector("[type=submit]"), () => api.makeVideo({
        speaker: this.speaker.value, seed: wholeNumber(this.seed), ...this.speech.values(),
        ...this.options.values(),
      }));
    });
    this.takes.addEventListener("click", () => this.submit(this.takes, () => {
      const first = Number(wholeNumber(this.seed));
      const seeds = Array.from({ length: TAKES }, (_, index) => first + index).join();
      return api.makePlan({ speaker: this.speaker.value, seeds, ...this.speech.values() });
    }));
    const panel = document.querySelector(".jobs");
    showList(document.getElementById("job-list"), document.getElementById("no-jobs"),
      panel.querySelector(".error"), (job) => this.show(job));
    this.setSpeakers(speakers);
  }

  setSpeakers(speakers) {
    this.speakers = speakers;
    fillSpeakers(this.speaker, speakers);
    this.chooseSpeaker();
  }

  chooseSpeaker(name) {
    if (name) this.speaker.value = name;
    const speaker = this.speakers.find((one) => one.name === this.speaker.value);
    this.options.setSpeaker(speaker);
    this.takes.hidden = speaker?.model === "speech2face"; // they have no skeleton
  }

  submit(button, request) {
    return attempt(button, this.error, async () => this.show(add(await request())));
  }

  /** Show a job in the place of results. */
  show(job) {
    this.player?.stop();
    this.player = null;
    follow(this.result, job.id, (done) => (done.kind === "plan" ? this.plan(done) : videoResult(done)));
    this.result.scrollIntoView({ block: "nearest" });
  }

  plan(job) {
    const place = h("div", { className: "takes-place" }, h("p", { className: "hint" }, "Loading"));
    this.fillPlan(place, job).catch((error) => {
      place.replaceChildren(h("p", { className: "error", role: "alert" }, error.message));
    });
    return place;
  }

  async fillPlan(place, job) {
    const plan = await api.plan(job.id);
    const skeletons = [];
    const player = new Player(api.file(job.id, job.files.audio || "audio.wav"), plan,
      (frame) => skeletons.forEach((one) => one.draw(frame)));
    this.player?.stop();
    this.player = player;
    const errors = h("p", { className: "error", role: "alert", hidden: true });
    const cards = plan.takes.map((take) => {
      const canvas = h("canvas", { role: "img", ariaLabel: `Skeleton of seed ${take.seed}` });
      const skeleton = new Skeleton(canvas, plan, this.limits.skeleton.edges);
      skeletons.push(skeleton);
      api.points(plan.id, { seed: take.seed, timeline: take.timeline }).then(
        (points) => skeleton.show(points),
        (error) => { errors.textContent = error.message; errors.hidden = false; });
      const made = (take.timeline?.insertions || []).filter((one) => !one.skipped).length;
      const render = h("button", {
        type: "button", className: "secondary",
        onclick: (event) => attempt(event.currentTarget, errors, async () => {
          const values = { speaker: plan.speaker, plan: plan.id, seed: String(take.seed) };
          if (take.timeline) values.timeline = JSON.stringify(take.timeline);
          this.show(add(await api.makeVideo({ ...values, ...this.options.values() })));
        }),
      }, "Render this take");
      const edit = h("button", {
        type: "button", className: "quiet", onclick: () => this.direct(plan.id, take.seed),
      }, "Edit");
      return h("figure", { className: "take" }, canvas, h("figcaption", {},
        h("strong", {}, `Seed ${take.seed}`), ` ${made} ${made === 1 ? "gesture" : "gestures"}`),
      h("div", { className: "actions" }, render, edit));
    });
    skeletons.forEach((one) => one.draw(0));
    place.replaceChildren(h("p", { className: "caption" }, h("strong", {}, job.title),
      ` · ${job.speaker}`), player.element, h("div", { className: "takes" }, ...cards), errors);
  }
}
