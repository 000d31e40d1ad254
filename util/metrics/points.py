"""Lips: how far they open, how well two openings go together, and how far their points are off.

Frames without points are NaN and are left out.
"""

import numpy as np

from speech2video.util.body.skeleton import IBUG68, POINTS, indices
from speech2video.util.errors import DataError
from speech2video.util.metrics.statistics import checked_pair

LIPS = list(IBUG68[48:])  # outer 12 and inner 8, of `skeleton.POINTS`
INNER_LIPS = indices(("face_62", "face_66"))  # the middles of the upper and the lower one
EYE_CORNERS = indices(("face_36", "face_45"))  # the outer ones
MIN_OVERLAP = 25  # frames, a second; a correlation over fewer says nothing
# Joints that no expression moves; together they say where a head is.
_HEAD = indices(("head", "jaw", "left_eye", "right_eye"))


def lip_opening(points_TKD: np.ndarray) -> np.ndarray:
    """Return the gap between the middles of the inner lips (T,).

    Of points (T, 144, 3) in metres it is in metres. Of pixels (T, 144, 2) it is a share of the
    distance of the eyes' outer corners, so that cameras compare. NaN where points are missing.

    Raises:
        DataError: not the 144 points.
    """
    points_TKD = np.asarray(points_TKD, np.float64)
    if points_TKD.ndim != 3 or points_TKD.shape[1] != len(POINTS):
        raise DataError(f"points: shape {points_TKD.shape}; (frames, {len(POINTS)}, 2 or 3) needed")
    gap_T = _distance(points_TKD, INNER_LIPS)
    if points_TKD.shape[2] == 3:
        return gap_T
    eyes_T = _distance(points_TKD, EYE_CORNERS)
    return gap_T / np.where(eyes_T > 0, eyes_T, np.nan)


def correlation(a_T: np.ndarray, b_T: np.ndarray) -> float:
    """Return Pearson's correlation at lag 0 over the frames where both are known.

    NaN if fewer than `MIN_OVERLAP` are, or one is constant. Raises `DataError` where the lengths
    differ.
    """
    a_T, b_T = _series(a_T, b_T)
    known_T = np.isfinite(a_T) & np.isfinite(b_T)
    if known_T.sum() < MIN_OVERLAP or not (np.ptp(a_T[known_T]) and np.ptp(b_T[known_T])):
        return float("nan")
    return float(np.corrcoef(a_T[known_T], b_T[known_T])[0, 1])


def lag_correlations(a_T: np.ndarray, b_T: np.ndarray, max_lag: int) -> np.ndarray:
    """Return the correlation of a[t] and b[t + lag] for lags from −max_lag to max_lag."""
    a_T, b_T = _series(a_T, b_T)
    count = len(a_T)
    found = []
    for lag in range(-max_lag, max_lag + 1):
        begin, end = max(0, -lag), max(0, min(count, count - lag))
        found.append(correlation(a_T[begin:end], b_T[begin + lag : max(end + lag, 0)]))
    return np.array(found)


def best_lag(a_T: np.ndarray, b_T: np.ndarray, max_lag: int) -> tuple[int | None, float]:
    """Return by how many frames b comes later than a where they correlate best, and how well.

    Of equal correlations the smaller lag wins. (None, NaN) where no correlation is known.
    """
    correlations_L = lag_correlations(a_T, b_T, max_lag)
    if not np.isfinite(correlations_L).any():
        return None, float("nan")
    by_size = sorted(range(-max_lag, max_lag + 1), key=abs)
    best = by_size[int(np.nanargmax([correlations_L[lag + max_lag] for lag in by_size]))]
    return best, float(correlations_L[best + max_lag])


def lip_vertex_error(predicted_TL3: np.ndarray, true_TL3: np.ndarray) -> float:
    """Return the largest distance of any lip point in a frame, mean over frames, in their unit.

    MeshTalk's definition (Richard et al., ICCV 2021), which FaceFormer (Fan et al., CVPR 2022) and
    its followers took over, there of the mesh's lip vertices and with the head still. Here L may
    be the 20 landmarks `LIPS`, after `align_heads`. Released code often averages squared distances
    instead: such figures are not comparable.
    """
    predicted_TL3, true_TL3 = checked_pair(predicted_TL3, true_TL3, axes=3)
    return float(np.linalg.norm(predicted_TL3 - true_TL3, axis=2).max(1).mean())


def align_heads(predicted_TK3: np.ndarray, true_TK3: np.ndarray) -> np.ndarray:
    """Return the predicted points (T, 144, 3), moved in each frame to lay head on true head.

    The rigid motion is the least-squares one for head, jaw and eye joints (Kabsch, Acta
    Crystallographica A32, 1976).
    """
    predicted_TK3, true_TK3 = checked_pair(predicted_TK3, true_TK3, axes=3)
    heads = [points_TK3[:, _HEAD] for points_TK3 in (predicted_TK3, true_TK3)]
    centres = [head.mean(1, keepdims=True) for head in heads]
    covariance = (heads[0] - centres[0]).transpose(0, 2, 1) @ (heads[1] - centres[1])
    u, _, vt = np.linalg.svd(covariance)
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]  # a turn, not a reflection
    return (predicted_TK3 - centres[0]) @ (u @ vt) + centres[1]


def _series(a_T: np.ndarray, b_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a_T, b_T = (np.asarray(values, np.float64) for values in (a_T, b_T))
    if a_T.ndim != 1 or a_T.shape != b_T.shape:
        raise DataError(f"series of shapes {a_T.shape} and {b_T.shape}; one length is needed")
    return a_T, b_T


def _distance(points_TKD: np.ndarray, pair: list[int]) -> np.ndarray:
    return np.linalg.norm(points_TKD[:, pair[0]] - points_TKD[:, pair[1]], axis=1)
