"""Baselines of pose2video, and the drift of long videos."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from evaluation.tables import Metrics
from evaluation.video_metrics import SHOULDERS
from speech2video.data.pose2video.clip import PoseVideo
from speech2video.data.pose2video.frames import FrameCache
from speech2video.models.pose2video.renderer import Pose2VideoRenderer
from speech2video.util.body.skeleton import REGION_POINTS, indices
from speech2video.util.metrics.image import psnr, sharpness, ssim
from speech2video.util.metrics.statistics import finite_mean
from speech2video.util.timing import FPS

CACHE = 1 << 29  # bytes of decoded frames
MAX_AVERAGED = 2000  # frames of the mean frame, evenly spaced
BATCH = 256  # poses compared with all training poses at once
POSE_PARTS = (  # points, and the weight of their mean squared distance
    (indices(("left_shoulder", "left_elbow", "right_shoulder", "right_elbow")), 1.0),
    (REGION_POINTS["head"], 4.0),  # contains most of the detail of an image
    (REGION_POINTS["left_hand"], 0.2),
    (REGION_POINTS["right_hand"], 0.2),
)

MINUTE = 60 * FPS  # frames
DRIFT_STEP = 5  # every fifth frame is measured
STATM = Path("/proc/self/statm")  # Linux: memory in pages, the second number is in use


class Baselines:
    """The mean training frame, and the training frames of nearest pose.

    Args:
        train: training videos.
        cache: of their frames.
    """

    def __init__(self, train: Sequence[PoseVideo], cache: FrameCache) -> None:
        self._cache = cache
        self._frames = [(i, t) for i, video in enumerate(train) for t in range(len(video))]
        points_NK2 = np.concatenate([video.points_TK2 for video in train])
        shoulders_N12 = np.diff(points_NK2[:, SHOULDERS], axis=1)
        self._shoulder_width = float(np.nanmedian(np.linalg.norm(shoulders_N12, axis=2)))
        self._poses_ND = np.concatenate([self._pose_features(video) for video in train])

    def mean_frame(self) -> np.ndarray:
        """Return the mean (3, H, W) uint8 of up to `MAX_AVERAGED` training frames."""
        chosen = self._frames[:: -(-len(self._frames) // MAX_AVERAGED)]
        total_HW3 = sum(self._frame(number).astype(np.int64) for number in chosen)
        return np.round(total_HW3 / len(chosen)).astype(np.uint8).transpose(2, 0, 1)

    def nearest(self, video: PoseVideo) -> np.ndarray:
        """Return the number (T,) of the training frame nearest in pose to each frame of a video.

        Distances are between points in the image, in shoulder widths, weighted by `POSE_PARTS`.
        Points outside the image are moved to its border.
        """
        poses_TD, squares_N = self._pose_features(video), np.square(self._poses_ND).sum(1)
        batches = (poses_TD[i : i + BATCH] for i in range(0, len(poses_TD), BATCH))
        found = [(squares_N - 2 * batch_BD @ self._poses_ND.T).argmin(1) for batch_BD in batches]
        return np.concatenate(found)

    def write_nearest(self, frames_T3HW: np.ndarray, video: PoseVideo) -> None:
        """Write the training frames nearest to a video's poses into (T, 3, H, W) uint8."""
        nearest_T = self.nearest(video)
        for number in np.unique(nearest_T):  # in file order, so that each is decoded once
            frames_T3HW[nearest_T == number] = self._frame(self._frames[number]).transpose(2, 0, 1)

    def _frame(self, number: tuple[int, int]) -> np.ndarray:
        return self._cache.frames(number[0], [number[1]])[0]

    def _pose_features(self, video: PoseVideo) -> np.ndarray:
        """Return weighted points (T, D), whose squared distance is that of the poses."""
        size = np.array((video.framing.width, video.framing.height), np.float32)
        points_TK2 = np.nan_to_num(video.points_TK2.clip(0, size)) / self._shoulder_width
        parts = [
            points_TK2[:, chosen].reshape(len(points_TK2), -1) * np.sqrt(weight / len(chosen))
            for chosen, weight in POSE_PARTS
        ]
        return np.concatenate(parts, 1).astype(np.float64)


def real_frames(video: PoseVideo) -> Iterator[np.ndarray]:
    """Yield the frames (3, H, W) of a recording in the renderer's framing."""
    cache = FrameCache([video], limit_bytes=CACHE)
    for t in range(len(video)):
        yield cache.frames(0, [t])[0].transpose(2, 0, 1)


def measure_drift(renderer: Pose2VideoRenderer, video: PoseVideo, *, minutes: float) -> Metrics:
    """Generate a long video and return its metrics by minute, and the last minute over the first.

    A clip's poses are repeated forwards and backwards. Frames are compared with the real ones of
    the same pose; sharpness is relative to them. Memory is the peak in MB, NaN where the system
    does not report it. Videos under two minutes are split into halves instead.
    """
    count = max(2, round(minutes * MINUTE))
    window = min(MINUTE, count // 2)
    rows: list[list[tuple[float, ...]]] = [[] for _ in range(count // window)]
    size = video.framing.width, video.framing.height
    numbers = list(back_and_forth(count, len(video)))
    generated = renderer.render(renderer.draw_maps(video.points_TK2[numbers], size=size))
    cache = FrameCache([video], limit_bytes=CACHE)
    for t, (number, frame) in enumerate(zip(numbers, generated, strict=True)):
        if t % DRIFT_STEP == 0 or window < MINUTE:
            real = cache.frames(0, [number]).transpose(0, 3, 1, 2)
            relative = sharpness(frame[None])[0] / max(sharpness(real)[0], 1e-9)
            values = psnr(frame[None], real)[0], ssim(frame[None], real)[0], relative, _memory_mb()
            rows[min(t // window, len(rows) - 1)].append(values)
    names = ("psnr", "ssim", "sharpness", "memory_mb")
    table = {}
    for number, row in enumerate(rows):
        columns = np.array(row, float).T
        values = [*map(finite_mean, columns[:3]), float(columns[3].max())]
        table[f"from {number * window / FPS:g} s"] = dict(zip(names, values, strict=True))
    first, *_, last = table.values()
    table["last over first"] = {
        name: last[name] / first[name] if first[name] else float("nan") for name in names
    }
    return {"minutes": count / MINUTE, "loop": video.name, "by_time": table}


def back_and_forth(count: int, frames: int) -> Iterator[int]:
    """Yield `count` frame numbers that go from 0 to `frames` − 1, back, and so on."""
    period = max(2 * (frames - 1), 1)
    for t in range(count):
        yield min(t % period, period - t % period)


def _memory_mb() -> float:
    """Return the memory in use in MB, NaN if unknown."""
    if not STATM.is_file():
        return float("nan")
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
