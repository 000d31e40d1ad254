"""Where head, hands, mouth and eyes are in a picture: square boxes from the projected points."""

import numpy as np

from speech2video.util.body.skeleton import (
    IBUG68,
    LEFT_HAND_JOINTS,
    LEFT_TIPS,
    POINT_INDEX,
    RIGHT_HAND_JOINTS,
    RIGHT_TIPS,
    indices,
)

REGION_POINTS = {
    "head": list(IBUG68),
    "left_hand": indices(("left_wrist", *LEFT_HAND_JOINTS, *LEFT_TIPS)),
    "right_hand": indices(("right_wrist", *RIGHT_HAND_JOINTS, *RIGHT_TIPS)),
    "mouth": list(IBUG68[48:68]),
    "eyes": [*IBUG68[17:27], *IBUG68[36:48]],  # and brows
}
REGIONS = tuple(REGION_POINTS)
# Box side / the points' larger extent. The landmarks end at brows and chin: a head is more.
MARGINS = {"head": 1.9, "left_hand": 1.4, "right_hand": 1.4, "mouth": 1.7, "eyes": 1.1}
HEAD_RISE = 0.15  # the head's box sits higher than its landmarks, by this part of its side
LEAST_VISIBLE = 0.5  # share of a box that must lie in the picture for the part to count as seen


def region_boxes(points_TK2: np.ndarray, region: str) -> np.ndarray:
    """Return square boxes (T, 4), x0 y0 x1 y1 in pixels, of one region in points (T, 144, 2).

    A box is NaN where any of the region's points is missing. `region` is a key of `REGION_POINTS`.
    """
    points = points_TK2[:, REGION_POINTS[region]]
    low, high = points.min(1), points.max(1)
    side = (high - low).max(1) * MARGINS[region]
    if region.endswith("hand"):
        # An edge-on fist has hardly any extent; a hand is at least half as long as its forearm.
        side = np.fmax(side, 0.5 * _forearm(points_TK2, region.removesuffix("_hand")))
    center = (low + high) / 2
    if region == "head":
        center = center - np.stack((np.zeros_like(side), HEAD_RISE * side), 1)
    half = side[:, None] / 2
    return np.concatenate((center - half, center + half), 1)


def visible(boxes_T4: np.ndarray, *, width: int, height: int) -> np.ndarray:
    """Return which boxes (T,) lie in the picture with at least half of their area."""
    clipped = boxes_T4.clip(0, (width, height, width, height))
    inside = (clipped[:, 2] - clipped[:, 0]) * (clipped[:, 3] - clipped[:, 1])
    area = (boxes_T4[:, 2] - boxes_T4[:, 0]) * (boxes_T4[:, 3] - boxes_T4[:, 1])
    return inside >= LEAST_VISIBLE * area  # False for NaN, as it should be


def _forearm(points_TK2: np.ndarray, side: str) -> np.ndarray:
    elbow = points_TK2[:, POINT_INDEX[f"{side}_elbow"]]
    wrist = points_TK2[:, POINT_INDEX[f"{side}_wrist"]]
    return np.linalg.norm(elbow - wrist, axis=1)
