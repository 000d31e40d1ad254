"""The common clock: 16 kHz audio and 25 frames a second, hence 640 samples a frame.

Frame t shows the middle of samples [640 t, 640 (t + 1)), at (t + 1/2) / 25 seconds.
"""

import numpy as np

SAMPLE_RATE = 16_000  # Hz
FPS = 25
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS  # 640


def frame_count(samples: int) -> int:
    """Return the number of frames, T = ceil(S / 640), of which the last may be half filled."""
    return -(-samples // SAMPLES_PER_FRAME)


def frame_times(count: int) -> np.ndarray:
    """Return the moments (T,) in seconds that frames show."""
    return (np.arange(count) + 0.5) / FPS
