"""Beat constancy: whether the sound's onsets have a beat of the motion near them.

Defined by Li et al. (ICCV 2021) for dance; here as EMAGE (Liu et al., CVPR 2024) computes it for
gestures. A motion's beat is a local minimum of a joint's speed, the turn of a stroke.
"""

from collections.abc import Sequence

import librosa
import numpy as np
from scipy.signal import argrelmin

from speech2video.util.audio import SPEECH_RATE
from speech2video.util.body.skeleton import indices
from speech2video.util.errors import DataError
from speech2video.util.metrics.arrays import checked
from speech2video.util.metrics.motion import UPPER_BODY

SIGMA = 0.3  # seconds
MIN_SPEED = 0.1  # of the mean speed; slower is rest, not a beat
ORDER = 7  # frames on either side that must be faster; EMAGE's at 30 fps
HOP = 512  # samples between two looks at the sound


def speech_onsets(wave_S: np.ndarray, *, rate: int = SPEECH_RATE) -> np.ndarray:
    """Return the onsets in seconds of a wave (S,), as librosa detects them.

    They hang on librosa's version: compare figures only between runs of one.
    """
    wave_S = checked("sound", wave_S, axes=1)
    found = librosa.onset.onset_detect(
        y=wave_S.astype(np.float32), sr=rate, hop_length=HOP, units="time"
    )
    return np.asarray(found)


def joint_speeds(values_TJ3: np.ndarray, *, fps: float) -> np.ndarray:
    """Return each joint's speed (T, J), unit a second, by central differences.

    EMAGE takes axis-angle values as if they were places; so do its published figures.
    """
    values_TJ3 = checked("motion", values_TJ3, axes=3, frames=2)
    return np.linalg.norm(np.gradient(values_TJ3, axis=0) * fps, axis=2)


def motion_beats(speed_T: np.ndarray, *, mean_speed: float, order: int = ORDER) -> np.ndarray:
    """Return the frames in which a joint's speed (T,) is a local minimum and yet no rest."""
    minima = argrelmin(np.asarray(speed_T), order=order)[0]
    return minima[speed_T[minima] / max(mean_speed, 1e-12) > MIN_SPEED]


def beat_constancy(
    values_TJ3: np.ndarray,
    onsets: Sequence[float] | np.ndarray,
    *,
    fps: float,
    mean_speed_J: np.ndarray,
    joints: Sequence[int] | None = None,
    sigma: float = SIGMA,
    order: int = ORDER,
) -> float:
    """Return the mean over onsets of exp(−d² / 2σ²), d to the nearest beat; mean over joints.

    Between 0 and 1; a joint without beats counts 0. More is not better: the truth's own value is
    what to reach, and trembling scores high.

    Args:
        values_TJ3: axis-angle, or places, of J joints.
        onsets: of the sound, seconds; see `speech_onsets`.
        fps: frames a second.
        mean_speed_J: each joint's usual speed, the same for all motions compared: that of the
            truth, `joint_speeds(true_TJ3, fps=fps).mean(0)`.
        joints: which of the J count; by default the 13 of the upper body.
        sigma: seconds.
        order: frames on either side of a beat that must be faster.

    Raises:
        DataError: no onsets, or not one mean speed for each joint.
    """
    onsets = np.asarray(onsets, np.float64)
    speeds_TJ = joint_speeds(values_TJ3, fps=fps)
    if onsets.ndim != 1 or not len(onsets):
        raise DataError("the sound has no onsets; speech is needed to tell its beats")
    if np.shape(mean_speed_J) != speeds_TJ.shape[1:]:
        needed = f"one for each of {speeds_TJ.shape[1]} joints is needed"
        raise DataError(f"mean speeds of shape {np.shape(mean_speed_J)}; {needed}")
    scores = []
    for joint in indices(UPPER_BODY) if joints is None else joints:
        beats = motion_beats(speeds_TJ[:, joint], mean_speed=mean_speed_J[joint], order=order)
        scores.append(_nearness(onsets, beats / fps, sigma))
    return float(np.mean(scores))


def _nearness(onsets: np.ndarray, beats: np.ndarray, sigma: float) -> float:
    if not len(beats):
        return 0.0
    distance = np.abs(onsets[:, None] - beats).min(1)
    return float(np.exp(-np.square(distance) / (2 * sigma**2)).mean())
