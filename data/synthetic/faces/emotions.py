"""What each emotion does to a demo face, its head and its voice.

Faces after the action units that Ekman & Friesen's "Facial Action Coding System" (1978) lists for
each emotion; voices after the summary of Juslin & Laukka, "Communication of emotions in vocal
expression and music performance", Psychological Bulletin 129, 2003. Sizes are ours.
"""

from dataclasses import dataclass, field

from speech2video.data.speech2face.clip import EMOTIONS

SILENT = -90.0  # decibels


@dataclass(frozen=True)
class Delivery:
    """How a voice changes.

    Attributes:
        pace: times the person's own.
        pitch: times the person's own.
        accents: share by which pitch rises on stressed syllables.
        glide: share by which pitch rises (falls, if negative) from the first to the last word.
        tremor: share by which pitch trembles.
        throb: share by which loudness trembles with it.
        swell: decibels by which it gets louder from the first to the last word.
        emphasis: decibels by which stressed syllables are louder.
        breath: decibels of breath's noise beside the voice; `SILENT` is none.
        roughness: share by which loudness flutters from period to period.
        loudness: decibels.
        brightness: decibels by which high frequencies are louder, at 4 kHz.
        mark: that ends the sentence; espeak-ng's intonation goes by it.
    """

    pace: float = 1.0
    pitch: float = 1.0
    accents: float = 0.05
    glide: float = 0.0
    tremor: float = 0.0
    throb: float = 0.0
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
        face: expression or extra action -> what is added to it.
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


EMOTION_PROFILES: dict[str, EmotionProfile] = {
    "neutral": EmotionProfile(),
    "calm": EmotionProfile(
        face={"mouth_smile": 0.22, "blink": 0.26, "brows_up": 0.1},
        head=(-1.0, 0.0, 3.0),
        motion=0.5,
        nods=0.4,
        blinks=0.7,
        delivery=Delivery(
            swell=0.0,
            emphasis=-7,
            pace=0.86,
            pitch=0.93,
            accents=0.0,
            glide=-0.05,
            loudness=-4,
            brightness=-4,
        ),
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
        delivery=Delivery(
            emphasis=4,
            swell=3,
            pace=1.08,
            pitch=1.2,
            accents=0.2,
            glide=0.06,
            loudness=2,
            brightness=2,
            mark="!",
        ),
    ),
    "sad": EmotionProfile(
        face={
            "mouth_smile": -0.36,
            "inner_brows_up": 1.0,
            "blink": 0.24,
            "mouth_stretch": 0.15,
        },
        head=(7.0, 2.0, 4.0),
        motion=0.5,
        nods=0.4,
        blinks=1.3,
        delivery=Delivery(
            swell=-9,
            emphasis=-3,
            breath=-9,
            pace=0.8,
            pitch=0.88,
            accents=-0.03,
            glide=-0.16,
            loudness=-6,
            brightness=-6,
        ),
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
        delivery=Delivery(
            roughness=0.75,
            emphasis=8,
            pace=1.15,
            pitch=1.06,
            accents=0.28,
            glide=-0.05,
            loudness=5,
            brightness=7,
            mark="!",
        ),
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
        delivery=Delivery(
            throb=0.5,
            breath=-14,
            pace=1.22,
            pitch=1.24,
            accents=0.03,
            tremor=0.045,
            loudness=-1,
            brightness=1,
        ),
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
        delivery=Delivery(
            roughness=0.55,
            swell=-5,
            emphasis=2,
            pace=0.9,
            pitch=0.9,
            accents=-0.12,
            glide=-0.12,
            loudness=0,
            brightness=4,
        ),
    ),
    "surprised": EmotionProfile(
        face={
            "brows_up": 1.15,
            "blink": -0.45,
            "mouth_funnel": 0.12,
        },
        jaw=0.09,
        head=(-4.0, 0.0, 0.0),
        motion=1.0,
        nods=0.8,
        blinks=0.5,
        delivery=Delivery(
            swell=9,
            emphasis=6,
            breath=-20,
            pace=1.0,
            pitch=1.12,
            accents=0.2,
            glide=0.35,
            loudness=3,
            brightness=2,
            mark="?",
        ),
    ),
}
assert tuple(EMOTION_PROFILES) == EMOTIONS
