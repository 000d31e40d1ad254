"""A speech-to-face of small networks with random weights, and batches for its training."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from speech2video.data.face_motion import MOTION, FaceMotionDataset
from speech2video.data.training_loader import Item
from speech2video.models.networks.face_encoders import (
    ContentEncoder,
    EmotionEncoder,
    IdentityEncoder,
    NoiseProcess,
)
from speech2video.models.networks.face_generator import FaceGenerator
from tests.face_clips import SIZE, recordings

ITEM_FRAMES, LOOK_AHEAD, NOISE = 16, 2, 4


def small_networks(*, still: bool = False) -> nn.ModuleDict:
    """Return networks that paint something else of everything that they are given."""
    torch.manual_seed(0)
    generator = FaceGenerator(
        motion=len(MOTION), size=SIZE, people=2, channels=(16, 8, 8), blocks=(1, 1, 1), still=still
    )
    for name, weight in generator.named_parameters():
        if name.endswith(("second.weight", "heads.weight", "paint.weight")):
            nn.init.normal_(weight, std=0.2)
    networks = {
        "identity": IdentityEncoder(widths=(16, 16, 16, 16)),
        "emotion": EmotionEncoder(widths=(8, 8, 8, 8)),
        "content": ContentEncoder(look_ahead=LOOK_AHEAD),
        "noise": NoiseProcess(len(MOTION), noise=NOISE),
        "generator": generator,
    }
    networks["noise"].deviation[:] = 0.02
    return nn.ModuleDict(networks)


def small_batch(count: int = 4, *, seed: int = 0) -> Mapping[str, Tensor]:
    """Return a batch of drawn faces."""
    dataset = FaceMotionDataset(recordings(), noise=NOISE, frames=ITEM_FRAMES)
    items = [dataset[Item(0, seed * 100 + number)] for number in range(count)]
    return torch.utils.data.default_collate(items)
