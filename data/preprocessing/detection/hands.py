"""Hands, followed and looked for again around the wrists that the body's pose gives.

Holistic looks once, where the pose's crude hand points lie, and gives up when the hand turns, moves
fast or the pose errs. Here each hand is looked at where it was in the frame before, then as the
pose and the forearm point; at last a palm detector searches around the wrist and where an arm would
be stretched out. In dim or tinted light it helps to balance the crop's colours: both ways are
tried. What is found must be a hand of the right size, side and place, and is then followed back
into the frames before, too. A hand that stays lost is searched ever more rarely.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from speech2video.data.preprocessing.detection.mediapipe_networks import (
    CROP,
    HAND_MIDDLE_ROOT,
    HAND_ROOTS,
    POSE_ELBOWS,
    POSE_INDEX_ROOTS,
    POSE_PINKY_ROOTS,
    POSE_SHOULDERS,
    POSE_WRISTS,
    HandNetwork,
    PalmNetwork,
)

# Where to look for a hand, and whether what is seen there can be the hand of an arm.

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


SAME_PLACE = 0.35  # hand lengths; mean distance below which two hands are one
LONGEST_PAUSE = 5  # frames between two searches for a hand that stays lost
LONGEST_PAUSE_OUTSIDE = 20  # the same for one that the pose has outside the picture
KEPT_FRAMES = 25  # how far back a newly found hand is followed
KEPT_WIDTH = 960  # pixels; those frames are kept no wider
COLOUR_RANGE = (2, 97)  # percentiles of a colour that balancing maps to 0 and `BRIGHTEST`
BRIGHTEST = 230
LEAST_RANGE = 10  # of 255; a colour that varies less is left as flat as it is


@dataclass
class _Side:
    """What is remembered of one hand."""

    last: Hand | None = None
    pause: int = 0  # frames until it is searched again
    wait: int = 0
    searches: int = 0

    @property
    def reaches(self) -> bool:
        """Whether this search is for an outstretched arm's hand."""
        return self.searches % 2 == 0

    @property
    def balances(self) -> bool:
        """Whether this search is in balanced colours."""
        return self.searches % 4 >= 2

    def note(self, hand: Hand | None, longest_pause: int) -> None:
        """Remember what a frame showed, and for how long not to search."""
        self.last = hand
        if hand is not None:
            self.pause = self.wait = 0
        elif self.pause > 0:
            self.pause -= 1
        else:
            self.pause = self.wait
            self.wait = min(max(1, 2 * self.wait), longest_pause)


@dataclass(frozen=True)
class _Kept:
    """A frame of the last second."""

    image_HW3: np.ndarray
    scale: float  # of the kept image over the frame
    arms: tuple[Arm, Arm]
    hands: list[Hand | None]  # left, right


class HandTracker:
    """Both hands of one person, frame after frame.

    Attributes:
        hands: for each frame the left and the right hand, None where not seen. The last second's
            may still be filled in.
    """

    def __init__(self) -> None:
        self._look, self._palms = HandNetwork(), PalmNetwork()
        self._kept: deque[_Kept] = deque(maxlen=KEPT_FRAMES)
        self.hands: list[list[Hand | None]] = []
        self.forget()

    def forget(self) -> None:
        """Look anew, as for another person."""
        self._sides = (_Side(), _Side())
        self._kept.clear()

    def skip(self) -> None:
        """Take note of a frame without a person."""
        self.hands.append([None, None])
        self.forget()

    def see(self, image_HW3: np.ndarray, pose_332: np.ndarray, pixels_per_metre: float) -> None:
        """Look for the hands of the next frame.

        Args:
            image_HW3: RGB, uint8.
            pose_332: MediaPipe's pose (33, 2) in pixels.
            pixels_per_metre: at the body's distance.
        """
        size = image_HW3.shape[1::-1]
        arms = tuple(Arm.of_pose(pose_332, side, pixels_per_metre) for side in (0, 1))
        hands = [self._find(image_HW3, arm, side) for side, arm in enumerate(arms)]
        _drop_double(hands, arms[0].hand_length)
        for side, (arm, hand) in enumerate(zip(arms, hands, strict=True)):
            state = self._sides[side]
            if hand is not None and state.last is None:
                self._follow_back(hand, side)
            state.note(hand, LONGEST_PAUSE if arm.may_be_seen(*size) else LONGEST_PAUSE_OUTSIDE)
        self.hands.append(hands)
        scale = min(1.0, KEPT_WIDTH / size[0])
        kept_HW3 = cv2.resize(image_HW3, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        self._kept.append(_Kept(kept_HW3, scale, arms, hands))

    def _find(self, image_HW3: np.ndarray, arm: Arm, side: int) -> Hand | None:
        state = self._sides[side]
        if state.last is not None:
            hand = self._followed(image_HW3, 1.0, arm, side, state.last)
            if hand is not None:
                return hand
        if state.pause > 0:
            return None
        state.searches += 1
        for box in self._candidates(image_HW3, arm, state):
            rough = self._seen_in(image_HW3, box, side, state.balances)
            if rough is not None and arm.allows(rough, None):
                return self._followed(image_HW3, 1.0, arm, side, rough)
        return None

    def _candidates(self, image_HW3: np.ndarray, arm: Arm, state: _Side) -> Iterator[Box]:
        """Yield boxes that may hold an arm's lost hand, the cheaper and likelier first."""
        seen = arm.may_be_seen(*image_HW3.shape[1::-1])
        if seen:
            yield from arm.guesses()
        box = arm.searches()[state.reaches or not seen]
        for points_212 in self._palms(_coloured(box.crop(image_HW3), state.balances)):
            yield Box.around(box.pixels(points_212))

    def _followed(
        self, image_HW3: np.ndarray, scale: float, arm: Arm, side: int, last: Hand
    ) -> Hand | None:
        """Return the hand that was `last`, in a picture `scale` times as large as its frame."""
        box = Box.around(last.points_212).scaled(scale)
        for balanced in (False, True):
            hand = self._seen_in(image_HW3, box, side, balanced, scale)
            if hand is not None and arm.allows(hand, last):
                return hand
        return None

    def _seen_in(
        self, image_HW3: np.ndarray, box: Box, side: int, balanced: bool, scale: float = 1.0
    ) -> Hand | None:
        """Return the hand seen in a box, in pixels of the frame."""
        found = self._look(_coloured(box.crop(image_HW3), balanced))
        if found is None:
            return None
        points_212, world_213, left = found
        return Hand(box.pixels(points_212) / scale, world_213, 1 - left if side else left)

    def _follow_back(self, hand: Hand, side: int) -> None:
        """Fill in the frames before a hand was found, as long as it is seen in them."""
        for kept in reversed(self._kept):
            if kept.hands[side] is not None:
                return
            arm = kept.arms[side]
            hand = self._followed(kept.image_HW3, kept.scale, arm, side, hand)
            kept.hands[side] = hand
            _drop_double(kept.hands, arm.hand_length)
            if kept.hands[side] is None:
                return


def _coloured(crop_HW3: np.ndarray, balanced: bool) -> np.ndarray:
    """Return a crop as it is, or with each colour stretched to its full range."""
    if not balanced:
        return crop_HW3
    low_3, high_3 = np.percentile(crop_HW3[::4, ::4], COLOUR_RANGE, axis=(0, 1))
    gain_3 = BRIGHTEST / np.maximum(high_3 - low_3, LEAST_RANGE)
    table_1N3 = np.clip((np.arange(256)[None, :, None] - low_3) * gain_3, 0, 255)
    return cv2.LUT(crop_HW3, table_1N3.astype(np.uint8))


def _drop_double(hands: list[Hand | None], hand_length: float) -> None:
    """Where both hands are the same hand of the picture, leave it to the likelier side."""
    if None in hands:
        return
    left, right = hands
    apart = np.linalg.norm(left.points_212 - right.points_212, axis=1).mean()
    if apart < SAME_PLACE * hand_length:
        hands[left.side_score > right.side_score] = None
