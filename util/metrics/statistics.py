"""Statistics that metrics share: correlation and lag, bootstrap intervals, Fréchet distances."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from speech2video.util.errors import DataError

MIN_OVERLAP = 25  # frames, one second; a correlation over fewer is not meaningful
CONFIDENCE = 0.95
HALVINGS = 20  # random halvings of the recordings in `halved_distance`


class Interval(NamedTuple):
    """A statistic and its confidence interval."""

    value: float
    low: float
    high: float


def checked(name: str, values: np.ndarray, *, axes: int, frames: int = 1) -> np.ndarray:
    """Return an array as float64; `name` is used in error messages.

    Raises:
        DataError: wrong number of axes, fewer than `frames` rows, NaN or infinity.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != axes or len(values) < frames or 0 in values.shape:
        needed = f"{axes} axes with at least {frames} rows"
        raise DataError(f"{name}: shape {values.shape}; {needed} are needed")
    if not np.isfinite(values).all():
        raise DataError(f"{name}: NaN or infinite numbers; finite ones are needed")
    return values


def checked_pair(
    predicted: np.ndarray, true: np.ndarray, *, axes: int, frames: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return a prediction and its ground truth as `checked`.

    Raises:
        DataError: as `checked`, or the shapes differ.
    """
    predicted = checked("predicted", predicted, axes=axes, frames=frames)
    true = checked("true", true, axes=axes, frames=frames)
    if predicted.shape != true.shape:
        shapes = f"predicted is {predicted.shape}, true {true.shape}"
        raise DataError(f"{shapes}; the same shape is needed")
    return predicted, true


def finite_mean(values: np.ndarray) -> float:
    """Return the mean of the finite values, NaN if there are none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def percentile(values: np.ndarray, share: float) -> float:
    """Return a percentile, 0 to 100, of the finite values, NaN if there are none."""
    finite = values[np.isfinite(values)]
    return float(np.percentile(finite, share)) if finite.size else float("nan")


def correlation(a_T: np.ndarray, b_T: np.ndarray) -> float:
    """Return Pearson's correlation over the frames in which both series are finite.

    NaN for fewer than `MIN_OVERLAP` such frames and for a constant series.

    Raises:
        DataError: the lengths differ.
    """
    a_T, b_T = _series(a_T, b_T)
    finite_T = np.isfinite(a_T) & np.isfinite(b_T)
    if finite_T.sum() < MIN_OVERLAP or not (np.ptp(a_T[finite_T]) and np.ptp(b_T[finite_T])):
        return float("nan")
    return float(np.corrcoef(a_T[finite_T], b_T[finite_T])[0, 1])


def lag_correlations(a_T: np.ndarray, b_T: np.ndarray, max_lag: int) -> np.ndarray:
    """Return the correlations (2 max_lag + 1,) of a[t] and b[t + lag], lags −max_lag to max_lag."""
    a_T, b_T = _series(a_T, b_T)
    found = []
    for lag in range(-max_lag, max_lag + 1):
        late_T, early_T = a_T[max(0, -lag) :], b_T[max(0, lag) :]
        count = min(len(late_T), len(early_T))
        found.append(correlation(late_T[:count], early_T[:count]))
    return np.array(found)


def best_lag(correlations_L: np.ndarray) -> tuple[int | None, float]:
    """Return the lag of the highest of `lag_correlations`, and that correlation.

    A positive lag means that b is late. Of equal correlations the smallest lag wins. (None, NaN)
    where all are NaN.
    """
    if not np.isfinite(correlations_L).any():
        return None, float("nan")
    best = np.nanmax(correlations_L)
    lags = np.flatnonzero(correlations_L == best) - len(correlations_L) // 2
    return min(lags.tolist(), key=abs), float(best)


def bootstrap_interval(
    statistic: Callable[..., float],
    *samples: np.ndarray,
    block: int = 1,
    confidence: float = CONFIDENCE,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return a statistic and its percentile interval (Efron & Tibshirani, 1993).

    Args:
        statistic: function of as many arrays as there are `samples`; draws that give NaN are
            ignored.
        samples: arrays of one length, resampled together: two systems' errors on the same clips
            give the interval of their difference.
        block: number of consecutive rows drawn together, about one second of dependent frames
            (Künsch, Annals of Statistics 17, 1989).
        confidence: probability mass inside the interval.
        draws: number of bootstrap samples.
        seed: random seed.

    Raises:
        DataError: no samples, different lengths, or blocks longer than the samples.
    """
    arrays = [np.asarray(sample) for sample in samples]
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1 or not 1 <= block <= max(lengths):
        seen = f"samples of lengths {sorted(lengths)}, blocks of {block}"
        raise DataError(f"bootstrap: {seen}; one length, no shorter than a block, is needed")
    count, random = lengths.pop(), np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        starts = random.integers(0, count - block + 1, size=-(-count // block))
        rows = (starts[:, None] + np.arange(block)).ravel()[:count]
        found.append(statistic(*(array[rows] for array in arrays)))
    tail = 50 * (1 - confidence)
    low, high = (percentile(np.array(found), share) for share in (tail, 100 - tail))
    return Interval(float(statistic(*arrays)), low, high)


def frechet_distance(a_ND: np.ndarray, b_MD: np.ndarray) -> float:
    """Return |μa − μb|² + tr(Σa + Σb − 2 (Σa Σb)^½) of features (N, D) and (M, D).

    The squared 2-Wasserstein distance of two Gaussians (Dowson & Landau, J. Multivariate
    Analysis 12, 1982). It grows as samples get fewer: compare only distances of equal sizes.

    Raises:
        DataError: fewer than two vectors, NaN, or vectors of different lengths.
    """
    a_ND = checked("features", a_ND, axes=2, frames=2)
    b_MD = checked("features", b_MD, axes=2, frames=2)
    if a_ND.shape[1] != b_MD.shape[1]:
        raise DataError(f"features of {a_ND.shape[1]} and {b_MD.shape[1]} numbers; one is needed")
    shift = a_ND.mean(0) - b_MD.mean(0)
    cov_a, cov_b = (np.atleast_2d(np.cov(features, rowvar=False)) for features in (a_ND, b_MD))
    # (Σa Σb)^½ has the eigenvalues of (√Σa Σb √Σa)^½, which is symmetric and so never complex.
    values, vectors = eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(min=0)).sum()
    distance = shift @ shift + (np.trace(cov_a) + np.trace(cov_b)) - 2 * cross
    return max(0.0, float(distance))  # rounding can take it below zero


def halved_distance(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> float:
    """Return the mean Fréchet distance of half the recordings of `a` to the other half of `b`.

    Distances of predictions, real motion and noise are comparable, because sample sizes are equal
    and no recording is in both halves. A single recording is cut in the middle.

    Args:
        a: features (N, D) of each recording.
        b: features (N, D) of the same recordings, in the same order.

    Raises:
        DataError: no recordings, or different numbers of them.
    """
    if not a or len(a) != len(b):
        raise DataError(f"{len(a)} and {len(b)} recordings; the same ones, at least one, needed")
    if len(a) == 1:
        middle = min(len(a[0]), len(b[0])) // 2
        return frechet_distance(a[0][:middle], b[0][middle : 2 * middle])
    random = np.random.default_rng(0)
    found = []
    for _ in range(HALVINGS):
        order = random.permutation(len(a))
        first, second = np.split(order, [len(a) // 2])
        halves = np.concatenate([a[i] for i in first]), np.concatenate([b[i] for i in second])
        found.append(frechet_distance(*halves))
    return float(np.mean(found))


def noise_like(values_TD: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return white noise (T, D) with the mean and standard deviation of each column."""
    values_TD = checked("motion", values_TD, axes=2)
    noise_TD = np.random.default_rng(seed).normal(size=values_TD.shape)
    return values_TD.mean(0) + noise_TD * values_TD.std(0)


def _series(a_T: np.ndarray, b_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a_T, b_T = (np.asarray(values, np.float64) for values in (a_T, b_T))
    if a_T.ndim != 1 or a_T.shape != b_T.shape:
        raise DataError(f"series of shapes {a_T.shape} and {b_T.shape}; one length is needed")
    return a_T, b_T
