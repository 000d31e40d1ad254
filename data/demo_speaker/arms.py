"""Both arms over a speech: resting and talking positions, beats, iconic gestures, idle motion.

An arm in a frame is 21 numbers: nine of `arm.ARM_PARTS` and twelve finger coefficients. Everything
is mixed in these numbers, so that hands travel straight between places, as people's do, and wrists
and fingers stay inside the joint limits; only then are they turned into rotations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import PchipInterpolator

from speech2video.data.demo_speaker.arm import (
    ARM_SIZE,
    MIRROR,
    ArmGeometry,
    ArmRotations,
    arm_numbers,
    solve_arm,
)
from speech2video.data.demo_speaker.curves import minimum_jerk, plateau, smooth_noise, step, through
from speech2video.data.demo_speaker.gesture_poses import GESTURES, Hand, Key
from speech2video.data.demo_speaker.gestures import GestureUse
from speech2video.data.demo_speaker.hand_shapes import hand_coefficients
from speech2video.util.body.body_model import Body

# Where hands are while nothing happens and while their owner talks; see `gesture_poses` for axes.
RESTING = (
    Hand((0.15, -0.41, 0.2), (-0.3, 0.15, -1.0), (-0.8, -0.35, 0.3), "relaxed", 0.12),
    Hand((0.14, -0.375, 0.27), (-0.2, -0.15, -1.0), (-0.8, -0.35, 0.25), "relaxed", 0.16),
)  # left behind, right before it
TALKING = {
    "open": Hand((0.205, -0.3, 0.29), (-0.85, 0.25, -0.1), (-0.2, 0.12, 1.0), "soft"),
    "close": Hand((0.125, -0.27, 0.28), (-0.95, 0.0, -0.25), (-0.3, 0.3, 0.9), "relaxed", 0.25),
    "raised": Hand((0.225, -0.19, 0.3), (-0.75, 0.35, 0.15), (-0.12, 0.35, 0.95), "soft", 0.25),
    "palm_down": Hand((0.19, -0.28, 0.31), (-0.45, -0.9, 0.1), (-0.3, 0.1, 1.0), "soft", 0.3),
    "palm_up": Hand((0.22, -0.29, 0.31), (-0.4, 0.9, 0.0), (-0.1, 0.05, 1.0), "soft"),
    "low": Hand((0.15, -0.36, 0.25), (-0.6, -0.1, -0.8), (-0.7, -0.1, 0.6), "relaxed", 0.15),
}
POSTURES = (  # leading hand, other hand
    ("open", "open"),
    ("close", "close"),
    ("raised", "low"),
    ("raised", "open"),
    ("palm_down", "low"),
    ("palm_up", "open"),
    ("palm_down", "palm_down"),
    ("open", "low"),
)
POSTURE_LASTS = (2.2, 4.5)  # seconds
POSTURE_SCATTER = 0.014  # metres, standard deviation, each hand by itself
POSTURE_TAKES = (0.6, 0.95)  # seconds
RISE_BEFORE = 0.35  # seconds before the first word the hands begin to rise
REST_AFTER = 0.25  # seconds after the last word they begin to sink
RESTING_TAKES = 1.0  # seconds
ORDER = 0.12  # seconds the hand in front leaves rest earlier, and comes back to it later

BEAT_LIFT, BEAT_DROP, BEAT_REACH = 0.042, 0.034, 0.024  # metres up, down, forwards
BEAT_FLICK = (0.2, -0.28)  # radians the wrist lies back before the stroke and snaps after it
BEAT_COURSE = (-0.42, -0.17, 0.0, 0.1, 0.55)  # seconds: begin, top, apex, end of hold, back
GESTURE_LAG = 0.05  # seconds by which the second hand follows the first at most
GESTURE_SCATTER = 0.008  # metres

IDLE_PLACE, IDLE_TURN, IDLE_SWIVEL = 0.006, 0.045, 0.03  # metres, radians, radians
IDLE_FINGERS = 0.05  # radians
IDLE_HERTZ = (0.06, 0.55)


@dataclass(frozen=True)
class Beat:
    """A down-stroke of the forearms: apex in seconds, size of each side's stroke (left, right)."""

    apex: float
    size: tuple[float, float]


class Arms:
    """Turns hands into an arm's 21 numbers and these into rotations, for one body."""

    def __init__(self, body: Body) -> None:
        self._geometry = ArmGeometry.of(body)
        self._fingers = {
            name: coefficients.double().numpy()
            for name, coefficients in hand_coefficients(body).items()
        }

    def numbers(self, hand: Hand, side: int) -> np.ndarray:
        """Return the 21 numbers of a hand, said in its own side's axes; side 0 left, 1 right."""
        arm = arm_numbers(
            self._geometry,
            wrist=hand.wrist,
            palm=hand.palm,
            fingers=hand.fingers,
            swivel=hand.swivel,
            shrug=hand.shrug,
        )
        return np.concatenate((arm, self._fingers[hand.shape][side]))

    def rotations(self, numbers_TN: np.ndarray, side: int) -> ArmRotations:
        """Return the rotations that one side's numbers (T, 21) mean."""
        left = solve_arm(numbers_TN[:, :ARM_SIZE], self._geometry)
        if side == 0:
            return left
        parts = (left.collar, left.shoulder, left.elbow, left.wrist)
        return ArmRotations(*(part * MIRROR for part in parts))


def arm_curves(
    arms: Arms,
    times_T: np.ndarray,
    phrases: Sequence[tuple[float, float]],
    beats: Sequence[Beat],
    gestures: Sequence[GestureUse],
    random: np.random.Generator,
) -> np.ndarray:
    """Return both arms' numbers (2, T, 21), left and right."""
    curves = _postures(arms, times_T, phrases, random)
    for beat in beats:
        for side in (0, 1):
            curves[side] += beat.size[side] * _beat_curve(times_T, beat.apex, random)
    for use in gestures:
        for side, keys_KN, weight_T, times in _gesture_tracks(arms, use, times_T, random):
            course_TN = _through_keys(use, keys_KN, times)
            curves[side] += weight_T[:, None] * (course_TN - curves[side])
    for side in (0, 1):
        curves[side] += _idle(times_T, random)
    return curves


def _postures(
    arms: Arms,
    times_T: np.ndarray,
    phrases: Sequence[tuple[float, float]],
    random: np.random.Generator,
) -> np.ndarray:
    """Return (2, T, 21): at rest, at every phrase up to talk, in it from one posture to another."""
    rest = [arms.numbers(RESTING[side], side) for side in (0, 1)]
    curves = np.stack([np.tile(numbers, (len(times_T), 1)) for numbers in rest])
    current = list(rest)

    def go(side: int, hand: np.ndarray, start: float, duration: float) -> None:
        curves[side] += step(times_T, start, duration)[:, None] * (hand - current[side])
        current[side] = hand

    for start, end in phrases:
        time = start - RISE_BEFORE
        while time < end:
            lead = int(random.random() < 0.6)
            names = POSTURES[random.integers(len(POSTURES))]
            for side in (0, 1):
                hand = _scattered(TALKING[names[side != lead]], POSTURE_SCATTER, random)
                delay = ORDER * (side == 0) + random.uniform(0, 0.08)
                go(side, arms.numbers(hand, side), time + delay, random.uniform(*POSTURE_TAKES))
            time += random.uniform(*POSTURE_LASTS)
        for side in (0, 1):
            delay = REST_AFTER + ORDER * (side == 1) + random.uniform(0, 0.08)
            go(side, rest[side], max(end, time - POSTURE_LASTS[0]) + delay, RESTING_TAKES)
    return curves


def _scattered(hand: Hand, metres: float, random: np.random.Generator) -> Hand:
    x, y, z = np.array(hand.wrist) + random.normal(0, metres, 3)
    return replace(hand, wrist=(x, y, z))


def _beat_curve(times_T: np.ndarray, apex: float, random: np.random.Generator) -> np.ndarray:
    """Return what a beat adds to an arm (T, 21): up, down with a flick, held, back."""
    delay, lift, flick = random.normal(0, 0.008), random.uniform(0.8, 1.2), random.uniform(0.6, 1.2)
    begin, top, low, hold, back = (apex + delay + time for time in BEAT_COURSE)

    def course(at_top: float, at_apex: float) -> np.ndarray:
        return through(
            times_T, [(begin, 0.0), (top, at_top), (low, at_apex), (hold, at_apex), (back, 0.0)]
        )

    curve_TN = np.zeros((len(times_T), ARM_SIZE + 12))
    curve_TN[:, 0] = course(0.0, 0.5 * BEAT_REACH)
    curve_TN[:, 1] = course(lift * BEAT_LIFT, -BEAT_DROP)
    curve_TN[:, 2] = course(-0.3 * BEAT_REACH, BEAT_REACH)
    curve_TN[:, 8] = flick * course(*BEAT_FLICK)
    return curve_TN


def _gesture_tracks(
    arms: Arms, use: GestureUse, times_T: np.ndarray, random: np.random.Generator
) -> list[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Return of every hand in a gesture: side, key numbers (K, 21), weight (T,), times (T,)."""
    gesture = GESTURES[use.name]
    sides = (use.side, 1 - use.side) if gesture.hands == "both" else (use.side,)
    tracks = []
    for second, side in enumerate(sides):
        scatter = random.normal(0, GESTURE_SCATTER, 3)
        keys = [_of_side(key, bool(second)) for key in gesture.keys]
        moved = [replace(hand, wrist=tuple(np.array(hand.wrist) + scatter)) for hand in keys]
        times = times_T - second * random.uniform(0.3, 1.0) * GESTURE_LAG
        weight_T = plateau(
            times, use.arrival, use.hold_end, use.arrival - use.start, use.end - use.hold_end
        )
        keys_KN = np.stack([arms.numbers(hand, side) for hand in moved])
        tracks.append((side, keys_KN, weight_T, times))
    return tracks


def _of_side(key: Key, second: bool) -> Hand:
    return key.other if second and key.other is not None else key.hand


def _through_keys(use: GestureUse, keys_KN: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the smooth course (T, 21) through a gesture's key poses, monotone between them."""
    if len(keys_KN) == 1:
        return keys_KN
    moments_K = np.array([use.apex + key.time for key in GESTURES[use.name].keys])
    if len(keys_KN) == 2:
        share = minimum_jerk((times - moments_K[0]) / (moments_K[1] - moments_K[0]))
        return keys_KN[0] + share[:, None] * (keys_KN[1] - keys_KN[0])
    course = PchipInterpolator(moments_K, keys_KN)
    return course(times.clip(moments_K[0], moments_K[-1]))


def _idle(times_T: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the small motion (T, 21) of a living arm."""
    low, high = IDLE_HERTZ
    scale = np.concatenate(
        (
            [IDLE_PLACE] * 3,
            [IDLE_SWIVEL, 0.0, IDLE_TURN],
            [IDLE_TURN] * 3,
            [IDLE_FINGERS] * 12,
        )
    )
    noise_TN = smooth_noise(times_T, random, low=low, high=high, count=len(scale))
    return scale * noise_TN
