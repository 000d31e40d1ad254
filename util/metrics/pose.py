"""How far a fitted or predicted pose is from the truth: pure functions of points and angles.

T frames, K points, B bones. What is not known is NaN and counts nowhere.
"""

import numpy as np

FLIPPED = 90.0  # degrees between two directions of a bone from which on it is flipped
MIN_KNOWN = 25  # values; a correlation over fewer says nothing


def distances(points_TKC: np.ndarray, truth_TKC: np.ndarray) -> np.ndarray:
    """Return how far points lie from the truth (T, K), in their own unit."""
    return np.linalg.norm(points_TKC - truth_TKC, axis=-1)


def aligned_distances(points_TK3: np.ndarray, truth_TK3: np.ndarray, *, at: int) -> np.ndarray:
    """Return the same (T, K) after moving point `at` of each frame onto the truth's.

    Neither turned nor scaled: what remains is the error of the pose and of the bones' lengths.
    """
    own_TK3, true_TK3 = (points - points[:, at : at + 1] for points in (points_TK3, truth_TK3))
    return distances(own_TK3, true_TK3)


def bone_angles(
    points_TK3: np.ndarray, truth_TK3: np.ndarray, bones: list[tuple[int, int]]
) -> np.ndarray:
    """Return the angles (T, B) in degrees between bones (from, to) and the true ones."""
    start, end = (list(ends) for ends in zip(*bones, strict=True))
    own_TB3, true_TB3 = (points[:, end] - points[:, start] for points in (points_TK3, truth_TK3))
    lengths = np.linalg.norm(own_TB3, axis=-1) * np.linalg.norm(true_TB3, axis=-1)
    cosine = (own_TB3 * true_TB3).sum(-1) / np.maximum(lengths, 1e-9)
    return np.degrees(np.arccos(cosine.clip(-1, 1)))


def correlation(a_T: np.ndarray, b_T: np.ndarray) -> float | None:
    """Return Pearson's correlation where both are known; None if too few are or one is constant."""
    known = np.isfinite(a_T) & np.isfinite(b_T)
    if known.sum() < MIN_KNOWN or not (np.ptp(a_T[known]) and np.ptp(b_T[known])):
        return None
    return float(np.corrcoef(a_T[known], b_T[known])[0, 1])


def percentile(values: np.ndarray, share: float) -> float | None:
    """Return a percentile, 0 to 100, of what is known; None if nothing is."""
    known = values[np.isfinite(values)]
    return float(np.percentile(known, share)) if known.size else None
