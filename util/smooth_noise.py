"""Seeded noise that wanders smoothly, as it comes: what makes two performances differ."""

import numpy as np
from scipy.signal import lfilter

SECONDS = (0.5, 1.0, 2.0)  # time constants, dealt to the numbers in turn
FPS = 25


class NoiseStream:
    """Autoregressive noise of unit variance; the chunks it is asked for do not change it."""

    def __init__(self, size: int, *, seed: int | tuple[int, ...]) -> None:
        self._random = np.random.default_rng(seed)
        seconds_Z = np.resize(SECONDS, size)
        self._keep_Z = np.exp(-1 / (FPS * seconds_Z))
        self._last_Z = self._random.standard_normal(size)

    def next(self, count: int) -> np.ndarray:
        """Return the next frames (T, Z) float32."""
        fresh_TZ = self._random.standard_normal((count, len(self._keep_Z)))
        out_TZ = np.empty_like(fresh_TZ)
        for z, keep in enumerate(self._keep_Z):
            scaled_T = fresh_TZ[:, z] * np.sqrt(1 - keep**2)
            state = [keep * self._last_Z[z]]
            out_TZ[:, z], _ = lfilter([1.0], [1.0, -keep], scaled_T, zi=state)
        if count:
            self._last_Z = out_TZ[-1].copy()
        return out_TZ.astype(np.float32)
