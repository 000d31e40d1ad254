"""Iconic gestures as key poses of arms and head, and hand shapes as poses of the fingers.

Places are the left hand's, in chest axes from the neck joint (see `arms`): x to the hand's own
side, y up, z to the viewer, metres; the shoulder is at (0.18, −0.10, 0.01), the nose at
(0, 0.11, 0.16), the hips at y = −0.55. The right hand does the mirror image. Times are seconds from
the apex. Fingers are given in degrees, of the left hand with its fingers along +x, palm down.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from speech2video.util.body.body_model import Body
from speech2video.util.body.skeleton import FINGER_JOINTS

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


def _keys(*rows: tuple[Any, ...]) -> tuple[KeyPose, ...]:
    """Return key poses of rows (time, `HandPose`), or (time, *its arguments)."""
    return tuple(
        KeyPose(time, pose[0] if isinstance(pose[0], HandPose) else HandPose(*pose))
        for time, *pose in rows
    )


def _raised(shape: str) -> Gesture:
    """Return a hand held up at the side of the face, palm to the viewer, as for counting."""
    keys = _keys((0.0, (0.245, -0.03, 0.23), (-0.2, 0.0, 1.0), (-0.05, 1.0, 0.12), shape))
    return Gesture(keys, head=((0.0, 0.03, 0.06, 0.0),), brows=0.25)


def _sideways(side: str) -> Gesture:
    """Return a forefinger that points to its own side."""
    keys = _keys((0.0, (0.33, -0.1, 0.28), (-0.2, -0.8, 0.5), (0.9, 0.12, 0.35), "point", 0.2))
    return Gesture(keys, hands=side, ramp_in=0.5, head=((0.0, 0.0, 0.28, 0.0),))


def _wag(shape: str, tilts: Sequence[float], period: float) -> tuple[KeyPose, ...]:
    """Return a raised hand that swings from side to side."""
    places = (
        (i * period / 2, (0.27 + 0.1 * x, 0.02, 0.23), (-0.1, 0.0, 1.0), (x, 1.0, 0.1), shape)
        for i, x in enumerate(tilts)
    )
    return _keys(*places)


def _circle(shape: str) -> tuple[KeyPose, ...]:
    """Return a forefinger that draws one circle before the chest."""
    rows = []
    for i, a in enumerate(np.linspace(0, 2 * np.pi, 9) + np.pi / 2):
        wrist = (0.2 + 0.075 * np.cos(a), -0.1 + 0.075 * np.sin(a), 0.3)
        rows.append((-0.16 + 0.085 * i, wrist, (-0.4, -0.6, 0.5), (-0.3, 0.55, 0.8), shape))
    return _keys(*rows)


_TOGETHER = HandPose((0.115, -0.2, 0.29), (-1.0, 0.0, 0.1), (-0.1, 0.35, 0.9), "soft")
_CHEST = HandPose((0.15, -0.165, 0.198), (0.0, 0.1, -1.0), (-1.0, 0.22, 0.02), "soft", swivel=0.45)
_OFFER = HandPose((0.2, -0.19, 0.36), (-0.45, 0.8, 0.1), (-0.05, 0.2, 1.0), "soft")
_PALMS_UP = HandPose((0.32, -0.24, 0.27), (-0.1, 1.0, 0.3), (0.5, 0.1, 0.85), "soft", shrug=0.02)
_SHAKE = (
    (-0.25, 0.0, -0.1, 0.0),
    (-0.02, 0.02, 0.13, 0.0),
    (0.22, 0.02, -0.1, 0.0),
    (0.42, 0.0, 0.03, 0.0),
)
_NOD = ((-0.14, -0.03, 0.0, 0.0), (0.06, 0.13, 0.0, 0.0), (0.3, -0.02, 0.0, 0.0))

GESTURES: dict[str, Gesture] = {
    "huge": Gesture(
        _keys(
            (-0.36, _TOGETHER),
            (0.0, (0.41, -0.04, 0.24), (-0.9, -0.1, 0.4), (0.15, 0.85, 0.5), "five", 0.2),
        ),
        hands="both",
        hold=0.45,
        ramp_out=0.75,
        head=((0.0, -0.07, 0.0, 0.0),),
        brows=0.8,
    ),
    "big": Gesture(
        _keys((0.0, (0.29, -0.13, 0.28), (-1.0, 0.0, 0.2), (0.05, 0.45, 0.85), "ball", 0.2)),
        hands="both",
        brows=0.45,
    ),
    "wide": Gesture(
        _keys(
            (-0.34, _TOGETHER),
            (0.0, (0.37, -0.2, 0.28), (-1.0, 0.0, 0.15), (0.1, 0.25, 1.0), "flat", 0.15),
        ),
        hands="both",
    ),
    "tiny": Gesture(
        _keys((0.0, (0.2, -0.03, 0.27), (-0.4, -0.2, 0.9), (-0.4, 0.9, 0.25), "pinch")),
        head=((0.0, 0.07, 0.08, 0.06),),
        brows=-0.35,
    ),
    "small": Gesture(
        _keys((0.0, (0.115, -0.16, 0.29), (-1.0, 0.0, 0.1), (-0.02, 0.5, 0.85), "flat", 0.3)),
        hands="both",
        head=((0.0, 0.06, 0.0, 0.0),),
    ),
    "up": Gesture(
        _keys(
            (-0.28, (0.22, -0.16, 0.28), (-0.7, 0.0, 0.7), (-0.05, 0.85, 0.5), "point"),
            (0.0, (0.25, 0.06, 0.25), (-0.6, 0.0, 0.8), (0.0, 1.0, 0.05), "point"),
        ),
        head=((0.0, -0.12, 0.04, 0.0),),
        brows=0.6,
    ),
    "down": Gesture(
        _keys(
            (-0.26, (0.23, -0.1, 0.27), (-0.1, -0.6, -0.7), (-0.1, -0.4, 0.8), "point", 0.6),
            (0.0, (0.23, -0.24, 0.29), (-0.1, -0.25, -0.9), (-0.05, -1.0, 0.2), "point", 0.6),
        ),
        head=((0.0, 0.14, 0.05, 0.0),),
    ),
    "me": Gesture(_keys((0.0, _CHEST)), hold=0.3, head=((0.0, 0.05, 0.0, 0.03),), brows=0.2),
    "heart": Gesture(
        _keys((0.0, (0.085, -0.165, 0.2), (0.0, 0.1, -1.0), (-0.95, 0.35, 0.0), "flat", 0.5)),
        hands="right",
        hold=0.55,
        head=((0.0, 0.08, 0.05, 0.05),),
        brows=0.3,
    ),
    "you": Gesture(_keys((0.0, _OFFER)), hold=0.3, head=((0.0, 0.05, 0.0, 0.0),), brows=0.3),
    "we": Gesture(_keys((-0.12, _OFFER), (0.22, _CHEST)), hold=0.2, head=((0.0, 0.04, 0.05, 0.0),)),
    "one": _raised("point"),
    "two": _raised("two"),
    "three": _raised("three"),
    "four": _raised("four"),
    "five": _raised("five"),
    "stop": Gesture(
        _keys((0.0, (0.2, -0.1, 0.36), (0.0, 0.0, 1.0), (-0.05, 1.0, 0.0), "flat", 0.15)),
        ramp_in=0.36,
        hold=0.5,
        head=((0.0, 0.05, -0.05, 0.0),),
        brows=-0.4,
    ),
    "here": Gesture(
        _keys(
            (-0.2, (0.16, -0.17, 0.31), (-0.2, -0.8, -0.3), (-0.15, -0.3, 0.9), "point", 0.4),
            (0.0, (0.16, -0.26, 0.33), (-0.2, -0.6, -0.6), (-0.15, -0.75, 0.6), "point", 0.4),
        ),
        hands="both",
        head=((0.0, 0.1, 0.0, 0.0),),
    ),
    "there": Gesture(
        _keys((0.0, (0.34, -0.06, 0.33), (-0.4, -0.9, 0.2), (0.55, 0.2, 0.8), "point", 0.15)),
        ramp_in=0.5,
        ramp_out=0.7,
        head=((0.0, 0.0, 0.3, 0.0),),
    ),
    "left": _sideways("left"),
    "right": _sideways("right"),
    "all": Gesture(
        _keys(
            (-0.36, (0.13, -0.2, 0.31), (-0.5, -0.6, 0.6), (-0.2, 0.5, 0.85), "soft"),
            (0.0, (0.38, -0.16, 0.27), (-0.1, 0.9, 0.5), (0.5, 0.25, 0.8), "soft", 0.15),
        ),
        hands="both",
        ramp_out=0.75,
        head=((0.0, -0.03, 0.0, 0.0),),
        brows=0.4,
    ),
    "no": Gesture(
        _keys(
            (-0.22, (0.05, -0.19, 0.31), (0.0, -0.9, 0.4), (-0.35, 0.25, 0.9), "flat", 0.4),
            (0.14, (0.36, -0.19, 0.28), (0.1, -0.9, 0.4), (0.25, 0.25, 0.9), "flat", 0.4),
        ),
        head=_SHAKE,
        brows=-0.35,
    ),
    "never": Gesture(
        _wag("point", (-0.5, 0.4, -0.5, 0.4), 0.36), hold=0.15, head=_SHAKE, brows=-0.3
    ),
    "think": Gesture(
        _keys((0.0, (0.225, 0.03, 0.15), (-0.6, -0.3, -0.6), (-0.52, 0.8, -0.36), "point", 0.1)),
        ramp_in=0.5,
        hold=0.5,
        ramp_out=0.7,
        head=((0.0, -0.06, -0.12, 0.1),),
        brows=0.4,
    ),
    "idea": Gesture(
        _keys(
            (-0.22, (0.24, -0.12, 0.26), (-0.8, 0.0, 0.4), (-0.1, 0.85, 0.4), "loose_fist"),
            (0.0, (0.26, 0.03, 0.22), (-0.5, 0.0, 0.85), (0.0, 1.0, 0.0), "point"),
        ),
        head=((0.0, -0.07, 0.06, 0.0),),
        brows=0.9,
    ),
    "come": Gesture(
        _keys(
            (0.0, (0.19, -0.14, 0.35), (-0.2, 0.75, -0.5), (-0.1, 0.6, 0.8), "flat"),
            (0.2, (0.19, -0.11, 0.3), (-0.2, 0.6, -0.7), (-0.1, 0.85, 0.5), "loose_fist"),
            (0.4, (0.19, -0.14, 0.34), (-0.2, 0.75, -0.5), (-0.1, 0.6, 0.8), "flat"),
            (0.6, (0.19, -0.11, 0.29), (-0.2, 0.6, -0.7), (-0.1, 0.85, 0.5), "loose_fist"),
        ),
        hold=0.1,
        head=((0.1, -0.05, 0.0, 0.04), (0.35, 0.07, 0.0, 0.04)),
        brows=0.3,
    ),
    "open": Gesture(
        _keys(
            (-0.24, (0.15, -0.18, 0.3), (0.1, -0.5, 0.8), (-0.25, 0.75, 0.6), "flat", 0.45),
            (0.12, (0.32, -0.17, 0.3), (-0.4, 0.55, 0.7), (0.35, 0.45, 0.8), "flat", 0.3),
        ),
        hands="both",
        brows=0.35,
    ),
    "close": Gesture(
        _keys(
            (-0.24, (0.3, -0.17, 0.3), (-0.8, 0.1, 0.5), (0.2, 0.4, 0.9), "flat", 0.3),
            (0.08, (0.12, -0.19, 0.29), (-1.0, 0.0, 0.1), (-0.02, 0.4, 0.9), "flat", 0.3),
        ),
        hands="both",
    ),
    "round": Gesture(
        _keys(
            (-0.2, (0.15, -0.02, 0.28), (-0.3, -1.0, 0.1), (-0.25, 0.1, 0.9), "ball", 0.55),
            (0.02, (0.25, -0.12, 0.28), (-1.0, -0.1, 0.1), (0.0, 0.2, 1.0), "ball", 0.4),
            (0.26, (0.12, -0.27, 0.3), (-0.4, 0.9, 0.0), (-0.2, -0.05, 1.0), "ball", 0.15),
        ),
        hands="both",
        hold=0.15,
    ),
    "around": Gesture(_circle("point"), hold=0.1, head=((0.1, 0.03, 0.05, 0.0),)),
    "forward": Gesture(
        _keys(
            (-0.2, (0.19, -0.18, 0.26), (-1.0, 0.0, 0.0), (-0.05, 0.4, 0.9), "flat"),
            (0.06, (0.17, -0.12, 0.4), (-1.0, -0.1, 0.0), (-0.05, 0.1, 1.0), "flat"),
        ),
        head=((0.0, 0.06, 0.0, 0.0),),
    ),
    "hello": Gesture(
        _wag("five", (-0.4, 0.35, -0.4, 0.35, -0.1), 0.38),
        hold=0.1,
        head=((0.0, -0.04, 0.0, 0.07), (0.3, 0.05, 0.0, 0.07)),
        brows=0.6,
    ),
    "yes": Gesture(
        _keys((0.0, (0.19, -0.14, 0.32), (-1.0, 0.0, -0.1), (-0.5, 0.05, 0.85), "thumb_up", 0.35)),
        head=_NOD,
        brows=0.4,
    ),
    "exactly": Gesture(
        _keys(
            (-0.18, (0.21, -0.06, 0.29), (-0.5, -0.6, 0.5), (-0.3, 0.5, 0.8), "pinch", 0.3),
            (0.0, (0.21, -0.15, 0.32), (-0.5, -0.7, 0.4), (-0.3, 0.25, 0.9), "pinch", 0.3),
        ),
        hold=0.25,
        head=_NOD,
    ),
    "listen": Gesture(
        _keys((0.0, (0.2, 0.045, 0.12), (-0.5, 0.0, 0.85), (-0.25, 0.95, -0.2), "cup", 0.15)),
        ramp_in=0.5,
        hold=0.5,
        ramp_out=0.7,
        head=((0.0, 0.02, -0.14, 0.1),),
        brows=0.4,
    ),
    "strong": Gesture(
        _keys((0.0, (0.29, -0.06, 0.22), (-0.8, 0.0, -0.4), (-0.05, 1.0, 0.15), "fist", 0.2)),
        head=((0.0, 0.05, 0.0, 0.0),),
        brows=-0.3,
    ),
    "shrug": Gesture(
        _keys((0.0, (0.31, -0.2, 0.27), (-0.1, 1.0, 0.3), (0.5, 0.15, 0.8), "soft", 0.1, 0.22)),
        hands="both",
        hold=0.4,
        head=((0.0, -0.02, 0.0, 0.13),),
        brows=0.7,
    ),
    "balance": Gesture(
        (
            KeyPose(
                -0.04,
                HandPose((0.27, -0.12, 0.3), (-0.1, 1.0, 0.2), (0.1, 0.2, 1.0), "cup"),
                _PALMS_UP,
            ),
            KeyPose(
                0.34,
                _PALMS_UP,
                HandPose((0.27, -0.12, 0.3), (-0.1, 1.0, 0.2), (0.1, 0.2, 1.0), "cup"),
            ),
        ),
        hands="both",
        hold=0.2,
        head=((-0.04, 0.0, 0.08, 0.06), (0.34, 0.0, -0.08, -0.06)),
    ),
    "high": Gesture(
        _keys((0.0, (0.33, 0.14, 0.22), (0.0, -1.0, 0.2), (-0.25, 0.05, 0.9), "flat", 0.5)),
        ramp_in=0.5,
        ramp_out=0.7,
        head=((0.0, -0.1, 0.1, 0.0),),
        brows=0.4,
    ),
    "low": Gesture(
        _keys((0.0, (0.27, -0.38, 0.29), (0.0, -1.0, 0.1), (-0.1, 0.0, 1.0), "flat", 0.3)),
        head=((0.0, 0.1, 0.08, 0.0),),
    ),
    "grow": Gesture(
        _keys(
            (-0.24, (0.21, -0.32, 0.29), (-0.2, 1.0, 0.1), (-0.2, 0.0, 1.0), "cup"),
            (0.18, (0.24, -0.09, 0.3), (-0.2, 1.0, 0.2), (-0.1, 0.3, 1.0), "cup"),
        ),
        hands="both",
        head=((0.15, -0.06, 0.0, 0.0),),
        brows=0.4,
    ),
    "together": Gesture(
        _keys(
            (-0.28, (0.29, -0.2, 0.28), (-1.0, 0.1, 0.2), (0.1, 0.3, 0.95), "cup", 0.3),
            (0.06, (0.12, -0.2, 0.29), (-1.0, 0.05, 0.0), (-0.02, 0.4, 0.9), "cup", 0.25),
        ),
        hands="both",
        hold=0.4,
    ),
}
