"""Figures frame by frame, gathered over clips: by part of the picture, measure and system."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.page import Figures
from speech2video.util.metrics.bootstrap import bootstrap_interval

MODEL, REAL = "model", "real"
BLOCK = 25  # frames that the bootstrap draws together: a second
COMPARED = {  # what says whether the model beats a baseline; 1 where more is better
    ("whole_frame", "psnr_db"): 1,
    ("whole_frame", "ssim"): 1,
    ("head", "psnr_db"): 1,
    ("head", "ssim"): 1,
    ("landmarks", "mouth_error"): -1,
}


class Table:
    """Values (T,) of each frame, NaN where a frame has none."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], dict[str, list[np.ndarray]]] = defaultdict(dict)

    def add(self, part: str, measure: str, system: str, values_T: np.ndarray) -> None:
        """Take in the next clip's values."""
        rows = self._values[part, measure]
        rows.setdefault(system, []).append(np.asarray(values_T, np.float64))

    def means(self) -> Figures:
        """Return the mean over all frames that have a value, by part, measure and system."""
        figures: Figures = defaultdict(dict)
        for (part, measure), systems in self._values.items():
            figures[part][measure] = {
                system: mean(np.concatenate(values)) for system, values in systems.items()
            }
        return dict(figures)

    def better_by(self, baselines: Sequence[str], *, draws: int, seed: int) -> Figures:
        """Return by how much the model is better than each baseline, with 95 % intervals.

        Frames are drawn in blocks of a second, the same for both.
        """
        rows: Figures = {}
        for (part, measure), sign in COMPARED.items():
            systems = {
                system: np.concatenate(values)
                for system, values in self._values.get((part, measure), {}).items()
            }
            row = {}
            for baseline in baselines:
                if {MODEL, baseline} <= set(systems):
                    gain_T = sign * (systems[MODEL] - systems[baseline])
                    row |= _interval(baseline, gain_T, draws=draws, seed=seed)
            if row:
                rows[f"{part} {measure}"] = row
        return rows


def mean(values_T: np.ndarray) -> float | None:
    """Return the mean of the values that are numbers, None where none is."""
    known_T = np.isfinite(values_T)
    return float(values_T[known_T].mean()) if known_T.any() else None


def mean_of_known(values: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean (T,) over several series of the values known at each frame, NaN for none."""
    known = np.isfinite(values)
    total_T, count_T = np.where(known, values, 0).sum(0), known.sum(0)
    return np.where(count_T > 0, total_T / np.maximum(count_T, 1), np.nan)


def in_lines(values: Mapping[str, Mapping[str, float]]) -> Figures:
    """Return {system: {measure: value}} as {measure: {system: value}}, NaN as None."""
    figures: Figures = defaultdict(dict)
    for system, row in values.items():
        for measure, value in row.items():
            figures[measure][system] = float(value) if np.isfinite(value) else None
    return dict(figures)


def _interval(name: str, gain_T: np.ndarray, *, draws: int, seed: int) -> Figures:
    known_T = gain_T[np.isfinite(gain_T)]
    if not len(known_T):
        return {}
    block = min(BLOCK, len(known_T))
    found = bootstrap_interval(np.mean, known_T, block=block, draws=draws, seed=seed)
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
