// The page: tabs, speakers' cards, and what the parts share.

import { api, h, showError } from "./api.js";
import { Direct } from "./direct.js";
import { refresh } from "./jobs.js";
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

function card(speaker, attempt) {
  const facts = [speaker.width ? `${speaker.width} × ${speaker.height}` : null,
    speaker.model === "speech2face" ? "Face" : "Whole body",
    speaker.gestures ? "Gestures" : null,
    speaker.emotions.length ? `${speaker.emotions.length} emotions` : null];
  return h("li", { className: "panel card" }, h("h2", {}, speaker.name),
    h("ul", { className: "facts" }, ...facts.filter(Boolean).map((fact) => h("li", {}, fact))),
    speaker.card ? h("details", {}, h("summary", {}, "Model card"),
      h("pre", { tabIndex: 0 }, speaker.card)) : null,
    h("div", { className: "actions" }, h("button", {
      type: "button", className: "secondary", ariaLabel: `Try ${speaker.name}`,
      onclick: () => attempt(speaker.name),
    }, "Try")));
}

function showCards(speakers, tryOut) {
  document.getElementById("no-speakers").hidden = speakers.length > 0;
  document.getElementById("speaker-cards").replaceChildren(
    ...speakers.map((speaker) => card(speaker, tryOut)));
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
  const tryOut = (name) => {
    speak.chooseSpeaker(name);
    go("speak");
    speak.speaker.focus();
  };
  const train = new Train({ limits, speakers, tryOut, changed: async () => {
    const now = await api.speakers();
    for (const part of [speak, direct, live, train]) part.setSpeakers(now);
    showCards(now, tryOut);
  } });
  Object.assign(listeners, { direct, live, train });
  showCards(speakers, tryOut);
  document.documentElement.dataset.ready = "true";
  await refresh();
  showPart();
  document.addEventListener("visibilitychange", () => !document.hidden && refresh());
}

start().catch((error) => showError(document.getElementById("banner"), error));
