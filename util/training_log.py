"""What training leaves to look at: TensorBoard's curves, and one page with curves and pictures.

FOLDER/index.html      curves, and a table of pictures and videos for each validation
FOLDER/log.json        what the page is made of; a resumed run goes on with it
FOLDER/pictures/ videos/ tensorboard/
"""

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from dominate import document, svg, tags
from dominate.util import raw
from torch import Tensor

from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write, write_errors

# The page of a training run: plots of its curves, tables of its pictures and videos.

PLOT_WIDTH, PLOT_HEIGHT = 420, 150  # pixels
PLOT_POINTS = 140  # of one line at most
SHOWN_PERCENTILES = (0.5, 99.5)  # of a plot's values; what lies beyond is cut off at its edge
LOGARITHMIC_RATIO = 50.0  # of the largest value to the smallest, from which a plot is logarithmic

_STYLE = """
body { font: 14px/1.4 sans-serif; max-width: 1360px; margin: 1.5em auto; padding: 0 1em; }
.plots { display: flex; flex-wrap: wrap; gap: 1em; }
figure { margin: 0; width: 430px; } figcaption { font-weight: bold; }
svg { width: 100%; background: #fafafa; font-size: 11px; }
polyline { fill: none; stroke-width: 1.3; stroke-linecap: round; }
.train { stroke: #37a; } .validation { stroke: #d50; } .frame { fill: none; stroke: #ccc; }
b.train { color: #37a; } b.validation { color: #d50; }
td, th { padding: 2px; text-align: left; font-weight: normal; }
td img, video { max-width: 320px; display: block; }
"""

Curves = Mapping[str, Sequence[Sequence[float]]]


def render_page(title: str, curves: Curves, shows: Sequence[Mapping[str, Any]]) -> str:
    """Return the page as html.

    Args:
        curves: (step, value) pairs by name; "train/x" and "validation/x" share a plot.
        shows: per validation, in order: "step"; "tables" of "title", "columns" and "rows" of paths;
            "videos" of "name" and "path".
    """
    page = document(title=title)
    page.head.add(tags.meta(charset="utf-8"), tags.style(raw(_STYLE)))
    page.body.add(tags.h1(title), tags.div([_plot(*plot) for plot in _plots(curves)], cls="plots"))
    page.body.add(_show(show) for show in reversed(shows))
    return page.render()


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


def _plots(curves: Curves) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Return (name, {"train" or "validation": points (N, 2)}) for each plot."""
    plots: dict[str, dict[str, np.ndarray]] = {}
    for name, points in curves.items():
        kind, _, figure = name.partition("/")
        if points:
            plots.setdefault(figure or kind, {})[kind] = np.array(
                downsample_curve(points, PLOT_POINTS), float
            )
    return list(plots.items())


def _plot(name: str, lines: dict[str, np.ndarray]) -> tags.figure:
    points_N2 = np.concatenate(list(lines.values()))
    steps = points_N2[:, 0].min(), points_N2[:, 0].max()
    low, high = np.percentile(points_N2[:, 1], SHOWN_PERCENTILES)
    scale = np.log if low > 0 and high / low > LOGARITHMIC_RATIO else np.asarray
    plot = svg.svg(viewBox=f"0 -14 {PLOT_WIDTH} {PLOT_HEIGHT + 30}", role="img")
    with plot:
        svg.rect(x=0, y=0, width=PLOT_WIDTH, height=PLOT_HEIGHT, cls="frame")
        for kind, line in lines.items():
            x = _scaled(line[:, 0], *steps) * PLOT_WIDTH
            shown = scale(line[:, 1].clip(low, high))
            y = (1 - _scaled(shown, scale(low), scale(high))) * PLOT_HEIGHT
            places = list(map("{:.1f},{:.1f}".format, x, y))
            svg.polyline(points=" ".join(places + places[-1:]), cls=kind)  # one point is a dot
        svg.text(f"{high:.4g}" + (" (logarithmic)" if scale is np.log else ""), x=2, y=-3)
        svg.text(f"{low:.4g}", x=2, y=PLOT_HEIGHT + 12)
        svg.text(f"step {steps[1]:.0f}", x=PLOT_WIDTH - 2, y=PLOT_HEIGHT + 12, text_anchor="end")
    last = [tags.b(f" {line[-1, 1]:.4g}", cls=kind, title=kind) for kind, line in lines.items()]
    return tags.figure(tags.figcaption(name, *last), plot)


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return values as shares of a range, cut off at its ends."""
    return ((values - low) / (high - low)).clip(0, 1) if high > low else np.full(len(values), 0.5)


def _show(show: Mapping[str, Any]) -> tags.section:
    section = tags.section(tags.h2(f"after step {show['step']}"))
    for table in show["tables"]:
        if table["title"]:
            section.add(tags.h3(table["title"]))
        head = tags.tr(tags.th(column) for column in table["columns"])
        section.add(tags.table(tags.thead(head), tags.tbody(_row(row) for row in table["rows"])))
    section.add(
        tags.figure(
            tags.figcaption(video["name"]),
            tags.video(src=video["path"], controls=True, loop=True, preload="metadata"),
        )
        for video in show["videos"]
    )
    return section


def _row(paths: Sequence[str]) -> tags.tr:
    return tags.tr(tags.td(tags.img(src=path, loading="lazy") if path else "") for path in paths)


CURVE_POINTS = 1000  # of one curve; beyond, neighbours are averaged
SHOWS = 12  # validations whose pictures are kept: the first and the latest
ROWS = 8  # of one table of pictures
LONGEST_SIDE = 512  # pixels, of a picture
JPEG_QUALITY = 88
WRITE_SECONDS = 60.0  # between two writings of the page that nobody asked for

Image = np.ndarray | Tensor


class TrainingLog:
    """The log of one run; made on the main process only.

    Args:
        folder: the run's.
        title: the page's.
        step: where the run begins or goes on; what was logged after it is forgotten.
        tensorboard: whether to write its curves too.
    """

    def __init__(
        self, folder: Path, *, title: str = "", step: int = 0, tensorboard: bool = True
    ) -> None:
        self.folder, self.title = folder, title
        self.curves: dict[str, list[list[float]]] = {}
        self.shows: list[dict[str, Any]] = []
        self._read(step)
        self._board = _open_board(folder / "tensorboard", step) if tensorboard else None
        self._written = time.monotonic()

    def scalars(self, step: int, figures: Mapping[str, float]) -> None:
        """Log figures; "train/x" and "validation/x" share a plot on the page."""
        for name, value in figures.items():
            curve = self.curves.setdefault(name, [])
            curve.append([step, float(value)])
            if len(curve) > CURVE_POINTS:
                self.curves[name] = downsample_curve(curve, CURVE_POINTS // 2)
            if self._board is not None:
                self._board.add_scalar(name, value, step)
        if time.monotonic() - self._written > WRITE_SECONDS:
            self.write()

    def images(self, step: int, columns: Mapping[str, Image], *, title: str = "") -> None:
        """Show pictures side by side, one column a name.

        Args:
            columns: RGB (3, H, W), or (N, 3, H, W) for N rows (`ROWS` at most), uint8 or
                floating-point in 0 to 1; (1, H, W) and (N, 1, H, W) are grey.
        """
        show = self._show(step)
        number = len(show["tables"])
        rows_of = {name: _rows(name, value) for name, value in columns.items()}
        count = max((len(rows) for rows in rows_of.values()), default=0)
        table: list[list[str]] = [[""] * len(columns) for _ in range(count)]
        for column, rows in enumerate(rows_of.values()):
            for row, picture in enumerate(rows):
                path = f"pictures/{step:08d}_{number}_{row}_{column}.jpg"
                _write_picture(self.folder / path, picture)
                table[row][column] = path
        show["tables"].append({"title": title, "columns": list(columns), "rows": table})

    def video_path(self, step: int, name: str) -> Path:
        """Return where to write a video that `video` is to show, so that it need not be copied."""
        return self.folder / "videos" / f"{step:08d}_{name}.mp4"

    def video(self, step: int, name: str, path: Path) -> None:
        """Show a video; a file outside the run's folder is copied into it."""
        kept = self.video_path(step, name)
        if path.resolve() != kept.resolve():
            with atomic_write(kept) as partial:
                shutil.copyfile(path, partial)
        self._show(step)["videos"].append({"name": name, "path": f"videos/{kept.name}"})

    def write(self) -> None:
        """Write the page and what it is made of."""
        self._written = time.monotonic()
        state = {"title": self.title, "curves": self.curves, "shows": self.shows}
        with atomic_write(self.folder / "log.json") as partial:
            partial.write_text(json.dumps(state) + "\n", encoding="utf-8")
        with atomic_write(self.folder / "index.html") as partial:
            partial.write_text(render_page(self.title, self.curves, self.shows), encoding="utf-8")
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        """Write all there is for the last time."""
        self.write()
        if self._board is not None:
            self._board.close()

    def _show(self, step: int) -> dict[str, Any]:
        if not self.shows or self.shows[-1]["step"] != step:
            self.shows.append({"step": step, "tables": [], "videos": []})
            while len(self.shows) > SHOWS:
                self._forget(self.shows.pop(1))
        return self.shows[-1]

    def _forget(self, show: dict[str, Any]) -> None:
        paths = [path for table in show["tables"] for row in table["rows"] for path in row if path]
        for path in paths + [video["path"] for video in show["videos"]]:
            (self.folder / path).unlink(missing_ok=True)

    def _read(self, step: int) -> None:
        """Take up the log of the run that goes on, up to the step it goes on from."""
        path = self.folder / "log.json"
        if not step or not path.is_file():
            return
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            curves, shows = dict(state["curves"]), list(state["shows"])
            self.curves = {k: [p for p in curve if p[0] <= step] for k, curve in curves.items()}
            self.shows = [show for show in shows if show["step"] <= step]
        except (ValueError, KeyError, TypeError, IndexError):
            print(f"{path}: not readable; its curves begin anew", file=sys.stderr)


def _open_board(folder: Path, step: int) -> Any:
    """Return TensorBoard's writer, None (and a line) where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("tensorboard is not installed: the curves are in index.html alone", file=sys.stderr)
        return None
    with write_errors(folder):
        return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


def _rows(name: str, images: Image) -> np.ndarray:
    """Return pictures (N, H, W, C) uint8; raises `DataError` for another form."""
    if isinstance(images, Tensor):
        images = images.detach().cpu()
        images = (images.float() if images.is_floating_point() else images).numpy()
    rows = images[None] if images.ndim == 3 else images
    if rows.ndim != 4 or rows.shape[1] not in (1, 3):
        raise DataError(f"picture {name}: {images.shape}; (3, H, W) or (N, 3, H, W) is needed")
    rows = rows[:ROWS].transpose(0, 2, 3, 1)
    if rows.dtype != np.uint8:
        rows = (np.nan_to_num(rows).clip(0, 1) * 255).round().astype(np.uint8)
    return rows


def _write_picture(path: Path, picture_HWC: np.ndarray) -> None:
    height, width = picture_HWC.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        picture_HWC = cv2.resize(picture_HWC, size, interpolation=cv2.INTER_AREA)
    if picture_HWC.ndim == 3 and picture_HWC.shape[2] == 3:
        picture_HWC = cv2.cvtColor(picture_HWC, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", picture_HWC, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    with atomic_write(path) as partial:
        partial.write_bytes(jpeg.tobytes())
