"""Derivatives of the body's points by pose: the geometric Jacobian of a skinned skeleton.

A small turn ω of joint i moves a point p below it by ω × (p − joint i); a skinned point moves by
this times its skinning weights below the joint. That is exact for joints, elsewhere off by less
than the error of blending itself, at a hundredth of the cost of automatic differentiation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from speech2video.data.keypoints import PART_POINTS
from speech2video.util.body import skeleton
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import NUM_EXPRESSIONS, POSE_SLICES, vector_to_smplx
from speech2video.util.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from speech2video.util.body.skeleton import JOINTS, PARENTS, POINTS

# Joints that the fit turns. Legs stay at rest: speakers are visible from the hips up.
_ARM = ("collar", "shoulder", "elbow", "wrist")
TURNED = (
    *("pelvis", "spine1", "spine2", "spine3", "neck", "head"),
    *(f"{side}_{joint}" for joint in _ARM for side in ("left", "right")),
    "jaw",
)
_TURNED = skeleton.indices(TURNED)
_HANDS = [
    skeleton.indices(side) for side in (skeleton.LEFT_HAND_JOINTS, skeleton.RIGHT_HAND_JOINTS)
]
_HAND_POINTS = [PART_POINTS["left_hand"], PART_POINTS["right_hand"]]
_CROSS = torch.zeros(3, 3, 3)  # Levi-Civita symbol
for _x, _y, _z in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    _CROSS[_x, _y, _z], _CROSS[_x, _z, _y] = 1.0, -1.0

# The solver's unknowns: the columns of each kind.
COLUMNS = {
    "translation": slice(0, 3),
    "turns": slice(3, 3 + 3 * len(TURNED)),
    "left_hand": slice(48, 60),
    "right_hand": slice(60, 72),
    "expression": slice(72, 72 + NUM_EXPRESSIONS),
}
UNKNOWNS = COLUMNS["expression"].stop
# The first of a joint's three indices in the pose vector.
POSE_STARTS = {
    joint: POSE_SLICES["body"].start + 3 * (JOINTS.index(joint) - 1) for joint in TURNED
} | {"pelvis": POSE_SLICES["root_orientation"].start, "jaw": POSE_SLICES["jaw"].start}


def turn_column(joint: str) -> slice:
    """Return the three columns of one joint's turn."""
    start = COLUMNS["turns"].start + 3 * TURNED.index(joint)
    return slice(start, start + 3)


@dataclass(frozen=True)
class PointSkinning:
    """Dependence of a body's points on joints and expressions.

    Attributes:
        below: (144, 55) share by which each point follows a turn of each joint.
        weights: (144, 55) skinning weights of the points; a joint's is one on its parent.
        directions: (144, 3, 10) derivatives by the expression, unposed.
    """

    below: Tensor
    weights: Tensor
    directions: Tensor

    @classmethod
    def of(cls, body: Body) -> "PointSkinning":
        """Return the skinning of a body's points."""
        weights, directions = body.point_skinning()
        ancestry = torch.eye(len(JOINTS))
        for joint in range(1, len(JOINTS)):
            ancestry[joint] += ancestry[PARENTS[joint]]  # row: the joints that turn this one
        below = weights @ ancestry
        # a joint's own turn leaves it where it is
        below[: len(JOINTS)] = ancestry.fill_diagonal_(0)
        return cls(below, weights, directions[..., -NUM_EXPRESSIONS:])


def global_rotations(rotations_TJ33: Tensor) -> Tensor:
    """Return each joint's rotation in the world (T, 55, 3, 3) from those relative to its parent."""
    chain = [rotations_TJ33[:, 0]]
    for joint in range(1, len(PARENTS)):
        chain.append(chain[PARENTS[joint]] @ rotations_TJ33[:, joint])
    return torch.stack(chain, 1)


def jacobian(
    pose_TP: Tensor, points_TK3: Tensor, body: Body, hanging: PointSkinning, joints_TJ3: Tensor
) -> Tensor:
    """Return the derivatives (T, 144, 3, 82) of points by the unknowns, metres per radian or unit.

    The points (T, 144, 3) may differ from the body's own, such as a detector's; they turn about
    the body's joints (T, 55 or more, 3).
    """
    angles = vector_to_smplx(pose_TP, body.hands).rotations
    turned = global_rotations(axis_angle_to_matrix(angles))
    columns = points_TK3.new_zeros(len(pose_TP), len(POINTS), 3, UNKNOWNS)
    columns[..., COLUMNS["translation"]] = torch.eye(3)
    turns = _turns(_TURNED, hanging.below, points_TK3, joints_TJ3, turned)
    columns[..., COLUMNS["turns"]] = turns.flatten(-2)
    for side, name in enumerate(("left_hand", "right_hand")):
        joints, points = _HANDS[side], _HAND_POINTS[side]
        fingers = _turns(joints, hanging.below[points], points_TK3[:, points], joints_TJ3, turned)
        # turns of fingers by angles, and these by the hand's coefficients
        angle = _left_jacobian(angles[:, joints])
        by_angle = body.hands.components[side].T.unflatten(0, (-1, 3))
        by_coefficient = (angle @ by_angle).flatten(1, 2)
        columns[:, points, :, COLUMNS[name]] = fingers.flatten(-2) @ by_coefficient.unsqueeze(1)
    blended = torch.einsum("kj,tjab->tkab", hanging.weights, turned)
    columns[..., COLUMNS["expression"]] = blended @ hanging.directions
    return columns


def _turns(
    joints: list[int], below: Tensor, points: Tensor, pivots: Tensor, turned: Tensor
) -> Tensor:
    """Return points' derivatives (T, K, 3, N, 3) by small turns about the axes of joints' parents.

    A turn about an axis moves a point by axis × (point − joint), times its share `below` (K, J).

    Args:
        joints: the N joints that turn.
        below: as in `PointSkinning`, of the K points.
        points: (T, K, 3).
        pivots: positions of all joints (T, J, 3).
        turned: global rotations of all joints (T, J, 3, 3).
    """
    parents = [max(PARENTS[joint], 0) for joint in joints]
    axes = turned[:, parents]  # a copy; columns are the axes in the world
    if joints[0] == 0:
        axes[:, 0] = torch.eye(3)  # the pelvis turns about the world's axes
    cross = torch.einsum("xqp,tjqa->tpxja", _CROSS, axes)  # (axis × p), linear in p
    at_pivot = torch.einsum("tpxja,tjp->txja", cross, pivots[:, joints])
    moves = (points @ cross.flatten(2)).unflatten(2, cross.shape[2:])
    return (moves - at_pivot.unsqueeze(1)) * below[:, None, joints, None]


def _left_jacobian(angles: Tensor) -> Tensor:
    """Return (..., 3, 3): the derivative of the rotation by its axis-angle (..., 3).

    Solà et al., "A micro Lie theory for state estimation in robotics", 2018, eq. 145.
    """
    size = angles.norm(dim=-1).clamp(min=1e-4)[..., None, None]
    x, y, z = angles.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).unflatten(-1, (3, 3))
    first, second = (1 - size.cos()) / size**2, (size - size.sin()) / size**3
    return torch.eye(3).to(angles) + first * cross + second * (cross @ cross)


def apply_step(pose_TP: Tensor, step_TU: Tensor) -> Tensor:
    """Return the pose vectors (T, 106) after a step (T, 82) of the solver's unknowns."""
    pose = pose_TP.clone()
    for name in ("translation", "left_hand", "right_hand", "expression"):
        pose[:, POSE_SLICES[name]] += step_TU[:, COLUMNS[name]]
    turns = axis_angle_to_matrix(step_TU[:, COLUMNS["turns"]].unflatten(1, (-1, 3)))
    index = (torch.tensor(list(POSE_STARTS.values())).unsqueeze(1) + torch.arange(3)).flatten()
    before = axis_angle_to_matrix(pose[:, index].unflatten(1, (-1, 3)))
    pose[:, index] = matrix_to_axis_angle(turns @ before).flatten(1)
    return pose
