"""The upper face over a speech: blinks, brows and a trace of a smile, as expressions."""

from collections.abc import Sequence

import numpy as np

from speech2video.data.demo_speaker.curves import plateau, smooth_noise
from speech2video.data.demo_speaker.gesture_poses import GESTURES
from speech2video.data.demo_speaker.gestures import GestureUse

BLINKS_A_MINUTE = 17.0  # Bentivoglio et al., Movement Disorders 12, 1997: at rest; 26 in talk
SHORTEST_BETWEEN_BLINKS = 1.0  # seconds
BLINK_CLOSES, BLINK_SHUT, BLINK_OPENS = 0.085, 0.035, 0.15  # seconds

RAISE_CHANCE = 0.3  # of the stressed words
RAISE_SIZE = (0.3, 0.75)
RAISE_RISE, RAISE_FALL = 0.16, 0.3  # seconds
RAISE_HOLD = (0.1, 0.35)  # seconds
BROW_REST, BROW_IDLE = 0.08, 0.05
SMILE, SMILE_IDLE = 0.2, 0.035  # without it the face at rest looks stern
IDLE_HERTZ = (0.04, 0.3)


def blink_times(duration: float, random: np.random.Generator) -> list[float]:
    """Return when the eyes are shut: a Poisson process with a dead time, in seconds."""
    mean = 60.0 / BLINKS_A_MINUTE - SHORTEST_BETWEEN_BLINKS
    times, time = [], random.uniform(0.4, mean)
    while time < duration:
        times.append(time)
        time += SHORTEST_BETWEEN_BLINKS + random.exponential(mean)
    return times


def face_curves(
    times_T: np.ndarray,
    duration: float,
    stresses: Sequence[float],
    gestures: Sequence[GestureUse],
    random: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Return expression name -> coefficients (T,); `stresses` are stressed vowels' middles, s."""
    blink_T = np.zeros(len(times_T))
    for time in blink_times(duration, random):
        shut_until = time + BLINK_SHUT
        blink_T = np.maximum(blink_T, plateau(times_T, time, shut_until, BLINK_CLOSES, BLINK_OPENS))
    noise_TN = smooth_noise(times_T, random, low=IDLE_HERTZ[0], high=IDLE_HERTZ[1], count=2)
    brows_T = BROW_REST + BROW_IDLE * noise_TN[:, 0]
    for time in stresses:
        size, hold, made = random.uniform(*RAISE_SIZE), random.uniform(*RAISE_HOLD), random.random()
        if made < RAISE_CHANCE:
            raised_T = plateau(times_T, time - 0.05, time + hold, RAISE_RISE, RAISE_FALL)
            brows_T = brows_T + (size - brows_T).clip(min=0) * raised_T
    for use in gestures:
        weight_T = gesture_weight(times_T, use)
        brows_T = brows_T + weight_T * (GESTURES[use.name].brows - brows_T)
    return {
        "blink": blink_T,
        "brows_up": brows_T.clip(0, 1),
        "brows_down": (-brows_T).clip(0, 1),
        "mouth_smile": (SMILE + SMILE_IDLE * noise_TN[:, 1]).clip(min=0),
    }


def gesture_weight(times_T: np.ndarray, use: GestureUse) -> np.ndarray:
    """Return how far a gesture has the head and face (T,), 0 to 1: a little ahead of the hands."""
    return plateau(
        times_T, use.apex - 0.04, use.hold_end - 0.1, max(use.apex - use.start, 0.25), 0.5
    )
