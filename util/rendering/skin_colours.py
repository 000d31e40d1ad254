"""Colours of the open body's vertices: skin, lips, eyes, brows, teeth, from its parts and regions.

Places are metres in the open body's rest pose.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from speech2video.util.rendering.appearance import Appearance, Colour, blend_colours, scale_colour

BLUSH = ((0.042, 0.262, 0.145), 0.022, 0.55)  # of each cheek: centre, radius, strength
NOSE_TIP = ((0.0, 0.265, 0.184), 0.012, 0.35)
UNDER_CHIN = (
    0.215,
    0.030,
    0.135,
)  # height below which the head's shade falls, its soft edge; depth
NECK_WIDTH = 0.12
ROSY, DUSKY = (1.0, 0.80, 0.78), (0.62, 0.52, 0.48)  # skin times these: flushed, in shade
MOUTH, NAIL, TONGUE, LASHES = (
    (0.33, 0.12, 0.12),
    (0.95, 0.80, 0.76),
    (0.66, 0.33, 0.33),
    (0.16, 0.11, 0.09),
)
WHITE, TEETH, PUPIL = (0.93, 0.92, 0.90), (0.93, 0.91, 0.86), (0.04, 0.03, 0.03)


def vertex_colours(
    points_V3: np.ndarray,
    parts: Mapping[str, np.ndarray],
    regions: Mapping[str, np.ndarray],
    appearance: Appearance,
) -> np.ndarray:
    """Return colours (V, 3) in [0, 1]; `parts` are masks (V,) and `regions` shares (V,) by name."""
    colours_V3 = np.tile(np.array(appearance.skin), (len(points_V3), 1))
    for colour, share_V in (
        *_skin_layers(points_V3, regions, appearance),
        *_part_layers(parts, regions, appearance),
    ):
        colours_V3 += (np.array(colour) - colours_V3) * share_V[:, None]
    return colours_V3


def _skin_layers(
    points_V3: np.ndarray, regions: Mapping[str, np.ndarray], appearance: Appearance
) -> Iterator[tuple[Colour, np.ndarray]]:
    """Yield colours and how much of each is laid over the skin, in order."""
    rosy, dusky = scale_colour(appearance.skin, ROSY), scale_colour(appearance.skin, DUSKY)
    for centre, radius, strength in (BLUSH, NOSE_TIP):
        away_V3 = np.abs(points_V3 * (1, 0, 0)) + points_V3 * (0, 1, 1) - centre
        yield rosy, strength * np.exp(-np.square(away_V3).sum(1) / radius**2)
    yield rosy, 0.5 * regions["ears"]
    yield dusky, 0.28 * regions["eyelids"]
    x, y, z = points_V3.T
    height, edge, depth = UNDER_CHIN
    neck = np.clip((height - y) / edge, 0, 1) * np.clip((depth - z) / edge, 0, 1)
    yield dusky, 0.55 * neck * (np.abs(x) < NECK_WIDTH)
    yield scale_colour(appearance.hair, 0.8), np.clip(1.3 * regions["scalp"], 0, 1)
    yield appearance.lips, 0.75 * regions["lips"]
    yield MOUTH, regions["mouth_inside"]
    yield NAIL, 0.6 * regions["nails"]


def _part_layers(
    parts: Mapping[str, np.ndarray], regions: Mapping[str, np.ndarray], appearance: Appearance
) -> Iterator[tuple[Colour, np.ndarray]]:
    yield TONGUE, parts["tongue"]
    yield LASHES, parts["lashes"]
    yield blend_colours(appearance.hair, appearance.skin, 0.25), parts["brows"]
    yield TEETH, parts["upper_teeth"] | parts["lower_teeth"]
    yield WHITE, parts["left_eye"] | parts["right_eye"]
    yield appearance.iris, regions["iris"]
    yield PUPIL, regions["pupil"]
