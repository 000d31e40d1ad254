"""Maps of a body's points in any of the styles that generators know."""

import numpy as np

from speech2video.util.drawing import draw_frame
from speech2video.util.drawing_vid2vid_authors import draw_vid2vid_authors
from speech2video.util.openpose import points_to_openpose

STYLES = ("speech2video", "filled_mouth", "vid2vid_authors")


def draw_map(points_K2: np.ndarray, *, style: str, width: int, height: int) -> np.ndarray:
    """Return the map (3, H, W) uint8 RGB of points (144, 2) in pixels, NaN where missing.

    Raises:
        ValueError: the style is none of `STYLES`.
    """
    if style not in STYLES:
        raise ValueError(f"style {style!r}; one of {', '.join(STYLES)} is needed")
    if style == "vid2vid_authors":
        return draw_vid2vid_authors(points_to_openpose(points_K2), height, width)
    filled = style == "filled_mouth"
    picture = draw_frame(points_K2, width=width, height=height, filled_mouth=filled)
    return picture.transpose(2, 0, 1)
