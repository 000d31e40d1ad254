"""How near a motion comes to the truth and how much it moves: pure functions of numpy arrays.

Sources of the definitions:
  BEAT      Liu et al., ECCV 2022: SRGR
  EMAGE     Liu et al., CVPR 2024, and its evaluation code: L1 diversity, LVD, MSE, on BEAT2
  TalkSHOW  Yi et al., CVPR 2023, and its evaluation code: LVD by speeds
  GENEA     Kucherenko et al., IUI 2021: acceleration and jerk beside the truth's
"""

from collections.abc import Sequence

import librosa
import numpy as np
import torch
from scipy.signal import argrelmin

from speech2video.util.body.joint_limits import limit_report
from speech2video.util.body.skeleton import (
    LEFT_HAND_JOINTS,
    LEFT_TIPS,
    POINT_INDEX,
    POINTS,
    RIGHT_HAND_JOINTS,
    RIGHT_TIPS,
    indices,
)
from speech2video.util.errors import DataError
from speech2video.util.metrics.points import LIPS, align_heads
from speech2video.util.metrics.statistics import checked, checked_pair
from speech2video.util.timing import SAMPLE_RATE

SRGR_THRESHOLD = 0.1  # radians or metres, whatever the joints are in; EMAGE's
ACCELERATION, JERK = 2, 3  # which derivative of position
UPPER_BODY = (  # the 13 joints whose beats EMAGE counts
    "spine1",
    "spine2",
    "spine3",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
)
_BODY = indices(UPPER_BODY)
_HANDS = {
    "left_wrist": indices(LEFT_HAND_JOINTS + LEFT_TIPS),
    "right_wrist": indices(RIGHT_HAND_JOINTS + RIGHT_TIPS),
}
_FINGERS = [point for hand in _HANDS.values() for point in hand]
_WRISTS = indices(tuple(_HANDS))
_PELVIS = POINT_INDEX["pelvis"]


def l1_diversity(values_TD: np.ndarray) -> float:
    """Return how far a motion strays from its own mean: Σ|x − mean| over values, mean over frames.

    EMAGE takes it of (T, 165) axis-angle values. It does not change when a constant is added.
    """
    values_TD = checked("motion", values_TD, axes=2)
    return float(np.abs(values_TD - values_TD.mean(0)).sum(1).mean())


def mean_squared_error(predicted_TD: np.ndarray, true_TD: np.ndarray) -> float:
    """Return the mean squared difference of two arrays (T, D): EMAGE's MSE."""
    predicted_TD, true_TD = checked_pair(predicted_TD, true_TD, axes=2)
    return float(np.square(predicted_TD - true_TD).mean())


def srgr(
    predicted_TJ3: np.ndarray,
    true_TJ3: np.ndarray,
    *,
    threshold: float = SRGR_THRESHOLD,
    weights_T: np.ndarray | None = None,
) -> float:
    """Return the share of joints within `threshold` of the truth: semantic relevance recall (BEAT).

    `weights_T` says how much each frame's gesture means; their mean is divided out, so that a
    perfect motion scores 1. (EMAGE divides by a constant 0.165, the mean of BEAT's own weights.)
    Without weights it is the share of correct keypoints.

    Raises:
        DataError: shapes that differ, or weights that are negative or sum to nothing.
    """
    predicted_TJ3, true_TJ3 = checked_pair(predicted_TJ3, true_TJ3, axes=3)
    right_T = (np.linalg.norm(predicted_TJ3 - true_TJ3, axis=2) < threshold).mean(1)
    if weights_T is None:
        return float(right_T.mean())
    weights_T = checked("weights", weights_T, axes=1)
    if len(weights_T) != len(right_T) or weights_T.min() < 0 or not weights_T.any():
        raise DataError(f"weights: {len(right_T)} of at least 0, not all 0, are needed")
    return float(np.average(right_T, weights=weights_T))


def lvd_emage(predicted_TD: np.ndarray, true_TD: np.ndarray) -> float:
    """Return the landmark velocity difference as EMAGE computes it.

    Σ|Δpredicted − Δtrue| / (T·D), Δ from frame to frame: velocities with their direction. EMAGE
    divides by T though there are T − 1 differences.
    """
    predicted_TD, true_TD = checked_pair(predicted_TD, true_TD, axes=2, frames=2)
    difference = np.diff(predicted_TD, axis=0) - np.diff(true_TD, axis=0)
    return float(np.abs(difference).sum() / true_TD.size)


def lvd_talkshow(predicted_TK3: np.ndarray, true_TK3: np.ndarray) -> float:
    """Return the landmark velocity difference as TalkSHOW computes it.

    | ‖Δpredicted‖ − ‖Δtrue‖ | summed over landmarks, mean over steps: speeds only, so that a motion
    in the opposite direction counts as right. In the unit of the points a frame. TalkSHOW takes it
    of the face with the head held still, for which `align_heads` is there.
    """
    predicted_TK3, true_TK3 = checked_pair(predicted_TK3, true_TK3, axes=3, frames=2)
    speeds = [np.linalg.norm(np.diff(p, axis=0), axis=2) for p in (predicted_TK3, true_TK3)]
    return float(np.abs(speeds[0] - speeds[1]).sum(1).mean())


def joint_position_error(predicted_TK3: np.ndarray, true_TK3: np.ndarray) -> dict[str, float]:
    """Return the mean distance in metres of points (T, 144, 3) to the true ones, by part.

    "body" is the 13 joints of the upper body and "hands" fingers and tips, both from the pelvis;
    "fingers" are the same fingers from their own wrist, whatever the arm does; "lips" are the 20
    lip landmarks with the heads laid on one another. Both bodies must be of one shape.
    """
    predicted, true = _checked_points(predicted_TK3, true_TK3)
    error_TK3 = _rooted(predicted) - _rooted(true)
    fingers_TK3 = np.concatenate([_hand(predicted, w) - _hand(true, w) for w in _HANDS], axis=1)
    return {
        "body": _mean_length(error_TK3[:, _BODY]),
        "hands": _mean_length(error_TK3[:, _FINGERS]),
        "fingers": _mean_length(fingers_TK3),
        "lips": _mean_length((align_heads(predicted, true) - true)[:, LIPS]),
    }


def mean_derivative(points_TKD: np.ndarray, *, order: int, fps: float) -> float:
    """Return the mean length of the points' derivative of an order: unit / second^order.

    Order 1 is speed, `ACCELERATION` 2, `JERK` 3, by finite differences.
    """
    points_TKD = checked("points", points_TKD, axes=3, frames=order + 1)
    return _mean_length(np.diff(points_TKD, n=order, axis=0)) * fps**order


def derivative_ratio(predicted_TKD: np.ndarray, true_TKD: np.ndarray, *, order: int) -> float:
    """Return the mean derivative of an order relative to the truth's: 1 is as lively as the truth.

    More means jitter, less a smoothed motion. NaN where the truth does not move.
    """
    predicted, true = checked_pair(predicted_TKD, true_TKD, axes=3, frames=order + 1)
    return _ratio(*(mean_derivative(points, order=order, fps=1) for points in (predicted, true)))


def hand_energy_ratio(predicted_TK3: np.ndarray, true_TK3: np.ndarray) -> float:
    """Return the mean squared speed of wrists, fingers and tips relative to the truth's.

    Points (T, 144, 3), seen from the pelvis. Below 1 a motion is averaged away, above 1 it
    exaggerates. NaN where the truth does not move.
    """
    predicted, true = _checked_points(predicted_TK3, true_TK3, frames=2)
    hands = _WRISTS + _FINGERS
    steps = [np.diff(_rooted(points)[:, hands], axis=0) for points in (predicted, true)]
    return _ratio(*(np.square(step).sum(2).mean() for step in steps))


def limit_violations(rotations_TJ3: np.ndarray) -> float:
    """Return the share of frames in which a joint of axis-angle (T, 55, 3) is out of its range."""
    rotations_TJ3 = checked("rotations", rotations_TJ3, axes=3)
    return limit_report(torch.from_numpy(rotations_TJ3).float()).frames_over


def _checked_points(
    predicted_TK3: np.ndarray, true_TK3: np.ndarray, *, frames: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    predicted, true = checked_pair(predicted_TK3, true_TK3, axes=3, frames=frames)
    if true.shape[1:] != (len(POINTS), 3):
        raise DataError(f"points: {true.shape}; (frames, {len(POINTS)}, 3) are needed")
    return predicted, true


def _rooted(points_TK3: np.ndarray) -> np.ndarray:
    return points_TK3 - points_TK3[:, _PELVIS, None]


def _hand(points_TK3: np.ndarray, wrist: str) -> np.ndarray:
    """Return a hand's fingers and tips as seen from its wrist."""
    return points_TK3[:, _HANDS[wrist]] - points_TK3[:, POINT_INDEX[wrist], None]


def _mean_length(vectors: np.ndarray) -> float:
    return float(np.linalg.norm(vectors, axis=-1).mean())


def _ratio(predicted: float, true: float) -> float:
    return float(predicted / true) if true > 0 else float("nan")


# Beat constancy: whether the sound's onsets have a beat of the motion near them.
#
# Defined by Li et al. (ICCV 2021) for dance; here as EMAGE (Liu et al., CVPR 2024) computes it for
# gestures. A motion's beat is a local minimum of a joint's speed, the turn of a stroke.

SIGMA = 0.3  # seconds
MIN_SPEED = 0.1  # of the mean speed; slower is rest, not a beat
ORDER = 7  # frames on either side that must be faster; EMAGE's at 30 fps
HOP = 512  # samples between two looks at the sound


def speech_onsets(audio_S: np.ndarray, *, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Return the onsets in seconds of a wave (S,), as librosa detects them.

    They hang on librosa's version: compare figures only between runs of one.
    """
    audio_S = checked("sound", audio_S, axes=1)
    found = librosa.onset.onset_detect(
        y=audio_S.astype(np.float32), sr=rate, hop_length=HOP, units="time"
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
