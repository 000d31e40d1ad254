"""Losses of poses: zero for the ground truth, and the errors that each ignores."""

import pytest
import torch

from speech2video.models.audio2pose import losses
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES


@pytest.fixture
def motion() -> torch.Tensor:
    torch.manual_seed(1)
    return 0.1 * torch.randn(3, 20, POSE_SIZE).cumsum(1)


ONE = torch.ones(20)
WEIGHT = torch.full((3, 20, POSE_SIZE), 1 / POSE_SIZE)


def test_part_weights_sum_to_one():
    weights = losses.part_weights({"jaw": 1.0, "expression": 3.0})
    assert weights.sum() == pytest.approx(1)
    assert weights[POSE_SLICES["expression"]].sum() == pytest.approx(0.75)
    assert not weights[POSE_SLICES["body"]].any()


def test_the_ground_truth_has_zero_loss(motion: torch.Tensor, body: Body):
    zero = torch.zeros_like(motion)
    points = body.points(motion[0])
    for loss in (
        losses.weighted_huber_loss(zero, WEIGHT),
        losses.velocity_loss(zero, WEIGHT),
        losses.energy_loss(motion, motion, WEIGHT, rms=1.0),
        losses.joint_loss(points, points, ONE),
        losses.lip_loss(points, points, ONE),
    ):
        assert loss == 0


def test_a_constant_error_has_no_velocity(motion: torch.Tensor):
    assert losses.velocity_loss(torch.ones_like(motion), WEIGHT) == 0
    assert losses.weighted_huber_loss(torch.ones_like(motion), WEIGHT) == pytest.approx(0.5)


def test_frames_of_zero_weight_do_not_count(motion: torch.Tensor):
    weight = WEIGHT.clone()
    weight[:, 10:] = 0
    error = torch.zeros_like(motion)
    error[:, 10:] = 5.0
    assert losses.weighted_huber_loss(error, weight) == 0
    assert losses.velocity_loss(error, weight) == 0


def test_energy_ignores_direction_and_penalises_stiffness(motion: torch.Tensor):
    rms = {n: losses.rms_speed(list(motion), WEIGHT[0, 0], order=n) for n in (1, 3)}

    def error(moved: torch.Tensor, order: int = 1) -> float:
        return losses.energy_loss(moved, motion, WEIGHT, rms=rms[order], order=order).item()

    assert error(-motion) == pytest.approx(0, abs=1e-6)
    assert error(motion / 2) == pytest.approx(0.75**2, rel=0.05)
    assert error(motion * 0) == pytest.approx(1, rel=0.05)
    assert error(motion * 2) == pytest.approx(3**2, rel=0.05)
    assert error(motion / 2, order=3) == pytest.approx(0.75**2, rel=0.05)
    drift = torch.linspace(0, 3, 20).view(1, 20, 1).expand_as(motion)  # speed, but no jerk
    assert error(drift, order=3) == pytest.approx(error(motion * 0, order=3), rel=0.01)


def test_lip_loss_depends_on_the_jaw_and_not_on_the_head(body: Body):
    pose = torch.zeros(2, POSE_SIZE)
    rest = body.points(pose)
    moved = rest + torch.tensor([0.3, 0.0, 0.1])
    assert losses.lip_loss(moved, rest, ONE[:2]) == pytest.approx(0, abs=1e-6)
    pose[:, POSE_SLICES["jaw"].start] = 0.2
    opened = body.points(pose)
    assert losses.lip_loss(opened, rest, ONE[:2]) > 0.005
    assert losses.joint_loss(opened, rest, ONE[:2]) == pytest.approx(0, abs=1e-3)


def test_lever_arms_of_trunk_and_arms_are_disjoint_without_legs():
    trunk, arms = losses.lever_arms("trunk"), losses.lever_arms("arms")
    assert trunk.any() and arms.any() and not (trunk * arms).any()
    body = (trunk + arms)[POSE_SLICES["body"]].view(21, 3)
    assert not body[[0, 1, 3, 4, 6, 7, 9, 10]].any()  # hips, knees, ankles, feet
