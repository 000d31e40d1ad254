"""The static background behind a speaker, estimated from frames of all clips.

A background that shows the speaker would be a lazy solution for most of the frame: small movements
then have to be generated over it, and an outline stays visible.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from speech2video.data.pose2video.clip import PoseVideo
from speech2video.data.pose2video.frame_cache import FrameCache
from speech2video.util.body.skeleton import POINT_INDEX, indices, region_boxes

SAMPLED_FRAMES = 96
MIN_VISIBLE_SHARE = 0.08  # of the sampled frames that must show a pixel's background
# Extent of clothes and limbs about the skeleton, in units of the distance between the shoulders.
LIMB_WIDTH, TORSO_MARGIN = 0.55, 0.35
HAIR_MARGIN = 0.08  # of the head's box, on each side, and twice that above
INPAINT_RADIUS = 5  # pixels
INPAINT_SIDE = 128  # pixels of the larger side; nothing finer is inpainted
LIMBS = tuple(
    indices((f"{side}_{a}", f"{side}_{b}"))
    for side in ("left", "right")
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))
)
TORSO = indices(("left_shoulder", "right_shoulder", "right_hip", "left_hip"))
BOXED_REGIONS = ("head", "left_hand", "right_hand")


def estimate_background(videos: Sequence[PoseVideo], cache: FrameCache) -> np.ndarray:
    """Return the median of what frames show outside the speaker, (H, W, 3) uint8.

    Pixels that the speaker always covers are inpainted. If all are covered, return the plain
    median.

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
    neck = points_K2[[POINT_INDEX["neck"], POINT_INDEX["head"]]]
    _draw_line(mask_HW, neck, LIMB_WIDTH * span)
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
    if known_HW.all():
        return image_HW3
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
