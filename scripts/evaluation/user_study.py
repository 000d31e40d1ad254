"""A page for a user study: pairs of videos with the same audio, and the key in a separate file.

Raters get the folder `study` only. All its videos are written alike, and their metadata say that
they belong to a study with synthetic videos. `study_key.json` next to it maps sides to systems.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from dominate import tags

from speech2video.util.files import write_json
from speech2video.util.html_report import table, video, write_page
from speech2video.util.timing import FPS
from speech2video.util.video.writer import write_video

FOLDER, PAGE, KEY = "study", "index.html", "study_key.json"
COMMENT = "synthetic or recorded: one of a pair in a user study of speech2video"
TITLE = "Two videos"
INTRODUCTION = "Some of these videos are synthetic. Watch both with audio, then choose one."
QUESTION = "Which is more like a recording of a person who says this?"
_SCRIPT = """
document.querySelector("button").onclick = () => {
  const answers = Object.fromEntries(new FormData(document.querySelector("form")));
  const missing = document.querySelectorAll("fieldset").length - Object.keys(answers).length;
  document.querySelector("textarea").value = JSON.stringify(answers, null, 2);
  document.querySelector("output").value = missing ? missing + " without an answer" : "complete";
};
"""


class Pair(NamedTuple):
    """One question: clip, names of both systems, their frames (T, 3, H, W), and the audio."""

    clip: str
    names: tuple[str, str]
    videos: tuple[np.ndarray, np.ndarray]
    audio: Path


class UserStudy:
    """Writes pairs of videos, then the page and its key.

    Args:
        folder: of the evaluation.
        seed: of sides and order.
    """

    def __init__(self, folder: Path, *, seed: int) -> None:
        self._folder, self._random = folder, np.random.default_rng(seed)
        self._key: dict[str, dict[str, str]] = {}
        self._codes = [f"{code:04x}" for code in self._random.permutation(1 << 16)]

    def add(self, pair: Pair) -> None:
        """Write both videos of a pair on random sides, under random names."""
        code = self._codes[len(self._key)]
        first = int(self._random.integers(2))
        sides = {"left": first, "right": 1 - first}
        for side, index in sides.items():
            write_video(
                self._folder / FOLDER / f"{code}_{side}.mp4",
                pair.videos[index],
                fps=FPS,
                audio=pair.audio,
                metadata={"comment": COMMENT},
                synthetic=False,
            )
        names = {side: pair.names[index] for side, index in sides.items()}
        self._key[code] = {"clip": pair.clip} | names

    def finish(self) -> dict[str, str | int]:
        """Write page and key; return their description for the report."""
        codes = sorted(self._key)  # random, and so is their order
        content: list[Any] = [
            tags.p(INTRODUCTION),
            tags.form(*(_question(number, code) for number, code in enumerate(codes, 1))),
            tags.button("Show my answers"),
            tags.output(),
            tags.textarea(readonly=True),
        ]
        write_page(self._folder / FOLDER / PAGE, TITLE, *content, script=_SCRIPT)
        write_json(self._folder / KEY, self._key)
        return {"page": f"{FOLDER}/{PAGE}", "key": KEY, "pairs": len(codes), "result": "not done"}


def _question(number: int, code: str) -> Any:
    sides = ("left", "right")
    videos = [video(f"{code}_{side}.mp4") for side in sides]
    choices: list[Any] = [
        tags.label(tags.input_(type="radio", name=code, value=side), f" {side}") for side in sides
    ]
    return tags.fieldset(tags.legend(f"{number}. {QUESTION}"), table([videos, choices]))
