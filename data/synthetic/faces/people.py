"""The people of the demo faces, each with a face and a voice drawn by a seed; no real likenesses.

Each attribute cycles through its values in an order of its own, drawn by the seed: neighbours
differ in nearly everything, and more people leave the first ones as they were.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from speech2video.data.synthetic.faces.emotions import SILENT, VoiceProfile
from speech2video.util.rendering.appearance import (
    BOB,
    Appearance,
    Colour,
    HairStyle,
    blend_colours,
    scale_colour,
)

Item = TypeVar("Item")

SKINS: tuple[Colour, ...] = (
    (0.96, 0.80, 0.71),
    (0.92, 0.72, 0.60),
    (0.87, 0.66, 0.50),
    (0.80, 0.58, 0.42),
    (0.68, 0.47, 0.33),
    (0.55, 0.37, 0.26),
    (0.47, 0.32, 0.235),
    (0.94, 0.76, 0.62),
)
HAIRS: tuple[Colour, ...] = (
    (0.10, 0.08, 0.07),
    (0.24, 0.15, 0.10),
    (0.42, 0.26, 0.16),
    (0.55, 0.24, 0.11),
    (0.80, 0.62, 0.36),
    (0.93, 0.84, 0.62),
    (0.62, 0.61, 0.60),
)
DARK_HAIRS = 2  # of them, which people of the darkest skins have
DARK_SKIN = 0.5  # red, below which hair is dark or grey
IRISES: tuple[Colour, ...] = (
    (0.33, 0.22, 0.13),
    (0.30, 0.46, 0.66),
    (0.34, 0.50, 0.34),
    (0.20, 0.13, 0.08),
    (0.46, 0.50, 0.54),
)
TOPS: tuple[Colour, ...] = (
    (0.20, 0.42, 0.47),
    (0.62, 0.18, 0.20),
    (0.86, 0.84, 0.80),
    (0.16, 0.18, 0.30),
    (0.84, 0.66, 0.24),
    (0.30, 0.44, 0.24),
    (0.14, 0.14, 0.15),
    (0.56, 0.38, 0.60),
    (0.44, 0.56, 0.74),
)
BACKGROUNDS: tuple[tuple[Colour, Colour], ...] = (
    ((0.70, 0.73, 0.77), (0.93, 0.935, 0.94)),
    ((0.30, 0.45, 0.58), (0.52, 0.68, 0.80)),
    ((0.52, 0.50, 0.44), (0.80, 0.77, 0.70)),
    ((0.28, 0.40, 0.34), (0.48, 0.62, 0.52)),
    ((0.24, 0.25, 0.29), (0.42, 0.43, 0.47)),
    ((0.60, 0.46, 0.42), (0.86, 0.72, 0.66)),
    ((0.48, 0.44, 0.58), (0.70, 0.66, 0.80)),
)
LONG = HairStyle(fringe=0.80, length=0.20, temple=(0.45, 1.0), curl=(0.0, 0.006), sway=0.05)
FRINGE = HairStyle(fringe=1.2, length=0.12, sway=0.0, temple=(0.7, 1.0))
CURLS = HairStyle(
    fringe=0.92, length=0.06, thickness=0.044, locks=0.008, sway=0.06, curl=(0.0, 0.03)
)
PIXIE = HairStyle(fringe=1.04, length=0.0, thickness=0.014, sway=0.2, temple=(0.75, 1.35))
CROP = HairStyle(
    fringe=0.80, length=-0.012, thickness=0.011, locks=0.003, sway=0.03, temple=(0.85, 1.4)
)
PARTED = HairStyle(fringe=0.86, length=-0.006, thickness=0.019, sway=0.22, temple=(0.8, 1.3))
AFRO = HairStyle(
    fringe=0.84, length=0.0, thickness=0.024, locks=0.005, sway=0.0, temple=(0.85, 1.35)
)
SHAGGY = HairStyle(fringe=1.02, length=0.05, thickness=0.022, locks=0.006, sway=0.12)
RECEDING = HairStyle(
    fringe=0.52, length=-0.012, thickness=0.008, locks=0.002, sway=0.0, temple=(0.75, 1.3)
)
WOMENS = (BOB, LONG, PIXIE, CURLS, FRINGE)
MENS = (CROP, "bald", PARTED, AFRO, "shaved", SHAGGY, RECEDING)
BEARDS = ("", "full", "", "moustache", "", "stubble", "goatee")
GLASSES = (False, False, True, False, False)

WOMENS_VOICES = (
    *("en-us+f2", "en-gb-x-rp+f4", "en-us+belinda", "en-gb-scotland+f1", "en-us+Annie"),
    *("en-us+steph", "en-gb-x-gbclan+f5", "en-us+f3", "en-029+linda", "en-gb-x-rp+grandma"),
    *("en-us+anika", "en-us-nyc+Alicia"),
)
MENS_VOICES = (
    *("en-us+m3", "en-gb-x-rp+m1", "en-us+edward", "en-gb-scotland+m7", "en-us-nyc+m2"),
    *("en-029+m5", "en-us+klatt3", "en-gb-x-gbcwmd+Andy", "en-us+Michael", "en-us+m8"),
    *("en-gb-x-rp+david", "en-us+quincy"),
)
FORMANTS = (0.82, 1.22)
FUNDAMENTAL = (0.78, 1.32)
PACES = (145, 190)  # words a minute
PITCH = (35, 62)  # of 0 to 99
BRIGHTNESS = (-4.0, 4.0)  # decibels
BREATHS = (SILENT, -10.0, SILENT, -15.0, -7.0)  # decibels relative to the voice
BREATH_HERTZ = ((400.0, 1600.0), (1500.0, 3500.0), (3500.0, 7500.0))
ROUGHNESS = (0.0, 0.4, 0.0, 0.2)
STEPS = 7  # that a range is divided into

MALE_SHAPE, SHAPE_SCATTER = 0.9, 1.25  # of the body's shape coefficients
LEAST_SHAPE, MOST_SHAPE = (
    (-2.2, -2.2, -2, -2, -2, -2, -1.7, -1.8, -1.8, -1.8),
    (1.9, 2.2, 2, 2, 2, 2, 1.9, 2, 2, 0.8),
)


@dataclass(frozen=True)
class DemoPerson:
    """One of the demo faces' people.

    Attributes:
        number: counted from 0.
        betas: (10,) of the open body.
        appearance: skin, hair, eyes, clothes and background.
        head: "hair", or "bald" or "shaved" without.
        beard: "", "full", "goatee", "moustache" or "stubble".
        glasses: whether any are worn.
        voice_profile: the voice.
        liveliness: factor of expressions.
        articulation: factor of the jaw's motion.
    """

    number: int
    betas: tuple[float, ...]
    appearance: Appearance
    head: str
    beard: str
    glasses: bool
    voice_profile: VoiceProfile
    liveliness: float
    articulation: float

    @property
    def name(self) -> str:
        """The speaker's name in a data set."""
        return f"p{self.number:02d}"


class _Draws:
    """Draws one person's value from each list and range."""

    def __init__(self, seed: int, place: int) -> None:
        self._seed, self._place, self._part = seed, place, 0

    def of(self, items: Sequence[Item]) -> Item:
        """Return this person's item; the order is drawn anew for each list and each round."""
        self._part += 1
        turn, place = divmod(self._place, len(items))
        order = np.random.default_rng((self._seed, self._part, turn)).permutation(len(items))
        return items[order[place]]

    def within(self, low: float, high: float) -> float:
        """Return this person's number in a range, which is divided into steps."""
        step = self.of(range(STEPS))
        within = np.random.default_rng((self._seed, self._part, self._place, 1)).uniform(0.2, 0.8)
        return low + (high - low) * (step + within) / STEPS


def draw_person(number: int, *, seed: int) -> DemoPerson:
    """Return one of a seed's people; women and men alternate."""
    man, place = number % 2 == 1, number // 2
    draws, own = _Draws(2 * seed + man, place), _Draws(2 * seed, number)
    random = np.random.default_rng((seed, number))
    appearance = _appearance(draws, own, man)
    style = draws.of(MENS if man else WOMENS)
    head = style if isinstance(style, str) else "hair"
    if head == "hair":
        appearance = replace(appearance, style=style)
    return DemoPerson(
        number=number,
        betas=_betas(man, random),
        appearance=appearance,
        head=head,
        beard=draws.of(BEARDS) if man else "",
        glasses=own.of(GLASSES),
        voice_profile=_voice_profile(draws, own, man),
        liveliness=float(random.uniform(0.85, 1.1)),
        articulation=float(random.uniform(0.9, 1.2)),
    )


def _appearance(draws: _Draws, own: _Draws, man: bool) -> Appearance:
    skin = own.of(SKINS)
    hair = own.of(HAIRS)
    if skin[0] < DARK_SKIN and hair != HAIRS[-1]:
        hair = HAIRS[HAIRS.index(hair) % DARK_HAIRS]
    lips = blend_colours(
        scale_colour(skin, (0.86, 0.62, 0.64)), (0.72, 0.30, 0.32), 0.2 if man else 0.45
    )
    top = own.of(TOPS)
    return Appearance(
        skin=skin,
        lips=lips,
        hair=hair,
        iris=draws.of(IRISES),
        top=top,
        trim=blend_colours(top, (0.9, 0.88, 0.82), 0.7),
        background=own.of(BACKGROUNDS),
    )


def _voice_profile(draws: _Draws, own: _Draws, man: bool) -> VoiceProfile:
    return VoiceProfile(
        voice=draws.of(MENS_VOICES if man else WOMENS_VOICES),
        rate_wpm=round(own.within(*PACES)),
        pitch=round(own.within(*PITCH)),
        formants=own.within(*FORMANTS),
        fundamental=own.within(*FUNDAMENTAL),
        brightness=own.within(*BRIGHTNESS),
        breath=draws.of(BREATHS),
        breath_hertz=draws.of(BREATH_HERTZ),
        roughness=draws.of(ROUGHNESS),
    )


def _betas(man: bool, random: np.random.Generator) -> tuple[float, ...]:
    """Return a body's shape; the first coefficient separates men and women most."""
    betas = SHAPE_SCATTER * random.standard_normal(len(LEAST_SHAPE))
    betas[0] = betas[0] / 2 + (MALE_SHAPE if man else -MALE_SHAPE)
    return tuple(float(b) for b in betas.clip(LEAST_SHAPE, MOST_SHAPE))
