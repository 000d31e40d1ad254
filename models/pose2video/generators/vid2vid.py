"""The composite generator of vid2vid (Wang et al., Video-to-Video Synthesis, NeurIPS 2018).

Two encoders, one of the last three maps and one of the last two frames, are summed. One decoder
generates an image from the sum; another predicts how the last frame moves (flow) and a mask that
blends the two:

    frame = mask · generated + (1 - mask) · warp(last frame, flow)

Coarse to fine: scale 0 works at 1/2^(n_scales_spatial - 1) of the size. Each finer scale, of half
as many channels, adds the features of the one below to its own before it decodes. Every scale
is fed its own past frames. The first frame has a past of zeros and is not blended.

A past of zeros has no variance, so batch statistics divide by almost nothing: rounding errors of
the first layer grow 300-fold with every layer and reach the size of features four layers on. Such
frames can be reproduced, in vid2vid too, only in float32, contiguous (not channels-last), with all
sums in the same order. Stored statistics do not have this problem.

Written from the paper's description and the names and shapes of saved weights.
"""

import dataclasses
from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.models.pose2video.generators.base import (
    MAPS_PER_STEP,
    PAST_FRAMES,
    RGB,
    Generator,
    GeneratorOutput,
    Past,
    append_frame,
    warp,
)
from speech2video.util.errors import DataError

INITIAL_STD = 0.02  # of weights, as in DCGAN (Radford et al. 2016)
FLOW_UNIT = 20.0  # pixels of the coarsest scale for a flow of 1 out of the network
NORMS = (("batch", "batch"), ("batch", "stored"), ("instance", "batch"))  # norm, statistics
LOCAL_DOWNSAMPLE = 1  # downsampling layers of a finer scale: down to the size of the scale below

Features = tuple[Tensor, Tensor | None]  # of the image decoder, of the flow decoder


def encoder(inputs: int, width: int, *, downsample: int, blocks: int, norm: str) -> nn.Sequential:
    """Return the layers from images (N, I, H, W) to features (N, width·2^k, H/2^k, W/2^k).

    As in vid2vid, after Johnson et al. (Perceptual Losses, 2016) and pix2pixHD: reflected borders
    where the size stays, strided and transposed 3×3 convolutions otherwise; k is `downsample`.
    """
    widths = [width << i for i in range(downsample + 1)]
    stem = ConvNorm(conv7x7(inputs, width), norm)
    down = (ConvNorm(nn.Conv2d(w, 2 * w, 3, stride=2, padding=1), norm) for w in widths[:-1])
    layers = OrderedDict[str, nn.Module](stem=stem, down=nn.Sequential(*down))
    layers["blocks"] = nn.Sequential(*(ResidualBlock(widths[-1], norm) for _ in range(blocks)))
    return nn.Sequential(layers)


def decoder(width: int, *, upsample: int, blocks: int, norm: str) -> nn.Sequential:
    """Return the layers from an encoder's features to features (N, width, H, W)."""
    widths = [width << i for i in range(upsample, -1, -1)]
    residual = nn.Sequential(*(ResidualBlock(widths[0], norm) for _ in range(blocks)))
    up = (
        ConvNorm(nn.ConvTranspose2d(w, w // 2, 3, stride=2, padding=1, output_padding=1), norm)
        for w in widths[:-1]
    )
    return nn.Sequential(OrderedDict(blocks=residual, up=nn.Sequential(*up)))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with a skip connection."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.conv1, self.conv2 = (
            ConvNorm(nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect"), norm, relu=relu)
            for relu in (True, False)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        return features + self.conv2(self.conv1(features))


class ConvNorm(nn.Module):
    """A convolution, its norm and an optional ReLU; norm is "instance", "batch" or "stored"."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, norm: str, *, relu: bool = True):
        super().__init__()
        self.conv, self.relu = conv, relu
        self.norm = Norm(conv.out_channels, norm)

    def forward(self, features: Tensor) -> Tensor:
        """Return the layer's output."""
        features = self.norm(self.conv(features))
        return F.relu_(features) if self.relu else features


class Norm(nn.BatchNorm2d):
    """Batch norm that at inference uses stored statistics, or those of each frame; instance norm.

    Instance norm has no learned parameters.
    """

    def __init__(self, channels: int, norm: str) -> None:
        batch = norm != "instance"
        super().__init__(channels, affine=batch, track_running_stats=batch)
        self.stored = norm == "stored"

    def forward(self, input: Tensor) -> Tensor:
        """Return normalised features."""
        if self.affine and (self.training or self.stored):
            return super().forward(input)
        return normalise(input, self.weight, self.bias)


def normalise(features: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Return features (N, C, H, W) with mean 0 and variance 1 per channel and item."""
    if len(features) > 1:
        return F.instance_norm(features, weight=weight, bias=bias)
    # the same for one item, without instance_norm's copy out of channels-last
    return F.batch_norm(features, None, None, weight, bias, training=True)


def conv7x7(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 7×7 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 7, padding=3, padding_mode="reflect")


def init_weights(module: nn.Module) -> None:
    """Initialise a layer's weights."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, INITIAL_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, Norm) and module.affine:
        nn.init.normal_(module.weight, 1.0, INITIAL_STD)


def image_pyramid(images: Tensor, count: int) -> list[Tensor]:
    """Return images (N, C, H, W) at `count` sizes, each half the next, the original last."""
    sizes = [images]
    while len(sizes) < count:
        sizes.insert(0, F.avg_pool2d(sizes[0], 3, stride=2, padding=1, count_include_pad=False))
    return sizes


class Scale(nn.Module):
    """One scale: maps (N, 3·C, H, W), past (N, 6, H, W) and coarser features to a frame."""

    def __init__(
        self,
        map_channels: int,
        width: int,
        *,
        downsample: int,
        encoder_blocks: int,
        decoder_blocks: int,
        norm: str,
        flow_unit: float | None,
    ) -> None:
        super().__init__()
        self.flow_unit = flow_unit
        encoder_shape = {"downsample": downsample, "blocks": encoder_blocks, "norm": norm}
        decoder_shape = {"upsample": downsample, "blocks": decoder_blocks, "norm": norm}
        self.map_encoder = encoder(MAPS_PER_STEP * map_channels, width, **encoder_shape)
        self.past_encoder = encoder(PAST_FRAMES * RGB, width, **encoder_shape)
        self.image_decoder = decoder(width, **decoder_shape)
        self.to_rgb = conv7x7(width, RGB)
        if flow_unit is not None:
            self.flow_decoder = decoder(width, **decoder_shape)
            self.flow_head = conv7x7(width, 2)
            self.mask_head = conv7x7(width, 1)

    def forward(
        self, maps: Tensor, past: Tensor, coarser: Features | None, *, first: bool
    ) -> tuple[GeneratorOutput, Features]:
        """Return the frame at this scale, and the features for the next finer one.

        The `first` frame has no past to be warped, so no flow is computed for it.
        """
        dtype = self.to_rgb.weight.dtype
        encoded = self.map_encoder(maps.to(dtype)) + self.past_encoder(past.to(dtype))
        image = self.image_decoder(encoded if coarser is None else encoded + coarser[0])
        generated = self.to_rgb(image).float().tanh()
        if first or self.flow_unit is None:
            return GeneratorOutput(generated), (image, None)
        motion = self.flow_decoder(encoded if coarser is None else encoded + coarser[1])
        flow = self.flow_head(motion).float() * self.flow_unit
        mask = self.mask_head(motion).float().sigmoid()
        # not torch.lerp, which rounds differently: the module's docstring says why that matters
        frame = generated * mask + warp(past[:, -RGB:], flow) * (1 - mask)
        return GeneratorOutput(frame, flow, mask), (image, motion)


class Vid2VidGenerator(Generator):
    """Maps and past frames to frames, over one or more scales. Arguments have vid2vid's names.

    Args:
        input_nc: C of one map.
        ngf: channels of the coarsest scale at its full size; halved from scale to scale.
        n_scales_spatial: number of scales; each doubles the size.
        n_downsample_G: downsampling layers of the coarsest scale.
        n_blocks: residual blocks of the coarsest scale, the larger half in the encoders.
        n_blocks_local: residual blocks of each finer scale, in the decoders.
        norm: "batch", or "instance" (no learned parameters).
        statistics: mean and variance of batch norm at inference: "batch", those of each frame, as
            vid2vid's test script uses them by never leaving training mode; or "stored", the running
            averages of training. Instance norm has the first only.
        flow: whether to blend in the warped last frame.
    """

    def __init__(
        self,
        *,
        input_nc: int = 3,
        ngf: int = 128,
        n_scales_spatial: int = 1,
        n_downsample_G: int = 3,
        n_blocks: int = 9,
        n_blocks_local: int = 3,
        norm: str = "batch",
        statistics: str = "batch",
        flow: bool = True,
    ) -> None:
        super().__init__()
        if (norm, statistics) not in NORMS:
            kinds = ", ".join(" ".join(kind) for kind in NORMS)
            raise ValueError(f"norm {norm}, statistics {statistics}; one of {kinds} is needed")
        self.map_channels, self.flow = input_nc, flow
        self.multiple = 2 ** (n_downsample_G + n_scales_spatial - 1)
        self.scales = nn.ModuleList(
            Scale(
                input_nc,
                ngf >> number,
                downsample=LOCAL_DOWNSAMPLE if number else n_downsample_G,
                encoder_blocks=0 if number else n_blocks - n_blocks // 2,
                decoder_blocks=n_blocks_local if number else n_blocks // 2,
                norm="stored" if (norm, statistics) == ("batch", "stored") else norm,
                flow_unit=FLOW_UNIT * 2**number if flow else None,
            )
            for number in range(n_scales_spatial)
        )
        self.scales_in_use = n_scales_spatial
        self.apply(init_weights)

    def use_scales(self, count: int) -> None:
        """Use the `count` coarsest scales; frames are smaller with fewer than all."""
        self.scales_in_use = min(count, len(self.scales))

    def step(
        self, maps: Tensor, past: Past | None = None, view: Tensor | None = None
    ) -> GeneratorOutput:
        """Generate the next frame; a past of full-size frames is resized for coarser scales."""
        self._check_size(maps)
        pyramid = image_pyramid(maps, len(self.scales))[: self.scales_in_use]
        if past is None:
            pasts = [m.new_zeros(len(m), PAST_FRAMES * RGB, *m.shape[2:]) for m in pyramid]
        else:
            pasts = self._past_pyramid(past)
        features: Features | None = None
        outputs: list[GeneratorOutput] = []
        for scale, scale_maps, scale_past in zip(self.scales, pyramid, pasts, strict=False):
            output, features = scale(scale_maps, scale_past, features, first=past is None)
            outputs.append(output)
        coarse = tuple(output.frame for output in outputs[:-1])
        return dataclasses.replace(outputs[-1], coarse=coarse)

    def update_past(self, past: Past | None, output: GeneratorOutput) -> Past:
        """Return the past frames of every scale, coarsest first."""
        frames = (*output.coarse, output.frame)
        pasts = [None] * len(frames) if past is None else self._past_pyramid(past)
        return tuple(append_frame(one, frame) for one, frame in zip(pasts, frames, strict=True))

    def _past_pyramid(self, past: Past) -> list[Tensor]:
        return image_pyramid(past, self.scales_in_use) if isinstance(past, Tensor) else list(past)

    def _check_size(self, maps: Tensor) -> None:
        _, channels, height, width = maps.shape
        if channels != MAPS_PER_STEP * self.map_channels:
            raise DataError(
                f"maps of {channels} channels in all; this generator needs {MAPS_PER_STEP} maps of "
                f"{self.map_channels}"
            )
        multiple = self.multiple
        if height % multiple or width % multiple or min(height, width) < 2 * multiple:
            raise DataError(
                f"maps of {width}x{height} pixels; this generator needs width and height in "
                f"multiples of {multiple}, {2 * multiple} and more"
            )
