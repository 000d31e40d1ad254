"""Frames of clips: random access within a memory limit, static background, optical flow."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
from av import VideoFrame
from av.error import FFmpegError

from speech2video.data.pose2video.clip import Framing, PoseVideo
from speech2video.util.body.skeleton import indices, region_boxes
from speech2video.util.errors import DataError
from speech2video.util.timing import FPS
from speech2video.util.video.reader import frame_to_rgb, open_media, video_stream

CHUNK_FRAMES = 50  # decoded together: about the distance of two key frames

SAMPLED_FRAMES = 96
MIN_VISIBLE_SHARE = 0.08  # of the sampled frames that must show a pixel's background
# Extent of clothes and limbs about the skeleton, in units of the distance between the shoulders.
LIMB_WIDTH, TORSO_MARGIN = 0.55, 0.35
HAIR_MARGIN = 0.08  # of the head's box, on each side, and twice that above
INPAINT_RADIUS = 5  # pixels
INPAINT_SIDE = 128  # pixels of the larger side; nothing finer is inpainted
ARM = ("shoulder", "elbow", "wrist")
ARMS = [(f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in pairwise(ARM)]
LIMBS = [indices(ends) for ends in (*ARMS, ("neck", "head"))]
TORSO = indices(("left_shoulder", "right_shoulder", "right_hip", "left_hip"))
BOXED_REGIONS = ("head", "left_hand", "right_hand")


Value = TypeVar("Value")


class MemoryCache:
    """What was made once, the most recently used of it, up to a number of bytes.

    Every process that loads data has its own, with its own limit.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0  # of what is kept now
        self._kept: OrderedDict[Hashable, tuple[int, Any]] = OrderedDict()

    def get(self, key: Hashable, size: int, make: Callable[[], Value]) -> Value:
        """Return what was made for a key, or make it; it takes `size` bytes.

        Room is made for it before. What is larger than the limit is not kept.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][1]
        while self._kept and self.bytes + size > self.limit_bytes:
            self.bytes -= self._kept.popitem(last=False)[1][0]
        made = make()
        if size <= self.limit_bytes:
            self._kept[key] = size, made
            self.bytes += size
        return made


class CachedVideo(Protocol):
    """What a `FrameCache` needs to know of a clip, or of a part of one."""

    @property
    def video(self) -> Path: ...

    @property
    def framing(self) -> Framing: ...

    @property
    def begin(self) -> int: ...

    def __len__(self) -> int: ...


class FrameCache:
    """Cropped frames of clips, the most recently used ones kept in memory.

    Args:
        videos: a list, or a sequence that makes each one when it is asked for.
        limit_bytes: of the cached frames. With room for all, each frame is decoded once.
    """

    def __init__(self, videos: Sequence[CachedVideo], *, limit_bytes: int) -> None:
        self.videos, self.limit_bytes = videos, limit_bytes
        self._chunks = MemoryCache(limit_bytes)

    @property
    def bytes(self) -> int:
        """The size of the frames cached now."""
        return self._chunks.bytes

    def frames(self, video_index: int, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the frames (N, H, W, 3) uint8 of a clip with the given indices.

        Raises:
            DataError: a frame is missing in the file, or does not decode.
        """
        video = self.videos[video_index]
        size = video.framing.height, video.framing.width
        frames_NHW3 = np.empty((len(numbers), *size, 3), np.uint8)
        chunks, offsets = np.divmod(np.asarray(numbers) + video.begin, CHUNK_FRAMES)
        for chunk in dict.fromkeys(chunks.tolist()):
            in_chunk = chunks == chunk
            frames_NHW3[in_chunk] = self._chunk(video_index, video, chunk)[offsets[in_chunk]]
        return frames_NHW3

    def _chunk(self, video_index: int, video: CachedVideo, chunk: int) -> np.ndarray:
        begin = chunk * CHUNK_FRAMES
        end = min(begin + CHUNK_FRAMES, video.begin + len(video))
        size = (end - begin) * video.framing.width * video.framing.height * 3
        return self._chunks.get((video_index, chunk), size, lambda: _decode(video, begin, end))


def _decode(video: CachedVideo, begin: int, end: int) -> np.ndarray:
    """Return frames [begin, end) of the file, cropped, (N, H, W, 3) uint8."""
    found: dict[int, np.ndarray] = {}
    size = video.framing.source_width, video.framing.source_height
    for number, frame in _iterate_frames(video.video, begin):
        if begin <= number < end and number not in found:
            found[number] = video.framing.image(frame_to_rgb(frame, size))
        if len(found) == end - begin or number >= end:
            break
    if missing := set(range(begin, end)) - set(found):
        raise DataError(f"{video.video}: no frame {min(missing)}; a clip's video is at {FPS} fps")
    return np.stack([found[number] for number in range(begin, end)])


def _iterate_frames(path: Path, begin: int) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (index, frame) of a file of constant frame rate, from `begin` or earlier on."""
    with open_media(path) as container:
        stream = video_stream(container)
        if stream is None or stream.time_base is None:
            raise DataError(f"{path}: no video in it")
        tick, start = float(stream.time_base), stream.start_time or 0
        # Seeking goes by decoding time, which is before presentation time: where the first frame
        # found is too late, seek further back.
        for lead in (1, 2 * CHUNK_FRAMES, begin):
            second = max(begin - lead, 0) / FPS
            try:
                container.seek(start + round(second / tick), stream=stream)
                frames = (
                    (round((frame.pts - start) * tick * FPS), frame)
                    for frame in container.decode(stream)
                    if frame.pts is not None
                )
                first = next(frames, None)
                if first is not None and (first[0] <= begin or lead == begin):
                    yield first
                    yield from frames
                    return
            except FFmpegError as error:
                raise DataError(f"{path}: not decodable about {second:.1f} s ({error})") from None


def estimate_background(videos: Sequence[PoseVideo], cache: FrameCache) -> np.ndarray:
    """Return the median of what frames show outside the speaker, (H, W, 3) uint8.

    With the speaker in it, the background would be a lazy solution for most of the frame. Pixels
    that the speaker always covers are inpainted. If all are covered, return the plain median.

    Args:
        cache: of these clips' frames.
    """
    frames, visible = [], []
    for clip, numbers in enumerate(_spread_frames([len(video) for video in videos])):
        frames += list(cache.frames(clip, numbers))
        height, width = frames[-1].shape[:2] if frames else (0, 0)
        points_NK2 = videos[clip].points_TK2[numbers]
        visible += [~person_mask(points_K2, width=width, height=height) for points_K2 in points_NK2]
    frames_NHW3, visible_NHW = np.stack(frames), np.stack(visible)
    known_HW = visible_NHW.mean(0) >= MIN_VISIBLE_SHARE
    if not known_HW.any():
        return np.median(frames_NHW3, 0).round().astype(np.uint8)
    shown = np.where(visible_NHW[..., None], frames_NHW3.astype(np.float32), np.nan)
    shown[:, ~known_HW] = 0  # nanmedian warns of columns that are all NaN
    background_HW3 = np.nanmedian(shown, 0).round().astype(np.uint8)
    return _inpaint(background_HW3, known_HW)


def person_mask(points_K2: np.ndarray, *, width: int, height: int) -> np.ndarray:
    """Return (H, W) bool, true where a person may be, with clothes and hair.

    Args:
        points_K2: (144, 2) pixels. If a shoulder is missing, all of the mask is true.
    """
    mask_HW = np.zeros((height, width), np.uint8)
    shoulders = points_K2[indices(("left_shoulder", "right_shoulder"))]
    span = float(np.linalg.norm(shoulders[0] - shoulders[1]))
    if not np.isfinite(span):
        return np.ones((height, width), bool)
    for ends in LIMBS:
        _draw_line(mask_HW, points_K2[ends], LIMB_WIDTH * span)
    torso = points_K2[TORSO]
    if np.isfinite(torso).all():
        torso[2:, 1] = np.maximum(torso[2:, 1], height)  # clothes below the hips
        cv2.fillPoly(mask_HW, [np.round(torso).astype(np.int32)], 1)
        for ends in zip(torso, np.roll(torso, 1, 0), strict=True):
            _draw_line(mask_HW, np.stack(ends), 2 * TORSO_MARGIN * span)
    for region in BOXED_REGIONS:
        box_4 = region_boxes(points_K2[None], region)[0]
        if np.isfinite(box_4).all():
            hair = HAIR_MARGIN * (box_4[3] - box_4[1]) if region == "head" else 0
            x0, y0, x1, y1 = np.round(box_4 - (hair, 2 * hair, -hair, -hair)).astype(int)
            cv2.rectangle(mask_HW, (x0, y0), (x1, y1), 1, -1)
    return mask_HW.astype(bool)


def _draw_line(mask_HW: np.ndarray, ends_22: np.ndarray, width: float) -> None:
    if np.isfinite(ends_22).all():
        first, last = np.round(ends_22).astype(int).tolist()
        cv2.line(mask_HW, first, last, 1, max(1, round(width)))


def _spread_frames(lengths: Sequence[int]) -> list[np.ndarray]:
    """Return frame indices of each clip, evenly spread over all clips."""
    ends = np.cumsum(lengths)
    places = np.linspace(0, ends[-1] - 1, min(SAMPLED_FRAMES, ends[-1])).astype(int)
    clips = np.searchsorted(ends, places, side="right")
    return [places[clips == clip] - (ends[clip] - n) for clip, n in enumerate(lengths)]


def _inpaint(image_HW3: np.ndarray, known_HW: np.ndarray) -> np.ndarray:
    """Return the image with unknown pixels smoothly filled in from around them."""
    height, width = known_HW.shape
    scale = min(1.0, INPAINT_SIDE / max(height, width))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    weight = cv2.resize(known_HW.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    masked = np.where(known_HW[..., None], image_HW3, 0).astype(np.float32)
    mean = cv2.resize(masked, small, interpolation=cv2.INTER_AREA)
    mean /= np.maximum(weight, 1e-6)[..., None]
    unknown = (weight < 0.5).astype(np.uint8)
    mean = mean.clip(0, 255).astype(np.uint8)
    filled = cv2.inpaint(mean, unknown, INPAINT_RADIUS, cv2.INPAINT_TELEA)
    filled = cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.where(known_HW[..., None], image_HW3, filled)


SHRINK = 2  # flow is computed at this fraction of the size: four times as fast, and less noisy
PATCH, STRIDE, ITERATIONS = 8, 5, 12  # pixels, pixels, gradient steps
TEXTURE = 10.0  # (grey levels per small pixel)²; less is a flat surface under noise
TEXTURE_WINDOW, SMOOTHING_WINDOW = 7, 15  # small pixels
ZERO_FLOW_WEIGHT = 0.2  # share of textured pixels that outweighs the prior of no motion
MAX_DIFFERENCE = 10  # grey levels between a frame and the warped one where flow is trusted
BLUR = 3  # pixels over which that difference is averaged, against camera noise


def dis_flow(frame_HW3: np.ndarray, before_HW3: np.ndarray) -> np.ndarray:
    """Return the flow (2, H, W) float32 of a frame (H, W, 3) uint8: pixels right, pixels down.

    It leads from each pixel of the frame to where the frame before shows the same, as `warp` in
    models/pose2video/generators/base.py takes it. Dense inverse search (Kroeger et al., ECCV 2016),
    down to single pixels and without OpenCV's variational refinement, which smooths fingers away.
    On flat surfaces the flow is that of the surroundings, or zero.
    """
    height, width = frame_HW3.shape[:2]
    frame_hw, before_hw = _small_grey(frame_HW3), _small_grey(before_HW3)
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    estimator.setFinestScale(0)
    estimator.setPatchSize(PATCH)
    estimator.setPatchStride(STRIDE)
    estimator.setGradientDescentIterations(ITERATIONS)
    estimator.setVariationalRefinementIterations(0)
    flow_hw2 = estimator.calc(frame_hw, before_hw, None)  # pyright: ignore
    flow_hw2 = _suppress_noise(flow_hw2, frame_hw)
    flow_hw2 *= (np.array((width, height)) / flow_hw2.shape[1::-1]).astype(np.float32)
    return np.stack(cv2.split(cv2.resize(flow_hw2, (width, height))))


def flow_trust(frame_HW3: np.ndarray, before_HW3: np.ndarray, flow_2HW: np.ndarray) -> np.ndarray:
    """Return (H, W) uint8: 255 where the frame before, warped, equals the frame; else 0.

    What enters the image or was occluded gets 0.
    """
    frame_HW = cv2.cvtColor(frame_HW3, cv2.COLOR_RGB2GRAY)
    before_HW = cv2.cvtColor(before_HW3, cv2.COLOR_RGB2GRAY)
    height, width = frame_HW.shape
    x_HW = flow_2HW[0] + np.arange(width, dtype=np.float32)
    y_HW = flow_2HW[1] + np.arange(height, dtype=np.float32)[:, None]
    warped_HW = cv2.remap(before_HW, x_HW, y_HW, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    difference_HW = cv2.blur(cv2.absdiff(warped_HW, frame_HW), (BLUR, BLUR))
    inside_HW = (x_HW > -1) & (x_HW < width) & (y_HW > -1) & (y_HW < height)
    return np.uint8(255) * (inside_HW & (difference_HW <= MAX_DIFFERENCE))


def _suppress_noise(flow_hw2: np.ndarray, grey_hw: np.ndarray) -> np.ndarray:
    """Return a flow that, on flat surfaces, is the mean of the textured surroundings."""
    dx_hw = cv2.Sobel(grey_hw, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    dy_hw = cv2.Sobel(grey_hw, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    energy_hw = cv2.blur(dx_hw**2 + dy_hw**2, (TEXTURE_WINDOW, TEXTURE_WINDOW)) ** 2
    trust_hw1 = (energy_hw / (energy_hw + TEXTURE**2))[..., None]
    window = (SMOOTHING_WINDOW, SMOOTHING_WINDOW)
    near_hw2 = cv2.blur(trust_hw1 * flow_hw2, window)
    near_hw2 /= cv2.blur(trust_hw1, window)[..., None] + np.float32(ZERO_FLOW_WEIGHT)
    return trust_hw1 * flow_hw2 + (1 - trust_hw1) * near_hw2


def _small_grey(image_HW3: np.ndarray) -> np.ndarray:
    grey_HW = cv2.cvtColor(image_HW3, cv2.COLOR_RGB2GRAY)
    height, width = grey_HW.shape
    size = max(width // SHRINK, 1), max(height // SHRINK, 1)
    return cv2.resize(grey_HW, size, interpolation=cv2.INTER_AREA)
