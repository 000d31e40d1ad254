"""The demo speaker's arms: inverse kinematics, and their motion over a speech.

An arm in a frame is 21 numbers: nine of `ARM_PARTS` and twelve finger coefficients. Everything is
mixed in these numbers, so that hands travel straight between places, as people's do, and wrists and
fingers stay inside the joint limits; only then are they turned into rotations.

Everything is given for the left arm, in chest axes: those of the rest pose (x to the person's left,
y up, z forwards), fixed to the upper spine, with the origin at the neck joint, in metres. The right
arm is the left's mirror image. The elbow's place on its circle follows in closed form (Tolani,
Goswami & Badler, "Real-time inverse kinematics techniques for anthropomorphic limbs", 2000).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation

from speech2video.data.synthetic.common import plateau, smooth_noise, step, through_knots
from speech2video.data.synthetic.speaker import gestures
from speech2video.data.synthetic.speaker.gestures import GestureUse, HandPose, hand_pose
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import LIMITS, angles_to_rotations, joint_angles
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.body.rotations import minimum_jerk
from speech2video.util.body.skeleton import JOINTS
from speech2video.util.files import read_json

# One arm in one frame, as numbers that may be mixed: between two legal arms lies a legal arm.
ARM_PARTS = {
    "wrist": slice(0, 3),  # metres, chest axes
    "swivel": slice(3, 4),  # radians the elbow turns outwards and up from hanging
    "shrug": slice(4, 5),  # radians the collar rises in addition to what the reach needs
    "forearm": slice(5, 6),  # radians the forearm turns about itself
    "hand": slice(6, 9),  # radians at the wrist: twist, sideways, bend, as `joint_angles`
}
ARM_SIZE = 9

ELBOW_HANGS = np.array([0.1, -0.85, -0.5])  # relaxed elbow: down, behind, a little outwards
STRAIGHTEST = 0.985  # share of the arm's length a reach may use: a locked elbow is unnatural
NEAREST = 0.16  # metres between wrist and shoulder at least
RAISE = 0.35  # radians the collar rises when the hand is far above the shoulder ...
RAISE_FROM, RAISE_TO = -0.3, 0.4  # ... and between which heights of the wrist, metres
PROTRACT = 0.3  # radians the collar swings forwards when the hand crosses the middle ...
PROTRACT_FROM, PROTRACT_TO = 0.15, -0.15  # ... and between which places of the wrist, metres
FOREARM_SHARE = 0.6  # of a hand's turn, what the forearm does; the wrist does the rest
FOREARM_TURN = 1.4  # radians of the forearm's turn at most
LIMIT_MARGIN = 0.15  # radians a solved wrist keeps from its limits: beats and idling need room

MIRROR = np.array([1.0, -1.0, -1.0])  # of an axis-angle, in the plane x = 0
_WRIST = JOINTS.index("left_wrist")

# Hands in silence and while talking; see `gestures` for the axes.
_HANDS = read_json(Path(__file__).with_name("postures.json"), what="postures")
RESTING = [hand_pose(*pose) for pose in _HANDS["resting"]]  # left behind, right before it
TALKING = {name: hand_pose(*pose) for name, pose in _HANDS["talking"].items()}
POSTURES = _HANDS["postures"]  # of the leading hand and of the other
POSTURE_SECONDS = (2.2, 4.5)  # seconds
POSTURE_SCATTER = 0.014  # metres, standard deviation, each hand by itself
POSTURE_CHANGE = (0.6, 0.95)  # seconds
RISE_BEFORE = 0.35  # seconds before the first word the hands begin to rise
REST_AFTER = 0.25  # seconds after the last word they begin to sink
REST_CHANGE = 1.0  # seconds
HAND_DELAY = 0.12  # seconds the hand in front leaves rest earlier, and comes back to it later

BEAT_LIFT, BEAT_DROP, BEAT_REACH = 0.042, 0.034, 0.024  # metres up, down, forwards
BEAT_FLICK = (0.2, -0.28)  # radians the wrist lies back before the stroke and snaps after it
BEAT_TIMES = (-0.42, -0.17, 0.0, 0.1, 0.55)  # seconds: begin, top, apex, end of hold, back
GESTURE_LAG = 0.05  # seconds by which the second hand follows the first at most
GESTURE_SCATTER = 0.008  # metres

IDLE_PLACE, IDLE_TURN, IDLE_SWIVEL = 0.006, 0.045, 0.03  # metres, radians, radians
IDLE_FINGERS = 0.05  # radians
IDLE_HERTZ = (0.06, 0.55)


@dataclass(frozen=True)
class ArmJoints:
    """A value for each joint of an arm: positions (3,) at rest, or axis-angle rotations (T, 3)."""

    collar: np.ndarray
    shoulder: np.ndarray
    elbow: np.ndarray
    wrist: np.ndarray

    @classmethod
    def at_rest(cls, body: Body) -> "ArmJoints":
        """Return a body's left arm in its rest pose, metres from the neck joint."""
        joints = body.joints(torch.zeros(1, POSE_SIZE))[0].double().numpy()
        neck = joints[JOINTS.index("neck")]
        names = ("collar", "shoulder", "elbow", "wrist")
        return cls(*(joints[JOINTS.index(f"left_{name}")] - neck for name in names))


def solve_arm(arm_TA: np.ndarray, geometry: ArmJoints) -> ArmJoints:
    """Return the left arm's rotations that put the wrist where `arm_TA` (T, 9) has it.

    A wrist out of reach is drawn in along the line from the shoulder.
    """
    collar, upper_arm, elbow = _place_forearm(arm_TA, geometry)
    hand = angles_to_rotations(_wrist_row(arm_TA[:, ARM_PARTS["hand"]]))[:, _WRIST]
    return ArmJoints(
        collar.as_rotvec(), upper_arm.as_rotvec(), elbow.as_rotvec(), hand.double().numpy()
    )


def arm_numbers(geometry: ArmJoints, hand: HandPose) -> np.ndarray:
    """Return the arm (9,) that holds the left hand in a pose."""
    arm = np.zeros((1, ARM_SIZE))
    arm[0, :5] = (*hand.wrist, hand.swivel, hand.shrug)
    collar, shoulder, elbow = _place_forearm(arm, geometry)
    forearm = collar * shoulder * elbow
    # Straight fingers point on along the forearm unless a direction is given.
    ahead = forearm.apply([1.0, 0.0, 0.0])[0] if hand.fingers is None else np.array(hand.fingers)
    relative = forearm.inv() * Rotation.from_matrix(_axes(ahead, -np.array(hand.palm))[None])
    turn = _wrist_angles(relative)[0]
    arm[0, ARM_PARTS["forearm"]] = np.clip(FOREARM_SHARE * turn, -FOREARM_TURN, FOREARM_TURN)
    back = Rotation.from_rotvec(np.outer(-arm[0, ARM_PARTS["forearm"]], [1.0, 0.0, 0.0]))
    low, high = LIMITS[_WRIST].numpy().T
    angles = _wrist_angles(back * relative)
    arm[0, ARM_PARTS["hand"]] = np.clip(angles, low + LIMIT_MARGIN, high - LIMIT_MARGIN)
    return arm[0]


def _place_forearm(arm_TA: np.ndarray, geometry: ArmJoints) -> tuple[Rotation, Rotation, Rotation]:
    """Return the rotations of collar, shoulder and elbow, each in its parent's axes."""
    collar = _collar(arm_TA)
    shoulder_T3 = geometry.collar + collar.apply(geometry.shoulder - geometry.collar)
    upper_3, lower_3 = geometry.elbow - geometry.shoulder, geometry.wrist - geometry.elbow
    upper, lower = np.linalg.norm(upper_3), np.linalg.norm(lower_3)
    reach_T3 = arm_TA[:, ARM_PARTS["wrist"]] - shoulder_T3
    distance_T1 = np.linalg.norm(reach_T3, axis=1, keepdims=True)
    along_T3 = reach_T3 / distance_T1
    distance_T1 = np.clip(distance_T1, NEAREST, STRAIGHTEST * (upper + lower))
    foot_T1 = (upper**2 - lower**2 + distance_T1**2) / (2 * distance_T1)
    radius_T1 = np.sqrt(np.maximum(upper**2 - foot_T1**2, 1e-9))
    elbow_T3 = foot_T1 * along_T3 + radius_T1 * _elbow_direction(along_T3, arm_TA)
    forearm_T3 = distance_T1 * along_T3 - elbow_T3
    hinge_T3 = np.cross(forearm_T3, elbow_T3)  # the elbow bends about −y of the rest pose
    rest = Rotation.from_matrix(_axes(upper_3, np.array([0.0, 1.0, 0.0]))[None])
    chest_to_upper = Rotation.from_matrix(_axes(elbow_T3, hinge_T3)) * rest.inv()
    bend = _shortest(lower_3, chest_to_upper.inv().apply(forearm_T3))
    turn_T3 = arm_TA[:, ARM_PARTS["forearm"]] * (lower_3 / lower)
    return collar, collar.inv() * chest_to_upper, bend * Rotation.from_rotvec(turn_T3)


def _collar(arm_TA: np.ndarray) -> Rotation:
    """Return the collar's turn: it rises with a high hand and follows one that crosses over."""
    x, y, _ = arm_TA[:, ARM_PARTS["wrist"]].T
    rise = RAISE * minimum_jerk((y - RAISE_FROM) / (RAISE_TO - RAISE_FROM))
    swing = PROTRACT * minimum_jerk((x - PROTRACT_FROM) / (PROTRACT_TO - PROTRACT_FROM))
    rise = rise + arm_TA[:, 4]
    return Rotation.from_rotvec(np.stack((np.zeros_like(x), -swing, rise), 1))


def _elbow_direction(along_T3: np.ndarray, arm_TA: np.ndarray) -> np.ndarray:
    """Return the unit vector from the line shoulder–wrist to the elbow."""
    hangs_T3 = ELBOW_HANGS - (along_T3 @ ELBOW_HANGS)[:, None] * along_T3
    hangs_T3 /= np.linalg.norm(hangs_T3, axis=1, keepdims=True)
    outwards_T3 = np.cross(along_T3, hangs_T3)
    swivel_T1 = arm_TA[:, ARM_PARTS["swivel"]]
    return np.cos(swivel_T1) * hangs_T3 + np.sin(swivel_T1) * outwards_T3


def _axes(x_axis: np.ndarray, y_hint: np.ndarray) -> np.ndarray:
    """Return matrices (..., 3, 3) with columns x, y, z: x along the first, y near the second."""
    x = x_axis / np.linalg.norm(x_axis, axis=-1, keepdims=True)
    y = y_hint - (y_hint * x).sum(-1, keepdims=True) * x
    y = y / np.linalg.norm(y, axis=-1, keepdims=True)
    return np.stack((x, y, np.cross(x, y)), -1)


def _shortest(start_3: np.ndarray, end_T3: np.ndarray) -> Rotation:
    """Return the shortest rotations that turn one direction into others."""
    start = start_3 / np.linalg.norm(start_3)
    end_T3 = end_T3 / np.linalg.norm(end_T3, axis=1, keepdims=True)
    axis_T3 = np.cross(start, end_T3)
    sine_T1 = np.linalg.norm(axis_T3, axis=1, keepdims=True)
    angle_T1 = np.arctan2(sine_T1, (end_T3 @ start)[:, None])
    return Rotation.from_rotvec(axis_T3 / np.maximum(sine_T1, 1e-9) * angle_T1)


def _wrist_row(values_T3: np.ndarray) -> torch.Tensor:
    """Return (T, 55, 3) with the left wrist's three numbers, for the table of joint limits."""
    row = torch.zeros(len(values_T3), len(JOINTS), 3, dtype=torch.float64)
    row[:, _WRIST] = torch.from_numpy(values_T3)
    return row


def _wrist_angles(rotation: Rotation) -> np.ndarray:
    return joint_angles(_wrist_row(rotation.as_rotvec()))[0, _WRIST].numpy()


@dataclass(frozen=True)
class Beat:
    """A down-stroke of the forearms: apex in seconds, size of each side's stroke (left, right)."""

    apex: float
    size: tuple[float, float]


class Arms:
    """Converts hand poses to an arm's 21 numbers, and these to rotations, for one body."""

    def __init__(self, body: Body) -> None:
        self._geometry = ArmJoints.at_rest(body)
        self._fingers = {
            name: coefficients.double().numpy()
            for name, coefficients in gestures.hand_coefficients(body).items()
        }

    def numbers(self, hand: HandPose, side: int) -> np.ndarray:
        """Return the 21 numbers of a hand in its own side's axes; side 0 left, 1 right."""
        arm = arm_numbers(self._geometry, hand)
        return np.concatenate((arm, self._fingers[hand.shape][side]))

    def rotations(self, numbers_TN: np.ndarray, side: int) -> ArmJoints:
        """Return the rotations that one side's numbers (T, 21) mean."""
        left = solve_arm(numbers_TN[:, :ARM_SIZE], self._geometry)
        if side == 0:
            return left
        return ArmJoints(*(rotation_T3 * MIRROR for rotation_T3 in vars(left).values()))


def arm_curves(
    arms: Arms,
    times_T: np.ndarray,
    phrases: Sequence[tuple[float, float]],
    beats: Sequence[Beat],
    uses: Sequence[GestureUse],
    random: np.random.Generator,
) -> np.ndarray:
    """Return both arms' numbers (2, T, 21), left and right."""
    curves = _postures(arms, times_T, phrases, random)
    for beat in beats:
        for side in (0, 1):
            curves[side] += beat.size[side] * _beat_curve(times_T, beat.apex, random)
    for use in uses:
        for side, weight_T, course_TN in _gesture_courses(arms, use, times_T, random):
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
                scatter = random.normal(0, POSTURE_SCATTER, 3)
                hand = _shifted(TALKING[names[side != lead]], scatter)
                delay = HAND_DELAY * (side == 0) + random.uniform(0, 0.08)
                go(side, arms.numbers(hand, side), time + delay, random.uniform(*POSTURE_CHANGE))
            time += random.uniform(*POSTURE_SECONDS)
        for side in (0, 1):
            delay = REST_AFTER + HAND_DELAY * (side == 1) + random.uniform(0, 0.08)
            go(side, rest[side], max(end, time - POSTURE_SECONDS[0]) + delay, REST_CHANGE)
    return curves


def _beat_curve(times_T: np.ndarray, apex: float, random: np.random.Generator) -> np.ndarray:
    """Return what a beat adds to an arm (T, 21): up, down with a flick, held, back."""
    delay, lift, flick = random.normal(0, 0.008), random.uniform(0.8, 1.2), random.uniform(0.6, 1.2)
    begin, top, low, hold, back = (apex + delay + time for time in BEAT_TIMES)

    def course(at_top: float, at_apex: float) -> np.ndarray:
        return through_knots(
            times_T, [(begin, 0.0), (top, at_top), (low, at_apex), (hold, at_apex), (back, 0.0)]
        )

    curve_TN = np.zeros((len(times_T), ARM_SIZE + 12))
    curve_TN[:, 0] = course(0.0, 0.5 * BEAT_REACH)
    curve_TN[:, 1] = course(lift * BEAT_LIFT, -BEAT_DROP)
    curve_TN[:, 2] = course(-0.3 * BEAT_REACH, BEAT_REACH)
    curve_TN[:, 8] = flick * course(*BEAT_FLICK)
    return curve_TN


def _gesture_courses(
    arms: Arms, use: GestureUse, times_T: np.ndarray, random: np.random.Generator
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield for every hand in a gesture: side, weight (T,), course (T, 21)."""
    sides = (use.side, 1 - use.side) if use.gesture.hands == "both" else (use.side,)
    for second, side in enumerate(sides):
        scatter = random.normal(0, GESTURE_SCATTER, 3)
        keys = [key.other if second and key.other else key.hand for key in use.gesture.keys]
        times = times_T - second * random.uniform(0.3, 1.0) * GESTURE_LAG
        weight_T = plateau(
            times, use.arrival, use.hold_end, use.arrival - use.start, use.end - use.hold_end
        )
        keys_KN = np.stack([arms.numbers(_shifted(hand, scatter), side) for hand in keys])
        yield side, weight_T, _key_course(use, keys_KN, times)


def _shifted(hand: HandPose, metres_3: np.ndarray) -> HandPose:
    x, y, z = np.array(hand.wrist) + metres_3
    return replace(hand, wrist=(x, y, z))


def _key_course(use: GestureUse, keys_KN: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the smooth course (T, 21) through a gesture's key poses, monotone between them."""
    if len(keys_KN) == 1:
        return keys_KN
    moments_K = np.array([use.apex + key.time for key in use.gesture.keys])
    if len(keys_KN) == 2:
        share = minimum_jerk((times - moments_K[0]) / (moments_K[1] - moments_K[0]))
        return keys_KN[0] + share[:, None] * (keys_KN[1] - keys_KN[0])
    course = PchipInterpolator(moments_K, keys_KN)
    return course(times.clip(moments_K[0], moments_K[-1]))


def _idle(times_T: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the small motion (T, 21) of a living arm."""
    scale = [IDLE_PLACE] * 3 + [IDLE_SWIVEL, 0.0, IDLE_TURN] + [IDLE_TURN] * 3 + [IDLE_FINGERS] * 12
    return np.array(scale) * smooth_noise(times_T, random, IDLE_HERTZ, len(scale))
