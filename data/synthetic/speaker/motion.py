"""The demo speaker's motion: a speech with its words and phones becomes pose vectors, by rules.

Nothing here is learned. The same speech, seed and body always give the same motion.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from speech2video.data.synthetic.common import plateau, smooth_noise, step, through_knots
from speech2video.data.synthetic.speaker import gestures as hand_gestures
from speech2video.data.synthetic.speaker.arms import ARM_SIZE, Arms, Beat, arm_curves
from speech2video.data.synthetic.speaker.gestures import GestureUse
from speech2video.data.synthetic.speaker.visemes import is_vowel, mouth_curves
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import clamp_pose
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import BODY_JOINTS
from speech2video.util.errors import DataError
from speech2video.util.text.synthesis import SynthesisedSpeech
from speech2video.util.text.transcript import Phone, Word
from speech2video.util.timing import FPS, frame_count, frame_times

PHRASE_PAUSE = 0.9  # seconds of silence after which the hands may sink to rest
EXPRESSION_NAMES = (  # the open body's, in its order
    *("mouth_funnel", "mouth_pucker", "mouth_close", "mouth_smile", "mouth_stretch"),
    *("upper_lip_up", "lower_lip_down", "brows_up", "brows_down", "blink"),
)
BEAT_CHANCE, NOD_CHANCE = 0.62, 0.6  # of the stressed words
BEAT_APART = 0.5  # seconds between apexes at least
BEAT_SIZE, NOD_SIZE = (0.55, 1.2), (0.5, 1.3)
# Words that are stressed by the dictionary and not in a sentence.
_UNSTRESSED = frozenset(Path(__file__).with_name("unstressed_words.txt").read_text("ascii").split())

# Face: blinks, brows and a trace of a smile.
BLINKS_PER_MINUTE = 17.0  # Bentivoglio et al., Movement Disorders 12, 1997: at rest; 26 in talk
SHORTEST_BETWEEN_BLINKS = 1.0  # seconds
BLINK_CLOSES, BLINK_SHUT, BLINK_OPENS = 0.085, 0.035, 0.15  # seconds
RAISE_CHANCE = 0.3  # of the brows, on stressed words
RAISE_SIZE = (0.3, 0.75)
RAISE_RISE, RAISE_FALL = 0.16, 0.3  # seconds
RAISE_HOLD = (0.1, 0.35)  # seconds
BROWS = (0.22, 0.05)  # raised at rest, and how much that varies
SMILE = (0.4, 0.05)  # without it the face at rest is stern
FACE_HERTZ = (0.04, 0.3)

# Head, spine and hips: sway, breath, nods on stressed syllables. Sizes are standard deviations;
# angles (nod, turn, tilt) in degrees.
SWAY_HERTZ, HEAD_HERTZ = (0.05, 0.35), (0.08, 0.6)
ROOT_SWAY = np.array((0.5, 1.0, 0.5))
ROOT_SHIFT = np.array((0.008, 0.0015, 0.006))  # metres
SPINE_SWAY = np.array((1.3, 2.0, 1.3))  # all three joints together
HEAD_SWAY = np.array((1.6, 3.2, 1.7))  # neck and head together
GAZE_SCATTER = np.array((1.5, 5.0, 2.0))  # where the head points in the parts of a phrase
GAZE_SECONDS, GAZE_CHANGE = (1.2, 3.2), (0.4, 0.7)  # how long it points there, and moves
NOD_TIMES = (-0.3, -0.12, 0.04, 0.45)  # seconds from the stressed vowel: begin, up, down, back
NOD_UP, NOD_DOWN = -1.6, 4.2  # degrees
LEAN = 0.22  # of a nod, done by the spine
BREATH_HERTZ, BREATH_DRIFT_HERTZ = 0.26, (0.03, 0.12)
BREATH_SPINE = -0.55  # degrees of spine3 at the fullest
BREATH_SHRUG = 0.016  # radians the collars rise
BREATH_RISE = 0.0012  # metres
SPINE_SHARES = {"spine1": 0.3, "spine2": 0.3, "spine3": 0.4}
HEAD_SHARES = {"neck": 0.45, "head": 0.55}


@dataclass(frozen=True)
class SpeakerMotion:
    """A speaker's motion and what it was made of.

    Attributes:
        pose_TP: (T, 106) pose vectors at 25 fps, T = ceil(samples / 640).
        gestures: the iconic gestures made.
        beats: seconds of the beats' apexes.
        words: the words of the speech, with times.
    """

    pose_TP: Tensor
    gestures: list[GestureUse]
    beats: list[float]
    words: list[Word]


def animate_speaker(speech: SynthesisedSpeech, *, seed: int, body: Body) -> SpeakerMotion:
    """Return the demo speaker's motion to a speech.

    Frame t is the moment (t + 0.5) / 25 s, the middle of the 640 samples it belongs to. No frame
    breaks a joint limit; the root stays within centimetres of the origin.

    Raises:
        DataError: a body whose expressions are not the open body's.
    """
    if body.name != "open":
        raise DataError(f"the demo speaker needs the open body's expressions, not {body.name}'s")
    count = frame_count(len(speech.audio_S))
    times_T, duration = frame_times(count), count / FPS
    # One generator for each part: more blinks must not change the gestures.
    rngs = [np.random.default_rng((seed, part)) for part in range(6)]
    gestures = hand_gestures.choose_gestures(speech.words, speech.phones, rngs[0])
    stresses = stressed_times(speech.words, speech.phones)
    beats = _choose_beats(stresses, gestures, rngs[1])
    arms = Arms(body)
    arms_2TN = arm_curves(arms, times_T, phrases(speech.words), beats, gestures, rngs[2])
    breath_T = breath(times_T, rngs[3])
    arms_2TN[:, :, 4] += BREATH_SHRUG * breath_T
    nods = choose_nods(stresses, rngs[3], NOD_CHANCE, NOD_SIZE)
    translation_T3, rotations = torso_curves(times_T, breath_T, nods, gestures, rngs[4])
    face = face_curves(times_T, duration, stresses, gestures, rngs[5])
    jaw_T, mouth = mouth_curves(speech.phones, times_T, duration)
    mouth["mouth_smile"] = mouth["mouth_smile"] + face.pop("mouth_smile")
    for side, name in enumerate(("left", "right")):
        solved = arms.rotations(arms_2TN[side], side)
        for joint in ("collar", "shoulder", "elbow", "wrist"):
            rotations[f"{name}_{joint}"] = getattr(solved, joint)
    pose_TP = assemble_pose(translation_T3, rotations, jaw_T, mouth | face)
    for side, name in enumerate(("left_hand", "right_hand")):
        pose_TP[:, POSE_SLICES[name]] = arms_2TN[side][:, ARM_SIZE:]
    pose_TP = clamp_pose(torch.from_numpy(pose_TP).float(), body.hands)
    return SpeakerMotion(pose_TP, gestures, [beat.apex for beat in beats], speech.words)


def assemble_pose(
    translation_T3: np.ndarray,
    rotations: Mapping[str, np.ndarray],
    jaw_T: np.ndarray,
    expressions: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Return pose vectors (T, 106) with mean hands; body joints without rotation are at rest."""
    pose_TP = np.zeros((len(jaw_T), POSE_SIZE))
    body_TJ3 = np.zeros((len(jaw_T), len(BODY_JOINTS), 3))
    for joint, rotation_T3 in rotations.items():
        body_TJ3[:, BODY_JOINTS.index(joint)] = rotation_T3
    pose_TP[:, POSE_SLICES["translation"]] = translation_T3
    pose_TP[:, POSE_SLICES["root_orientation"]] = body_TJ3[:, 0]
    pose_TP[:, POSE_SLICES["body"]] = body_TJ3[:, 1:].reshape(len(jaw_T), -1)
    pose_TP[:, POSE_SLICES["expression"]] = np.stack([expressions[n] for n in EXPRESSION_NAMES], 1)
    pose_TP[:, POSE_SLICES["jaw"].start] = jaw_T
    return pose_TP


def stressed_times(words: Sequence[Word], phones: Sequence[Phone]) -> list[float]:
    """Return the middles of the vowels, in seconds, that carry a sentence's stresses."""
    stressed = {phone.word for phone in phones if phone.stress == 1 and is_vowel(phone)}
    return [
        hand_gestures.stressed_time(index, word, phones)
        for index, word in enumerate(words)
        if index in stressed and hand_gestures.spelling(word) not in _UNSTRESSED
    ]


def phrases(words: Sequence[Word]) -> list[tuple[float, float]]:
    """Return (start, end) in seconds of what is spoken without a long pause."""
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


def choose_nods(
    stresses: Sequence[float],
    random: np.random.Generator,
    probability: float,
    size: tuple[float, float],
) -> list[tuple[float, float]]:
    """Return nods (seconds, size) on some of the stresses."""
    drawn = [(time, random.uniform(*size), random.random()) for time in stresses]
    return [(time, size) for time, size, draw in drawn if draw < probability]


def blink_times(duration: float, random: np.random.Generator) -> list[float]:
    """Return when the eyes are shut, in seconds: a Poisson process with a dead time."""
    mean = 60.0 / BLINKS_PER_MINUTE - SHORTEST_BETWEEN_BLINKS
    times, time = [], random.uniform(0.4, mean)
    while time < duration:
        times.append(time)
        time += SHORTEST_BETWEEN_BLINKS + random.exponential(mean)
    return times


def blink_curve(
    times_T: np.ndarray, duration: float, random: np.random.Generator, rate: float = 1.0
) -> np.ndarray:
    """Return the lids (T,), 1 where they meet; `rate` multiplies the usual number of blinks."""
    blink_T = np.zeros(len(times_T))
    for time in blink_times(duration * rate, random):
        shut = time / rate
        course_T = plateau(times_T, shut, shut + BLINK_SHUT, BLINK_CLOSES, BLINK_OPENS)
        blink_T = np.maximum(blink_T, course_T)
    return blink_T


def face_curves(
    times_T: np.ndarray,
    duration: float,
    stresses: Sequence[float],
    gestures: Sequence[GestureUse],
    random: np.random.Generator,
    *,
    brows: tuple[float, float] = BROWS,
    smile: tuple[float, float] = SMILE,
) -> dict[str, np.ndarray]:
    """Return expression name -> coefficients (T,).

    Args:
        stresses: the middles of stressed vowels, seconds.
        brows, smile: at rest, and the deviation of their slow variation.
    """
    blink_T = blink_curve(times_T, duration, random)
    noise_TN = smooth_noise(times_T, random, FACE_HERTZ, 2)
    brows_T = brows[0] + brows[1] * noise_TN[:, 0]
    for time in stresses:
        size, hold, draw = random.uniform(*RAISE_SIZE), random.uniform(*RAISE_HOLD), random.random()
        if draw < RAISE_CHANCE:
            raised_T = plateau(times_T, time - 0.05, time + hold, RAISE_RISE, RAISE_FALL)
            brows_T = brows_T + (size - brows_T).clip(min=0) * raised_T
    for use in gestures:
        weight_T = _gesture_weight(times_T, use)
        brows_T = brows_T + weight_T * (use.gesture.brows - brows_T)
    return {
        "blink": blink_T,
        "brows_up": brows_T.clip(0, 1),
        "brows_down": (-brows_T).clip(0, 1),
        "mouth_smile": (smile[0] + smile[1] * noise_TN[:, 1]).clip(min=0),
    }


def _gesture_weight(times_T: np.ndarray, use: GestureUse) -> np.ndarray:
    """Return a gesture's weight (T,), 0 to 1, on head and face: a little ahead of the hands."""
    rise = max(use.apex - use.start, 0.25)
    return plateau(times_T, use.apex - 0.04, use.hold_end - 0.1, rise, 0.5)


def breath(times_T: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the breath (T,): 0 empty, 1 full; in faster than out."""
    phase_T = 2 * np.pi * BREATH_HERTZ * times_T + random.uniform(0, 2 * np.pi)
    phase_T = phase_T + 0.4 * smooth_noise(times_T, random, BREATH_DRIFT_HERTZ, 1)[:, 0]
    return 0.5 - 0.5 * np.cos(phase_T + 0.35 * np.sin(phase_T))


def torso_curves(
    times_T: np.ndarray,
    breath_T: np.ndarray,
    nods: Sequence[tuple[float, float]],
    gestures: Sequence[GestureUse],
    random: np.random.Generator,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the root's translation (T, 3) in metres and joint -> axis-angle (T, 3).

    `nods` are (seconds, size). The joints are pelvis, spine1–3, neck and head.
    """
    sway_TN = smooth_noise(times_T, random, SWAY_HERTZ, 9)
    translation_T3 = ROOT_SHIFT * sway_TN[:, :3]
    translation_T3[:, 1] += BREATH_RISE * breath_T
    nod_T = _nod_curve(times_T, nods, random)
    spine_T3 = SPINE_SWAY * sway_TN[:, 3:6]
    spine_T3[:, 0] += LEAN * nod_T
    head_T3 = _head_angles(times_T, nod_T, gestures, random)
    rotations = {"pelvis": _axis_angle(ROOT_SWAY * sway_TN[:, 6:])}
    rotations |= {name: _axis_angle(share * spine_T3) for name, share in SPINE_SHARES.items()}
    breathing_T3 = np.outer(breath_T, (BREATH_SPINE, 0.0, 0.0))
    rotations["spine3"] = _axis_angle(SPINE_SHARES["spine3"] * spine_T3 + breathing_T3)
    rotations |= {name: _axis_angle(share * head_T3) for name, share in HEAD_SHARES.items()}
    return translation_T3, rotations


def _nod_curve(
    times_T: np.ndarray, nods: Sequence[tuple[float, float]], random: np.random.Generator
) -> np.ndarray:
    """Return the nodding angle (T,) in degrees: a little up, down on the syllable, back."""
    nod_T = np.zeros(len(times_T))
    for time, size in nods:
        begin, up, down, back = (time + offset for offset in NOD_TIMES)
        high, deep = size * NOD_UP * random.uniform(0.3, 1.2), size * NOD_DOWN
        nod_T += through_knots(times_T, [(begin, 0.0), (up, high), (down, deep), (back, 0.0)])
    return nod_T


def _head_angles(
    times_T: np.ndarray,
    nod_T: np.ndarray,
    gestures: Sequence[GestureUse],
    random: np.random.Generator,
) -> np.ndarray:
    """Return the head's angles (T, 3) relative to the chest, degrees: nod, turn, tilt."""
    angles_T3 = HEAD_SWAY * smooth_noise(times_T, random, HEAD_HERTZ, 3)
    gaze_3, time = np.zeros(3), random.uniform(*GAZE_SECONDS)
    while time < times_T[-1]:
        next_3 = GAZE_SCATTER * random.normal(size=3)
        change = random.uniform(*GAZE_CHANGE)
        angles_T3 += step(times_T, time, change)[:, None] * (next_3 - gaze_3)
        gaze_3, time = next_3, time + random.uniform(*GAZE_SECONDS)
    angles_T3[:, 0] += nod_T
    for use in gestures:
        keys = use.gesture.head
        if not keys:
            continue
        # A turn to the left is positive, a tilt to the left negative.
        signs = (1, 1, -1) if use.side == 0 else (1, -1, 1)
        columns = [
            through_knots(times_T, [(use.apex + key[0], sign * key[1 + axis]) for key in keys])
            for axis, sign in enumerate(signs)
        ]
        angles_T3 += np.degrees(_gesture_weight(times_T, use)[:, None] * np.stack(columns, 1))
    return angles_T3


def _axis_angle(degrees_T3: np.ndarray) -> np.ndarray:
    """Return axis-angle (T, 3) of angles (nod, turn, tilt): turned first in space, then nodded."""
    return Rotation.from_euler("YXZ", degrees_T3[:, [1, 0, 2]], degrees=True).as_rotvec()
