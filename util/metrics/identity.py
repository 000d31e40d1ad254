"""Who is it? Vectors of faces or voices beside the middles of people's own."""

import numpy as np

from speech2video.util.errors import DataError
from speech2video.util.metrics.arrays import checked


def centroids(vectors_ND: np.ndarray, labels_N: np.ndarray, count: int) -> np.ndarray:
    """Return the mean direction (C, D), of length 1, of each person's vectors.

    Args:
        vectors_ND: of any length; each counts by its direction alone.
        labels_N: whose they are, 0 to C − 1.
        count: C.

    Raises:
        DataError: a person without vectors, NaN, or not one label for each vector.
    """
    vectors_ND, labels_N = unit(vectors_ND), np.asarray(labels_N)
    if labels_N.shape != vectors_ND.shape[:1]:
        raise DataError(f"{labels_N.shape} labels for vectors {vectors_ND.shape}; one each needed")
    without = sorted(set(range(count)) - set(labels_N.tolist()))
    if without:
        raise DataError(f"person {without[0]} of {count} has no vectors; at least one is needed")
    return unit(np.stack([vectors_ND[labels_N == person].mean(0) for person in range(count)]))


def cosines(vectors_ND: np.ndarray, others_MD: np.ndarray) -> np.ndarray:
    """Return the cosine (N, M) of each vector with each of others."""
    return unit(vectors_ND) @ unit(others_MD).T


def top_1(scores_NC: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Return whether (N,) the right one of C people scores highest; a tie is no hit."""
    own_N, others_NC = _own_and_others(scores_NC, labels_N)
    return own_N > others_NC.max(1, initial=-np.inf)


def one_of_two(scores_NC: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Return how often (N,) the right person wins against one other, mean over all others.

    The 1-of-2 matching of Nagrani et al. (CVPR 2018), over every pair instead of drawn ones; a tie
    counts half, so that chance is 1/2. NaN where there is nobody else.
    """
    own_N, others_NC = _own_and_others(scores_NC, labels_N)
    known_NC = np.isfinite(others_NC)
    won_NC = (own_N[:, None] > others_NC) + 0.5 * (own_N[:, None] == others_NC)
    count_N = known_NC.sum(1)
    return np.where(
        count_N > 0, np.where(known_NC, won_NC, 0).sum(1) / np.maximum(count_N, 1), np.nan
    )


def unit(vectors_ND: np.ndarray) -> np.ndarray:
    """Return vectors at length 1, float64; one of zeros stays."""
    vectors_ND = checked("vectors", vectors_ND, axes=2)
    return vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12)


def _own_and_others(scores_NC: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the right people's scores (N,), and the scores with those at −infinity (N, C)."""
    scores_NC = checked("scores", scores_NC, axes=2)
    rows = np.arange(len(scores_NC))
    others_NC = scores_NC.copy()
    others_NC[rows, labels_N] = -np.inf
    return scores_NC[rows, labels_N], others_NC
