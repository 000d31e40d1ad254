"""Baselines of pose2video, and the drift of long videos."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from evaluation.tables import Metrics
from speech2video.data.pose2video.clip import PoseVideo
from speech2video.data.pose2video.frames import FrameCache
from speech2video.models.pose2video.renderer import Pose2VideoRenderer
from speech2video.util.body.skeleton import (
    IBUG68,
    LEFT_HAND_JOINTS,
    LEFT_TIPS,
    RIGHT_HAND_JOINTS,
    RIGHT_TIPS,
    indices,
)
from speech2video.util.metrics.image import psnr, sharpness, ssim
from speech2video.util.metrics.statistics import finite_mean
from speech2video.util.timing import FPS

MAX_AVERAGED = 2000  # frames of the mean frame, evenly spaced
BATCH = 256  # poses compared with all training poses at once
POSE_PARTS = {  # points, and the weight of their mean squared distance
    "body": (
        [i for side in ("left", "right") for i in indices((f"{side}_shoulder", f"{side}_elbow"))],
        1.0,
    ),
    "face": (list(IBUG68), 4.0),  # contains most of the detail of an image
    "left_hand": (indices(("left_wrist", *LEFT_HAND_JOINTS, *LEFT_TIPS)), 0.2),
    "right_hand": (indices(("right_wrist", *RIGHT_HAND_JOINTS, *RIGHT_TIPS)), 0.2),
}
SHOULDERS = indices(("left_shoulder", "right_shoulder"))

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
        width = [
            np.linalg.norm(np.diff(video.points_TK2[:, SHOULDERS], axis=1), axis=2).ravel()
            for video in train
        ]
        self._shoulder_width = float(np.nanmedian(np.concatenate(width)))
        self._poses_ND = np.concatenate([self._pose_features(video) for video in train])

    def mean_frame(self) -> np.ndarray:
        """Return the mean (3, H, W) uint8 of up to `MAX_AVERAGED` training frames."""
        step = -(-len(self._frames) // MAX_AVERAGED)
        chosen = self._frames[::step]
        total_HW3 = sum(self._frame(number).astype(np.int64) for number in chosen)
        return np.round(total_HW3 / len(chosen)).astype(np.uint8).transpose(2, 0, 1)

    def nearest(self, video: PoseVideo) -> np.ndarray:
        """Return the number (T,) of the training frame nearest in pose to each frame of a video.

        Distances are between points in the image, in shoulder widths, weighted by `POSE_PARTS`.
        Points outside the image are moved to its border.
        """
        poses_TD = self._pose_features(video)
        squares_N = np.square(self._poses_ND).sum(1)
        return np.concatenate(
            [
                (squares_N - 2 * poses_TD[i : i + BATCH] @ self._poses_ND.T).argmin(1)
                for i in range(0, len(poses_TD), BATCH)
            ]
        )

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
            for chosen, weight in POSE_PARTS.values()
        ]
        return np.concatenate(parts, 1).astype(np.float64)


def measure_drift(
    renderer: Pose2VideoRenderer, video: PoseVideo, *, minutes: float, limit_bytes: int
) -> Metrics:
    """Generate a long video and return its metrics by minute, and the last minute over the first.

    A clip's poses are repeated forwards and backwards. Frames are compared with the real ones of
    the same pose; sharpness is relative to them. Memory is the peak in MB, NaN where the system
    does not report it. Videos under two minutes are split into halves instead.
    """
    count = max(2, round(minutes * MINUTE))
    window = min(MINUTE, count // 2)
    rows: list[list[tuple[float, ...]]] = [[] for _ in range(count // window)]
    size = video.framing.width, video.framing.height
    points = (video.points_TK2[number] for number in back_and_forth(count, len(video)))
    generated = renderer.render(renderer.draw_maps(points, size=size))
    cache = FrameCache([video], limit_bytes=limit_bytes)
    numbers = back_and_forth(count, len(video))
    for t, (number, frame) in enumerate(zip(numbers, generated, strict=True)):
        if t % DRIFT_STEP == 0 or window < MINUTE:
            real = cache.frames(0, [number]).transpose(0, 3, 1, 2)
            rows[min(t // window, len(rows) - 1)].append(_frame_metrics(frame[None], real))
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


def _frame_metrics(frame_13HW: np.ndarray, real_13HW: np.ndarray) -> tuple[float, ...]:
    relative = sharpness(frame_13HW)[0] / max(sharpness(real_13HW)[0], 1e-9)
    return psnr(frame_13HW, real_13HW)[0], ssim(frame_13HW, real_13HW)[0], relative, _memory_mb()


def _memory_mb() -> float:
    """Return the memory in use in MB, NaN if unknown."""
    if not STATM.is_file():
        return float("nan")
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
