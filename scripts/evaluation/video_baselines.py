"""What pose to video must beat: the training frame of the nearest pose, and their mean."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from evaluation.tables import Metrics, mean
from speech2video.data.pose2video.clip import PoseVideo
from speech2video.data.pose2video.frame_cache import FrameCache
from speech2video.models.pose2video.renderer import Pose2VideoRenderer
from speech2video.util.body.skeleton import (
    IBUG68,
    LEFT_HAND_JOINTS,
    LEFT_TIPS,
    RIGHT_HAND_JOINTS,
    RIGHT_TIPS,
    indices,
)
from speech2video.util.metrics import image as metrics
from speech2video.util.timing import FPS

MOST_AVERAGED = 2000  # frames, spread evenly over all
COMPARED = 256  # poses compared with all training poses at once
PARTS = {  # points, and what their mean squared distance counts
    "body": (
        [i for side in ("left", "right") for i in indices((f"{side}_shoulder", f"{side}_elbow"))],
        1.0,
    ),
    "face": (list(IBUG68), 4.0),  # most of what is sharp in a picture of a speaker
    "left_hand": (indices(("left_wrist", *LEFT_HAND_JOINTS, *LEFT_TIPS)), 0.2),
    "right_hand": (indices(("right_wrist", *RIGHT_HAND_JOINTS, *RIGHT_TIPS)), 0.2),
}
SHOULDERS = indices(("left_shoulder", "right_shoulder"))


class Baselines:
    """Frames of the training videos in the place of painted ones.

    Args:
        train: the training videos.
        store: of their frames.
    """

    def __init__(self, train: Sequence[PoseVideo], store: FrameCache) -> None:
        self._train, self._store = train, store
        self._places = [(i, t) for i, video in enumerate(train) for t in range(len(video))]
        width = [
            np.linalg.norm(np.diff(video.points_TK2[:, SHOULDERS], axis=1), axis=2).ravel()
            for video in train
        ]
        self._shoulder_width = float(np.nanmedian(np.concatenate(width)))
        self._poses_ND = np.concatenate([self._posture(video) for video in train])

    def mean_frame(self) -> np.ndarray:
        """Return the mean (3, H, W) uint8 of the training frames, of `MOST_AVERAGED` at most."""
        step = -(-len(self._places) // MOST_AVERAGED)
        chosen = self._places[::step]
        total_HW3 = sum(self._frame(place).astype(np.int64) for place in chosen)
        return np.round(total_HW3 / len(chosen)).astype(np.uint8).transpose(2, 0, 1)

    def nearest(self, video: PoseVideo) -> np.ndarray:
        """Return for each frame of a video the number (T,) of the training frame nearest in pose.

        Poses are points where they are in the picture, in shoulder widths: `PARTS` says which, and
        what each part's mean squared distance counts. A point outside counts as on the border, for
        how far outside nobody sees.
        """
        poses_TD = self._posture(video)
        squares_N = np.square(self._poses_ND).sum(1)
        return np.concatenate(
            [
                (squares_N - 2 * poses_TD[i : i + COMPARED] @ self._poses_ND.T).argmin(1)
                for i in range(0, len(poses_TD), COMPARED)
            ]
        )

    def fill_with_nearest(self, frames_T3HW: np.ndarray, video: PoseVideo) -> None:
        """Write the training frames nearest to a video's poses into (T, 3, H, W) uint8."""
        nearest_T = self.nearest(video)
        for number in np.unique(nearest_T):  # in the files' own order: each is decoded once
            frames_T3HW[nearest_T == number] = self._frame(self._places[number]).transpose(2, 0, 1)

    def _frame(self, place: tuple[int, int]) -> np.ndarray:
        return self._store.frames(place[0], [place[1]])[0]

    def _posture(self, video: PoseVideo) -> np.ndarray:
        """Return weighed points (T, D), whose squared distance is that of the poses."""
        size = np.array((video.framing.width, video.framing.height), np.float32)
        points_TK2 = np.nan_to_num(video.points_TK2.clip(0, size)) / self._shoulder_width
        parts = [
            points_TK2[:, which].reshape(len(points_TK2), -1) * np.sqrt(weight / len(which))
            for which, weight in PARTS.values()
        ]
        return np.concatenate(parts, 1).astype(np.float64)


# Whether a long video ends as it began: a loop of held-out poses, painted for minutes.

MINUTE = 60 * FPS  # frames
EVERY = 5  # frames; one of so many is measured
STATM = Path("/proc/self/statm")  # Linux: pages of memory, those in use second


def drift(
    painter: Pose2VideoRenderer, video: PoseVideo, *, minutes: float, limit_bytes: int
) -> Metrics:
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
                store = FrameCache([video], limit_bytes=limit_bytes)
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


def _painted(
    painter: Pose2VideoRenderer, video: PoseVideo, count: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (number of the clip's frame, painted frame), one at a time."""
    size = video.framing.width, video.framing.height
    points = (video.points_TK2[number] for number in back_and_forth(count, len(video)))
    painted = painter.render(painter.draw_maps(points, size=size))
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
