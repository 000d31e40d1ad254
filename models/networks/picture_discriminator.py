"""Judges pictures patch by patch, at several sizes: frames, windows of frames, heads, hands."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from speech2video.models.networks.vid2vid_layers import InstanceNorm

NORMS = ("spectral", "instance", "none")
KERNEL = 4  # of what halves the size, as in pix2pix: every pixel counts in as many products
SLOPE = 0.2  # of leaky ReLUs below zero


class PictureDiscriminator(nn.Module):
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
