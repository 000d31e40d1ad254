"""Rotations as axis-angle, matrix, 6D and quaternion, and motion between them in time, with `roma`.

Axis-angle is in radians; quaternions are (x, y, z, w) of unit length; 6D is the matrix's first two
columns (Zhou et al., CVPR 2019). All functions are differentiable, also at the identity.
"""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from speech2video.util.torch_compiler import without_compiler

with without_compiler():
    import roma

Array = TypeVar("Array", Tensor, np.ndarray)

axis_angle_to_matrix = roma.rotvec_to_rotmat
matrix_to_axis_angle = roma.rotmat_to_rotvec
axis_angle_to_quaternion = roma.rotvec_to_unitquat
quaternion_to_axis_angle = roma.unitquat_to_rotvec


def matrix_to_6d(matrix: Tensor) -> Tensor:
    """Return (..., 6), the first two columns of (..., 3, 3)."""
    return matrix[..., :2].transpose(-1, -2).flatten(-2)


def slerp(start: Tensor, end: Tensor, weight: Tensor) -> Tensor:
    """Return axis-angle (..., 3) on the shortest arc; `weight` broadcasts against (...)."""
    q_start = axis_angle_to_quaternion(start)
    q_end = axis_angle_to_quaternion(end)
    q_step = roma.quat_product(roma.quat_conjugation(q_start), q_end)
    step = quaternion_to_axis_angle(q_step) * weight.unsqueeze(-1)
    result = roma.quat_product(q_start, axis_angle_to_quaternion(step))
    return quaternion_to_axis_angle(result)


def resample_axis_angle(rotation_T3: Tensor, times: Tensor) -> Tensor:
    """Return rotations (N, ..., 3) at fractional frame numbers `times` (N,), by slerp.

    `rotation_T3` is (T, ..., 3); times outside [0, T − 1] hold the first or last frame.
    """
    before, after, weight = _neighbours(times, len(rotation_T3))
    shape = (-1,) + (1,) * (rotation_T3.ndim - 2)
    return slerp(rotation_T3[before], rotation_T3[after], weight.view(shape))


def resample_linear(values_TD: Tensor, times: Tensor) -> Tensor:
    """Return values (N, D) at fractional frame numbers `times` (N,), by straight lines."""
    before, after, weight = _neighbours(times, len(values_TD))
    return torch.lerp(values_TD[before], values_TD[after], weight.unsqueeze(-1))


def minimum_jerk(share: Array) -> Array:
    """Return the course of a reaching movement, 0 to 1, over `share` of its duration.

    The polynomial of Flash & Hogan, "The coordination of arm movements", J. Neurosci. 5, 1985. Its
    first two derivatives are zero at both ends.
    """
    share = share.clip(0, 1)
    return share**3 * (10 + share * (6 * share - 15))


def _neighbours(times: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    times = times.clamp(0, count - 1)
    before = times.floor().long()
    after = (before + 1).clamp(max=count - 1)
    return before, after, (times - before).float()
