"""The composite generator of vid2vid (Wang et al., Video-to-Video Synthesis, NeurIPS 2018).

Two encoders, one of the last three maps and one of the last two frames, meet in the middle. From
there one decoder paints a picture; another predicts how the last frame moves (flow) and where the
painted picture is to be trusted more than the moved frame (mask), and the mask blends the two.

    frame = mask · painted + (1 - mask) · warp(last frame, flow)

Coarse to fine: scale 0 works at 1/2^(scales-1) of the size, and each finer scale, half as wide,
adds the features of the one below to its own before it decodes. Every scale sees its own frames.
The first frame is painted only, from a past of zeros.

A past of zeros has no variance, and normalising it by its own divides by what little there is:
rounding errors of the first layer, times 300 in every further one, are as large as features four
layers on. What is painted then rests on them, in vid2vid itself as here: such frames come out the
same only in float32, contiguous (not channels-last), with every sum in the same order. With stored
statistics none of this happens.

Written from the architecture, as the paper and the names and shapes of saved weights tell it.
"""

import dataclasses

from torch import Tensor, nn

from speech2video.models.networks.generator import (
    COLOURS,
    MAPS,
    SEEN,
    Generator,
    Past,
    Step,
    newest,
)
from speech2video.models.networks.vid2vid_layers import (
    Decoder,
    Encoder,
    draw_weights,
    halvings_of,
    wide_conv,
)
from speech2video.models.networks.warping import warp
from speech2video.util.errors import DataError

FLOW_UNIT = 20.0  # pixels of the coarsest scale: what a flow of 1 out of the network means
NORMS = (("batch", "picture"), ("batch", "stored"), ("instance", "picture"))
FINE_HALVINGS = 1  # a finer scale goes down to the size of the scale below it, no further

Features = tuple[Tensor, Tensor | None]  # of the picture, of the motion


class Vid2VidGenerator(Generator):
    """Maps and past frames to frames, over one or more scales.

    Args:
        map_channels: C of one map.
        width: channels of the coarsest scale at its full size; halved from scale to scale.
        scales: how many; each doubles the size.
        halvings: how often the coarsest scale halves its picture.
        blocks: residual blocks of the coarsest scale; the larger half before maps and past meet.
        fine_blocks: residual blocks of each finer scale, after they met.
        norm: "batch", or "instance" (no learned numbers).
        statistics: what batch norm takes mean and variance from once trained: "picture", each
            frame by itself, as batch norm in training mode does with one frame and as vid2vid's
            test script, which never leaves that mode, therefore runs; or "stored", the running
            ones of the training. Instance norm knows the first only.
        flow: whether the last frame is warped and blended in, or all of each frame painted.
    """

    def __init__(
        self,
        *,
        map_channels: int = 3,
        width: int = 128,
        scales: int = 1,
        halvings: int = 3,
        blocks: int = 9,
        fine_blocks: int = 3,
        norm: str = "batch",
        statistics: str = "picture",
        flow: bool = True,
    ) -> None:
        super().__init__()
        if (norm, statistics) not in NORMS:
            kinds = ", ".join(" ".join(kind) for kind in NORMS)
            raise ValueError(f"norm {norm}, statistics {statistics}; one of {kinds} is needed")
        self.map_channels, self.flow = map_channels, flow
        self.multiple = 2 ** (halvings + scales - 1)
        self.scales = nn.ModuleList(
            Scale(
                map_channels,
                width >> number,
                halvings=FINE_HALVINGS if number else halvings,
                encoder_blocks=0 if number else blocks - blocks // 2,
                decoder_blocks=fine_blocks if number else blocks // 2,
                norm="stored" if (norm, statistics) == ("batch", "stored") else norm,
                flow_unit=FLOW_UNIT * 2**number if flow else None,
            )
            for number in range(scales)
        )
        self.in_use = scales
        self.apply(draw_weights)

    def use_scales(self, count: int) -> None:
        """Paint with so many scales: fewer than all paint frames that much smaller."""
        self.in_use = min(count, len(self.scales))

    def step(self, maps: Tensor, past: Past | None = None, view: Tensor | None = None) -> Step:
        """Paint the next frame; a past of full-size frames alone is halved for coarser scales."""
        self._check(maps)
        pyramid = halvings_of(maps, len(self.scales))[: self.in_use]
        if past is None:
            pasts = [m.new_zeros(len(m), SEEN * COLOURS, *m.shape[2:]) for m in pyramid]
        else:
            pasts = self._at_scales(past)
        features: Features | None = None
        steps = []
        for scale, maps_here, past_here in zip(self.scales, pyramid, pasts, strict=False):
            step, features = scale(maps_here, past_here, features, first=past is None)
            steps.append(step)
        coarse = tuple(step.frame for step in steps[:-1])
        return dataclasses.replace(steps[-1], coarse=coarse)

    def remember(self, past: Past | None, step: Step) -> Past:
        """Return the past of the step after this one: of every scale, coarsest first."""
        frames = (*step.coarse, step.frame)
        pasts = [None] * len(frames) if past is None else self._at_scales(past)
        return tuple(newest(one, frame) for one, frame in zip(pasts, frames, strict=True))

    def _at_scales(self, past: Past) -> list[Tensor]:
        return halvings_of(past, self.in_use) if isinstance(past, Tensor) else list(past)

    def _check(self, maps: Tensor) -> None:
        _, channels, height, width = maps.shape
        if channels != MAPS * self.map_channels:
            raise DataError(
                f"maps of {channels} channels in all; this generator needs {MAPS} maps of "
                f"{self.map_channels}"
            )
        if (
            height % self.multiple
            or width % self.multiple
            or min(height, width) < 2 * self.multiple
        ):
            raise DataError(
                f"maps of {width}x{height} pixels; this generator needs width and height in "
                f"multiples of {self.multiple}, {2 * self.multiple} and more"
            )


class Scale(nn.Module):
    """One scale: maps (N, 3·C, H, W), past (N, 6, H, W) and coarser features to a frame."""

    def __init__(
        self,
        map_channels: int,
        width: int,
        *,
        halvings: int,
        encoder_blocks: int,
        decoder_blocks: int,
        norm: str,
        flow_unit: float | None,
    ) -> None:
        super().__init__()
        self.flow_unit = flow_unit
        encoder = {"halvings": halvings, "blocks": encoder_blocks, "norm": norm}
        decoder = {"doublings": halvings, "blocks": decoder_blocks, "norm": norm}
        self.maps = Encoder(MAPS * map_channels, width, **encoder)
        self.past = Encoder(SEEN * COLOURS, width, **encoder)
        self.picture = Decoder(width, **decoder)
        self.paint = wide_conv(width, COLOURS)
        if flow_unit is not None:
            self.motion = Decoder(width, **decoder)
            self.flow = wide_conv(width, 2)
            self.mask = wide_conv(width, 1)

    def forward(
        self, maps: Tensor, past: Tensor, coarser: Features | None, *, first: bool
    ) -> tuple[Step, Features]:
        """Return the frame at this scale, and the features for the next finer one.

        The `first` frame has nothing to be warped, so no flow is computed for it.
        """
        kind = self.paint.weight.dtype
        met = self.maps(maps.to(kind)) + self.past(past.to(kind))
        picture = self.picture(met if coarser is None else met + coarser[0])
        painted = self.paint(picture).float().tanh()
        if first or self.flow_unit is None:
            return Step(painted), (picture, None)
        motion = self.motion(met if coarser is None else met + coarser[1])
        flow = self.flow(motion).float() * self.flow_unit
        mask = self.mask(motion).float().sigmoid()
        warped = warp(past[:, -COLOURS:], flow)
        # torch.lerp rounds otherwise: see the module's text on why that can be seen
        return Step(painted * mask + warped * (1 - mask), flow, mask), (picture, motion)
