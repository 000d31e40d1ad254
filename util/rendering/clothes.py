"""The open body's clothes as a texture: its close-fitting suit painted, seen from the front.

The picture is the suit in the T-pose, so that u is the rest pose's x and v its y, slanted.
"""

import cv2
import numpy as np

from speech2video.util.rendering.appearance import Appearance, Colour, scale_colour

SIZE_METRES = 1.5
TOP_LEFT = np.array((-0.75, 0.19))  # x, y in metres
PIXELS = 1024
NECK = (0.0, 0.20)
NECKLINE, SLANT = 0.166, 0.16  # the suit is cut off at y + SLANT z = NECKLINE: higher at the back
YOKE = ((0.205, 0.022), (0.235, 0.008), (0.175, 0.006))  # rings: radius about NECK, width, metres
COLLAR = 0.014  # metres of ribbing below the neckline
CUFF, HEM, RIB = 0.635, -0.40, 0.013  # |x| and y of the edges of the ribbing; its period


def slanted(points_N3: np.ndarray) -> np.ndarray:
    """Return the picture's coordinates (N, 2), metres: x, and a height level with the neckline."""
    return np.stack((points_N3[:, 0], points_N3[:, 1] + SLANT * points_N3[:, 2]), 1)


def cut(faces_F3: np.ndarray, inside_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a mesh cut along inside = 0: triangles, edges cut (E, 2), share of their second end.

    Triangle corners from N on are points on the cut edges, in their order.
    """
    kept = inside_N >= 0
    number = kept[faces_F3].sum(1)
    edges: dict[tuple[int, int], int] = {}

    def crossing(a: int, b: int) -> int:
        return len(inside_N) + edges.setdefault((min(a, b), max(a, b)), len(edges))

    made = []
    for face in faces_F3[(number == 1) | (number == 2)]:
        odd = int(np.flatnonzero(kept[face] == (kept[face].sum() == 1))[0])
        tip, second, third = (int(face[(odd + step) % 3]) for step in range(3))
        p, q = crossing(tip, second), crossing(third, tip)
        made += [(tip, p, q)] if kept[tip] else [(p, second, third), (p, third, q)]
    ends = np.array(list(edges), int).reshape(-1, 2)
    first, last = inside_N[ends[:, 0]], inside_N[ends[:, 1]]
    return (
        np.concatenate((faces_F3[number == 3], np.array(made, int))),
        ends,
        first / (first - last),
    )


def sweater(appearance: Appearance) -> np.ndarray:
    """Return the texture (H, W, 3) in [0, 1]: a sweater with a round yoke, and trousers."""
    scale = SIZE_METRES / PIXELS
    x = TOP_LEFT[0] + (np.arange(PIXELS) + 0.5) * scale
    y = TOP_LEFT[1] - (np.arange(PIXELS)[:, None] + 0.5) * scale
    picture = np.ones((PIXELS, PIXELS, 3)) * appearance.top

    def paint(colour: Colour, depth: np.ndarray) -> None:
        """Blend a colour in where `depth`, metres inside its edge, is positive."""
        cover = np.broadcast_to(np.clip(depth / (2 * scale) + 0.5, 0, 1), picture.shape[:2])
        picture[:] += (np.array(colour) - picture) * cover[..., None]

    ribbing = scale_colour(appearance.top, 0.82)
    radius = np.hypot(x - NECK[0], (y - NECK[1]) * 1.15)
    for ring, width in YOKE:
        paint(appearance.trim, width / 2 - np.abs(radius - ring))
    paint(ribbing, y - (NECKLINE - COLLAR) + 0 * x)
    paint(ribbing, np.abs(x) - CUFF + 0 * y)
    weave = 1 + 0.04 * np.sin(2 * np.pi * (x + 0 * y) / RIB) + _mottle()
    picture *= weave[..., None]
    paint(appearance.trousers, HEM - y + 0 * x)
    return picture


def _mottle() -> np.ndarray:
    """Return slow unevenness, so that nothing is quite flat."""
    coarse = np.random.default_rng(0).normal(0, 0.025, (48, 48))
    return cv2.resize(coarse, (PIXELS, PIXELS), interpolation=cv2.INTER_CUBIC)
