"""The contract of the networks that paint frames from maps.

step(maps, past) paints one frame of each of N sequences; frames(maps) paints sequences as their
maps come and shows the network its own frames only, as there will be no others in use.

N sequences · C channels of a map · H/W picture. Maps and frames are -1..1.
"""

import abc
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

MAPS = 3  # a step sees the frame's own map and the two before it
SEEN = 2  # a step sees so many of the frames before it
COLOURS = 3

Past = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class Step:
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

    @abc.abstractmethod
    def step(self, maps: Tensor, past: Past | None = None) -> Step:
        """Paint the next frame.

        Args:
            maps: (N, 3·C, H, W) the last three maps, the frame's own last.
            past: (N, 6, H, W) the last two frames, the newest last, zeros where there was none; or
                what `remember` gave. None: this is the first frame.

        Raises:
            DataError: the maps have not the channels or the size that the network is built for.
        """

    def forward(self, maps: Tensor, past: Past | None = None) -> Step:
        """Paint the next frame: `step`, by the name that wrappers of networks call."""
        return self.step(maps, past)

    def remember(self, past: Past | None, step: Step) -> Past:
        """Return the past of the step after this one."""
        return newest(past, step.frame)

    @torch.no_grad()
    def frames(self, maps: Iterable[Tensor], *, before: Sequence[Tensor] = ()) -> Iterator[Tensor]:
        """Yield a frame (N, 3, H, W) for each map (N, C, H, W), as the maps come.

        Args:
            before: up to two maps of the moments before the first frame. Without them the first
                map stands for its own past.
        """
        window = deque(before, maxlen=MAPS)
        past = None
        for map_NCHW in maps:
            window.append(map_NCHW)
            while len(window) < MAPS:
                window.appendleft(window[0])
            step = self.step(torch.cat(tuple(window), 1), past)
            past = self.remember(past, step)
            yield step.frame


def newest(past: Tensor | None, frame: Tensor) -> Tensor:
    """Return the last two frames (N, 6, H, W) when one more (N, 3, H, W) has been painted."""
    before = torch.zeros_like(frame) if past is None else past[:, -COLOURS:].to(frame.dtype)
    return torch.cat((before, frame), 1)
