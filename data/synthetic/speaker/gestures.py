"""Which words have an iconic gesture, and which of them are made in a speech."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from speech2video.data.synthetic.speaker.gesture_poses import GESTURES, Gesture
from speech2video.data.synthetic.speaker.visemes import is_vowel
from speech2video.util.text.transcript import Phone, Word, strip_punctuation

SHORTEST_RAMP = 0.28  # seconds of way in at least; with less the gesture is not made
FASTEST = 1.1  # metres a second, the mean over a hand's way in; its peak is 1.9 times that
TALKING_PLACE = (0.19, -0.3, 0.29)  # where a hand comes from when no other gesture is held
SHORTEST_HOLD = 0.1  # seconds a gesture is held at least when the next one presses
SIDES = ("left", "right")
NUMBERS = ("one", "two", "three", "four", "five")
RIGHT_HANDED = 0.7  # how often a one-handed gesture is the right hand's

# word -> (gesture, how often it is made). Little words have gestures too, but nobody makes them
# every time.
GESTURE_WORDS: dict[str, tuple[str, float]] = {
    **dict.fromkeys(("huge", "enormous", "giant", "gigantic", "vast"), ("huge", 0.9)),
    **dict.fromkeys(("big", "large", "great", "whole"), ("big", 0.7)),
    **dict.fromkeys(("wide", "broad", "long"), ("wide", 0.8)),
    "tiny": ("tiny", 0.9),
    "little": ("tiny", 0.5),
    **dict.fromkeys(("small", "narrow", "short"), ("small", 0.7)),
    **dict.fromkeys(("up", "upward", "upwards", "above", "sky"), ("up", 0.7)),
    **dict.fromkeys(("down", "downward", "downwards", "below", "under"), ("down", 0.7)),
    **dict.fromkeys(("me", "myself", "mine"), ("me", 0.7)),
    **dict.fromkeys(("i", "my"), ("me", 0.25)),
    **dict.fromkeys(("love", "heart", "thank", "thanks"), ("heart", 0.7)),
    **dict.fromkeys(("you", "your", "yours"), ("you", 0.4)),
    **dict.fromkeys(("we", "us", "our"), ("we", 0.4)),
    **dict.fromkeys(("one", "first"), ("one", 0.8)),
    **dict.fromkeys(("two", "second", "twice"), ("two", 0.85)),
    **dict.fromkeys(("three", "third"), ("three", 0.85)),
    **dict.fromkeys(("four", "fourth"), ("four", 0.85)),
    **dict.fromkeys(("five", "fifth"), ("five", 0.85)),
    **dict.fromkeys(("stop", "wait", "enough"), ("stop", 0.85)),
    **dict.fromkeys(("here", "now"), ("here", 0.6)),
    **dict.fromkeys(("there", "far", "away"), ("there", 0.6)),
    "left": ("left", 0.85),
    "right": ("right", 0.6),
    **dict.fromkeys(("all", "everything", "everyone", "everybody", "everywhere"), ("all", 0.6)),
    **dict.fromkeys(("no", "nothing", "none", "nobody"), ("no", 0.6)),
    "never": ("never", 0.7),
    **dict.fromkeys(("think", "remember", "brain", "mind"), ("think", 0.6)),
    **dict.fromkeys(("idea", "imagine", "suddenly"), ("idea", 0.7)),
    **dict.fromkeys(("come", "closer"), ("come", 0.7)),
    **dict.fromkeys(("open", "opened"), ("open", 0.75)),
    **dict.fromkeys(("close", "closed", "shut"), ("close", 0.75)),
    **dict.fromkeys(("round", "ball", "globe", "world", "earth", "moon"), ("round", 0.75)),
    **dict.fromkeys(("around", "circle", "turn", "again"), ("around", 0.6)),
    **dict.fromkeys(("forward", "forwards", "ahead", "go", "straight"), ("forward", 0.5)),
    **dict.fromkeys(("hello", "hi", "welcome", "goodbye"), ("hello", 0.85)),
    **dict.fromkeys(("yes", "good", "perfect", "excellent"), ("yes", 0.6)),
    **dict.fromkeys(("exactly", "precise", "detail", "perfectly"), ("exactly", 0.7)),
    **dict.fromkeys(("listen", "hear", "heard"), ("listen", 0.7)),
    **dict.fromkeys(("strong", "power", "strength", "powerful"), ("strong", 0.75)),
    **dict.fromkeys(("maybe", "perhaps", "somehow", "why"), ("shrug", 0.65)),
    **dict.fromkeys(("or", "between", "either", "balance"), ("balance", 0.4)),
    **dict.fromkeys(("high", "tall"), ("high", 0.75)),
    "low": ("low", 0.75),
    **dict.fromkeys(("grow", "grew", "rise", "rises", "lift"), ("grow", 0.75)),
    **dict.fromkeys(("together", "meet", "join"), ("together", 0.7)),
}


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

    Two numbers are drawn for every word that has a gesture, used or not, so that a word's chance
    does not hang on the words before it; only what collides with a gesture still held falls away.
    """
    uses: list[GestureUse] = []
    for index, word in enumerate(words):
        if spelling(word) not in GESTURE_WORDS:
            continue
        name, probability = GESTURE_WORDS[spelling(word)]
        wanted, side = random.random() < probability, int(random.random() < RIGHT_HANDED)
        apex = stressed_time(index, word, phones)
        use = _place(name, word, apex, _same_hand(name, uses, side), uses[-1] if uses else None)
        if wanted and use is not None:
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
    """Return the gesture at its time, or None where there is no time for its way in."""
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
    held = last is not None and last.end > arrival
    place = GESTURES[last.name].keys[-1].hand.wrist if held else TALKING_PLACE
    return math.dist(place, gesture.keys[0].hand.wrist)


def _shortened(use: GestureUse, until: float) -> GestureUse:
    """Return a gesture that leaves its hold in time for what begins at `until`."""
    hold_end = min(use.hold_end, until)
    return replace(use, hold_end=hold_end, end=use.end - use.hold_end + hold_end)
