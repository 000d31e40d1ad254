"""Weights that come with torchvision: from a file, from what was downloaded once, or not at all.

What needs them says so in one line where there are none, and is left out; nothing takes its place.
"""

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from speech2video.models.checkpointing import copy_tensors
from speech2video.models.pose2video.generators.base import warp
from speech2video.models.pose2video.losses import item_mean, resize_flow
from speech2video.util import distributed
from speech2video.util.errors import DataError

TIMEOUT = 10.0  # seconds without an answer


def find_weights(
    path: Path | None, url: Callable[[], str], *, use: str, network: str
) -> Path | None:
    """Return where a network's weights lie; None, and a line on stderr, where they do not.

    Under torchrun every process must call it; all or none get a path. The main process downloads.

    Args:
        path: a file of one's own, which is not looked at. None: what torchvision has downloaded,
            or can.
        url: of torchvision's weights; only called without a path.
        use: what is left out without them: "the perceptual loss".
        network: whose weights they are: "VGG19".
    """
    path, reason = (Path(path), "") if path is not None else _downloaded(url())
    if not distributed.largest(int(bool(reason))):
        return path
    if distributed.is_main():
        reason = reason or f"another process has no weights of {network}"
        print(f"without {use}: {reason}", file=sys.stderr)
    return None


def read_tensors(path: Path, network: str) -> dict[str, Tensor]:
    """Return a file's tensors by name: safetensors, or a file of `torch.save`.

    Args:
        network: what the message says is needed: "torchvision's vgg19".

    Raises:
        DataError: missing, damaged, or with anything but tensors by name in it.
    """
    needed = f"{network} as safetensors, or as a file of plain tensors, is needed"
    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {needed}") from None
    except Exception:  # there is no end to how reading a damaged pickle may fail
        raise DataError(f"{path}: not readable; {needed}") from None
    if not isinstance(found, dict) or not all(isinstance(t, Tensor) for t in found.values()):
        raise DataError(f"{path}: no tensors by name; {needed}")
    return found


def _downloaded(url: str) -> tuple[Path, str]:
    """Return where torchvision keeps the weights, and why they are not there, "" if they are."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    with distributed.main_process_first():
        if path.is_file():
            return path, ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            check = path.stem.rpartition("-")[2]  # the name says how its SHA-256 begins
            with _timeout(TIMEOUT):
                watched = sys.stderr.isatty()
                torch.hub.download_url_to_file(url, str(path), check, progress=watched)
        except (OSError, HTTPException, RuntimeError) as error:
            return path, f"{path} is not there, and was not to be downloaded ({error})"
    return path, ""


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


# How different two pictures look to a network that has learned to name things.
#
# After Johnson et al., Perceptual Losses for Real-Time Style Transfer, 2016, with the layers and
# weights of pix2pixHD and vid2vid, whose pictures however went in as they were; here they are
# normalised as the network's training pictures were. Its weights come with torchvision and are
# downloaded once, or from a file.

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
        self.features = nn.Sequential(*_vgg_layers())
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
        path = find_weights(path, _vgg_url, use="the perceptual loss", network="VGG19")
        if path is None:
            return None
        loss = cls()
        copy_tensors(path, loss.features.state_dict(), _read_vgg(path))
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


def _vgg_layers() -> Iterator[nn.Module]:
    channels = 3
    for wide in CONVOLUTIONS:
        if wide == "M":
            yield nn.MaxPool2d(2)
        else:
            yield nn.Conv2d(channels, wide, 3, padding=1)
            yield nn.ReLU(inplace=True)
            channels = wide


def _read_vgg(path: Path) -> dict[str, Tensor]:
    found = read_tensors(path, "torchvision's vgg19")
    features = {k.removeprefix(PREFIX): v for k, v in found.items() if k.startswith(PREFIX)}
    places = {str(place) for place in range(len(list(_vgg_layers())))}
    return {name: tensor for name, tensor in features.items() if name.split(".")[0] in places}


def _vgg_url() -> str:
    from torchvision.models import VGG19_Weights  # slow to import, and only needed here

    return VGG19_Weights.IMAGENET1K_V1.url


# Optical flow of consecutive frames by a network: torchvision's small RAFT.
#
# After Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020. Its
# weights come with torchvision and are downloaded once, or from a file. On a processor it takes far
# longer than `util.optical_flow`; on a GPU it is there for the asking.

MULTIPLE, LEAST = 8, 128  # pixels: what RAFT's sides must be multiples of, and at least
UPDATES = 12  # of the flow, as it was trained
CELLS = 2**27  # numbers in which RAFT compares all of a picture with all of another, at once
# there and back must meet within a share of both flows' squares, and so many pixels² more
# (Sundaram et al., Dense Point Trajectories by GPU-Accelerated Large Displacement Flow, 2010)
SHARE, SLACK = 0.01, 0.5
EDGE = 0.5  # pixels: half of one, from its middle to the picture's border


class RaftFlowEstimator(nn.Module):
    """The flow of frames, and where to trust it; `RaftFlowEstimator.load` makes one with trained weights.

    It learns nothing, belongs into no checkpoint and computes in 32 bits.
    """

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models.optical_flow import raft_small  # slow to import

        self.raft = raft_small(weights=None, progress=False)
        self.requires_grad_(False).eval()

    @classmethod
    def load(cls, path: Path | None = None) -> "RaftFlowEstimator | None":
        """Return it with trained weights; None, and a line on stderr, where there are none.

        Under torchrun every process must call it; all or none get one.

        Args:
            path: torchvision's raft_small as safetensors or as a file of `torch.save`. None: what
                torchvision has downloaded, or can.

        Raises:
            DataError: the file is missing, damaged, or of another network.
        """
        path = find_weights(path, _raft_url, use="the loss of flow", network="RAFT")
        if path is None:
            return None
        flow = cls()
        copy_tensors(path, flow.raft.state_dict(), read_tensors(path, "torchvision's raft_small"))
        return flow

    @torch.no_grad()
    def forward(self, frames: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return flow (N, 2, H, W) float32 and trust (N, H, W), 1 or 0, of frames (N, 3, H, W).

        Args:
            frames: -1..1.
            before: the frames before them. Flow goes from each pixel of a frame to where the frame
                before shows the same, in pixels right and down (`models/pose2video/generators/base.py`).
        """
        size = frames.shape[-2:]
        sides = [max(LEAST, -(-side // MULTIPLE) * MULTIPLE) for side in size]
        both = torch.cat((frames, before)).float()
        if list(size) != sides:
            both = F.interpolate(both, sides, mode="bilinear")
        others = both.roll(len(frames), 0)
        at_once = max(1, CELLS * MULTIPLE**4 // (sides[0] * sides[1]) ** 2)
        pairs = zip(both.split(at_once), others.split(at_once), strict=True)
        flows = torch.cat([self._flow(*pair) for pair in pairs])
        flow, returning = resize_flow(flows, size).chunk(2)
        return flow, consistency_mask(flow, returning)

    def _flow(self, frames: Tensor, others: Tensor) -> Tensor:
        with torch.autocast(frames.device.type, enabled=False):
            return self.raft(frames, others, num_flow_updates=UPDATES)[-1]


def consistency_mask(flow: Tensor, returning: Tensor) -> Tensor:
    """Return (N, H, W) 1 where going along a flow and back again leads to where it began, else 0.

    Args:
        flow: (N, 2, H, W) from frames to those before them.
        returning: (N, 2, H, W) from those before to the frames.
    """
    back = warp(returning, flow)
    off_NHW = (flow + back).square().sum(1)
    allowed_NHW = SHARE * (flow.square().sum(1) + back.square().sum(1)) + SLACK
    return ((off_NHW <= allowed_NHW) & _inside(flow)).float()


def _inside(flow: Tensor) -> Tensor:
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    return (x > -EDGE) & (x < width - 1 + EDGE) & (y > -EDGE) & (y < height - 1 + EDGE)


def _raft_url() -> str:
    from torchvision.models.optical_flow import Raft_Small_Weights  # slow to import

    return Raft_Small_Weights.C_T_V2.url
