"""How far painted pictures are from real ones, pixel by pixel and in their structure.

Every loss is a mean over all items, absent ones counting as zero, so that two half batches are
worth one whole. Pictures are (N, C, H, W) -1..1.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from speech2video.models.pose2video.generators.base import warp

WINDOW, STRIDE = 8, 4  # pixels: over which SSIM takes its means, and from one to the next
RANGE = 2.0  # of pictures -1..1
STABLE_MEAN, STABLE_VARIANCE = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2  # SSIM's C1 and C2


def reconstruction_loss(
    painted: Tensor,
    real: Tensor,
    weight_map: Tensor | None = None,
    *,
    present_N: Tensor | None = None,
    epsilon: float = 0.0,
) -> Tensor:
    """Return the mean absolute difference, 0-dim.

    Args:
        weight_map: (N, 1, H, W) of mean 1, as `region_weight_map` gives it.
        present_N: 1 where an item counts, 0 where it does not.
        epsilon: above 0, Charbonnier's √(d² + ε²) − ε, whose slope does not jump at zero.
    """
    error = painted.float() - real.float()
    error = (error.square() + epsilon**2).sqrt() - epsilon if epsilon else error.abs()
    return item_mean(error if weight_map is None else error * weight_map, present_N)


def ssim_loss(
    painted: Tensor,
    real: Tensor,
    weight_map: Tensor | None = None,
    *,
    present_N: Tensor | None = None,
) -> Tensor:
    """Return 1 − SSIM (Wang et al., Image Quality Assessment, 2004), 0-dim: 0 where alike.

    Means are over windows of 8×8 pixels, every 4 pixels, as video encoders measure it, in a
    fraction of the time that a window about every pixel takes. Pictures are 8 pixels a side or
    more; where a side is no multiple of 4, its last pixels do not count.

    Args:
        weight_map, present_N: as for `reconstruction_loss`; a window has its pixels' mean weight.
    """
    x, y = painted.float(), real.float()
    mean_x, squares_x, product = _windows(torch.cat((x, x.square(), x * y))).chunk(3)
    mean_y, squares_y = _windows(torch.cat((y, y.square()))).chunk(2)  # no gradient in most uses
    means, mean_squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    light = (2 * means + STABLE_MEAN) / (mean_squares + STABLE_MEAN)
    structure = (2 * (product - means) + STABLE_VARIANCE) / (
        squares_x + squares_y - mean_squares + STABLE_VARIANCE
    )
    loss = 1 - light * structure
    return item_mean(loss if weight_map is None else loss * _windows(weight_map), present_N)


@torch.no_grad()
def region_weight_map(
    boxes_NR4: Tensor, present_NR: Tensor, size: tuple[int, int], weights: Sequence[float]
) -> Tensor:
    """Return how much each pixel counts, (N, 1, H, W) of mean 1 in every picture.

    Args:
        boxes_NR4: x0 y0 x1 y1 in pixels, (0, 0) the picture's corner.
        present_NR: 1 where the region is in the picture.
        size: (H, W).
        weights: how many times as much as the rest of the picture each of the R regions counts.
            Where regions overlap the greatest counts, and a pixel partly in a box partly.
    """
    height, width = size
    across = _covered(boxes_NR4[..., 0::2], width)
    down = _covered(boxes_NR4[..., 1::2], height)
    more_R = torch.tensor(weights, device=boxes_NR4.device) - 1
    more_NR = more_R * present_NR.float()
    inside_NRHW = (down * more_NR[..., None])[..., :, None] * across[..., None, :]
    map_N1HW = 1 + inside_NRHW.amax(1, keepdim=True)
    return map_N1HW / map_N1HW.mean((-2, -1), keepdim=True)


def item_mean(values: Tensor, present_N: Tensor | None) -> Tensor:
    """Return the mean of values (N, ...) over all items, absent ones counting as zero; 0-dim."""
    if present_N is None:
        return values.mean()
    return (values.flatten(1).mean(1) * present_N.to(values.dtype)).mean()


def _covered(ends_NR2: Tensor, count: int) -> Tensor:
    """Return what share of each of `count` pixels lies between two ends, (N, R, count)."""
    pixel = torch.arange(count, device=ends_NR2.device)
    low, high = ends_NR2.float()[..., None].unbind(-2)
    return (torch.minimum(pixel + 1, high) - torch.maximum(pixel, low)).clamp(0, 1)


def _windows(pictures: Tensor) -> Tensor:
    quarters = F.avg_pool2d(pictures, STRIDE)
    return F.avg_pool2d(quarters, WINDOW // STRIDE, stride=1)


# How far a predicted flow is from the observed one, and what it does to real frames.
#
# Flows are (N, 2, H, W) pixels right and down, from each pixel to where the frame before shows the
# same (`models/pose2video/generators/base.py`). Trust is 1 where the observed flow explains the frame, 0 where
# it does not (what was hidden, what glows); as bytes, 255 is 1. Both errors are means over all
# pixels, distrusted ones counting as zero, so that two half batches are worth one whole.


def flow_loss(flow: Tensor, truth: Tensor, trust: Tensor) -> Tensor:
    """Return the mean absolute error in pixels, right and down added, 0-dim.

    Args:
        flow: (N, 2, h, w), brought to the truth's size where it has another.
        truth: (N, 2, H, W) as observed.
        trust: (N, H, W) or (N, 1, H, W), 0..1 or bytes.
    """
    error_NHW = (resize_flow(flow, truth.shape[-2:]) - truth.float()).abs().sum(1)
    return (error_NHW * _share(trust)).mean()


def warp_loss(flow: Tensor, before_real: Tensor, real: Tensor, trust: Tensor) -> Tensor:
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
