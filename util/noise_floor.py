"""How loud a room is beneath the speech in it, band by band, followed as the sound comes.

Somebody who speaks leaves gaps: in a band, even in the midst of a sentence. So a low quantile of
the power over the last seconds is about that of the noise, whoever speaks. Minimum statistics
(Martin, IEEE Trans. Speech and Audio Processing 9, 2001) are the idea, a quantile instead of the
minimum is Stahl et al.'s (ICASSP 2000): it needs no correction for how long was listened.
"""

import numpy as np

HISTORY = 250  # frames of 0.04 s that are remembered, ten seconds
QUANTILE = 0.2  # share of them that are held for noise, at least
BATCH = 500  # frames computed at once: bounds memory


class NoiseFloor:
    """The low quantile of power over the past `HISTORY` frames, the present one included.

    While less was heard it is the quantile of that; so what sounds first is taken for noise until
    something quieter comes. How the frames are cut into chunks does not matter.
    """

    def __init__(self, bands: int) -> None:
        self._past = np.full((HISTORY - 1, bands), np.inf)

    def push(self, power_TB: np.ndarray) -> np.ndarray:
        """Return the floor (T, B) beneath each of the next frames' powers (T, B)."""
        parts = [np.zeros((0, self._past.shape[1]))]
        for begin in range(0, len(power_TB), BATCH):
            parts.append(self._floor(power_TB[begin : begin + BATCH]))
        return np.concatenate(parts)

    def _floor(self, power_TB: np.ndarray) -> np.ndarray:
        heard_NB = np.concatenate([self._past, power_TB])
        self._past = heard_NB[len(power_TB) :]
        recent_TBH = np.lib.stride_tricks.sliding_window_view(heard_NB, HISTORY, axis=0)
        known_T = np.isfinite(recent_TBH[:, 0]).sum(-1)
        ranks_T = (QUANTILE * (known_T - 1)).astype(int)
        sorted_TBH = np.partition(recent_TBH, np.unique(ranks_T), axis=-1)
        return np.take_along_axis(sorted_TBH, ranks_T[:, None, None], -1)[..., 0]
