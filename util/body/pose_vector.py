"""The pose vector, 106 numbers for one frame of a person, and SMPL-X's full parameters.

The count is the paper's as widely quoted; the order of the parts is ours. Angles in radians,
translation in metres. The eyes are not in it: they point straight ahead.
"""

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from speech2video.util.body.skeleton import BODY_JOINTS, FACE_JOINTS, JOINTS

HAND_COMPONENTS = 12
NUM_EXPRESSIONS = 10

POSE_PARTS = {
    "translation": 3,
    "root_orientation": 3,  # axis-angle of the pelvis
    "body": 3 * (len(BODY_JOINTS) - 1),  # axis-angle of 21 joints
    "left_hand": HAND_COMPONENTS,  # coefficients of the body model's hand components
    "right_hand": HAND_COMPONENTS,
    "expression": NUM_EXPRESSIONS,
    "jaw": 3,  # axis-angle
}


_ENDS = accumulate(POSE_PARTS.values())
POSE_SLICES = {
    name: slice(end - size, end)
    for (name, size), end in zip(POSE_PARTS.items(), _ENDS, strict=True)
}
POSE_SIZE = sum(POSE_PARTS.values())  # 106

_JAW = len(BODY_JOINTS)
_LEFT_HAND = _JAW + len(FACE_JOINTS)
_RIGHT_HAND = _LEFT_HAND + 15


@dataclass(frozen=True)
class HandBasis:
    """A body model's hands: mean pose and orthonormal components, axis-angle of 15 joints each.

    Attributes:
        mean: (2, 45) left and right, radians.
        components: (2, 12, 45), rows orthonormal.
    """

    mean: Tensor
    components: Tensor

    def decode(self, coefficients: Tensor, side: int) -> Tensor:
        """Return axis-angle (..., 15, 3) of coefficients (..., 12); side 0 is left, 1 right."""
        rows = self.components[side, : coefficients.shape[-1]]
        return (self.mean[side] + coefficients @ rows).unflatten(-1, (15, 3))

    def encode(self, rotations: Tensor, side: int) -> Tensor:
        """Return the coefficients (..., 12) nearest to axis-angle (..., 15, 3)."""
        return (rotations.flatten(-2) - self.mean[side]) @ self.components[side].T


@dataclass(frozen=True)
class SmplxParameters:
    """Full SMPL-X parameters: rotations (T, 55, 3), translation (T, 3), expression (T, 10)."""

    rotations: Tensor
    translation: Tensor
    expression: Tensor


def pose_columns(*names: str) -> list[int]:
    """Return the columns of parts or body joints in the pose vector, in the order of the names."""
    columns: list[int] = []
    for name in names:
        if name in POSE_SLICES:
            columns += range(POSE_SIZE)[POSE_SLICES[name]]
        else:
            start = POSE_SLICES["body"].start + 3 * (BODY_JOINTS.index(name) - 1)
            columns += range(start, start + 3)
    return columns


def split_pose(pose_TP: Tensor) -> dict[str, Tensor]:
    """Return the named parts of a pose vector (..., 106)."""
    return {name: pose_TP[..., part] for name, part in POSE_SLICES.items()}


def join_pose(**parts: Tensor) -> Tensor:
    """Return the pose vector (..., 106) of all its named parts."""
    return torch.cat([parts[name] for name in POSE_SLICES], dim=-1)


def vector_to_smplx(pose_TP: Tensor, hands: HandBasis) -> SmplxParameters:
    """Return the full SMPL-X parameters of pose vectors (T, 106)."""
    parts = split_pose(pose_TP)
    eyes = pose_TP.new_zeros(*pose_TP.shape[:-1], 2, 3)
    rotations = [
        parts["root_orientation"].unsqueeze(-2),
        parts["body"].unflatten(-1, (-1, 3)),
        parts["jaw"].unsqueeze(-2),
        eyes,
        hands.decode(parts["left_hand"], 0),
        hands.decode(parts["right_hand"], 1),
    ]
    return SmplxParameters(torch.cat(rotations, -2), parts["translation"], parts["expression"])


def smplx_to_vector(smplx: SmplxParameters, hands: HandBasis) -> Tensor:
    """Return pose vectors (T, 106); fingers become the nearest in the 12 components."""
    rotations = smplx.rotations
    if rotations.shape[-2:] != (len(JOINTS), 3):
        raise ValueError(f"rotations of {len(JOINTS)} joints are needed, not {rotations.shape}")
    return join_pose(
        translation=smplx.translation,
        root_orientation=rotations[..., 0, :],
        body=rotations[..., 1:_JAW, :].flatten(-2),
        left_hand=hands.encode(rotations[..., _LEFT_HAND:_RIGHT_HAND, :], 0),
        right_hand=hands.encode(rotations[..., _RIGHT_HAND:, :], 1),
        expression=smplx.expression,
        jaw=rotations[..., _JAW, :],
    )
