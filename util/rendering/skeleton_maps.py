"""Points to skeleton maps, the video generator's input, one frame at a time, in three styles.

Body limbs and every finger have a colour of their own, warm for the left hand and cool for the
right; face, eyes and lips are lines. Lines are drawn to a sixteenth of a pixel and anti-aliased, so
that lips that part by half a pixel change the map.

In images of a whole upper body a mouth is a few pixels high, less than its lines are wide. There
the style "filled_mouth" suits better: each pixel is filled by the share of it that is open mouth.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from speech2video.util.body.skeleton import (
    FACE_LINES,
    FINGER_TIPS,
    IBUG68,
    POINTS,
    finger_chain,
    indices,
)
from speech2video.util.files import read_json
from speech2video.util.rendering.openpose import draw_vid2vid_authors_map, points_to_openpose

MAP_STYLES = ("speech2video", "filled_mouth", "vid2vid_authors")
Colour = tuple[int, int, int]

_SUBPIXEL_BITS = 4
_FINER = 16  # supersampling a side, for the share of a pixel that is open mouth
_FAR = 8.0  # points further out than this many image sizes are left out: they overflow OpenCV

_COLOURS = read_json(Path(__file__).with_name("skeleton_maps.json"), what="colours of lines")
FINGER_COLOURS = _COLOURS["finger_colours"]  # by side, in the order of FINGER_TIPS
_FACE_DEFAULT: Colour = (255, 255, 255)
MOUTH_COLOUR: Colour = (40, 60, 255)

# Line width / the image's larger side.
BODY_WIDTH = 1 / 128
FINGER_WIDTH = 1 / 256
FACE_WIDTH = 1 / 512

_Line = tuple[np.ndarray, bool, Colour, float]  # points, closed?, colour, width


def _lines(left_out: Collection[str] = ()) -> list[_Line]:
    lines: list[_Line] = [
        (np.array(indices(names)), False, colour, BODY_WIDTH)
        for names, colour in _COLOURS["body_lines"]
    ]
    for name, (landmarks, closed) in FACE_LINES.items():
        if name in left_out:
            continue
        colour = _COLOURS["face_colours"].get(name, _FACE_DEFAULT)
        lines.append((np.array([IBUG68[i] for i in landmarks]), closed, colour, FACE_WIDTH))
    for side, colours in FINGER_COLOURS.items():
        for finger, colour in zip(FINGER_TIPS, colours, strict=True):
            chain = np.array(indices(finger_chain(side, finger)))
            lines.append((chain, False, colour, FINGER_WIDTH))
    return lines


_LINES, _WITHOUT_INNER_LIPS = _lines(), _lines(("inner_lips",))
_OUTER_LIPS, _INNER_LIPS = (
    [IBUG68[i] for i in FACE_LINES[name][0]] for name in ("outer_lips", "inner_lips")
)


def skeleton_lines() -> list[tuple[list[int], bool, Colour]]:
    """Return the lines of a map in the order they are drawn: points, whether closed, colour."""
    return [(points.tolist(), closed, tuple(colour)) for points, closed, colour, _ in _LINES]


def draw_skeleton_maps(
    points_TK2: Iterable[np.ndarray], *, width: int, height: int
) -> Iterator[np.ndarray]:
    """Yield one skeleton map (3, H, W) uint8 RGB for each frame of points (144, 2) in pixels.

    Points that are NaN are missing, and the lines that need them are left out.
    """
    for points_K2 in points_TK2:
        yield draw_skeleton_map(points_K2, width=width, height=height).transpose(2, 0, 1)


def draw_skeleton_map(
    points_K2: np.ndarray, *, width: int, height: int, filled_mouth: bool = False
) -> np.ndarray:
    """Return the skeleton map (H, W, 3) uint8 RGB of one frame of points (144, 2) in pixels.

    Args:
        filled_mouth: whether the open mouth is filled, in place of a line around it.
    """
    if points_K2.shape != (len(POINTS), 2):
        raise ValueError(f"points ({len(POINTS)}, 2) are needed, not {points_K2.shape}")
    image = np.zeros((height, width, 3), np.uint8)
    size = max(width, height)
    present = np.all(np.abs(points_K2) < _FAR * size, axis=1)  # False for NaN too
    # OpenCV counts from a pixel's middle, the camera from the image's corner.
    scaled = (np.where(present[:, None], points_K2, 0) - 0.5) * (1 << _SUBPIXEL_BITS)
    pixels = np.round(scaled).astype(np.int32)
    for points, closed, colour, line_width in _WITHOUT_INNER_LIPS if filled_mouth else _LINES:
        thickness = max(1, round(line_width * size))
        for run, is_closed in _runs(points, present, closed):
            cv2.polylines(
                image, [pixels[run]], is_closed, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS
            )
    if filled_mouth and present[_OUTER_LIPS].all() and present[_INNER_LIPS].all():
        _fill_mouth(image, points_K2)
    return image


def _fill_mouth(image: np.ndarray, points_K2: np.ndarray) -> None:
    """Blend the mouth's colour into each pixel by the share of it that is open mouth."""
    inner_L2, outer_L2 = points_K2[_INNER_LIPS], points_K2[_OUTER_LIPS]
    inner, outer = (
        cv2.contourArea(lips_L2.astype(np.float32), oriented=True)
        for lips_L2 in (inner_L2, outer_L2)
    )
    if inner * outer <= 0:  # lips pressed into each other go round the other way
        return
    height, width = image.shape[:2]
    x0, y0 = np.floor(inner_L2.min(0)).clip(0, (width, height)).astype(int)
    x1, y1 = np.ceil(inner_L2.max(0)).clip(0, (width, height)).astype(int)
    if x0 >= x1 or y0 >= y1:
        return
    fine = np.zeros((_FINER * (y1 - y0), _FINER * (x1 - x0)), np.float32)
    corners = ((inner_L2 - (x0, y0)) * _FINER - 0.5) * (1 << _SUBPIXEL_BITS)
    cv2.fillPoly(fine, [np.round(corners).astype(np.int32)], 1.0, cv2.LINE_8, _SUBPIXEL_BITS)
    share = cv2.resize(fine, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)[..., None]
    inside = image[y0:y1, x0:x1]
    inside[:] = np.round(inside + share * (np.array(MOUTH_COLOUR, np.float32) - inside))


def _runs(
    points: np.ndarray, present: np.ndarray, closed: bool
) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield the pieces of a line whose points are all there."""
    there = present[points]
    if there.all():
        yield points, closed
    elif there.any():
        ring = np.append(points, points[0]) if closed else points
        for pair in np.stack((ring[:-1], ring[1:]), 1):
            if present[pair].all():
                yield pair, False


def draw_map(points_K2: np.ndarray, *, map_style: str, width: int, height: int) -> np.ndarray:
    """Return the map (3, H, W) uint8 RGB, in any style, of points (144, 2) in pixels.

    NaN points are missing.

    Raises:
        ValueError: the style is none of `MAP_STYLES`.
    """
    if map_style not in MAP_STYLES:
        raise ValueError(f"map style {map_style!r}; one of {', '.join(MAP_STYLES)} is needed")
    if map_style == "vid2vid_authors":
        return draw_vid2vid_authors_map(points_to_openpose(points_K2), height, width)
    filled = map_style == "filled_mouth"
    image = draw_skeleton_map(points_K2, width=width, height=height, filled_mouth=filled)
    return image.transpose(2, 0, 1)
