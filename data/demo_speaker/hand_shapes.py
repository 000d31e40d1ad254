"""Hand shapes: what fingers do when they point, count, pinch or rest.

Angles in degrees, of the left hand with its fingers along +x, palm down. A finger bends at its
three knuckles and turns sideways at the first, towards the little finger's side if positive.
"""

from dataclasses import dataclass

import torch

from speech2video.util.body.body_model import Body
from speech2video.util.body.skeleton import FINGER_JOINTS

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

    The bend is counted from the body's own resting thumb.
    """

    oppose: float
    adduct: float
    bend: float = 0.0


@dataclass(frozen=True)
class HandShape:
    """A whole hand; fingers in the order index, middle, ring, pinky."""

    fingers: tuple[Bend, Bend, Bend, Bend]
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
