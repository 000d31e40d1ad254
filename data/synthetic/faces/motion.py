"""A demo face's motion: a sentence with its phones and a feeling become poses, by rules.

Lips by the demo speaker's visemes; the feeling is laid over them and gives way where lips must
close.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speech2video.data.synthetic.common import plateau, smooth_noise
from speech2video.data.synthetic.faces.emotions import EmotionProfile
from speech2video.data.synthetic.faces.head import ACTIONS
from speech2video.data.synthetic.faces.people import DemoPerson
from speech2video.data.synthetic.speaker.motion import (
    BLINK_CLOSES,
    BLINK_OPENS,
    BLINK_SHUT,
    EXPRESSION_NAMES,
    SMILE,
    blink_times,
    breath,
    face_curves,
    stressed_times,
    torso_curves,
)
from speech2video.data.synthetic.speaker.visemes import JAW_FULL, mouth_curves
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import BODY_JOINTS
from speech2video.util.text.synthesis import SynthesisedSpeech
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME

REST_SMILE = 0.1
SWELL, SWELL_HERTZ = 0.14, (0.2, 1.2)  # by which a feeling's strength wanders
NOD_CHANCE, NOD_SIZE = 0.5, (0.5, 1.2)
SHIFT = 0.35  # of the demo speaker's, who stands in front of a wider view
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
        strength_T: (T,) of the feeling, about 1.
    """

    pose_TP: Tensor
    actions_TA: Tensor
    strength_T: np.ndarray


def animate_face(
    speech: SynthesisedSpeech,
    emotion_profile: EmotionProfile,
    person: DemoPerson,
    *,
    seed: tuple[int, ...],
) -> FaceMotion:
    """Return a face's motion to a sentence; frame t is the moment (t + 0.5) / 25 s."""
    count = math.ceil(len(speech.audio_S) / SAMPLES_PER_FRAME)
    times_T, duration = (np.arange(count) + 0.5) / FPS, count / FPS
    # One generator for each part: more blinks must not change the nods.
    chance = [np.random.default_rng((*seed, part)) for part in range(5)]
    stresses = stressed_times(speech.words, speech.phones)
    swell_T = smooth_noise(times_T, chance[0], low=SWELL_HERTZ[0], high=SWELL_HERTZ[1], count=1)
    strength_T = person.liveliness * (1 + SWELL * swell_T[:, 0].clip(-2, 1.5))

    jaw_T, mouth = mouth_curves(speech.phones, times_T, duration)
    face = face_curves(times_T, duration, stresses, (), chance[1])
    face["mouth_smile"] = face["mouth_smile"] - SMILE + REST_SMILE
    face["blink"] = _blinks(times_T, duration, emotion_profile.blinks, chance[2])
    jaw_T, values = _felt(jaw_T, mouth, face, emotion_profile, strength_T, person.articulation)

    pose_TP = np.zeros((count, POSE_SIZE))
    translation_T3, rotations = _held(times_T, stresses, emotion_profile, strength_T, chance[3:])
    pose_TP[:, POSE_SLICES["translation"]] = translation_T3
    pose_TP[:, POSE_SLICES["root_orientation"]] = rotations["pelvis"]
    body_TJ3 = np.zeros((count, len(BODY_JOINTS), 3))
    for joint, rotation_T3 in rotations.items():
        body_TJ3[:, BODY_JOINTS.index(joint)] = rotation_T3
    pose_TP[:, POSE_SLICES["body"]] = body_TJ3[:, 1:].reshape(count, -1)
    pose_TP[:, POSE_SLICES["expression"]] = np.stack([values[name] for name in EXPRESSION_NAMES], 1)
    pose_TP[:, POSE_SLICES["jaw"].start] = jaw_T
    actions_TA = np.stack([values[name] for name in ACTIONS], 1)
    return FaceMotion(
        torch.from_numpy(pose_TP).float(), torch.from_numpy(actions_TA).float(), strength_T
    )


def _felt(
    jaw_T: np.ndarray,
    mouth: dict[str, np.ndarray],
    face: dict[str, np.ndarray],
    emotion_profile: EmotionProfile,
    strength_T: np.ndarray,
    articulation: float,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the jaw (T,) and all expressions and actions, the feeling laid over them."""
    closed_T = mouth["mouth_close"] * JAW_FULL / np.maximum(jaw_T, LIPS_MEET)
    closed_T = closed_T.clip(0, 1)
    jaw_T = articulation * jaw_T + emotion_profile.jaw * strength_T * (1 - closed_T)
    values = {}
    for name in (*EXPRESSION_NAMES, *ACTIONS):
        own_T = mouth.get(name, 0.0) + face.get(name, 0.0)
        added_T = emotion_profile.face.get(name, 0.0) * strength_T
        if name in YIELDS:
            added_T = added_T * (1 - YIELDING * closed_T)
        if name == "blink":  # lids meet at 1, wherever they were
            values[name] = np.minimum(own_T + added_T * (1 - own_T), 1.0)
        else:
            values[name] = (own_T + added_T).clip(LEAST, MOST)
    values["mouth_close"] = closed_T * jaw_T / JAW_FULL
    return jaw_T, values


def _blinks(
    times_T: np.ndarray, duration: float, often: float, random: np.random.Generator
) -> np.ndarray:
    """Return the lids (T,), 1 where they meet."""
    blink_T = np.zeros(len(times_T))
    for time in blink_times(duration * often, random):
        begin = time / often
        course_T = plateau(times_T, begin, begin + BLINK_SHUT, BLINK_CLOSES, BLINK_OPENS)
        blink_T = np.maximum(blink_T, course_T)
    return blink_T


def _held(
    times_T: np.ndarray,
    stresses: list[float],
    emotion_profile: EmotionProfile,
    strength_T: np.ndarray,
    chance: list[np.random.Generator],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the trunk's translation (T, 3) and the joints' rotations (T, 3)."""
    drawn = [(time, chance[0].uniform(*NOD_SIZE), chance[0].random()) for time in stresses]
    nods = [(time, emotion_profile.nods * size) for time, size, lot in drawn if lot < NOD_CHANCE]
    breath_T = breath(times_T, chance[0])
    translation_T3, rotations = torso_curves(times_T, breath_T, nods, (), chance[1])
    rotations = {joint: emotion_profile.motion * rotation for joint, rotation in rotations.items()}
    nod, turn, tilt = np.radians(emotion_profile.head)
    rotations["head"] = rotations["head"] + strength_T[:, None] * (nod, turn, tilt)
    return SHIFT * translation_T3, rotations
