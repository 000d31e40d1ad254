"""Our own generator: small enough for a laptop, and steady however long it runs.

    painted = alpha · person + (1 - alpha) · background          all of it from the maps alone
    frame   = mask · painted + (1 - mask) · warp(last frame, flow)

Flow and mask come from the maps, too, and the mask never falls below `MIN_MASK`. So the past
enters linearly, and whatever is wrong in it fades by a quarter with every frame: two pasts that
differ by d anywhere give frames that differ by at most 0.75·d. Errors cannot build up, in ten
minutes no more than in one second, and a training that shows the network its own frames for a few
steps has shown it all there is.

Most of the work is done at 1/8 of the picture and below. Maps are packed by 4 (space to depth), so
no line is lost and nothing is convolved at full resolution; pixel shuffles lead back. Residual
blocks normalise what they change and not what they pass on, and begin as the identity; without any
norm features grow a thousandfold within 30 steps at the rates that make training short. Each pixel
is normalised by itself, so neither the batch nor the rest of the picture has a say in it. What
stands still behind the person is given, not learned: a background that learns takes her in, and
then every sway has to be painted away again.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.models.pose2video.generators.base import (
    COLOURS,
    MAPS_PER_STEP,
    Generator,
    GeneratorOutput,
    Past,
    warp,
)
from speech2video.util.errors import DataError

PACK = 4  # pixels of each side that become channels
MIN_MASK = 0.25  # share of a frame that does not come from the frame before
INITIAL_MASK = 0.97  # that of an untrained network
FLOW_UNIT = 32.0  # pixels: what a flow of 1 out of the network means
MOTION = 3  # channels: flow right, flow down, mask
GROUPS = 8  # of channels that are normalised together
LARGE = 384  # pixels; larger pictures have one more level, and fewer channels at the finest
LEVELS = {False: ((48, 96, 192), (1, 2, 4)), True: ((32, 64, 128, 192), (1, 2, 3, 4))}


class FastGenerator(Generator):
    """Maps to frames, the frame before blended in.

    Args:
        map_channels: C of one map.
        size: (H, W) of the picture, multiples of `multiple`.
        channels: of each level, the finest first: 1/4 of the picture, 1/8, and so on.
        blocks: residual blocks of each level on the way up.
        flow: whether the last frame is warped and blended in, or all of each frame painted.
        norm: of residual blocks: "pixel", each pixel's features by themselves, so that a window
            of a picture is painted as the picture is; or "group", groups of features over all.

    Raises:
        DataError: a size that is no such multiple.
    """

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
        self._check(*self.size)
        steps = list(pairwise(channels))
        self.stem = nn.Conv2d(MAPS_PER_STEP * map_channels * PACK**2, channels[0], 1)
        self.down = nn.ModuleList(nn.Conv2d(i, o, 3, stride=2, padding=1) for i, o in steps)
        self.up = nn.ModuleList(nn.Conv2d(i, 4 * o, 1) for o, i in steps)
        self.levels = nn.ModuleList(
            nn.ModuleList(PixelNormBlock(width, norm) for _ in range(count))
            for width, count in zip(channels, blocks, strict=True)
        )
        self.to_rgb = nn.Conv2d(channels[0], (COLOURS + 1) * PACK**2, 3, padding=1)
        if flow:
            self.flow_head = nn.Conv2d(channels[0], MOTION, 3, padding=1)
        coarse = (side // self.multiple for side in self.size)
        self.spatial_bias = nn.Parameter(torch.zeros(channels[-1], *coarse))
        self.register_buffer("background", torch.zeros(COLOURS, *self.size))
        self._draw_weights()

    @classmethod
    def defaults(cls, *, size: tuple[int, int]) -> dict[str, Any]:
        """Return what the constructor takes for pictures (H, W): larger ones have more levels."""
        channels, blocks = LEVELS[max(size) > LARGE]
        return super().defaults(size=size) | {"channels": channels, "blocks": blocks}

    @torch.no_grad()
    def init_background(self, still: Tensor) -> None:
        """Take (3, H, W) as background."""
        self.background.copy_(still)

    def step(
        self, maps: Tensor, past: Past | None = None, view: Tensor | None = None
    ) -> GeneratorOutput:
        """Paint the next frame; see `Generator.step`."""
        whole = view is not None or maps.shape[2:] == self.size
        if maps.shape[1] != MAPS_PER_STEP * self.map_channels or not whole:
            raise DataError(
                f"maps of {maps.shape[3]}x{maps.shape[2]} pixels, {maps.shape[1]} channels; "
                f"{self.size[1]}x{self.size[0]}, {MAPS_PER_STEP * self.map_channels} are needed"
            )
        features = self._features(maps, view)
        painted = self._painted(features, view)
        if past is None or not self.flow:
            return GeneratorOutput(painted)
        flow_head = self.flow_head(features).float()
        flow_head = F.interpolate(flow_head, scale_factor=PACK, mode="bilinear")
        flow = FLOW_UNIT * flow_head[:, :2]
        mask = MIN_MASK + (1 - MIN_MASK) * flow_head[:, 2:].sigmoid()
        return GeneratorOutput(
            torch.lerp(warp(past[:, -COLOURS:], flow), painted, mask), flow, mask
        )

    def _features(self, maps: Tensor, view: Tensor | None) -> Tensor:
        lit = maps.to(self.stem.weight.dtype) + 1  # black, which is most of a map, counts nothing
        packed = F.pixel_unshuffle(lit, PACK)
        x = F.relu(self.stem(packed))
        skips = []
        for down in self.down:
            skips.append(x)
            x = F.relu(down(x))
        x = x + sample_view(self.spatial_bias, view, x.shape[2:])
        for block in self.levels[-1]:
            x = block(x)
        for level in reversed(range(len(skips))):
            x = F.relu(F.pixel_shuffle(self.up[level](x), 2) + skips[level])
            for block in self.levels[level]:
                x = block(x)
        return x

    def _painted(self, features: Tensor, view: Tensor | None) -> Tensor:
        layers = F.pixel_shuffle(self.to_rgb(features), PACK).float()
        person, alpha = layers[:, :COLOURS], layers[:, COLOURS:].sigmoid()
        background = sample_view(self.background, view, person.shape[2:]).float()
        return torch.lerp(background, person, alpha)

    def _check(self, height: int, width: int) -> None:
        if height % self.multiple or width % self.multiple or min(height, width) < 1:
            raise DataError(
                f"pictures of {width}x{height}; this generator needs multiples of {self.multiple}"
            )

    @torch.no_grad()
    def _draw_weights(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        for level in self.levels:
            for block in level:
                nn.init.zeros_(block.conv2.weight)
        nn.init.zeros_(self.to_rgb.weight)
        if self.flow:
            nn.init.zeros_(self.flow_head.weight)  # nothing moves until sequences teach how
            share = (INITIAL_MASK - MIN_MASK) / (1 - MIN_MASK)
            self.flow_head.bias[2] = math.log(share / (1 - share))


class PixelNorm(nn.LayerNorm):
    """Normalises each pixel's features by themselves (Ba et al., Layer Normalization, 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, C, H, W); with channels last in memory nothing is copied."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


NORMS = {"pixel": PixelNorm, "group": lambda width: nn.GroupNorm(GROUPS, width)}


class PixelNormBlock(nn.Module):
    """Two convolutions whose sum with their input goes on."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.norm = NORMS[norm](width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        return x + self.conv2(F.relu(self.conv1(self.norm(x))))


def sample_view(still: Tensor, view: Tensor | None, size: Sequence[int]) -> Tensor:
    """Return what is learned of places, (C, H, W), as each view (N, 2, 3) shows it: (N, C, h, w).

    It is sampled in 32 bits: positions in 16 would be off by pixels.
    """
    if view is None:
        return still[None]
    everywhere = still.float().expand(len(view), *still.shape)
    seen = (len(view), len(still), *size)
    grid = F.affine_grid(view.float(), seen, align_corners=False)
    sampled = F.grid_sample(everywhere, grid, padding_mode="border", align_corners=False)
    return sampled.to(still.dtype)
