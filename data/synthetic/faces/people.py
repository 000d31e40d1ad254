"""The people of the demo faces, each with a face and a voice drawn by a seed; no real likenesses.

Each attribute cycles through its values in an order of its own, drawn by the seed: neighbours
differ in nearly everything, and more people leave the first ones as they were.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from speech2video.data.synthetic.faces.emotions import VoiceProfile
from speech2video.util.files import read_json
from speech2video.util.rendering.appearance import (
    Appearance,
    Colour,
    HairStyle,
    blend_colours,
    scale_colour,
)

Item = TypeVar("Item")


def _freeze(value: Any) -> Any:
    """Return a json value with tuples for lists and hair styles for objects."""
    if isinstance(value, dict):
        return HairStyle(**{name: _freeze(item) for name, item in value.items()})
    return tuple(map(_freeze, value)) if isinstance(value, list) else value


# What to draw from: colours, hair styles, voices, beards ("" is none), decibels of breath (-90 is
# none) and the band of its noise in Hz.
CHOICES: dict[str, Any] = {
    name: _freeze(values)
    for name, values in read_json(Path(__file__).with_name("people.json"), what="people").items()
}
DARK_HAIRS = 2  # of the hair colours, for people of the darkest skins
DARK_SKIN = 0.5  # red, below which hair is dark or grey
FORMANTS = (0.82, 1.22)
FUNDAMENTAL = (0.78, 1.32)
PACES = (145, 190)  # words a minute
PITCH = (35, 62)  # of 0 to 99
BRIGHTNESS = (-4.0, 4.0)  # decibels
STEPS = 7  # that a range is divided into

MALE_SHAPE, SHAPE_SCATTER = 0.9, 1.25  # of the body's shape coefficients
MIN_SHAPE = (-2.2, -2.2, -2, -2, -2, -2, -1.7, -1.8, -1.8, -1.8)
MAX_SHAPE = (1.9, 2.2, 2, 2, 2, 2, 1.9, 2, 2, 0.8)


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
    style = draws.of(CHOICES["mens_hair_styles" if man else "womens_hair_styles"])
    head = style if isinstance(style, str) else "hair"
    if head == "hair":
        appearance = replace(appearance, style=style)
    return DemoPerson(
        number=number,
        betas=_betas(man, random),
        appearance=appearance,
        head=head,
        beard=draws.of(CHOICES["beard"]) if man else "",
        glasses=own.of(CHOICES["glasses"]),
        voice_profile=_voice_profile(draws, own, man),
        liveliness=float(random.uniform(0.85, 1.1)),
        articulation=float(random.uniform(0.9, 1.2)),
    )


def _appearance(draws: _Draws, own: _Draws, man: bool) -> Appearance:
    skin: Colour = own.of(CHOICES["skin"])
    hair: Colour = own.of(CHOICES["hair"])
    if skin[0] < DARK_SKIN and hair != CHOICES["hair"][-1]:
        hair = CHOICES["hair"][CHOICES["hair"].index(hair) % DARK_HAIRS]
    rosy, red = scale_colour(skin, (0.86, 0.62, 0.64)), (0.72, 0.30, 0.32)
    top: Colour = own.of(CHOICES["top"])
    return Appearance(
        skin=skin,
        lips=blend_colours(rosy, red, 0.2 if man else 0.45),
        hair=hair,
        iris=draws.of(CHOICES["iris"]),
        top=top,
        trim=blend_colours(top, (0.9, 0.88, 0.82), 0.7),
        background=own.of(CHOICES["background"]),
    )


def _voice_profile(draws: _Draws, own: _Draws, man: bool) -> VoiceProfile:
    return VoiceProfile(
        voice=draws.of(CHOICES["mens_voices" if man else "womens_voices"]),
        rate_wpm=round(own.within(*PACES)),
        pitch=round(own.within(*PITCH)),
        formants=own.within(*FORMANTS),
        fundamental=own.within(*FUNDAMENTAL),
        brightness=own.within(*BRIGHTNESS),
        breath=draws.of(CHOICES["breath"]),
        breath_hertz=draws.of(CHOICES["breath_hertz"]),
        roughness=draws.of(CHOICES["roughness"]),
    )


def _betas(man: bool, random: np.random.Generator) -> tuple[float, ...]:
    """Return a body's shape; the first coefficient separates men and women most."""
    betas = SHAPE_SCATTER * random.standard_normal(len(MIN_SHAPE))
    betas[0] = betas[0] / 2 + (MALE_SHAPE if man else -MALE_SHAPE)
    return tuple(float(b) for b in betas.clip(MIN_SHAPE, MAX_SHAPE))
