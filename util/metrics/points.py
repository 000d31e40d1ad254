"""Metrics of body points and facial landmarks, in pixels or metres.

T frames, K points, B bones. Missing points are NaN and ignored.
"""

import numpy as np

from speech2video.util.body.skeleton import IBUG68, POINTS, indices
from speech2video.util.errors import DataError
from speech2video.util.metrics.statistics import checked_pair

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
