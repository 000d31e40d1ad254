"""The Fréchet gesture distance of the shipped autoencoder."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from speech2video.data.motion_io import read_motion
from speech2video.models.evaluators.gesture_distance import (
    CHECKPOINT,
    GESTURE_FEATURES,
    WEIGHTS,
    GestureDistance,
    MotionAutoencoder,
    gesture_features,
    reconstruction_loss,
    rotation_features,
    sliding_windows,
    vary_motion,
)
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.errors import DataError
from tests.shared import DATA, cases

MEGABYTE = 1024**2


@pytest.fixture(scope="module")
def distance(body: Body) -> GestureDistance:
    return GestureDistance.load(body.hands)


def waving(seed: int, *, frames: int = 250) -> Tensor:
    """Return a slow, smooth motion of every part (T, 106)."""
    random = torch.Generator().manual_seed(seed)
    size, speed, phase = torch.rand(3, POSE_SIZE, generator=random)
    times = torch.arange(frames)[:, None] / 25
    return 0.4 * size * torch.sin(2 * math.pi * (0.2 + speed) * times + 2 * math.pi * phase)


def test_shipped_weights_are_small() -> None:
    assert (CHECKPOINT / WEIGHTS).stat().st_size < 2 * MEGABYTE


def test_ground_truth_has_the_real_distance_and_noise_more(distance: GestureDistance) -> None:
    true = [waving(seed) for seed in range(4)]
    found = distance.compare(true, true)
    assert found.distance == found.real_distance
    assert found.full_distance == pytest.approx(0, abs=1e-6)
    assert found.noise_distance > found.real_distance


@pytest.mark.parametrize("path", cases(DATA / "beat2_scott", "*.npz"))
def test_real_motion_is_distinguished_from_worse(
    distance: GestureDistance, path: Path, body: Body
) -> None:
    pose = read_motion(path).pose_vector(body)
    mean, random = pose.mean(0), torch.Generator().manual_seed(0)
    worse = {
        "half as large": mean + 0.5 * (pose - mean),
        "hardly moving": mean + 0.1 * (pose - mean),
        "trembling": pose + 0.1 * torch.randn(pose.shape, generator=random),
    }
    whole = {
        name: distance.compare([motion], [pose]).full_distance for name, motion in worse.items()
    }
    assert 0 < whole["half as large"] < whole["hardly moving"]
    assert whole["trembling"] > 0
    parts = pose.split(200)[:-1]
    real = distance.compare(parts, parts)
    assert real.real_distance < real.noise_distance


def test_too_short_a_motion_is_refused(distance: GestureDistance) -> None:
    with pytest.raises(DataError, match="frames"):
        distance.encode(torch.zeros(5, POSE_SIZE))


SIZES = {"features": 6, "frames": 16, "width": 8, "code": 4, "depth": 2}


@pytest.fixture
def model() -> MotionAutoencoder:
    torch.manual_seed(0)
    model = MotionAutoencoder(**SIZES)
    model.mean.normal_()
    model.spread.uniform_(0.5, 2)
    return model.eval()


def test_a_window_becomes_a_code_and_a_window_again(model: MotionAutoencoder) -> None:
    windows = torch.randn(3, 16, 6)
    codes = model.encode(windows)
    assert codes.shape == (3, 4)
    assert torch.equal(model.decode(codes), model(windows))
    assert model(windows).shape == windows.shape


def test_a_code_depends_on_its_own_window_only(model: MotionAutoencoder) -> None:
    windows = torch.randn(3, 16, 6)
    torch.testing.assert_close(model.encode(windows)[1:2], model.encode(windows[1:2]))


def test_saved_and_loaded_is_the_same(model: MotionAutoencoder, tmp_path: Path) -> None:
    model.save(tmp_path / "new" / "folder")
    loaded = MotionAutoencoder.load(tmp_path / "new" / "folder")
    windows = torch.randn(3, 16, 6)
    assert loaded.sizes == SIZES
    assert torch.equal(loaded.encode(windows), model.encode(windows))


def test_training_lowers_the_loss() -> None:
    torch.manual_seed(0)
    model = MotionAutoencoder(**SIZES | {"code": 8})
    time = torch.linspace(0, 6, 16)[:, None]
    windows = torch.stack([torch.sin(time + phase) * torch.ones(6) for phase in torch.rand(32)])
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    before = reconstruction_loss(model, windows).item()
    for _ in range(60):
        optimiser.zero_grad()
        loss = reconstruction_loss(model, windows)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.3 * before


def test_jitter_costs_more_than_a_shift(model: MotionAutoencoder) -> None:
    class Shifted(MotionAutoencoder):
        def forward(self, windows_NTF: torch.Tensor) -> torch.Tensor:
            return windows_NTF + self.shift

    shifted, jittery = Shifted(**SIZES), Shifted(**SIZES)
    shifted.shift = 0.1
    jittery.shift = 0.1 * (-1.0) ** torch.arange(16)[:, None]
    windows = torch.randn(3, 16, 6)
    assert reconstruction_loss(jittery, windows) > 2 * reconstruction_loss(shifted, windows)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        MotionAutoencoder.load(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"not weights")
    with pytest.raises(DataError, match="not a motion autoencoder"):
        MotionAutoencoder.load(tmp_path)
    save_file({"weight": torch.zeros(3)}, tmp_path / WEIGHTS)
    with pytest.raises(DataError, match="not a motion autoencoder"):
        MotionAutoencoder.load(tmp_path)


def test_windows_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(ValueError, match="not whole"):
        MotionAutoencoder(**SIZES | {"frames": 18})


NOT_GESTURE = ("translation", "root_orientation", "expression", "jaw")


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_features_are_of_arms_and_hands_only(body: Body) -> None:
    pose = 0.1 * torch.randn(30, POSE_SIZE)
    usual = gesture_features(pose, body.hands)
    assert usual.shape == (30, GESTURE_FEATURES)
    for name, part in POSE_SLICES.items():
        moved = pose.clone()
        moved[:, part] += 0.1
        same = torch.equal(gesture_features(moved, body.hands), usual)
        assert same == (name in NOT_GESTURE), name


def test_windows_are_runs_of_frames() -> None:
    features = torch.arange(20.0)[:, None].expand(-1, 3)
    cut = sliding_windows(features, frames=8, stride=4)
    assert cut.shape == (4, 8, 3)
    for number, window in enumerate(cut):
        assert torch.equal(window, features[4 * number : 4 * number + 8])


def test_varied_motion_keeps_its_timing() -> None:
    pose = 0.1 * torch.randn(50, POSE_SIZE)
    other = vary_motion(pose, seed=1)
    assert torch.equal(other, vary_motion(pose, seed=1))
    assert not torch.allclose(other, vary_motion(pose, seed=2))
    for name, part in POSE_SLICES.items():
        series = torch.stack((pose[:, part.start], other[:, part.start]))
        assert torch.corrcoef(series)[0, 1] == pytest.approx(1, abs=1e-4)
        assert torch.equal(pose[:, part], other[:, part]) == (name in NOT_GESTURE)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="55"):
        rotation_features(torch.zeros(5, 22, 3))
    with pytest.raises(DataError, match="5 frames"):
        sliding_windows(torch.zeros(5, 3), frames=8, stride=1)
