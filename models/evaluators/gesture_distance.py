"""The Fréchet gesture distance (Yoon et al., SIGGRAPH Asia 2020) and its motion autoencoder.

The shipped autoencoder is trained on the synthetic speaker only, so distances are comparable with
each other and not with those published for other autoencoders.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from speech2video.util.body.pose_vector import POSE_SLICES, HandBasis, vector_to_smplx
from speech2video.util.body.rotations import axis_angle_to_matrix, matrix_to_6d
from speech2video.util.body.skeleton import JOINTS, LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS, indices
from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write
from speech2video.util.metrics.motion import UPPER_BODY
from speech2video.util.metrics.statistics import frechet_distance, halved_distance, noise_like

CHECKPOINT = Path(__file__).resolve().parents[2] / "checkpoints" / "motion_autoencoder"
WEIGHTS = "model.safetensors"  # in a checkpoint's folder
VELOCITY_WEIGHT = 10.0  # squared differences of frames are about a hundredth of squared values

GESTURE_JOINTS = UPPER_BODY + LEFT_HAND_JOINTS + RIGHT_HAND_JOINTS  # 43
GESTURE_FEATURES = 6 * len(GESTURE_JOINTS)  # 258
_GESTURE = indices(GESTURE_JOINTS)

# Augmentation towards other speakers: scale of the movements of body and each hand, and standard
# deviation of their rest pose (radians; of hands, coefficients).
VARIED_SCALE = (0.4, 2.0)
VARIED_REST = {"body": 0.15, "left_hand": 0.3, "right_hand": 0.3}


class MotionAutoencoder(nn.Module):
    """Temporal convolutions from windows (N, frames, features) to codes (N, code) and back.

    After the feature extractor of Yoon et al., smaller and on 6D rotations instead of directions.
    Features are standardised by the buffers `mean` and `spread`.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, *, features: int, frames: int, width: int, code: int, depth: int) -> None:
        """Initialise with random weights.

        Args:
            features: numbers per frame.
            frames: length of a window, a multiple of 2^depth.
            width: channels of the convolutions.
            code: dimensions of the code.
            depth: number of times that the temporal resolution is halved.
        """
        super().__init__()
        if frames % 2**depth:
            raise ValueError(f"{frames} frames halved {depth} times: not whole")
        layers = {"width": width, "code": code, "depth": depth}
        self.sizes = {"features": features, "frames": frames} | layers
        short = frames // 2**depth
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        self.encoder = nn.Sequential(
            nn.Conv1d(features, width, 1),
            *(_downsample(width) for _ in range(depth)),
            nn.Flatten(),
            nn.Linear(width * short, code),
        )
        self.decoder = nn.Sequential(
            nn.Linear(code, width * short),
            nn.Unflatten(1, (width, short)),
            *(_upsample(width) for _ in range(depth)),
            nn.Conv1d(width, features, 1),
        )

    def encode(self, windows_NTF: Tensor) -> Tensor:
        """Return the codes (N, code) of windows (N, frames, features)."""
        return self.encoder(((windows_NTF - self.mean) / self.spread).transpose(1, 2))

    def decode(self, codes: Tensor) -> Tensor:
        """Return windows (N, frames, features) of codes (N, code)."""
        return self.decoder(codes).transpose(1, 2) * self.spread + self.mean

    def forward(self, windows_NTF: Tensor) -> Tensor:
        """Return the reconstructed windows."""
        return self.decode(self.encode(windows_NTF))

    def save(self, folder: Path) -> None:
        """Write weights and sizes as safetensors into a folder."""
        weights = {name: value.contiguous() for name, value in self.state_dict().items()}
        with atomic_write(folder / WEIGHTS) as partial:
            save_file(weights, partial, metadata={"sizes": json.dumps(self.sizes)})

    @classmethod
    def load(cls, folder: Path) -> "MotionAutoencoder":
        """Return the frozen autoencoder of a folder.

        Raises:
            DataError: no such file, or not of a motion autoencoder.
        """
        path = folder / WEIGHTS
        if not path.is_file():
            raise DataError(f"{path}: no such file; a motion autoencoder's weights are needed")
        try:
            with safe_open(path, "pt") as file:
                sizes = json.loads((file.metadata() or {})["sizes"])
            model = cls(**sizes)
            model.load_state_dict(load_file(path))
        except (SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
            raise DataError(f"{path}: not a motion autoencoder ({error})") from None
        return model.eval().requires_grad_(False)


class GestureDistances(NamedTuple):
    """Fréchet distances to real motion.

    `distance`, `real_distance` and `noise_distance` are comparable. They need some minutes of
    speech in several recordings; on a few seconds only `full_distance` is meaningful. A static
    pose lies beyond `noise_distance`.

    Attributes:
        distance: half the predicted recordings to the other half of the real ones.
        real_distance: half the real recordings to the other half: the best possible.
        noise_distance: the same for white noise with the real motion's mean and deviation.
        full_distance: all predicted to all real motion, as published distances are computed.
    """

    distance: float
    real_distance: float
    noise_distance: float
    full_distance: float


class GestureDistance:
    """Compares predicted with real gestures in the autoencoder's latent space."""

    def __init__(self, autoencoder: MotionAutoencoder, hands: HandBasis) -> None:
        """Use an autoencoder and the hand basis of the pose vectors' body."""
        self.autoencoder, self.hands = autoencoder.eval(), hands

    @classmethod
    def load(cls, hands: HandBasis, folder: Path = CHECKPOINT) -> "GestureDistance":
        """Load the autoencoder of a folder; raises `DataError` without one."""
        return cls(MotionAutoencoder.load(folder), hands)

    def encode(self, pose_TP: Tensor) -> np.ndarray:
        """Return the codes (N, code) of every window of pose vectors (T, 106) at 25 fps.

        Raises:
            DataError: fewer frames than a window has.
        """
        return self._encode_rotations(vector_to_smplx(pose_TP, self.hands).rotations)

    def compare(self, predicted: Sequence[Tensor], true: Sequence[Tensor]) -> GestureDistances:
        """Return the distances of predicted to true recordings, pose vectors (T, 106) each.

        Both are of the same recordings in the same order. A single recording is halved in time.

        Raises:
            DataError: recordings shorter than a window, or none.
        """
        predicted_codes, true_codes = ([self.encode(pose) for pose in p] for p in (predicted, true))
        noise_codes = [self._encode_noise(pose_TP, seed) for seed, pose_TP in enumerate(true)]
        return GestureDistances(
            distance=halved_distance(predicted_codes, true_codes),
            real_distance=halved_distance(true_codes, true_codes),
            noise_distance=halved_distance(noise_codes, true_codes),
            full_distance=frechet_distance(*map(np.concatenate, (predicted_codes, true_codes))),
        )

    def _encode_rotations(self, rotations_TJ3: Tensor) -> np.ndarray:
        features_TF = rotation_features(rotations_TJ3.float())
        windows_NTF = sliding_windows(features_TF, frames=self.autoencoder.sizes["frames"])
        with torch.inference_mode():
            return self.autoencoder.encode(windows_NTF).numpy()

    def _encode_noise(self, pose_TP: Tensor, seed: int) -> np.ndarray:
        rotations = vector_to_smplx(pose_TP, self.hands).rotations
        noise = noise_like(rotations.flatten(1).numpy(), seed=seed)
        return self._encode_rotations(torch.from_numpy(noise).view_as(rotations))


def reconstruction_loss(model: MotionAutoencoder, windows_NTF: Tensor) -> Tensor:
    """Return the weighted mean squared error of standardised values and their frame differences.

    Without the differences the code would ignore small, fast motion. Absolute errors favour the
    median, which is a local optimum.
    """
    error = (model(windows_NTF) - windows_NTF) / model.spread
    return error.square().mean() + VELOCITY_WEIGHT * error.diff(dim=1).square().mean()


def gesture_features(pose_TP: Tensor, hands: HandBasis) -> Tensor:
    """Return the 6D rotations (T, 258) of upper body and fingers of pose vectors (T, 106).

    Translation, root orientation, legs and face are ignored.
    """
    return rotation_features(vector_to_smplx(pose_TP, hands).rotations)


def rotation_features(rotations_TJ3: Tensor) -> Tensor:
    """Return `gesture_features` of the axis-angle (T, 55, 3) of all joints."""
    if rotations_TJ3.shape[1:] != (len(JOINTS), 3):
        raise DataError(f"rotations {tuple(rotations_TJ3.shape)}; (frames, 55, 3) are needed")
    return matrix_to_6d(axis_angle_to_matrix(rotations_TJ3[:, _GESTURE])).flatten(1)


def sliding_windows(features_TF: Tensor, *, frames: int, stride: int = 1) -> Tensor:
    """Return the windows (N, frames, F) that start every `stride` frames.

    Raises:
        DataError: fewer than `frames` frames.
    """
    if len(features_TF) < frames:
        raise DataError(f"motion of {len(features_TF)} frames; at least {frames} are needed")
    return features_TF.unfold(0, frames, stride).transpose(1, 2)


def vary_motion(pose_TP: Tensor, *, seed: int) -> Tensor:
    """Return pose vectors (T, 106) of the same gestures with random scale and rest pose.

    The result imitates other speakers; it may exceed joint limits.
    """
    generator = torch.Generator().manual_seed(seed)
    varied_TP = pose_TP.clone()
    for name, rest_std in VARIED_REST.items():
        part = pose_TP[:, POSE_SLICES[name]]
        mean = part.mean(0)
        scale = torch.empty(1).uniform_(*VARIED_SCALE, generator=generator)
        rest = rest_std * torch.randn(len(mean), generator=generator)
        varied_TP[:, POSE_SLICES[name]] = mean + rest + scale * (part - mean)
    return varied_TP


def _downsample(width: int) -> nn.Module:
    # No normalisation, because the code must represent the scale of movements.
    return nn.Sequential(nn.GELU(), nn.Conv1d(width, width, 4, stride=2, padding=1))


def _upsample(width: int) -> nn.Module:
    return nn.Sequential(nn.ConvTranspose1d(width, width, 4, stride=2, padding=1), nn.GELU())
