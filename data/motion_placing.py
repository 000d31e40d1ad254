"""Somebody's motion, moved to where somebody else is used to stand."""

import torch
from torch import Tensor

from speech2video.util.body.pose_vector import POSE_SLICES
from speech2video.util.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle

_PLACE, _FACING = POSE_SLICES["translation"], POSE_SLICES["root_orientation"]


def placed(pose_TP: Tensor, like_P: Tensor) -> Tensor:
    """Return pose vectors (T, 106) shifted and turned about the vertical as a whole.

    Afterwards the pelvis is, on average over the motion, where it is in `like_P` (106,), and faces
    the same way; how the person walks, sways and turns meanwhile stays.
    """
    turn = _about_vertical(_yaw(like_P[None, _FACING]) - _yaw(pose_TP[:, _FACING]))
    place_T3 = pose_TP[:, _PLACE]
    result = pose_TP.clone()
    result[:, _PLACE] = (place_T3 - place_T3.mean(0)) @ turn.T + like_P[_PLACE]
    result[:, _FACING] = matrix_to_axis_angle(turn @ axis_angle_to_matrix(pose_TP[:, _FACING]))
    return result


def _yaw(facing_T3: Tensor) -> Tensor:
    """Return the angle about y, radians, from +z to where a pelvis faces on average."""
    ahead_3 = axis_angle_to_matrix(facing_T3)[..., 2].mean(0)
    return torch.atan2(ahead_3[0], ahead_3[2])


def _about_vertical(angle: Tensor) -> Tensor:
    sin, cos = angle.sin(), angle.cos()
    zero, one = torch.zeros_like(sin), torch.ones_like(sin)
    rows = ((cos, zero, sin), (zero, one, zero), (-sin, zero, cos))
    return torch.stack([torch.stack(row) for row in rows])
