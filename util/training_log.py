"""What training leaves to look at: TensorBoard's curves, and one page with curves and pictures.

FOLDER/index.html      curves, and a table of pictures and videos for each validation
FOLDER/log.json        what the page is made of; a resumed run goes on with it
FOLDER/pictures/ videos/ tensorboard/
"""

import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from speech2video.util.errors import DataError
from speech2video.util.files import replacing, writing
from speech2video.util.training_page import render_page, thinned

CURVE_POINTS = 1000  # of one curve; beyond, neighbours are averaged
SHOWS = 12  # validations whose pictures are kept: the first and the latest
ROWS = 8  # of one table of pictures
LONGEST_SIDE = 512  # pixels, of a picture
JPEG_QUALITY = 88
WRITE_SECONDS = 60.0  # between two writings of the page that nobody asked for

Picture = np.ndarray | Tensor


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
                self.curves[name] = thinned(curve, CURVE_POINTS // 2)
            if self._board is not None:
                self._board.add_scalar(name, value, step)
        if time.monotonic() - self._written > WRITE_SECONDS:
            self.write()

    def pictures(self, step: int, columns: Mapping[str, Picture], *, title: str = "") -> None:
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
            with replacing(kept) as partial:
                shutil.copyfile(path, partial)
        self._show(step)["videos"].append({"name": name, "path": f"videos/{kept.name}"})

    def write(self) -> None:
        """Write the page and what it is made of."""
        self._written = time.monotonic()
        state = {"title": self.title, "curves": self.curves, "shows": self.shows}
        with replacing(self.folder / "log.json") as partial:
            partial.write_text(json.dumps(state) + "\n", encoding="utf-8")
        with replacing(self.folder / "index.html") as partial:
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
    with writing(folder):
        return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


def _rows(name: str, pictures: Picture) -> np.ndarray:
    """Return pictures (N, H, W, C) uint8; raises `DataError` for another form."""
    if isinstance(pictures, Tensor):
        pictures = pictures.detach().cpu()
        pictures = (pictures.float() if pictures.is_floating_point() else pictures).numpy()
    rows = pictures[None] if pictures.ndim == 3 else pictures
    if rows.ndim != 4 or rows.shape[1] not in (1, 3):
        raise DataError(f"picture {name}: {pictures.shape}; (3, H, W) or (N, 3, H, W) is needed")
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
    with replacing(path) as partial:
        partial.write_bytes(jpeg.tobytes())
