"""How near a motion comes to the truth and how much it moves: pure functions of numpy arrays.

Sources of the definitions:
  BEAT      Liu et al., ECCV 2022: SRGR
  EMAGE     Liu et al., CVPR 2024, and its evaluation code: L1 diversity, LVD, MSE, on BEAT2
  TalkSHOW  Yi et al., CVPR 2023, and its evaluation code: LVD by speeds
  GENEA     Kucherenko et al., IUI 2021: acceleration and jerk beside the truth's
"""

import numpy as np
import torch

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
from speech2video.util.metrics.arrays import checked, checked_pair
from speech2video.util.metrics.lips import LIPS, align_heads

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
