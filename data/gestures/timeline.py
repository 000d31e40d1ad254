"""What was inserted when: the timeline of a speech's gestures, to read, to edit, to give back."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speech2video.data.gestures.dictionary import GestureDictionary, GestureEntry, spelling
from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write, read_json, typed_fields
from speech2video.util.text.transcript import Word
from speech2video.util.timing import FPS

FORMAT = 1
CHANCE, COLLISION, OUTSIDE = "chance", "collision", "outside"  # why a gesture is not made


@dataclass(frozen=True)
class Insertion:
    """A gesture that was considered at a word, made or not. Times in seconds.

    Attributes:
        entry: its name in the dictionary.
        start: the body begins to go over to the gesture.
        arrival: it is there.
        key: the moment of the entry's key frame.
        hold_end: the body begins to go back.
        end: it is back.
        skipped: "" if the gesture is made, else why not.
        word, word_start, word_end: what is said.
        probability: the entry's.
        draw: the number drawn for this word, uniform in [0, 1).
    """

    entry: str
    key: float
    start: float
    arrival: float
    hold_end: float
    end: float
    skipped: str = ""
    word: str = ""
    word_start: float = 0.0
    word_end: float = 0.0
    probability: float = 1.0
    draw: float = 0.0

    def __post_init__(self) -> None:
        if not self.start <= self.arrival <= self.key <= self.hold_end <= self.end:
            raise DataError(
                f"{self.entry!r} at {self.key:g} s: start <= arrival <= key <= hold_end <= end "
                "is needed"
            )


@dataclass(frozen=True)
class Timeline:
    """The gestures considered for a speech, in the order of their words, and the seed drawn by."""

    insertions: tuple[Insertion, ...] = ()
    seed: int = 0

    @functools.cached_property
    def made(self) -> tuple[Insertion, ...]:
        """The gestures that are made, by the time they start."""
        return tuple(sorted((i for i in self.insertions if not i.skipped), key=lambda i: i.start))

    def save(self, path: Path) -> None:
        """Write the timeline as json; raises `DataError` if it cannot be written."""
        rows = [dataclasses.asdict(insertion) for insertion in self.insertions]
        values = {"format": FORMAT, "seed": self.seed, "insertions": rows}
        with atomic_write(path) as partial:
            text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
            partial.write_text(text, encoding="utf-8", newline="\n")

    @classmethod
    def load(cls, path: Path, dictionary: GestureDictionary | None = None) -> "Timeline":
        """Return the timeline of a json file, as `save` or a person wrote it.

        With the dictionary, `entry` and `key` are enough to say of a gesture: times left out are
        the entry's own, and names are checked.

        Raises:
            DataError: unreadable, unknown or missing values, or times out of order.
        """
        values = read_json(path, what="a timeline of gestures")
        rows = values.get("insertions") if isinstance(values, dict) else None
        if not isinstance(rows, list) or values.get("format") != FORMAT:
            raise DataError(f'{path}: {{"format": {FORMAT}, "insertions": [...]}} is needed')
        seed = values.get("seed", 0)
        if not isinstance(seed, int):
            raise DataError(f"{path}: seed is {seed!r:.60}; a whole number is needed")
        try:
            taken = [_insertion(row, number, dictionary) for number, row in enumerate(rows, 1)]
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        return cls(tuple(taken), seed)


def _insertion(row: object, number: int, dictionary: GestureDictionary | None) -> Insertion:
    where = f"insertion {number}"
    if dictionary is None:
        return Insertion(**typed_fields(row, Insertion, where=where))
    late = ("start", "arrival", "hold_end", "end")
    given = {k: v for k, v in row.items() if k not in late} if isinstance(row, dict) else row
    values = typed_fields(given, Insertion, where=where, leave_out=late)
    own = dictionary.entry(values["entry"]).times(values["key"])
    filled = dict(zip(late, own, strict=True)) | {k: row[k] for k in late if k in row}
    return Insertion(**typed_fields(values | filled, Insertion, where=where))


# Which gestures are made at which words: drawn by chance, free of collisions.

SHORTEST_RAMP = 0.28  # seconds the body needs on its way from one gesture into the next
SHORTEST_HOLD = 0.1  # seconds a gesture is held at least when the next one presses,
LEAST_HELD = 0.3  # and the share of its hold
DIGITS = 4  # of the times in a timeline: 0.1 ms


def plan(
    dictionary: GestureDictionary,
    words: Iterable[Word],
    *,
    frames: int | None = None,
    seed: int = 0,
) -> Timeline:
    """Return which of a dictionary's gestures are made when.

    What is drawn for a word hangs on the seed, its spelling and how often it was said before, so
    that other words, or other times, do not change it. Of two gestures that want the same part of
    the body the earlier wins. The one before leaves its hold early if it must, and the body goes
    straight from one to the next; where that leaves less than `SHORTEST_RAMP`, they collide, and
    the later one falls away. So what is planned for a speech's first words stays when more come,
    but for a hold that the next gesture cuts short.

    Args:
        words: in the order of time.
        frames: of the motion; gestures whose key lies outside are not made.
        seed: another one makes other gestures.
    """
    by_word = dictionary.by_word()
    places = _Places(dictionary)
    said: dict[str, int] = {}
    for word in words:
        text = spelling(word.text)
        if text not in by_word:
            continue
        said[text] = said.get(text, 0) + 1
        draw = _uniform(seed, text, said[text])
        entry = _drawn(by_word[text], draw)
        insertion = _at_word(entry or by_word[text][0], word, draw)
        if entry is None:
            insertion = replace(insertion, skipped=CHANCE)
        elif insertion.key < 0 or (frames is not None and insertion.key * FPS >= frames):
            insertion = replace(insertion, skipped=OUTSIDE)
        places.add(insertion)
    return Timeline(tuple(places.taken), seed)


class _Places:
    """The gestures taken so far, and which was the last to use each part of the body."""

    def __init__(self, dictionary: GestureDictionary) -> None:
        self.taken: list[Insertion] = []
        self._entries = {entry.name: entry for entry in dictionary.entries}
        self._last: dict[str, int] = {}  # part -> place in `taken`

    def add(self, new: Insertion) -> None:
        """Append a gesture, with a shorter way in if need be, or as skipped where it collides."""
        entry = self._entries[new.entry]
        rivals = {self._last[part] for part in entry.parts if part in self._last}
        start = max([new.start, *(self._free(self.taken[i]) for i in rivals)])
        if not new.skipped and new.arrival - start < min(SHORTEST_RAMP, entry.ramp_in) - 1e-6:
            new = replace(new, skipped=COLLISION)
        if not new.skipped:
            new = replace(new, start=round(start, DIGITS))
            for i in rivals:
                self.taken[i] = _until(self.taken[i], new.start)
            self._last |= dict.fromkeys(entry.parts, len(self.taken))
        self.taken.append(new)

    def _free(self, made: Insertion) -> float:
        """Return when the body can leave a gesture at the earliest."""
        least = max(SHORTEST_HOLD, LEAST_HELD * self._entries[made.entry].hold)
        return min(made.hold_end, made.key + least)


def _until(made: Insertion, time: float) -> Insertion:
    """Return a gesture that is held no longer than until a time."""
    late = made.hold_end - time
    if late <= 0:
        return made
    return replace(made, hold_end=time, end=round(made.end - late, DIGITS))


def _drawn(entries: Sequence[GestureEntry], draw: float) -> GestureEntry | None:
    """Return the entry on whose share of [0, 1) the draw falls, or None."""
    for entry in entries:
        if draw < entry.probability:
            return entry
        draw -= entry.probability
    return None


def _at_word(entry: GestureEntry, word: Word, draw: float) -> Insertion:
    """Return a gesture at its word, as if there were no others."""
    key = word.start + entry.key_in_word * (word.end - word.start)
    start, arrival, hold_end, end = (round(time, DIGITS) for time in entry.times(key))
    return Insertion(
        entry=entry.name,
        key=round(key, DIGITS),
        start=start,
        arrival=arrival,
        hold_end=hold_end,
        end=end,
        word=word.text,
        word_start=word.start,
        word_end=word.end,
        probability=entry.probability,
        draw=round(draw, 6),
    )


def _uniform(seed: int, *what: object) -> float:
    """Return a number in [0, 1) that hangs on nothing but its arguments."""
    text = "\n".join(map(str, (seed, *what)))
    digest = hashlib.blake2b(text.encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 256**6
