"""Metrics of body motion, points and lips compared with their ground truth, on numpy arrays.

T frames, K points, B bones. Missing points are NaN and ignored.

Sources of the definitions:
  BEAT      Liu et al., ECCV 2022: SRGR
  EMAGE     Liu et al., CVPR 2024, and its evaluation code: L1 diversity, LVD, MSE, on BEAT2
  TalkSHOW  Yi et al., CVPR 2023, and its evaluation code: LVD by speeds
  GENEA     Kucherenko et al., IUI 2021: acceleration and jerk compared with the ground truth
  Beats     Li et al., ICCV 2021, for dance; for gestures as in EMAGE. A beat is a local minimum of
            a joint's speed, where a stroke turns.
"""

from collections.abc import Sequence

import librosa
import numpy as np
import torch
from scipy.signal import argrelmin

from speech2video.util.body import skeleton
from speech2video.util.body.joint_limits import limit_report
from speech2video.util.body.skeleton import IBUG68, POINT_INDEX, POINTS, indices
from speech2video.util.errors import DataError
from speech2video.util.metrics.statistics import checked, checked_pair
from speech2video.util.timing import SAMPLE_RATE

LIPS = list(IBUG68[48:])  # outer 12 and inner 8, of `skeleton.POINTS`
INNER_LIPS = indices(("face_62", "face_66"))  # centres of upper and lower lip
EYE_CORNERS = indices(("face_36", "face_45"))  # outer corners
RIGID_HEAD = indices(("head", "jaw", "left_eye", "right_eye"))  # joints no expression moves
FLIPPED = 90.0  # degrees between bone directions above which a bone counts as flipped


def distances(points_TKC: np.ndarray, true_TKC: np.ndarray) -> np.ndarray:
    """Return the distance (T, K) of each point to its ground truth."""
    return np.linalg.norm(points_TKC - true_TKC, axis=-1)


def aligned_distances(points_TK3: np.ndarray, true_TK3: np.ndarray, *, at: int) -> np.ndarray:
    """Return distances (T, K) with point `at` of each frame moved onto its ground truth.

    Without rotation or scaling, so that errors of pose and bone lengths remain.
    """
    aligned = (points - points[:, at : at + 1] for points in (points_TK3, true_TK3))
    return distances(*aligned)


def bone_angles(
    points_TK3: np.ndarray, true_TK3: np.ndarray, bones: list[tuple[int, int]]
) -> np.ndarray:
    """Return the angles (T, B) in degrees between bones (from, to) and their ground truth."""
    start, end = (list(ends) for ends in zip(*bones, strict=True))
    own_TB3, true_TB3 = (points[:, end] - points[:, start] for points in (points_TK3, true_TK3))
    lengths = np.linalg.norm(own_TB3, axis=-1) * np.linalg.norm(true_TB3, axis=-1)
    cosine = (own_TB3 * true_TB3).sum(-1) / np.maximum(lengths, 1e-9)
    return np.degrees(np.arccos(cosine.clip(-1, 1)))


def lip_opening(points_TKD: np.ndarray) -> np.ndarray:
    """Return the distance (T,) between the centres of the inner lips.

    Points (T, 144, 3) in metres give metres. Pixels (T, 144, 2) give multiples of the distance of
    the outer eye corners, which is independent of the camera. NaN where points are missing.

    Raises:
        DataError: not 144 points.
    """
    points_TKD = np.asarray(points_TKD, np.float64)
    if points_TKD.ndim != 3 or points_TKD.shape[1] != len(POINTS):
        raise DataError(f"points: shape {points_TKD.shape}; (frames, {len(POINTS)}, 2 or 3) needed")
    pairs = (points_TKD[:, pair] for pair in (INNER_LIPS, EYE_CORNERS))
    gap_T, eyes_T = (np.linalg.norm(pair[:, 0] - pair[:, 1], axis=1) for pair in pairs)
    return gap_T if points_TKD.shape[2] == 3 else gap_T / np.where(eyes_T > 0, eyes_T, np.nan)


def lip_vertex_error(predicted_TL3: np.ndarray, true_TL3: np.ndarray) -> float:
    """Return the largest error of any lip point per frame, averaged over frames.

    MeshTalk's definition (Richard et al., ICCV 2021), also used by FaceFormer (Fan et al., CVPR
    2022), there on the mesh's lip vertices with a static head. Here L may be the 20 landmarks
    `LIPS` after `align_heads`. Released code often averages squared distances instead, which is
    not comparable.
    """
    predicted_TL3, true_TL3 = checked_pair(predicted_TL3, true_TL3, axes=3)
    return float(np.linalg.norm(predicted_TL3 - true_TL3, axis=2).max(1).mean())


def align_heads(predicted_TK3: np.ndarray, true_TK3: np.ndarray) -> np.ndarray:
    """Return the predicted points (T, 144, 3), rigidly aligned to the true head in each frame.

    The rigid motion is the least-squares one of `RIGID_HEAD` (Kabsch, Acta Crystallographica A32,
    1976).
    """
    predicted_TK3, true_TK3 = checked_pair(predicted_TK3, true_TK3, axes=3)
    heads = [points_TK3[:, RIGID_HEAD] for points_TK3 in (predicted_TK3, true_TK3)]
    centres = [head.mean(1, keepdims=True) for head in heads]
    covariance = (heads[0] - centres[0]).transpose(0, 2, 1) @ (heads[1] - centres[1])
    u, _, vt = np.linalg.svd(covariance)
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]  # a rotation, not a reflection
    return (predicted_TK3 - centres[0]) @ (u @ vt) + centres[1]


SRGR_THRESHOLD = 0.1  # in the unit of the joints, radians or metres; EMAGE's
ACCELERATION, JERK = 2, 3  # order of the derivative
BEAT_SIGMA = 0.3  # seconds
MIN_BEAT_SPEED = 0.1  # share of the mean speed; slower minima are rest
BEAT_ORDER = 7  # frames on either side that must be faster; EMAGE's at 30 fps
ONSET_HOP = 512  # samples
LOWER_BODY = ("pelvis", "hip", "knee", "ankle", "foot")
UPPER_BODY = tuple(  # 13 joints, as in EMAGE
    joint for joint in skeleton.BODY_JOINTS if not joint.endswith(LOWER_BODY)
)
_BODY = indices(UPPER_BODY)
_HANDS = {
    "left_wrist": indices(skeleton.LEFT_HAND_JOINTS + skeleton.LEFT_TIPS),
    "right_wrist": indices(skeleton.RIGHT_HAND_JOINTS + skeleton.RIGHT_TIPS),
}
_FINGERS = [point for hand in _HANDS.values() for point in hand]


def l1_diversity(values_TD: np.ndarray) -> float:
    """Return Σ|x − mean| over values, averaged over frames; EMAGE uses (T, 165) axis-angles."""
    values_TD = checked("motion", values_TD, axes=2)
    return float(np.abs(values_TD - values_TD.mean(0)).sum(1).mean())


def srgr(predicted_TJ3: np.ndarray, true_TJ3: np.ndarray) -> float:
    """Return BEAT's semantic relevance recall: the share of joints closer than `SRGR_THRESHOLD`.

    All frames have the same semantic relevance, as without BEAT's annotations: the percentage of
    correct keypoints.
    """
    predicted_TJ3, true_TJ3 = checked_pair(predicted_TJ3, true_TJ3, axes=3)
    return float((np.linalg.norm(predicted_TJ3 - true_TJ3, axis=2) < SRGR_THRESHOLD).mean())


def lvd_emage(predicted_TD: np.ndarray, true_TD: np.ndarray) -> float:
    """Return the landmark velocity difference as EMAGE computes it.

    Σ|Δpredicted − Δtrue| / (T·D) with Δ between frames. EMAGE divides by T, not T − 1.
    """
    predicted_TD, true_TD = checked_pair(predicted_TD, true_TD, axes=2, frames=2)
    difference = np.diff(predicted_TD, axis=0) - np.diff(true_TD, axis=0)
    return float(np.abs(difference).sum() / true_TD.size)


def lvd_talkshow(predicted_TK3: np.ndarray, true_TK3: np.ndarray) -> float:
    """Return the landmark velocity difference as TalkSHOW computes it.

    | ‖Δpredicted‖ − ‖Δtrue‖ | summed over landmarks, averaged over frames: speeds without
    direction. TalkSHOW measures the face with a static head, as `align_heads` gives it.
    """
    predicted_TK3, true_TK3 = checked_pair(predicted_TK3, true_TK3, axes=3, frames=2)
    speeds = [np.linalg.norm(np.diff(p, axis=0), axis=2) for p in (predicted_TK3, true_TK3)]
    return float(np.abs(speeds[0] - speeds[1]).sum(1).mean())


def joint_position_error(predicted_TK3: np.ndarray, true_TK3: np.ndarray) -> dict[str, float]:
    """Return the mean distance in metres of points (T, 144, 3) to ground truth, by part.

    "body" (13 joints of the upper body) and "hands" (fingers and tips) are relative to the pelvis,
    "fingers" to their own wrist, "lips" (20 landmarks) to the aligned head. Both bodies must have
    the same shape.
    """
    predicted, true = _checked_points(predicted_TK3, true_TK3)
    error_TK3 = _rooted(predicted, "pelvis") - _rooted(true, "pelvis")
    fingers = [
        (_rooted(predicted, wrist) - _rooted(true, wrist))[:, hand]
        for wrist, hand in _HANDS.items()
    ]
    return {
        "body": _mean_length(error_TK3[:, _BODY]),
        "hands": _mean_length(error_TK3[:, _FINGERS]),
        "fingers": _mean_length(np.concatenate(fingers, axis=1)),
        "lips": _mean_length((align_heads(predicted, true) - true)[:, LIPS]),
    }


def mean_derivative(points_TKD: np.ndarray, *, order: int, fps: float) -> float:
    """Return the mean norm of the points' derivative by finite differences, unit / second^order."""
    points_TKD = checked("points", points_TKD, axes=3, frames=order + 1)
    return _mean_length(np.diff(points_TKD, n=order, axis=0)) * fps**order


def derivative_ratio(predicted_TKD: np.ndarray, true_TKD: np.ndarray, *, order: int) -> float:
    """Return the mean derivative of an order divided by that of ground truth.

    Above 1 is jitter, below 1 smoothing. NaN if the ground truth does not move.
    """
    predicted, true = checked_pair(predicted_TKD, true_TKD, axes=3, frames=order + 1)
    return _ratio(*(mean_derivative(points, order=order, fps=1) for points in (predicted, true)))


def hand_energy_ratio(predicted_TK3: np.ndarray, true_TK3: np.ndarray) -> float:
    """Return the mean squared speed of wrists, fingers and tips divided by that of ground truth.

    Points (T, 144, 3) are taken relative to the pelvis. Below 1 motion is averaged away, above 1
    exaggerated. NaN if the ground truth does not move.
    """
    predicted, true = _checked_points(predicted_TK3, true_TK3, frames=2)
    hands = indices(tuple(_HANDS)) + _FINGERS
    steps = [np.diff(_rooted(points, "pelvis")[:, hands], axis=0) for points in (predicted, true)]
    return _ratio(*(np.square(step).sum(2).mean() for step in steps))


def limit_violations(rotations_TJ3: np.ndarray) -> float:
    """Return the share of frames with a joint of axis-angle (T, 55, 3) beyond its limits."""
    rotations_TJ3 = checked("rotations", rotations_TJ3, axes=3)
    return limit_report(torch.from_numpy(rotations_TJ3).float()).frames_over


def _checked_points(
    predicted_TK3: np.ndarray, true_TK3: np.ndarray, *, frames: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    predicted, true = checked_pair(predicted_TK3, true_TK3, axes=3, frames=frames)
    if true.shape[1:] != (len(POINTS), 3):
        raise DataError(f"points: {true.shape}; (frames, {len(POINTS)}, 3) are needed")
    return predicted, true


def _rooted(points_TK3: np.ndarray, joint: str) -> np.ndarray:
    return points_TK3 - points_TK3[:, POINT_INDEX[joint], None]


def _mean_length(vectors: np.ndarray) -> float:
    return float(np.linalg.norm(vectors, axis=-1).mean())


def _ratio(predicted: float, true: float) -> float:
    return float(predicted / true) if true > 0 else float("nan")


def speech_onsets(audio_S: np.ndarray, *, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Return librosa's onsets of audio (S,), in seconds; they depend on librosa's version."""
    y = checked("audio", audio_S, axes=1).astype(np.float32)
    found = librosa.onset.onset_detect(y=y, sr=rate, hop_length=ONSET_HOP, units="time")
    return np.asarray(found)


def joint_speeds(values_TJ3: np.ndarray, *, fps: float) -> np.ndarray:
    """Return each joint's speed (T, J) per second, by central differences.

    EMAGE uses axis-angles like positions, also for its published results.
    """
    values_TJ3 = checked("motion", values_TJ3, axes=3, frames=2)
    return np.linalg.norm(np.gradient(values_TJ3, axis=0) * fps, axis=2)


def motion_beats(speed_T: np.ndarray, *, mean_speed: float) -> np.ndarray:
    """Return the frames in which a joint's speed (T,) has a local minimum that is not rest."""
    minima = argrelmin(np.asarray(speed_T), order=BEAT_ORDER)[0]
    return minima[speed_T[minima] / max(mean_speed, 1e-12) > MIN_BEAT_SPEED]


def beat_constancy(
    values_TJ3: np.ndarray,
    onsets: Sequence[float] | np.ndarray,
    *,
    fps: float,
    mean_speed_J: np.ndarray,
) -> float:
    """Return exp(−d² / 2σ²), d from each onset to the nearest beat, over onsets and upper body.

    Between 0 and 1; a joint without beats counts 0. The ground truth's own value is the target:
    jitter scores high.

    Args:
        values_TJ3: axis-angles or positions of J joints.
        onsets: of the audio, seconds; see `speech_onsets`.
        fps: frames per second.
        mean_speed_J: reference speed of each joint, the same for all motions compared:
            `joint_speeds(true_TJ3, fps=fps).mean(0)`.

    Raises:
        DataError: no onsets, or not one mean speed for each joint.
    """
    onsets = np.asarray(onsets, np.float64)
    speeds_TJ = joint_speeds(values_TJ3, fps=fps)
    if onsets.ndim != 1 or not len(onsets):
        raise DataError("the audio has no onsets; speech is needed")
    if np.shape(mean_speed_J) != speeds_TJ.shape[1:]:
        needed = f"one for each of {speeds_TJ.shape[1]} joints is needed"
        raise DataError(f"mean speeds of shape {np.shape(mean_speed_J)}; {needed}")
    scores = []
    for joint in _BODY:
        beats = motion_beats(speeds_TJ[:, joint], mean_speed=mean_speed_J[joint])
        distance = np.abs(onsets[:, None] - beats / fps).min(1, initial=np.inf)
        scores.append(np.exp(-np.square(distance) / (2 * BEAT_SIGMA**2)).mean())
    return float(np.mean(scores))
