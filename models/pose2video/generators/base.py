"""The contract of the networks that paint frames from maps.

step(maps, past) paints one frame of each of N sequences. Calling the network paints whole
sequences, frames(maps) paints them as their maps come; both show it its own frames only, as there
will be no others in use.

N sequences · T frames · C channels of a map · H/W picture. Maps and frames are -1..1.

A new generator is a class of this kind in a file beside this one, and a line in
`models/registry.py`. Its constructor takes keywords with defaults, which
`--architecture NAME=VALUE` changes.
"""

import abc
import inspect
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

MAPS_PER_STEP = 3  # a step sees the frame's own map and the two before it
PAST_FRAMES = 2  # a step sees so many of the frames before it
COLOURS = 3

Past = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class GeneratorOutput:
    """One frame of N sequences, and how it came about.

    Attributes:
        frame: (N, 3, H, W) float32.
        flow: (N, 2, H, W) pixels right and down, from each pixel to where the frame before shows
            the same; None where nothing was warped.
        mask: (N, 1, H, W) the share of the frame that is newly painted, 0..1; the rest is the
            frame before, warped. None where nothing was warped.
        coarse: the same frame as coarser scales painted it, (N, 3, h, w) each, coarsest first.
    """

    frame: Tensor
    flow: Tensor | None = None
    mask: Tensor | None = None
    coarse: tuple[Tensor, ...] = ()


class Generator(nn.Module, abc.ABC):
    """Base of the generators; `models.registry.GENERATORS` has their names."""

    map_channels: int  # C of one map
    multiple: int  # of pixels that width and height must be
    gradient_checkpointing = False  # whether training forgets activations and computes them again

    @classmethod
    def defaults(cls, *, size: tuple[int, int]) -> dict[str, Any]:
        """Return what the constructor takes for pictures (H, W) where nothing else is said."""
        parameters = inspect.signature(cls).parameters.values()
        found = {p.name: p.default for p in parameters}
        return found | ({"size": size} if "size" in found else {})

    def use_scales(self, count: int) -> None:
        """Paint with so many of the scales, at most all, coarsest first, to begin training with."""

    def init_background(self, still: Tensor) -> None:
        """Take (3, H, W), what stands still behind the person, before training begins."""

    @abc.abstractmethod
    def step(
        self, maps: Tensor, past: Past | None = None, view: Tensor | None = None
    ) -> GeneratorOutput:
        """Paint the next frame.

        Args:
            maps: (N, 3·C, H, W) the last three maps, the frame's own last.
            past: (N, 6, H, W) the last two frames, the newest last, zeros where there was none; or
                what `update_past` gave. None: this is the first frame.
            view: (N, 2, 3) how the picture was shifted and scaled against the camera's resting
                one, as `F.affine_grid` takes it; None: not at all. For what is learned of places.

        Raises:
            DataError: the maps have not the channels or the size that the network is built for.
        """

    def forward(self, maps_NTCHW: Tensor, view: Tensor | None = None) -> list[GeneratorOutput]:
        """Paint sequences from no past, T frames of N from T + 2 maps (N, T + 2, C, H, W) each.

        No gradient goes from a frame into the frames before it: each answers for what it makes of
        the past, not for having it.
        """
        past, steps = None, []
        for first in range(maps_NTCHW.shape[1] - MAPS_PER_STEP + 1):
            maps = maps_NTCHW[:, first : first + MAPS_PER_STEP].flatten(1, 2)
            if self.gradient_checkpointing and self.training:
                step = checkpoint(self.step, maps, past, view, use_reentrant=False)
            else:
                step = self.step(maps, past, view)
            steps.append(step)
            with torch.no_grad():
                past = self.update_past(past, steps[-1])
        return steps

    def update_past(self, past: Past | None, step: GeneratorOutput) -> Past:
        """Return the past of the step after this one."""
        return append_frame(past, step.frame)

    @torch.no_grad()
    def generate_frames(
        self, maps: Iterable[Tensor], *, before: Sequence[Tensor] = ()
    ) -> Iterator[Tensor]:
        """Yield a frame (N, 3, H, W) for each map (N, C, H, W), as the maps come.

        Args:
            before: up to two maps of the moments before the first frame. Without them the first
                map stands for its own past.
        """
        window = deque(before, maxlen=MAPS_PER_STEP)
        past = None
        for map_NCHW in maps:
            window.append(map_NCHW)
            while len(window) < MAPS_PER_STEP:
                window.appendleft(window[0])
            step = self.step(torch.cat(tuple(window), 1), past)
            past = self.update_past(past, step)
            yield step.frame


def append_frame(past: Tensor | None, frame: Tensor) -> Tensor:
    """Return the last two frames (N, 6, H, W) when one more (N, 3, H, W) has been painted."""
    before = torch.zeros_like(frame) if past is None else past[:, -COLOURS:].to(frame.dtype)
    return torch.cat((before, frame), 1)


# Pictures moved along a flow.


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
