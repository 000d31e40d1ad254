"""What vid2vid's generator is built of: encoder, decoder, residual blocks, normalisation.

As vid2vid says it, after Johnson et al. (Perceptual Losses, 2016) and pix2pixHD: reflected borders
where the size stays, strided and transposed 3×3 convolutions where it changes.
"""

import torch.nn.functional as F
from torch import Tensor, nn

INITIAL_STD = 0.02  # of weights, as in DCGAN (Radford et al. 2016)


class Encoder(nn.Module):
    """Pictures (N, I, H, W) to features (N, width·2^halvings, H/2^halvings, W/2^halvings)."""

    def __init__(self, inputs: int, width: int, *, halvings: int, blocks: int, norm: str) -> None:
        super().__init__()
        self.enter = ConvNorm(wide_conv(inputs, width), norm)
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


def halvings_of(pictures: Tensor, count: int) -> list[Tensor]:
    """Return pictures (N, C, H, W) at `count` sizes, each half the next, the given one last."""
    sizes = [pictures]
    while len(sizes) < count:
        sizes.insert(0, F.avg_pool2d(sizes[0], 3, stride=2, padding=1, count_include_pad=False))
    return sizes


def wide_conv(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 7×7 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 7, padding=3, padding_mode="reflect")


def draw_weights(module: nn.Module) -> None:
    """Draw a layer's weights to begin with."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, INITIAL_STD)
        nn.init.zeros_(module.bias)
    elif isinstance(module, BatchNorm):
        nn.init.normal_(module.weight, 1.0, INITIAL_STD)
