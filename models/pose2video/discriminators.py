"""Judges pictures patch by patch, at several sizes: frames, windows of frames, heads, hands."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torchvision.ops import roi_align

from speech2video.models.pose2video.generators.vid2vid import InstanceNorm

NORMS = ("spectral", "instance", "none")
KERNEL = 4  # of what halves the size, as in pix2pix: every pixel counts in as many products
SLOPE = 0.2  # of leaky ReLUs below zero


class PatchDiscriminator(nn.Module):
    """A patch discriminator for each of several sizes of the pictures.

    After pix2pixHD (Wang et al., 2018) and, for the norm, Miyato et al., Spectral Normalization
    for GANs, 2018. Lighter than theirs: the last layer of features is 3×3 and widens no more.

    Args:
        channels: of what is judged; conditions are concatenated by the caller (map and frame,
            frames of a window, map's crop and frame's crop).
        width: channels of the first layer's features.
        layers: how many layers halve the size; each doubles the channels of the one before.
        scales: sizes judged, each half the one before.
        norm: one of `NORMS`.
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int = 32,
        layers: int = 3,
        scales: int = 2,
        norm: str = "spectral",
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm {norm!r}; one of {', '.join(NORMS)} is needed")
        self.scales = nn.ModuleList(_patches(channels, width, layers, norm) for _ in range(scales))

    def forward(self, pictures_NCHW: Tensor) -> list[list[Tensor]]:
        """Return, for each scale, the features of its layers, the last of them the scores.

        Pictures come in any floating type; they are at least 2^(layers + scales − 1) pixels a side.
        """
        dtype = next(self.parameters()).dtype
        pictures = pictures_NCHW.to(dtype, memory_format=torch.channels_last)
        outputs = []
        for patches in self.scales:
            hidden, features = pictures, []
            for layer in patches:
                hidden = layer(hidden)
                features.append(hidden)
            outputs.append(features)
            if patches is not self.scales[-1]:
                pictures = F.avg_pool2d(pictures, 2)
        return outputs


class PatchNorm(InstanceNorm):
    """Instance norm that leaves a single patch, which has nothing to be normalised by, as it is."""

    def forward(self, features: Tensor) -> Tensor:
        """Return features (N, C, H, W) normalised."""
        return features if features[0, 0].numel() == 1 else super().forward(features)


def _patches(channels: int, width: int, layers: int, norm: str) -> nn.ModuleList:
    widths = [channels, *(width << i for i in range(layers))]
    wide = widths[-1]
    convolutions = [
        *(nn.Conv2d(i, o, KERNEL, stride=2, padding=1) for i, o in pairwise(widths)),
        nn.Conv2d(wide, wide, 3, padding=1),
    ]
    scores = nn.Conv2d(wide, 1, 3, padding=1)
    return nn.ModuleList(
        [
            *(_layer(c, norm, first=c is convolutions[0]) for c in convolutions),
            spectral_norm(scores) if norm == "spectral" else scores,
        ]
    )


def _layer(convolution: nn.Conv2d, norm: str, *, first: bool) -> nn.Sequential:
    relu = nn.LeakyReLU(SLOPE, inplace=True)
    if norm == "spectral":
        return nn.Sequential(spectral_norm(convolution), relu)
    if norm == "instance" and not first:  # the first would lose how bright the picture is
        # the norm takes a bias away again, and Adam would blow up the rounding that is left of it
        convolution.register_parameter("bias", None)
        return nn.Sequential(convolution, PatchNorm(), relu)
    return nn.Sequential(convolution, relu)


# Boxes cut out of pictures at a size of their own: heads, hands, mouths.


def crop(pictures_NCHW: Tensor, boxes_N4: Tensor, size: int) -> Tensor:
    """Return each picture's box, (N, C, size, size) float32; gradients go to the pictures.

    Every pixel is the mean of as many bilinear samples as it covers pixels of the picture
    (RoIAlign; He et al., Mask R-CNN, 2017): a large box made small is averaged, not thinned out,
    and a box of whole pixels at its own size is copied as it is.

    Args:
        pictures_NCHW: any floating type.
        boxes_N4: x0 y0 x1 y1 in pixels, (0, 0) the picture's corner, x0 <= x1 and y0 <= y1. What
            lies outside the picture is zero, which is grey: a border drawn out into stripes would
            be one more thing to judge, and would lay the weight of all of it on the border's
            pixels. An empty box (zeros: the part is absent) gives zeros.
        size: pixels a side of the result.
    """
    numbers = torch.arange(len(boxes_N4), device=pictures_NCHW.device, dtype=torch.float32)
    boxes_N5 = torch.cat((numbers[:, None], boxes_N4.detach().to(numbers)), 1)
    return roi_align(pictures_NCHW.float(), boxes_N5, size, sampling_ratio=-1, aligned=True)
