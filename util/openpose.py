"""OpenPose's json: one file a frame, people found in it as lists of x, y, confidence.

Format: https://github.com/CMU-Perceptual-Computing-Lab/openpose, "Output format": BODY_25, 70 face
points (the iBUG-68 places, then the two pupils) and 21 points a hand.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speech2video.util.body.skeleton import FINGER_TIPS, IBUG68, POINT_INDEX, finger_chain, indices
from speech2video.util.errors import DataError

BODY_25 = (
    "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist",
    "MidHip", "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar",
    "LEar", "LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel",
)  # fmt: skip
# The same places among the body model's points (`skeleton.POINTS`).
_BODY_25_POINTS = indices((
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
    "left_wrist", "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee",
    "left_ankle", "right_eye_point", "left_eye_point", "right_ear", "left_ear", "left_big_toe",
    "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
))  # fmt: skip
_FACE_70_POINTS = [*IBUG68, POINT_INDEX["right_eye"], POINT_INDEX["left_eye"]]
FACE_POINTS = 70
HAND_POINTS = 21
FARTHEST_PX = 32768  # no point of a picture lies farther out; keeps bad files from filling memory


@dataclass(frozen=True, eq=False)
class OpenPoseFrame:
    """One person in one frame; each row is x, y in pixels and a confidence, zeros where missing.

    `left_hand_listed` is False where the file had no list at all for the left hand (OpenPose run
    without hands), which one drawing style tells from a hand that was looked for and not found.
    """

    body_253: np.ndarray
    face_703: np.ndarray
    left_hand_213: np.ndarray
    right_hand_213: np.ndarray
    left_hand_listed: bool = True

    def __post_init__(self) -> None:
        """Raise `DataError` for a wrong shape, values not finite, or points far out."""
        for name in ("body_253", "face_703", "left_hand_213", "right_hand_213"):
            points_K3 = getattr(self, name)
            shape = (int(name[-3:-1]), 3)
            if points_K3.shape != shape:
                raise DataError(f"{name}: shape {points_K3.shape}, {shape} is needed")
            if not (np.abs(points_K3) <= FARTHEST_PX).all():  # false for NaN, too
                raise DataError(f"{name}: finite numbers up to ±{FARTHEST_PX} are needed")


def read_openpose(path: Path) -> OpenPoseFrame:
    """Return the largest person of an OpenPose json file.

    Raises `DataError`: not json, nobody in it, lists of a wrong length, values that are no number.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not json ({error})") from None
    people = content.get("people") if isinstance(content, dict) else None
    if not isinstance(people, list):
        raise DataError(f'{path}: no list "people"; an OpenPose json file is needed')
    if not people:
        raise DataError(f"{path}: nobody in this frame; one person is needed")
    try:
        return max((_person(person) for person in people), key=_extent)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def points_to_openpose(points_K2: np.ndarray) -> OpenPoseFrame:
    """Return the OpenPose frame of a body's points (144, 2) in pixels, NaN where missing."""
    found_K1 = (np.abs(points_K2) <= FARTHEST_PX).all(1, keepdims=True)  # false for NaN, too
    points_K3 = np.where(found_K1, np.concatenate((points_K2, found_K1), 1), 0.0)
    return OpenPoseFrame(
        body_253=points_K3[_BODY_25_POINTS],
        face_703=points_K3[_FACE_70_POINTS],
        left_hand_213=points_K3[_hand_21_points("left")],
        right_hand_213=points_K3[_hand_21_points("right")],
    )


def _hand_21_points(side: str) -> list[int]:
    """Return the wrist, then each finger from its root to its tip, thumb first."""
    fingers = [finger_chain(side, finger) for finger in FINGER_TIPS]
    return indices((fingers[0][0], *(name for chain in fingers for name in chain[1:])))


def read_openpose_folder(folder: Path) -> Iterator[OpenPoseFrame]:
    """Yield the frames of a folder of json files in frame order (9 before 10).

    Raises `DataError` at once where the folder holds none, later for a file that is not right.
    """
    paths = sorted(Path(folder).glob("*.json"), key=_natural_order)
    if not paths:
        raise DataError(f"{folder}: no json files; a folder of OpenPose frames is needed")
    return map(read_openpose, paths)


def _person(person: Any) -> OpenPoseFrame:
    if not isinstance(person, dict) or "pose_keypoints_2d" not in person:
        raise DataError('a person without "pose_keypoints_2d"')
    return OpenPoseFrame(
        body_253=_points(person, "pose_keypoints_2d", len(BODY_25)),
        face_703=_points(person, "face_keypoints_2d", FACE_POINTS),
        left_hand_213=_points(person, "hand_left_keypoints_2d", HAND_POINTS),
        right_hand_213=_points(person, "hand_right_keypoints_2d", HAND_POINTS),
        left_hand_listed=bool(person.get("hand_left_keypoints_2d")),
    )


def _points(person: dict[str, Any], key: str, count: int) -> np.ndarray:
    """Return the (count, 3) points of a list; zeros for an empty or absent one."""
    values = person.get(key, [])
    if not isinstance(values, list):
        raise DataError(f"{key} is no list")
    if len(values) not in (0, count * 3):
        raise DataError(f"{key} has {len(values)} numbers, {count} points × 3 are needed")
    if not all(type(value) in (int, float) and abs(value) <= FARTHEST_PX for value in values):
        raise DataError(f"{key}: finite numbers up to ±{FARTHEST_PX} are needed")
    return np.array(values or [0] * count * 3, dtype=np.float64).reshape(count, 3)


def _extent(frame: OpenPoseFrame) -> float:
    """Return the area in pixels² of the box around a person's points."""
    points_K3 = np.concatenate(
        [frame.body_253, frame.face_703, frame.left_hand_213, frame.right_hand_213]
    )
    found_K2 = points_K3[points_K3[:, 2] > 0, :2]
    return float(np.ptp(found_K2, axis=0).prod()) if len(found_K2) else 0.0


def _natural_order(path: Path) -> list[tuple[int, str]]:
    return [(int(digits or 0), text) for digits, text in re.findall(r"(\d+)|(\D+)", path.name)]
