"""Show a person over another background, or over none: matte, backgrounds, straight alpha.

frame = alpha · colours + (1 - alpha) · background, each 0..1 as it is shown.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, repeat

import cv2
import numpy as np

from speech2video.util.body.skeleton import IBUG68, indices
from speech2video.util.errors import DataError
from speech2video.util.video.formats import (
    BACKGROUND_NEEDED,
    TRANSPARENT,
    background_path,
    parse_colour,
)
from speech2video.util.video.reader import is_image, read_frames, read_image

OPAQUE, CLEAR = 0.98, 0.02  # alpha from which on all, and below which nothing, is the person
HOLE_LEVELS = (0.25, 0.5, 0.75, 0.95)  # of alpha, below which holes are sought
DEEP = 0.5  # alpha below which a hole may be a gap
RIM = np.ones((5, 5), np.uint8)  # around a hole; filled with it where the person is more than half
HOLE = 0.015  # half the width of the widest hole that is filled, as a share of the height

SURE = 0.85  # of the size of a part of the body: points are off by pixels
FOREHEAD = 0.45  # its height, as a share of that from chin to brows, at least
_TORSO = indices(("left_shoulder", "right_shoulder", "left_hip", "right_hip"))
_FACE, _CHIN, _BROWS = list(IBUG68), IBUG68[8], list(IBUG68[17:27])
_FAR = 10_000  # pixels; points further outside are moved here

Layers = tuple[
    np.ndarray, np.ndarray
]  # colours of the person (3, H, W) and alpha (1, H, W), float32, 0..1


def open_background(text: str, size: tuple[int, int]) -> Iterator[np.ndarray | None]:
    """Return frames (3, H, W) uint8 of a background without end, None each for transparent.

    Images and videos cover the frame: scaled with their aspect, cropped around the middle. A video
    of another rate is read at 25 fps, and begins again at its end.

    Args:
        text: path of an image or a video, #rrggbb, #rgb or transparent.
        size: (width, height) of the frames.

    Raises:
        DataError: no such file, or no image or video that can be read.
        OptionError: no such colour.
    """
    path, (width, height) = background_path(text), size
    if path is None:
        if text == TRANSPARENT:
            return repeat(None)
        colour_3 = np.array(parse_colour(text), np.uint8)
        return repeat(np.broadcast_to(colour_3[:, None, None], (3, height, width)))
    if not path.exists():
        raise DataError(f"--background {path}: no such file; {BACKGROUND_NEEDED}")
    if is_image(path):
        return repeat(cover(read_image(path), size))
    loop = chain.from_iterable(read_frames(path) for _ in repeat(None))
    frames = (cover(frame, size) for frame in loop)
    return chain([next(frames)], frames)  # what cannot be read is noticed before any work


def cover(image_3HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an image (3, h, w) uint8 scaled and cropped around its middle to (width, height)."""
    width, height = size
    h, w = image_3HW.shape[1:]
    if (w, h) == size:
        return image_3HW
    scale = max(width / w, height / h)
    crop_w, crop_h = (
        min(max(round(side / scale), 1), most) for side, most in ((width, w), (height, h))
    )
    x, y = (w - crop_w) // 2, (h - crop_h) // 2
    part_HW3 = image_3HW[:, y : y + crop_h, x : x + crop_w].transpose(1, 2, 0)
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized_HW3 = cv2.resize(np.ascontiguousarray(part_HW3), size, interpolation=kind)
    return np.ascontiguousarray(resized_HW3.transpose(2, 0, 1))


def separate(
    frame: np.ndarray, alpha: np.ndarray, background: np.ndarray, body_HW: np.ndarray
) -> Layers:
    """Return the person's colours, also where they hardly show, and a clean alpha of a frame.

    Args:
        frame: (3, H, W) float32, 0..1.
        alpha: (1, H, W) float32, the person's share of it.
        background: (3, H, W) float32, what the frame shows elsewhere.
        body_HW: as `clean_matte` takes it.
    """
    alpha = clean_matte(alpha[0], body_HW)[None]
    # a person is never darker than black or lighter than white: what the last frame's background,
    # moved along, leaves outside is cut off
    premultiplied = np.clip(frame - (1 - alpha) * background, 0, alpha)
    return extend_colours(premultiplied, alpha), alpha


def clean_matte(alpha_HW: np.ndarray, body_HW: np.ndarray) -> np.ndarray:
    """Return alpha (H, W) without faint noise, and without holes inside the person.

    Where clothes or a highlight have the background's colour, a frame needs no person to show it,
    and alpha has a hole. Holes that the person encloses are filled if they are narrow, and either
    shallow or connected with the inner body. Others are gaps, as between arm and waist or between
    fingers.

    Args:
        alpha_HW: float32, 0..1.
        body_HW: bool, where the person is in any case: see `inner_body`.
    """
    reach = max(HOLE * len(alpha_HW), 1)
    holes_HW = np.zeros(alpha_HW.shape, np.uint8)
    for level in HOLE_LEVELS:
        low_HW = (alpha_HW < level).astype(np.uint8)
        count, labels_HW = cv2.connectedComponents(low_HW, connectivity=8)
        labels_HW = np.asarray(labels_HW, np.int32)
        hole = np.ones(count, np.uint8)
        hole[labels_HW[alpha_HW < DEEP]] = 0
        hole[labels_HW[body_HW]] = 1
        hole[0] = 0  # what is not low
        for edge in (labels_HW[0], labels_HW[-1], labels_HW[:, 0], labels_HW[:, -1]):
            hole[edge] = 0
        inside_HW = np.asarray(cv2.distanceTransform(low_HW, cv2.DIST_L2, 3))
        hole[labels_HW[inside_HW > reach]] = 0
        holes_HW |= hole[labels_HW]
    rim_HW = np.asarray(cv2.dilate(holes_HW, RIM), bool) & (alpha_HW >= DEEP)
    stretched_HW = np.clip((alpha_HW - CLEAR) / (OPAQUE - CLEAR), 0, 1)
    return np.where(holes_HW | rim_HW | body_HW, np.float32(1), stretched_HW)


def inner_body(points_K2: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return where (H, W) a person is in any case: from shoulders to hips, in face and forehead.

    Args:
        points_K2: (144, 2) pixels; a part with NaN is left out.
        size: (width, height).
    """
    mask_HW = np.zeros(size[::-1], np.uint8)
    brows_K2 = points_K2[_BROWS]
    forehead_K2 = brows_K2 + FOREHEAD * (brows_K2.mean(0) - points_K2[_CHIN])
    for corners in (points_K2[_TORSO], np.concatenate((points_K2[_FACE], forehead_K2))):
        if np.isfinite(corners).all():
            middle = corners.mean(0)
            corners = (middle + SURE * (corners - middle)).clip(-_FAR, _FAR)
            corners = corners.round().astype(np.int32)
            cv2.fillConvexPoly(mask_HW, cv2.convexHull(corners), 1)
    return mask_HW > 0


def extend_colours(premultiplied: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return the colours (3, H, W) of an image with alpha multiplied in, extended past its edges.

    The less a pixel shows, the more its colour is that of what shows nearby. Its own would be the
    error of a small difference, divided by almost nothing, which is a halo on other backgrounds.
    This is push-pull over a pyramid (Gortler et al., The Lumigraph, 1996).
    """
    layers = np.concatenate((premultiplied, alpha)).astype(np.float32)
    levels = [np.ascontiguousarray(layers.transpose(1, 2, 0))]
    while min(levels[-1].shape[:2]) > 1:
        levels.append(cv2.pyrDown(levels[-1]))
    filled_HW4 = levels.pop()
    filled_HW4 = filled_HW4 / np.maximum(filled_HW4[..., 3:], 1e-6)
    for level_HW4 in reversed(levels):
        larger_HW4 = cv2.pyrUp(filled_HW4, dstsize=level_HW4.shape[1::-1])
        filled_HW4 = level_HW4 + (1 - level_HW4[..., 3:]) * larger_HW4
    return filled_HW4[..., :3].transpose(2, 0, 1)


def composite(
    layers: Iterable[Layers], backgrounds: Iterable[np.ndarray | None]
) -> Iterator[np.ndarray]:
    """Yield each person over its background, (3, H, W) uint8.

    Over None an image has straight alpha as a fourth channel: colours are not multiplied by it.
    """
    for (colours, alpha), background in zip(layers, backgrounds, strict=False):
        if background is None:
            yield _to_bytes(np.concatenate((colours, alpha)))
        else:
            shown = background.astype(np.float32) / 255
            yield _to_bytes(shown + alpha * (colours - shown))


def _to_bytes(image: np.ndarray) -> np.ndarray:
    return (image * 255 + 0.5).clip(0, 255).astype(np.uint8)
