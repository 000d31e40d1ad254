"""How sure a figure is: percentile intervals by the bootstrap (Efron & Tibshirani, 1993)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

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
