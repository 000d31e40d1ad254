"""Log of a training run: TensorBoard's curves, and one page with curves, images and videos.

FOLDER/index.html      curves, and a table of images and videos for each validation
FOLDER/log.json        the page's content; a resumed run continues it
FOLDER/images/ videos/ tensorboard/
"""

import math
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from speech2video.util import html_report
from speech2video.util.errors import DataError, note
from speech2video.util.files import (
    atomic_write,
    check_output,
    read_json,
    write_errors,
    write_json,
)

CURVE_POINTS = 1000  # of one curve; beyond, neighbours are averaged
CHART_POINTS = 140  # of a curve on the page
KEPT_VALIDATIONS = 12  # whose images are kept: the first and the latest
ROWS = 8  # of one table of images
LONGEST_SIDE = 512  # pixels, of an image
JPEG_QUALITY = 88
MAX_LOG_BYTES = 64 * 2**20  # of a log that is continued; a long run's has a megabyte
LAST_STEP = 10**15
# the only files that a log may name, since old ones are deleted
_LOGGED_FILE = re.compile(r"(images|videos)/[^/\\\0]+")
WRITE_SECONDS = 60.0  # between two writings of the page while values are logged

Image = np.ndarray | Tensor


class TrainingLog:
    """The log of one run; made on the main process only.

    Args:
        folder: the run's.
        title: the page's.
        step: where the run starts or resumes; later entries of an earlier log are dropped. A log
            that cannot be read is kept as log.unreadable.json.
        tensorboard: whether to write its curves too.

    Raises:
        DataError: the page cannot be written to the folder.
    """

    def __init__(
        self, folder: Path, *, title: str = "", step: int = 0, tensorboard: bool = True
    ) -> None:
        self.folder, self.title = folder, title
        self.curves: dict[str, list[list[float]]] = {}
        self.validations: list[dict[str, Any]] = []
        for name in ("log.json", "index.html"):
            check_output(folder / name)
        self._read(step)
        self._board = _open_board(folder / "tensorboard", step) if tensorboard else None
        self._written = time.monotonic()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log values; "train/x" and "validation/x" share a chart on the page."""
        for name, value in values.items():
            curve = self.curves.setdefault(name, [])
            curve.append([step, float(value)])
            if len(curve) > CURVE_POINTS:
                self.curves[name] = downsample_curve(curve, CURVE_POINTS // 2)
            if self._board is not None:
                self._board.add_scalar(name, value, step)
        if time.monotonic() - self._written > WRITE_SECONDS:
            self.write()

    def images(self, step: int, columns: Mapping[str, Image], *, title: str = "") -> None:
        """Log images side by side, one column a name.

        Args:
            columns: RGB (3, H, W), or (N, 3, H, W) for N rows (`ROWS` at most), uint8 or
                floating-point in 0 to 1; (1, H, W) and (N, 1, H, W) are grey.
        """
        validation = self._validation(step)
        number = len(validation["tables"])
        all_rows = [_rows(name, value) for name, value in columns.items()]
        table = [[""] * len(columns) for _ in range(max(map(len, all_rows), default=0))]
        for column, rows in enumerate(all_rows):
            for row, image in enumerate(rows):
                path = f"images/{step:08d}_{number}_{row}_{column}.jpg"
                _write_image(self.folder / path, image)
                table[row][column] = path
        validation["tables"].append({"title": title, "columns": list(columns), "rows": table})

    def video(self, step: int, name: str) -> Path:
        """Log a video, and return the path to write it to."""
        path = f"videos/{step:08d}_{name}.mp4"
        self._validation(step)["videos"].append({"name": name, "path": path})
        return self.folder / path

    def write(self) -> None:
        """Write the page and its content."""
        self._written = time.monotonic()
        state = {"title": self.title, "curves": self.curves, "validations": self.validations}
        write_json(self.folder / "log.json", state, indent=None)
        charts = [html_report.line_chart(*chart) for chart in _charts(self.curves).items()]
        content = html_report.tags.div(charts), *map(_section, reversed(self.validations))
        html_report.write_page(self.folder / "index.html", self.title, *content)
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        """Write everything for the last time."""
        self.write()
        if self._board is not None:
            self._board.close()

    def _validation(self, step: int) -> dict[str, Any]:
        if not self.validations or self.validations[-1]["step"] != step:
            self.validations.append({"step": step, "tables": [], "videos": []})
            while len(self.validations) > KEPT_VALIDATIONS:
                self._delete(self.validations.pop(1))
        return self.validations[-1]

    def _delete(self, validation: dict[str, Any]) -> None:
        rows = chain(*(table["rows"] for table in validation["tables"]))
        videos = (video["path"] for video in validation["videos"])
        for path in filter(None, chain(*rows, videos)):
            (self.folder / path).unlink(missing_ok=True)

    def _read(self, step: int) -> None:
        """Continue the log of the run that resumes, up to its step."""
        path = self.folder / "log.json"
        if not step or not path.is_file():
            return
        try:
            if path.stat().st_size > MAX_LOG_BYTES:
                raise DataError(f"over {MAX_LOG_BYTES >> 20} MB")
            state = read_json(path, what="a training log")
            curves, validations = dict(state["curves"]), list(state["validations"])
            self.curves = {str(name): _curve(points, step) for name, points in curves.items()}
            checked = map(_checked_validation, validations)
            self.validations = [one for one in checked if one["step"] <= step]
        except (DataError, OSError, ValueError, KeyError, TypeError, OverflowError):
            self.curves, self.validations = {}, []
            kept = path.with_name("log.unreadable.json")
            with write_errors(kept):
                os.replace(path, kept)
            note(f"{path}: not readable; its curves begin anew, the old file is {kept.name}")


def _curve(points: Any, last_step: int) -> list[list[float]]:
    """Return the (step, value) points of an untrusted list up to a step; others are dropped.

    A value that is null was not finite.
    """
    curve: list[list[float]] = []
    for step, value in points:
        if type(step) is not int or not 0 <= step <= LAST_STEP:
            raise ValueError(step)
        if step <= last_step and (not curve or step >= curve[-1][0]):
            curve.append([step, math.nan if value is None else float(value)])
    return curve


def _checked_validation(validation: Any) -> dict[str, Any]:
    """Return an untrusted validation as `TrainingLog` writes it; raises for any other."""
    step = validation["step"]
    if type(step) is not int or not 0 <= step <= LAST_STEP:
        raise ValueError(step)
    tables, videos = list(validation["tables"]), list(validation["videos"])
    paths = [path for table in tables for row in table["rows"] for path in row if path != ""]
    paths += [video["path"] for video in videos]
    if not all(map(_LOGGED_FILE.fullmatch, paths)):
        raise ValueError(paths)
    texts = [text for table in tables for text in (table["title"], *table["columns"])]
    if not all(isinstance(text, str) for text in (*texts, *(video["name"] for video in videos))):
        raise ValueError(texts)
    return {"step": step, "tables": tables, "videos": videos}


def downsample_curve(curve: Sequence[Sequence[float]], count: int) -> list[list[float]]:
    """Return at most `count` (step, value) points: means over even spans, and the last point."""
    if len(curve) <= count:
        return [list(point) for point in curve]
    points_N2 = np.array(curve[:-1], float)
    first, last = points_N2[[0, -1], 0]
    bin_N = ((points_N2[:, 0] - first) / (last - first + 1) * (count - 1)).astype(int)
    number = np.bincount(bin_N)
    filled = number > 0
    steps, values = (np.bincount(bin_N, points_N2[:, k])[filled] / number[filled] for k in (0, 1))
    means = zip(steps.round().tolist(), values.tolist(), strict=True)
    return [[int(step), value] for step, value in means] + [list(curve[-1])]


def _charts(curves: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, dict[str, np.ndarray]]:
    """Return {"train" or "validation": points (N, 2)} for each chart by name."""
    charts: dict[str, dict[str, np.ndarray]] = {}
    for name, every in curves.items():
        kind, _, metric = name.partition("/")
        points = [point for point in every if math.isfinite(point[1])]
        if points:
            line_N2 = np.array(downsample_curve(points, CHART_POINTS), float)
            charts.setdefault(metric or kind, {})[kind] = line_N2
    return charts


def _section(validation: Mapping[str, Any]) -> html_report.Tag:
    section = html_report.section(f"after step {validation['step']}")
    for table in validation["tables"]:
        if table["title"]:
            section.add(html_report.tags.h3(table["title"]))
        rows = [
            [html_report.image(path, path) if path else "" for path in row] for row in table["rows"]
        ]
        section.add(html_report.table(rows, table["columns"]))
    for video in validation["videos"]:
        media = html_report.video(video["path"], loop=True)
        section.add(html_report.figure(media, video["name"]))
    return section


def _open_board(folder: Path, step: int) -> Any:
    """Return TensorBoard's writer, or None with a message where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("tensorboard is not installed: the curves are in index.html alone", file=sys.stderr)
        return None
    with write_errors(folder):
        return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


def _rows(name: str, images: Image) -> np.ndarray:
    """Return images (N, H, W, C) uint8; raises `DataError` for another form."""
    if isinstance(images, Tensor):
        images = images.detach().cpu()
        images = (images.float() if images.is_floating_point() else images).numpy()
    rows = images[None] if images.ndim == 3 else images
    if rows.ndim != 4 or rows.shape[1] not in (1, 3):
        raise DataError(f"image {name}: {images.shape}; (3, H, W) or (N, 3, H, W) is needed")
    rows = rows[:ROWS].transpose(0, 2, 3, 1)
    if rows.dtype == np.uint8:
        return rows
    return (np.nan_to_num(rows).clip(0, 1) * 255).round().astype(np.uint8)


def _write_image(path: Path, image_HWC: np.ndarray) -> None:
    height, width = image_HWC.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image_HWC = cv2.resize(image_HWC, size, interpolation=cv2.INTER_AREA)
    if image_HWC.shape[2:] == (3,):
        image_HWC = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", image_HWC, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    with atomic_write(path) as partial:
        partial.write_bytes(jpeg.tobytes())
