"""Track both hands, with repeated searches around the wrists of the body's pose.

MediaPipe Holistic crops each hand once, at the pose's crude hand points, and fails when the hand
turns, moves fast or the pose errs. Here a hand is searched where it was in the previous frame, then
in the directions of pose and forearm; last, a palm detector searches around the wrist and where an
outstretched arm's hand would be. Crops are also tried with balanced colours, for dim or tinted
light. A detection must fit the arm in size, side and place, and is then tracked back into earlier
frames. A lost hand is searched at growing intervals.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from speech2video.data.preprocessing.detection import mediapipe_networks as networks

HAND_LENGTH = 0.19  # metres, wrist to the tip of the middle finger
PALM_LENGTH = 0.095  # metres, wrist to the root of the middle finger
# Multiples of the hand's length in pixels, as of a hand facing the camera.
GUESS_BOX = 1.35  # side of the crop at a guessed place
SEARCH_BOX = 3.0  # side of the crop for the palm detector
OUTSTRETCHED = (1.0, 1.2)  # from the shoulder, outward and down, to an outstretched arm's hand
REACH = 3.4  # from the shoulder to the wrist, at most
MAX_WRIST_DISTANCE = 1.2  # between the hand's wrist and the pose's
MAX_STEP = 1.0  # between two frames
OUTSIDE_MARGIN = 0.5  # beyond the border, from which a hand is invisible
FOREARM = 0.45  # from the wrist to the centre of the hand
DUPLICATE_DISTANCE = 0.35  # mean distance of points, below which two hands are one

TRACK_BOX = 2.0  # side of the crop around a known hand, in sides of its palm's bounding box
PALM_RATIO = (0.4, 1.7)  # range of the palm's length over the expected one
MIN_SIDE_SCORE = 0.1  # of a hand near the wrist; below it is the other hand
MIN_FAR_SIDE_SCORE = 0.6  # of a hand far from the wrist
_PALM_AND_FIRST_JOINTS = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]

MAX_PAUSE = 5  # frames between two searches for a lost hand
MAX_PAUSE_OUTSIDE = 20  # the same for a hand outside the image according to the pose
KEPT_FRAMES = 25  # through which a newly found hand is tracked back
KEPT_WIDTH = 960  # pixels, maximum width of kept frames
COLOUR_PERCENTILES = (2, 97)  # of each channel, mapped to 0 and `BRIGHTEST` by balancing
BRIGHTEST = 230
MIN_COLOUR_RANGE = 10  # of 255; channels that vary less are not stretched further


@dataclass(frozen=True)
class Hand:
    """A detected hand.

    Attributes:
        points_212: (21, 2) pixels.
        world_213: (21, 3) metres from the wrist.
        side_score: 0 to 1, confidence that it is of the expected side.
    """

    points_212: np.ndarray
    world_213: np.ndarray
    side_score: float


@dataclass(frozen=True)
class Box:
    """A square of the image, rotated so that the fingers point up in it.

    Attributes:
        center_2: pixels.
        side: pixels.
        up_2: unit vector in the image towards the fingers.
    """

    center_2: np.ndarray
    side: float
    up_2: np.ndarray

    @classmethod
    def around(cls, points_212: np.ndarray) -> "Box":
        """Return the box for a hand near the given points."""
        up_2 = _unit(points_212[networks.HAND_ROOTS].mean(0) - points_212[0])
        axes_22 = np.stack([[-up_2[1], up_2[0]], up_2])
        along_K2 = points_212[_PALM_AND_FIRST_JOINTS] @ axes_22.T
        low_2, high_2 = along_K2.min(0), along_K2.max(0)
        centre_2 = (low_2 + high_2) / 2 + (0, 0.1 * (high_2 - low_2)[1])  # fingers reach farther
        return cls(centre_2 @ axes_22, TRACK_BOX * (high_2 - low_2).max(), up_2)

    def scaled(self, scale: float) -> "Box":
        """Return the same box in a resized image."""
        return Box(self.center_2 * scale, self.side * scale, self.up_2)

    def crop(self, image_HW3: np.ndarray, balanced: bool) -> np.ndarray:
        """Return the crop (224, 224, 3), black outside the image.

        `balanced` stretches each channel to the full range.
        """
        to_image_23 = self._to_image(1 / networks.CROP)
        to_image_23[:, 2] += to_image_23[:, :2].sum(1) / 2 - 0.5  # OpenCV counts from pixel centres
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (networks.CROP, networks.CROP)
        crop_HW3 = cv2.warpAffine(image_HW3, to_image_23, size, flags=flags)
        if not balanced:
            return crop_HW3
        low_3, high_3 = np.percentile(crop_HW3[::4, ::4], COLOUR_PERCENTILES, axis=(0, 1))
        gain_3 = BRIGHTEST / np.maximum(high_3 - low_3, MIN_COLOUR_RANGE)
        table_1N3 = np.clip((np.arange(256)[None, :, None] - low_3) * gain_3, 0, 255)
        return cv2.LUT(crop_HW3, table_1N3.astype(np.uint8))

    def pixels(self, points_K2: np.ndarray) -> np.ndarray:
        """Return the pixels (K, 2) of points in shares of the box's sides."""
        to_image_23 = self._to_image(1.0)
        return points_K2 @ to_image_23[:, :2].T + to_image_23[:, 2]

    def _to_image(self, unit: float) -> np.ndarray:
        right_2 = np.array([-self.up_2[1], self.up_2[0]])
        axes_22 = self.side * np.stack([right_2, -self.up_2], 1)
        return np.concatenate([axes_22 * unit, (self.center_2 - axes_22.sum(1) / 2)[:, None]], 1)


@dataclass(frozen=True)
class Arm:
    """An arm of the body's pose, in pixels.

    Attributes:
        shoulder_2, elbow_2, wrist_2: joints.
        roots_2: midpoint of the roots of index and little finger.
        outward: the sign of x away from the body.
        hand_length: expected length of the hand.
    """

    shoulder_2: np.ndarray
    elbow_2: np.ndarray
    wrist_2: np.ndarray
    roots_2: np.ndarray
    outward: float
    hand_length: float

    @classmethod
    def of_pose(cls, pose_332: np.ndarray, side: int, pixels_per_metre: float) -> "Arm":
        """Return an arm of MediaPipe's pose (33, 2) in pixels; side 0 is the left one."""
        shoulder_2, elbow_2, wrist_2, *roots = pose_332[list(networks.POSE_ARMS[side])]
        other_2 = pose_332[networks.POSE_ARMS[1 - side][0]]
        outward = float(np.sign(shoulder_2[0] - other_2[0]))
        length = HAND_LENGTH * pixels_per_metre
        return cls(shoulder_2, elbow_2, wrist_2, np.mean(roots, 0), outward, length)

    def guesses(self) -> list[Box]:
        """Return boxes for the hand in the pose's direction and in the forearm's."""
        ups = [_unit(self.roots_2 - self.wrist_2), _unit(self.wrist_2 - self.elbow_2)]
        size = self.hand_length
        return [Box(self.wrist_2 + FOREARM * size * up, GUESS_BOX * size, up) for up in ups]

    def search_boxes(self) -> tuple[Box, Box]:
        """Return boxes for the palm detector: at the wrist, and at an outstretched arm's hand."""
        outward, down = OUTSTRETCHED
        offset_2 = self.hand_length * np.array([self.outward * outward, down])
        side, up_2 = SEARCH_BOX * self.hand_length, np.array([0.0, -1.0])
        return Box(self.wrist_2, side, up_2), Box(self.shoulder_2 + offset_2, side, up_2)

    def accepts(self, hand: Hand, last: Hand | None) -> bool:
        """Return whether a hand fits the arm, and `last`, the hand in the neighbouring frame."""
        wrist_2, size = hand.points_212[0], self.hand_length
        length = np.linalg.norm(hand.points_212[networks.HAND_MIDDLE_ROOT] - wrist_2) / size
        flat = np.linalg.norm(hand.world_213[networks.HAND_MIDDLE_ROOT, :2])
        ratio = length * HAND_LENGTH / max(flat, PALM_LENGTH / 3)
        if not PALM_RATIO[0] < ratio < PALM_RATIO[1]:
            return False
        if last is not None and np.linalg.norm(wrist_2 - last.points_212[0]) > MAX_STEP * size:
            return False
        if np.linalg.norm(wrist_2 - self.wrist_2) < MAX_WRIST_DISTANCE * size:
            return last is not None or hand.side_score > MIN_SIDE_SCORE
        within_reach = np.linalg.norm(wrist_2 - self.shoulder_2) < REACH * size
        return bool(within_reach) and hand.side_score > MIN_FAR_SIDE_SCORE

    def hand_is_inside(self, image_HW3: np.ndarray) -> bool:
        """Return whether the hand is inside the image according to the pose."""
        margin, size_2 = OUTSIDE_MARGIN * self.hand_length, np.array(image_HW3.shape[1::-1])
        inside_2 = (self.wrist_2 > -margin) & (self.wrist_2 < size_2 + margin)
        return bool(inside_2.all())


@dataclass
class _SearchState:
    """State of the search for one hand.

    Attributes:
        last: the hand in the previous frame.
        pause: frames until the next search.
        wait: length of the next pause.
        searches: number of searches so far.
    """

    last: Hand | None = None
    pause: int = 0
    wait: int = 0
    searches: int = 0

    def update(self, hand: Hand | None, max_pause: int) -> None:
        """Set the result of a frame, and the pause until the next search."""
        self.last = hand
        if hand is not None:
            self.pause = self.wait = 0
        elif self.pause > 0:
            self.pause -= 1
        else:
            self.pause = self.wait
            self.wait = min(max(1, 2 * self.wait), max_pause)


@dataclass(frozen=True)
class _KeptFrame:
    """A frame of the last second; `scale` is of the kept image over the frame."""

    image_HW3: np.ndarray
    scale: float
    arms: list[Arm]
    hands: list[Hand | None]


class HandTracker:
    """Both hands of one person, frame after frame.

    Attributes:
        hands: the left and the right hand of each frame, None where not found. Those of the last
            second may be filled in later.
    """

    def __init__(self) -> None:
        self._network, self._palms = networks.HandNetwork(), networks.PalmNetwork()
        self._kept: deque[_KeptFrame] = deque(maxlen=KEPT_FRAMES)
        self.hands: list[list[Hand | None]] = []
        self.reset()

    def reset(self) -> None:
        """Start anew, as for another person."""
        self._states = (_SearchState(), _SearchState())
        self._kept.clear()

    def skip(self) -> None:
        """Process a frame without a person."""
        self.hands.append([None, None])
        self.reset()

    def update(self, image_HW3: np.ndarray, pose_332: np.ndarray, pixels_per_metre: float) -> None:
        """Find the hands of the next frame.

        Args:
            image_HW3: RGB, uint8.
            pose_332: MediaPipe's pose (33, 2) in pixels.
            pixels_per_metre: at the body's distance.
        """
        arms = [Arm.of_pose(pose_332, side, pixels_per_metre) for side in (0, 1)]
        hands = [self._find(image_HW3, arm, side) for side, arm in enumerate(arms)]
        _drop_duplicate(hands, arms[0].hand_length)
        for side, (arm, hand) in enumerate(zip(arms, hands, strict=True)):
            state = self._states[side]
            if hand is not None and state.last is None:
                self._track_back(hand, side)
            state.update(hand, MAX_PAUSE if arm.hand_is_inside(image_HW3) else MAX_PAUSE_OUTSIDE)
        self.hands.append(hands)
        scale = min(1.0, KEPT_WIDTH / image_HW3.shape[1])
        kept_HW3 = cv2.resize(image_HW3, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        self._kept.append(_KeptFrame(kept_HW3, scale, arms, hands))

    def _find(self, image_HW3: np.ndarray, arm: Arm, side: int) -> Hand | None:
        state = self._states[side]
        if state.last is not None and (hand := self._track(image_HW3, 1.0, arm, side, state.last)):
            return hand
        if state.pause > 0:
            return None
        state.searches += 1
        balanced = state.searches % 4 >= 2
        for box in self._candidates(image_HW3, arm, state.searches % 2 == 0, balanced):
            rough = self._detect(image_HW3, box, side, balanced)
            if rough is not None and arm.accepts(rough, None):
                return self._track(image_HW3, 1.0, arm, side, rough)
        return None

    def _candidates(
        self, image_HW3: np.ndarray, arm: Arm, outstretched: bool, balanced: bool
    ) -> Iterator[Box]:
        """Yield boxes that may contain a lost hand, the cheaper and likelier first."""
        inside = arm.hand_is_inside(image_HW3)
        if inside:
            yield from arm.guesses()
        box = arm.search_boxes()[outstretched or not inside]
        for points_212 in self._palms(box.crop(image_HW3, balanced)):
            yield Box.around(box.pixels(points_212))

    def _track(
        self, image_HW3: np.ndarray, scale: float, arm: Arm, side: int, last: Hand
    ) -> Hand | None:
        """Return the hand that was `last`, in an image `scale` times as large as its frame."""
        box = Box.around(last.points_212).scaled(scale)
        for balanced in (False, True):
            hand = self._detect(image_HW3, box, side, balanced, scale)
            if hand is not None and arm.accepts(hand, last):
                return hand
        return None

    def _detect(
        self, image_HW3: np.ndarray, box: Box, side: int, balanced: bool, scale: float = 1.0
    ) -> Hand | None:
        """Return the hand in a box, in pixels of the frame."""
        if (found := self._network(box.crop(image_HW3, balanced))) is None:
            return None
        points_212, world_213, left = found
        return Hand(box.pixels(points_212) / scale, world_213, 1 - left if side else left)

    def _track_back(self, found: Hand, side: int) -> None:
        """Fill in the frames before a hand was found, as far as it is detected in them."""
        hand: Hand | None = found
        for kept in reversed(self._kept):
            if hand is None or kept.hands[side] is not None:
                return
            arm = kept.arms[side]
            kept.hands[side] = self._track(kept.image_HW3, kept.scale, arm, side, hand)
            _drop_duplicate(kept.hands, arm.hand_length)
            hand = kept.hands[side]


def _drop_duplicate(hands: list[Hand | None], hand_length: float) -> None:
    """Remove one of two detections of the same hand, that of the less likely side."""
    left, right = hands
    if left is None or right is None:
        return
    apart = np.linalg.norm(left.points_212 - right.points_212, axis=1).mean()
    if apart < DUPLICATE_DISTANCE * hand_length:
        hands[left.side_score > right.side_score] = None


def _unit(vector_2: np.ndarray) -> np.ndarray:
    return vector_2 / max(float(np.linalg.norm(vector_2)), 1e-9)
