"""Motion as the Fréchet gesture distance sees it: windows of upper-body and finger rotations."""

import torch
from torch import Tensor

from speech2video.util.body.pose_vector import POSE_SLICES, HandBasis, vector_to_smplx
from speech2video.util.body.rotations import axis_angle_to_matrix, matrix_to_6d
from speech2video.util.body.skeleton import JOINTS, LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS, indices
from speech2video.util.errors import DataError
from speech2video.util.metrics.motion import UPPER_BODY

GESTURE_JOINTS = UPPER_BODY + LEFT_HAND_JOINTS + RIGHT_HAND_JOINTS  # 43
GESTURE_FEATURES = 6 * len(GESTURE_JOINTS)  # 258
_GESTURE = indices(GESTURE_JOINTS)

# Another person's habits: how much larger the movements of body and of each hand are, and how far
# (radians; of hands, coefficients) joints rest elsewhere.
VARIED_SIZE = (0.4, 2.0)
VARIED_REST = {"body": 0.15, "left_hand": 0.3, "right_hand": 0.3}


def gesture_features(pose_TP: Tensor, hands: HandBasis) -> Tensor:
    """Return the 6D rotations (T, 258) of upper body and fingers of pose vectors (T, 106).

    Where the person stands, the root's turn, legs and face are left out.
    """
    return rotation_features(vector_to_smplx(pose_TP, hands).rotations)


def rotation_features(rotations_TJ3: Tensor) -> Tensor:
    """Return the same (T, 258) of all 55 joints' axis-angle (T, 55, 3)."""
    if rotations_TJ3.shape[1:] != (len(JOINTS), 3):
        raise DataError(f"rotations {tuple(rotations_TJ3.shape)}; (frames, 55, 3) are needed")
    matrices = axis_angle_to_matrix(rotations_TJ3[:, _GESTURE])
    return matrix_to_6d(matrices).flatten(1)


def windows(features_TF: Tensor, *, frames: int, stride: int) -> Tensor:
    """Return the windows (N, frames, F) that begin every `stride` frames.

    Raises:
        DataError: fewer than `frames` frames.
    """
    if len(features_TF) < frames:
        raise DataError(f"motion of {len(features_TF)} frames; at least {frames} are needed")
    return features_TF.unfold(0, frames, stride).transpose(1, 2)


def varied(pose_TP: Tensor, *, seed: int) -> Tensor:
    """Return pose vectors (T, 106) of the same gestures made by a person of other habits.

    Body and hands move more or less and rest elsewhere, so that an autoencoder sees other motion
    than one speaker's; it need not be legal.
    """
    chance = torch.Generator().manual_seed(seed)
    other_TP = pose_TP.clone()
    for name, spread in VARIED_REST.items():
        part = pose_TP[:, POSE_SLICES[name]]
        mean = part.mean(0)
        size = torch.empty(1).uniform_(*VARIED_SIZE, generator=chance)
        rest = spread * torch.randn(len(mean), generator=chance)
        other_TP[:, POSE_SLICES[name]] = mean + rest + size * (part - mean)
    return other_TP
