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

from speech2video.data.preprocessing.hand_boxes import Arm, Box, Hand
from speech2video.data.preprocessing.mediapipe_graphs import HandNetwork, PalmNetwork

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


class HandSearch:
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
