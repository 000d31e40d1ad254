"""The motion autoencoder: a window of gesture as a few numbers, for the Fréchet gesture distance.

After the feature extractor of Yoon et al. (SIGGRAPH Asia 2020): convolutions over time down to one
vector, and back. Smaller, and of rotations (6D) instead of directions.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from speech2video.util.body.pose_vector import POSE_SLICES, HandBasis, vector_to_smplx
from speech2video.util.body.rotations import axis_angle_to_matrix, matrix_to_6d
from speech2video.util.body.skeleton import JOINTS, LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS, indices
from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write
from speech2video.util.metrics.motion import UPPER_BODY
from speech2video.util.metrics.statistics import frechet_distance, halved_distance, noise_like

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
        with atomic_write(folder / WEIGHTS) as partial:
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


# Motion as the Fréchet gesture distance sees it: windows of upper-body and finger rotations.

GESTURE_JOINTS = UPPER_BODY + LEFT_HAND_JOINTS + RIGHT_HAND_JOINTS  # 43
GESTURE_FEATURES = 6 * len(GESTURE_JOINTS)  # 258
_GESTURE = indices(GESTURE_JOINTS)

# Another person's habits: how much larger the movements of body and of each hand are, and how far
# (radians; of hands, coefficients) joints rest elsewhere.
VARIED_SIZE = (0.4, 2.0)
VARIED_REST = {"body": 0.15, "left_hand": 0.3, "right_hand": 0.3}


def gesture_features(pose_TP: Tensor, hands: HandBasis) -> Tensor:
    """Return the 6D rotations (T, 258) of upper body and fingers of pose vectors (T, 106).

    Where the person stands, the root's turn, legs and face are left out.
    """
    return rotation_features(vector_to_smplx(pose_TP, hands).rotations)


def rotation_features(rotations_TJ3: Tensor) -> Tensor:
    """Return the same (T, 258) of all 55 joints' axis-angle (T, 55, 3)."""
    if rotations_TJ3.shape[1:] != (len(JOINTS), 3):
        raise DataError(f"rotations {tuple(rotations_TJ3.shape)}; (frames, 55, 3) are needed")
    matrices = axis_angle_to_matrix(rotations_TJ3[:, _GESTURE])
    return matrix_to_6d(matrices).flatten(1)


def sliding_windows(features_TF: Tensor, *, frames: int, stride: int) -> Tensor:
    """Return the windows (N, frames, F) that begin every `stride` frames.

    Raises:
        DataError: fewer than `frames` frames.
    """
    if len(features_TF) < frames:
        raise DataError(f"motion of {len(features_TF)} frames; at least {frames} are needed")
    return features_TF.unfold(0, frames, stride).transpose(1, 2)


def vary_motion(pose_TP: Tensor, *, seed: int) -> Tensor:
    """Return pose vectors (T, 106) of the same gestures made by a person of other habits.

    Body and hands move more or less and rest elsewhere, so that an autoencoder sees other motion
    than one speaker's; it need not be legal.
    """
    chance = torch.Generator().manual_seed(seed)
    other_TP = pose_TP.clone()
    for name, spread in VARIED_REST.items():
        part = pose_TP[:, POSE_SLICES[name]]
        mean = part.mean(0)
        size = torch.empty(1).uniform_(*VARIED_SIZE, generator=chance)
        rest = spread * torch.randn(len(mean), generator=chance)
        other_TP[:, POSE_SLICES[name]] = mean + rest + size * (part - mean)
    return other_TP


# The Fréchet gesture distance (Yoon et al., SIGGRAPH Asia 2020), beside its floor and ceiling.
#
# The autoencoder that ships was trained on this project's synthetic speaker alone, so figures do not
# compare with those published for other autoencoders, only with each other.

CHECKPOINT = Path(__file__).resolve().parents[2] / "checkpoints" / "motion_autoencoder"
STRIDE = 1  # frames from window to window


class GestureDistances(NamedTuple):
    """Distances to real motion; `distance`, `floor` and `ceiling` compare with each other.

    They need some minutes of speech, in several recordings: the two halves of a few seconds differ
    by more than noise does, and only `whole` says something there. A motion that stands still lies
    beyond the ceiling.

    Attributes:
        distance: half the predicted recordings to the other half of the real ones.
        floor: half the real recordings to the other half.
        ceiling: the same of white noise with the real motion's mean and deviation.
        whole: all predicted to all real motion, as published figures are computed.
    """

    distance: float
    floor: float
    ceiling: float
    whole: float


class GestureDistance:
    """Compares predicted with real gestures by an autoencoder's codes."""

    def __init__(self, autoencoder: MotionAutoencoder, hands: HandBasis) -> None:
        """Take an autoencoder and the hands of the body the pose vectors are for."""
        self.autoencoder = autoencoder.eval()
        self.hands = hands

    @classmethod
    def load(cls, hands: HandBasis, folder: Path = CHECKPOINT) -> "GestureDistance":
        """Return the distance by the autoencoder of a folder; raises `DataError` without one."""
        return cls(MotionAutoencoder.load(folder), hands)

    def codes(self, pose_TP: Tensor) -> np.ndarray:
        """Return the codes (N, code) of every window of pose vectors (T, 106) at 25 fps.

        Raises `DataError` where there are fewer frames than a window has.
        """
        return self.rotation_codes(vector_to_smplx(pose_TP, self.hands).rotations)

    def rotation_codes(self, rotations_TJ3: Tensor) -> np.ndarray:
        """Return the same of axis-angle (T, 55, 3)."""
        features_TF = rotation_features(rotations_TJ3.float())
        frames = self.autoencoder.sizes["frames"]
        with torch.inference_mode():
            return self.autoencoder.encode(
                sliding_windows(features_TF, frames=frames, stride=STRIDE)
            ).numpy()

    def compare(self, predicted: Sequence[Tensor], true: Sequence[Tensor]) -> GestureDistances:
        """Return the distances of predicted to true recordings, pose vectors (T, 106) each.

        The predicted must be of the same recordings in the same order. A single recording is
        halved in the middle. Raises `DataError` on too short recordings, or none.
        """
        predicted_codes, true_codes = ([self.codes(pose) for pose in p] for p in (predicted, true))
        noise_codes = [self._noise_codes(pose_TP, seed) for seed, pose_TP in enumerate(true)]
        return GestureDistances(
            distance=halved_distance(predicted_codes, true_codes),
            floor=halved_distance(true_codes, true_codes),
            ceiling=halved_distance(noise_codes, true_codes),
            whole=frechet_distance(np.concatenate(predicted_codes), np.concatenate(true_codes)),
        )

    def _noise_codes(self, pose_TP: Tensor, seed: int) -> np.ndarray:
        rotations = vector_to_smplx(pose_TP, self.hands).rotations
        noise = noise_like(rotations.flatten(1).numpy(), seed=seed)
        return self.rotation_codes(torch.from_numpy(noise).view_as(rotations))
