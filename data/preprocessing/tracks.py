"""Tracks of detected points over time: what is noise in them, taken out without any lag."""

import numpy as np

SIGMA = 1.5  # frames; the detector's noise on a body is fast, bodies at 25 fps are slower
RADIUS = 5  # frames on either side that smoothing looks at
FLEETING = 3  # frames; what is seen for less is likelier a mistake than a hand
JUMP = 0.5  # of a group's own size; farther off than that its points have jumped


def smoothed(values_TKC: np.ndarray, *, sigma: float = SIGMA) -> np.ndarray:
    """Return points smoothed over time: a median of three, then a centred Gaussian.

    A centred filter does not lag, unlike the one-euro filter that MediaPipe offers. NaN is missing:
    left out of its neighbours' means, and missing still.
    """
    known = np.isfinite(values_TKC)
    values = np.where(known, _median_of_three(values_TKC), 0.0)
    total, weight = np.zeros_like(values), np.zeros_like(values)
    for step in range(-RADIUS, RADIUS + 1):
        share = np.exp(-0.5 * (step / sigma) ** 2)
        here, there = _overlap(len(values), step)
        total[here] += share * values[there]
        weight[here] += share * known[there]
    return np.where(known, total / np.where(known, weight, 1.0), np.nan)


def jumped(points_TK2: np.ndarray) -> np.ndarray:
    """Return in which frames (T,) a group of points leaps away and is back in the next frame."""
    jumps_T = np.zeros(len(points_TK2), bool)
    if len(points_TK2) < 3:
        return jumps_T
    middle_T2, size_T = points_TK2.mean(1), np.ptp(points_TK2, axis=1).max(1)
    before, here, after = middle_T2[:-2], middle_T2[1:-1], middle_T2[2:]
    limit = JUMP * np.median(np.stack([size_T[:-2], size_T[1:-1], size_T[2:]]), axis=0)
    out = np.minimum(_distance(here, before), _distance(here, after)) > limit  # false for NaN
    jumps_T[1:-1] = out & (_distance(before, after) < limit)
    return jumps_T


def fleeting(seen_T: np.ndarray) -> np.ndarray:
    """Return the frames (T,) of sightings that last less than `FLEETING` frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], seen_T.astype(int), [0]])))
    short_T = np.zeros(len(seen_T), bool)
    for start, end in edges.reshape(-1, 2):
        short_T[start:end] = end - start < min(FLEETING, len(seen_T))
    return short_T


def _median_of_three(values_TKC: np.ndarray) -> np.ndarray:
    """Return each value, or the middle one of it and its neighbours where it has both."""
    result = values_TKC.copy()
    if len(result) > 2:
        middle = np.median([values_TKC[:-2], values_TKC[1:-1], values_TKC[2:]], axis=0)
        result[1:-1] = np.where(np.isfinite(middle), middle, values_TKC[1:-1])
    return result


def _overlap(count: int, step: int) -> tuple[slice, slice]:
    """Return the frames that have one `step` frames later, and those."""
    here = slice(max(0, -step), max(0, count - max(0, step)))
    return here, slice(here.start + step, here.stop + step) if here.start < here.stop else here


def _distance(a_T2: np.ndarray, b_T2: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a_T2 - b_T2, axis=1)
