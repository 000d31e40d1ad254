// Train: recordings become a new speaker; its training is followed, stopped and continued.

import { api, attempt, duration, h, icon, showError, size } from "./api.js";

const ACTIVE = ["running", "stopping"];
const POLL = 1500; // milliseconds
const SURE = 4000; // milliseconds in which a second click removes
const UNITS = { clips: "recordings", motion: "steps", images: "steps" };
const STATES = {
  running: "Training", stopping: "Stopping, its state is saved", stopped: "Stopped",
  interrupted: "Interrupted", failed: "Failed", done: "Ready",
};
const HINTS = {
  quick: (limits) => `${limits.quick_steps} steps: a first, blurred result.`,
  default: (limits) => `${limits.default_steps} steps: about two hours on two cores.`,
  steps: () => "Sharper with more, if there are recordings enough.",
};

const $ = (id) => document.getElementById(id);
const whole = (number) => number.toLocaleString("en");

/** Return whether a training's speaker is among the others. */
const isMade = (training) =>
  training.parts.some((part) => part.key === "speaker" && part.state === "done");

export class Train {
  constructor({ limits, speakers, tryOut, changed }) {
    [this.limits, this.tryOut, this.changed] = [limits.training, tryOut, changed];
    [this.files, this.list, this.view, this.timer] = [[], [], null, 0];
    this.unanswered = false; // whether an error of asking is shown
    this.ready = null; // names of trainings whose speaker is there
    this.form = $("train-form");
    this.error = $("train-error");
    this.submit = this.form.querySelector("[type=submit]");
    const drop = this.form.querySelector(".drop");
    const input = $("train-files");
    input.accept = ["video/*", ...this.limits.recordings, ...this.limits.words].join();
    input.addEventListener("change", () => {
      this.add([...input.files]);
      input.value = "";
    });
    const over = (on) => (event) => {
      event.preventDefault();
      drop.classList.toggle("over", on);
    };
    drop.addEventListener("dragover", over(true));
    drop.addEventListener("dragleave", over(false));
    drop.addEventListener("drop", (event) => {
      over(false)(event);
      this.add([...event.dataTransfer.files]);
    });
    this.field("size").append(...this.limits.sizes.map((one) => new Option(`${one} × ${one}`, one)));
    const folders = Object.entries(this.limits.folders);
    this.field("folder").append(...folders.map(([name, count]) => new Option(
      `${name} (${count} ${count === 1 ? "recording" : "recordings"})`, name)));
    $("train-sources").hidden = !folders.length;
    $("train-recognise").hidden = !this.limits.recognise;
    for (const radio of this.form.querySelectorAll("[type=radio]")) {
      radio.addEventListener("change", () => this.update());
    }
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      attempt(this.submit, this.error, () => this.start());
    });
    if (this.limits.problem) {
      this.submit.disabled = true;
      showError(this.error, this.limits.problem);
    }
    this.setSpeakers(speakers);
    this.update();
    this.refresh();
  }

  field(name) {
    return this.form.elements.namedItem(name);
  }

  setSpeakers(speakers) {
    const bodies = speakers.filter((one) => one.model === "speech2video");
    const select = this.field("pretrained");
    const chosen = select.options.length ? select.value : "demo";
    select.replaceChildren(...bodies.map((one) => new Option(one.name, one.name)),
      new Option("Nothing", ""));
    select.value = bodies.some((one) => one.name === chosen) ? chosen : "";
  }

  /** Called when the tab is shown. */
  shown() {
    this.refresh();
  }

  update() {
    const source = this.field("source").value;
    for (const part of this.form.querySelectorAll("[data-source]")) {
      part.hidden = part.dataset.source !== source;
    }
    const length = this.field("length").value;
    $("train-steps").hidden = length !== "steps";
    $("train-length-hint").textContent = HINTS[length](this.limits);
  }

  add(files) {
    showError($("train-files-error"), "");
    const kinds = [...this.limits.recordings, ...this.limits.words].map((one) => one.toLowerCase());
    const known = files.filter((one) => kinds.some((end) => one.name.toLowerCase().endsWith(end)));
    const names = known.map((one) => one.name);
    this.files = [...this.files.filter((one) => !names.includes(one.name)), ...known];
    const other = files.find((one) => !known.includes(one));
    if (other) showError($("train-files-error"), `${other.name}: neither a video nor a text of words.`);
    this.listFiles();
  }

  listFiles() {
    $("train-list").replaceChildren(...this.files.map((file) => h("li", {},
      h("span", { title: file.name }, file.name), h("span", { className: "hint" }, size(file.size)),
      h("button", {
        type: "button", className: "quiet square", ariaLabel: `Leave out ${file.name}`,
        onclick: () => {
          this.files = this.files.filter((one) => one !== file);
          this.listFiles();
          $("train-files").focus();
        },
      }, icon("close")))));
  }

  values() {
    const value = (name) => this.field(name).value.trim();
    const values = { name: value("name"), size: value("size"), pretrained: value("pretrained"),
      language: value("language"), recognise: this.field("recognise").checked ? "true" : "" };
    if (!values.name) throw new Error("Name: the new speaker needs one.");
    values.steps = value("length") === "steps" ? value("steps") : value("length");
    if (!values.steps) throw new Error("Steps: a whole number from 1 on is needed.");
    if (value("source") === "folder") return { ...values, folder: value("folder") };
    if (!this.files.length) throw new Error("Choose recordings first.");
    const bytes = this.files.reduce((sum, one) => sum + one.size, 0);
    if (bytes > this.limits.max_upload_bytes) {
      throw new Error(`${size(bytes)} of recordings; at most ` +
        `${size(this.limits.max_upload_bytes)} are taken.`);
    }
    return { ...values, recordings: this.files };
  }

  async start() {
    const values = this.values();
    const sending = $("train-sending");
    const [bar, text, cancel] = sending.children;
    const stopped = new AbortController();
    cancel.onclick = () => stopped.abort();
    const sent = (share) => {
      bar.value = share;
      text.textContent = share < 1 ? `${Math.floor(100 * share)} % sent` : "Checking";
    };
    sent(0);
    sending.hidden = !values.recordings;
    try {
      const training = await api.train(values, { signal: stopped.signal, sent });
      this.files = [];
      this.listFiles();
      this.field("name").value = "";
      this.open(training);
      await this.refresh();
      $("training").scrollIntoView({ block: "nearest" });
    } finally {
      sending.hidden = true;
    }
  }

  /** Ask for the trainings now, and again while one is under way. */
  async refresh() {
    clearTimeout(this.timer);
    let again = true;
    try {
      this.list = await api.trainings();
      if (!this.shownTraining() && this.list.length) this.open(this.list[0]);
      this.showList();
      const training = this.shownTraining();
      if (training) this.view.update(await api.training(training.id));
      else this.close();
      if (this.unanswered) showError(this.view?.error || this.error, "");
      this.unanswered = false;
      again = this.list.some((one) => ACTIVE.includes(one.state));
      this.noteSpeakers();
    } catch (error) {
      showError(this.view?.error || this.error, error);
      this.unanswered = true;
    }
    clearTimeout(this.timer);
    if (again) this.timer = setTimeout(() => this.refresh(), POLL);
  }

  shownTraining() {
    return this.list.find((one) => one.id === this.view?.id);
  }

  /** Have the other parts list a speaker that has just been made. */
  noteSpeakers() {
    const names = this.list.filter(isMade).map((one) => one.name);
    const news = this.ready && names.some((name) => !this.ready.includes(name));
    this.ready = names;
    if (news) this.changed();
  }

  open(training) {
    if (this.view?.id !== training.id) {
      this.view = new View(training, this);
      $("training").replaceChildren(this.view.element);
    }
    $("train").classList.add("used");
    this.view.update(training);
    this.showList();
  }

  close() {
    if (!this.view) return;
    this.view = null;
    $("train").classList.remove("used");
    $("training").replaceChildren(h("div", { className: "stage empty" },
      h("p", {}, "A few minutes of video of one person", h("br"), "become a speaker.")));
  }

  showList() {
    $("trainings").hidden = this.list.length < 2;
    const place = $("training-list");
    const focused = place.contains(document.activeElement) ? document.activeElement.dataset.id : "";
    place.replaceChildren(...this.list.map((one) => h("li", {
      className: `job ${one.state}`, "aria-current": String(one.id === this.view?.id),
    }, h("button", {
      type: "button", className: "job-name", "data-id": one.id,
      onclick: () => {
        this.open(one);
        this.refresh();
      },
    }, h("strong", {}, one.name), h("span", {}, new Date(one.created * 1000).toLocaleString(
      [], { dateStyle: "medium", timeStyle: "short" }))),
    h("span", { className: "job-state" }, STATES[one.state]))));
    if (focused) place.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  }
}

/** A training: its parts, what can be done with it, reports and log. */
class View {
  constructor(training, train) {
    [this.id, this.train, this.chosen, this.state, this.parts] = [training.id, train, "", "", ""];
    this.line = h("span", {});
    this.list = h("ol", { className: "parts" });
    this.status = h("p", { className: "visually-hidden", role: "status" });
    this.failure = h("p", { className: "error", role: "alert", hidden: true });
    this.error = h("p", { className: "error", role: "alert", hidden: true });
    this.notes = h("ul", { className: "notes", hidden: true });
    this.actions = h("div", { className: "actions" });
    this.log = h("pre", { className: "log", tabIndex: 0, ariaLabel: "Log" });
    this.chips = h("div", { className: "chips", role: "group", ariaLabel: "Reports" });
    // no scripts; the same origin, so that the studio's token reaches its images
    this.frame = h("iframe", { sandbox: "allow-same-origin", title: "Report" });
    this.frame.addEventListener("load", () => this.loaded());
    this.report = h("div", { className: "panel report", hidden: true }, this.chips, this.frame);
    const facts = [`${training.size} × ${training.size}`, `${whole(training.steps)} steps`,
      training.folder || `${training.files.length} ${training.files.length === 1 ? "recording" : "recordings"}`];
    this.element = h("div", { className: "training" },
      h("div", { className: "panel" },
        h("div", { className: "training-head" }, h("h2", {}, training.name), this.line),
        h("ul", { className: "facts" }, ...facts.map((one) => h("li", {}, one))),
        this.list, this.failure, this.notes, this.actions, this.error, this.status,
        h("details", { className: "more" }, h("summary", {}, "Log"), this.log)),
      this.report);
  }

  update(training) {
    const spent = training.seconds ? ` · ${duration(training.seconds)}` : "";
    this.line.textContent = STATES[training.state] + spent;
    this.showParts(training);
    showError(this.failure, ACTIVE.includes(training.state) ? "" : training.error);
    this.notes.hidden = !training.notes.length;
    this.notes.replaceChildren(...training.notes.map((one) => h("li", {}, one)));
    const state = training.state + isMade(training);
    if (state !== this.state) {
      const focused = this.actions.contains(document.activeElement);
      this.state = state;
      this.status.textContent = `${training.name}: ${STATES[training.state]}`;
      this.actions.replaceChildren(...this.buttons(training));
      if (focused) this.actions.querySelector("button")?.focus();
    }
    if (training.log) this.showLog(training.log);
    this.showReports(training);
  }

  showParts(training) {
    const active = ACTIVE.includes(training.state);
    const known = training.parts.map((part) => part.key + part.state).join();
    if (known !== this.parts) {
      this.parts = known;
      this.list.replaceChildren(...training.parts.map((part) => {
        const current = !["done", "waiting"].includes(part.state);
        const mark = part.state === "done" ? icon("check") : current ? null : icon("dash");
        return h("li", { className: current ? `current ${part.state}` : part.state, "data-key": part.key },
          h("span", { className: "mark" }, mark), part.title, h("span", { className: "hint" }),
          current ? h("progress", { ariaLabel: part.title }) : null);
      }));
    }
    const row = this.list.querySelector(".current");
    if (!row) return;
    const bar = row.querySelector("progress");
    const key = row.dataset.key;
    bar.hidden = !active;
    let text = "";
    if (training.total && active) {
      [bar.max, bar.value] = [training.total, training.done];
      text = UNITS[key] ? `${whole(training.done)} of ${whole(training.total)} ${UNITS[key]}` : "";
      if (training.seconds_left) text += `${text ? ", " : ""}${duration(training.seconds_left)} left`;
    } else {
      bar.removeAttribute("value");
    }
    row.querySelector(".hint").textContent = text;
  }

  buttons(training) {
    const button = (word, className, action) => h("button", {
      type: "button", className,
      onclick: (event) => attempt(event.currentTarget, this.error, action),
    }, word);
    const made = isMade(training)
      ? [button(`Speak with ${training.name}`, "primary", async () => this.train.tryOut(training.name))]
      : [];
    if (ACTIVE.includes(training.state)) {
      const stop = button("Stop", "secondary", () => this.ask("stop"));
      stop.disabled = training.state === "stopping";
      return [...made, stop];
    }
    if (training.state === "done") return [...made, this.removeButton(training)];
    const main = button("Go on", made.length ? "secondary" : "primary", () => this.ask("continue"));
    return [...made, main, this.removeButton(training)];
  }

  /** Return a button that removes at the second click: hours of work may be lost. */
  removeButton(training) {
    const button = h("button", {
      type: "button", className: "secondary",
      onclick: () => {
        if (button.classList.contains("danger")) {
          attempt(button, this.error, async () => {
            await api.removeTraining(training.id);
            await this.train.refresh();
          });
          return;
        }
        button.classList.add("danger");
        button.textContent = training.state === "done"
          ? "Remove recordings and runs; the speaker stays" : "Remove for good";
        setTimeout(() => {
          button.classList.remove("danger");
          button.textContent = "Remove";
        }, SURE);
      },
    }, "Remove");
    return button;
  }

  async ask(what) {
    this.update(await api.trainingDo(this.id, what));
    await this.train.refresh();
  }

  showLog(lines) {
    const text = lines.join("\n");
    if (text === this.log.textContent) return;
    const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 30;
    this.log.textContent = text;
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  /** Show the chosen report, by default the one that has changed last. */
  showReports(training) {
    const { reports } = training;
    this.report.hidden = !reports.length;
    if (!reports.length) return;
    const newest = reports.reduce((best, one) => (one.changed > best.changed ? one : best));
    const shown = reports.find((one) => one.path === this.chosen) || newest;
    const known = reports.map((one) => one.path).join() + shown.path;
    if (known !== this.chips.dataset.known) {
      const focused = this.chips.contains(document.activeElement) && document.activeElement.textContent;
      this.chips.dataset.known = known;
      this.chips.replaceChildren(...reports.map((one) => h("button", {
        type: "button", ariaPressed: String(one === shown),
        onclick: () => {
          this.chosen = one.path;
          this.showReports(training);
        },
      }, one.title)), h("a", {
        href: api.report(training.id, shown.path), target: "_blank", rel: "noopener",
        className: "button quiet square", ariaLabel: "Open the report in a new tab",
      }, icon("open")));
      if (focused) [...this.chips.children].find((one) => one.textContent === focused)?.focus();
    }
    const address = `${api.report(training.id, shown.path)}?${shown.changed}`;
    if (address === this.address) return;
    const same = this.path === shown.path;
    this.top = same ? this.frame.contentWindow?.scrollY || 0 : 0;
    [this.address, this.path] = [address, shown.path];
    this.frame.title = `Report: ${shown.title}`;
    if (this.frame.src && this.frame.isConnected) this.frame.contentWindow.location.replace(address);
    else this.frame.src = address;
  }

  /** Scroll a report that was loaded again to where it was. */
  loaded() {
    this.frame.contentWindow?.scrollTo(0, this.top || 0);
  }
}
