"""How sure a figure is: percentile intervals by the bootstrap (Efron & Tibshirani, 1993)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from speech2video.util.errors import DataError

DRAWS = 1000
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A figure and the bounds it lies in with the confidence asked for."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def bootstrap_interval(
    statistic: Callable[..., float],
    *samples: np.ndarray,
    block: int = 1,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Return a statistic of samples and its percentile interval.

    Args:
        statistic: takes as many arrays as there are `samples`; draws for which it is NaN are left
            out.
        samples: arrays of one length, drawn together, so that pairs stay pairs: two systems'
            errors on the same clips give the interval of their difference.
        block: rows that follow each other are drawn in runs of this many, as frames that hang
            together must be (Künsch, Annals of Statistics 17, 1989): about a second.
        confidence: share of the draws inside the bounds.
        draws: how many.
        seed: draws them.

    Raises:
        DataError: no samples, lengths that differ, or blocks longer than the samples.
    """
    arrays = [np.asarray(sample) for sample in samples]
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1 or not 1 <= block <= max(lengths):
        raise DataError(
            f"bootstrap: samples of lengths {sorted(lengths)}, blocks of {block}; "
            "one length, no shorter than a block, is needed"
        )
    count, chance = lengths.pop(), np.random.default_rng(seed)
    found = np.array(
        [
            statistic(*(array[rows] for array in arrays))
            for rows in (_rows(count, block, chance) for _ in range(draws))
        ]
    )
    found = found[np.isfinite(found)]
    value = float(statistic(*arrays))
    if not len(found):
        return Interval(value, float("nan"), float("nan"))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(found, (tail, 100 - tail))
    return Interval(value, float(low), float(high))


def _rows(count: int, block: int, chance: np.random.Generator) -> np.ndarray:
    """Return the row numbers (count,) of one draw: runs of `block` from anywhere."""
    starts = chance.integers(0, count - block + 1, size=-(-count // block))
    return (starts[:, None] + np.arange(block)).ravel()[:count]


# What every metric asks of its arrays before it computes.


def checked(name: str, values: np.ndarray, *, axes: int, frames: int = 1) -> np.ndarray:
    """Return an array as float64; `name` is what the error calls it.

    Raises:
        DataError: another number of axes, fewer than `frames` rows, NaN or infinity.
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
    """Return a prediction and its truth as `checked`; raises `DataError` unless alike in shape."""
    predicted = checked("predicted", predicted, axes=axes, frames=frames)
    true = checked("true", true, axes=axes, frames=frames)
    if predicted.shape != true.shape:
        raise DataError(
            f"predicted is {predicted.shape}, true {true.shape}; the same shape is needed"
        )
    return predicted, true


# Fréchet distance of two clouds of feature vectors, and what it is at best and at worst.
#
# The squared 2-Wasserstein distance of two Gaussians (Dowson & Landau, J. Multivariate Analysis 12,
# 1982), with an autoencoder's features the Fréchet gesture distance (Yoon et al., SIGGRAPH Asia
# 2020). It grows as samples get fewer: compare only clouds of one size, beside their own floor.

SPLITS = 20  # ways to halve the recordings for the floor


def frechet_distance(a_ND: np.ndarray, b_MD: np.ndarray) -> float:
    """Return |μa − μb|² + tr(Σa + Σb − 2 (Σa Σb)^½) of clouds (N, D) and (M, D).

    Raises:
        DataError: fewer than two vectors, NaN, or vectors of different lengths.
    """
    a_ND = checked("features", a_ND, axes=2, frames=2)
    b_MD = checked("features", b_MD, axes=2, frames=2)
    if a_ND.shape[1] != b_MD.shape[1]:
        raise DataError(f"features of {a_ND.shape[1]} and {b_MD.shape[1]} numbers; one is needed")
    shift = a_ND.mean(0) - b_MD.mean(0)
    covariances = [np.atleast_2d(np.cov(cloud, rowvar=False)) for cloud in (a_ND, b_MD)]
    # (Σa Σb)^½ has the eigenvalues of (√Σa Σb √Σa)^½, which is symmetric and so never complex.
    root = _square_root(covariances[0])
    product = np.linalg.eigvalsh(root @ covariances[1] @ root)
    cross = np.sqrt(product.clip(min=0)).sum()
    distance = shift @ shift + sum(np.trace(c) for c in covariances) - 2 * cross
    return max(0.0, float(distance))  # rounding can take it below


def halved_distance(
    a: Sequence[np.ndarray], b: Sequence[np.ndarray], *, splits: int = SPLITS, seed: int = 0
) -> float:
    """Return the mean distance of half the recordings of `a` to the other half of `b`.

    With `a` the real motion too this is the floor, with `a` noise the ceiling, and all three
    compare: the clouds are of one size, and no speech is in both.

    Args:
        a: features (N, D) of each recording.
        b: features (N, D) of the same recordings, in the same order.
        splits: how often the recordings are halved; a single one is cut in the middle, its windows
            in order.
        seed: draws the halves.

    Raises:
        DataError: no recordings, or not the same number.
    """
    if not a or len(a) != len(b):
        raise DataError(f"{len(a)} and {len(b)} recordings; the same ones, at least one, needed")
    if len(a) == 1:
        middle = min(len(a[0]), len(b[0])) // 2
        return frechet_distance(a[0][:middle], b[0][middle : 2 * middle])
    chance = np.random.default_rng(seed)
    found = []
    for _ in range(splits):
        order = chance.permutation(len(a))
        here, there = order[: len(a) // 2], order[len(a) // 2 :]
        clouds = (np.concatenate([a[i] for i in here]), np.concatenate([b[i] for i in there]))
        found.append(frechet_distance(*clouds))
    return float(np.mean(found))


def noise_like(values_TD: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return white noise (T, D) with each value's own mean and deviation.

    Right in every number's statistics and without any gesture: its distance is the ceiling of what
    moves at all. A still pose can be further off.
    """
    values_TD = checked("motion", values_TD, axes=2)
    noise_TD = np.random.default_rng(seed).normal(size=values_TD.shape)
    return values_TD.mean(0) + noise_TD * values_TD.std(0)


def _square_root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = eigh(covariance)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
