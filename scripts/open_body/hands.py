"""Hand components: twelve finger synergies one can name, completed to an orthonormal basis of 45.

A synergy is a direction in the 45 axis-angle numbers of a hand's 15 joints (SMPL-X's order: index,
middle, pinky, ring, thumb; three knuckles each). In the T-pose the fingers of the left hand point
along +x with the palm down: they bend about −z and move sideways about y. The right hand is its
mirror image.
"""

import numpy as np

from speech2video.util.body.skeleton import FINGER_JOINTS, FINGERS

SIZE = 3 * len(FINGER_JOINTS)
MIRROR = np.tile([1.0, -1.0, -1.0], len(FINGER_JOINTS))  # of an axis-angle, in the plane x = 0
LONG_FINGERS = tuple(finger for finger in FINGERS if finger != "thumb")

# How far the three knuckles of a finger bend together, the last one drawn along by the middle one.
CURL = (0.8, 1.0, 0.65)
HOOK = (-1.0, 0.7, 0.45)  # knuckle stretched, middle and end bent: what a curl alone cannot do

# The relaxed left hand, degrees: bend of the three knuckles, more towards the little finger; and
# the turn about y that brings the fingers, splayed in the T-pose, side by side.
RELAXED_BEND = {
    "index": (16, 20, 9),
    "middle": (21, 22, 10),
    "ring": (22, 24, 11),
    "pinky": (21, 24, 11),
}
RELAXED_TURN = {"index": 9, "middle": 0, "ring": -7, "pinky": -17}
RELAXED_THUMB = ((14, 14, 4), (-14, 6, -10), (20, 10, 6))  # axis-angle of its three bones

Turns = dict[str, tuple[float, float, float]]


def _bend(finger: str, knuckles: tuple[float, float, float]) -> Turns:
    return {f"{finger}{k}": (0.0, 0.0, -angle) for k, angle in enumerate(knuckles, start=1)}


def _together(*parts: Turns) -> np.ndarray:
    """Return the 45 numbers of turns given by joint."""
    numbers = np.zeros((len(FINGER_JOINTS), 3))
    for part in parts:
        for joint, turn in part.items():
            numbers[FINGER_JOINTS.index(joint)] += turn
    return numbers.ravel()


def left_synergies(thumb_axis_3: np.ndarray) -> dict[str, np.ndarray]:
    """Return name -> direction (45,), not yet orthonormal; the thumb bends about its own axis."""
    thumb: Turns = {f"thumb{k}": tuple(share * thumb_axis_3) for k, share in ((2, 0.8), (3, 1.0))}
    return {
        "index_curl": _together(_bend("index", CURL)),
        "middle_curl": _together(_bend("middle", CURL)),
        "ring_curl": _together(_bend("ring", CURL)),
        "pinky_curl": _together(_bend("pinky", CURL)),
        "thumb_curl": _together(thumb),
        "thumb_opposition": _together({"thumb1": (1.0, 0.0, 0.0)}),
        "thumb_adduction": _together({"thumb1": (0.0, 1.0, 0.0)}),
        "spread": _together({"index1": (0, -1.0, 0), "ring1": (0, 0.6, 0), "pinky1": (0, 1.2, 0)}),
        "hook": _together(*(_bend(finger, HOOK) for finger in LONG_FINGERS)),
        "index_hook": _together(_bend("index", HOOK)),
        "sway": _together({f"{finger}1": (0, 1.0, 0) for finger in LONG_FINGERS}),
        "palm_cup": _together({"ring1": (0.5, 0, 0), "pinky1": (1.0, 0, 0)}),
    }


def orthonormal(rows_K45: np.ndarray) -> np.ndarray:
    """Return a basis (45, 45) that starts with the given rows, each less what came before it."""
    basis: list[np.ndarray] = []
    for row in (*rows_K45, *np.eye(SIZE)):
        for _ in range(2):  # the second pass takes away what rounding left
            row = row - sum((row @ other) * other for other in basis)
        length = np.linalg.norm(row)
        if length > 1e-3:
            basis.append(row / length)
    return np.stack(basis)


def relaxed_left() -> np.ndarray:
    """Return the mean pose (45,) of the left hand: relaxed, radians."""
    bends = [_bend(finger, angles) for finger, angles in RELAXED_BEND.items()]
    turns = {f"{finger}1": (0, angle, 0) for finger, angle in RELAXED_TURN.items()}
    thumb = {f"thumb{k}": turn for k, turn in enumerate(RELAXED_THUMB, start=1)}
    return np.radians(_together(*bends, turns, thumb))
