// Direct: words and gestures of a plan on a time line, edited and rendered.

import { api, attempt, cssColour, clock, h, prepare, showError } from "./api.js";
import { fillSpeakers, SpeechInput, VideoOptions, wholeNumber } from "./forms.js";
import { add, checkSize, follow, jobs } from "./jobs.js";
import { Player, Skeleton } from "./skeleton.js";
import { Edit, OFF, parseTimeline, reason, round, shifted } from "./timeline.js";

const FRAME = 0.04;
const ROW = 38; // pixels a row of gestures
const RULER = 18;
const GRIP = 7; // pixels of a word's edge
const START_ZOOM = 90; // pixels a second: short words can be read
const MAX_ZOOM = 600; // pixels a second
const WAIT = 250; // milliseconds after the last edit of a word

const $ = (id) => document.getElementById(id);

export class Direct {
  constructor({ limits, speakers }) {
    [this.limits, this.plan, this.edits] = [limits, null, new Map()];
    this.section = $("direct");
    this.error = $("direct-error");
    this.scroll = $("track-scroll");
    this.track = $("track");
    this.wave = $("track-wave");
    this.playhead = this.track.querySelector(".playhead");
    this.selected = null;
    const form = $("direct-form");
    const speaker = form.elements.namedItem("speaker");
    this.setSpeakers(speakers);
    const speech = new SpeechInput(form.querySelector("[data-slot=speech]"), limits);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      attempt(form.querySelector("[type=submit]"), form.querySelector(":scope > .error"), async () => {
        const seeds = wholeNumber(form.elements.namedItem("seed"));
        const job = add(await api.makePlan({ speaker: speaker.value, seeds, ...speech.values() }));
        follow(form.querySelector("[data-slot=progress]"), job.id, (done) => {
          this.open(done.id);
          return [];
        });
      });
    });
    this.options = new VideoOptions($("direct-render").querySelector("[data-slot=options]"), limits);
    $("direct-render").addEventListener("submit", (event) => {
      event.preventDefault();
      this.render(event.target);
    });
    $("direct-plan").addEventListener("change", (event) => this.open(event.target.value));
    $("direct-take").addEventListener("change", (event) => this.take(Number(event.target.value)));
    const press = (name, action) =>
      this.section.querySelector(`[data-do=${name}]`).addEventListener("click", action);
    press("undo", () => this.undo());
    press("save", () => this.save());
    press("in", () => this.zoom(this.scale * 1.5));
    press("out", () => this.zoom(this.scale / 1.5));
    press("fit", () => this.zoom(0));
    $("direct-load").addEventListener("change", (event) => this.load(event.target));
    this.section.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "z" && !event.target.matches("textarea")) {
        event.preventDefault();
        this.undo();
      }
    });
    this.scroll.addEventListener("scroll", () => this.drawWave());
    for (const type of ["pointerdown", "pointermove"]) {
      this.wave.addEventListener(type, (event) => this.scrub(event));
    }
    new ResizeObserver(() => this.plan && this.zoom(this.fitted ? 0 : this.scale)).observe(this.scroll);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.drawWave());
    jobs.addEventListener("change", () => this.listPlans());
    this.listPlans();
  }

  setSpeakers(speakers) {
    this.speakers = speakers;
    fillSpeakers($("direct-form").elements.namedItem("speaker"),
      speakers.filter((one) => one.model !== "speech2face"));
  }

  get edit() {
    return this.edits.get(this.seed);
  }

  /** Called when the tab is shown: the newest plan is opened if none is. */
  shown() {
    const newest = jobs.list.find((job) => job.kind === "plan" && job.state === "done");
    if (!this.plan && newest) this.open(newest.id);
    else if (!this.plan) $("direct-new").open = true;
  }

  hidden() {
    this.player?.audio.pause();
  }

  listPlans() {
    const done = jobs.list.filter((job) => job.kind === "plan" && job.state === "done");
    const key = JSON.stringify(done.map((job) => job.id));
    const select = $("direct-plan");
    if (select.dataset.key === key) return;
    select.dataset.key = key;
    const none = done.length ? "Choose one" : "None yet";
    select.replaceChildren(new Option(none, ""), ...done.map((job) => new Option(job.title, job.id)));
    select.value = this.plan && done.some((job) => job.id === this.plan.id) ? this.plan.id : "";
  }

  /** Open a plan, and the take of a seed or the first one. */
  async open(id, seed) {
    if (!id) return;
    showError(this.error, "");
    const asked = (this.opening = {});
    try {
      const plan = await api.plan(id);
      if (this.opening !== asked) return;
      this.plan = plan;
      this.edits = new Map(plan.takes.map((take) => [take.seed, new Edit(plan, take)]));
      $("direct-editor").hidden = $("direct-new").open = false;
      $("direct-plan").value = id;
      $("direct-take").replaceChildren(
        ...plan.takes.map((take) => new Option(`Seed ${take.seed}`, take.seed)));
      this.options.setSpeaker(this.speakers.find((one) => one.name === plan.speaker));
      this.player?.stop();
      this.skeleton = new Skeleton($("direct-canvas"), plan, this.limits.skeleton.edges);
      const job = jobs.list.find((one) => one.id === id);
      this.player = new Player(api.file(id, job?.files.audio || "audio.wav"), plan,
        (frame, seconds) => this.showFrame(frame, seconds));
      this.section.querySelector(".transport, [data-slot=transport]").replaceWith(this.player.element);
      this.take(seed ?? plan.takes[0].seed);
      this.zoom(START_ZOOM);
    } catch (error) {
      showError(this.error, error);
    }
  }

  take(seed) {
    this.seed = this.edits.has(seed) ? seed : this.plan.takes[0].seed;
    $("direct-take").value = this.seed;
    this.selected = null;
    this.update();
  }

  showFrame(frame, seconds) {
    this.skeleton.draw(frame);
    const x = seconds * (this.scale || 0);
    this.playhead.style.transform = `translateX(${x}px)`;
    const { scrollLeft, clientWidth } = this.scroll;
    const playing = this.player && !this.player.audio.paused;
    if (playing && (x < scrollLeft || x > scrollLeft + clientWidth - 20)) this.scroll.scrollLeft = x - 40;
  }

  // Edits

  /** Draw everything anew, and ask for the points of the preview. */
  update() {
    showError(this.error, ""); // that of an earlier edit
    this.drawLanes();
    this.drawInspector();
    this.section.querySelector("[data-do=undo]").disabled = !this.edit.past.length;
    this.refreshPoints();
  }

  async refreshPoints() {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    const stage = $("direct-canvas").parentElement;
    stage.classList.add("busy");
    try {
      const { seed, timeline } = this.edit;
      this.skeleton.show(await api.points(this.plan.id, { seed, timeline }, asking.signal));
    } catch (error) {
      if (error.name !== "AbortError") showError(this.error, error);
    } finally {
      if (this.asking === asking) stage.classList.remove("busy");
    }
  }

  say(text) {
    $("direct-status").textContent = text;
  }

  toggle(index) {
    const { entry, skipped } = this.edit.insertions[index];
    this.edit.change(index, "switch", { skipped: skipped ? "" : OFF });
    this.say(`${entry} is ${skipped ? "on" : "off"}`);
    this.update();
  }

  move(index, seconds) {
    this.edit.move(index, seconds);
    const { entry, key } = this.edit.insertions[index];
    this.say(`${entry} at ${key.toFixed(2)} seconds`);
    this.seekTo(key);
    this.update();
  }

  setWord(index, start, end) {
    this.edit.setWord(index, ...this.edit.within(index, start, end));
    const word = this.edit.words[index];
    this.say(`${word.text} from ${word.start.toFixed(2)} to ${word.end.toFixed(2)} seconds`);
    this.update();
    this.replanSoon();
  }

  /** Ask for the gestures at edited words, when the edits pause. */
  replanSoon() {
    clearTimeout(this.replanning);
    const { edit } = this;
    this.replanning = setTimeout(async () => {
      const words = edit.words;
      try {
        const base = await api.timeline(this.plan.id, { seed: edit.seed, words });
        if (edit.words !== words || edit !== this.edit) return; // edited again meanwhile
        edit.replan(base);
        this.update();
      } catch (error) {
        if (edit.words === words && edit.undo() && edit === this.edit) this.update();
        showError(this.error, error);
      }
    }, WAIT);
  }

  undo() {
    if (!this.plan) return;
    const { words } = this.edit;
    if (!this.edit.undo()) return;
    this.say("Undone");
    this.update();
    if (words !== this.edit.words) this.replanSoon();
  }

  /** Show a moment of the preview unless it plays. */
  seekTo(seconds) {
    if (this.player.audio.paused) this.player.seek(seconds);
  }

  select(kind, index) {
    this.selected = { kind, index };
    for (const item of this.track.querySelectorAll(".item")) {
      const chosen = item.dataset.key === `${kind} ${index}`;
      item.setAttribute("aria-pressed", String(chosen));
      if (item.dataset.key.startsWith(kind)) item.tabIndex = chosen ? 0 : -1;
    }
    this.drawInspector();
    const { edit } = this;
    this.seekTo(kind === "word" ? edit.words[index].start : edit.insertions[index].key);
  }

  // Drawing

  zoom(scale) {
    if (!this.plan || !this.scroll.clientWidth) return;
    const fit = this.scroll.clientWidth / Math.max(this.plan.seconds, 0.5);
    const middle = this.player.audio.currentTime;
    const before = this.scale ? middle * this.scale - this.scroll.scrollLeft : 0;
    this.fitted = scale <= fit;
    this.scale = Math.min(Math.max(scale, fit), Math.max(MAX_ZOOM, fit));
    this.track.style.width = `${this.plan.seconds * this.scale}px`;
    this.drawLanes();
    this.scroll.scrollLeft = middle * this.scale - before;
    this.player.show();
    this.drawWave();
  }

  drawWave() {
    if (!this.plan || !this.scale) return;
    this.wave.style.width = `${this.scroll.clientWidth}px`;
    const { context, width, height } = prepare(this.wave);
    const { waveform, fps, seconds } = this.plan;
    const left = this.scroll.scrollLeft;
    context.font = "11px system-ui, sans-serif";
    const step = [0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 600].find((one) => one * this.scale > 64) || 1800;
    for (let n = Math.floor(left / this.scale / step); n * step <= seconds; n += 1) {
      const x = n * step * this.scale - left;
      if (x > width) break;
      context.fillStyle = cssColour("--line");
      context.fillRect(x, 0, 1, height);
      context.fillStyle = cssColour("--muted");
      const text = step < 1 ? `${(n * step).toFixed(1)} s` : clock(n * step);
      context.fillText(text, x + 5, 12);
    }
    context.fillStyle = cssColour("--wave");
    const bar = Math.max(3, this.scale / fps); // pixels a bar, of one frame or several
    const middle = RULER + (height - RULER) / 2;
    for (let x = -(left % bar); x < width; x += bar) {
      const from = Math.floor(((left + x) / this.scale) * fps + 1e-6);
      const to = Math.max(from + 1, Math.floor(((left + x + bar) / this.scale) * fps));
      const peak = Math.max(0, ...waveform.slice(Math.max(0, from), to));
      const tall = Math.max(1.5, Math.min(1, peak) * (height - RULER - 6));
      context.fillRect(x, middle - tall / 2, Math.max(1.5, bar - 1.5), tall);
    }
  }

  drawLanes() {
    if (!this.scale || !this.edit) return;
    const focused = document.activeElement?.dataset?.key;
    const had = this.track.contains(document.activeElement);
    const { words, insertions } = this.edit;
    $("lane-words").replaceChildren(...words.map((word, index) => this.wordItem(word, index)));
    // gestures that overlap in time stand in rows
    const ends = [];
    const order = insertions.map((_, index) => index).sort(
      (a, b) => insertions[a].start - insertions[b].start);
    const rows = [];
    for (const index of order) {
      const { start, end } = insertions[index];
      let row = ends.findIndex((last) => last <= start);
      if (row < 0) row = ends.length;
      [ends[row], rows[index]] = [end, row];
    }
    const lane = $("lane-gestures");
    lane.style.height = `${Math.max(1, ends.length) * ROW}px`;
    lane.replaceChildren(...order.map((index) => this.gestureItem(insertions[index], index, rows[index])));
    if (!order.length) lane.append(h("p", { className: "hint" }, "No gestures at these words"));
    for (const one of [$("lane-words"), lane]) {
      const items = [...one.querySelectorAll(".item")];
      const stop = items.find((item) => item.ariaPressed === "true") || items[0];
      items.forEach((item) => { item.tabIndex = item === stop ? 0 : -1; });
    }
    if (had && focused) this.track.querySelector(`[data-key="${focused}"]`)?.focus({ preventScroll: true });
  }

  item(kind, index, className, label, keys) {
    const chosen = this.selected?.kind === kind && this.selected.index === index;
    const element = h("button", {
      type: "button", className: `item ${className}`, ariaLabel: label, title: label,
      ariaPressed: String(chosen),
      onclick: (event) => {
        this.select(kind, index);
        // Enter, in contrast to the mouse, goes on to the fields
        if (event.detail === 0) $("inspector").querySelector("input, select")?.focus();
      },
      onkeydown: (event) => {
        const by = { ArrowLeft: -FRAME, ArrowRight: FRAME }[event.key];
        const to = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[event.key];
        if (event.ctrlKey || event.altKey || event.metaKey) return;
        if (by) keys.move(by * (event.shiftKey ? 5 : 1));
        else if (to) element[to]?.focus();
        else if (event.key === "Delete" && keys.toggle) keys.toggle();
        else return;
        event.preventDefault();
        const other = document.activeElement;
        if (to && other.matches(".item")) {
          const [sort, number] = other.dataset.key.split(" ");
          this.select(sort, Number(number));
        }
      },
    });
    element.dataset.key = `${kind} ${index}`;
    return element;
  }

  place(element, start, end) {
    element.style.left = `${start * this.scale}px`;
    const width = Math.max(3, (end - start) * this.scale);
    element.style.width = `${width}px`;
    element.classList.toggle("narrow", width < 16);
  }

  wordItem(word, index) {
    const element = this.item("word", index, "word", `Word ${word.text}`, {
      move: (by) => {
        const { start, end } = this.edit.words[index];
        const [from, to] = this.edit.within(index, start + by, end + by);
        if (Math.abs(to - from - (end - start)) < FRAME / 2) this.setWord(index, from, to);
      },
    });
    element.append(h("span", { className: "label" }, word.text),
      h("span", { className: "grip left" }), h("span", { className: "grip right" }));
    this.place(element, word.start, word.end);
    this.drag(element, (event) => {
      const { left, width } = element.getBoundingClientRect();
      const grip = Math.min(GRIP, width / 3);
      const from = event.clientX - left < grip;
      if (!from && left + width - event.clientX > grip) return null;
      const times = (by) => this.edit.within(index, word.start + (from ? by : 0), word.end + (from ? 0 : by));
      return {
        moved: (by) => this.place(element, ...times(by)),
        dropped: (by) => this.setWord(index, ...times(by)),
      };
    });
    return element;
  }

  gestureItem(insertion, index, row) {
    const { entry, start, arrival, key, hold_end: leave, end, skipped, word } = insertion;
    const label = `Gesture ${entry}${word ? ` at ${word}` : ""}, ${key.toFixed(2)} s` +
      `${skipped ? `. ${reason(skipped)}` : ""}`;
    const element = this.item("gesture", index, `gesture${skipped ? " skipped" : ""}`, label, {
      move: (by) => this.move(index, by), toggle: () => this.toggle(index),
    });
    const share = (time) => `${(100 * (time - start)) / Math.max(end - start, 1e-3)}%`;
    const shape = h("span", { className: "shape" });
    shape.style.clipPath = `polygon(0 100%, ${share(arrival)} 0, ${share(leave)} 0, 100% 100%)`;
    const line = h("span", { className: "key" });
    line.style.left = share(key);
    const name = h("span", { className: "label" }, entry);
    name.style.left = share(key);
    element.append(shape, line, name);
    element.style.top = `${row * ROW}px`;
    this.place(element, start, end);
    this.drag(element, () => ({
      moved: (by) => {
        const moved = shifted(insertion, by);
        this.place(element, moved.start, moved.end);
      },
      dropped: (by) => this.move(index, by),
    }));
    return element;
  }

  /** Let an element be dragged; `begin` says what that does, or null where it does nothing. */
  drag(element, begin) {
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      const from = event.clientX;
      const action = begin(event);
      if (!action) return;
      element.setPointerCapture(event.pointerId);
      const seconds = (one) => (one.clientX - from) / this.scale;
      let moved = false;
      element.onpointermove = (one) => {
        moved ||= Math.abs(one.clientX - from) > 3;
        if (moved) action.moved(seconds(one));
      };
      element.onpointerup = element.onpointercancel = (one) => {
        element.onpointermove = element.onpointerup = element.onpointercancel = null;
        if (!moved) return;
        const [kind, number] = element.dataset.key.split(" ");
        this.selected = { kind, index: Number(number) };
        if (one.type === "pointerup") action.dropped(seconds(one));
        else this.update();
      };
    });
  }

  /** Seek to where the waveform is pressed. */
  scrub(event) {
    if (!(event.buttons & 1)) return;
    this.wave.setPointerCapture(event.pointerId);
    this.player.seek((event.clientX - this.track.getBoundingClientRect().left) / this.scale);
  }

  drawInspector() {
    const panel = $("inspector");
    const focused = panel.contains(document.activeElement) && document.activeElement.name;
    const { kind, index } = this.selected || {};
    let rows = [h("p", { className: "hint" }, "Choose a word or a gesture on the time line.")];
    if (kind === "word" && this.edit.words[index]) rows = this.wordFields(index);
    if (kind === "gesture" && this.edit.insertions[index]) rows = this.gestureFields(index);
    panel.replaceChildren(...rows);
    if (focused) panel.querySelector(`[name=${focused}]`)?.focus();
    panel.onkeydown = (event) => {
      if (event.key === "Escape") this.track.querySelector(`[data-key="${kind} ${index}"]`)?.focus();
    };
  }

  number(name, label, value, onchange) {
    return h("label", { className: "grow" }, label, h("input", {
      name, type: "number", step: "0.01", min: "0", max: String(this.plan.seconds),
      value: value.toFixed(2), inputMode: "decimal", onchange,
    }));
  }

  wordFields(index) {
    const word = this.edit.words[index];
    const problem = h("p", { className: "error", role: "alert", hidden: true });
    const change = ({ target }) => {
      const { start, end } = { ...word, [target.name]: target.valueAsNumber };
      const allowed = this.edit.within(index, start, end);
      if (!(end > start)) showError(problem, "The end must be after the start.");
      else if (allowed[0] !== round(start) || allowed[1] !== round(end)) {
        showError(problem, `From ${allowed[0]} to ${allowed[1]} s is free between its neighbours.`);
      } else this.setWord(index, start, end);
    };
    return [h("h2", {}, word.text), h("p", { className: "hint" }, "Word"),
      h("div", { className: "row" }, this.number("start", "Start, s", word.start, change),
        this.number("end", "End, s", word.end, change)), problem];
  }

  gestureFields(index) {
    const one = this.edit.insertions[index];
    const entry = this.plan.gestures.find((gesture) => gesture.name === one.entry);
    const swap = h("select", {
      name: "entry",
      onchange: () => {
        this.edit.change(index, "swap", { entry: swap.value });
        this.say(`${swap.value} in place of ${one.entry}`);
        this.update();
      },
    }, ...this.plan.gestures.map((gesture) => new Option(gesture.name, gesture.name)));
    swap.value = one.entry;
    const on = h("input", {
      type: "checkbox", role: "switch", name: "on", checked: !one.skipped,
      onchange: () => this.toggle(index),
    });
    const problem = h("p", { className: "error", role: "alert", hidden: true });
    const move = (event) => {
      const key = event.target.valueAsNumber;
      if (key >= 0 && key <= this.plan.seconds) this.move(index, key - one.key);
      else showError(problem, `A time from 0 to ${this.plan.seconds} s is needed.`);
    };
    return [h("h2", {}, one.entry),
      h("p", { className: "hint" }, one.word ? `Gesture at “${one.word}”` : "Gesture"),
      h("label", { className: "switch" }, on, h("span", {}, one.skipped ? reason(one.skipped) : "On")),
      h("div", { className: "row" }, h("label", { className: "grow" }, "Gesture", swap),
        this.number("key", "Key, s", one.key, move)), problem,
      h("p", { className: "hint" }, (entry?.parts || []).join(", ").replaceAll("_", " "))];
  }

  // Files and rendering

  save() {
    if (!this.edit?.timeline) {
      showError(this.error, "This speaker has no gestures to save.");
      return;
    }
    const text = `${JSON.stringify(this.edit.timeline, null, 1)}\n`;
    const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    h("a", { href: url, download: "timeline.json" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  async load(input) {
    const [file] = input.files;
    const { edit } = this;
    input.value = "";
    if (!file || !edit) return;
    try {
      checkSize(file, this.limits);
      const timeline = parseTimeline(await file.text());
      const base = await api.timeline(this.plan.id, { timeline });
      if (edit !== this.edit) return; // another take is shown meanwhile
      edit.set("load", { base, changes: {} });
      showError(this.error, "");
      this.selected = null;
      this.say(`${base.insertions.length} gestures loaded`);
      this.update();
    } catch (error) {
      showError(this.error, error);
    }
  }

  render(form) {
    attempt(form.querySelector("[type=submit]"), form.querySelector(":scope > .error"), async () => {
      const { seed, timeline, words, wordsEdited } = this.edit;
      const job = await api.makeVideo({
        speaker: this.plan.speaker, plan: this.plan.id, seed: String(seed),
        timeline: timeline ? JSON.stringify(timeline) : undefined,
        words: wordsEdited ? JSON.stringify(words) : undefined, ...this.options.values(),
      });
      follow($("direct-result"), add(job).id);
    });
  }
}
