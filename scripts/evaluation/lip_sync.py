"""Lip synchronisation: lag of the lips, closed mouths in silence, and a plot of both.

Where the phones that are said are known, lips are also compared with the synthetic speaker's viseme
rules for them.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speech2video.data.keypoints import find_runs
from speech2video.data.synthetic.speaker.motion import EXPRESSION_NAMES, assemble_pose
from speech2video.data.synthetic.speaker.visemes import mouth_curves
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SLICES
from speech2video.util.errors import DataError
from speech2video.util.html_report import audio_chart, write_svg
from speech2video.util.metrics.statistics import (
    best_lag,
    correlation,
    finite_mean,
    lag_correlations,
    percentile,
)
from speech2video.util.text.phones import Phone
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME, frame_times

MAX_LAG = 12  # frames, about half a second
DYNAMIC_RANGE = 50.0  # dB below the loud level at which loudness is cut off
MIN_CONTRAST = 10.0  # dB between loud and faint; audio with less has no silence
SILENCE_SHARE = 0.25  # of that contrast above the faint level, up to which frames are silent
MIN_SILENCE = 8  # frames; shorter silences belong to speech, such as the closure of a p
SILENCE_MARGIN = 2  # frames at both ends of a silence in which lips close and open
EXTREMES = (5, 95)  # percentiles that define the range of lip opening and loudness
ROW_SECONDS, MAX_ROWS = 8, 8  # of the plot
RULES_LAG = 3  # frames around 0 in which lips are compared with rules
SHUT_PHONES = frozenset("pbm")
OPEN_PHONES = frozenset(("ɑ", "æ", "ʌ", "ɔ", "aʊ", "aɪ"))


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


def ruled_mouth(pose_TP: Tensor, phones: Sequence[Phone], body: Body) -> Tensor:
    """Return pose vectors (T, 106) with the mouth that the viseme rules make of phones.

    Raises:
        DataError: a body whose expressions are not the open body's.
    """
    if body.name != "open":
        raise DataError(f"viseme rules need the open body's expressions, not {body.name}'s")
    frames = len(pose_TP)
    jaw_T, mouth = mouth_curves(phones, frame_times(frames), frames / FPS)
    expressions = dict.fromkeys(EXPRESSION_NAMES, np.zeros(frames)) | mouth
    ruled_TP = assemble_pose(np.zeros((frames, 3)), {}, jaw_T, expressions)
    pose_TP = pose_TP.clone()
    for part in ("expression", "jaw"):
        columns = POSE_SLICES[part]
        pose_TP[:, columns] = torch.from_numpy(ruled_TP[:, columns]).to(pose_TP)
    return pose_TP


def rules_metrics(
    opening_T: np.ndarray, ruled_T: np.ndarray, phones: Sequence[Phone]
) -> dict[str, float]:
    """Compare lip opening (T,) in metres, NaN where unknown, with the viseme rules'.

    `correlation` is that at lag 0, `best_correlation` the highest of lags −3 to 3, and
    `while_speaking` the one over frames with a phone. `closure` is the median opening in the middle
    of p, b and m divided by that of open vowels. A positive lag means late lips.
    """
    said_T = np.zeros(len(opening_T), bool)
    for phone in phones:
        said_T[int(phone.start * FPS) : int(phone.end * FPS) + 1] = True
    lag, best = best_lag(lag_correlations(ruled_T, opening_T, RULES_LAG))

    def middle(values_T: np.ndarray, texts: Collection[str]) -> float:
        frames = [int((one.start + one.end) / 2 * FPS) for one in phones if one.text in texts]
        return percentile(values_T[[t for t in frames if t < len(values_T)]], 50)

    def compared(values_T: np.ndarray) -> dict[str, float]:
        known_N = values_T[np.isfinite(values_T)]
        return {
            "closure": middle(values_T, SHUT_PHONES) / max(middle(values_T, OPEN_PHONES), 1e-12),
            "in_silence_mm": 1000 * percentile(values_T[~said_T], 50),
            "std_mm": 1000 * float(known_N.std()) if len(known_N) else np.nan,
        }

    ruled = compared(ruled_T)
    return {
        "correlation": correlation(ruled_T, opening_T),
        "lag_frames": np.nan if lag is None else lag,
        "best_correlation": best,
        "while_speaking": correlation(ruled_T[said_T], opening_T[said_T]),
        **{
            name: value
            for key, own in compared(opening_T).items()
            for name, value in ((key, own), (f"ruled_{key}", ruled[key]))
        },
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
