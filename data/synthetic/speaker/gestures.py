"""Iconic gestures: finger shapes, key poses of arms and head, their words, and their choice.

Places are the left hand's, in chest axes from the neck joint (see `arms`): x to the hand's own
side, y up, z to the viewer, metres; the shoulder is at (0.18, −0.10, 0.01), the nose at
(0, 0.11, 0.16), the hips at y = −0.55. The right hand does the mirror image. Times are seconds from
the apex. Fingers are given in degrees, of the left hand with its fingers along +x, palm down.
"""

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
from speech2video.util.files import read_json, read_table
from speech2video.util.text.spoken_text import strip_punctuation
from speech2video.util.text.transcript import Phone, Word

_FOLDER = Path(__file__).parent
Vector = tuple[float, float, float]
Bend = tuple[float, float, float]
LONG_FINGERS = ("index", "middle", "ring", "pinky")
TOGETHER = {"index": 9.0, "middle": 0.0, "ring": -7.0, "pinky": -17.0}  # turns that close the gaps
SPREAD = {"index": -6.0, "middle": 0.0, "ring": 6.0, "pinky": 10.0}

CUPPING = {"index": 0.0, "middle": 0.0, "ring": -0.12, "pinky": -0.26}  # of the bend, about x
_MIRROR = torch.tensor([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class HandShape:
    """A whole hand, degrees; fingers in the order index, middle, ring, pinky.

    Attributes:
        fingers: bends of each one's three knuckles.
        thumb: its root's turns under the palm and to the palm, and the bend of both outer knuckles
            relative to the body's resting thumb.
        spread: whether the fingers are apart; else they touch.
    """

    fingers: tuple[Bend, ...]
    thumb: tuple[float, float, float]
    spread: bool = False


THUMB_HINGE = (0.54, 0.83, -0.14)  # about which its outer knuckles bend
THUMB_SHARES = (0.8, 1.0)  # of the bend, the two knuckles'
HAND_SHAPES = {
    name: HandShape(**shape)
    for name, shape in read_json(_FOLDER / "hand_shapes.json", what="hand shapes").items()
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
    for finger, turn in (SPREAD if shape.spread else TOGETHER).items():
        degrees[FINGER_JOINTS.index(f"{finger}1"), 1] = turn
    thumb = torch.rad2deg(resting_thumb)
    *root, bend = shape.thumb
    thumb[0, :2] = torch.tensor(root)
    thumb[1:] += bend * torch.outer(torch.tensor(THUMB_SHARES), torch.tensor(THUMB_HINGE))
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


def hand_pose(wrist: Any, palm: Any, fingers: Any, *shape_and_elbow: Any) -> HandPose:
    """Return the pose of json lists: the arguments of `HandPose`."""
    return HandPose(tuple(wrist), tuple(palm), tuple(fingers), *shape_and_elbow)


def _read_gestures() -> dict[str, Gesture]:
    """Return the gestures of gestures.json; a key is a time and one hand pose or two."""
    rows = read_json(_FOLDER / "gestures.json", what="gestures")
    for row in rows.values():
        row["keys"] = tuple(
            KeyPose(time, *(hand_pose(*pose) for pose in poses)) for time, *poses in row["keys"]
        )
        row["head"] = tuple(map(tuple, row.get("head", ())))
    return {name: Gesture(**row) for name, row in rows.items()}


GESTURES = _read_gestures()

SHORTEST_RAMP = 0.28  # seconds of the way in at least; with less the gesture is left out
FASTEST = 1.1  # metres a second, the mean over a hand's way in; its peak is 1.9 times that
TALKING_PLACE = (0.19, -0.3, 0.29)  # where a hand comes from when no other gesture is held
SHORTEST_HOLD = 0.1  # seconds a gesture is held at least before the next one
SIDES = ("left", "right")
NUMBERS = ("one", "two", "three", "four", "five")
RIGHT_HANDED = 0.7  # how often a one-handed gesture is the right hand's


# word -> (gesture, probability). Little words have gestures too, but seldom make them.
GESTURE_WORDS = {
    word: (row["gesture"], float(row["probability"]))
    for row in read_table(_FOLDER / "gesture_words.csv")
    for word in row["words"].split()
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

    @property
    def gesture(self) -> Gesture:
        """What is made."""
        return GESTURES[self.name]


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
        counted = [use.side for use in uses if use.name in NUMBERS]
        if counted and name in NUMBERS:  # the same hand goes on counting
            side = counted[-1]
        use = _place(name, word, apex, side, uses[-1] if uses else None)
        if chosen and use is not None:
            for last in uses[-1:]:  # leaves its hold in time
                hold_end = min(last.hold_end, use.start)
                end = last.end - last.hold_end + hold_end
                uses[-1] = replace(last, hold_end=hold_end, end=end)
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
    free = last.hold_end - last.gesture.hold + SHORTEST_HOLD if last else 0.0
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


def _way(gesture: Gesture, last: GestureUse | None, arrival: float) -> float:
    """Return how far, in metres, the leading hand comes for a gesture's first key pose."""
    place = TALKING_PLACE
    if last is not None and last.end > arrival:
        place = last.gesture.keys[-1].hand.wrist
    return math.dist(place, gesture.keys[0].hand.wrist)
