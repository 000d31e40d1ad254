"""Where a detector sees a point, and where the body has it: what differs, whoever is seen.

A detector's "shoulder" lies on the skin's top, its "hip" below the hip's centre, its knuckles on
the back of the hand. Each difference hangs on a joint or on several, and turns with them. The
numbers are measured by `scripts/calibrate_detector.py` on rendered bodies, whose truth is known.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from speech2video.util.body.pose_vector import EXPRESSIONS
from speech2video.util.body.skeleton import JOINTS, POINT_INDEX, POINTS, mirrored

TABLES = {"mediapipe": Path(__file__).parent / "mediapipe_offsets.json"}
MIRROR = (-1.0, 1.0, 1.0)  # the other side's offset; x is to the body's left
# Bones whose guessed direction is corrected. The two sides apart: detectors are not symmetric.
ARM_BONES = {
    f"{side}_{name}": (f"{side}_{start}", f"{side}_{end}")
    for side in ("left", "right")
    for name, start, end in (("upper_arm", "shoulder", "elbow"), ("forearm", "elbow", "wrist"))
}
# iBUG landmarks of the face's right half, each with the number its mirror image adds up to.
_FACE_SUMS = (
    (range(17), 16),
    (range(17, 27), 43),
    (range(27, 31), None),
    (range(31, 36), 66),
    ((36, 37, 38, 39, 42, 43, 44, 45), 81),
    ((40, 41, 46, 47), 87),
    (range(48, 55), 102),
    (range(55, 60), 114),
    (range(60, 65), 124),
    (range(65, 68), 132),
)
FACE_MIRROR = {
    f"face_{i}": f"face_{i if total is None else total - i}"
    for numbers, total in _FACE_SUMS
    for i in numbers
}


@dataclass(frozen=True, eq=False)
class Detector:
    """What is known of a detector's habits.

    Attributes:
        points_E, joints_E: (E,) which point is off, and the joint that this offset hangs on; a
            point may have several.
        offsets_E3: (E, 3) metres, in the joint's axes.
        face_K3E: (144, 3, 10) metres in the head's axes by which it sees the open body's
            expressions otherwise than they are: lips that pucker look more closed, for example.
        sigma_K: (144,) metres by which points are still off, NaN where not measured.
        bones: for each of `ARM_BONES` a (3, 4) matrix that corrects the detector's own guess of
            its direction (x to the body's left, y up, z to the viewer, 1).
    """

    points_E: Tensor
    joints_E: Tensor
    offsets_E3: Tensor
    face_K3E: Tensor
    sigma_K: Tensor
    bones: dict[str, Tensor]


def mirror_image(name: str) -> str:
    """Return the name of the same point or joint on the other side."""
    return FACE_MIRROR.get(name, mirrored(name))


@cache
def detector_table(source: str) -> Detector:
    """Return what is known of a detector, "mediapipe" or another.

    One without a table, such as a person's own annotation, sees points where they are.
    """
    table = TABLES.get(source)
    values = json.loads(table.read_text(encoding="utf-8")) if table else {"points": {}, "bones": {}}
    offsets: dict[tuple[int, int], Tensor] = {}
    face_K3E = torch.zeros(len(POINTS), 3, EXPRESSIONS)
    sigma_K = torch.full((len(POINTS),), torch.nan)
    for name, measured in values["points"].items():
        for mirror in (True, False):
            sign = torch.tensor(MIRROR if mirror else (1.0, 1.0, 1.0))
            point = POINT_INDEX[mirror_image(name) if mirror else name]
            sigma_K[point] = measured["sigma_mm"] / 1000
            for joint, millimetres in measured["offset_mm"].items():
                on = JOINTS.index(mirror_image(joint) if mirror else joint)
                offsets[point, on] = sign * torch.tensor(millimetres) / 1000
            if "expression_mm" in measured:
                face_K3E[point] = sign[:, None] * torch.tensor(measured["expression_mm"]) / 1000
    points_E, joints_E = torch.tensor(list(offsets), dtype=torch.long).reshape(-1, 2).unbind(1)
    offsets_E3 = torch.stack(list(offsets.values())) if offsets else torch.zeros(0, 3)
    bones = {name: torch.tensor(matrix) for name, matrix in values["bones"].items()}
    return Detector(points_E, joints_E, offsets_E3, face_K3E, sigma_K, bones)
