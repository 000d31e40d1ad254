"""Lip synchronisation: lag of the lips, closed mouths in silence, and a plot of both."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from speech2video.data.keypoints import find_runs
from speech2video.util.html_report import audio_chart, write_svg
from speech2video.util.metrics.statistics import best_lag, finite_mean, lag_correlations
from speech2video.util.timing import SAMPLES_PER_FRAME

MAX_LAG = 12  # frames, about half a second
DYNAMIC_RANGE = 50.0  # dB below the loud level at which loudness is cut off
MIN_CONTRAST = 10.0  # dB between loud and faint; audio with less has no silence
SILENCE_SHARE = 0.25  # of that contrast above the faint level, up to which frames are silent
MIN_SILENCE = 8  # frames; shorter silences belong to speech, such as the closure of a p
SILENCE_MARGIN = 2  # frames at both ends of a silence in which lips close and open
EXTREMES = (5, 95)  # percentiles that define the range of lip opening and loudness
ROW_SECONDS, MAX_ROWS = 8, 8  # of the plot


def loudness(audio_S: np.ndarray, frames: int) -> np.ndarray:
    """Return the loudness (T,) of each frame's samples in dB above the cut-off, at least 0.

    The cut-off is `DYNAMIC_RANGE` below the 95th percentile. Missing samples count as silence.
    """
    audio_S = np.asarray(audio_S[: frames * SAMPLES_PER_FRAME], np.float64)
    audio_S = np.pad(audio_S, (0, frames * SAMPLES_PER_FRAME - len(audio_S)))
    power_T = np.square(audio_S).reshape(-1, SAMPLES_PER_FRAME).mean(1)
    loud = np.percentile(power_T, EXTREMES[1])
    if loud <= 0:
        return np.zeros(frames)
    cut_off = loud * 10 ** (-DYNAMIC_RANGE / 10)
    return 10 * np.log10(np.maximum(power_T, cut_off) / cut_off)


def silences(loudness_T: np.ndarray) -> np.ndarray:
    """Return the frames (T,) well inside a silence long enough for lips to close."""
    faint, loud = np.percentile(loudness_T, EXTREMES)
    if loud - faint < MIN_CONTRAST:
        return np.zeros(len(loudness_T), bool)
    quiet_T = loudness_T <= faint + SILENCE_SHARE * (loud - faint)
    silent_T = np.zeros_like(quiet_T)
    for run in find_runs(quiet_T):
        if run.stop - run.start >= MIN_SILENCE:
            begin = run.start + SILENCE_MARGIN if run.start else 0
            end = run.stop - SILENCE_MARGIN if run.stop < len(quiet_T) else run.stop
            silent_T[begin:end] = True
    return silent_T


def lag_curve(reference_T: np.ndarray, opening_T: np.ndarray) -> np.ndarray:
    """Return the correlations of lips with a reference at each lag, −12 to 12 frames."""
    return lag_correlations(reference_T, opening_T, MAX_LAG)


def sync_metrics(curves: Sequence[np.ndarray]) -> dict[str, float]:
    """Return the lag and correlations of several clips' lag curves.

    The lag is that of the highest mean curve, because single clips are too short; positive means
    late lips. `best_correlation` is the mean at that lag, `correlation` at lag 0, and
    `within_1_frame` the mean of each clip's best at lags −1, 0 and 1. NaN without known curves.
    """
    known = [curve for curve in curves if np.isfinite(curve).all()]
    curves_CL = np.stack(known or [np.full(2 * MAX_LAG + 1, np.nan)])
    mean_L = curves_CL.mean(0)
    lag, best = best_lag(mean_L)
    return {
        "lag_frames": np.nan if lag is None else lag,
        "best_correlation": best,
        "correlation": float(mean_L[MAX_LAG]),
        "within_1_frame": float(curves_CL[:, MAX_LAG - 1 : MAX_LAG + 2].max(1).mean()),
    }


def mouth_range(opening_T: np.ndarray) -> tuple[float, float] | None:
    """Return the range of lip opening without extremes; None where the lips never move."""
    known_N = opening_T[np.isfinite(opening_T)]
    if not len(known_N):
        return None
    low, high = np.percentile(known_N, EXTREMES)
    return (float(low), float(high)) if high > low else None


def mouth_metrics(opening_T: np.ndarray, silent_T: np.ndarray) -> dict[str, float]:
    """Return the mean lip opening in silence and in speech relative to its range, and the range.

    0 is the most closed and 1 the most open. NaN where the lips never move.
    """
    low, high = mouth_range(opening_T) or (np.nan, np.nan)
    relative_T = (opening_T - low) / (high - low)
    return {
        "in_silence": finite_mean(relative_T[silent_T]),
        "in_speech": finite_mean(relative_T[~silent_T]),
        "range": high - low,
    }


def write_plot(path: Path, audio_S: np.ndarray, openings: Mapping[str, np.ndarray]) -> None:
    """Write an SVG of lip openings (T,) by system, each in its own range, under the waveform.

    Opening is drawn downwards, like the jaw. Silences are shaded.

    Raises:
        DataError: the file cannot be written.
    """
    curves, count = {}, max(map(len, openings.values()))
    for name, opening_T in openings.items():
        low, high = mouth_range(opening_T) or (np.nan, np.nan)
        curves[name] = ((opening_T - low) / (high - low)).clip(0, 1)
    silent = [(run.start, run.stop) for run in find_runs(silences(loudness(audio_S, count)))]
    chart = audio_chart(audio_S, curves, shaded=silent, row_seconds=ROW_SECONDS, max_rows=MAX_ROWS)
    write_svg(path, chart)
