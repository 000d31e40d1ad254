import pytest
import torch

from speech2video.data.motion_windows import (
    GESTURE_FEATURES,
    gesture_features,
    rotation_features,
    varied,
    windows,
)
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.errors import DataError

# what a gesture is not told by
NOT_GESTURE = ("translation", "root_orientation", "expression", "jaw")


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_features_see_arms_and_hands_and_nothing_else(body: Body) -> None:
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
    cut = windows(features, frames=8, stride=4)
    assert cut.shape == (4, 8, 3)
    for number, window in enumerate(cut):
        assert torch.equal(window, features[4 * number : 4 * number + 8])


def test_varied_motion_is_another_of_the_same_timing() -> None:
    pose = 0.1 * torch.randn(50, POSE_SIZE)
    other = varied(pose, seed=1)
    assert torch.equal(other, varied(pose, seed=1))
    assert not torch.allclose(other, varied(pose, seed=2))
    for name, part in POSE_SLICES.items():
        series = torch.stack((pose[:, part.start], other[:, part.start]))
        assert torch.corrcoef(series)[0, 1] == pytest.approx(1, abs=1e-4)
        assert torch.equal(pose[:, part], other[:, part]) == (name in NOT_GESTURE)


def test_what_is_no_motion_is_refused() -> None:
    with pytest.raises(DataError, match="55"):
        rotation_features(torch.zeros(5, 22, 3))
    with pytest.raises(DataError, match="5 frames"):
        windows(torch.zeros(5, 3), frames=8, stride=1)
