"""How far a predicted flow is from the observed one, and what it does to real frames.

Flows are (N, 2, H, W) pixels right and down, from each pixel to where the frame before shows the
same (`models/networks/warping.py`). Trust is 1 where the observed flow explains the frame, 0 where
it does not (what was hidden, what glows); as bytes, 255 is 1. Both errors are means over all
pixels, distrusted ones counting as zero, so that two half batches are worth one whole.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from speech2video.models.networks.warping import warp


def flow_error(flow: Tensor, truth: Tensor, trust: Tensor) -> Tensor:
    """Return the mean absolute error in pixels, right and down added, 0-dim.

    Args:
        flow: (N, 2, h, w), brought to the truth's size where it has another.
        truth: (N, 2, H, W) as observed.
        trust: (N, H, W) or (N, 1, H, W), 0..1 or bytes.
    """
    error_NHW = (resize_flow(flow, truth.shape[-2:]) - truth.float()).abs().sum(1)
    return (error_NHW * _share(trust)).mean()


def warp_error(flow: Tensor, before_real: Tensor, real: Tensor, trust: Tensor) -> Tensor:
    """Return the mean absolute difference of a real frame and the one before, warped; 0-dim.

    Args:
        flow: (N, 2, h, w) as predicted, brought to the frames' size where it has another.
        before_real, real: (N, C, H, W) -1..1.
        trust: (N, H, W) or (N, 1, H, W), 0..1 or bytes.
    """
    warped = warp(before_real, resize_flow(flow, real.shape[-2:]))
    return ((warped - real.float()).abs().mean(1) * _share(trust)).mean()


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a flow at another size (H, W), float32, in pixels of that size."""
    height, width = flow.shape[-2:]
    if (height, width) == tuple(size):
        return flow.float()
    smaller = size[0] < height or size[1] < width
    resized = F.interpolate(flow.float(), size=tuple(size), mode="bilinear", antialias=smaller)
    scale = torch.tensor([size[1] / width, size[0] / height], device=flow.device)
    return resized * scale.view(2, 1, 1)


def _share(trust: Tensor) -> Tensor:
    share = trust.float() if trust.is_floating_point() else trust.float() / 255
    return share[:, 0] if share.ndim == 4 else share
