"""A page for raters: pairs of videos with one sound, of which they choose one. The key is apart.

The folder `study` is all that raters get. Its videos are written alike, whatever made them, and
say that they are of a study in which some are synthetic. `study_key.json` lies beside it, and says
which is which. Nobody has been asked: the result is for whoever puts it before people.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from dominate import document, tags
from dominate.util import raw

from speech2video.util.files import atomic_write
from speech2video.util.timing import FPS
from speech2video.util.video.writer import write_video

FOLDER, PAGE, KEY = "study", "index.html", "study_key.json"
COMMENT = "synthetic or recorded: one of a pair in a user study of speech2video"
QUESTION = "Which looks more like a recording of a person who says this?"
_STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 900px; margin: 2em auto; padding: 0 1em; }
fieldset { margin: 2em 0; border: 1px solid #ccc; } video { width: 360px; }
td { text-align: center; padding: .3em 1em; } textarea { width: 100%; height: 8em; }
"""
_SCRIPT = """
document.querySelector("button").onclick = () => {
  const answers = Object.fromEntries(new FormData(document.querySelector("form")));
  const missing = document.querySelectorAll("fieldset").length - Object.keys(answers).length;
  document.querySelector("textarea").value = JSON.stringify(answers, null, 2);
  document.querySelector("output").value = missing ? missing + " without an answer" : "complete";
};
"""


class Pair(NamedTuple):
    """One question: what both sides are called in the key, their frames, and their sound."""

    clip: str
    names: tuple[str, str]
    videos: tuple[np.ndarray, np.ndarray]
    audio: Path


class Study:
    """Writes pairs as they come, then the page and its key.

    Args:
        folder: of the whole measuring.
        seed: draws which side each video is on, and the order of the pairs.
    """

    def __init__(self, folder: Path, *, seed: int) -> None:
        self._folder, self._chance = folder, np.random.default_rng(seed)
        self._key: dict[str, dict[str, str]] = {}
        self._codes = [f"{code:04x}" for code in self._chance.permutation(1 << 16)]

    def add(self, pair: Pair) -> None:
        """Write both videos of a pair, in drawn order and under names that say nothing."""
        code = self._codes[len(self._key)]
        first = int(self._chance.integers(2))
        sides = {"left": first, "right": 1 - first}
        for side, index in sides.items():
            path = self._folder / FOLDER / f"{code}_{side}.mp4"
            about = {"metadata": {"comment": COMMENT}, "synthetic": False, "audio": pair.audio}
            write_video(path, pair.videos[index], fps=FPS, **about)
        self._key[code] = {"clip": pair.clip} | {
            side: pair.names[index] for side, index in sides.items()
        }

    def finish(self) -> dict[str, str | int]:
        """Write page and key; return what there is to say of the study."""
        codes = sorted(self._key)  # random, and so is their order
        with atomic_write(self._folder / FOLDER / PAGE) as partial:
            partial.write_text(_page(codes), encoding="utf-8")
        with atomic_write(self._folder / KEY) as partial:
            partial.write_text(json.dumps(self._key, indent=2) + "\n", encoding="utf-8")
        return {"page": f"{FOLDER}/{PAGE}", "key": KEY, "pairs": len(codes), "result": "not done"}


def _page(codes: Sequence[str]) -> str:
    page = document(title="Two videos")
    with page.head:
        tags.meta(charset="utf-8")
        tags.style(raw(_STYLE))
    page.add(tags.h1("Two videos"))
    page.add(tags.p("Some of these videos are synthetic. Watch both with sound, then choose one."))
    page.add(tags.form(*(_question(i, code) for i, code in enumerate(codes, 1))))
    page.add(tags.button("Show my answers"), tags.output(), tags.textarea(readonly=True))
    page.add(tags.script(raw(_SCRIPT)))
    return page.render()


def _question(number: int, code: str) -> tags.fieldset:
    sides = ("left", "right")
    videos = [tags.td(tags.video(src=f"{code}_{side}.mp4", controls=True)) for side in sides]
    choices = [
        tags.td(tags.label(tags.input_(type="radio", name=code, value=side), f" {side}"))
        for side in sides
    ]
    return tags.fieldset(
        tags.legend(f"{number}. {QUESTION}"), tags.table(tags.tr(*videos), tags.tr(*choices))
    )
