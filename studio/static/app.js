// The page: tabs, speakers' cards, and what the parts share.

import { api, attempt, h, showError } from "./api.js";
import { Direct } from "./direct.js";
import { add, follow, jobs, refresh, videoResult } from "./jobs.js";
import { Live } from "./live.js";
import { Speak } from "./speak.js";
import { Train } from "./train.js";

const tabs = [...document.querySelectorAll("[role=tab]")];
const names = tabs.map((tab) => tab.getAttribute("aria-controls"));
const listeners = {};

/** Show the part that the address names, so that a reload and the back button work. */
function showPart() {
  const asked = location.hash.slice(2);
  const name = names.includes(asked) ? asked : names[0];
  tabs.forEach((tab, index) => {
    const chosen = names[index] === name;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    const panel = document.getElementById(names[index]);
    if (!chosen && !panel.hidden) listeners[names[index]]?.hidden?.();
    panel.hidden = !chosen;
  });
  listeners[name]?.shown?.();
}

function go(name) {
  // setting location.hash would take the focus away
  history.pushState(null, "", `#/${name}`);
  showPart();
}

tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => go(names[index]));
  tab.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const other = tabs.at(to % tabs.length);
    other.focus();
    other.click();
  });
});
window.addEventListener("popstate", showPart);

const SAMPLE = "Hello. This is how I speak, and how I move when something matters.";

/** Return the place of a speaker's newest video, with a button that makes one. */
function sample(speaker, limits) {
  const line = h("p", { className: "error", role: "alert", hidden: true });
  const make = h("button", {
    type: "button", className: "secondary", ariaLabel: `Make a sample of ${speaker.name}`,
    onclick: () => attempt(make, line, async () => {
      showVideo(place, add(await api.makeVideo({ speaker: speaker.name, text: SAMPLE, seed: "0" })));
    }),
  }, "Make a sample");
  const place = h("div", { className: "result sample" }, limits.text ? make : null, line);
  place.dataset.speaker = speaker.name;
  return place;
}

const showVideo = (place, job) => follow(place, job.id, (done) => videoResult(done)[0]);

/** Fill the places without a video from the jobs. */
function showSamples() {
  for (const place of document.querySelectorAll(".sample")) {
    const newest = jobs.list.find((job) => job.kind === "video" && job.state === "done" &&
      job.speaker === place.dataset.speaker && job.files.video);
    if (newest && !place.followed) showVideo(place, newest);
  }
}

function card(speaker, limits, tryOut) {
  const facts = [speaker.width ? `${speaker.width} × ${speaker.height}` : null,
    speaker.model === "speech2face" ? "Face" : "Whole body",
    speaker.gestures ? "Gestures" : null,
    speaker.emotions.length ? `${speaker.emotions.length} emotions` : null];
  return h("li", { className: "panel card" }, h("h2", {}, speaker.name), sample(speaker, limits),
    h("ul", { className: "facts" }, ...facts.filter(Boolean).map((fact) => h("li", {}, fact))),
    speaker.card ? h("details", {}, h("summary", {}, "Model card"),
      h("pre", { tabIndex: 0 }, speaker.card)) : null,
    h("div", { className: "actions" }, h("button", {
      type: "button", className: "secondary", ariaLabel: `Try ${speaker.name}`,
      onclick: () => tryOut(speaker.name),
    }, "Try")));
}

function showCards(speakers, limits, tryOut) {
  document.getElementById("no-speakers").hidden = speakers.length > 0;
  document.getElementById("speaker-cards").replaceChildren(
    ...speakers.map((speaker) => card(speaker, limits, tryOut)));
  showSamples();
}

async function start() {
  showPart();
  const [limits, speakers] = await Promise.all([api.limits(), api.speakers(), refresh()]);
  const direct = new Direct({ limits, speakers });
  const speak = new Speak({
    limits, speakers,
    direct: (plan, seed) => {
      direct.open(plan, seed);
      go("direct");
    },
  });
  const live = new Live({ limits, speakers });
  const changed = async () => {
    const now = await api.speakers();
    for (const part of [speak, direct, live, train]) part.setSpeakers(now);
    showCards(now, limits, tryOut);
  };
  const tryOut = async (name) => {
    if (!speak.speakers.some((one) => one.name === name)) await changed(); // just trained
    speak.chooseSpeaker(name);
    go("speak");
    speak.speaker.focus();
  };
  const train = new Train({ limits, speakers, tryOut, changed });
  Object.assign(listeners, { direct, live, train });
  showCards(speakers, limits, tryOut);
  jobs.addEventListener("change", showSamples);
  document.documentElement.dataset.ready = "true";
  await refresh();
  showPart();
  document.addEventListener("visibilitychange", () => !document.hidden && refresh());
}

start().catch((error) => showError(document.getElementById("banner"), error));
