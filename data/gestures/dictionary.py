"""One person's gesture dictionary: words, motions and probabilities of gestures.

On disk it is a folder: dictionary.json, which may be edited by hand, and motions.npz with the
motion of each entry under its name.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.errors import DataError
from speech2video.util.files import read_json, read_npz, typed_fields, write_json, write_npz
from speech2video.util.text.spoken_text import strip_punctuation
from speech2video.util.text.transcript import Word
from speech2video.util.timing import FPS

FORMAT = 1
JSON_NAME, MOTIONS_NAME = "dictionary.json", "motions.npz"
BODIES = ("open", "smplx")

# Parts that a gesture may own: body joints or whole hands, never the face, which speech moves.
_ARM = ("collar", "shoulder", "elbow", "wrist")
PART_JOINTS: dict[str, tuple[str, ...]] = {
    "left_arm": tuple(f"left_{joint}" for joint in _ARM),
    "right_arm": tuple(f"right_{joint}" for joint in _ARM),
    "head": ("neck", "head"),
    "torso": ("spine1", "spine2", "spine3"),
}
PART_HANDS = ("left_hand", "right_hand")
PARTS = (*PART_JOINTS, *PART_HANDS)

MAX_SECONDS = 10.0  # of each phase of a gesture, and of its motion
MAX_NUMBER = 100.0  # of a pose vector; degrees would exceed it
RANGES = {  # of an entry's numbers; key_in_word in word lengths
    "probability": (0, 1),
    **dict.fromkeys(("ramp_in", "lead", "hold", "ramp_out"), (0, MAX_SECONDS)),
    "key_in_word": (-20, 20),
}


@dataclass(frozen=True)
class Example:
    """An occurrence of a gesture: seconds of its start, key and end in a clip."""

    clip: str
    start: float
    key: float
    end: float


@dataclass(frozen=True, eq=False)
class GestureEntry:
    """One gesture: a key pose or a short motion, and when it is made.

    Attributes:
        name: unique in its dictionary.
        words: spellings of the words with this gesture.
        probability: share of these words with this gesture.
        parts: of `PARTS`, moved by the gesture; the rest of the body keeps its own motion.
        motion_NP: (n, 106) pose vectors at 25 fps; a single frame is a key pose.
        key: the frame of it that belongs to the word.
        key_in_word: time of the key, in word lengths from the word's start: 0.5 is its middle.
        ramp_in: seconds of moving into the gesture.
        lead: seconds from the end of that to the key.
        hold: seconds from the key to the start of moving back.
        ramp_out: seconds of moving back.
        on: False switches the entry off.
        seen: number of occurrences of its words in the data set.
        made: number of these with the gesture.
        examples: where it was found.
    """

    name: str
    words: tuple[str, ...]
    probability: float
    parts: tuple[str, ...]
    motion_NP: Tensor = field(repr=False)
    key: int = 0
    key_in_word: float = 0.5
    ramp_in: float = 0.42
    lead: float = 0.0
    hold: float = 0.35
    ramp_out: float = 0.6
    on: bool = True
    seen: int = 0
    made: int = 0
    examples: tuple[Example, ...] = ()

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise DataError(f"entry {self.name!r}: {problem}")

    def key_time(self, word: Word) -> float:
        """Return the seconds of the key at a word."""
        return word.start + self.key_in_word * (word.end - word.start)

    def times(self, key: float) -> tuple[float, float, float, float]:
        """Return seconds of start, arrival, hold end and end of a gesture with its key at `key`."""
        arrival, hold_end = key - self.lead, key + self.hold
        return arrival - self.ramp_in, arrival, hold_end, hold_end + self.ramp_out


@dataclass(frozen=True)
class GestureDictionary:
    """A person's gestures, in an order that is kept on disk.

    Attributes:
        entries: with unique names.
        body: of the motions' hand coefficients ("open" or "smplx").
    """

    entries: tuple[GestureEntry, ...] = ()
    body: str = "open"

    def __post_init__(self) -> None:
        if self.body not in BODIES:
            raise DataError(f"body {self.body!r}; one of {', '.join(BODIES)} is needed")
        names = [entry.name for entry in self.entries]
        duplicate = next((name for name in names if names.count(name) > 1), None)
        if duplicate is not None:
            raise DataError(f"entry {duplicate!r}: there are two of that name; names must differ")
        for word, entries in self.by_word().items():
            total = sum(entry.probability for entry in entries)
            if total > 1 + 1e-6:
                raise DataError(
                    f"word {word!r}: probabilities of its {len(entries)} entries add up to "
                    f"{total:g}; at most 1 is possible"
                )

    def by_word(self) -> dict[str, list[GestureEntry]]:
        """Return the entries that are on, by spelling."""
        found: dict[str, list[GestureEntry]] = {}
        for entry in (entry for entry in self.entries if entry.on):
            for word in dict.fromkeys(map(spelling, entry.words)):
                found.setdefault(word, []).append(entry)
        return found

    def entry(self, name: str) -> GestureEntry:
        """Return the entry of a name; raises `DataError` if there is none."""
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise DataError(f"no gesture {name!r:.60} in the dictionary")

    def save(self, folder: Path) -> None:
        """Write dictionary.json and motions.npz; raises `DataError` if they cannot be written."""
        write_npz(folder / MOTIONS_NAME, {e.name: e.motion_NP.numpy() for e in self.entries})
        rows = []
        for entry in self.entries:
            values = dataclasses.asdict(entry)
            del values["motion_NP"]
            # The values edited most often come first.
            rows.append({key: values.pop(key) for key in ("name", "on")} | values)
        values = {"format": FORMAT, "body": self.body, "entries": rows}
        write_json(folder / JSON_NAME, values, indent=1)

    @classmethod
    def load(cls, folder: Path) -> "GestureDictionary":
        """Return the dictionary of a folder, saved or edited by hand.

        Raises:
            DataError: missing or broken files, or invalid values.
        """
        path = Path(folder) / JSON_NAME
        values = read_json(path, what="a gesture dictionary")
        rows = values.get("entries") if isinstance(values, dict) else None
        if not isinstance(rows, list) or values.get("format") != FORMAT:
            raise DataError(f'{path}: {{"format": {FORMAT}, "entries": [...]}} is needed')
        motions = _read_motions(Path(folder) / MOTIONS_NAME)
        try:
            entries = tuple(_entry(row, number, motions) for number, row in enumerate(rows, 1))
            return cls(entries, values.get("body", ""))
        except DataError as error:
            raise DataError(f"{path}: {error}") from None


def spelling(text: str) -> str:
    """Return a word's key: lower case, without punctuation around it, with plain apostrophes."""
    return strip_punctuation(text.replace("’", "'").strip("'‘`-–—")).casefold()


def _problems(entry: GestureEntry) -> list[str]:
    """Return error messages for an entry's invalid values."""
    found = []
    if not entry.name.strip() or "/" in entry.name or "\\" in entry.name:
        found.append("its name must not be empty and hold no slashes")
    if not entry.words or not all(map(spelling, entry.words)):
        found.append("at least one word is needed, and none may be empty")
    for name, (low, high) in RANGES.items():
        if not low <= getattr(entry, name) <= high:  # NaN fails too
            found.append(f"{name} {getattr(entry, name):g}; {low:g} to {high:g} is needed")
    unknown = [part for part in entry.parts if part not in PARTS]
    if unknown or not entry.parts:
        seen = f"unknown part {unknown[0]!r}" if unknown else "no parts"
        found.append(f"{seen}; some of {', '.join(PARTS)} are needed")
    shape = tuple(entry.motion_NP.shape)
    if len(shape) != 2 or shape[1] != POSE_SIZE or not shape[0]:
        found.append(f"its motion has shape {shape}; (frames, {POSE_SIZE}) is needed")
    elif shape[0] > MAX_SECONDS * FPS:
        found.append(f"its motion has {shape[0]} frames; {MAX_SECONDS * FPS:g} at most")
    elif not entry.motion_NP.abs().max() <= MAX_NUMBER:  # NaN fails too
        found.append("its motion holds NaN, infinity or no radians; finite radians are needed")
    elif not 0 <= entry.key < shape[0]:
        found.append(f"key {entry.key}; its motion has frames 0 to {shape[0] - 1}")
    return found


def _entry(row: Any, number: int, motions: Mapping[str, Tensor]) -> GestureEntry:
    where = f"entry {number}"
    if isinstance(row, dict) and isinstance(row.get("name"), str):
        where = f"entry {row['name']!r}"
    values = typed_fields(row, GestureEntry, where=where, leave_out=("motion_NP",))
    examples = values.pop("examples", ())
    parsed = [Example(**typed_fields(e, Example, where=f"{where}, examples")) for e in examples]
    if values["name"] not in motions:
        raise DataError(f"{where}: no motion of that name in {MOTIONS_NAME}")
    return GestureEntry(**values, motion_NP=motions[values["name"]], examples=tuple(parsed))


def _read_motions(path: Path) -> dict[str, Tensor]:
    arrays = read_npz(path, what="the dictionary's file of motions")
    odd = next((name for name, array in arrays.items() if array.dtype.kind not in "fiu"), None)
    if odd is not None:
        raise DataError(f"{path}: {odd!r} holds {arrays[odd].dtype}; numbers are needed")
    return {name: torch.from_numpy(a.astype(np.float32)) for name, a in arrays.items()}
