"""Patch discriminators of frames, windows of frames and crops of regions.

Names: "frame", "temporal_K" for windows of frames K apart, or one of `REGIONS`.
"""

from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from speech2video.models.pose2video.generators.base import RGB
from speech2video.models.pose2video.generators.vid2vid import normalise
from speech2video.util.body.skeleton import REGIONS

KERNEL = 4  # of strided convolutions, as in pix2pix: every pixel is in as many products
SLOPE = 0.2  # of leaky ReLUs below zero
WINDOW = 3  # frames of a temporal discriminator's input
TEMPORAL_POOLING = 2  # factor by which these frames are smaller


class PatchDiscriminator(nn.Module):
    """A patch discriminator for each of several image sizes.

    After pix2pixHD (Wang et al., 2018), but lighter: the last feature layer is 3×3 and no wider.
    Instance norm: with spectral norm, scores stay near 0 for thousands of steps.

    Args:
        channels: of the input; the caller concatenates conditions to it (map and frame, frames of
            a window, crops of map and frame).
        width: channels of the first layer.
        layers: number of layers that halve the size; each doubles the channels.
        scales: image sizes, each half the one before.
    """

    def __init__(self, channels: int, *, width: int = 32, layers: int = 3, scales: int = 2) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_layers(channels, width, layers) for _ in range(scales))

    def forward(self, images_NCHW: Tensor) -> list[list[Tensor]]:
        """Return, for each scale, the features of its layers, of which the last are the scores.

        Images are of any floating type and at least 2^(layers + scales − 1) pixels a side.
        """
        dtype = next(self.parameters()).dtype
        images = images_NCHW.to(dtype, memory_format=torch.channels_last)
        outputs = []
        for number, layers in enumerate(self.scales):
            if number:
                images = F.avg_pool2d(images, 2)
            assert isinstance(layers, nn.ModuleList)
            _, *features = accumulate(layers, lambda x, layer: layer(x), initial=images)
            outputs.append(features)
        return outputs


class PatchNorm(nn.Module):
    """Instance norm that is the identity for a single patch, which has no variance."""

    def forward(self, features: Tensor) -> Tensor:
        """Return features (N, C, H, W) normalised."""
        return features if features[0, 0].numel() == 1 else normalise(features)


def _layers(channels: int, width: int, layers: int) -> nn.ModuleList:
    widths = [channels, *(width << i for i in range(layers))]
    first, *others = (nn.Conv2d(i, o, KERNEL, stride=2, padding=1) for i, o in pairwise(widths))
    others.append(nn.Conv2d(widths[-1], widths[-1], 3, padding=1))
    scores = nn.Conv2d(widths[-1], 1, 3, padding=1)
    # a norm in the first layer would lose the brightness
    hidden = [nn.Sequential(first, nn.LeakyReLU(SLOPE, inplace=True))]
    for convolution in others:
        # the norm removes the bias, and Adam would amplify the rounding error that is left of it
        convolution.register_parameter("bias", None)
        hidden.append(nn.Sequential(convolution, PatchNorm(), nn.LeakyReLU(SLOPE, inplace=True)))
    return nn.ModuleList([*hidden, scores])


def crop(images_NCHW: Tensor, boxes_N4: Tensor, size: int) -> Tensor:
    """Return each image's box, (N, C, size, size) float32, differentiable in the images.

    Every pixel is the mean of as many bilinear samples as it covers pixels of the image (RoIAlign;
    He et al., Mask R-CNN, 2017): a large box is averaged, not subsampled, and a box of whole
    pixels at its own size is copied.

    Args:
        images_NCHW: any floating type.
        boxes_N4: x0 y0 x1 y1 in pixels, (0, 0) the image's corner, x0 <= x1 and y0 <= y1. Outside
            the image is zero, which is grey: repeated border pixels would be one more thing to
            discriminate, and would weigh as much as all of it. An empty box (zeros: the region is
            absent) gives zeros.
        size: pixels a side of the result.
    """
    numbers = torch.arange(len(boxes_N4), device=images_NCHW.device, dtype=torch.float32)
    boxes_N5 = torch.cat((numbers[:, None], boxes_N4.detach().to(numbers)), 1)
    return roi_align(images_NCHW.float(), boxes_N5, size, sampling_ratio=-1, aligned=True)


def temporal_stride(name: str) -> int | None:
    """Return the K of "temporal_K"; None for other discriminators."""
    return int(name.removeprefix("temporal_")) if name.startswith("temporal_") else None


def discriminator_kind(name: str) -> str:
    """Return the kind of a discriminator; each kind counts the same in the generator's loss."""
    return "temporal" if temporal_stride(name) else "region" if name in REGIONS else name


def input_channels(name: str, map_channels: int) -> int:
    """Return the channels of a discriminator's input, for maps of C channels."""
    return WINDOW * RGB if temporal_stride(name) else map_channels + RGB


def frame_windows(frames_NT3HW: Tensor, stride: int) -> Tensor | None:
    """Return all windows of frames `stride` apart, (N·W, 9, H/2, W/2); None if there are none."""
    count = frames_NT3HW.shape[1] - (WINDOW - 1) * stride
    if count < 1:
        return None
    frames = [frames_NT3HW[:, k * stride : k * stride + count] for k in range(WINDOW)]
    return F.avg_pool2d(torch.cat(frames, 2).flatten(0, 1), TEMPORAL_POOLING)
