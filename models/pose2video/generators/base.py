"""The interface of generators: skeleton maps to frames, one after the other.

`step` generates one frame of each of N sequences. Calling the network generates whole sequences;
`generate_frames` generates them as their maps arrive. Both feed back generated frames only, as at
inference.

N sequences · T frames · C channels of a map · H, W of the image. Maps and frames are -1..1.

To add a generator, subclass `Generator` in a new file of this package and add a line to
`GENERATORS` in models/registry.py. Its constructor takes keywords with defaults, which
`--architecture NAME=VALUE` changes.
"""

import abc
import inspect
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

MAPS_PER_STEP = 3  # the frame's own map and the two before it
PAST_FRAMES = 2
RGB = 3  # channels of a frame

Past = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class GeneratorOutput:
    """One frame of N sequences.

    Attributes:
        frame: (N, 3, H, W) float32.
        flow: (N, 2, H, W) pixels right and down, from each pixel to where the frame before shows
            the same; None if nothing was warped.
        mask: (N, 1, H, W), 0..1: share of newly generated content; the rest is the warped frame
            before. None if nothing was warped.
        coarse: the frame at coarser scales, (N, 3, h, w) each, coarsest first.
        alpha: (N, 1, H, W), 0..1: share of the person; the rest is background. None if the
            generator does not separate them.
        background: (N or 1, 3, H, W), what shows where alpha is 0; None as for alpha.
    """

    frame: Tensor
    flow: Tensor | None = None
    mask: Tensor | None = None
    coarse: tuple[Tensor, ...] = ()
    alpha: Tensor | None = None
    background: Tensor | None = None


class Generator(nn.Module, abc.ABC):
    """Base class of generators; `models.registry.GENERATORS` lists their names."""

    map_channels: int  # C
    multiple: int  # pixels; width and height must be multiples of it
    gradient_checkpointing = False  # whether training recomputes activations in the backward pass

    @classmethod
    def defaults(cls, *, size: tuple[int, int]) -> dict[str, Any]:
        """Return the constructor's default arguments for images (H, W)."""
        found = {p.name: p.default for p in inspect.signature(cls).parameters.values()}
        return found | ({"size": size} if "size" in found else {})

    def use_scales(self, count: int) -> None:
        """Use only the `count` coarsest scales, at most all, early in training."""

    def init_background(self, background: Tensor) -> None:
        """Set the static background (3, H, W) before training."""

    @abc.abstractmethod
    def step(
        self, maps: Tensor, past: Past | None = None, view: Tensor | None = None
    ) -> GeneratorOutput:
        """Generate the next frame.

        Args:
            maps: (N, 3·C, H, W), the last three maps, the frame's own last.
            past: the result of `update_past`: by default (N, 6, H, W), the last two frames, the
                newest last, zeros before the first. None for the first frame.
            view: (N, 2, 3), the matrix for `F.affine_grid` that samples the image out of the
                camera's original one, for what is learned by position. None: the original image.

        Raises:
            DataError: channels or size of the maps do not fit the network.
        """

    def forward(self, maps_NTCHW: Tensor, view: Tensor | None = None) -> list[GeneratorOutput]:
        """Generate sequences from the first frame on: T outputs from maps (N, T + 2, C, H, W).

        Gradients do not flow from a frame into the frames before it.
        """
        step, past, outputs = self.step, None, []
        if self.gradient_checkpointing and self.training:
            step = partial(checkpoint, self.step, use_reentrant=False)
        for first in range(maps_NTCHW.shape[1] - MAPS_PER_STEP + 1):
            maps = maps_NTCHW[:, first : first + MAPS_PER_STEP].flatten(1, 2)
            outputs.append(step(maps, past, view))
            with torch.no_grad():
                past = self.update_past(past, outputs[-1])
        return outputs

    def update_past(self, past: Past | None, output: GeneratorOutput) -> Past:
        """Return the `past` of the step after `output`."""
        assert not isinstance(past, tuple)
        return append_frame(past, output.frame)

    def generate_frames(
        self, maps: Iterable[Tensor], *, before: Sequence[Tensor] = ()
    ) -> Iterator[Tensor]:
        """Yield a frame (N, 3, H, W) for each map (N, C, H, W); see `generate_outputs`."""
        return (output.frame for output in self.generate_outputs(maps, before=before))

    @torch.no_grad()
    def generate_outputs(
        self, maps: Iterable[Tensor], *, before: Sequence[Tensor] = ()
    ) -> Iterator[GeneratorOutput]:
        """Yield an output for each map (N, C, H, W), as the maps arrive.

        Args:
            before: up to two maps before the first frame's; without them the first is repeated.
        """
        window = deque(before, maxlen=MAPS_PER_STEP)
        past = None
        for map_NCHW in maps:
            window.append(map_NCHW)
            while len(window) < MAPS_PER_STEP:
                window.appendleft(window[0])
            output = self.step(torch.cat(tuple(window), 1), past)
            past = self.update_past(past, output)
            yield output


def append_frame(past: Tensor | None, frame: Tensor) -> Tensor:
    """Return the last two frames (N, 6, H, W) after one more (N, 3, H, W)."""
    before = torch.zeros_like(frame) if past is None else past[:, -RGB:].to(frame.dtype)
    return torch.cat((before, frame), 1)


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Return an image (N, C, H, W) warped by a flow (N, 2, H, W), float32.

    Each pixel takes the value `flow` pixels to its right and below it, bilinear between pixels,
    the nearest border pixel outside. In 16 bits positions would be off by pixels, so all is
    computed in 32.
    """
    height, width = image.shape[-2:]
    x = torch.linspace(-1, 1, width, device=flow.device)  # corners aligned: -1 and 1 are the
    y = torch.linspace(-1, 1, height, device=flow.device)  # centres of the border pixels
    right, down = flow.float().unbind(1)
    grid_NHW2 = torch.stack(
        (x + right / ((width - 1) / 2), y[:, None] + down / ((height - 1) / 2)), -1
    )
    return F.grid_sample(
        image.float(), grid_NHW2, mode="bilinear", padding_mode="border", align_corners=True
    )
