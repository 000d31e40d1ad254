"""Metrics of recognition: classification, linear probes, identity by embedding similarity."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from speech2video.util.errors import DataError
from speech2video.util.metrics.statistics import checked

PENALTIES = (1e-3, 1e-2, 1e-1)  # candidate L2 penalties of a probe, per vector
FOLDS = 5
MAX_ITERATIONS = 200  # of L-BFGS


def accuracy(predicted_N: np.ndarray, true_N: np.ndarray) -> float:
    """Return the share of correct predictions; NaN without any."""
    predicted_N, true_N = _labels(predicted_N, true_N)
    return float((predicted_N == true_N).mean()) if len(true_N) else float("nan")


def macro_f1(predicted_N: np.ndarray, true_N: np.ndarray) -> float:
    """Return 2 TP / (2 TP + FP + FN), averaged over the true classes; NaN without any."""
    predicted_N, true_N = _labels(predicted_N, true_N)
    scores = []
    for label in np.unique(true_N):
        found, true = predicted_N == label, true_N == label
        scores.append(2 * np.sum(found & true) / (np.sum(found) + np.sum(true)))
    return float(np.mean(scores)) if scores else float("nan")


class LinearProbe:
    """Softmax regression on standardised vectors.

    The penalty is selected from `PENALTIES` on every fifth vector.
    """

    def __init__(self, vectors_ND: np.ndarray, labels_N: np.ndarray) -> None:
        """Fit to vectors and their classes; raises `DataError` for NaN or a single class."""
        vectors_ND = checked("vectors", vectors_ND, axes=2, frames=2)
        self._classes, numbers_N = np.unique(labels_N, return_inverse=True)
        if len(self._classes) < 2 or len(numbers_N) != len(vectors_ND):
            raise DataError(f"a probe of {len(self._classes)} classes; two at least are needed")
        self._mean_D, self._std_D = vectors_ND.mean(0), vectors_ND.std(0) + 1e-9
        x_ND = self._standardise(vectors_ND)
        scores = [self._score(x_ND, numbers_N, penalty) for penalty in PENALTIES]
        best = PENALTIES[int(np.argmax(scores))]
        self._weights = _softmax_regression(x_ND, numbers_N, len(self._classes), best)

    def predict(self, vectors_ND: np.ndarray) -> np.ndarray:
        """Return the class (N,) of each vector."""
        x_ND = self._standardise(checked("vectors", vectors_ND, axes=2))
        return self._classes[(x_ND @ self._weights).argmax(1)]

    def _standardise(self, vectors_ND: np.ndarray) -> np.ndarray:
        x_ND = (vectors_ND - self._mean_D) / self._std_D
        return np.column_stack((x_ND, np.ones(len(x_ND))))

    def _score(self, x_ND: np.ndarray, numbers_N: np.ndarray, penalty: float) -> float:
        held_N = np.arange(len(x_ND)) % FOLDS == 0
        rest = x_ND[~held_N], numbers_N[~held_N]
        weights = _softmax_regression(*rest, len(self._classes), penalty)
        return accuracy((x_ND[held_N] @ weights).argmax(1), numbers_N[held_N])


def cross_validated(
    vectors_ND: np.ndarray, labels_N: np.ndarray, groups_N: np.ndarray
) -> np.ndarray:
    """Return the predictions (N,) of probes trained without each vector's group.

    Args:
        vectors_ND: features.
        labels_N: their classes.
        groups_N: vectors of one group, such as a sentence, stay in one fold.

    Raises:
        DataError: fewer than two groups, or a fold leaves a single class.
    """
    vectors_ND, labels_N = np.asarray(vectors_ND), np.asarray(labels_N)
    groups, group_N = np.unique(groups_N, return_inverse=True)
    if len(groups) < 2:
        raise DataError("one group of vectors; a probe needs two at least")
    predicted_N = labels_N.copy()
    for fold in range(min(FOLDS, len(groups))):
        held_N = group_N % FOLDS == fold
        probe = LinearProbe(vectors_ND[~held_N], labels_N[~held_N])
        predicted_N[held_N] = probe.predict(vectors_ND[held_N])
    return predicted_N


def centroids(vectors_ND: np.ndarray, labels_N: np.ndarray, count: int) -> np.ndarray:
    """Return the mean direction (C, D), of unit length, of each person's vectors.

    Args:
        vectors_ND: embeddings; their length is ignored.
        labels_N: person of each vector, 0 to C − 1.
        count: number of people, C.

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
    """Return the cosine similarities (N, M) of two sets of vectors."""
    return unit(vectors_ND) @ unit(others_MD).T


def top_1(scores_NC: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Return whether (N,) the true person of C scores highest; ties are misses."""
    own_N, others_NC = _own_and_others(scores_NC, labels_N)
    return own_N > others_NC.max(1, initial=-np.inf)


def one_of_two(scores_NC: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Return the share (N,) of other people scored below the true person.

    The 1-of-2 matching of Nagrani et al. (CVPR 2018) over all pairs instead of sampled ones. Ties
    count half, so that chance is 1/2. NaN with a single person.
    """
    own_N, others_NC = _own_and_others(scores_NC, labels_N)
    known_NC = np.isfinite(others_NC)
    won_NC = (own_N[:, None] > others_NC) + 0.5 * (own_N[:, None] == others_NC)
    with np.errstate(invalid="ignore"):
        return np.where(known_NC, won_NC, 0).sum(1) / known_NC.sum(1)


def unit(vectors_ND: np.ndarray) -> np.ndarray:
    """Return vectors normalised to unit length, float64; zero vectors stay zero."""
    vectors_ND = checked("vectors", vectors_ND, axes=2)
    return vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12)


def _own_and_others(scores_NC: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the true people's scores (N,), and the scores with those at −infinity (N, C)."""
    scores_NC = checked("scores", scores_NC, axes=2)
    rows = np.arange(len(scores_NC))
    others_NC = scores_NC.copy()
    others_NC[rows, labels_N] = -np.inf
    return scores_NC[rows, labels_N], others_NC


def _softmax_regression(
    x_ND: np.ndarray, numbers_N: np.ndarray, classes: int, penalty: float
) -> np.ndarray:
    """Return weights (D, C) of least penalised cross-entropy; the last row is the bias."""
    targets_NC = np.eye(classes)[numbers_N]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights_DC = flat.reshape(x_ND.shape[1], classes)
        penalised_DC = weights_DC.copy()
        penalised_DC[-1] = 0
        scores_NC = x_ND @ weights_DC
        entropy = -(targets_NC * log_softmax(scores_NC, axis=1)).sum() / len(x_ND)
        gradient_DC = x_ND.T @ (softmax(scores_NC, axis=1) - targets_NC) / len(x_ND)
        gradient_DC += 2 * penalty * penalised_DC
        return entropy + penalty * np.square(penalised_DC).sum(), gradient_DC.ravel()

    start = np.zeros(x_ND.shape[1] * classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": MAX_ITERATIONS})
    return found.x.reshape(x_ND.shape[1], classes)


def _labels(predicted_N: np.ndarray, true_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    predicted_N, true_N = np.asarray(predicted_N), np.asarray(true_N)
    if predicted_N.ndim != 1 or predicted_N.shape != true_N.shape:
        raise DataError(f"labels {predicted_N.shape} and {true_N.shape}; one length is needed")
    return predicted_N, true_N
