// Requests to the studio's server, and small helpers to build elements.

export class ApiError extends Error {}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The studio does not answer. Is it running?");
  }
  if (response.ok) return response;
  throw refusal(response.status, await response.text());
}

function refusal(status, text) {
  if (status === 401) {
    return new ApiError("The studio needs its token: open the address that it printed.");
  }
  let line = `The studio answered with status ${status}.`;
  try {
    line = String(JSON.parse(text).error || line);
  } catch { /* an answer of something between here and the studio */ }
  return new ApiError(line);
}

/** Send a form whose upload takes a while; `sent(share)` is called as it goes on. */
function upload(url, data, { signal, sent }) {
  return new Promise((resolve, reject) => {
    const asked = new XMLHttpRequest();
    asked.open("POST", url);
    asked.upload.addEventListener("progress", (event) =>
      event.lengthComputable && sent(event.loaded / event.total));
    asked.addEventListener("load", () => (asked.status < 300
      ? resolve(JSON.parse(asked.responseText)) : reject(refusal(asked.status, asked.responseText))));
    asked.addEventListener("error", () =>
      reject(new ApiError("The studio does not answer. Is it running?")));
    asked.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
    signal.addEventListener("abort", () => asked.abort());
    asked.send(data);
  });
}

const json = (method, body, more = {}) => ({
  method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" }, ...more,
});

function form(values) {
  const data = new FormData();
  for (const [name, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== "" && one !== null && one !== undefined) data.append(name, one);
    }
  }
  return data;
}

const path = encodeURIComponent;
const read = async (url) => (await request(url)).json();

export const api = {
  limits: () => read("/api/limits"),
  speakers: () => read("/api/speakers"),
  jobs: () => read("/api/jobs"),
  remove: (id) => request(`/api/jobs/${path(id)}`, { method: "DELETE" }),
  file: (id, name) => `/api/jobs/${path(id)}/files/${path(name)}`,
  makeVideo: async (values) =>
    (await request("/api/videos", { method: "POST", body: form(values) })).json(),
  makePlan: async (values) =>
    (await request("/api/plans", { method: "POST", body: form(values) })).json(),
  plan: (id) => read(`/api/plans/${path(id)}`),
  timeline: async (id, body, signal) =>
    (await request(`/api/plans/${path(id)}/timeline`, json("POST", body, { signal }))).json(),
  points: async (id, body, signal) => {
    const answer = await request(`/api/plans/${path(id)}/points`, json("POST", body, { signal }));
    return new Int16Array(await answer.arrayBuffer());
  },
  live: async (body) => (await request("/api/live", json("POST", body))).json(),
  // keepalive: a page that is being closed ends its session, too
  endLive: (id) => request(`/api/live/${path(id)}`, { method: "DELETE", keepalive: true }),
  trainings: () => read("/api/trainings"),
  training: (id) => read(`/api/trainings/${path(id)}`),
  train: (values, how) => upload("/api/trainings", form(values), how),
  trainingDo: async (id, what) =>
    (await request(`/api/trainings/${path(id)}/${what}`, { method: "POST" })).json(),
  removeTraining: (id) => request(`/api/trainings/${path(id)}`, { method: "DELETE" }),
  report: (id, name) => `/api/trainings/${path(id)}/reports/${name.split("/").map(path).join("/")}`,
  say: (id, values) => request(`/api/live/${path(id)}/text`, json("POST", values)),
};

/** Return an element; `on...` are listeners, known names properties, others attributes. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.classList.add("icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Return a copy of a template's first element. */
export const template = (id) =>
  document.getElementById(id).content.firstElementChild.cloneNode(true);

/** Show one line in an error's place, or clear it. */
export function showError(place, error) {
  const text = error instanceof Error ? error.message : error || "";
  place.textContent = text;
  place.hidden = !text;
}

/** Run what a button asks for: the button waits, an error is shown in its place. */
export async function attempt(button, place, action) {
  showError(place, "");
  const focused = document.activeElement === button;
  button.disabled = true;
  try {
    return await action();
  } catch (error) {
    if (error.name !== "AbortError") showError(place, error);
    return undefined;
  } finally {
    button.disabled = false;
    // a disabled button loses the focus
    if (focused && document.activeElement === document.body) button.focus();
  }
}

export const clock = (seconds) => {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
};

/** Return a length of time in words: 40 s, 3 min 20 s, 1 h 5 min. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`;
}

export function size(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${Math.round(bytes / 1e6)} MB`;
}

/** Return a canvas' context, its bitmap as large as it is shown, in CSS pixels. */
export function prepare(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  const [w, h2] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h2) [canvas.width, canvas.height] = [w, h2];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

export const cssColour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();
