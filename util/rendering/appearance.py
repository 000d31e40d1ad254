"""How a rendered body is coloured: skin, eyes, clothes, hair cut, studio lights and background."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

Colour = tuple[float, float, float]  # red, green, blue in [0, 1], as displayed

# Places on the skin of the open body's rest pose, metres.
BLUSH = ((0.042, 0.262, 0.145), 0.022, 0.55)  # of each cheek: centre, radius, strength
NOSE_TIP = ((0.0, 0.265, 0.184), 0.012, 0.35)
UNDER_CHIN = (0.215, 0.030, 0.135)  # the head's shadow: height it begins below, soft edge, depth
NECK_WIDTH = 0.12
ROSY, DUSKY = (1.0, 0.80, 0.78), (0.62, 0.52, 0.48)  # skin times these: flushed, in shade
MOUTH, NAIL, TONGUE = (0.33, 0.12, 0.12), (0.95, 0.80, 0.76), (0.66, 0.33, 0.33)
LASHES, WHITE, TEETH = (0.16, 0.11, 0.09), (0.93, 0.92, 0.90), (0.93, 0.91, 0.86)
PUPIL = (0.04, 0.03, 0.03)

# The suit's texture shows it in the T-pose from the front: u is the rest pose's x and v its y,
# slanted. Metres.
TEXTURE_SIZE = 1.5
TEXTURE_TOP_LEFT = np.array((-0.75, 0.19))  # x, y
TEXTURE_PIXELS = 1024
NECK = (0.0, 0.20)
NECKLINE, SLANT = 0.166, 0.16  # the suit is cut off at y + SLANT z = NECKLINE: higher at the back
YOKE = ((0.205, 0.022), (0.235, 0.008), (0.175, 0.006))  # rings: radius about NECK, width
COLLAR = 0.014  # ribbing below the neckline
CUFF, HEM, RIB = 0.635, -0.40, 0.013  # |x| and y of the edges of the ribbing; its period


@dataclass(frozen=True)
class Light:
    """A far light: its direction from the camera (x right, y up, z to the viewer), its colour.

    `intensity` scales what matt surfaces give back; 1 is full white on a white one that faces it.
    """

    position: tuple[float, float, float]
    colour: Colour
    intensity: float


STUDIO_LIGHTS = (
    Light((-0.55, 0.65, 1.0), (1.0, 0.97, 0.92), 0.74),  # key
    Light((0.95, 0.15, 0.8), (0.90, 0.94, 1.0), 0.34),  # fill
    Light((0.1, -0.6, 1.0), (1.0, 0.95, 0.90), 0.12),  # reflected by the ground
    Light((0.75, 0.7, -0.8), (1.0, 1.0, 1.0), 0.38),  # rim
)


@dataclass(frozen=True)
class HairStyle:
    """How hair is cut; by default a side-swept bob.

    Attributes:
        fringe: radians from the crown to the hairline over the face.
        length: metres hung below the brows; negative ends above them.
        temple: radians from the front: the fringe ends, the full length begins.
        thickness: metres over the skull, at the crown and the sides.
        locks: metres that locks stand out.
        sway: radians by which the fringe is lower on one side.
        curl: metres that the hung part turns inward: evenly, and at its tips.
    """

    fringe: float = 0.95
    length: float = 0.088
    temple: tuple[float, float] = (0.62, 1.12)
    thickness: float = 0.017
    locks: float = 0.0022
    sway: float = 0.17
    curl: tuple[float, float] = (0.004, 0.014)


BOB = HairStyle()


@dataclass(frozen=True)
class Appearance:
    """Colours of a body, and the studio it stands in.

    Attributes:
        skin, lips, hair, iris: of the open body.
        style: how its hair is cut.
        top, trim, trousers: its sweater, the rings on it, what shows below.
        plain: the one colour of any other body.
        background: colours in the image's corners, and around its middle.
        lights: they move with the camera.
    """

    skin: Colour = (0.90, 0.70, 0.59)
    lips: Colour = (0.76, 0.42, 0.40)
    hair: Colour = (0.40, 0.25, 0.16)
    iris: Colour = (0.36, 0.26, 0.17)
    style: HairStyle = BOB
    top: Colour = (0.20, 0.42, 0.47)
    trim: Colour = (0.88, 0.84, 0.74)
    trousers: Colour = (0.20, 0.21, 0.25)
    plain: Colour = (0.83, 0.68, 0.60)
    background: tuple[Colour, Colour] = ((0.70, 0.73, 0.77), (0.93, 0.935, 0.94))
    lights: tuple[Light, ...] = STUDIO_LIGHTS


def blend_colours(first: Colour, second: Colour, share: float) -> Colour:
    """Return a colour with this share of the second."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def scale_colour(colour: Colour, factor: float | Colour) -> Colour:
    """Return a colour times a factor, or times one for each of red, green and blue."""
    factors = (factor,) * 3 if isinstance(factor, int | float) else factor
    red, green, blue = (a * b for a, b in zip(colour, factors, strict=True))
    return red, green, blue


def to_bytes(colours: np.ndarray | Colour) -> np.ndarray:
    """Return colours in [0, 1] as uint8."""
    return np.round(np.clip(colours, 0, 1) * 255.0).astype(np.uint8)


def vertex_colours(
    points_V3: np.ndarray,
    parts: Mapping[str, np.ndarray],
    regions: Mapping[str, np.ndarray],
    appearance: Appearance,
) -> np.ndarray:
    """Return the open body's colours (V, 3) in [0, 1].

    `parts` are masks (V,) and `regions` shares (V,) by name.
    """
    colours_V3 = np.tile(np.array(appearance.skin), (len(points_V3), 1))
    for colour, share_V in _layers(points_V3, parts, regions, appearance):
        colours_V3 += (np.array(colour) - colours_V3) * share_V[:, None]
    return colours_V3


def _layers(
    points_V3: np.ndarray,
    parts: Mapping[str, np.ndarray],
    regions: Mapping[str, np.ndarray],
    appearance: Appearance,
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
    yield TONGUE, parts["tongue"]
    yield LASHES, parts["lashes"]
    yield blend_colours(appearance.hair, appearance.skin, 0.25), parts["brows"]
    yield TEETH, parts["upper_teeth"] | parts["lower_teeth"]
    yield WHITE, parts["left_eye"] | parts["right_eye"]
    yield appearance.iris, regions["iris"]
    yield PUPIL, regions["pupil"]


def flatten_suit(points_N3: np.ndarray) -> np.ndarray:
    """Return places (N, 2) on the suit's texture: x, and a height level with the neckline."""
    return np.stack((points_N3[:, 0], points_N3[:, 1] + SLANT * points_N3[:, 2]), 1)


def sweater_texture(appearance: Appearance) -> np.ndarray:
    """Return the texture (H, W, 3) in [0, 1]: a sweater with a round yoke, and trousers."""
    scale = TEXTURE_SIZE / TEXTURE_PIXELS
    x = TEXTURE_TOP_LEFT[0] + (np.arange(TEXTURE_PIXELS) + 0.5) * scale
    y = TEXTURE_TOP_LEFT[1] - (np.arange(TEXTURE_PIXELS)[:, None] + 0.5) * scale
    texture = np.ones((TEXTURE_PIXELS, TEXTURE_PIXELS, 3)) * appearance.top

    def cover(colour: Colour, depth: np.ndarray) -> None:
        """Blend a colour in where `depth`, metres inside its edge, is positive."""
        share = np.broadcast_to(np.clip(depth / (2 * scale) + 0.5, 0, 1), texture.shape[:2])
        texture[:] += (np.array(colour) - texture) * share[..., None]

    ribbing = scale_colour(appearance.top, 0.82)
    radius = np.hypot(x - NECK[0], (y - NECK[1]) * 1.15)
    for ring, width in YOKE:
        cover(appearance.trim, width / 2 - np.abs(radius - ring))
    cover(ribbing, y - (NECKLINE - COLLAR) + 0 * x)
    cover(ribbing, np.abs(x) - CUFF + 0 * y)
    # Slow unevenness, so that nothing is quite flat.
    coarse = np.random.default_rng(0).normal(0, 0.025, (48, 48))
    mottle = cv2.resize(coarse, (TEXTURE_PIXELS,) * 2, interpolation=cv2.INTER_CUBIC)
    texture *= (1 + 0.04 * np.sin(2 * np.pi * (x + 0 * y) / RIB) + mottle)[..., None]
    cover(appearance.trousers, HEM - y + 0 * x)
    return texture
