"""The Fréchet gesture distance by the autoencoder that ships."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from speech2video.data.motion_file import read_motion
from speech2video.models.gesture_distance import CHECKPOINT, GestureDistance
from speech2video.models.networks.motion_autoencoder import WEIGHTS
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.errors import DataError
from tests.shared import DATA, cases

MEGABYTE = 1024**2


@pytest.fixture(scope="module")
def distance(body: Body) -> GestureDistance:
    return GestureDistance.load(body.hands)


def waving(seed: int, *, frames: int = 250) -> Tensor:
    """Return a slow, smooth motion of every part (T, 106)."""
    chance = torch.Generator().manual_seed(seed)
    size, speed, phase = torch.rand(3, POSE_SIZE, generator=chance)
    times = torch.arange(frames)[:, None] / 25
    return 0.4 * size * torch.sin(2 * math.pi * (0.2 + speed) * times + 2 * math.pi * phase)


def test_the_weights_that_ship_are_small() -> None:
    assert (CHECKPOINT / WEIGHTS).stat().st_size < 2 * MEGABYTE


def test_the_truth_is_at_its_floor_and_noise_far_above(distance: GestureDistance) -> None:
    true = [waving(seed) for seed in range(4)]
    found = distance.compare(true, true)
    assert found.distance == found.floor
    assert found.whole == pytest.approx(0, abs=1e-6)
    assert found.ceiling > found.floor


@pytest.mark.parametrize("path", cases(DATA / "beat2_scott", "*.npz"))
def test_real_motion_is_told_from_what_is_worse(
    distance: GestureDistance, path: Path, body: Body
) -> None:
    pose = read_motion(path).pose_vector(body)
    mean, chance = pose.mean(0), torch.Generator().manual_seed(0)
    worse = {
        "half as large": mean + 0.5 * (pose - mean),
        "hardly moving": mean + 0.1 * (pose - mean),
        "trembling": pose + 0.1 * torch.randn(pose.shape, generator=chance),
    }
    found = {name: distance.compare([motion], [pose]) for name, motion in worse.items()}
    whole = {name: distances.whole for name, distances in found.items()}
    assert 0 < whole["half as large"] < whole["hardly moving"]
    assert whole["trembling"] > 0
    parts = pose.split(200)[:-1]
    real = distance.compare(parts, parts)
    assert real.floor < real.ceiling


def test_too_short_a_motion_is_refused(distance: GestureDistance) -> None:
    with pytest.raises(DataError, match="frames"):
        distance.codes(torch.zeros(5, POSE_SIZE))
