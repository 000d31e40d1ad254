"""Small networks with random weights in place of those of image metrics."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import alexnet

from speech2video.models.evaluators.image_metrics import ALEXNET, I3D, INCEPTION

FACE = "face.pt"


class SmallInception(nn.Module):
    """Called as NVIDIA's TorchScript of Inception is."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = nn.Conv2d(3, 6, 5, 4), nn.Linear(6, 8)

    def forward(
        self, x: Tensor, return_features: bool = False, no_output_bias: bool = False
    ) -> Tensor:
        features = self.features(x.float() / 255).mean((2, 3))
        return features if return_features else self.head(features).softmax(1)


class SmallI3D(nn.Module):
    """Called as StyleGAN-V calls its TorchScript of I3D."""

    def forward(self, x: Tensor, rescale: bool, resize: bool, return_features: bool) -> Tensor:
        return x.mean((3, 4)).flatten(1)


def write_networks(folder: Path) -> Path:
    """Write all of them, and one of faces, into a folder and return it."""
    torch.manual_seed(0)
    trunk = {k: v for k, v in alexnet().state_dict().items() if k.startswith("features")}
    torch.save(trunk, folder / ALEXNET)
    face = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather see torch.export
        for name, network in ((INCEPTION, SmallInception()), (I3D, SmallI3D()), (FACE, face)):
            torch.jit.script(network).save(str(folder / name))
    return folder
