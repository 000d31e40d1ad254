"""How lips go with what they are to go with, and whether they close in silence."""

from collections.abc import Sequence

import numpy as np

from speech2video.data.motion import FPS
from speech2video.util.audio import SPEECH_RATE
from speech2video.util.metrics.lips import lag_correlations

LONGEST_LAG = 12  # frames, about half a second
SAMPLES = SPEECH_RATE // FPS  # of sound for each frame
FAINT = 50.0  # dB under the loud; what is fainter is not told apart
LEAST_CONTRAST = 10.0  # dB between the loud and the faint; a sound with less has no silence
SILENT_SHARE = 0.25  # of that contrast: what is no further above the faint is silence
SILENT_FRAMES = 8  # a shorter silence belongs to a sound: the closure of a p takes a few frames
MARGIN = 2  # frames at both ends of a silence in which lips close, and open again beforehand
EXTREMES = (5, 95)  # percentiles between which lips have their range, and sounds their contrast

Figures = dict[str, float | None]


def loudness(wave_S: np.ndarray, frames: int) -> np.ndarray:
    """Return how loud each frame's 640 samples are (T,), dB over the faint; at least 0.

    The loud is the 95th percentile; all that is `FAINT` below it counts as 0. Beyond the end of the
    sound it is silent.
    """
    wave_S = np.asarray(wave_S[: frames * SAMPLES], np.float64)
    wave_S = np.pad(wave_S, (0, frames * SAMPLES - len(wave_S)))
    power_T = np.square(wave_S).reshape(-1, SAMPLES).mean(1)
    loud = np.percentile(power_T, EXTREMES[1])
    if loud <= 0:
        return np.zeros(frames)
    least = loud * 10 ** (-FAINT / 10)
    return 10 * np.log10(np.maximum(power_T, least) / least)


def silences(loudness_T: np.ndarray) -> np.ndarray:
    """Return which frames (T,) lie well inside a silence in which lips have time to close."""
    faint, loud = np.percentile(loudness_T, EXTREMES)
    if loud - faint < LEAST_CONTRAST:
        return np.zeros(len(loudness_T), bool)
    quiet_T = loudness_T <= faint + SILENT_SHARE * (loud - faint)
    edges = np.flatnonzero(np.diff(quiet_T.astype(int), prepend=0, append=0))
    silent_T = np.zeros_like(quiet_T)
    for begin, end in edges.reshape(-1, 2):
        if end - begin >= SILENT_FRAMES:
            first = begin + MARGIN if begin else 0  # nobody has spoken before the beginning
            silent_T[first : end - MARGIN if end < len(quiet_T) else end] = True
    return silent_T


def lag_curve(reference_T: np.ndarray, opening_T: np.ndarray) -> np.ndarray:
    """Return the correlation at each lag of the lips behind a reference, −12 to 12 frames."""
    return lag_correlations(reference_T, opening_T, LONGEST_LAG)


def sync_figures(curves: Sequence[np.ndarray]) -> Figures:
    """Return what lag curves of several clips say together.

    `correlation` and `within_1_frame` are means over clips, the latter of each clip's best at lags
    −1, 0 and 1. The lag is that at which the mean of the curves is highest, since a clip of a few
    seconds may have its best anywhere by chance; `best_correlation` is the mean there. Positive lag
    means that the lips are late.
    """
    known = [curve for curve in curves if np.isfinite(curve).all()]
    if not known:
        return dict.fromkeys(("lag_frames", "best_correlation", "correlation", "within_1_frame"))
    curves_CL = np.stack(known)
    mean_L = curves_CL.mean(0)
    by_size = sorted(range(-LONGEST_LAG, LONGEST_LAG + 1), key=abs)  # the smaller of equal lags
    lag = max(by_size, key=lambda lag: mean_L[lag + LONGEST_LAG])
    near_CL = curves_CL[:, LONGEST_LAG - 1 : LONGEST_LAG + 2]
    return {
        "lag_frames": lag,
        "best_correlation": float(mean_L[lag + LONGEST_LAG]),
        "correlation": float(mean_L[LONGEST_LAG]),
        "within_1_frame": float(near_CL.max(1).mean()),
    }


def mouth_range(opening_T: np.ndarray) -> tuple[float, float] | None:
    """Return from where to where lips open, the extremes cut off; None where they never move."""
    known_N = opening_T[np.isfinite(opening_T)]
    if not len(known_N):
        return None
    low, high = np.percentile(known_N, EXTREMES)
    return (float(low), float(high)) if high > low else None


def mouth_figures(opening_T: np.ndarray, silent_T: np.ndarray) -> Figures:
    """Return how far lips open in silence and in speech on average, as shares of their own range.

    0 is as closed, 1 as open as they ever are; `range` is in the opening's own unit.
    """
    limits = mouth_range(opening_T)
    if limits is None:
        return dict.fromkeys(("in_silence", "in_speech", "range"))
    low, high = limits
    share_T = (opening_T - low) / (high - low)
    return {
        "in_silence": _mean(share_T[silent_T]),
        "in_speech": _mean(share_T[~silent_T]),
        "range": high - low,
    }


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
