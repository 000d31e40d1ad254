"""A demo face's motion: a sentence with its phones and an emotion become poses, by rules.

Lips follow the demo speaker's visemes; the emotion is added to them and gives way where lips must
close.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speech2video.data.synthetic.common import smooth_noise
from speech2video.data.synthetic.faces.emotions import EmotionProfile
from speech2video.data.synthetic.faces.head import ACTIONS
from speech2video.data.synthetic.faces.people import DemoPerson
from speech2video.data.synthetic.speaker.motion import (
    EXPRESSION_NAMES,
    SMILE,
    assemble_pose,
    blink_curve,
    breath,
    choose_nods,
    face_curves,
    stressed_times,
    torso_curves,
)
from speech2video.data.synthetic.speaker.visemes import JAW_FULL, mouth_curves
from speech2video.util.text.synthesis import SynthesisedSpeech
from speech2video.util.timing import FPS, frame_count, frame_times

REST_SMILE = 0.1
SWELL, SWELL_HERTZ = 0.14, (0.2, 1.2)  # variation of an emotion's strength
NOD_CHANCE, NOD_SIZE = 0.5, (0.5, 1.2)
SHIFT = 0.35  # share of the demo speaker's translation, which suits a wider view
YIELDS = ("upper_lip_up", "lower_lip_down", "mouth_stretch", "mouth_funnel", "mouth_smile")
YIELDING = 0.85  # share of these that gives way where lips close
LEAST, MOST = -0.7, 1.3  # of any expression
LIPS_MEET = 0.02  # radians of jaw below which lips are shut without closing


@dataclass(frozen=True)
class FaceMotion:
    """A face over T frames.

    Attributes:
        pose_TP: (T, 106) pose vectors; only head, neck, jaw and expression move, and the trunk
            a little.
        actions_TA: (T, A) of `head.ACTIONS`.
        strength_T: (T,) of the emotion, about 1.
    """

    pose_TP: Tensor
    actions_TA: Tensor
    strength_T: np.ndarray


def animate_face(
    speech: SynthesisedSpeech, emotion: EmotionProfile, person: DemoPerson, *, seed: tuple[int, ...]
) -> FaceMotion:
    """Return a face's motion to a sentence; frame t is the moment (t + 0.5) / 25 s."""
    count = frame_count(len(speech.audio_S))
    times_T, duration = frame_times(count), count / FPS
    # One generator for each part: more blinks must not change the nods.
    chance = [np.random.default_rng((*seed, part)) for part in range(5)]
    stresses = stressed_times(speech.words, speech.phones)
    swell_T = smooth_noise(times_T, chance[0], SWELL_HERTZ, 1)[:, 0]
    strength_T = person.liveliness * (1 + SWELL * swell_T.clip(-2, 1.5))

    jaw_T, mouth = mouth_curves(speech.phones, times_T, duration)
    face = face_curves(times_T, duration, stresses, (), chance[1])
    face["mouth_smile"] = face["mouth_smile"] - SMILE + REST_SMILE
    face["blink"] = blink_curve(times_T, duration, chance[2], emotion.blinks)
    jaw_T, values = _add_emotion(jaw_T, mouth, face, emotion, strength_T, person.articulation)

    nods = choose_nods(stresses, chance[3], NOD_CHANCE, NOD_SIZE)
    nods = [(time, emotion.nods * size) for time, size in nods]
    breath_T = breath(times_T, chance[3])
    translation_T3, rotations = torso_curves(times_T, breath_T, nods, (), chance[4])
    rotations = {joint: emotion.motion * rotation for joint, rotation in rotations.items()}
    rotations["head"] = rotations["head"] + strength_T[:, None] * np.radians(emotion.head)
    pose_TP = assemble_pose(SHIFT * translation_T3, rotations, jaw_T, values)
    actions_TA = np.stack([values[name] for name in ACTIONS], 1)
    return FaceMotion(
        torch.from_numpy(pose_TP).float(), torch.from_numpy(actions_TA).float(), strength_T
    )


def _add_emotion(
    jaw_T: np.ndarray,
    mouth: dict[str, np.ndarray],
    face: dict[str, np.ndarray],
    emotion: EmotionProfile,
    strength_T: np.ndarray,
    articulation: float,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the jaw (T,) and all expressions and actions with the emotion added."""
    closed_T = mouth["mouth_close"] * JAW_FULL / np.maximum(jaw_T, LIPS_MEET)
    closed_T = closed_T.clip(0, 1)
    jaw_T = articulation * jaw_T + emotion.jaw * strength_T * (1 - closed_T)
    values = {}
    for name in (*EXPRESSION_NAMES, *ACTIONS):
        own_T = mouth.get(name, 0.0) + face.get(name, 0.0)
        added_T = emotion.face.get(name, 0.0) * strength_T
        if name in YIELDS:
            added_T = added_T * (1 - YIELDING * closed_T)
        if name == "blink":  # lids meet at 1, whatever the emotion
            values[name] = np.minimum(own_T + added_T * (1 - own_T), 1.0)
        else:
            values[name] = (own_T + added_T).clip(LEAST, MOST)
    values["mouth_close"] = closed_T * jaw_T / JAW_FULL
    return jaw_T, values
