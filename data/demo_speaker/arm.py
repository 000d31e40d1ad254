"""An arm from where its hand is: two-bone inverse kinematics in the body's own measures.

Everything is said for the left arm, in chest axes: those of the rest pose (x to the person's left,
y up, z forwards), fixed to the upper spine, with the origin at the neck joint, in metres. The right
arm is the left's mirror image. The elbow's place on its circle follows in closed form (Tolani,
Goswami & Badler, "Real-time inverse kinematics techniques for anthropomorphic limbs", 2000).
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from speech2video.data.demo_speaker.curves import minimum_jerk
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import LIMITS, angles_to_rotations, joint_angles
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.body.skeleton import JOINTS

# One arm in one frame, as numbers that may be mixed: between two legal arms lies a legal arm.
ARM_PARTS = {
    "wrist": slice(0, 3),  # metres, chest axes
    "swivel": slice(3, 4),  # radians the elbow turns outwards and up from hanging
    "shrug": slice(4, 5),  # radians the collar rises besides what the reach asks for
    "forearm": slice(5, 6),  # radians the forearm turns about itself
    "hand": slice(6, 9),  # radians at the wrist: twist, sideways, bend, as `joint_angles`
}
ARM_SIZE = 9

ELBOW_HANGS = np.array([0.1, -0.85, -0.5])  # where an elbow falls: down, behind, a little outwards
STRAIGHTEST = 0.985  # share of the arm's length a reach may use: a locked elbow looks dead
NEAREST = 0.16  # metres between wrist and shoulder at least
RAISE = 0.35  # radians the collar rises when the hand is far above the shoulder ...
RAISE_FROM, RAISE_TO = -0.3, 0.4  # ... and between which heights of the wrist, metres
PROTRACT = 0.3  # radians the collar swings forwards when the hand crosses the middle ...
PROTRACT_FROM, PROTRACT_TO = 0.15, -0.15  # ... and between which places of the wrist, metres
FOREARM_SHARE = 0.6  # of a hand's turn, how much the forearm takes; the wrist takes the rest
FOREARM_TURN = 1.4  # radians of the forearm's turn at most
LIMIT_MARGIN = 0.15  # radians a solved wrist keeps from its limits: beats and idling need room

MIRROR = np.array([1.0, -1.0, -1.0])  # of an axis-angle, in the plane x = 0
_WRIST = JOINTS.index("left_wrist")


@dataclass(frozen=True)
class ArmGeometry:
    """The left arm's joints (3,) at rest, metres from the neck joint."""

    collar: np.ndarray
    shoulder: np.ndarray
    elbow: np.ndarray
    wrist: np.ndarray

    @classmethod
    def of(cls, body: Body) -> "ArmGeometry":
        """Return a body's left arm in its rest pose."""
        joints = body.joints(torch.zeros(1, POSE_SIZE))[0].double().numpy()
        neck = joints[JOINTS.index("neck")]
        names = ("collar", "shoulder", "elbow", "wrist")
        return cls(*(joints[JOINTS.index(f"left_{name}")] - neck for name in names))


@dataclass(frozen=True)
class ArmRotations:
    """Axis-angle rotations (T, 3) of the left arm's four joints."""

    collar: np.ndarray
    shoulder: np.ndarray
    elbow: np.ndarray
    wrist: np.ndarray


def solve_arm(arm_TA: np.ndarray, geometry: ArmGeometry) -> ArmRotations:
    """Return the left arm's rotations whose wrist is where `arm_TA` (T, 9) says.

    A wrist out of reach is drawn in along the line from the shoulder.
    """
    collar, upper_arm, elbow = _place_forearm(arm_TA, geometry)
    hand = angles_to_rotations(_wrist_row(arm_TA[:, ARM_PARTS["hand"]]))[:, _WRIST]
    return ArmRotations(
        collar.as_rotvec(), upper_arm.as_rotvec(), elbow.as_rotvec(), hand.double().numpy()
    )


def arm_numbers(
    geometry: ArmGeometry,
    *,
    wrist: tuple[float, float, float],
    palm: tuple[float, float, float],
    fingers: tuple[float, float, float] | None = None,
    swivel: float = 0.1,
    shrug: float = 0.0,
) -> np.ndarray:
    """Return the arm (9,) with the left hand at `wrist`, its palm facing along `palm`.

    Args:
        geometry: of the body.
        wrist: metres, chest axes.
        palm: where the palm looks, of any length; what is along the fingers is ignored.
        fingers: where straight fingers would point; by default on along the forearm.
        swivel: radians the elbow turns outwards and up from hanging.
        shrug: radians the collar rises.
    """
    arm = np.zeros((1, ARM_SIZE))
    arm[0, :5] = (*wrist, swivel, shrug)
    collar, shoulder, elbow = _place_forearm(arm, geometry)
    forearm = collar * shoulder * elbow
    along = forearm.apply([1.0, 0.0, 0.0])[0] if fingers is None else np.array(fingers)
    relative = forearm.inv() * Rotation.from_matrix(_axes(along, -np.array(palm))[None])
    turn = _wrist_angles(relative)[0]
    arm[0, ARM_PARTS["forearm"]] = np.clip(FOREARM_SHARE * turn, -FOREARM_TURN, FOREARM_TURN)
    back = Rotation.from_rotvec(np.outer(-arm[0, ARM_PARTS["forearm"]], [1.0, 0.0, 0.0]))
    low, high = LIMITS[_WRIST].numpy().T
    hand = _wrist_angles(back * relative)
    arm[0, ARM_PARTS["hand"]] = np.clip(hand, low + LIMIT_MARGIN, high - LIMIT_MARGIN)
    return arm[0]


def _place_forearm(
    arm_TA: np.ndarray, geometry: ArmGeometry
) -> tuple[Rotation, Rotation, Rotation]:
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
