"""Held-out clips painted from no past, as in use: figures, pictures, a video."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from speech2video.data.frame_store import FrameStore
from speech2video.data.pose_video import PoseVideo
from speech2video.models.pose2video import Pose2Video
from speech2video.util.metrics.image import mean_in_boxes, psnr, ssim_map
from speech2video.util.regions import REGIONS, region_boxes, visible
from speech2video.util.training_log import TrainingLog
from speech2video.util.video import write_video

SHOWN = 4  # frames of the page's table
SHOWN_PARTS = ("head", "left_hand", "right_hand")
PART_SIDE = 128  # pixels, of a part on the page
SIDES = (PART_SIDE, PART_SIDE)
CHUNK = 10  # frames compared at once: SSIM takes a hundred times their bytes


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A clip to paint and compare with; the maps are drawn in a style."""

    video: PoseVideo
    style: str
    store: FrameStore
    frames: int

    @classmethod
    def of(cls, video: PoseVideo, *, style: str, frames: int, cache_bytes: int) -> "HeldOut":
        """Return the first frames of a clip, to be painted."""
        store = FrameStore([video], limit_bytes=cache_bytes)
        return cls(video, style, store, min(frames, len(video)))

    def paint(self, painter: Pose2Video) -> "Rollout":
        """Paint it."""
        points_TK2 = self.video.points_TK2[: self.frames]
        size = self.video.framing.width, self.video.framing.height
        maps = np.stack(list(painter.maps(points_TK2, size=size)))
        real = self.store.frames(0, np.arange(self.frames)).transpose(0, 3, 1, 2)
        # frames are smaller while not all scales of a generator have joined
        fake = np.stack([resized(frame, size) for frame in painter.frames(maps)])
        return Rollout(points_TK2, maps, real, fake)


@dataclass(frozen=True, eq=False)
class Rollout:
    """What was asked for, what was, and what was painted: (T, 3, H, W) uint8 each."""

    points_TK2: np.ndarray
    maps: np.ndarray
    real: np.ndarray
    fake: np.ndarray

    def figures(self) -> dict[str, float]:
        """Return PSNR (dB) and SSIM of the whole frame and of its parts, means over frames."""
        height, width = self.real.shape[2:]
        similar_THW = self._similarity()
        found = {"psnr": psnr(self.fake, self.real), "ssim": mean_in_boxes(similar_THW)}
        for region in REGIONS:
            boxes_T4 = region_boxes(self.points_TK2, region)
            seen_T = visible(boxes_T4, width=width, height=height)
            if seen_T.any():
                real, fake, boxes = self.real[seen_T], self.fake[seen_T], boxes_T4[seen_T]
                found[f"{region}_psnr"] = psnr(fake, real, boxes)
                found[f"{region}_ssim"] = mean_in_boxes(similar_THW[seen_T], boxes)
        return {name: float(np.nanmean(values)) for name, values in found.items()}

    def _similarity(self) -> np.ndarray:
        """Return SSIM (T, H, W) about each pixel."""
        starts = range(0, len(self.real), CHUNK)
        parts = (slice(start, start + CHUNK) for start in starts)
        return np.concatenate([ssim_map(self.fake[part], self.real[part]) for part in parts])

    def show(self, page: TrainingLog, step: int) -> None:
        """Put pictures and a video on a training's page."""
        numbers = np.linspace(0, len(self.real) - 1, SHOWN).round().astype(int)
        columns = {"map": self.maps, "painted": self.fake, "real": self.real}
        page.pictures(step, {name: pictures[numbers] for name, pictures in columns.items()})
        page.pictures(step, self._parts(numbers), title="parts, painted and real")
        path = page.video_path(step, "map_painted_real")
        write_video(path, (np.concatenate(row, 2) for row in zip(*columns.values(), strict=True)))
        page.video(step, "map_painted_real", path)

    def _parts(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Return each part, enlarged, painted above real; black where it is out of the picture."""
        return {region: np.stack(list(self._enlarged(region, numbers))) for region in SHOWN_PARTS}

    def _enlarged(self, region: str, numbers: np.ndarray) -> Iterator[np.ndarray]:
        height, width = self.real.shape[2:]
        for t in numbers:
            box_4 = region_boxes(self.points_TK2[t : t + 1], region)[0]
            if not visible(box_4[None], width=width, height=height)[0]:
                yield np.zeros((3, PART_SIDE, 2 * PART_SIDE), np.uint8)
                continue
            cut = inside(box_4, width=width, height=height)
            yield np.concatenate([resized(one[t][cut], SIDES) for one in (self.fake, self.real)], 2)


def inside(box_4: np.ndarray, *, width: int, height: int) -> tuple[slice, slice, slice]:
    """Return where in (3, H, W) the part of a box lies that is in the picture, whole pixels."""
    x0, y0, x1, y1 = np.round(box_4).astype(int)
    return slice(None), slice(max(y0, 0), min(y1, height)), slice(max(x0, 0), min(x1, width))


def resized(picture_3HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a picture (3, H, W) uint8 at another size (width, height)."""
    if picture_3HW.shape[:0:-1] == size:
        return picture_3HW
    shown_HW3 = cv2.resize(picture_3HW.transpose(1, 2, 0), size, interpolation=cv2.INTER_CUBIC)
    return shown_HW3.transpose(2, 0, 1)
