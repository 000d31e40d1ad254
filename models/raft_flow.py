"""Optical flow of consecutive frames by a network: torchvision's small RAFT.

After Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020. Its
weights come with torchvision and are downloaded once, or from a file. On a processor it takes far
longer than `util.optical_flow`; on a GPU it is there for the asking.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.models.fetched_weights import read_weights, weights_at_hand
from speech2video.models.losses.flow import resize_flow
from speech2video.models.networks.warping import warp
from speech2video.util.checkpoint import fill

MULTIPLE, LEAST = 8, 128  # pixels: what RAFT's sides must be multiples of, and at least
UPDATES = 12  # of the flow, as it was trained
CELLS = 2**27  # numbers in which RAFT compares all of a picture with all of another, at once
# there and back must meet within a share of both flows' squares, and so many pixels² more
# (Sundaram et al., Dense Point Trajectories by GPU-Accelerated Large Displacement Flow, 2010)
SHARE, SLACK = 0.01, 0.5
EDGE = 0.5  # pixels: half of one, from its middle to the picture's border


class RaftFlow(nn.Module):
    """The flow of frames, and where to trust it; `RaftFlow.load` makes one with trained weights.

    It learns nothing, belongs into no checkpoint and computes in 32 bits.
    """

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models.optical_flow import raft_small  # slow to import

        self.raft = raft_small(weights=None, progress=False)
        self.requires_grad_(False).eval()

    @classmethod
    def load(cls, path: Path | None = None) -> "RaftFlow | None":
        """Return it with trained weights; None, and a line on stderr, where there are none.

        Under torchrun every process must call it; all or none get one.

        Args:
            path: torchvision's raft_small as safetensors or as a file of `torch.save`. None: what
                torchvision has downloaded, or can.

        Raises:
            DataError: the file is missing, damaged, or of another network.
        """
        path = weights_at_hand(path, _url, use="the loss of flow", network="RAFT")
        if path is None:
            return None
        flow = cls()
        fill(path, flow.raft.state_dict(), read_weights(path, "torchvision's raft_small"))
        return flow

    @torch.no_grad()
    def forward(self, frames: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return flow (N, 2, H, W) float32 and trust (N, H, W), 1 or 0, of frames (N, 3, H, W).

        Args:
            frames: -1..1.
            before: the frames before them. Flow goes from each pixel of a frame to where the frame
                before shows the same, in pixels right and down (`models/networks/warping.py`).
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
        return flow, trust(flow, returning)

    def _flow(self, frames: Tensor, others: Tensor) -> Tensor:
        with torch.autocast(frames.device.type, enabled=False):
            return self.raft(frames, others, num_flow_updates=UPDATES)[-1]


def trust(flow: Tensor, returning: Tensor) -> Tensor:
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


def _url() -> str:
    from torchvision.models.optical_flow import Raft_Small_Weights  # slow to import

    return Raft_Small_Weights.C_T_V2.url
