"""The timeline of a speech's gestures: drawn from a dictionary at its words, editable as json."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from speech2video.data.gestures.dictionary import GestureDictionary, GestureEntry, spelling
from speech2video.util.errors import DataError
from speech2video.util.files import read_json, typed_fields, write_json
from speech2video.util.text.transcript import Word
from speech2video.util.timing import FPS

FORMAT = 1
CHANCE, COLLISION, OUTSIDE = "chance", "collision", "outside"  # reasons for skipping a gesture
MIN_RAMP = 0.28  # seconds to move from one gesture into the next
MIN_HOLD = 0.1  # seconds that a gesture is held before the next one,
MIN_HOLD_SHARE = 0.3  # and share of its own hold
MAX_SECONDS = 1e6  # of any time; a speech of 11 days
DIGITS = 4  # of the times in a timeline: 0.1 ms
TIMES = ("start", "arrival", "hold_end", "end")  # of an insertion, that follow from its entry


@dataclass(frozen=True)
class Insertion:
    """A gesture considered at a word, inserted or skipped. Times in seconds.

    Attributes:
        entry: its name in the dictionary.
        key: time of the entry's key frame.
        start, arrival: the body moves from its own motion into the gesture.
        hold_end, end: the body moves back.
        skipped: "" for an inserted gesture, else the reason.
        word, word_start, word_end: the spoken word.
        probability: of the entry.
        draw: number drawn for this word, uniform in [0, 1).
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
        if not -MAX_SECONDS <= self.start <= self.end <= MAX_SECONDS:
            raise DataError(
                f"{self.entry!r} at {self.key:g} s: at most {MAX_SECONDS:g} s is needed"
            )


@dataclass(frozen=True)
class Timeline:
    """The gestures considered for a speech, in the order of their words, and the seed."""

    insertions: tuple[Insertion, ...] = ()
    seed: int = 0

    @functools.cached_property
    def inserted(self) -> tuple[Insertion, ...]:
        """The gestures that are not skipped, by their start."""
        return tuple(sorted((i for i in self.insertions if not i.skipped), key=lambda i: i.start))

    def save(self, path: Path) -> None:
        """Write the timeline as json; raises `DataError` if it cannot be written."""
        write_json(path, self.to_json(), indent=1)

    @classmethod
    def load(cls, path: Path, dictionary: GestureDictionary | None = None) -> "Timeline":
        """Return the timeline of a json file, saved or edited by hand; see `from_json`."""
        return cls.from_json(read_json(path, what="a timeline of gestures"), dictionary, str(path))

    def to_json(self) -> dict[str, Any]:
        """Return the timeline as values of json."""
        insertions = dataclasses.asdict(self)["insertions"]
        return {"format": FORMAT, "seed": self.seed, "insertions": insertions}

    @classmethod
    def from_json(
        cls, values: Any, dictionary: GestureDictionary | None = None, where: str = "timeline"
    ) -> "Timeline":
        """Return the timeline of values of json.

        With a dictionary, names are checked and a row needs only `entry` and `key`: times left out
        are the entry's.

        Args:
            where: what an error message begins with.

        Raises:
            DataError: unreadable, unknown or missing values, or times out of order.
        """
        rows = values.get("insertions") if isinstance(values, dict) else None
        valid = isinstance(values, dict) and values.get("format") == FORMAT
        if not valid or not isinstance(rows, list | tuple):
            raise DataError(f'{where}: {{"format": {FORMAT}, "insertions": [...]}} is needed')
        seed = values.get("seed", 0)
        if not isinstance(seed, int) or isinstance(seed, bool) or abs(seed) >= 2**63:
            raise DataError(f"{where}: seed is {seed!r:.60}; a whole number below 2^63 is needed")
        try:
            insertions = (_parse(row, number, dictionary) for number, row in enumerate(rows, 1))
            return cls(tuple(insertions), seed)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None


def _parse(row: object, number: int, dictionary: GestureDictionary | None) -> Insertion:
    where = f"insertion {number}"
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise DataError(f"{where}: a text with half a character, which cannot be written") from None
    if dictionary is not None and isinstance(row, dict):
        others = {key: value for key, value in row.items() if key not in TIMES}
        values = typed_fields(others, Insertion, where=where, leave_out=TIMES)
        times = dictionary.entry(values["entry"]).times(values["key"])
        row = dict(zip(TIMES, times, strict=True)) | row
    return Insertion(**typed_fields(row, Insertion, where=where))


def plan_gestures(
    dictionary: GestureDictionary,
    words: Iterable[Word],
    *,
    frames: int | None = None,
    seed: int = 0,
) -> Timeline:
    """Return the gestures drawn for words, without collisions.

    The draw of a word depends on the seed, its spelling and how often it was said before, so other
    words or times do not change it. Of two gestures that need the same part of the body the earlier
    one wins: it is held at least `MIN_HOLD`, then the body moves straight into the later one, which
    is skipped if less than `MIN_RAMP` is left. So more words at the end change what was planned
    only by shortening a hold.

    Args:
        words: in order of time.
        frames: of the motion; gestures with their key outside are skipped.
    """
    by_word = dictionary.by_word()
    planner = _Planner(dictionary)
    counts = dict.fromkeys(by_word, 0)
    for word in words:
        text = spelling(word.text)
        if text not in by_word:
            continue
        counts[text] += 1
        key = f"{seed}\n{text}\n{counts[text]}".encode()
        # A number in [0, 1) determined by the key.
        draw = int.from_bytes(hashlib.blake2b(key, digest_size=6).digest(), "big") / 256**6
        entry = _draw_entry(by_word[text], draw)
        insertion = _insertion_at(entry or by_word[text][0], word, draw)
        if entry is None:
            insertion = replace(insertion, skipped=CHANCE)
        elif insertion.key < 0 or (frames is not None and insertion.key * FPS >= frames):
            insertion = replace(insertion, skipped=OUTSIDE)
        planner.add(insertion)
    return Timeline(tuple(planner.insertions), seed)


class _Planner:
    """The insertions so far, and the last inserted one for each part of the body."""

    def __init__(self, dictionary: GestureDictionary) -> None:
        self.insertions: list[Insertion] = []
        self._dictionary = dictionary
        self._last: dict[str, int] = {}  # part -> index into `insertions`

    def add(self, new: Insertion) -> None:
        """Append a gesture, with a shorter ramp if needed, or as skipped if it collides."""
        entry = self._dictionary.entry(new.entry)
        rivals = {self._last[part] for part in entry.parts if part in self._last}
        start = max([new.start, *(self._earliest_leave(self.insertions[i]) for i in rivals)])
        if not new.skipped and new.arrival - start < min(MIN_RAMP, entry.ramp_in) - 1e-6:
            new = replace(new, skipped=COLLISION)
        if not new.skipped:
            new = replace(new, start=round(start, DIGITS))
            for i in rivals:
                one = self.insertions[i]
                late = one.hold_end - new.start
                if late > 0:
                    end = round(one.end - late, DIGITS)
                    self.insertions[i] = replace(one, hold_end=new.start, end=end)
            self._last |= dict.fromkeys(entry.parts, len(self.insertions))
        self.insertions.append(new)

    def _earliest_leave(self, one: Insertion) -> float:
        """Return the earliest time at which the body can leave a gesture."""
        hold = MIN_HOLD_SHARE * self._dictionary.entry(one.entry).hold
        return min(one.hold_end, one.key + max(MIN_HOLD, hold))


def _draw_entry(entries: Sequence[GestureEntry], draw: float) -> GestureEntry | None:
    """Return the entry whose share of [0, 1) holds the draw, or None."""
    for entry in entries:
        if draw < entry.probability:
            return entry
        draw -= entry.probability
    return None


def _insertion_at(entry: GestureEntry, word: Word, draw: float) -> Insertion:
    """Return a gesture at its word, regardless of other gestures."""
    key = entry.key_time(word)
    key_and_times = [round(time, DIGITS) for time in (key, *entry.times(key))]
    values = dict(zip(("key", *TIMES), key_and_times, strict=True))
    said = {"word": word.text, "word_start": word.start, "word_end": word.end}
    draw = round(draw, 6)
    return Insertion(entry.name, **values, **said, probability=entry.probability, draw=draw)
