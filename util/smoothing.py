"""Smooth pose sequences and smooth noise, both as streams.

Savitzky-Golay smoothing (Analytical Chemistry 36, 1964) takes the middle of a parabola fitted to
the frames around each frame: movements keep their size, which a plain mean would shrink. It is not
for lips, which must close on p, b and m.
"""

import numpy as np
import torch
from torch import Tensor

from speech2video.util.body.pose_vector import POSE_SIZE, pose_columns
from speech2video.util.timing import FPS

ORDER = 2  # of the polynomial
NOISE_SECONDS = (0.5, 1.0, 2.0)  # time constants of the noise's channels, in turn
GESTURE_PARTS = ("translation", "root_orientation", "body", "left_hand", "right_hand")


class PoseSmoother:
    """Savitzky-Golay smoothing of body and hands in pose vectors that come in chunks of any size.

    `window`, the frames of a fit, is odd; poses come out half as many frames late. 1 changes
    nothing. Raises `ValueError` on an even window, or one too short for a parabola.
    """

    def __init__(self, window: int) -> None:
        if window % 2 == 0 or (1 < window <= ORDER):
            raise ValueError(f"a smoothing window of {window} frames; 1, or an odd number from 3")
        self.reach = window // 2
        self._weights = torch.from_numpy(savitzky_golay(window)).float()
        self._columns = pose_columns(*GESTURE_PARTS)
        # poses that later ones need, the first repeated before them
        self._held_TP: Tensor | None = None

    def push(self, pose_TP: Tensor) -> Tensor:
        """Take poses (T, 106) and return the smoothed ones (n, 106) by now."""
        if not len(pose_TP):
            return pose_TP
        before_TP = pose_TP[:1].repeat(self.reach, 1) if self._held_TP is None else self._held_TP
        return self._smooth(torch.cat((before_TP, pose_TP)))

    def finish(self) -> Tensor:
        """Return the remaining poses, smoothed with the last one repeated."""
        if self._held_TP is None:
            return torch.zeros(0, POSE_SIZE)
        return self._smooth(torch.cat((self._held_TP, self._held_TP[-1:].repeat(self.reach, 1))))

    def _smooth(self, pose_TP: Tensor) -> Tensor:
        """Return the poses (T - 2 reach, 106), smoothed, and keep those that later ones need."""
        count = max(len(pose_TP) - 2 * self.reach, 0)
        done_TP = pose_TP[self.reach :][:count].clone()
        if count:
            windows = pose_TP[:, self._columns].unfold(0, len(self._weights), 1)
            done_TP[:, self._columns] = windows @ self._weights
        self._held_TP = pose_TP[count:]
        return done_TP


def savitzky_golay(window: int) -> np.ndarray:
    """Return the weights (window,) of a least-squares parabola's middle."""
    if window == 1:
        return np.ones(1)
    steps = np.arange(window) - window // 2
    return np.linalg.pinv(np.vander(steps, ORDER + 1, increasing=True))[0]


class SmoothNoise:
    """Seeded autoregressive noise of unit variance; the size of the chunks does not matter.

    It makes two performances of one speech differ.
    """

    def __init__(self, size: int, *, seed: int | tuple[int, ...]) -> None:
        self._random = np.random.default_rng(seed)
        self._keep_Z = np.exp(-1 / (FPS * np.resize(NOISE_SECONDS, size)))
        self._last_Z = self._random.standard_normal(size)

    def next(self, count: int) -> np.ndarray:
        """Return the next frames (T, Z) float32."""
        keep_Z, last_Z = self._keep_Z, self._last_Z
        noise_TZ = np.sqrt(1 - keep_Z**2) * self._random.standard_normal((count, len(keep_Z)))
        for noise_Z in noise_TZ:  # scipy's filter is faster, and takes 60 MB to import
            noise_Z += keep_Z * last_Z
            last_Z = noise_Z
        self._last_Z = last_Z.copy()
        return noise_TZ.astype(np.float32)
