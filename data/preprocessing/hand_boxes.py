"""Where to look for a hand, and whether what is seen there can be the hand of an arm."""

from dataclasses import dataclass

import cv2
import numpy as np

from speech2video.data.preprocessing.mediapipe_graphs import CROP
from speech2video.data.preprocessing.mediapipe_tables import (
    HAND_MIDDLE_ROOT,
    HAND_ROOTS,
    POSE_ELBOWS,
    POSE_INDEX_ROOTS,
    POSE_PINKY_ROOTS,
    POSE_SHOULDERS,
    POSE_WRISTS,
)

HAND_LENGTH = 0.19  # metres, wrist to the tip of the middle finger
PALM_LENGTH = 0.095  # metres, wrist to the root of the middle finger
# Lengths in hands, as long as one facing the camera would be in the picture.
GUESS_BOX = 1.35  # side of the crop for a hand whose place is only guessed
SEARCH_BOX = 3.0  # side of the crop in which palms are searched
OUTSTRETCHED = (
    1.0,
    1.2,
)  # from the shoulder outwards and down, where a stretched arm's hand may be
REACH = 3.4  # from the shoulder to the wrist
NEAR = 1.2  # between the wrist of a hand and that of the pose, if they are to be one
LEAP = 1.0  # between two frames
OUTSIDE = 0.5  # beyond the border, from where on a hand cannot be seen
FOREARM = 0.45  # from the wrist to the middle of a hand

FOLLOW_BOX = 2.0  # side of the crop around a known hand, in sides of the box around its palm
PALM_SIZES = (0.4, 1.7)  # palm over what it should be
SURE_SIDE = 0.1  # score of its side below which a hand near the wrist is taken for the other one
SURE_FAR_SIDE = 0.6  # the same for a hand that is not where the pose says

_PALM_AND_FIRST_JOINTS = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]


@dataclass(frozen=True)
class Hand:
    """A hand as seen: points (21, 2) in pixels, world (21, 3) in metres from its wrist."""

    points_212: np.ndarray
    world_213: np.ndarray
    side_score: float  # 0 to 1, how surely it is of this side


@dataclass(frozen=True)
class Box:
    """A square of the picture, turned so that a hand's fingers point up in it."""

    center_2: np.ndarray  # pixels
    side: float  # pixels
    up_2: np.ndarray  # unit vector in the picture towards the fingers

    @classmethod
    def around(cls, points_212: np.ndarray) -> "Box":
        """Return the box in which to look for a hand that is about here."""
        up_2 = _unit(points_212[HAND_ROOTS].mean(0) - points_212[0])
        axes_22 = np.stack([[-up_2[1], up_2[0]], up_2])
        along_K2 = points_212[_PALM_AND_FIRST_JOINTS] @ axes_22.T
        low_2, high_2 = along_K2.min(0), along_K2.max(0)
        middle_2 = (low_2 + high_2) / 2 + (0, 0.1 * (high_2 - low_2)[1])  # fingers reach farther
        return cls(middle_2 @ axes_22, FOLLOW_BOX * (high_2 - low_2).max(), up_2)

    def scaled(self, scale: float) -> "Box":
        """Return the same box in a picture of another size."""
        return Box(self.center_2 * scale, self.side * scale, self.up_2)

    def crop(self, image_HW3: np.ndarray) -> np.ndarray:
        """Return it as a picture of CROP × CROP pixels; black beyond the border."""
        to_picture_23 = self._to_picture(1 / CROP)
        # OpenCV counts from the middle of the first pixel, we from its corner.
        to_picture_23[:, 2] += to_picture_23[:, :2].sum(1) / 2 - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image_HW3, to_picture_23, (CROP, CROP), flags=flags)

    def pixels(self, points_K2: np.ndarray) -> np.ndarray:
        """Return where shares (K, 2) of the box's sides lie in the picture."""
        to_picture_23 = self._to_picture(1.0)
        return points_K2 @ to_picture_23[:, :2].T + to_picture_23[:, 2]

    def _to_picture(self, unit: float) -> np.ndarray:
        right_2 = np.array([-self.up_2[1], self.up_2[0]])
        axes_22 = self.side * np.stack([right_2, -self.up_2], 1)
        return np.concatenate([axes_22 * unit, (self.center_2 - axes_22.sum(1) / 2)[:, None]], 1)


@dataclass(frozen=True)
class Arm:
    """What the pose says of an arm, in pixels."""

    shoulder_2: np.ndarray
    elbow_2: np.ndarray
    wrist_2: np.ndarray
    roots_2: np.ndarray  # midway between the roots of index and little finger
    outward: float  # the sign of x away from the body
    hand_length: float

    @classmethod
    def of_pose(cls, pose_332: np.ndarray, side: int, pixels_per_metre: float) -> "Arm":
        """Return an arm of MediaPipe's pose (33, 2) in pixels; side 0 is the left one."""
        shoulder_2, other_2 = pose_332[[POSE_SHOULDERS[side], POSE_SHOULDERS[1 - side]]]
        return cls(
            shoulder_2=shoulder_2,
            elbow_2=pose_332[POSE_ELBOWS[side]],
            wrist_2=pose_332[POSE_WRISTS[side]],
            roots_2=pose_332[[POSE_PINKY_ROOTS[side], POSE_INDEX_ROOTS[side]]].mean(0),
            outward=float(np.sign(shoulder_2[0] - other_2[0])),
            hand_length=HAND_LENGTH * pixels_per_metre,
        )

    def guesses(self) -> list[Box]:
        """Return where its hand may be: as the pose points it, and straight on from the forearm."""
        ups = [_unit(self.roots_2 - self.wrist_2), _unit(self.wrist_2 - self.elbow_2)]
        size = self.hand_length
        return [Box(self.wrist_2 + FOREARM * size * up, GUESS_BOX * size, up) for up in ups]

    def searches(self) -> tuple[Box, Box]:
        """Return where to search palms: around the wrist, and where it is if stretched out."""
        outward, down = OUTSTRETCHED
        offset_2 = self.hand_length * np.array([self.outward * outward, down])
        side, up_2 = SEARCH_BOX * self.hand_length, np.array([0.0, -1.0])
        return Box(self.wrist_2, side, up_2), Box(self.shoulder_2 + offset_2, side, up_2)

    def allows(self, hand: Hand, last: Hand | None) -> bool:
        """Return whether a hand can be this arm's; `last` is what it was in the next frame."""
        wrist_2, size = hand.points_212[0], self.hand_length
        seen = np.linalg.norm(hand.points_212[HAND_MIDDLE_ROOT] - wrist_2) / size
        flat = np.linalg.norm(hand.world_213[HAND_MIDDLE_ROOT, :2])
        ratio = seen * HAND_LENGTH / max(flat, PALM_LENGTH / 3)
        if not PALM_SIZES[0] < ratio < PALM_SIZES[1]:
            return False
        if last is not None and np.linalg.norm(wrist_2 - last.points_212[0]) > LEAP * size:
            return False
        if np.linalg.norm(wrist_2 - self.wrist_2) < NEAR * size:
            return last is not None or hand.side_score > SURE_SIDE
        within_reach = np.linalg.norm(wrist_2 - self.shoulder_2) < REACH * size
        return bool(within_reach) and hand.side_score > SURE_FAR_SIDE

    def may_be_seen(self, width: int, height: int) -> bool:
        """Return whether the pose has its hand inside the picture."""
        margin = OUTSIDE * self.hand_length
        inside_2 = (self.wrist_2 > -margin) & (self.wrist_2 < np.array([width, height]) + margin)
        return bool(inside_2.all())


def _unit(vector_2: np.ndarray) -> np.ndarray:
    return vector_2 / max(float(np.linalg.norm(vector_2)), 1e-9)
