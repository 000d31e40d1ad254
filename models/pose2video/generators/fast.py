"""A generator small enough for a laptop, and stable over any length.

    generated = alpha · foreground + (1 - alpha) · background        from the maps alone
    frame     = mask · generated + (1 - mask) · warp(last frame, flow)

Alpha is warped and blended like the frame, so that it is the person's share of what is shown. Flow
and mask come from the maps too, and the mask is at least `MIN_MASK`. So the past enters linearly
and an error in it fades by a quarter with every frame: two pasts that differ by d at most give
frames that differ by at most 0.75·d. Errors do not accumulate, and training on short sequences of
generated frames covers inference of any length.

Most computation is done at 1/8 of the size and below. Maps are packed by 4 (space to depth), so no
line is lost and nothing is convolved at full resolution; pixel shuffles lead back. Residual blocks
normalise their branch only and are the identity at first; without a norm, features grow a
thousandfold within 30 steps at the learning rates of short trainings. Normalising each pixel by
itself makes a frame independent of the batch and of the rest of the image. The background is given,
not learned: a learned one would contain the speaker, which every small movement then has to cover.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.models.pose2video.generators.base import (
    MAPS_PER_STEP,
    RGB,
    Generator,
    GeneratorOutput,
    Past,
    warp,
)
from speech2video.util.errors import DataError

PACK = 4  # pixels of each side that become channels
MIN_MASK = 0.25  # smallest share of a frame that is newly generated
INITIAL_MASK = 0.97  # that of an untrained network
FLOW_UNIT = 32.0  # pixels for a flow of 1 out of the network
FLOW_CHANNELS = 3  # flow right, flow down, mask
GROUPS = 8  # of channels, for group norm
LARGE = 384  # pixels; larger images have one more level, and fewer channels at the finest
LEVELS = {False: ((48, 96, 192), (1, 2, 4)), True: ((32, 64, 128, 192), (1, 2, 3, 4))}


class FastGenerator(Generator):
    """A U-Net of the maps, whose output is blended with the warped last frame.

    Args:
        map_channels: C of one map.
        size: (H, W) of the image, multiples of `multiple`.
        channels: of each level, the finest first: 1/4 of the size, 1/8, and so on.
        blocks: residual blocks of each level, on the way up.
        flow: whether to blend in the warped last frame.
        norm: of residual blocks: "pixel", each pixel's features by themselves, so that a crop is
            generated as in the whole image; or "group", groups of channels over the image.

    Raises:
        DataError: a size that is not such a multiple, or an unknown norm.
    """

    background: Tensor

    def __init__(
        self,
        *,
        map_channels: int = 3,
        size: tuple[int, int] = (256, 256),
        channels: tuple[int, ...] = LEVELS[False][0],
        blocks: tuple[int, ...] = LEVELS[False][1],
        flow: bool = True,
        norm: str = "pixel",
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise DataError(f"norm {norm!r}; one of {', '.join(NORMS)} is needed")
        if len(channels) != len(blocks):
            raise DataError(
                f"{len(channels)} channels, {len(blocks)} blocks; one a level is needed"
            )
        self.map_channels, self.size, self.flow = map_channels, tuple(size), flow
        self.multiple = PACK << (len(channels) - 1)
        height, width = self.size
        if height % self.multiple or width % self.multiple or min(height, width) < 1:
            raise DataError(
                f"images of {width}x{height}; this generator needs multiples of {self.multiple}"
            )
        steps = list(pairwise(channels))
        self.stem = nn.Conv2d(MAPS_PER_STEP * map_channels * PACK**2, channels[0], 1)
        self.down = nn.ModuleList(nn.Conv2d(i, o, 3, stride=2, padding=1) for i, o in steps)
        self.up = nn.ModuleList(nn.Conv2d(i, 4 * o, 1) for o, i in steps)
        self.levels = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(width, norm) for _ in range(count)))
            for width, count in zip(channels, blocks, strict=True)
        )
        self.to_rgb = nn.Conv2d(channels[0], (RGB + 1) * PACK**2, 3, padding=1)
        if flow:
            self.flow_head = nn.Conv2d(channels[0], FLOW_CHANNELS, 3, padding=1)
        coarsest = (side // self.multiple for side in self.size)
        self.spatial_bias = nn.Parameter(torch.zeros(channels[-1], *coarsest))
        self.register_buffer("background", torch.zeros(RGB, *self.size))
        self._init_weights()

    @classmethod
    def defaults(cls, *, size: tuple[int, int]) -> dict[str, Any]:
        """Return the default arguments for images (H, W): larger ones have more levels."""
        channels, blocks = LEVELS[max(size) > LARGE]
        return super().defaults(size=size) | {"channels": channels, "blocks": blocks}

    @torch.no_grad()
    def init_background(self, background: Tensor) -> None:
        """Set the background (3, H, W)."""
        self.background.copy_(background)

    def step(
        self, maps: Tensor, past: Past | None = None, view: Tensor | None = None
    ) -> GeneratorOutput:
        """Generate the next frame; see `Generator.step`."""
        whole = view is not None or maps.shape[2:] == self.size
        if maps.shape[1] != MAPS_PER_STEP * self.map_channels or not whole:
            raise DataError(
                f"maps of {maps.shape[3]}x{maps.shape[2]} pixels, {maps.shape[1]} channels; "
                f"{self.size[1]}x{self.size[0]}, {MAPS_PER_STEP * self.map_channels} are needed"
            )
        features = self._features(maps, view)
        layers = F.pixel_shuffle(self.to_rgb(features), PACK).float()
        foreground, alpha = layers[:, :RGB], layers[:, RGB:].sigmoid()
        background = sample_view(self.background, view, foreground.shape[2:]).float()
        generated = torch.lerp(background, foreground, alpha)
        if past is None or not self.flow:
            return GeneratorOutput(generated, alpha=alpha, background=background)
        assert isinstance(past, Tensor)
        flow_and_mask = self.flow_head(features).float()
        flow_and_mask = F.interpolate(flow_and_mask, scale_factor=PACK, mode="bilinear")
        flow = FLOW_UNIT * flow_and_mask[:, :2]
        mask = MIN_MASK + (1 - MIN_MASK) * flow_and_mask[:, 2:].sigmoid()
        blended = torch.lerp(warp(past, flow), torch.cat((generated, alpha), 1), mask)
        frame, alpha = blended[:, :RGB], blended[:, RGB:]
        return GeneratorOutput(frame, flow, mask, alpha=alpha, background=background)

    def update_past(self, past: Past | None, output: GeneratorOutput) -> Past:
        """Return the last frame and its alpha, (N, 4, H, W)."""
        assert output.alpha is not None
        return torch.cat((output.frame, output.alpha), 1)

    def _features(self, maps: Tensor, view: Tensor | None) -> Tensor:
        maps = maps.to(self.stem.weight.dtype) + 1  # black, most of a map, becomes zero
        x = F.relu(self.stem(F.pixel_unshuffle(maps, PACK)))
        skips = []
        for down in self.down:
            skips.append(x)
            x = F.relu(down(x))
        x = self.levels[-1](x + sample_view(self.spatial_bias, view, x.shape[2:]))
        for level in reversed(range(len(skips))):
            # the first operand gives the layout: CUDA's pixel shuffle does not keep channels last
            x = F.relu(skips[level] + F.pixel_shuffle(self.up[level](x), 2))
            x = self.levels[level](x)
        return x

    @torch.no_grad()
    def _init_weights(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        blocks = (layer for layer in self.modules() if isinstance(layer, ResidualBlock))
        for layer in (self.to_rgb, *(block.conv2 for block in blocks)):
            nn.init.zeros_(layer.weight)
        if self.flow:
            nn.init.zeros_(self.flow_head.weight)  # no motion until sequences teach it
            share = (INITIAL_MASK - MIN_MASK) / (1 - MIN_MASK)
            assert self.flow_head.bias is not None
            self.flow_head.bias[2] = math.log(share / (1 - share))


class PixelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel (Ba et al., Layer Normalization, 2016)."""

    def forward(self, input: Tensor) -> Tensor:
        """Return features (N, C, H, W) normalised, without a copy if channels are last."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


NORMS = {"pixel": PixelNorm, "group": lambda width: nn.GroupNorm(GROUPS, width)}


class ResidualBlock(nn.Module):
    """A residual block: norm and two convolutions."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.norm = NORMS[norm](width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        return x + self.conv2(F.relu(self.conv1(self.norm(x))))


def sample_view(image: Tensor, view: Tensor | None, size: Sequence[int]) -> Tensor:
    """Return an image (C, H, W) as each of N views (N, 2, 3) shows it, (N, C, h, w).

    It is sampled in 32 bits: positions in 16 would be off by pixels.
    """
    if view is None:
        return image[None]
    images = image.float().expand(len(view), *image.shape)
    grid = F.affine_grid(view.float(), [len(view), len(image), *size], align_corners=False)
    sampled = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return sampled.to(image.dtype)
