"""How a body looks: the colours of its parts, and the studio around it."""

from dataclasses import dataclass

from speech2video.util.rendering.hair import BOB, HairStyle

Colour = tuple[float, float, float]  # red, green, blue in [0, 1], as displayed


@dataclass(frozen=True)
class Light:
    """A far light: where it is seen from the camera (x right, y up, z to the viewer), its colour.

    `intensity` scales what matt surfaces give back; 1 is full white on a white one that faces it.
    """

    position: tuple[float, float, float]
    colour: Colour
    intensity: float


STUDIO_LIGHTS = (
    Light((-0.55, 0.65, 1.0), (1.0, 0.97, 0.92), 0.74),  # key
    Light((0.95, 0.15, 0.8), (0.90, 0.94, 1.0), 0.34),  # fill
    Light((0.1, -0.6, 1.0), (1.0, 0.95, 0.90), 0.12),  # what the floor gives back
    Light((0.75, 0.7, -0.8), (1.0, 1.0, 1.0), 0.38),  # rim
)


@dataclass(frozen=True)
class Appearance:
    """What a body looks like, and the studio it stands in.

    Attributes:
        skin, lips, hair, iris: of the open body.
        style: how its hair is cut.
        top, trim, trousers: its sweater, the rings on it, what shows below.
        plain: the one colour of any other body.
        background: colours in the picture's corners, and around its middle.
        lights: they go with the camera.
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
    return tuple(a + (b - a) * share for a, b in zip(first, second, strict=True))


def scale_colour(colour: Colour, factor: float | Colour) -> Colour:
    """Return a colour times a factor, or times one for each of red, green and blue."""
    factors = (factor,) * 3 if isinstance(factor, int | float) else factor
    return tuple(a * b for a, b in zip(colour, factors, strict=True))
