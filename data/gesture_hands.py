"""What the search for gestures looks at: both hands of a person, as points seen from the chest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speech2video.data.motion import FPS
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SLICES
from speech2video.util.body.skeleton import BODY_JOINTS, LEFT_TIPS, RIGHT_TIPS, indices
from speech2video.util.transcript import Word

COURSE = (0, 4, 8)  # frames that a moment is looked at, from there on
CLAIMED = 0.1  # metres: as long as the hand is no further from where it was,
CLAIM_MARGIN = 6  # and frames more, in which it comes and goes
_STRAIGHT = ("spine1", "spine2", "spine3", "neck", "head")


@dataclass(frozen=True, eq=False)
class Take:
    """A clip as the search sees it.

    Attributes:
        name: the clip's.
        pose_TP: (T, 106) what the person did.
        words: what they said.
        expected_TP: (T, 106) what was expected of them; by default their median pose in this clip.
    """

    name: str
    pose_TP: Tensor
    words: Sequence[Word]
    expected_TP: Tensor | None = None


@dataclass(frozen=True)
class Occurrence:
    """A word in a take: the take's number and the word."""

    take: int
    word: Word

    @property
    def middle(self) -> int:
        """The frame of the word's middle."""
        return int((self.word.start + self.word.end) / 2 * FPS)


@dataclass(frozen=True, eq=False)
class Finding:
    """What one word's occurrences have in common.

    Attributes:
        word: its spelling.
        occurrences: N of them.
        medoid: the occurrence that the others are like, and its hand (0 left, 1 right).
        lag: frames from a word's middle to the moment that was compared.
        hand_N: of each occurrence the hand that did it, −1 where none did.
        chance: share of random moments that are like the medoid.
        score: −ln of the binomial tail.
        p: of the permutation test.
        departure: metres from what was expected, the mean of those alike.
    """

    word: str
    occurrences: list[Occurrence]
    medoid: tuple[int, int]
    lag: int
    hand_N: np.ndarray
    chance: float
    score: float
    p: float
    departure: float


class Hands:
    """Both hands of all takes, seen from the chest, the right one mirrored.

    Attributes:
        points: of each take (T, 2, 18) metres, float32.
        departure: of each take (T, 2) metres from what was expected.
        claims: how many findings have claimed their gestures.
    """

    def __init__(self, takes: Sequence[Take], body: Body) -> None:
        self.points = [_hand_points(take.pose_TP, body) for take in takes]
        expected = [
            np.median(points, 0, keepdims=True)
            if take.expected_TP is None
            else _hand_points(take.expected_TP, body)
            for take, points in zip(takes, self.points, strict=True)
        ]
        self.departure = [
            rms(points - other) for points, other in zip(self.points, expected, strict=True)
        ]
        self.claims = 0
        self._claimed = [np.zeros(len(points), bool) for points in self.points]

    def claim(self, finding: Finding) -> None:
        """Let a finding's gestures speak for no other word."""
        self.claims += 1
        for one, hand in zip(finding.occurrences, finding.hand_N, strict=True):
            if hand >= 0:
                points = self.points[one.take][:, hand]
                moment = min(max(0, one.middle + finding.lag + COURSE[1]), len(points) - 1)
                away = np.flatnonzero(rms(points - points[moment]) > CLAIMED)
                first, last = away[away < moment].max(initial=-1), away[away > moment]
                begin, end = first - CLAIM_MARGIN, last.min(initial=len(points)) + CLAIM_MARGIN
                self._claimed[one.take][max(0, begin) : end] = True

    def course(self, take: int, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what the hands do from a frame on, (2, 54), and how far that departs, (2,).

        What is claimed departs by nothing.
        """
        frames = np.clip(frame + np.array(COURSE), 0, len(self.points[take]) - 1)
        course = self.points[take][frames].transpose(1, 0, 2).reshape(2, -1)
        free = not self._claimed[take][frames].any()
        return course, self.departure[take][frames].mean(0) * free


def rms(points: np.ndarray) -> np.ndarray:
    """Return the root mean square distance of points (..., 3·K), as K points in space."""
    return np.sqrt((points**2).sum(-1) / (points.shape[-1] / 3))


def _hand_points(pose_TP: Tensor, body: Body) -> np.ndarray:
    """Return wrist and finger tips (T, 2, 18) from the neck, the trunk held upright."""
    upright = pose_TP.clone()
    upright[:, POSE_SLICES["translation"]] = 0
    upright[:, POSE_SLICES["root_orientation"]] = 0
    for joint in _STRAIGHT:
        start = POSE_SLICES["body"].start + 3 * (BODY_JOINTS.index(joint) - 1)
        upright[:, start : start + 3] = 0
    with torch.no_grad():
        points = body.points(upright)
    points = points - points[:, indices(("neck",))]
    left = points[:, indices(("left_wrist", *LEFT_TIPS))]
    right = points[:, indices(("right_wrist", *RIGHT_TIPS))] * torch.tensor([-1.0, 1.0, 1.0])
    return torch.stack((left, right), 1).flatten(2).numpy()
