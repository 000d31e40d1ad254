"""Iconic gestures: finger shapes, key poses of arms and head, their words, and their choice.

Places are the left hand's, in chest axes from the neck joint (see `arms`): x to the hand's own
side, y up, z to the viewer, metres; the shoulder is at (0.18, −0.10, 0.01), the nose at
(0, 0.11, 0.16), the hips at y = −0.55. The right hand does the mirror image. Times are seconds from
the apex. Fingers are given in degrees, of the left hand with its fingers along +x, palm down.
"""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speech2video.data.synthetic.speaker.visemes import is_vowel
from speech2video.util.body.body_model import Body
from speech2video.util.body.skeleton import FINGER_JOINTS
from speech2video.util.text.transcript import Phone, Word, strip_punctuation

Vector = tuple[float, float, float]
Bend = tuple[float, float, float]
LONG_FINGERS = ("index", "middle", "ring", "pinky")
TOGETHER = {"index": 9.0, "middle": 0.0, "ring": -7.0, "pinky": -17.0}  # turns that close the gaps
SPREAD = {"index": -6.0, "middle": 0.0, "ring": 6.0, "pinky": 10.0}

STRAIGHT: Bend = (3, 4, 2)
FOLDED: Bend = (78, 98, 62)
CUPPING = {"index": 0.0, "middle": 0.0, "ring": -0.12, "pinky": -0.26}  # of the bend, about x
_MIRROR = torch.tensor([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class Thumb:
    """The thumb: its root's turns under the palm and to the palm, the bend of both outer knuckles.

    The bend is relative to the body's resting thumb.
    """

    oppose: float
    adduct: float
    bend: float = 0.0


@dataclass(frozen=True)
class HandShape:
    """A whole hand; fingers in the order index, middle, ring, pinky.

    A finger bends at its three knuckles and turns sideways at the first, towards the little finger
    if positive.
    """

    fingers: tuple[Bend, ...]
    thumb: Thumb
    turns: tuple[tuple[str, float], ...] = tuple(TOGETHER.items())


THUMB_HINGE = (0.54, 0.83, -0.14)  # about which its outer knuckles bend
THUMB_SHARES = (0.8, 1.0)  # of the bend, the two knuckles'
_REST = Thumb(14, 14)
_ASIDE = Thumb(5, 0, -12)
_AWAY = Thumb(-8, -20, -8)
_UP = Thumb(-14, -28, -8)
_OVER = Thumb(58, 41)
_ACROSS = Thumb(58, 46)
_PINCH = Thumb(38, 13)

HAND_SHAPES = {
    "relaxed": HandShape(((18, 24, 11), (23, 27, 12), (25, 29, 13), (24, 28, 13)), _REST),
    "soft": HandShape(((12, 18, 8), (15, 20, 9), (18, 22, 10), (18, 24, 12)), _REST),
    "loose_fist": HandShape(((48, 60, 34), (55, 68, 38), (58, 70, 40), (58, 70, 40)), _PINCH),
    "flat": HandShape((STRAIGHT,) * 4, _ASIDE),
    "five": HandShape((STRAIGHT,) * 4, _AWAY, tuple(SPREAD.items())),
    "four": HandShape((STRAIGHT,) * 4, _ACROSS, tuple(SPREAD.items())),
    "three": HandShape((STRAIGHT,) * 3 + (FOLDED,), _OVER, tuple(SPREAD.items())),
    "two": HandShape((STRAIGHT,) * 2 + (FOLDED,) * 2, _OVER, tuple(SPREAD.items())),
    "point": HandShape((STRAIGHT,) + (FOLDED,) * 3, _OVER),
    "fist": HandShape((FOLDED,) * 4, _OVER),
    "thumb_up": HandShape((FOLDED,) * 4, _UP),
    "pinch": HandShape(((50, 42, 18), (38, 48, 30), (42, 52, 32), (42, 52, 32)), _PINCH),
    "ball": HandShape(((28, 32, 18),) * 4, Thumb(30, -6), tuple(SPREAD.items())),
    "cup": HandShape(((34, 30, 16),) * 4, Thumb(22, 4)),
}


def shape_rotations(shape: HandShape, resting_thumb: torch.Tensor) -> torch.Tensor:
    """Return axis-angle (15, 3), radians, of the left hand's joints.

    `resting_thumb` (3, 3) is the axis-angle of the body's resting thumb.
    """
    degrees = torch.zeros(len(FINGER_JOINTS), 3)
    for finger, bends in zip(LONG_FINGERS, shape.fingers, strict=True):
        # The outer fingers lie splayed: bent, they would point away from the fist.
        degrees[FINGER_JOINTS.index(f"{finger}1"), 0] = CUPPING[finger] * bends[0]
        for knuckle, bend in enumerate(bends, start=1):
            degrees[FINGER_JOINTS.index(f"{finger}{knuckle}"), 2] = -bend
    for finger, turn in shape.turns:
        degrees[FINGER_JOINTS.index(f"{finger}1"), 1] = turn
    thumb = torch.rad2deg(resting_thumb)
    thumb[0, :2] = torch.tensor((shape.thumb.oppose, shape.thumb.adduct))
    thumb[1:] += shape.thumb.bend * torch.outer(
        torch.tensor(THUMB_SHARES), torch.tensor(THUMB_HINGE)
    )
    degrees[FINGER_JOINTS.index("thumb1") :] = thumb
    return torch.deg2rad(degrees)


def hand_coefficients(body: Body) -> dict[str, torch.Tensor]:
    """Return shape name -> coefficients (2, 12) of the body's left and right hand."""
    thumb = body.hands.mean[0].view(-1, 3)[-3:]
    rotations = {name: shape_rotations(shape, thumb) for name, shape in HAND_SHAPES.items()}
    return {
        name: torch.stack((body.hands.encode(left, 0), body.hands.encode(left * _MIRROR, 1)))
        for name, left in rotations.items()
    }


@dataclass(frozen=True)
class HandPose:
    """One hand at one moment.

    Attributes:
        wrist: place of the wrist, metres.
        palm: direction the palm faces, of any length; what is along the fingers is ignored.
        fingers: direction of straight fingers; by default on along the forearm.
        shape: key in `HAND_SHAPES`.
        swivel: radians the elbow turns outwards and up from hanging.
        shrug: radians the collar rises.
    """

    wrist: Vector
    palm: Vector
    fingers: Vector | None = None
    shape: str = "soft"
    swivel: float = 0.1
    shrug: float = 0.0


@dataclass(frozen=True)
class KeyPose:
    """A key pose of one hand or both; `other` is by default the mirror image of `hand`."""

    time: float
    hand: HandPose
    other: HandPose | None = None


@dataclass(frozen=True)
class Gesture:
    """Key poses, how they are reached and left, and the motion of the head.

    Attributes:
        keys: poses in the order of time; one of them is at or about the apex, 0.
        hands: "one", "both", or a given side: "left", "right".
        ramp_in, hold, ramp_out: seconds before the first key, after the last, and back to rest.
        head: (time, nod, turn to the gesturing side, tilt to that side), radians.
        brows: raise (positive) or frown (negative), as a share of the full action.
    """

    keys: tuple[KeyPose, ...]
    hands: str = "one"
    ramp_in: float = 0.42
    hold: float = 0.35
    ramp_out: float = 0.6
    head: tuple[tuple[float, float, float, float], ...] = ()
    brows: float = 0.0


def _read_gestures() -> dict[str, Gesture]:
    """Return the gestures of gestures.json.

    A key is a time and one hand pose or two; a pose lists the arguments of `HandPose`.
    """
    rows = json.loads((Path(__file__).parent / "gestures.json").read_text("utf-8"))
    for row in rows.values():
        row["keys"] = tuple(
            KeyPose(time, *(_hand_pose(*pose) for pose in poses)) for time, *poses in row["keys"]
        )
        row["head"] = tuple(map(tuple, row.get("head", ())))
    return {name: Gesture(**row) for name, row in rows.items()}


def _hand_pose(wrist: Vector, palm: Vector, fingers: Vector, *shape_and_elbow: Any) -> HandPose:
    return HandPose(_vector(wrist), _vector(palm), _vector(fingers), *shape_and_elbow)


def _vector(values: Sequence[float]) -> Vector:
    x, y, z = values
    return x, y, z


def _raised(shape: str) -> Gesture:
    """Return a hand held up at the side of the face, palm to the viewer, as for counting."""
    hand = HandPose((0.245, -0.03, 0.23), (-0.2, 0.0, 1.0), (-0.05, 1.0, 0.12), shape)
    return Gesture((KeyPose(0.0, hand),), head=((0.0, 0.03, 0.06, 0.0),), brows=0.25)


def _sideways(side: str) -> Gesture:
    """Return a forefinger that points to its own side."""
    hand = HandPose((0.33, -0.1, 0.28), (-0.2, -0.8, 0.5), (0.9, 0.12, 0.35), "point", 0.2)
    head = ((0.0, 0.0, 0.28, 0.0),)
    return Gesture((KeyPose(0.0, hand),), hands=side, ramp_in=0.5, head=head)


def _wag(shape: str, tilts: Sequence[float], period: float) -> tuple[KeyPose, ...]:
    """Return a raised hand that swings from side to side."""
    hands = (
        HandPose((0.27 + 0.1 * x, 0.02, 0.23), (-0.1, 0.0, 1.0), (x, 1.0, 0.1), shape)
        for x in tilts
    )
    return tuple(KeyPose(i * period / 2, hand) for i, hand in enumerate(hands))


def _circle(shape: str) -> tuple[KeyPose, ...]:
    """Return a forefinger that draws one circle before the chest."""
    hands = (
        HandPose(
            (0.2 + 0.075 * np.cos(a), -0.1 + 0.075 * np.sin(a), 0.3),
            (-0.4, -0.6, 0.5),
            (-0.3, 0.55, 0.8),
            shape,
        )
        for a in np.linspace(0, 2 * np.pi, 9) + np.pi / 2
    )
    return tuple(KeyPose(-0.16 + 0.085 * i, hand) for i, hand in enumerate(hands))


_SHAKE = (
    *((-0.25, 0.0, -0.1, 0.0), (-0.02, 0.02, 0.13, 0.0)),
    *((0.22, 0.02, -0.1, 0.0), (0.42, 0.0, 0.03, 0.0)),
)
_GREETING = ((0.0, -0.04, 0.0, 0.07), (0.3, 0.05, 0.0, 0.07))
GESTURES = _read_gestures() | {
    "one": _raised("point"),
    **{number: _raised(number) for number in ("two", "three", "four", "five")},
    "left": _sideways("left"),
    "right": _sideways("right"),
    "never": Gesture(
        _wag("point", (-0.5, 0.4, -0.5, 0.4), 0.36), hold=0.15, head=_SHAKE, brows=-0.3
    ),
    "hello": Gesture(
        _wag("five", (-0.4, 0.35, -0.4, 0.35, -0.1), 0.38), hold=0.1, head=_GREETING, brows=0.6
    ),
    "around": Gesture(_circle("point"), hold=0.1, head=((0.1, 0.03, 0.05, 0.0),)),
}

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
