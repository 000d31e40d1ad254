"""Anatomical limits of the joints: a training penalty, a clamp for inference, a report.

A joint's rotation is split into a twist about its bone and a swing of the bone, R = swing · twist
(Baerlocher & Boulic, "Parametrization and range of motion of the ball-and-socket joint", 2001). The
swing's two rotation-vector components and the twist's angle are the joint's three angles, each with
a range. For a turn about one axis of the T-pose they are just that angle.

Ranges in degrees stand in joint_limits.csv, with the axis of each bone. x points to the person's
left, y up, z forwards; positive turns about x nod forwards, about y turn to the left, about z tilt
to the right (raise the left arm). They come from goniometry, measured from SMPL-X's T-pose:
  AAOS    American Academy of Orthopaedic Surgeons, Joint Motion, 1965 (limbs, spine, toes)
  Soucie  Soucie et al., Haemophilia 17, 2011: normal values in 674 people (hip, knee, ankle, elbow)
  Panjabi White & Panjabi, Clinical Biomechanics of the Spine, 1990, shared out over SMPL-X's joints
  Ludewig Ludewig et al., J Bone Joint Surg 91, 2009: clavicle and shoulder during arm motion
  Hume    Hume et al., J Hand Surg 15A, 1990 (fingers, thumb)
  Posselt Posselt, Acta Odontol Scand 10, 1952 (jaw)
  Guitton Guitton et al., 1986 (eyes: oculomotor range)
and are widened by about 10 degrees, more where motion capture is inexact (legs and feet, whose
sideways turns it hardly measures), because a body model's rest pose and joint centres are not the
clinic's, and because fits to video are noisy. SMPL-X's elbow bends about no fixed axis: in motion
capture the 150 degrees of a fully bent arm lean up to 85 degrees from y towards z, the more the
upper arm is turned.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from speech2video.util.body.pose_vector import POSE_SLICES, HandBasis, vector_to_smplx
from speech2video.util.body.rotations import (
    axis_angle_to_quaternion,
    quaternion_to_axis_angle,
    roma,
)
from speech2video.util.body.skeleton import JOINTS, LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS, mirrored
from speech2video.util.errors import DataError
from speech2video.util.files import read_table

TOLERANCE = 1e-4  # radians; less than this over a limit is rounding, not anatomy
MAX_RADIANS = 100.0  # radians; beyond it the numbers are no angles (degrees, or a broken network)
SHRINK_STEPS = 20  # halvings when a hand is drawn back towards its rest: 1e-6 of the way


def _limits(joint: str) -> tuple[str, list[tuple[float, float]]]:
    """Return a joint's bone axis and its ranges about x, y and z, degrees.

    The right side mirrors the left; fingers share three rows, as their knuckles are numbered.
    """
    left = mirrored(joint) if joint.startswith("right_") else joint
    row = _TABLE.get(left) or _TABLE[("thumb" if "thumb" in left else "finger") + left[-1]]
    x, y, z = ((float(row[f"{axis}_min"]), float(row[f"{axis}_max"])) for axis in "xyz")
    if joint.startswith("right_"):
        y, z = (-y[1], -y[0]), (-z[1], -z[0])
    return row["bone"], [x, y, z]


_TABLE = {row["joint"]: row for row in read_table(Path(__file__).with_name("joint_limits.csv"))}
_JOINT_LIMITS = [_limits(joint) for joint in JOINTS]
BONE_AXES = torch.eye(3)[["xyz".index(axis) for axis, _ in _JOINT_LIMITS]]  # (55, 3)
LIMITS = torch.deg2rad(torch.tensor([ranges for _, ranges in _JOINT_LIMITS]))  # (55, 3, 2) radians
_HANDS = (LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS)


def joint_angles(rotations_TJ3: Tensor) -> Tensor:
    """Return twist and swing angles (T, 55, 3) in radians of axis-angle rotations (T, 55, 3)."""
    return _angles(rotations_TJ3, BONE_AXES.to(rotations_TJ3))


def angles_to_rotations(angles_TJ3: Tensor) -> Tensor:
    """Return axis-angle rotations (T, 55, 3) of twist and swing angles: `joint_angles` undone."""
    return _rotations(angles_TJ3, BONE_AXES.to(angles_TJ3))


def limit_penalty(rotations_TJ3: Tensor) -> Tensor:
    """Return the mean squared excess over the limits, radians², of axis-angle (..., 55, 3)."""
    return limit_excess(rotations_TJ3).square().mean()


def limit_excess(rotations_TJ3: Tensor) -> Tensor:
    """Return how far each joint angle is outside its range, radians ≥ 0, (..., 55, 3)."""
    limits = LIMITS.to(rotations_TJ3)
    angles = joint_angles(rotations_TJ3)
    return (limits[..., 0] - angles).clamp(min=0) + (angles - limits[..., 1]).clamp(min=0)


def clamp_rotations(rotations_TJ3: Tensor) -> Tensor:
    """Return rotations (T, 55, 3) with every joint inside its range; legal joints stay as they are.

    Raises:
        DataError: NaN, infinity, or angles too large to be radians.
    """
    check_angles(rotations_TJ3)
    limits, bones = LIMITS.to(rotations_TJ3), BONE_AXES.to(rotations_TJ3)
    angles = joint_angles(rotations_TJ3)
    legal = angles.clamp(limits[..., 0], limits[..., 1])
    illegal = ((angles - legal).abs() > TOLERANCE).any(-1)
    if not illegal.any():  # nearly always: the way back is left out
        return rotations_TJ3
    clamped = rotations_TJ3.clone()
    clamped[illegal] = _rotations(legal[illegal], bones.expand_as(angles)[illegal])
    return clamped


def clamp_pose(pose_TP: Tensor, hands: HandBasis) -> Tensor:
    """Return pose vectors (T, 106) in which no joint is outside its range.

    Body and jaw are clamped joint by joint. A hand is twelve coefficients that move all its joints,
    so an illegal hand is scaled towards the mean hand until it is legal.

    Raises:
        DataError: NaN, infinity, or angles too large to be radians.
    """
    if not torch.isfinite(pose_TP).all():
        raise DataError("pose: NaN or infinite numbers; finite ones are needed")
    legal = clamp_rotations(vector_to_smplx(pose_TP, hands).rotations)
    clamped = pose_TP.clone()
    clamped[:, POSE_SLICES["body"]] = legal[:, 1:22].flatten(1)
    clamped[:, POSE_SLICES["jaw"]] = legal[:, JOINTS.index("jaw")]
    for side, name in enumerate(("left_hand", "right_hand")):
        part = POSE_SLICES[name]
        clamped[:, part] = _shrink_hand(pose_TP[:, part], hands, side)
    return clamped


def check_angles(rotations_TJ3: Tensor) -> None:
    """Raise `DataError` unless the rotations are finite and can be radians."""
    if not torch.isfinite(rotations_TJ3).all():
        raise DataError("pose: NaN or infinite angles; finite radians are needed")
    worst = rotations_TJ3.abs().max().item() if rotations_TJ3.numel() else 0.0
    if worst > MAX_RADIANS:
        raise DataError(f"pose: an angle of {worst:.4g}; radians are needed (are these degrees?)")


@dataclass(frozen=True)
class LimitReport:
    """How a motion keeps to the limits: share of frames over, each offender's worst degrees."""

    frames: int
    frames_over: float
    frames_over_outside_hands: float
    degrees_over: dict[str, float]  # joint: most degrees outside its range
    share_over: dict[str, float]  # joint: share of frames outside its range

    def __str__(self) -> str:
        worst = sorted(self.degrees_over, key=self.degrees_over.__getitem__, reverse=True)[:3]
        names = ", ".join(f"{name} {self.degrees_over[name]:.0f}°" for name in worst)
        return (
            f"joint limits: {100 * self.frames_over:.1f} % of {self.frames} frames over, "
            f"{100 * self.frames_over_outside_hands:.1f} % outside the hands"
            + (f"; most: {names}" if names else "")
        )


def limit_report(rotations_TJ3: Tensor) -> LimitReport:
    """Return the report on axis-angle rotations (T, 55, 3)."""
    excess_TJ3 = limit_excess(rotations_TJ3)
    degrees_TJ = torch.rad2deg(excess_TJ3.amax(-1))
    illegal_TJ = (excess_TJ3 > TOLERANCE).any(-1)
    finger = torch.tensor([joint in (*_HANDS[0], *_HANDS[1]) for joint in JOINTS])
    offenders = [i for i in range(len(JOINTS)) if illegal_TJ[:, i].any()]
    return LimitReport(
        frames=len(rotations_TJ3),
        frames_over=illegal_TJ.any(1).float().mean().item(),
        frames_over_outside_hands=illegal_TJ[:, ~finger].any(1).float().mean().item(),
        degrees_over={JOINTS[i]: degrees_TJ[:, i].max().item() for i in offenders},
        share_over={JOINTS[i]: illegal_TJ[:, i].float().mean().item() for i in offenders},
    )


def _angles(rotations: Tensor, bones: Tensor) -> Tensor:
    quaternion = axis_angle_to_quaternion(rotations)
    vector, scalar = quaternion[..., :3], quaternion[..., 3]
    along = (vector * bones).sum(-1)
    # A swing of half a turn leaves the twist undefined (atan2(0, 0)); zero is as good as any.
    undefined = (along.abs() < 1e-8) & (scalar.abs() < 1e-8)
    half_twist = torch.atan2(along, torch.where(undefined, torch.ones_like(scalar), scalar))
    # q and −q are the same rotation: of the two twists, the one within half a turn
    twist = torch.remainder(2 * half_twist + math.pi, 2 * math.pi) - math.pi
    twist_vector = bones * twist.unsqueeze(-1)
    untwist = axis_angle_to_quaternion(-twist_vector)
    swing = quaternion_to_axis_angle(roma.quat_product(quaternion, untwist))
    swing = swing - bones * (swing * bones).sum(-1, keepdim=True)  # rounding only
    return swing + twist_vector


def _rotations(angles: Tensor, bones: Tensor) -> Tensor:
    twist_vector = bones * (angles * bones).sum(-1, keepdim=True)
    swing = axis_angle_to_quaternion(angles - twist_vector)
    return quaternion_to_axis_angle(
        roma.quat_product(swing, axis_angle_to_quaternion(twist_vector))
    )


def _shrink_hand(coefficients: Tensor, hands: HandBasis, side: int) -> Tensor:
    """Return coefficients (T, 12) scaled down, where illegal, to the edge of what is legal."""
    start = JOINTS.index(_HANDS[side][0])
    joints = slice(start, start + 15)
    bones, limits = BONE_AXES[joints].to(coefficients), LIMITS[joints].to(coefficients)

    def legal(candidate: Tensor) -> Tensor:
        angles = _angles(hands.decode(candidate, side), bones)
        over = torch.maximum(limits[..., 0] - angles, angles - limits[..., 1])
        return (over <= TOLERANCE).flatten(1).all(1)

    ok = legal(coefficients)
    if ok.all():
        return coefficients
    bad = coefficients[~ok]
    low, high = bad.new_zeros(len(bad)), bad.new_ones(len(bad))
    for _ in range(SHRINK_STEPS):
        middle = (low + high) / 2
        fits = legal(bad * middle.unsqueeze(1))
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    result = coefficients.clone()
    result[~ok] = bad * low.unsqueeze(1)
    return result
