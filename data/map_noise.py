"""Points as a predicted or fitted pose has them: a little off, and some of them missing."""

from dataclasses import dataclass, fields

import numpy as np

from speech2video.util.body.skeleton import (
    FACE_LINES,
    IBUG68,
    LEFT_HAND_JOINTS,
    LEFT_TIPS,
    POINTS,
    RIGHT_HAND_JOINTS,
    RIGHT_TIPS,
    indices,
)
from speech2video.util.smooth_noise import NoiseStream

HANDS = (
    indices((*LEFT_HAND_JOINTS, *LEFT_TIPS)),
    indices((*RIGHT_HAND_JOINTS, *RIGHT_TIPS)),
)
LIPS = list(IBUG68[48:68])
FACE = [IBUG68[i] for i in range(48)]
# What is missing at once: a hand, a line of the face. Lips never are: all look at them.
PARTS = (
    *HANDS,
    *([IBUG68[i] for i in line] for name, (line, _) in FACE_LINES.items() if "lips" not in name),
)


@dataclass(frozen=True, kw_only=True)
class MapNoise:
    """What may be wrong with points. Shifts are standard deviations, shares of the larger side.

    Attributes:
        body, fingers, face, lips: by which a point wanders, on its own.
        hand, head: by which a hand's points, or the face's with the lips', wander together.
        part: share of the time that a hand or a line of the face is missing.
        point: share of the time that a point of a hand or a face is missing on its own.
        frames: for how many frames on average.
    """

    body: float = 0.003
    fingers: float = 0.002
    face: float = 0.0008
    lips: float = 0.0003
    hand: float = 0.003
    head: float = 0.0015
    part: float = 0.02
    point: float = 0.002
    frames: float = 12.0

    def times(self, factor: float) -> "MapNoise":
        """Return as much more noise; stretches stay as long."""
        amounts = {field.name: factor * getattr(self, field.name) for field in fields(self)}
        return MapNoise(**amounts | {"frames": self.frames})

    def apply(self, points_TK2: np.ndarray, *, size: int, rng: np.random.Generator) -> np.ndarray:
        """Return points (T, 144, 2) in pixels, shifted, and NaN where missing now.

        Args:
            size: the larger side of the picture, pixels.
        """
        count = len(points_TK2)
        shift_TK2 = size * self._shift(count, rng)
        noisy_TK2 = (points_TK2 + shift_TK2).astype(points_TK2.dtype)
        noisy_TK2[self._missing(count, rng)] = np.nan
        return noisy_TK2

    def _shift(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return shifts (T, 144, 2) that wander from frame to frame."""
        points = len(POINTS)
        noise = NoiseStream(2 * (points + 3), seed=int(rng.integers(2**32)))
        noise_TK2 = noise.next(count).reshape(count, points + 3, 2)
        alone_K = np.full(points, self.body, np.float32)
        alone_K[HANDS[0] + HANDS[1]] = self.fingers
        alone_K[FACE], alone_K[LIPS] = self.face, self.lips
        shift_TK2 = noise_TK2[:, :points] * alone_K[:, None]
        groups = (*HANDS, FACE + LIPS)
        amounts = (self.hand, self.hand, self.head)
        for number, (group, amount) in enumerate(zip(groups, amounts, strict=True)):
            shift_TK2[:, group] += amount * noise_TK2[:, points + number, None]
        return shift_TK2

    def _missing(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return which points (T, 144) are missing, for stretches of frames."""
        missing_TK = np.zeros((count, len(POINTS)), bool)
        parts_TN = _stretches(count, len(PARTS), self.part, self.frames, rng)
        for number, part in enumerate(PARTS):
            missing_TK[:, part] = parts_TN[:, number, None]
        single = HANDS[0] + HANDS[1] + FACE
        missing_TK[:, single] |= _stretches(count, len(single), self.point, self.frames, rng)
        return missing_TK


def _stretches(
    count: int, things: int, share: float, frames: float, rng: np.random.Generator
) -> np.ndarray:
    """Return (T, N) bool: each thing is away for `share` of the time, `frames` at a stretch.

    A Markov chain of two states, begun as it goes on.
    """
    chance_TN = rng.random((count, things))
    away_TN = chance_TN < share
    comes, goes = 1 / frames, share / frames / max(1 - share, 1e-6)
    for before, now, chance in zip(away_TN[:-1], away_TN[1:], chance_TN[1:], strict=True):
        now[:] = np.where(before, chance >= comes, chance < goes)
    return away_TN
