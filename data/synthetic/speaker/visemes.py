"""Phones to the mouth's motion: a target for each phone, blended by dominance.

The blend is that of Cohen & Massaro, "Modeling coarticulation in synthetic visual speech", 1993:
each phone pulls at every feature of the mouth with a dominance that is highest during the phone and
fades around it; the mouth is the average of all targets weighted so. The fading is a Gaussian here
(their exponent c is 2), which makes every curve smooth. Rounded phones reach far ahead, and
consonants made inside the mouth leave the lips to their neighbours. A blend alone would leave the
lips ajar in a fast "p": bilabials close them whatever their neighbours are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from speech2video.data.synthetic.common import plateau
from speech2video.util.files import read_table
from speech2video.util.text.transcript import Phone

JAW_FULL = 0.3927  # radians; the opening over which `mouth_close` at 1 closes the lips

SILENCE = 0.1  # seconds without a phone from which on the mouth is shut
LEAD = 0.075  # seconds: how far a phone's dominance reaches ahead of it ...
LAG = 0.06  # ... and behind
CORE = 0.035  # seconds at either end of a phone in which its dominance already fades
CLOSURE = 0.062  # seconds the lips stay shut at least: more than a frame, so that one shows it
CLOSING = 0.045  # seconds in which the lips shut and part
JAW_IN_CLOSURE = 0.5  # how far a closure lifts the jaw

SHUTTER = 0.02  # seconds a frame is exposed: half its time, as a film camera's
EXPOSURES = 5


@dataclass(frozen=True)
class Viseme:
    """A phone's target: jaw in radians, expressions as shares of the full action, its dominances.

    Attributes:
        close: how far the lips are closed over whatever the jaw opens, 0 to 1.
        jaw_weight, lips_weight: dominance over the jaw and over everything else.
        reach: how far the phone's influence spreads, in multiples of `LEAD` and `LAG`.
    """

    jaw: float = 0.0
    close: float = 0.0
    funnel: float = 0.0
    pucker: float = 0.0
    smile: float = 0.0
    stretch: float = 0.0
    upper: float = 0.0
    lower: float = 0.0
    jaw_weight: float = 1.0
    lips_weight: float = 1.0
    reach: float = 1.0


FEATURES = tuple(field.name for field in fields(Viseme))[:8]
_PARTING = ("funnel", "upper", "lower")  # what parts the lips though the jaw is shut
_EXPRESSIONS = {
    "mouth_funnel": "funnel",
    "mouth_pucker": "pucker",
    "mouth_smile": "smile",
    "mouth_stretch": "stretch",
    "upper_lip_up": "upper",
    "lower_lip_down": "lower",
}

_SHUT = Viseme()
_VISEMES = {
    symbol: Viseme(**{field.name: float(row[field.name]) for field in fields(Viseme)})
    for row in read_table(Path(__file__).with_name("visemes.csv"))
    for symbol in row["phones"].split()
}
VOWELS = frozenset("iɪᵻɨɯeɛæaɑɒɶʌɐɤəᵊɘɜɝɚɞœɔoøɵʊʏuʉy")
_STRESS_OPENING = {True: 1.12, False: 0.85}  # of a vowel's jaw


@dataclass(frozen=True)
class Segment:
    """A stretch of time with one mouth target; a diphthong is two of them."""

    viseme: Viseme
    start: float
    end: float


def is_vowel(phone: Phone) -> bool:
    """Return whether a phone is a vowel or diphthong."""
    return any(letter in VOWELS for letter in phone.text)


def split_ipa(text: str) -> list[str]:
    """Return the known symbols of a phone's IPA, affricates whole, without length and stress."""
    symbols, i = [], 0
    while i < len(text):
        symbol = text[i : i + 2] if text[i : i + 2] in _VISEMES else text[i]
        if symbol in _VISEMES:
            symbols.append(symbol)
        i += len(symbol)
    return symbols


def mouth_segments(phones: Iterable[Phone], duration: float) -> list[Segment]:
    """Return the mouth targets of phones, and shut mouths wherever there is silence."""
    segments, end = [], -1.0  # a shut mouth before the first frame
    for phone in sorted(phones, key=lambda phone: phone.start):
        symbols = split_ipa(phone.text)
        if not symbols:
            continue
        if phone.start - end >= SILENCE:
            segments.append(Segment(_SHUT, end, phone.start))
        edges = np.linspace(phone.start, phone.end, len(symbols) + 1)
        for symbol, start, stop in zip(symbols, edges[:-1], edges[1:], strict=True):
            viseme = _VISEMES[symbol]
            if symbol in VOWELS:
                viseme = replace(viseme, jaw=viseme.jaw * _STRESS_OPENING[phone.stress > 0])
            segments.append(Segment(viseme, float(start), float(stop)))
        end = phone.end
    return [*segments, Segment(_SHUT, end, max(duration, end) + 1.0)]


def mouth_features(segments: Sequence[Segment], times: np.ndarray) -> np.ndarray:
    """Return `FEATURES` (..., 8) at times (...), in seconds."""
    shape, times_N = times.shape, times.ravel()
    targets_SF = np.array([[getattr(s.viseme, name) for name in FEATURES] for s in segments])
    averages = []
    for weight, columns in (("jaw_weight", slice(1)), ("lips_weight", slice(1, None))):
        weights = [getattr(s.viseme, weight) * _dominance(s, times_N) for s in segments]
        sums_N1 = np.stack(weights).sum(0)[:, None].clip(1e-12)
        averages.append(np.stack(weights).T @ targets_SF[:, columns] / sums_N1)
    features_NF = np.concatenate(averages, 1)
    return _closed(features_NF, segments, times_N).reshape(*shape, len(FEATURES))


def mouth_curves(
    phones: Iterable[Phone], times_T: np.ndarray, duration: float
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the jaw's opening (T,) in radians and expression name -> coefficient (T,).

    `times_T` are the middles of the frames; each is the mean over its exposure.
    """
    exposures_E = (np.arange(EXPOSURES) + 0.5) / EXPOSURES - 0.5
    times_TE = times_T[:, None] + exposures_E * SHUTTER
    features_TEF = mouth_features(mouth_segments(phones, duration), times_TE)
    value = {name: features_TEF[..., i] for i, name in enumerate(FEATURES)}
    expressions = {name: value[key].mean(1) for name, key in _EXPRESSIONS.items()}
    expressions["mouth_close"] = (value["close"] * value["jaw"]).mean(1) / JAW_FULL
    return value["jaw"].mean(1), expressions


def _dominance(segment: Segment, times_N: np.ndarray) -> np.ndarray:
    """Return 1 within a segment, less its core's edges, fading as a Gaussian around."""
    half = (segment.end - segment.start) / 2
    offset = times_N - (segment.start + half)
    outside = np.maximum(np.abs(offset) - max(half - CORE, 0.0), 0.0)
    width = np.where(offset < 0, LEAD, LAG) * segment.viseme.reach
    return np.exp(-((outside / width) ** 2))


def _closed(
    features_NF: np.ndarray, segments: Sequence[Segment], times_N: np.ndarray
) -> np.ndarray:
    """Return the features with the lips brought together in phones that must close them."""
    shut_N = np.zeros(len(times_N))
    for segment in segments:
        if segment.viseme.close > 0:
            middle = (segment.start + segment.end) / 2
            half = max(segment.end - segment.start, CLOSURE) / 2
            course_N = plateau(times_N, middle - half, middle + half, CLOSING, CLOSING)
            shut_N = np.maximum(shut_N, segment.viseme.close * course_N)
    result_NF = features_NF.copy()
    close = FEATURES.index("close")
    result_NF[:, close] += (1 - result_NF[:, close]) * shut_N
    result_NF[:, 0] *= 1 - JAW_IN_CLOSURE * shut_N
    for name in _PARTING:
        result_NF[:, FEATURES.index(name)] *= 1 - shut_N
    return result_NF
