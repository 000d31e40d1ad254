"""The demo speaker's motion: a speech with its words and phones becomes pose vectors, by rules.

Nothing here is learned. The same speech, seed and body always give the same motion.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speech2video.data.demo_speaker.arm import ARM_SIZE
from speech2video.data.demo_speaker.arms import Arms, Beat, arm_curves
from speech2video.data.demo_speaker.face import face_curves
from speech2video.data.demo_speaker.gestures import (
    GestureUse,
    choose_gestures,
    spelling,
    stressed_time,
)
from speech2video.data.demo_speaker.torso import BREATH_SHRUG, breath, torso_curves
from speech2video.data.demo_speaker.visemes import is_vowel, mouth_curves
from speech2video.data.motion import FPS
from speech2video.util.audio import SPEECH_RATE
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import clamp_pose
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import BODY_JOINTS
from speech2video.util.errors import DataError
from speech2video.util.speech_synthesis import Speech
from speech2video.util.transcript import Phone, Word

SAMPLES_A_FRAME = SPEECH_RATE // FPS  # 640
PHRASE_PAUSE = 0.9  # seconds of silence after which the hands may sink to rest
EXPRESSIONS = (  # the open body's, in its order
    "mouth_funnel",
    "mouth_pucker",
    "mouth_close",
    "mouth_smile",
    "mouth_stretch",
    "upper_lip_up",
    "lower_lip_down",
    "brows_up",
    "brows_down",
    "blink",
)
BEAT_CHANCE, NOD_CHANCE = 0.62, 0.6  # of the stressed words
BEAT_APART = 0.5  # seconds between apexes at least
BEAT_SIZE, NOD_SIZE = (0.55, 1.2), (0.5, 1.3)

# Words that are stressed by the dictionary and not in a sentence.
_UNSTRESSED_TEXT = """
a an the and or but of to in on at by for from with as is are was were be been am it its he she they
i you we his her their our my your this that these those so than then do does did have has had will
would can could should if not
"""
_UNSTRESSED = frozenset(_UNSTRESSED_TEXT.split())


@dataclass(frozen=True)
class Performance:
    """A speaker's motion and what it was made of.

    Attributes:
        pose_TP: (T, 106) pose vectors at 25 fps, T = ceil(samples / 640).
        gestures: the iconic gestures made.
        beats: seconds of the beats' apexes.
        words: what was said when.
    """

    pose_TP: Tensor
    gestures: list[GestureUse]
    beats: list[float]
    words: list[Word]


def perform(speech: Speech, *, seed: int, body: Body) -> Performance:
    """Return the demo speaker's motion to a speech.

    Frame t is the moment (t + 0.5) / 25 s, the middle of the 640 samples it belongs to. No frame
    breaks a joint limit; the root stays within centimetres of the origin.

    Raises:
        DataError: a body whose expressions are not the open body's.
    """
    if body.name != "open":
        raise DataError(f"the demo speaker needs the open body's expressions, not {body.name}'s")
    count = math.ceil(len(speech.wave_S) / SAMPLES_A_FRAME)
    times_T = (np.arange(count) + 0.5) / FPS
    duration = count / FPS
    # One generator for each part: more blinks must not change the gestures.
    chance = [np.random.default_rng((seed, part)) for part in range(6)]
    gestures = choose_gestures(speech.words, speech.phones, chance[0])
    stresses = stressed_times(speech.words, speech.phones)
    beats = _choose_beats(stresses, gestures, chance[1])
    arms = Arms(body)
    arms_2TN = arm_curves(arms, times_T, phrases(speech.words), beats, gestures, chance[2])
    breath_T = breath(times_T, chance[3])
    arms_2TN[:, :, 4] += BREATH_SHRUG * breath_T
    nods = _choose_nods(stresses, chance[3])
    translation_T3, rotations = torso_curves(times_T, breath_T, nods, gestures, chance[4])
    face = face_curves(times_T, duration, stresses, gestures, chance[5])
    jaw_T, mouth = mouth_curves(speech.phones, times_T, duration)
    mouth["mouth_smile"] = mouth["mouth_smile"] + face.pop("mouth_smile")
    pose_TP = _pose_vector(arms, arms_2TN, translation_T3, rotations, jaw_T, mouth | face)
    return Performance(
        clamp_pose(pose_TP, body.hands), gestures, [beat.apex for beat in beats], speech.words
    )


def stressed_times(words: Sequence[Word], phones: Sequence[Phone]) -> list[float]:
    """Return the middles of the vowels, in seconds, that carry a sentence's stresses."""
    loud = {phone.word for phone in phones if phone.stress == 1 and is_vowel(phone)}
    return [
        stressed_time(index, word, phones)
        for index, word in enumerate(words)
        if index in loud and spelling(word) not in _UNSTRESSED
    ]


def phrases(words: Sequence[Word]) -> list[tuple[float, float]]:
    """Return (start, end) in seconds of what is said without a long pause."""
    spans: list[tuple[float, float]] = []
    for word in words:
        if spans and word.start - spans[-1][1] < PHRASE_PAUSE:
            spans[-1] = (spans[-1][0], word.end)
        else:
            spans.append((word.start, word.end))
    return spans


def _choose_beats(
    stresses: Sequence[float], gestures: Sequence[GestureUse], random: np.random.Generator
) -> list[Beat]:
    """Return beats on some of the stresses, none while an iconic gesture is made."""
    beats: list[Beat] = []
    for time in stresses:
        made, size = random.random() < BEAT_CHANCE, random.uniform(*BEAT_SIZE)
        lead, other = int(random.random() < 0.62), random.choice([0.0, 0.35, 0.85])
        busy = any(use.start - 0.1 < time < use.end for use in gestures)
        early = beats and time - beats[-1].apex < BEAT_APART
        if made and not busy and not early:
            sizes = (size, size * other) if lead == 0 else (size * other, size)
            beats.append(Beat(time, sizes))
    return beats


def _choose_nods(
    stresses: Sequence[float], random: np.random.Generator
) -> list[tuple[float, float]]:
    drawn = [(time, random.uniform(*NOD_SIZE), random.random()) for time in stresses]
    return [(time, size) for time, size, made in drawn if made < NOD_CHANCE]


def _pose_vector(
    arms: Arms,
    arms_2TN: np.ndarray,
    translation_T3: np.ndarray,
    rotations: dict[str, np.ndarray],
    jaw_T: np.ndarray,
    expressions: dict[str, np.ndarray],
) -> Tensor:
    """Return the pose vectors (T, 106) of all parts."""
    pose_TP = np.zeros((len(jaw_T), POSE_SIZE))
    pose_TP[:, POSE_SLICES["translation"]] = translation_T3
    pose_TP[:, POSE_SLICES["root_orientation"]] = rotations["pelvis"]
    body_TJ3 = np.zeros((len(jaw_T), len(BODY_JOINTS), 3))
    for joint, rotation_T3 in rotations.items():
        body_TJ3[:, BODY_JOINTS.index(joint)] = rotation_T3
    for side, name in enumerate(("left", "right")):
        solved = arms.rotations(arms_2TN[side], side)
        for joint in ("collar", "shoulder", "elbow", "wrist"):
            body_TJ3[:, BODY_JOINTS.index(f"{name}_{joint}")] = getattr(solved, joint)
        pose_TP[:, POSE_SLICES[f"{name}_hand"]] = arms_2TN[side][:, ARM_SIZE:]
    pose_TP[:, POSE_SLICES["body"]] = body_TJ3[:, 1:].reshape(len(jaw_T), -1)
    pose_TP[:, POSE_SLICES["expression"]] = np.stack([expressions[n] for n in EXPRESSIONS], 1)
    pose_TP[:, POSE_SLICES["jaw"].start] = jaw_T
    return torch.from_numpy(pose_TP).float()
