"""Losses of pose to video: one table, and the functions of pixels, structure and flow.

Every loss is a mean over all items, absent ones counting as zero, so that two half batches equal
a whole one. Images are (N, C, H, W) -1..1. Flows are (N, 2, H, W) pixels right and down, as `warp`
takes them. Trust is 1 where an observed flow explains the frame and 0 where it does not (occlusion,
reflections); as bytes, 255 is 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from speech2video.models.gan import item_mean
from speech2video.models.pose2video.generators.base import warp
from speech2video.options.training import parse_loss_weights

WINDOW, STRIDE = 8, 4  # pixels, of SSIM's windows
RANGE = 2.0  # of images -1..1
C1, C2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2  # SSIM's constants
SIMILAR, DIFFERENT = 0.05, 0.2  # of -1..1: differences of a camera's noise, and of a person
OUTLINE = 7  # pixels about an outline that mix person and background
REGION_WEIGHTS = (6.0, 4.0, 4.0, 24.0, 16.0)  # of `REGIONS`: how much more their pixels count


@dataclass(frozen=True)
class LossTerm:
    """One loss of the generator."""

    weight: float  # default factor in the total
    acts_on: str  # what the loss is computed from
    adversarial: bool = False  # whether it starts with the GAN, at `gan_start`, not at step 0


LOSSES = {
    "reconstruction": LossTerm(1.0, "pixels, more in `REGIONS`"),
    "structural": LossTerm(0.2, "SSIM of windows, more in `REGIONS`"),
    "perceptual": LossTerm(0.1, "VGG19 features of frames"),
    "gan": LossTerm(0.02, "scores, mean over kinds of discriminators", adversarial=True),
    "feature_matching": LossTerm(0.1, "features, mean over kinds of discriminators", True),
    "flow": LossTerm(0.002, "pixels of displacement, of trusted pixels"),
    "warp": LossTerm(0.2, "real frames warped by the generated flow"),
    "matte": LossTerm(0.1, "alpha, where the real frame equals the background or differs"),
}


def loss_weights(pairs: Sequence[str] = ()) -> dict[str, float]:
    """Return the weight of each loss: NAME=NUMBER where given, else that of `LOSSES`.

    Raises:
        OptionError: an unknown loss, or a weight that is not a number of 0 or more.
    """
    defaults = {name: term.weight for name, term in LOSSES.items()}
    return defaults | parse_loss_weights(pairs, list(LOSSES))


def reconstruction_loss(
    fake: Tensor, real: Tensor, weight_map: Tensor | None = None, present_N: Tensor | None = None
) -> Tensor:
    """Return the mean absolute difference, 0-dim.

    Args:
        weight_map: (N, 1, H, W) of mean 1, as from `region_weight_map`.
        present_N: 1 where an item counts, 0 where it does not.
    """
    error = (fake.float() - real.float()).abs()
    return item_mean(error if weight_map is None else error * weight_map, present_N)


def ssim_loss(
    fake: Tensor, real: Tensor, weight_map: Tensor | None = None, present_N: Tensor | None = None
) -> Tensor:
    """Return 1 − SSIM (Wang et al., Image Quality Assessment, 2004), 0-dim: 0 if equal.

    Windows are 8×8 pixels, 4 apart, as in video encoders: a fraction of the time of a window about
    every pixel. Images are 8 pixels a side or more; the last pixels beyond a multiple of 4 do not
    count.

    Args:
        weight_map, present_N: as in `reconstruction_loss`; a window has its pixels' mean weight.
    """
    x, y = fake.float(), real.float()
    mean_x, squares_x, product = _window_means(torch.cat((x, x.square(), x * y))).chunk(3)
    mean_y, squares_y = _window_means(torch.cat((y, y.square()))).chunk(2)
    means, mean_squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    luminance = (2 * means + C1) / (mean_squares + C1)
    structure = (2 * (product - means) + C2) / (squares_x + squares_y - mean_squares + C2)
    loss = 1 - luminance * structure
    return item_mean(loss if weight_map is None else loss * _window_means(weight_map), present_N)


@torch.no_grad()
def region_weight_map(
    boxes_NR4: Tensor,
    present_NR: Tensor,
    size: Sequence[int],
    weights: Sequence[float] = REGION_WEIGHTS,
) -> Tensor:
    """Return how much each pixel counts, (N, 1, H, W) of mean 1 in every image.

    Args:
        boxes_NR4: x0 y0 x1 y1 in pixels, (0, 0) the image's corner.
        present_NR: 1 where the region is in the image.
        size: (H, W).
        weights: of each of the R regions, compared with the rest of the image. Where regions
            overlap the greatest counts, and a pixel partly in a box counts partly.
    """
    across = _overlap(boxes_NR4[..., 0::2], size[1])
    down = _overlap(boxes_NR4[..., 1::2], size[0])
    extra_NR = (torch.tensor(weights, device=boxes_NR4.device) - 1) * present_NR.float()
    inside_NRHW = (down * extra_NR[..., None])[..., :, None] * across[..., None, :]
    map_N1HW = 1 + inside_NRHW.amax(1, keepdim=True)
    return map_N1HW / map_N1HW.mean((-2, -1), keepdim=True)


def flow_loss(flow: Tensor, ground_truth: Tensor, trust: Tensor) -> Tensor:
    """Return the mean absolute error in pixels, right plus down, 0-dim.

    Args:
        flow: (N, 2, h, w), resized to the ground truth.
        ground_truth: (N, 2, H, W) as observed.
        trust: (N, H, W) or (N, 1, H, W), 0..1 or bytes.
    """
    error_NHW = (resize_flow(flow, ground_truth.shape[-2:]) - ground_truth.float()).abs().sum(1)
    return (error_NHW * _trust_share(trust)).mean()


def warp_loss(flow: Tensor, before_real: Tensor, real: Tensor, trust: Tensor) -> Tensor:
    """Return the mean absolute difference of a real frame and the warped one before it; 0-dim.

    Args:
        flow: (N, 2, h, w) as generated, resized to the frames.
        before_real, real: (N, C, H, W) -1..1.
        trust: (N, H, W) or (N, 1, H, W), 0..1 or bytes.
    """
    warped = warp(before_real, resize_flow(flow, real.shape[-2:]))
    return ((warped - real.float()).abs().mean(1) * _trust_share(trust)).mean()


def matte_loss(alpha: Tensor, background: Tensor, real: Tensor) -> Tensor:
    """Return the mean error of alpha, 0-dim: 0 where frame and background are equal, 1 inside.

    Without it, background could be generated anew as part of the person, and bright clothes be left
    to the background. Inside is where all pixels about one differ from the background; at outlines,
    which mix both, the reconstruction alone decides.

    Args:
        alpha: (N, 1, H, W), 0..1.
        background: (N or 1, 3, H, W).
        real: (N, 3, H, W).
    """
    difference = (real.float() - background).abs().amax(1, keepdim=True)
    least = -F.max_pool2d(-difference, OUTLINE, stride=1, padding=OUTLINE // 2)
    outside, inside = torch.exp(-difference / SIMILAR), 1 - torch.exp(-least / DIFFERENT)
    return (alpha * outside + (1 - alpha) * inside).mean()


def resize_flow(flow: Tensor, size: Sequence[int]) -> Tensor:
    """Return a flow at another size (H, W), float32, in pixels of that size."""
    height, width = flow.shape[-2:]
    if (height, width) == tuple(size):
        return flow.float()
    smaller = size[0] < height or size[1] < width
    resized = F.interpolate(flow.float(), size=list(size), mode="bilinear", antialias=smaller)
    scale = torch.tensor([size[1] / width, size[0] / height], device=flow.device)
    return resized * scale.view(2, 1, 1)


def _trust_share(trust: Tensor) -> Tensor:
    share = trust.float() if trust.is_floating_point() else trust.float() / 255
    return share[:, 0] if share.ndim == 4 else share


def _overlap(ends_NR2: Tensor, count: int) -> Tensor:
    """Return the share of each of `count` pixels that lies between two ends, (N, R, count)."""
    pixel = torch.arange(count, device=ends_NR2.device)
    low, high = ends_NR2.float()[..., None].unbind(-2)
    return (torch.minimum(pixel + 1, high) - torch.maximum(pixel, low)).clamp(0, 1)


def _window_means(images: Tensor) -> Tensor:
    return F.avg_pool2d(F.avg_pool2d(images, STRIDE), WINDOW // STRIDE, stride=1)
