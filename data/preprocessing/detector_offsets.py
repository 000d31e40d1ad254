"""Where a detector sees a joint, and where the body has it: the constant difference.

A detector's "shoulder" lies on the skin's top, its "hip" below the hip's centre, its knuckles on
the back of the hand. Each offset hangs on a joint and turns with it.
"""

import torch
from torch import Tensor

from speech2video.util.body.skeleton import JOINTS, POINT_INDEX, POINTS

# MediaPipe Holistic 0.10.14 on rendered open bodies of several shapes, by least squares over all
# frames in which a point was found, left and right mirrored onto each other:
# point: (joint it hangs on, millimetres for the left side), T-pose axes.
_MEDIAPIPE: dict[str, tuple[str, tuple[int, int, int]]] = {
    "hip": ("pelvis", (2, -51, 12)),
    "shoulder": ("collar", (-2, 18, -6)),
    "elbow": ("shoulder", (-6, 2, -36)),
    "wrist": ("elbow", (0, 6, -7)),
    "index1": ("wrist", (-14, 2, -5)),
    "index2": ("index1", (-1, -3, -2)),
    "index3": ("index2", (1, -2, -1)),
    "middle1": ("wrist", (-10, 0, 2)),
    "middle2": ("middle1", (-3, -3, 2)),
    "middle3": ("middle2", (-3, -2, 1)),
    "pinky1": ("wrist", (-11, 3, 7)),
    "pinky2": ("pinky1", (-4, -2, 3)),
    "pinky3": ("pinky2", (-1, -3, 1)),
    "ring1": ("wrist", (-9, 0, 4)),
    "ring2": ("ring1", (-1, -3, 2)),
    "ring3": ("ring2", (-1, -3, 1)),
    "thumb1": ("wrist", (-13, -2, -5)),
    "thumb2": ("thumb1", (-3, -2, -1)),
    "thumb3": ("thumb2", (-2, -1, -8)),
    "ear": ("head", (-22, -10, 39)),
    "thumb_tip": ("thumb3", (-8, -1, -10)),
    "index_tip": ("index3", (-6, -2, -3)),
    "middle_tip": ("middle3", (-8, -4, 0)),
    "ring_tip": ("ring3", (-8, -4, 3)),
    "pinky_tip": ("pinky3", (-6, -2, 3)),
}
TABLES = {"mediapipe": _MEDIAPIPE}


def detector_offsets(source: str) -> tuple[Tensor, Tensor]:
    """Return offsets (144, 3) in metres of a detector's points, and the joints (144,) they hang on.

    A detector without a table, such as a person's own annotation, sees joints where they are.
    """
    offsets, joints = torch.zeros(len(POINTS), 3), torch.zeros(len(POINTS), dtype=torch.long)
    for name, (joint, millimetres) in TABLES.get(source, {}).items():
        for side, mirror in (("left", 1.0), ("right", -1.0)):
            index = POINT_INDEX[f"{side}_{name}"]
            on = joint if joint in JOINTS else f"{side}_{joint}"
            joints[index] = JOINTS.index(on)
            x, y, z = millimetres
            offsets[index] = torch.tensor((mirror * x, y, z)) / 1000
    return offsets, joints
