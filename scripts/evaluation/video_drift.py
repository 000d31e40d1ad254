"""Whether a long video ends as it began: a loop of held-out poses, painted for minutes."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evaluation.page import Figures
from evaluation.video_table import mean
from speech2video.data.frame_store import FrameStore
from speech2video.data.motion import FPS
from speech2video.data.pose_video import PoseVideo
from speech2video.models.pose2video import Pose2Video
from speech2video.util.metrics import image as metrics

MINUTE = 60 * FPS  # frames
EVERY = 5  # frames; one of so many is measured
STATM = Path("/proc/self/statm")  # Linux: pages of memory, those in use second


def drift(painter: Pose2Video, video: PoseVideo, *, minutes: float, limit_bytes: int) -> Figures:
    """Return figures of each minute of a video painted from a clip's poses, and last over first.

    The poses go forwards, then backwards, and again: a loop without a jump. Each frame is compared
    with the real one of the same pose. Sharpness is a share of the real frame's. Memory is the most
    that was in use in that minute, MB, None where the system does not say. Of less than two minutes
    the halves are taken in place of minutes.
    """
    count = max(2, round(minutes * MINUTE))
    window = min(MINUTE, count // 2)
    rows: list[list[tuple[float, ...]]] = [[] for _ in range(count // window)]
    for t, (number, frame) in enumerate(_painted(painter, video, count)):
        if t % EVERY == 0 or window < MINUTE:
            if t == 0:
                store = FrameStore([video], limit_bytes=limit_bytes)
            real = store.frames(0, [number]).transpose(0, 3, 1, 2)
            rows[min(t // window, len(rows) - 1)].append(_measured(frame[None], real))
    names = ("psnr_db", "ssim", "sharpness", "memory_mb")
    table = {}
    for number, row in enumerate(rows):
        columns = np.array(row, float).T
        values = [mean(column) for column in columns[:3]]
        peak = float(columns[3].max())
        values.append(peak if np.isfinite(peak) else None)
        table[f"from {number * window / FPS:g} s"] = dict(zip(names, values, strict=True))
    first, *_, last = table.values()
    table["last over first"] = {
        name: last[name] / first[name] if first[name] and last[name] is not None else None
        for name in names
    }
    return {"minutes": count / MINUTE, "loop": video.name, "by_time": table}


def back_and_forth(count: int, frames: int) -> Iterator[int]:
    """Yield `count` frame numbers: 0 to `frames` − 1, back again without repeating an end, on."""
    period = max(2 * (frames - 1), 1)
    for t in range(count):
        yield min(t % period, period - t % period)


def _painted(painter: Pose2Video, video: PoseVideo, count: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (number of the clip's frame, painted frame), one at a time."""
    size = video.framing.width, video.framing.height
    points = (video.points_TK2[number] for number in back_and_forth(count, len(video)))
    painted = painter.frames(painter.maps(points, size=size))
    yield from zip(back_and_forth(count, len(video)), painted, strict=True)


def _measured(frame_13HW: np.ndarray, real_13HW: np.ndarray) -> tuple[float, ...]:
    sharpness = metrics.sharpness(frame_13HW)[0] / max(metrics.sharpness(real_13HW)[0], 1e-9)
    similar = metrics.psnr(frame_13HW, real_13HW)[0], metrics.ssim(frame_13HW, real_13HW)[0]
    return (*similar, sharpness, _memory_mb())


def _memory_mb() -> float:
    """Return the memory in use now, MB; NaN where it is not known."""
    if not STATM.is_file():
        return float("nan")
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
