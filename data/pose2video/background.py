"""What stands still behind a person: the median of what frames show where she is not.

With her in it, a background is a lazy answer for most of a picture: what little she sways then has
to be painted away again, and her outline stays a ghost's.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from speech2video.data.pose2video.clip import PoseVideo
from speech2video.data.pose2video.frame_cache import FrameCache
from speech2video.util.body.skeleton import POINT_INDEX, indices, region_boxes

SAMPLED_FRAMES = 96  # frames
MIN_VISIBLE_SHARE = 0.08  # share of them that must show a pixel, for it to be known
# Of the distance between the shoulders: how far clothes and flesh reach beyond the skeleton.
LIMB, TORSO = 0.55, 0.35
HAIR = 0.08  # of the head's box, to each side, and twice that above
INPAINT_RADIUS = 5  # pixels
INPAINT_SIDE = 128  # pixels; nothing finer than that is guessed
LIMBS = tuple(
    indices((f"{side}_{a}", f"{side}_{b}"))
    for side in ("left", "right")
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))
)
TORSO_POINTS = indices(("left_shoulder", "right_shoulder", "right_hip", "left_hip"))
BOXED = ("head", "left_hand", "right_hand")


def estimate_background(videos: Sequence[PoseVideo], store: FrameCache) -> np.ndarray:
    """Return what is behind the person in all clips, (H, W, 3) uint8.

    Where she always is, it is guessed from what is around; where she is everywhere, she stays in.

    Args:
        store: of these clips' frames.
    """
    frames, behind = [], []
    for clip, numbers in enumerate(_spread_frames([len(video) for video in videos])):
        frames += list(store.frames(clip, numbers))
        height, width = frames[-1].shape[:2] if frames else (0, 0)
        points_NK2 = videos[clip].points_TK2[numbers]
        behind += [~person_mask(points_K2, width=width, height=height) for points_K2 in points_NK2]
    frames_NHW3, behind_NHW = np.stack(frames), np.stack(behind)
    seen_HW = behind_NHW.mean(0) >= MIN_VISIBLE_SHARE
    if not seen_HW.any():
        return np.median(frames_NHW3, 0).round().astype(np.uint8)
    shown = np.where(behind_NHW[..., None], frames_NHW3.astype(np.float32), np.nan)
    shown[:, ~seen_HW] = 0  # a median of nothing is a warning
    still_HW3 = np.nanmedian(shown, 0).round().astype(np.uint8)
    return _inpaint(still_HW3, seen_HW)


def person_mask(points_K2: np.ndarray, *, width: int, height: int) -> np.ndarray:
    """Return where a person may be (H, W) bool, clothes and hair too, from points (144, 2)."""
    mask_HW = np.zeros((height, width), np.uint8)
    shoulders = points_K2[indices(("left_shoulder", "right_shoulder"))]
    span = float(np.linalg.norm(shoulders[0] - shoulders[1]))
    if not np.isfinite(span):
        return np.ones((height, width), bool)
    for ends in LIMBS:
        _line(mask_HW, points_K2[ends], LIMB * span)
    torso = points_K2[TORSO_POINTS]
    if np.isfinite(torso).all():
        torso[2:, 1] = np.maximum(torso[2:, 1], height)  # whatever hangs below the hips
        cv2.fillPoly(mask_HW, [np.round(torso).astype(np.int32)], 1)
        for ends in zip(torso, np.roll(torso, 1, 0), strict=True):
            _line(mask_HW, np.stack(ends), 2 * TORSO * span)
    neck = points_K2[[POINT_INDEX["neck"], POINT_INDEX["head"]]]
    _line(mask_HW, neck, LIMB * span)
    for region in BOXED:
        box_4 = region_boxes(points_K2[None], region)[0]
        if np.isfinite(box_4).all():
            hair = HAIR * (box_4[3] - box_4[1]) if region == "head" else 0
            x0, y0, x1, y1 = np.round(box_4 - (hair, 2 * hair, -hair, -hair)).astype(int)
            cv2.rectangle(mask_HW, (x0, y0), (x1, y1), 1, -1)
    return mask_HW.astype(bool)


def _line(mask_HW: np.ndarray, ends_22: np.ndarray, width: float) -> None:
    if np.isfinite(ends_22).all():
        first, last = (tuple(map(int, np.round(end))) for end in ends_22)
        cv2.line(mask_HW, first, last, 1, max(1, round(width)))


def _spread_frames(lengths: Sequence[int]) -> list[np.ndarray]:
    """Return numbers of frames of each clip, evenly over all of them."""
    ends = np.cumsum(lengths)
    places = np.linspace(0, ends[-1] - 1, min(SAMPLED_FRAMES, ends[-1])).astype(int)
    clips = np.searchsorted(ends, places, side="right")
    return [places[clips == clip] - (ends[clip] - n) for clip, n in enumerate(lengths)]


def _inpaint(still_HW3: np.ndarray, seen_HW: np.ndarray) -> np.ndarray:
    """Return the picture with what was never seen guessed, smoothly, from around it."""
    if seen_HW.all():
        return still_HW3
    height, width = seen_HW.shape
    scale = min(1.0, INPAINT_SIDE / max(height, width))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    weight = cv2.resize(seen_HW.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    masked = np.where(seen_HW[..., None], still_HW3, 0).astype(np.float32)
    shrunk = cv2.resize(masked, small, interpolation=cv2.INTER_AREA)
    shrunk /= np.maximum(weight, 1e-6)[..., None]
    unknown = (weight < 0.5).astype(np.uint8)
    guessed = cv2.inpaint(
        shrunk.clip(0, 255).astype(np.uint8), unknown, INPAINT_RADIUS, cv2.INPAINT_TELEA
    )
    guessed = cv2.resize(guessed, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.where(seen_HW[..., None], still_HW3, guessed)
