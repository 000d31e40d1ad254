"""Figures clip by clip: their means, what seeds make of them, and how sure they are."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.page import Figures
from evaluation.video_table import MODEL, mean
from speech2video.util.metrics.bootstrap import bootstrap_interval

COMPARED = {  # what has intervals; 1 where more is better
    ("lips", "opening_correlation"): 1,
    ("lips", "mouth_distance"): -1,
    ("identity", "top_1"): 1,
    ("identity", "one_of_two"): 1,
    ("identity", "cosine_to_person"): 1,
    ("emotion", "accuracy"): 1,
    ("picture", "psnr_db"): 1,
    ("picture", "ssim"): 1,
}
BY_PERSON = (
    ("lips", "opening_correlation"),
    ("lips", "mouth_distance"),
    ("identity", "top_1"),
    ("emotion", "accuracy"),
)


class ClipTable:
    """Values of each clip by part, measure and system, NaN where a clip has none."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], dict[str, list[list[float]]]] = defaultdict(dict)
        self._people: dict[tuple[str, str], list[str]] = defaultdict(list)  # of the model's clips

    def add(
        self, part: str, system: str, person: str, takes: Sequence[Mapping[str, float]]
    ) -> None:
        """Take in the measures of the next clip, of a person, by a system: once for each seed."""
        for measure in takes[0]:
            rows = self._values[part, measure].setdefault(system, [])
            rows.append([float(take[measure]) for take in takes])
            if system == MODEL:
                self._people[part, measure].append(person)

    def means(self) -> Figures:
        """Return the mean over clips that have a value, of all seeds, by part, measure, system."""
        figures: Figures = defaultdict(dict)
        for (part, measure), systems in self._values.items():
            means = {system: mean(_over_seeds(values)) for system, values in systems.items()}
            if any(value is not None for value in means.values()):
                figures[part][measure] = means
        return dict(figures)

    def by_person(self) -> Figures:
        """Return the model's means of what matters most, for each person."""
        rows: Figures = defaultdict(dict)
        for part, measure in BY_PERSON:
            people = np.array(self._people[part, measure])
            values_C = _over_seeds(self._values[part, measure].get(MODEL, []))
            for person in np.unique(people).tolist():
                row = rows[person] | {"clips": int((people == person).sum())}
                rows[person] = row | {measure: mean(values_C[people == person])}
        return dict(rows)

    def seeds(self, first: int) -> Figures:
        """Return the model's means seed by seed, and how far they are spread (n − 1)."""
        rows: Figures = {}
        for (part, measure), systems in self._values.items():
            takes_CS = np.array(systems.get(MODEL, [[np.nan]]))
            means = [mean(values_C) for values_C in takes_CS.T]
            known = [value for value in means if value is not None]
            if len(known) > 1:
                named = {f"seed {first + i}": value for i, value in enumerate(means)}
                rows[f"{part} {measure}"] = named | {"deviation": float(np.std(known, ddof=1))}
        return rows

    def intervals(self, *, draws: int, seed: int) -> Figures:
        """Return 95 % intervals of the model's means, and of what it is better by than others.

        Clips are drawn, the same for both.
        """
        rows: Figures = {}
        for key, sign in COMPARED.items():
            systems = {name: _over_seeds(v) for name, v in self._values.get(key, {}).items()}
            own_C = systems.get(MODEL)
            if own_C is None or not np.isfinite(own_C).any():
                continue
            row = {MODEL: _interval(own_C, draws=draws, seed=seed)}
            for name, others_C in systems.items():
                if name != MODEL and len(others_C) == len(own_C):
                    gain_C = sign * (own_C - others_C)
                    row[f"better_than_{name}_by"] = _interval(gain_C, draws=draws, seed=seed)
            rows[" ".join(key)] = {name: found for name, found in row.items() if found}
        return rows


def _over_seeds(values: Sequence[Sequence[float]]) -> np.ndarray:
    return np.array([np.mean(takes) for takes in values])


def _interval(values_C: np.ndarray, *, draws: int, seed: int) -> Figures:
    known_C = values_C[np.isfinite(values_C)]
    if not len(known_C):
        return {}
    return bootstrap_interval(np.mean, known_C, draws=draws, seed=seed)._asdict()
