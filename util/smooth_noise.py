"""Seeded noise that wanders smoothly, as it comes: what makes two performances differ."""

import numpy as np

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
        keep_Z, last_Z = self._keep_Z, self._last_Z
        noise_TZ = np.sqrt(1 - keep_Z**2) * self._random.standard_normal((count, len(keep_Z)))
        for noise_Z in noise_TZ:  # scipy's filter is faster, and takes 60 MB to import
            noise_Z += keep_Z * last_Z
            last_Z = noise_Z
        self._last_Z = last_Z.copy()
        return noise_TZ.astype(np.float32)
