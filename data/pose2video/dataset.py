"""Clips as batches for pose to video: stretches of maps with the frames that belong to them."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from speech2video.data.loader import SampleIndex
from speech2video.data.pose2video.augmentation import (
    ImageAugmentation,
    ImageTransform,
    MapNoise,
    cut_windows,
)
from speech2video.data.pose2video.clip import Framing, PoseVideo
from speech2video.data.pose2video.frame_cache import FrameCache
from speech2video.util.body.skeleton import REGIONS, boxes_visible, region_boxes
from speech2video.util.rendering.skeleton_maps import draw_map
from speech2video.util.video.optical_flow import dis_flow, flow_trust

PAST_MAPS = 2  # maps of the moments before, which a generator's step sees


class Pose2VideoDataset(Dataset):
    """Stretches of clips; what an item holds depends on its `SampleIndex`'s seed and epoch alone.

    An item is a dict of tensors, T frames long: maps (T + 2, 3, H, W) uint8 with those of the two
    moments before, which at a clip's start are the first once more; frames (T, 3, H, W) uint8;
    boxes (T, 5, 4) of `REGIONS`, x0 y0 x1 y1 in pixels, zeros where absent; present (T, 5), 1 where
    the part is in the picture; view (2, 3), the `affine_grid` (corners not aligned) that samples
    the item's pictures out of pictures that were not moved. With `flow` also: flow (T, 2, H, W)
    float16, from each pixel to where the frame before shows it, in pixels right and down;
    flow_trust (T, H, W) uint8, 255 where that is so; both zeros for the first frame.

    A clip shorter than T frames plays back and forth.

    Args:
        length: T in an epoch.
        style: of the maps, one of `util.maps.STYLES`.
        cache_bytes: that decoded frames may take, in each process that loads.
        window: side in pixels of the windows that an epoch's items are cut into, 0 for none; then
            an item is a list, as `data.picture_windows` says, and `collate` makes batches of them.
        item_count: of an epoch; by default as many as bring each frame about once.
    """

    def __init__(
        self,
        videos: Sequence[PoseVideo],
        *,
        length: Callable[[int], int],
        map_style: str = "speech2video",
        augmentation: ImageAugmentation | None = None,
        noise: MapNoise | None = None,
        cache_bytes: int = 2 * 1024**3,
        flow: bool = True,
        item_count: int | None = None,
        window: Callable[[int], int] = lambda epoch: 0,
    ) -> None:
        self.videos, self.length, self.map_style = list(videos), length, map_style
        self.augmentation, self.noise, self.flow = augmentation, noise, flow
        self.window = window
        self.store = FrameCache(self.videos, limit_bytes=cache_bytes)
        self._frames_V = np.array([len(video) for video in self.videos])
        by_frames = max(int(self._frames_V.sum()) // length(0), len(self.videos))
        self._items = by_frames if item_count is None else item_count

    def __len__(self) -> int:
        return self._items

    def __getitem__(self, item: SampleIndex) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return a stretch of a clip, or windows of it; raises `DataError` where it cannot."""
        random = item.rng()
        whole = self._stretch(item, random)
        side = self.window(item.epoch)
        return cut_windows(whole, side=side, random=random) if side else whole

    def _stretch(self, item: SampleIndex, random: np.random.Generator) -> dict[str, Tensor]:
        length = self.length(item.epoch)
        starts_V = np.maximum(self._frames_V - length, 0) + 1
        place = int(random.integers(starts_V.sum()))
        index = int(np.searchsorted(starts_V.cumsum(), place, side="right"))
        begin = place - int(starts_V[:index].sum())
        video = self.videos[index]
        change = self._change(video.framing, random)

        numbers = np.arange(begin - min(begin, PAST_MAPS), begin + length)
        numbers = _back_and_forth(numbers, len(video))
        points_TK2 = change.points(video.points_TK2[numbers])
        boxes_TR4, present_TR = _boxes(points_TK2[-length:], change.width, change.height)
        frames = [change.image(f) for f in self.store.frames(index, numbers[-length:])]
        out = {
            "maps": self._maps(points_TK2, length, change.width, change.height, random),
            "frames": np.stack(frames).transpose(0, 3, 1, 2),
            "boxes": boxes_TR4,
            "present": present_TR,
            "view": change.view(),
        }
        if self.flow:
            out["flow"], out["flow_trust"] = _flows(frames)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(out[name])) for name in out}
        return tensors | {"flow": tensors["flow"].half()} if self.flow else tensors

    def _change(self, framing: Framing, random: np.random.Generator) -> ImageTransform:
        size = {"width": framing.width, "height": framing.height}
        return (
            self.augmentation.draw(random, **size) if self.augmentation else ImageTransform(**size)
        )

    def _maps(
        self,
        points_TK2: np.ndarray,
        length: int,
        width: int,
        height: int,
        random: np.random.Generator,
    ) -> np.ndarray:
        """Return maps (T + 2, 3, H, W) of the T points and those up to two before them."""
        if self.noise is not None:
            points_TK2 = self.noise.apply(points_TK2, size=max(width, height), rng=random)
        maps = [
            draw_map(points_K2, map_style=self.map_style, width=width, height=height)
            for points_K2 in points_TK2
        ]
        return np.stack([maps[0]] * (length + PAST_MAPS - len(maps)) + maps)


def collate(items: list[dict[str, Tensor] | list[dict[str, Tensor]]]) -> dict[str, Tensor]:
    """Return a batch of items, all windows of which are items, too."""
    flat = [one for item in items for one in (item if isinstance(item, list) else [item])]
    return default_collate(flat)


def _back_and_forth(numbers: np.ndarray, frames: int) -> np.ndarray:
    """Return numbers as they come up in a clip that, at its end, plays backwards."""
    numbers = numbers % (2 * (frames - 1))
    return np.minimum(numbers, 2 * (frames - 1) - numbers)


def _boxes(points_TK2: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes (T, R, 4) of `REGIONS`, zeros where absent, and where each is present (T, R)."""
    boxes_RT4 = [region_boxes(points_TK2, region) for region in REGIONS]
    present_TR = np.stack(
        [boxes_visible(boxes_T4, width=width, height=height) for boxes_T4 in boxes_RT4], 1
    )
    boxes_TR4 = np.where(present_TR[..., None], np.stack(boxes_RT4, 1), 0)
    return boxes_TR4.astype(np.float32), present_TR.astype(np.float32)


def _flows(frames: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return flows (T, 2, H, W) and where to trust them (T, H, W), zeros for the first."""
    height, width = frames[0].shape[:2]
    flow_T2HW = np.zeros((len(frames), 2, height, width), np.float32)
    trust_THW = np.zeros((len(frames), height, width), np.uint8)
    for number in range(1, len(frames)):
        frame, before = frames[number], frames[number - 1]
        flow_2HW = dis_flow(frame, before)
        flow_T2HW[number] = flow_2HW
        trust_THW[number] = flow_trust(frame, before, flow_2HW)
    return flow_T2HW, trust_THW
