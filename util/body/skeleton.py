"""The table of the body: joints, parents, points and regions, in SMPL-X's order.

Names and order are those of SMPL-X (Pavlakos et al., CVPR 2019) and of the `smplx` package: 55
joints, then 21 points on the skin, 51 inner face landmarks and the 17 of the face's contour.
"""

from pathlib import Path

import numpy as np

from speech2video.util.files import read_json

_PARENTS = read_json(Path(__file__).with_name("skeleton.json"), what="the skeleton")
BODY_JOINTS: tuple[str, ...] = tuple(_PARENTS["body"])
FACE_JOINTS: tuple[str, ...] = tuple(_PARENTS["face"])
FINGERS = ("index", "middle", "pinky", "ring", "thumb")  # SMPL-X's order: alphabetical
FINGER_JOINTS = tuple(f"{finger}{knuckle}" for finger in FINGERS for knuckle in (1, 2, 3))
LEFT_HAND_JOINTS = tuple(f"left_{joint}" for joint in FINGER_JOINTS)
RIGHT_HAND_JOINTS = tuple(f"right_{joint}" for joint in FINGER_JOINTS)
JOINTS = BODY_JOINTS + FACE_JOINTS + LEFT_HAND_JOINTS + RIGHT_HAND_JOINTS


def _parent(joint: str) -> str:
    """Return the joint that this one hangs on: of a finger, the knuckle before or the wrist."""
    if joint in FACE_JOINTS + BODY_JOINTS:
        return (_PARENTS["body"] | _PARENTS["face"])[joint]
    knuckle = int(joint[-1])
    return f"{joint[:-1]}{knuckle - 1}" if knuckle > 1 else joint.split("_")[0] + "_wrist"


PARENTS = (-1, *(JOINTS.index(_parent(joint)) for joint in JOINTS[1:]))

# Points on the skin that `smplx` appends to the joints.
FINGER_TIPS = ("thumb", "index", "middle", "ring", "pinky")
_FACE_SKIN = ("nose", "right_eye_point", "left_eye_point", "right_ear", "left_ear")
_FOOT = ("big_toe", "small_toe", "heel")
_FEET_SKIN = tuple(f"{side}_{point}" for side in ("left", "right") for point in _FOOT)
LEFT_TIPS = tuple(f"left_{finger}_tip" for finger in FINGER_TIPS)
RIGHT_TIPS = tuple(f"right_{finger}_tip" for finger in FINGER_TIPS)
SKIN_POINTS = _FACE_SKIN + _FEET_SKIN + LEFT_TIPS + RIGHT_TIPS

# The 68 landmarks of iBUG 300-W (Sagonas et al. 2013); `smplx` gives the inner 51 first, then the
# contour's 17, while detectors count the contour first.
FACE_LANDMARKS = tuple(f"face_{i}" for i in (*range(17, 68), *range(17)))

POINTS = JOINTS + SKIN_POINTS + FACE_LANDMARKS  # 144, as `smplx` returns them
POINT_INDEX = {name: index for index, name in enumerate(POINTS)}
IBUG68 = tuple(POINT_INDEX[f"face_{i}"] for i in range(68))  # indices into POINTS, iBUG's order

IBUG_MIRROR = (  # each landmark's number on the other side
    *(*range(16, -1, -1), *range(26, 16, -1)),  # contour, brows
    *(*range(27, 31), *range(35, 30, -1)),  # nose
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
    *(*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1)),  # lips
)

# Runs of iBUG landmarks that belong together, as (indices, closed).
FACE_LINES = {
    "contour": (range(17), False),
    "right_brow": (range(17, 22), False),
    "left_brow": (range(22, 27), False),
    "nose_bridge": (range(27, 31), False),
    "nose_base": (range(31, 36), False),
    "right_eye": (range(36, 42), True),
    "left_eye": (range(42, 48), True),
    "outer_lips": (range(48, 60), True),
    "inner_lips": (range(60, 68), True),
}


def indices(names: tuple[str, ...]) -> list[int]:
    """Return the indices of named points (joints have the same index in `JOINTS` and `POINTS`)."""
    return [POINT_INDEX[name] for name in names]


def finger_chain(side: str, finger: str) -> tuple[str, ...]:
    """Return the points of one finger from wrist to tip; side is "left" or "right"."""
    knuckles = tuple(f"{side}_{finger}{knuckle}" for knuckle in (1, 2, 3))
    return (f"{side}_wrist", *knuckles, f"{side}_{finger}_tip")


def mirrored(name: str) -> str:
    """Return the name of the same point or joint on the other side."""
    for side, other in (("left_", "right_"), ("right_", "left_"), ("face_", "face_")):
        if name.startswith(side):
            rest = name.removeprefix(side)
            return other + (str(IBUG_MIRROR[int(rest)]) if side == other else rest)
    return name


# Regions of an image: square boxes around projected points.
REGION_POINTS = {
    "head": list(IBUG68),
    "left_hand": indices(("left_wrist", *LEFT_HAND_JOINTS, *LEFT_TIPS)),
    "right_hand": indices(("right_wrist", *RIGHT_HAND_JOINTS, *RIGHT_TIPS)),
    "mouth": list(IBUG68[48:68]),
    "eyes": [*IBUG68[17:27], *IBUG68[36:48]],  # and brows
}
REGIONS = tuple(REGION_POINTS)
# Box side / the points' larger extent. The landmarks end at brows and chin: a head is more.
REGION_MARGINS = {"head": 1.9, "left_hand": 1.4, "right_hand": 1.4, "mouth": 1.7, "eyes": 1.1}
HEAD_RISE = 0.15  # the head's box sits higher than its landmarks, by this part of its side
MIN_VISIBLE = 0.5  # share of a box that must lie in the image for the region to be visible


def region_boxes(points_TK2: np.ndarray, region: str) -> np.ndarray:
    """Return square boxes (T, 4), x0 y0 x1 y1 in pixels, of one region in points (T, 144, 2).

    A box is NaN where any of the region's points is missing. `region` is a key of `REGION_POINTS`.
    """
    points = points_TK2[:, REGION_POINTS[region]]
    low, high = points.min(1), points.max(1)
    side = (high - low).max(1) * REGION_MARGINS[region]
    if region.endswith("hand"):
        # An edge-on fist has hardly any extent; a hand is at least half as long as its forearm.
        joints = [POINT_INDEX[region.replace("hand", joint)] for joint in ("elbow", "wrist")]
        elbow_T2, wrist_T2 = points_TK2[:, joints].swapaxes(0, 1)
        side = np.fmax(side, 0.5 * np.linalg.norm(elbow_T2 - wrist_T2, axis=1))
    center = (low + high) / 2
    if region == "head":
        center = center - np.stack((np.zeros_like(side), HEAD_RISE * side), 1)
    half = side[:, None] / 2
    return np.concatenate((center - half, center + half), 1)


def boxes_visible(boxes_T4: np.ndarray, *, width: int, height: int) -> np.ndarray:
    """Return which boxes (T,) lie in the image with at least half of their area."""
    clipped = boxes_T4.clip(0, (width, height, width, height))
    inside = (clipped[:, 2] - clipped[:, 0]) * (clipped[:, 3] - clipped[:, 1])
    area = (boxes_T4[:, 2] - boxes_T4[:, 0]) * (boxes_T4[:, 3] - boxes_T4[:, 1])
    return inside >= MIN_VISIBLE * area  # False for NaN, as it should be
