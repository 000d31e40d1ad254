"""Which gestures are made at which words: drawn by chance, free of collisions."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from speech2video.data.gesture_dictionary import GestureDictionary, GestureEntry, spelling
from speech2video.data.gesture_timeline import CHANCE, COLLISION, OUTSIDE, Insertion, Timeline
from speech2video.data.motion import FPS
from speech2video.util.transcript import Word

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
