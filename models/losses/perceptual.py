"""How different two pictures look to a network that has learned to name things.

After Johnson et al., Perceptual Losses for Real-Time Style Transfer, 2016, with the layers and
weights of pix2pixHD and vid2vid, whose pictures however went in as they were; here they are
normalised as the network's training pictures were. Its weights come with torchvision and are
downloaded once, or from a file.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from speech2video.models.fetched_weights import read_weights, weights_at_hand
from speech2video.models.losses.picture import item_mean
from speech2video.util.checkpoint import fill

# VGG19 (Simonyan and Zisserman, 2014) up to its 13th convolution: channels, "M" halves the size
CONVOLUTIONS = (64, 64, "M", 128, 128, "M", *(256,) * 4, "M", *(512,) * 4, "M", 512)
# place of a ReLU in torchvision's list of layers -> what its features' difference counts
COMPARED = {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1.0}  # relu1_1, 2_1, 3_1, 4_1, 5_1
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures, 0..1
PREFIX = "features."  # of these layers' names in torchvision's file


class PerceptualLoss(nn.Module):
    """The mean absolute difference of features of VGG19, with `COMPARED`'s weights.

    `PerceptualLoss.load` makes one with trained weights. It may be brought to a device, to 16 bits
    and to channels-last like any module; it learns nothing and belongs into no checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*_layers())
        self.requires_grad_(False).eval()

    @classmethod
    def load(cls, path: Path | None = None) -> "PerceptualLoss | None":
        """Return the loss with trained weights; None, and a line on stderr, where there are none.

        Under torchrun every process must call it; all or none get one.

        Args:
            path: torchvision's vgg19 as safetensors or as a file of `torch.save`; other layers in
                it are left. None: what torchvision has downloaded, or can.

        Raises:
            DataError: the file is missing, damaged, or of another network.
        """
        path = weights_at_hand(path, _url, use="the perceptual loss", network="VGG19")
        if path is None:
            return None
        loss = cls()
        fill(path, loss.features.state_dict(), _read(path))
        return loss

    def forward(self, painted: Tensor, real: Tensor, *, present_N: Tensor | None = None) -> Tensor:
        """Return the difference of pictures (N, 3, H, W) -1..1, 0-dim; the real teaches nothing.

        Pictures are 16 pixels a side or more. `present_N`: 1 where an item counts, 0 where not.
        """
        with torch.no_grad():
            features_real = list(self._look(real))
        losses = [
            weight * item_mean((mine.float() - its.float()).abs(), present_N)
            for weight, mine, its in zip(
                COMPARED.values(), self._look(painted), features_real, strict=True
            )
        ]
        return torch.stack(losses).sum()

    def _look(self, pictures: Tensor) -> Iterator[Tensor]:
        mean, deviation = torch.tensor((MEAN, DEVIATION), device=pictures.device)[..., None, None]
        hidden = ((pictures.float() + 1) / 2 - mean) / deviation
        hidden = hidden.to(self.features[0].weight.dtype, memory_format=torch.channels_last)
        for place, layer in enumerate(self.features):
            hidden = layer(hidden)
            if place in COMPARED:
                yield hidden


def _layers() -> Iterator[nn.Module]:
    channels = 3
    for wide in CONVOLUTIONS:
        if wide == "M":
            yield nn.MaxPool2d(2)
        else:
            yield nn.Conv2d(channels, wide, 3, padding=1)
            yield nn.ReLU(inplace=True)
            channels = wide


def _read(path: Path) -> dict[str, Tensor]:
    found = read_weights(path, "torchvision's vgg19")
    features = {k.removeprefix(PREFIX): v for k, v in found.items() if k.startswith(PREFIX)}
    places = {str(place) for place in range(len(list(_layers())))}
    return {name: tensor for name, tensor in features.items() if name.split(".")[0] in places}


def _url() -> str:
    from torchvision.models import VGG19_Weights  # slow to import, and only needed here

    return VGG19_Weights.IMAGENET1K_V1.url
