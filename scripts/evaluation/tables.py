"""Metrics as nested tables: collected over frames and clips, printed, and written as report."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speech2video.util import html_report
from speech2video.util.errors import DataError
from speech2video.util.files import write_json
from speech2video.util.metrics.statistics import bootstrap_interval, finite_mean

Metrics = dict[str, Any]  # numbers and text, or dicts of them; NaN where unknown
TextTable = tuple[str, list[str], list[list[str]]]  # heading, columns, rows with their names first

MODEL, REAL = "model", "real"  # systems: generated and recorded
BLOCK = 25  # frames that the bootstrap draws together, one second
IMAGE_METRICS = ("psnr", "ssim")
FRAME_COMPARISONS = {  # metrics of the model compared with baselines; 1 where higher is better
    **{(part, name): 1 for part in ("whole_frame", "head") for name in IMAGE_METRICS},
    ("landmarks", "mouth_error"): -1,
}
CLIP_COMPARISONS = {
    ("lips", "lip_correlation"): 1,
    ("lips", "mouth_error"): -1,
    ("identity", "top_1"): 1,
    ("identity", "one_of_two"): 1,
    ("identity", "cosine_to_speaker"): 1,
    ("emotion", "accuracy"): 1,
    **{("image", name): 1 for name in IMAGE_METRICS},
}
NOT_BY_SPEAKER = ("one_of_two", "cosine_to_speaker", *IMAGE_METRICS)


def write_metrics(folder: Path, title: str, metrics: Metrics) -> None:
    """Write metrics.json, with null for NaN, and report.html into a folder.

    Raises:
        DataError: the folder is not writable.
    """
    write_json(folder / "metrics.json", _without_nan(metrics))
    sections = [
        html_report.section(
            heading.replace("_", " "),
            html_report.table(
                [[_cell(text) for text in row] for row in rows],
                ["", *(column.replace("_", " ") for column in columns)],
            ),
        )
        for heading, columns, rows in tables(metrics)
    ]
    html_report.write_page(folder / "report.html", title, *sections)


def print_metrics(metrics: Metrics) -> None:
    """Print the tables of `write_metrics`."""
    for heading, columns, rows in tables(metrics):
        lines = [[heading, *columns], *rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for name, *cells in lines:
            padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
            print("  ".join([name.ljust(widths[0]), *padded]))
        print()


def tables(metrics: Metrics, heading: str = "") -> Iterator[TextTable]:
    """Yield a table for each dict of values or of dicts of values."""
    plain = {key: value for key, value in metrics.items() if not isinstance(value, dict)}
    if plain:
        yield heading or "all", ["value"], [[key, _text(value)] for key, value in plain.items()]
    rows = {key: value for key, value in metrics.items() if _is_row(value)}
    if rows and heading:
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        cells = [
            [key, *(_text(row[c]) if c in row else "" for c in columns)]
            for key, row in rows.items()
        ]
        yield heading, columns, cells
    for key, value in metrics.items():
        if isinstance(value, dict) and not (heading and key in rows):
            yield from tables(value, f"{heading}: {key}" if heading else key)


class FrameTable:
    """Values of frames by part of the image, metric and system, NaN where unknown."""

    COMPARISONS = FRAME_COMPARISONS
    BLOCK = BLOCK

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], dict[str, list[np.ndarray]]] = defaultdict(dict)

    def add(self, part: str, metric: str, system: str, values_T: np.ndarray) -> None:
        """Add the values (T,) of a clip."""
        self._values[part, metric].setdefault(system, []).append(np.asarray(values_T, np.float64))

    def means(self) -> Metrics:
        """Return the means of known values by part, metric and system."""
        metrics: Metrics = defaultdict(dict)
        for part, metric in self._values:
            samples = self._samples(part, metric)
            if any(np.isfinite(values_N).any() for values_N in samples.values()):
                metrics[part][metric] = {name: finite_mean(v) for name, v in samples.items()}
        return dict(metrics)

    def intervals(self, draws: int, seed: int) -> Metrics:
        """Return the model's main metrics and improvements with 95 % bootstrap intervals."""
        rows: Metrics = {}
        for (part, metric), sign in self.COMPARISONS.items():
            samples = self._samples(part, metric)
            own_N = samples.pop(MODEL, np.zeros(0))
            compared = {MODEL: own_N} | {
                f"improvement_over_{name}": sign * (own_N - other_N)
                for name, other_N in samples.items()
                if len(other_N) == len(own_N)
            }
            row = {}
            for name, values_N in compared.items():
                known_N = values_N[np.isfinite(values_N)]
                if block := min(self.BLOCK, len(known_N)):
                    row[name] = bootstrap_interval(
                        np.mean, known_N, block=block, draws=draws, seed=seed
                    )._asdict()
            if MODEL in row:
                rows[f"{part} {metric}"] = row
        return rows

    def _samples(self, part: str, metric: str) -> dict[str, np.ndarray]:
        """Return independent values (N,) by system."""
        systems = self._values.get((part, metric), {})
        return {system: np.concatenate(values) for system, values in systems.items()}


class ClipTable(FrameTable):
    """Values of clips, one for each seed."""

    COMPARISONS = CLIP_COMPARISONS
    BLOCK = 1

    def __init__(self) -> None:
        super().__init__()
        self._speakers: dict[tuple[str, str], list[str]] = defaultdict(list)  # of the model's clips

    def add_clip(
        self, part: str, system: str, speaker: str, seeds: Sequence[Mapping[str, float]]
    ) -> None:
        """Add a clip's metrics, one mapping for each seed."""
        for metric in seeds[0]:
            self.add(part, metric, system, np.array([values[metric] for values in seeds]))
            if system == MODEL:
                self._speakers[part, metric].append(speaker)

    def by_speaker(self) -> Metrics:
        """Return the model's main means for each speaker."""
        rows: Metrics = defaultdict(dict)
        for part, metric in (key for key in CLIP_COMPARISONS if key[1] not in NOT_BY_SPEAKER):
            speakers = np.array(self._speakers[part, metric])
            values_C = self._samples(part, metric).get(MODEL, np.zeros(0))
            for speaker in np.unique(speakers).tolist():
                row = rows[speaker] | {"clips": int((speakers == speaker).sum())}
                rows[speaker] = row | {metric: finite_mean(values_C[speakers == speaker])}
        return dict(rows)

    def by_seed(self, first: int) -> Metrics:
        """Return the model's means for each seed, and their standard deviation (n − 1)."""
        rows: Metrics = {}
        for (part, metric), systems in self._values.items():
            means = [finite_mean(v_C) for v_C in np.array(systems.get(MODEL, [[np.nan]])).T]
            known = [value for value in means if np.isfinite(value)]
            if len(known) > 1:
                row = {f"seed {first + i}": value for i, value in enumerate(means)}
                rows[f"{part} {metric}"] = row | {"deviation": float(np.std(known, ddof=1))}
        return rows

    def _samples(self, part: str, metric: str) -> dict[str, np.ndarray]:
        """Return the means over seeds (C,) by system."""
        systems = self._values.get((part, metric), {})
        return {s: np.array([np.mean(seeds) for seeds in v]) for s, v in systems.items()}


def mean_over_parts(values: Sequence[np.ndarray]) -> np.ndarray:
    """Return the means (T,) of the finite values of several series, NaN without any."""
    known = np.isfinite(values)
    total_T, count_T = np.where(known, values, 0).sum(0), known.sum(0)
    return np.where(count_T > 0, total_T / np.maximum(count_T, 1), np.nan)


def mean_row(rows: Sequence[Mapping[str, float]]) -> Metrics:
    """Return the means of each metric's known values in rows, NaN where none is known."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: finite_mean(np.array([row.get(name, np.nan) for row in rows])) for name in names}


def file_name(name: str) -> str:
    """Return a clip's name as a file name."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_") or "_"


def file_names(names: Sequence[str]) -> list[str]:
    """Return the names of speeches as file names; raises `DataError` where two are the same."""
    found = [file_name(name) for name in names]
    double = next((name for name in found if found.count(name) > 1), None)
    if double is not None:
        raise DataError(f"{double}: the name of two speeches; videos are named after them")
    return found


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and not any(isinstance(v, dict) for v in value.values())


def _text(value: Any) -> str:
    if _without_nan(value) is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> html_report.Content:
    """Return a cell; the file name of a plot or video is shown as such."""
    if text.endswith(".svg"):
        return html_report.image(text, text)
    return html_report.video(text) if text.endswith(".mp4") else text
