"""Metrics as a person reads them: nested dicts become tables, in a terminal and in a page."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dominate import document, tags
from dominate.util import raw

from speech2video.util.files import atomic_write
from speech2video.util.metrics.statistics import bootstrap_interval

Metrics = dict[str, Any]  # numbers, text or None, or dicts of them
TextTable = tuple[str, list[str], list[list[str]]]  # heading, columns, rows with their names first

_STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; }
th, td { padding: .2em .7em; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
"""


def write_metrics(folder: Path, title: str, figures: Metrics) -> None:
    """Write metrics.json and report.html into a folder, each complete or not at all.

    Raises:
        DataError: the folder takes no files.
    """
    page = document(title=title)
    with page.head:
        tags.meta(charset="utf-8")
        tags.style(raw(_STYLE))
    page.add(tags.h1(title))
    for heading, columns, rows in tables(figures):
        page.add(tags.h2(heading.replace("_", " ")), _html_table(columns, rows))
    with atomic_write(folder / "metrics.json") as partial:
        text = json.dumps(_finite(figures), indent=2, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")
    with atomic_write(folder / "report.html") as partial:
        partial.write_text(page.render(), encoding="utf-8")


def print_metrics(figures: Metrics) -> None:
    """Print the same tables."""
    for heading, columns, rows in tables(figures):
        lines = [[heading, *columns], *rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for name, *cells in lines:
            padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
            print("  ".join([name.ljust(widths[0]), *padded]))
        print()


def tables(figures: Metrics, heading: str = "") -> Iterator[TextTable]:
    """Yield a table for each dict whose values are plain, or are dicts of plain values."""
    plain = {key: value for key, value in figures.items() if not isinstance(value, dict)}
    if plain:
        yield heading or "all", ["value"], [[key, _text(value)] for key, value in plain.items()]
    rows = {key: value for key, value in figures.items() if _is_row(value)}
    if rows and heading:
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        cells = [
            [key, *(_text(row[c]) if c in row else "" for c in columns)]
            for key, row in rows.items()
        ]
        yield heading, columns, cells
    for key, value in figures.items():
        if isinstance(value, dict) and not (heading and key in rows):
            yield from tables(value, f"{heading}: {key}" if heading else key)


def _finite(value: Any) -> Any:
    """Return nested metrics with None in place of NaN and infinity."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and not any(isinstance(v, dict) for v in value.values())


def _text(value: Any) -> str:
    if _finite(value) is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _html_table(columns: list[str], rows: list[list[str]]) -> tags.table:
    head = tags.tr(tags.th(), *(tags.th(column.replace("_", " ")) for column in columns))
    body = [tags.tr(*map(_html_cell, row)) for row in rows]
    return tags.table(head, *body)


def _html_cell(text: str) -> tags.td:
    """Return a cell; the name of a video or a plot beside the page becomes that."""
    if text.endswith(".svg"):
        return tags.td(tags.img(src=text, alt=text))
    return tags.td(tags.video(src=text, controls=True) if text.endswith(".mp4") else text)


# Metrics frame by frame, gathered over clips: by part of the picture, measure and system.

MODEL, REAL = "model", "real"
BLOCK = 25  # frames that the bootstrap draws together: a second
FRAME_COMPARISONS = {  # what says whether the model beats a baseline; 1 where more is better
    ("whole_frame", "psnr_db"): 1,
    ("whole_frame", "ssim"): 1,
    ("head", "psnr_db"): 1,
    ("head", "ssim"): 1,
    ("landmarks", "mouth_error"): -1,
}


class FrameTable:
    """Values (T,) of each frame, NaN where a frame has none."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], dict[str, list[np.ndarray]]] = defaultdict(dict)

    def add(self, part: str, measure: str, system: str, values_T: np.ndarray) -> None:
        """Take in the next clip's values."""
        rows = self._values[part, measure]
        rows.setdefault(system, []).append(np.asarray(values_T, np.float64))

    def means(self) -> Metrics:
        """Return the mean over all frames that have a value, by part, measure and system."""
        figures: Metrics = defaultdict(dict)
        for (part, measure), systems in self._values.items():
            figures[part][measure] = {
                system: mean(np.concatenate(values)) for system, values in systems.items()
            }
        return dict(figures)

    def better_by(self, baselines: Sequence[str], *, draws: int, seed: int) -> Metrics:
        """Return by how much the model is better than each baseline, with 95 % intervals.

        Frames are drawn in blocks of a second, the same for both.
        """
        rows: Metrics = {}
        for (part, measure), sign in FRAME_COMPARISONS.items():
            systems = {
                system: np.concatenate(values)
                for system, values in self._values.get((part, measure), {}).items()
            }
            row = {}
            for baseline in baselines:
                if {MODEL, baseline} <= set(systems):
                    gain_T = sign * (systems[MODEL] - systems[baseline])
                    row |= _gain_interval(baseline, gain_T, draws=draws, seed=seed)
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


def in_lines(values: Mapping[str, Mapping[str, float]]) -> Metrics:
    """Return {system: {measure: value}} as {measure: {system: value}}, NaN as None."""
    figures: Metrics = defaultdict(dict)
    for system, row in values.items():
        for measure, value in row.items():
            figures[measure][system] = float(value) if np.isfinite(value) else None
    return dict(figures)


def _gain_interval(name: str, gain_T: np.ndarray, *, draws: int, seed: int) -> Metrics:
    known_T = gain_T[np.isfinite(gain_T)]
    if not len(known_T):
        return {}
    block = min(BLOCK, len(known_T))
    found = bootstrap_interval(np.mean, known_T, block=block, draws=draws, seed=seed)
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


# Metrics clip by clip: their means, what seeds make of them, and how sure they are.

CLIP_COMPARISONS = {  # what has intervals; 1 where more is better
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

    def means(self) -> Metrics:
        """Return the mean over clips that have a value, of all seeds, by part, measure, system."""
        figures: Metrics = defaultdict(dict)
        for (part, measure), systems in self._values.items():
            means = {system: mean(_over_seeds(values)) for system, values in systems.items()}
            if any(value is not None for value in means.values()):
                figures[part][measure] = means
        return dict(figures)

    def by_person(self) -> Metrics:
        """Return the model's means of what matters most, for each person."""
        rows: Metrics = defaultdict(dict)
        for part, measure in BY_PERSON:
            people = np.array(self._people[part, measure])
            values_C = _over_seeds(self._values[part, measure].get(MODEL, []))
            for person in np.unique(people).tolist():
                row = rows[person] | {"clips": int((people == person).sum())}
                rows[person] = row | {measure: mean(values_C[people == person])}
        return dict(rows)

    def seeds(self, first: int) -> Metrics:
        """Return the model's means seed by seed, and how far they are spread (n − 1)."""
        rows: Metrics = {}
        for (part, measure), systems in self._values.items():
            takes_CS = np.array(systems.get(MODEL, [[np.nan]]))
            means = [mean(values_C) for values_C in takes_CS.T]
            known = [value for value in means if value is not None]
            if len(known) > 1:
                named = {f"seed {first + i}": value for i, value in enumerate(means)}
                rows[f"{part} {measure}"] = named | {"deviation": float(np.std(known, ddof=1))}
        return rows

    def intervals(self, *, draws: int, seed: int) -> Metrics:
        """Return 95 % intervals of the model's means, and of what it is better by than others.

        Clips are drawn, the same for both.
        """
        rows: Metrics = {}
        for key, sign in CLIP_COMPARISONS.items():
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


def _interval(values_C: np.ndarray, *, draws: int, seed: int) -> Metrics:
    known_C = values_C[np.isfinite(values_C)]
    if not len(known_C):
        return {}
    return bootstrap_interval(np.mean, known_C, draws=draws, seed=seed)._asdict()
