import pytest
import torch
from torch import Tensor

from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import (
    LIMITS,
    TOLERANCE,
    angles_to_rotations,
    clamp_pose,
    clamp_rotations,
    joint_angles,
    limit_excess,
    limit_penalty,
    limit_report,
)
from speech2video.util.body.pose_vector import POSE_SIZE, vector_to_smplx
from speech2video.util.body.rotations import axis_angle_to_matrix
from speech2video.util.body.skeleton import JOINTS, mirrored
from speech2video.util.errors import DataError


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def wild_rotations(count: int) -> Tensor:
    return 4 * torch.randn(count, len(JOINTS), 3)


def legal_rotations(count: int) -> Tensor:
    low, high = LIMITS.clamp(-3, 3).unbind(-1)
    share = torch.rand(count, len(JOINTS), 3) * 0.9 + 0.05
    return angles_to_rotations(low + share * (high - low))


def test_angles_and_rotations_are_two_ways_to_say_the_same() -> None:
    rotations = wild_rotations(300)
    back = angles_to_rotations(joint_angles(rotations))
    assert torch.allclose(axis_angle_to_matrix(back), axis_angle_to_matrix(rotations), atol=1e-4)


def test_a_turn_about_one_axis_is_that_angle() -> None:
    for axis in range(3):
        rotations = torch.zeros(1, len(JOINTS), 3)
        rotations[..., axis] = 0.7
        assert torch.allclose(joint_angles(rotations), rotations, atol=1e-6)


def test_after_the_clamp_no_joint_is_outside_its_range() -> None:
    assert limit_excess(clamp_rotations(wild_rotations(500))).max() <= TOLERANCE


def test_clamp_is_idempotent() -> None:
    once = clamp_rotations(wild_rotations(200))
    assert torch.equal(clamp_rotations(once), once)


def test_clamp_leaves_legal_poses_untouched() -> None:
    legal = legal_rotations(200)
    assert torch.equal(clamp_rotations(legal), legal)
    assert limit_report(legal).frames_over == 0 and limit_penalty(legal) == 0


def test_clamping_a_pose_vector_keeps_every_law(body: Body) -> None:
    pose = torch.randn(300, POSE_SIZE) * 2
    clamped = clamp_pose(pose, body.hands)
    assert limit_excess(vector_to_smplx(clamped, body.hands).rotations).max() <= TOLERANCE
    assert torch.equal(clamp_pose(clamped, body.hands), clamped)
    rest = torch.zeros(1, POSE_SIZE)
    assert torch.equal(clamp_pose(rest, body.hands), rest), "the body's own rest must be legal"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_numbers_that_are_no_angles_are_one_clear_error(value: float, body: Body) -> None:
    pose = torch.zeros(3, POSE_SIZE)
    pose[1, 10] = value
    with pytest.raises(DataError, match="needed"):
        clamp_pose(pose, body.hands)


def test_penalty_pulls_back_and_its_gradient_is_finite() -> None:
    rotations = wild_rotations(20).requires_grad_()
    before = limit_penalty(rotations)
    before.backward()
    assert rotations.grad.isfinite().all()
    assert limit_penalty(rotations - 0.5 * rotations.grad) < before


def test_limits_are_mirrored() -> None:
    for name in (joint for joint in JOINTS if joint.startswith("left_")):
        left, right = LIMITS[JOINTS.index(name)], LIMITS[JOINTS.index(mirrored(name))]
        assert torch.equal(left[0], right[0])
        assert torch.equal(left[1:], -right[1:].flip(-1))


def test_report_names_the_joint_the_degrees_and_the_share() -> None:
    rotations = torch.zeros(10, len(JOINTS), 3)
    rotations[:3, JOINTS.index("left_knee"), 0] = torch.deg2rad(torch.tensor(165.0))
    report = limit_report(rotations)
    assert report.frames_over == report.frames_over_outside_hands == pytest.approx(0.3)
    assert report.degrees_over == {"left_knee": pytest.approx(10, abs=0.01)}
    assert "left_knee 10°" in str(report)
