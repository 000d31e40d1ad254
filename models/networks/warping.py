"""Pictures moved along a flow."""

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(picture: Tensor, flow: Tensor) -> Tensor:
    """Return a picture (N, C, H, W) as seen along a flow (N, 2, H, W); the result is float32.

    Each pixel takes what lies `flow` pixels to its right and below it, bilinear between pixels,
    and the nearest border pixel beyond the picture. Positions in 16 bits would be off by pixels,
    so it is computed in 32 whatever comes in.
    """
    height, width = picture.shape[-2:]
    x = torch.linspace(-1, 1, width, device=flow.device)  # corners aligned: -1 and 1 are the
    y = torch.linspace(-1, 1, height, device=flow.device)  # middles of the border pixels
    right, down = flow.float().unbind(1)
    there_NHW2 = torch.stack(
        (x + right / ((width - 1) / 2), y[:, None] + down / ((height - 1) / 2)), -1
    )
    return F.grid_sample(
        picture.float(), there_NHW2, mode="bilinear", padding_mode="border", align_corners=True
    )
