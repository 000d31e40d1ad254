"""The Fréchet gesture distance (Yoon et al., SIGGRAPH Asia 2020), beside its floor and ceiling.

The autoencoder that ships was trained on this project's synthetic speaker alone, so figures do not
compare with those published for other autoencoders, only with each other.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from speech2video.data.motion_windows import rotation_features, windows
from speech2video.models.networks.motion_autoencoder import MotionAutoencoder
from speech2video.util.body.pose_vector import HandBasis, vector_to_smplx
from speech2video.util.metrics.frechet import frechet_distance, halved_distance, noise_like

CHECKPOINT = Path(__file__).resolve().parent.parent / "checkpoints" / "motion_autoencoder"
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
                windows(features_TF, frames=frames, stride=STRIDE)
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
