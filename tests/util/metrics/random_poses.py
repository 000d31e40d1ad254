"""Random smooth poses for tests."""

import torch
from torch import Tensor

from speech2video.util.body.pose_vector import POSE_SIZE

FRAMES = 40


def random_poses(seed: int) -> Tensor:
    """Return pose vectors (40, 106)."""
    steps = torch.randn(FRAMES, POSE_SIZE, generator=torch.Generator().manual_seed(seed))
    return 0.02 * steps.cumsum(0)
