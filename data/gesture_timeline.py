"""What was inserted when: the timeline of a speech's gestures, to read, to edit, to give back."""

import dataclasses
import functools
import json
from dataclasses import dataclass
from pathlib import Path

from speech2video.data.gesture_dictionary import GestureDictionary
from speech2video.util.errors import DataError
from speech2video.util.files import replacing
from speech2video.util.json_fields import read_json, typed_fields

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
        with replacing(path) as partial:
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
