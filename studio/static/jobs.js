// The server's jobs: asked for again while any is under way, shown as a list and as results.

import { api, attempt, duration, h, icon, showError, size } from "./api.js";

const ACTIVE = ["queued", "running"];
const FILES = {
  video: "Video", motion: "Motion, npz", bvh: "Motion, BVH", timeline: "Timeline",
  captions: "Captions", audio: "Audio",
};

export const jobs = new EventTarget();
jobs.list = [];
let timer = 0;
let error = null;
let newest = 0; // number of the newest list that was asked for or made

export const isActive = (job) => ACTIVE.includes(job.state);
export const find = (id) => jobs.list.find((job) => job.id === id);

/** Ask for the jobs now, and again while one is under way. */
export async function refresh() {
  const mine = (newest += 1);
  let list = jobs.list;
  let problem = null;
  try {
    list = await api.jobs();
  } catch (failure) {
    problem = failure;
  }
  if (mine !== newest) return; // older than a job that was added, or than another answer
  [jobs.list, error] = [list, problem];
  clearTimeout(timer);
  if (error || jobs.list.some(isActive)) timer = setTimeout(refresh, error ? 3000 : 700);
  jobs.dispatchEvent(new Event("change"));
}

/** Add a new job at once, before the server lists it. */
export function add(job) {
  newest += 1;
  jobs.list = [job, ...jobs.list.filter((one) => one.id !== job.id)];
  jobs.dispatchEvent(new Event("change"));
  clearTimeout(timer);
  timer = setTimeout(refresh, 300);
  return job;
}

export function stateText(job) {
  switch (job.state) {
    case "queued":
      return job.position ? `Waiting, ${job.position} before it` : "Waiting";
    case "running": {
      const share = job.total ? `${Math.floor((100 * job.done) / job.total)} %` : "Starting";
      const left = job.seconds_left === null ? "" : `, ${duration(job.seconds_left)} left`;
      return share + left;
    }
    case "failed":
      return job.error || "Failed";
    case "interrupted":
      return job.error || "Interrupted: the studio was stopped";
    default:
      return job.state === "done" ? "Done" : "Cancelled";
  }
}

/** Return a job's state and progress as elements that `update(job)` keeps current. */
function progress(tag) {
  const text = h(tag, { className: tag === "p" ? "hint" : "job-state" });
  const bar = h("progress", { ariaLabel: "Progress" });
  return {
    text, bar,
    update(job) {
      text.textContent = stateText(job);
      bar.hidden = job.state !== "running";
      bar.max = job.total || 1;
      if (job.total) bar.value = job.done;
    },
  };
}

const removeButton = (job, place, className) => {
  const word = isActive(job) ? "Cancel" : "Remove";
  return h("button", {
    type: "button", className, ariaLabel: `${word} ${job.title}`, title: word,
    onclick: (event) => attempt(event.currentTarget, place, async () => {
      await api.remove(job.id);
      await refresh();
    }),
  }, isActive(job) ? word : icon("close"));
};

function listRow(job, place, open) {
  const made = new Date(job.created * 1000).toLocaleTimeString(
    [], { hour: "2-digit", minute: "2-digit" });
  const line = [job.kind === "plan" ? "Takes" : "Video", job.speaker, made].join(" · ");
  const { text, bar, update } = progress("span");
  const row = h("li", { className: `job ${job.state}` },
    h("button", { type: "button", className: "job-name", onclick: () => open(job) },
      h("strong", {}, job.title), h("span", {}, line)),
    text, removeButton(job, place, isActive(job) ? "quiet" : "quiet square"), bar);
  return { row, update, state: job.state };
}

/** Keep a list element equal to the jobs; `open(job)` shows one. */
export function showList(list, empty, place, open) {
  const rows = new Map(); // a row stays while its job's state does: so do clicks and the focus
  jobs.addEventListener("change", () => {
    showError(place, error);
    empty.hidden = jobs.list.length > 0;
    const wanted = jobs.list.map((job) => {
      let one = rows.get(job.id);
      if (one?.state !== job.state) {
        const focused = one?.row.contains(document.activeElement);
        const next = listRow(job, place, open);
        one?.row.replaceWith(next.row);
        if (focused) next.row.querySelector("button").focus();
        rows.set(job.id, (one = next));
      }
      one.update(job);
      return one.row;
    });
    for (const row of [...list.children]) if (!wanted.includes(row)) row.remove();
    wanted.forEach((row, index) => {
      if (list.children[index] !== row) list.insertBefore(row, list.children[index] || null);
    });
  });
}

/** Show a job in a place until another is shown there: progress, then `done(job)`'s elements. */
export function follow(place, id, done = videoResult) {
  const token = (place.followed = {});
  let shown = null; // state of the job
  const { text, bar, update: updateProgress } = progress("p");
  const live = h("p", { className: "visually-hidden", role: "status" });
  const line = h("p", { className: "error", role: "alert", hidden: true });
  const view = h("div", {});
  place.replaceChildren(view, line, live);
  const update = () => {
    const job = find(id);
    const ours = place.followed === token;
    if (!ours || (!job && shown)) {
      jobs.removeEventListener("change", update);
      if (ours) view.replaceChildren(stage("This job was removed."));
      return;
    }
    if (!job) return;
    const changed = job.state !== shown;
    shown = job.state;
    if (isActive(job)) {
      if (changed) {
        view.replaceChildren(h("div", { className: "stage empty working" },
          h("p", {}, h("strong", {}, job.title)), bar, text, removeButton(job, line, "secondary")));
      }
      updateProgress(job);
      // each quarter is announced, not each frame
      const quarter = job.total ? 25 * Math.floor((4 * job.done) / job.total) : 0;
      const announced = job.state === "queued" ? stateText(job) : `${quarter} % done`;
      if (announced !== live.textContent) live.textContent = announced;
      return;
    }
    jobs.removeEventListener("change", update);
    live.textContent = `${job.title}: ${stateText(job)}`;
    if (job.state === "done") view.replaceChildren(...[done(job)].flat());
    else view.replaceChildren(stage(job.title, stateText(job)));
  };
  jobs.addEventListener("change", update);
  update();
}

const stage = (text, problem) => h("div", { className: "stage empty" }, h("p", {}, text),
  problem ? h("p", { className: "error", role: "alert" }, problem) : null);

/** Return a finished video and its downloads. */
export function videoResult(job) {
  const url = api.file(job.id, job.files.video);
  const note = h("p", { className: "hint", hidden: true },
    "This browser does not play the format; the download has it.");
  const animated = /\.(gif|a?png)$/.test(job.files.video);
  const media = animated
    ? h("img", { src: url, alt: `Video of ${job.speaker}` })
    : h("video", { src: url, controls: true, playsInline: true, loop: false,
      ariaLabel: `Video of ${job.speaker}`, onerror: () => { note.hidden = false; } });
  const links = Object.entries(job.files).filter(([kind]) => kind in FILES).map(([kind, name]) =>
    h("a", { href: api.file(job.id, name), download: name, className: "button secondary" },
      icon("down"), FILES[kind]));
  return [h("div", { className: "stage" }, media), note,
    h("p", { className: "caption" }, h("strong", {}, job.title), ` · ${job.speaker}`),
    h("div", { className: "downloads" }, ...links)];
}

/** Throw if a file is larger than the server takes. */
export function checkSize(file, limits) {
  if (file.size > limits.max_upload_bytes) {
    throw new Error(`${file.name}: ${size(file.size)}; at most ` +
      `${size(limits.max_upload_bytes)} are taken.`);
  }
}
