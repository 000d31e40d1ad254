"""Frozen networks with torchvision's weights: VGG19's perceptual loss and RAFT's optical flow.

Weights come from a file or are downloaded once. Without them a line on stderr says what is left
out; nothing replaces it.
"""

import re
import socket
import sys
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import VGG19_Weights
from torchvision.models.optical_flow import Raft_Small_Weights, raft_small

from speech2video.models.checkpointing import copy_tensors
from speech2video.models.pose2video.generators.base import warp
from speech2video.models.pose2video.losses import resize_flow
from speech2video.util import distributed
from speech2video.util.errors import DataError

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11 on

TIMEOUT = 10.0  # seconds without an answer
NUMBERS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64)

# VGG19 (Simonyan and Zisserman, 2014) up to its 13th convolution: channels, "M" halves the size
CONVOLUTIONS = (64, 64, "M", 128, 128, "M", *(256,) * 4, "M", *(512,) * 4, "M", 512)
# index of a ReLU in torchvision's list of layers -> weight of its features' difference
COMPARED = {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1.0}  # relu1_1, 2_1, 3_1, 4_1, 5_1
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's images, 0..1
PREFIX = "features."  # of these layers' names in torchvision's file

SIZE_MULTIPLE, MIN_SIZE = 8, 128  # pixels of RAFT's input
FLOW_UPDATES = 12  # as in RAFT's training
MAX_CORRELATIONS = 2**27  # pairs of features that RAFT compares at once
# A flow and the flow back must cancel to within a share of both squares, and so many pixels² more
# (Sundaram et al., Dense Point Trajectories by GPU-Accelerated Large Displacement Flow, 2010).
CONSISTENCY_SHARE, CONSISTENCY_SLACK = 0.01, 0.5
EDGE = 0.5  # pixels from a border pixel's centre to the image's border


class PretrainedNetwork(nn.Module):
    """A frozen `network` with weights of torchvision's; never saved in checkpoints."""

    FILE: ClassVar[str]  # "torchvision's vgg19"
    PURPOSE: ClassVar[str]  # what is left out without weights: "the perceptual loss"
    URL: ClassVar[str]  # from which torchvision downloads the weights
    network: nn.Module

    @classmethod
    def load(cls, path: Path | None = None) -> "Self | None":
        """Return the network with trained weights; None, and a line on stderr, without weights.

        Under torchrun every process must call it; all or none get a network.

        Args:
            path: torchvision's weights as safetensors or as a file of `torch.save`. None: those
                that torchvision has downloaded, or downloads now.

        Raises:
            DataError: the file is missing, damaged, or of another network.
        """
        reason = ""
        if path is None:
            path, reason = _download(cls.URL)
        if distributed.largest(int(bool(reason))):
            if distributed.is_main():
                reason = reason or f"another process has no weights of {cls.FILE}"
                print(f"without {cls.PURPOSE}: {reason}", file=sys.stderr)
            return None
        loaded = cls()
        needed = f"{cls.FILE} as safetensors, or as a file of plain tensors, is needed"
        tensors = read_plain_tensors(path, needed)
        copy_tensors(path, loaded.network.state_dict(), loaded._select(tensors))
        return loaded

    def _select(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the file's tensors that the network has, by its names."""
        return tensors


class PerceptualLoss(PretrainedNetwork):
    """The mean absolute difference of features of VGG19, with `COMPARED`'s weights.

    After Johnson et al., Perceptual Losses for Real-Time Style Transfer, 2016, with the layers and
    weights of pix2pixHD and vid2vid, but with images normalised as in the network's training.
    Device, 16 bits and channels-last may be changed as for any module.
    """

    FILE, PURPOSE = "torchvision's vgg19", "the perceptual loss"
    URL = VGG19_Weights.IMAGENET1K_V1.url

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(*_vgg_layers()).requires_grad_(False).eval()

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        """Return the difference of images (N, 3, H, W) -1..1, 0-dim; no gradient in `real`.

        Images are 16 pixels a side or more.
        """
        with torch.no_grad():
            features_real = list(self._compared_features(real))
        compared = zip(
            COMPARED.values(), self._compared_features(generated), features_real, strict=True
        )
        losses = [w * (fake.float() - real.float()).abs().mean() for w, fake, real in compared]
        return torch.stack(losses).sum()

    def _compared_features(self, images: Tensor) -> Iterator[Tensor]:
        mean, std = torch.tensor((MEAN, STD), device=images.device)[..., None, None]
        dtype = next(self.parameters()).dtype
        hidden = ((images.float() + 1) / 2 - mean) / std
        hidden = hidden.to(dtype, memory_format=torch.channels_last)
        for index, layer in enumerate(self.network.children()):
            hidden = layer(hidden)
            if index in COMPARED:
                yield hidden

    def _select(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        found = {k.removeprefix(PREFIX): v for k, v in tensors.items() if k.startswith(PREFIX)}
        layers = dict(self.network.named_children())
        return {name: tensor for name, tensor in found.items() if name.split(".")[0] in layers}


def _vgg_layers() -> Iterator[nn.Module]:
    channels = 3
    for width in CONVOLUTIONS:
        if isinstance(width, str):
            yield nn.MaxPool2d(2)
        else:
            yield nn.Conv2d(channels, width, 3, padding=1)
            yield nn.ReLU(inplace=True)
            channels = width


class RaftFlowEstimator(PretrainedNetwork):
    """The optical flow of frames by torchvision's small RAFT, and where it can be trusted.

    After Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020.
    Always in 32 bits. On a CPU it takes far longer than `util.video.optical_flow`.
    """

    FILE, PURPOSE = "torchvision's raft_small", "the loss of flow"
    URL = Raft_Small_Weights.C_T_V2.url

    def __init__(self) -> None:
        super().__init__()
        self.network = raft_small(weights=None, progress=False).requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, frames: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return flow (N, 2, H, W) float32 and trust (N, H, W), 1 or 0, of frames (N, 3, H, W).

        Args:
            frames: -1..1.
            before: the frames before them. Flow leads from each pixel of a frame to where the
                frame before shows the same, in pixels right and down.
        """
        size = frames.shape[-2:]
        sides = [max(MIN_SIZE, -(-side // SIZE_MULTIPLE) * SIZE_MULTIPLE) for side in size]
        both = torch.cat((frames, before)).float()
        if list(size) != sides:
            both = F.interpolate(both, sides, mode="bilinear")
        batch = max(1, MAX_CORRELATIONS * SIZE_MULTIPLE**4 // (sides[0] * sides[1]) ** 2)
        pairs = zip(both.split(batch), both.roll(len(frames), 0).split(batch), strict=True)
        with torch.autocast(frames.device.type, enabled=False):
            flows = [self.network(*pair, num_flow_updates=FLOW_UPDATES)[-1] for pair in pairs]
        flow, returning = resize_flow(torch.cat(flows), size).chunk(2)
        return flow, consistency_mask(flow, returning)


def consistency_mask(flow: Tensor, returning: Tensor) -> Tensor:
    """Return (N, H, W), 1 where a flow and the flow back lead to where they began, else 0.

    Args:
        flow: (N, 2, H, W) from frames to those before them.
        returning: (N, 2, H, W) from those before to the frames.
    """
    back = warp(returning, flow)
    error_NHW = (flow + back).square().sum(1)
    squares_NHW = flow.square().sum(1) + back.square().sum(1)
    consistent_NHW = error_NHW <= CONSISTENCY_SHARE * squares_NHW + CONSISTENCY_SLACK
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    inside_NHW = (x > -EDGE) & (x < width - 1 + EDGE) & (y > -EDGE) & (y < height - 1 + EDGE)
    return (consistent_NHW & inside_NHW).float()


def read_plain_tensors(path: Path, needed: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, or of one of `torch.save`, without running code.

    Args:
        needed: ends the error messages: "torchvision's vgg19 is needed".

    Raises:
        DataError: missing, damaged, or with anything but dense tensors by name in it.
    """
    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; {needed}") from None
    except Exception as error:  # a damaged pickle may raise anything
        unsafe = re.search(r"(?:GLOBAL|Unsupported class) (\S+)", str(error))
        reason = f"it contains {unsafe[1]}" if unsafe else "damaged, or no weights"
        raise DataError(f"{path}: {reason}; {needed}") from None
    named = isinstance(found, dict) and all(isinstance(name, str) for name in found)
    if not named or not all(map(_is_plain, found.values())):
        raise DataError(f"{path}: not only plain tensors by name; {needed}")
    return found


def _is_plain(value: object) -> bool:
    """Return whether a value is a dense tensor of numbers in memory, not sparse or nested."""
    return (
        isinstance(value, Tensor)
        and value.dtype in NUMBERS
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_nested
    )


def _download(url: str) -> tuple[Path, str]:
    """Return torchvision's path of the weights, and why they are not there, "" if they are."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    timeout = socket.getdefaulttimeout()
    check = path.stem.rpartition("-")[2]  # the name ends with the start of its SHA-256
    with distributed.main_process_first():
        if path.is_file():
            return path, ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            socket.setdefaulttimeout(TIMEOUT)
            torch.hub.download_url_to_file(url, str(path), check, progress=sys.stderr.isatty())
        except (OSError, HTTPException, RuntimeError) as error:
            return path, f"{path} is not there, and could not be downloaded ({error})"
        finally:
            socket.setdefaulttimeout(timeout)
    return path, ""
