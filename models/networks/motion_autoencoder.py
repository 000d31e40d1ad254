"""The motion autoencoder: a window of gesture as a few numbers, for the Fréchet gesture distance.

After the feature extractor of Yoon et al. (SIGGRAPH Asia 2020): convolutions over time down to one
vector, and back. Smaller, and of rotations (6D) instead of directions.
"""

import json
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from speech2video.util.errors import DataError
from speech2video.util.files import replacing

WEIGHTS = "model.safetensors"  # in a checkpoint's folder
STEP_WEIGHT = 10.0  # squared steps are about a hundredth of squared places


class MotionAutoencoder(nn.Module):
    """Windows (N, frames, features) to codes (N, code) and back.

    Each feature's mean and spread are kept as buffers, so that windows go in as they are.
    """

    def __init__(self, *, features: int, frames: int, width: int, code: int, depth: int) -> None:
        """Build it with random weights.

        Args:
            features: numbers a frame.
            frames: of a window, a multiple of 2^depth.
            width: channels of the convolutions.
            code: size of the code.
            depth: how often time is halved.
        """
        super().__init__()
        if frames % 2**depth:
            raise ValueError(f"{frames} frames halved {depth} times: not whole")
        self.sizes = {
            "features": features,
            "frames": frames,
            "width": width,
            "code": code,
            "depth": depth,
        }
        short = frames // 2**depth
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        self.encoder = nn.Sequential(
            nn.Conv1d(features, width, 1),
            *(_down(width) for _ in range(depth)),
            nn.Flatten(),
            nn.Linear(width * short, code),
        )
        self.decoder = nn.Sequential(
            nn.Linear(code, width * short),
            nn.Unflatten(1, (width, short)),
            *(_up(width) for _ in range(depth)),
            nn.Conv1d(width, features, 1),
        )

    def encode(self, windows_NTF: Tensor) -> Tensor:
        """Return the codes (N, code) of windows (N, frames, features)."""
        return self.encoder(((windows_NTF - self.mean) / self.spread).transpose(1, 2))

    def decode(self, codes: Tensor) -> Tensor:
        """Return windows (N, frames, features) of codes (N, code)."""
        return self.decoder(codes).transpose(1, 2) * self.spread + self.mean

    def forward(self, windows_NTF: Tensor) -> Tensor:
        """Return the windows as their codes remember them."""
        return self.decode(self.encode(windows_NTF))

    def save(self, folder: Path) -> None:
        """Write weights and sizes as safetensors into a folder."""
        weights = {name: value.contiguous() for name, value in self.state_dict().items()}
        data = save(weights, metadata={"sizes": json.dumps(self.sizes)})
        with replacing(folder / WEIGHTS) as partial:
            partial.write_bytes(data)

    @classmethod
    def load(cls, folder: Path) -> "MotionAutoencoder":
        """Return the autoencoder of a folder, ready to run.

        Raises:
            DataError: no such file, or not a motion autoencoder's.
        """
        path = folder / WEIGHTS
        if not path.is_file():
            raise DataError(f"{path}: no such file; a motion autoencoder's weights are needed")
        try:
            with safetensors.safe_open(path, "pt") as file:
                sizes = json.loads((file.metadata() or {})["sizes"])
            model = cls(**sizes)
            model.load_state_dict(load_file(path))
        except (
            safetensors.SafetensorError,
            KeyError,
            TypeError,
            ValueError,
            RuntimeError,
        ) as error:
            raise DataError(f"{path}: not a motion autoencoder ({error})") from None
        return model.eval().requires_grad_(False)


def reconstruction_loss(model: MotionAutoencoder, windows_NTF: Tensor) -> Tensor:
    """Return the mean squared error of places and, weighted, of steps from frame to frame.

    In spreads. Without the steps a code would forget the small, fast part of a motion. Squares,
    because absolute errors reward the median and the network got stuck there.
    """
    error = (model(windows_NTF) - windows_NTF) / model.spread
    return error.square().mean() + STEP_WEIGHT * error.diff(dim=1).square().mean()


def _down(width: int) -> nn.Module:
    # No normalisation: how large a movement is must stay in the code.
    return nn.Sequential(nn.GELU(), nn.Conv1d(width, width, 4, stride=2, padding=1))


def _up(width: int) -> nn.Module:
    return nn.Sequential(nn.ConvTranspose1d(width, width, 4, stride=2, padding=1), nn.GELU())
