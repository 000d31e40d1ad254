"""The emotions of the demo faces: changes of expression, head motion and voice.

Faces after the action units that Ekman & Friesen's "Facial Action Coding System" (1978) lists for
each emotion; voices after the summary of Juslin & Laukka, "Communication of emotions in vocal
expression and music performance", Psychological Bulletin 129, 2003. Sizes are chosen by hand.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from speech2video.data.speech2face.clip import EMOTIONS

SILENT = -90.0  # decibels


@dataclass(frozen=True)
class Delivery:
    """Changes of a voice.

    Attributes:
        pace: times the person's own.
        pitch: times the person's own.
        accents: share by which pitch rises on stressed syllables.
        glide: share by which pitch rises (falls, if negative) from the first to the last word.
        tremor: share by which pitch trembles.
        loudness_tremor: share by which loudness trembles with it.
        swell: decibels by which loudness rises from the first to the last word.
        emphasis: decibels by which stressed syllables are louder.
        breath: decibels of breath noise relative to the voice; `SILENT` is none.
        roughness: share by which loudness flutters from period to period.
        loudness: decibels.
        brightness: decibels by which high frequencies are louder, at 4 kHz.
        mark: punctuation at the end of the sentence, which sets espeak-ng's intonation.
    """

    pace: float = 1.0
    pitch: float = 1.0
    accents: float = 0.05
    glide: float = 0.0
    tremor: float = 0.0
    loudness_tremor: float = 0.0
    swell: float = 0.0
    emphasis: float = 0.0
    breath: float = SILENT
    roughness: float = 0.0
    loudness: float = 0.0
    brightness: float = 0.0
    mark: str = "."


@dataclass(frozen=True)
class EmotionProfile:
    """An emotion's face and voice.

    Attributes:
        face: expression or extra action -> amount added to it.
        jaw: radians by which the jaw hangs lower.
        head: degrees: nod (down is positive), turn, tilt.
        motion: times the usual head motion.
        nods: times the usual nods on stressed words.
        blinks: times the usual number of blinks.
        delivery: of the voice.
    """

    face: dict[str, float] = field(default_factory=dict)
    jaw: float = 0.0
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    motion: float = 1.0
    nods: float = 1.0
    blinks: float = 1.0
    delivery: Delivery = Delivery()


# Voices, one column for each emotion but neutral:
# calm, happy, sad, angry, fearful, disgusted, surprised
_DELIVERY_TABLE: dict[str, tuple[Any, ...]] = {
    "pace": (0.86, 1.08, 0.8, 1.15, 1.22, 0.9, 1.0),
    "pitch": (0.93, 1.2, 0.88, 1.06, 1.24, 0.9, 1.12),
    "accents": (0.0, 0.2, -0.03, 0.28, 0.03, -0.12, 0.2),
    "glide": (-0.05, 0.06, -0.16, -0.05, 0.0, -0.12, 0.35),
    "tremor": (0.0, 0.0, 0.0, 0.0, 0.045, 0.0, 0.0),
    "loudness_tremor": (0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0),
    "swell": (0.0, 3, -9, 0.0, 0.0, -5, 9),
    "emphasis": (-7, 4, -3, 8, 0.0, 2, 6),
    "breath": (SILENT, SILENT, -9, SILENT, -14, SILENT, -20),
    "roughness": (0.0, 0.0, 0.0, 0.75, 0.0, 0.55, 0.0),
    "loudness": (-4, 2, -6, 5, -1, 0, 3),
    "brightness": (-4, 2, -6, 7, 1, 4, 2),
    "mark": (".", "!", ".", "!", ".", ".", "?"),
}
_FACES = {
    "calm": EmotionProfile(
        face={"mouth_smile": 0.22, "blink": 0.26, "brows_up": 0.1},
        head=(-1.0, 0.0, 3.0),
        motion=0.5,
        nods=0.4,
        blinks=0.7,
    ),
    "happy": EmotionProfile(
        face={
            "mouth_smile": 0.85,
            "blink": 0.2,
            "brows_up": 0.25,
            "cheeks_up": 0.8,
            "upper_lip_up": 0.15,
        },
        head=(-3.0, 0.0, -3.0),
        motion=1.3,
        nods=1.2,
    ),
    "sad": EmotionProfile(
        face={"mouth_smile": -0.36, "inner_brows_up": 1.0, "blink": 0.24, "mouth_stretch": 0.15},
        head=(7.0, 2.0, 4.0),
        motion=0.5,
        nods=0.4,
        blinks=1.3,
    ),
    "angry": EmotionProfile(
        face={
            "brows_down": 1.15,
            "inner_brows_up": -0.5,
            "blink": -0.12,
            "upper_lip_up": 0.25,
            "lower_lip_down": 0.35,
            "mouth_smile": -0.12,
            "nose_wrinkle": 0.3,
        },
        head=(5.0, 0.0, 0.0),
        motion=1.1,
        nods=1.3,
        blinks=0.6,
    ),
    "fearful": EmotionProfile(
        face={
            "brows_up": 0.5,
            "inner_brows_up": 0.9,
            "brows_down": 0.25,
            "blink": -0.42,
            "mouth_stretch": 0.7,
            "lower_lip_down": 0.2,
        },
        jaw=0.02,
        head=(-3.0, -3.0, 0.0),
        motion=0.9,
        nods=0.3,
        blinks=1.8,
    ),
    "disgusted": EmotionProfile(
        face={
            "upper_lip_up": 0.65,
            "nose_wrinkle": 1.0,
            "brows_down": 0.6,
            "blink": 0.3,
            "mouth_smile": -0.22,
            "cheeks_up": 0.5,
        },
        head=(-4.0, 5.0, -4.0),
        motion=0.7,
        nods=0.7,
    ),
    "surprised": EmotionProfile(
        face={"brows_up": 1.15, "blink": -0.45, "mouth_funnel": 0.12},
        jaw=0.09,
        head=(-4.0, 0.0, 0.0),
        nods=0.8,
        blinks=0.5,
    ),
}
EMOTION_PROFILES = {"neutral": EmotionProfile()} | {
    emotion: replace(
        profile, delivery=Delivery(**{name: row[i] for name, row in _DELIVERY_TABLE.items()})
    )
    for i, (emotion, profile) in enumerate(_FACES.items())
}
assert tuple(EMOTION_PROFILES) == EMOTIONS
