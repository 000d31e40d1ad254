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

import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.models.pose2video.generators.base import (
    COLOURS,
    MAPS_PER_STEP,
    PAST_FRAMES,
    Generator,
    GeneratorOutput,
    Past,
    append_frame,
    warp,
)
from speech2video.util.errors import DataError

# What vid2vid's generator is built of: encoder, decoder, residual blocks, normalisation.
#
# As vid2vid says it, after Johnson et al. (Perceptual Losses, 2016) and pix2pixHD: reflected borders
# where the size stays, strided and transposed 3×3 convolutions where it changes.

INITIAL_STD = 0.02  # of weights, as in DCGAN (Radford et al. 2016)


class Encoder(nn.Module):
    """Pictures (N, I, H, W) to features (N, width·2^halvings, H/2^halvings, W/2^halvings)."""

    def __init__(self, inputs: int, width: int, *, halvings: int, blocks: int, norm: str) -> None:
        super().__init__()
        self.enter = ConvNorm(conv7x7(inputs, width), norm)
        widths = [width << i for i in range(halvings + 1)]
        self.down = nn.Sequential(
            *(ConvNorm(nn.Conv2d(w, 2 * w, 3, stride=2, padding=1), norm) for w in widths[:-1])
        )
        self.blocks = nn.Sequential(*(ResidualBlock(widths[-1], norm) for _ in range(blocks)))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the features."""
        return self.blocks(self.down(self.enter(pictures)))


class Decoder(nn.Module):
    """Features as an encoder gives them to features (N, width, H, W)."""

    def __init__(self, width: int, *, doublings: int, blocks: int, norm: str) -> None:
        super().__init__()
        widths = [width << i for i in range(doublings, -1, -1)]
        self.blocks = nn.Sequential(*(ResidualBlock(widths[0], norm) for _ in range(blocks)))
        self.up = nn.Sequential(
            *(
                ConvNorm(
                    nn.ConvTranspose2d(w, w // 2, 3, stride=2, padding=1, output_padding=1), norm
                )
                for w in widths[:-1]
            )
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return the features at full size."""
        return self.up(self.blocks(features))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a way past them."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.first, self.second = (
            ConvNorm(nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect"), norm, relu=relu)
            for relu in (True, False)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        return features + self.second(self.first(features))


class ConvNorm(nn.Module):
    """A convolution, its normalisation and, where wanted, a ReLU."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, norm: str, *, relu: bool = True):
        super().__init__()
        self.conv, self.relu = conv, relu
        channels = conv.out_channels
        self.norm = (
            InstanceNorm() if norm == "instance" else BatchNorm(channels, stored=norm == "stored")
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return what the layer makes of features."""
        features = self.norm(self.conv(features))
        return F.relu_(features) if self.relu else features


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that, once trained, may go by the picture at hand instead of what it stored."""

    def __init__(self, channels: int, *, stored: bool) -> None:
        super().__init__(channels)
        self.stored = stored

    def forward(self, features: Tensor) -> Tensor:
        """Return normalised features."""
        if self.training or self.stored:
            return super().forward(features)
        return normalise(features, self.weight, self.bias)


class InstanceNorm(nn.Module):
    """Instance norm without learned numbers."""

    def forward(self, features: Tensor) -> Tensor:
        """Return normalised features."""
        return normalise(features)


def normalise(features: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Return features (N, C, H, W), each channel of each picture of mean 0 and variance 1."""
    if len(features) > 1:
        return F.instance_norm(features, weight=weight, bias=bias)
    # the same for one picture, but instance_norm would copy it out of channels-last
    return F.batch_norm(features, None, None, weight, bias, training=True)


def image_pyramid(pictures: Tensor, count: int) -> list[Tensor]:
    """Return pictures (N, C, H, W) at `count` sizes, each half the next, the given one last."""
    sizes = [pictures]
    while len(sizes) < count:
        sizes.insert(0, F.avg_pool2d(sizes[0], 3, stride=2, padding=1, count_include_pad=False))
    return sizes


def conv7x7(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 7×7 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 7, padding=3, padding_mode="reflect")


def init_weights(module: nn.Module) -> None:
    """Draw a layer's weights to begin with."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, INITIAL_STD)
        nn.init.zeros_(module.bias)
    elif isinstance(module, BatchNorm):
        nn.init.normal_(module.weight, 1.0, INITIAL_STD)


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
        self.apply(init_weights)

    def use_scales(self, count: int) -> None:
        """Paint with so many scales: fewer than all paint frames that much smaller."""
        self.in_use = min(count, len(self.scales))

    def step(
        self, maps: Tensor, past: Past | None = None, view: Tensor | None = None
    ) -> GeneratorOutput:
        """Paint the next frame; a past of full-size frames alone is halved for coarser scales."""
        self._check(maps)
        pyramid = image_pyramid(maps, len(self.scales))[: self.in_use]
        if past is None:
            pasts = [m.new_zeros(len(m), PAST_FRAMES * COLOURS, *m.shape[2:]) for m in pyramid]
        else:
            pasts = self._at_scales(past)
        features: Features | None = None
        steps = []
        for scale, maps_here, past_here in zip(self.scales, pyramid, pasts, strict=False):
            step, features = scale(maps_here, past_here, features, first=past is None)
            steps.append(step)
        coarse = tuple(step.frame for step in steps[:-1])
        return dataclasses.replace(steps[-1], coarse=coarse)

    def update_past(self, past: Past | None, step: GeneratorOutput) -> Past:
        """Return the past of the step after this one: of every scale, coarsest first."""
        frames = (*step.coarse, step.frame)
        pasts = [None] * len(frames) if past is None else self._at_scales(past)
        return tuple(append_frame(one, frame) for one, frame in zip(pasts, frames, strict=True))

    def _at_scales(self, past: Past) -> list[Tensor]:
        return image_pyramid(past, self.in_use) if isinstance(past, Tensor) else list(past)

    def _check(self, maps: Tensor) -> None:
        _, channels, height, width = maps.shape
        if channels != MAPS_PER_STEP * self.map_channels:
            raise DataError(
                f"maps of {channels} channels in all; this generator needs {MAPS_PER_STEP} maps of "
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
        self.maps = Encoder(MAPS_PER_STEP * map_channels, width, **encoder)
        self.past = Encoder(PAST_FRAMES * COLOURS, width, **encoder)
        self.picture = Decoder(width, **decoder)
        self.to_rgb = conv7x7(width, COLOURS)
        if flow_unit is not None:
            self.motion = Decoder(width, **decoder)
            self.flow = conv7x7(width, 2)
            self.mask = conv7x7(width, 1)

    def forward(
        self, maps: Tensor, past: Tensor, coarser: Features | None, *, first: bool
    ) -> tuple[GeneratorOutput, Features]:
        """Return the frame at this scale, and the features for the next finer one.

        The `first` frame has nothing to be warped, so no flow is computed for it.
        """
        kind = self.to_rgb.weight.dtype
        met = self.maps(maps.to(kind)) + self.past(past.to(kind))
        picture = self.picture(met if coarser is None else met + coarser[0])
        painted = self.to_rgb(picture).float().tanh()
        if first or self.flow_unit is None:
            return GeneratorOutput(painted), (picture, None)
        motion = self.motion(met if coarser is None else met + coarser[1])
        flow = self.flow(motion).float() * self.flow_unit
        mask = self.mask(motion).float().sigmoid()
        warped = warp(past[:, -COLOURS:], flow)
        # torch.lerp rounds otherwise: see the module's text on why that can be seen
        return GeneratorOutput(painted * mask + warped * (1 - mask), flow, mask), (picture, motion)
