"""The iconic gestures of a speech: which words have one, which are made, and when."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from speech2video.data.synthetic.speaker.gesture_poses import GESTURES, Gesture
from speech2video.data.synthetic.speaker.visemes import is_vowel
from speech2video.util.text.transcript import Phone, Word, strip_punctuation

SHORTEST_RAMP = 0.28  # seconds of the way in at least; with less the gesture is left out
FASTEST = 1.1  # metres a second, the mean over a hand's way in; its peak is 1.9 times that
TALKING_PLACE = (0.19, -0.3, 0.29)  # where a hand comes from when no other gesture is held
SHORTEST_HOLD = 0.1  # seconds a gesture is held at least before the next one
SIDES = ("left", "right")
NUMBERS = ("one", "two", "three", "four", "five")
RIGHT_HANDED = 0.7  # how often a one-handed gesture is the right hand's


def _read_gesture_words() -> dict[str, tuple[str, float]]:
    path = Path(__file__).parent / "gesture_words.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return {
            word: (row["gesture"], float(row["probability"]))
            for row in csv.DictReader(file)
            for word in row["words"].split()
        }


# word -> (gesture, probability). Little words have gestures too, but seldom make them.
GESTURE_WORDS = _read_gesture_words()


@dataclass(frozen=True)
class GestureUse:
    """One gesture made at a word; times in seconds.

    Attributes:
        word: the word it goes with.
        name: its key in `GESTURES`.
        start, end: its first and last movement.
        apex: where its pose is reached, in the word's stressed vowel.
        arrival: when the first key pose is reached, its ramp in done.
        hold_end: when the hands begin to leave.
        side: 0 the left hand leads, 1 the right.
    """

    word: Word
    name: str
    start: float
    arrival: float
    apex: float
    hold_end: float
    end: float
    side: int


def choose_gestures(
    words: Sequence[Word], phones: Sequence[Phone], random: np.random.Generator
) -> list[GestureUse]:
    """Return the gestures made in a speech, in order and free of collisions.

    Two numbers are drawn for every word that has a gesture, used or not, so that the draws do not
    depend on the words before; only what collides with the gesture before it is dropped.
    """
    uses: list[GestureUse] = []
    for index, word in enumerate(words):
        if spelling(word) not in GESTURE_WORDS:
            continue
        name, probability = GESTURE_WORDS[spelling(word)]
        chosen, side = random.random() < probability, int(random.random() < RIGHT_HANDED)
        apex = stressed_time(index, word, phones)
        use = _place(name, word, apex, _same_hand(name, uses, side), uses[-1] if uses else None)
        if chosen and use is not None:
            uses[-1:] = [_shortened(last, use.start) for last in uses[-1:]]
            uses.append(use)
    return uses


def spelling(word: Word) -> str:
    """Return a word in lower case without the punctuation around it."""
    return strip_punctuation(word.text).casefold()


def stressed_time(index: int, word: Word, phones: Sequence[Phone]) -> float:
    """Return the middle of a word's stressed vowel, or of the word where no vowel is known."""
    vowels = [phone for phone in phones if phone.word == index and is_vowel(phone)]
    if not vowels:
        return (word.start + word.end) / 2
    rank = {1: 2, 2: 1}
    best = max(vowels, key=lambda phone: (rank.get(phone.stress, 0), phone.end - phone.start))
    return (best.start + best.end) / 2


def _place(
    name: str, word: Word, apex: float, side: int, last: GestureUse | None
) -> GestureUse | None:
    """Return the gesture at its word, or None where there is no time for its way in."""
    gesture = GESTURES[name]
    arrival = apex + gesture.keys[0].time
    free = last.hold_end - GESTURES[last.name].hold + SHORTEST_HOLD if last else 0.0
    ramp_in = min(gesture.ramp_in, arrival - free)
    if ramp_in < max(SHORTEST_RAMP, _way(gesture, last, arrival) / FASTEST):
        return None
    start = arrival - ramp_in
    if gesture.hands in SIDES:
        side = SIDES.index(gesture.hands)
    elif last is not None and last.end > start:
        side = last.side  # the hand that is up goes on
    hold_end = apex + gesture.keys[-1].time + gesture.hold
    end = hold_end + gesture.ramp_out
    return GestureUse(word, name, start, arrival, apex, hold_end, end, side)


def _same_hand(name: str, uses: Sequence[GestureUse], side: int) -> int:
    """Return the side that counted last for a number, else the side drawn."""
    counted = [use.side for use in uses if use.name in NUMBERS]
    return counted[-1] if counted and name in NUMBERS else side


def _way(gesture: Gesture, last: GestureUse | None, arrival: float) -> float:
    """Return how far, in metres, the leading hand comes for a gesture's first key pose."""
    place = TALKING_PLACE
    if last is not None and last.end > arrival:
        place = GESTURES[last.name].keys[-1].hand.wrist
    return math.dist(place, gesture.keys[0].hand.wrist)


def _shortened(use: GestureUse, until: float) -> GestureUse:
    """Return a gesture that leaves its hold in time for what begins at `until`."""
    hold_end = min(use.hold_end, until)
    return replace(use, hold_end=hold_end, end=use.end - use.hold_end + hold_end)
