"""Head, spine and hips over a speech: sway, breath, nods on stressed syllables, gestures' looks."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from speech2video.data.demo_speaker.curves import smooth_noise, step, through
from speech2video.data.demo_speaker.face import gesture_weight
from speech2video.data.demo_speaker.gesture_poses import GESTURES
from speech2video.data.demo_speaker.gestures import GestureUse

SWAY_HERTZ = (0.05, 0.35)
HEAD_HERTZ = (0.08, 0.6)
# Standard deviations; angles (nod, turn, tilt) in degrees.
ROOT_SWAY = (0.5, 1.0, 0.5)
ROOT_SHIFT = (0.008, 0.0015, 0.006)  # metres
SPINE_SWAY = (1.3, 2.0, 1.3)  # all three joints together
HEAD_SWAY = (1.6, 3.2, 1.7)  # neck and head together
LOOK_SCATTER = (1.5, 5.0, 2.0)  # where the head looks, from one phrase's part to the next
LOOK_LASTS = (1.2, 3.2)  # seconds
LOOK_TAKES = (0.4, 0.7)  # seconds

NOD_COURSE = (-0.3, -0.12, 0.04, 0.45)  # seconds from the stressed vowel: begin, up, down, back
NOD_UP, NOD_DOWN = -1.6, 4.2  # degrees
LEAN = 0.22  # of a nod, done by the spine

BREATH_HERTZ = 0.26
BREATH_SPINE = -0.55  # degrees of spine3 at the fullest
BREATH_SHRUG = 0.016  # radians the collars rise
BREATH_RISE = 0.0012  # metres

SPINE_SHARES = {"spine1": 0.3, "spine2": 0.3, "spine3": 0.4}
HEAD_SHARES = {"neck": 0.45, "head": 0.55}


def breath(times_T: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the breath (T,): 0 empty, 1 full; in faster than out."""
    phase_T = 2 * np.pi * BREATH_HERTZ * times_T + random.uniform(0, 2 * np.pi)
    wander_T = smooth_noise(times_T, random, low=0.03, high=0.12, count=1)[:, 0]
    phase_T = phase_T + 0.4 * wander_T
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
    low, high = SWAY_HERTZ
    sway_TN = smooth_noise(times_T, random, low=low, high=high, count=9)
    translation_T3 = ROOT_SHIFT * sway_TN[:, :3]
    translation_T3[:, 1] += BREATH_RISE * breath_T
    nod_T = _nods(times_T, nods, random)
    spine_T3 = SPINE_SWAY * sway_TN[:, 3:6]
    spine_T3[:, 0] += LEAN * nod_T
    head_T3 = _head(times_T, nod_T, gestures, random)
    rotations = {"pelvis": _rotvec(ROOT_SWAY * sway_TN[:, 6:])}
    rotations |= {name: _rotvec(share * spine_T3) for name, share in SPINE_SHARES.items()}
    breathing_T3 = np.outer(breath_T, (BREATH_SPINE, 0.0, 0.0))
    rotations["spine3"] = _rotvec(SPINE_SHARES["spine3"] * spine_T3 + breathing_T3)
    rotations |= {name: _rotvec(share * head_T3) for name, share in HEAD_SHARES.items()}
    return translation_T3, rotations


def _nods(
    times_T: np.ndarray, nods: Sequence[tuple[float, float]], random: np.random.Generator
) -> np.ndarray:
    """Return the nodding angle (T,) in degrees: a little up, down on the syllable, back."""
    nod_T = np.zeros(len(times_T))
    for time, size in nods:
        begin, up, down, back = (time + offset for offset in NOD_COURSE)
        high, deep = size * NOD_UP * random.uniform(0.3, 1.2), size * NOD_DOWN
        nod_T += through(times_T, [(begin, 0.0), (up, high), (down, deep), (back, 0.0)])
    return nod_T


def _head(
    times_T: np.ndarray,
    nod_T: np.ndarray,
    gestures: Sequence[GestureUse],
    random: np.random.Generator,
) -> np.ndarray:
    """Return the head's angles (T, 3) over the chest, degrees: nod, turn, tilt."""
    low, high = HEAD_HERTZ
    angles_T3 = HEAD_SWAY * smooth_noise(times_T, random, low=low, high=high, count=3)
    look_3, time = np.zeros(3), random.uniform(*LOOK_LASTS)
    while time < times_T[-1]:
        next_3 = LOOK_SCATTER * random.normal(size=3)
        takes = random.uniform(*LOOK_TAKES)
        angles_T3 += step(times_T, time, takes)[:, None] * (next_3 - look_3)
        look_3, time = next_3, time + random.uniform(*LOOK_LASTS)
    angles_T3[:, 0] += nod_T
    for use in gestures:
        angles_T3 += np.degrees(_gesture_look(times_T, use))
    return angles_T3


def _gesture_look(times_T: np.ndarray, use: GestureUse) -> np.ndarray:
    """Return what a gesture adds to the head's angles (T, 3), radians."""
    keys = GESTURES[use.name].head
    if not keys:
        return np.zeros((len(times_T), 3))
    side = (1, 1, -1) if use.side == 0 else (1, -1, 1)  # a turn to the left is positive, a tilt not
    columns = [
        through(times_T, [(use.apex + key[0], sign * key[1 + axis]) for key in keys])
        for axis, sign in enumerate(side)
    ]
    return gesture_weight(times_T, use)[:, None] * np.stack(columns, 1)


def _rotvec(degrees_T3: np.ndarray) -> np.ndarray:
    """Return axis-angle (T, 3) of angles (nod, turn, tilt): turned first in space, then nodded."""
    return Rotation.from_euler("YXZ", degrees_T3[:, [1, 0, 2]], degrees=True).as_rotvec()
