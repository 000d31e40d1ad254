"""Training items for pose to video: sequences of skeleton maps and the frames that show them."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from speech2video.data.loader import SampleIndex
from speech2video.data.pose2video.augmentation import (
    ImageAugmentation,
    ImageTransform,
    MapNoise,
    random_crops,
)
from speech2video.data.pose2video.clip import PoseVideo
from speech2video.data.pose2video.frames import FrameCache, dis_flow, flow_trust
from speech2video.options.pose2video import Curriculum
from speech2video.util.body.skeleton import REGIONS, boxes_visible, region_boxes
from speech2video.util.rendering.skeleton_maps import draw_map

PAST_MAPS = 2  # maps before a frame's own that a generator's step takes


class Pose2VideoDataset(Dataset):
    """Random sequences of clips; an item depends on its `SampleIndex`'s seed and epoch alone.

    An item is a dict of tensors:

    - maps (T + 2, 3, H, W) uint8: with the two before the first frame; at a clip's start these
      repeat the first map
    - frames (T, 3, H, W) uint8
    - boxes (T, 5, 4): of `REGIONS`, x0 y0 x1 y1 in pixels, zeros where absent
    - present (T, 5): 1 where the region is in the image
    - view (2, 3): matrix for `affine_grid` (corners not aligned) that samples the item's images
      out of the original ones
    - with `flow`: flow (T, 2, H, W) float16, pixels right and down from each pixel to where the
      frame before shows the same; flow_trust (T, H, W) uint8, 255 where that holds; both zero for
      the first frame

    A clip shorter than T frames plays back and forth.

    Args:
        curriculum: T and the size of crops in each epoch. In an epoch with crops an item is a list
            of dicts, see `random_crops`; `collate` makes batches of both.
        map_style: one of `skeleton_maps.MAP_STYLES`.
        cache_bytes: limit of the decoded frames, in each process that loads.
        item_count: of an epoch; by default as many as show each frame about once.
    """

    def __init__(
        self,
        videos: Sequence[PoseVideo],
        *,
        curriculum: Curriculum,
        map_style: str = "speech2video",
        augmentation: ImageAugmentation | None = None,
        noise: MapNoise | None = None,
        cache_bytes: int = 2 * 1024**3,
        flow: bool = True,
        item_count: int | None = None,
    ) -> None:
        self.videos, self.curriculum, self.map_style = list(videos), curriculum, map_style
        self.augmentation, self.noise, self.flow = augmentation, noise, flow
        self.frame_cache = FrameCache(self.videos, limit_bytes=cache_bytes)
        self._frames_V = np.array([len(video) for video in self.videos])
        if item_count is None:
            shown_once = int(self._frames_V.sum()) // curriculum.sequence_length(0)
            item_count = max(shown_once, len(self.videos))
        self._items = item_count

    def __len__(self) -> int:
        return self._items

    def __getitem__(self, item: SampleIndex) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return a sequence of a clip, or crops of it; raises `DataError` if a frame is missing."""
        rng = item.rng()
        whole = self._sequence(self.curriculum.sequence_length(item.epoch), rng)
        size = self.curriculum.crop_size_of(item.epoch)
        return random_crops(whole, size=size, rng=rng) if size else whole

    def _sequence(self, length: int, rng: np.random.Generator) -> dict[str, Tensor]:
        starts_V = np.maximum(self._frames_V - length, 0) + 1
        place = int(rng.integers(starts_V.sum()))
        index = int(np.searchsorted(starts_V.cumsum(), place, side="right"))
        begin = place - int(starts_V[:index].sum())
        video = self.videos[index]
        width, height = video.framing.width, video.framing.height
        transform = ImageTransform(width, height)
        if self.augmentation is not None:
            transform = self.augmentation.draw(rng, width=width, height=height)
        numbers = np.arange(begin - min(begin, PAST_MAPS), begin + length)
        numbers %= 2 * (len(video) - 1)  # back and forth
        numbers = np.minimum(numbers, 2 * (len(video) - 1) - numbers)
        points_TK2 = transform.points(video.points_TK2[numbers])
        boxes_TR4, present_TR = _region_boxes(points_TK2[-length:], width, height)
        cached = self.frame_cache.frames(index, numbers[-length:])
        frames = [transform.image(frame_HW3) for frame_HW3 in cached]
        if self.noise is not None:
            points_TK2 = self.noise.apply(points_TK2, size=max(width, height), rng=rng)
        maps = [
            draw_map(points_K2, map_style=self.map_style, width=width, height=height)
            for points_K2 in points_TK2
        ]
        item = {
            "maps": np.stack([maps[0]] * (length + PAST_MAPS - len(maps)) + maps),
            "frames": np.stack(frames).transpose(0, 3, 1, 2),
            "boxes": boxes_TR4,
            "present": present_TR,
            "view": transform.view(),
        }
        if self.flow:
            item["flow"], item["flow_trust"] = _flows(frames)
        return {name: torch.from_numpy(np.ascontiguousarray(item[name])) for name in item}


def collate(items: list[dict[str, Tensor] | list[dict[str, Tensor]]]) -> dict[str, Tensor]:
    """Return a batch of items; each crop counts as an item."""
    return default_collate([one for i in items for one in (i if isinstance(i, list) else [i])])


def _region_boxes(points_TK2: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes (T, R, 4) of `REGIONS`, zeros where absent, and where each is present (T, R)."""
    boxes_RT4 = [region_boxes(points_TK2, region) for region in REGIONS]
    present = [boxes_visible(boxes_T4, width=width, height=height) for boxes_T4 in boxes_RT4]
    present_TR = np.stack(present, 1)
    boxes_TR4 = np.where(present_TR[..., None], np.stack(boxes_RT4, 1), 0)
    return boxes_TR4.astype(np.float32), present_TR.astype(np.float32)


def _flows(frames: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return flows (T, 2, H, W) and their trust (T, H, W), zeros for the first frame."""
    size = frames[0].shape[:2]
    flow_T2HW, trust_THW = [np.zeros((2, *size), np.float16)], [np.zeros(size, np.uint8)]
    for before, frame in pairwise(frames):
        flow_2HW = dis_flow(frame, before)
        flow_T2HW.append(flow_2HW.astype(np.float16))
        trust_THW.append(flow_trust(frame, before, flow_2HW))
    return np.stack(flow_T2HW), np.stack(trust_THW)
