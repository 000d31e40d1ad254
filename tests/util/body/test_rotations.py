import math

import pytest
import roma
import torch

from speech2video.util.body import rotations as rot


def random_rotations(count: int) -> torch.Tensor:
    return rot.quaternion_to_axis_angle(torch.nn.functional.normalize(torch.randn(count, 4), dim=1))


def sixd_to_matrix(sixd: torch.Tensor) -> torch.Tensor:
    return roma.special_gramschmidt(sixd.unflatten(-1, (2, 3)).transpose(-1, -2))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_every_form_and_back_is_the_same_rotation() -> None:
    vectors = random_rotations(200)
    matrices = rot.axis_angle_to_matrix(vectors)
    there_and_back = {
        "matrix": rot.matrix_to_axis_angle(matrices),
        "quaternion": rot.quaternion_to_axis_angle(rot.axis_angle_to_quaternion(vectors)),
        "6d": rot.matrix_to_axis_angle(sixd_to_matrix(rot.matrix_to_6d(matrices))),
    }
    for form, back in there_and_back.items():
        assert torch.allclose(rot.axis_angle_to_matrix(back), matrices, atol=1e-5), form


def test_slerp_turns_at_constant_speed_along_the_shorter_way() -> None:
    start, end = random_rotations(50), random_rotations(50)
    whole = angle_between(start, end)
    for weight in (0.0, 0.25, 1.0):
        middle = rot.slerp(start, end, torch.full((50,), weight))
        assert torch.allclose(angle_between(start, middle), weight * whole, atol=2e-3)


def angle_between(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    relative = rot.axis_angle_to_matrix(a).transpose(1, 2) @ rot.axis_angle_to_matrix(b)
    return rot.matrix_to_axis_angle(relative).norm(dim=1)


def test_resampling_keeps_a_constant_rotation() -> None:
    constant = random_rotations(1).expand(30, 3)
    resampled = rot.resample_axis_angle(constant, torch.arange(25, dtype=torch.float64) * 1.2)
    assert torch.allclose(resampled, constant[:25], atol=1e-6)


def test_resampling_a_steady_turn_stays_steady() -> None:
    turn = torch.zeros(31, 3)
    turn[:, 1] = torch.linspace(0, 3, 31)  # past the place where axis-angle wraps at π is 3.14
    times = torch.linspace(0, 30, 26, dtype=torch.float64)
    resampled = rot.resample_axis_angle(turn, times)
    assert torch.allclose(resampled[:, 1], torch.linspace(0, 3, 26), atol=1e-5)


def test_resampling_crosses_half_a_turn_without_going_round() -> None:
    near = torch.tensor([[0.0, math.pi - 0.1, 0.0], [0.0, -math.pi + 0.1, 0.0]])
    middle = rot.resample_axis_angle(near, torch.tensor([0.5], dtype=torch.float64))
    assert torch.allclose(middle.norm(dim=1), torch.tensor([math.pi]), atol=1e-3)


def test_gradients_are_finite_at_the_identity() -> None:
    zero = torch.zeros(2, 3, requires_grad=True)
    matrix = rot.axis_angle_to_matrix(zero)
    back = rot.matrix_to_axis_angle(sixd_to_matrix(rot.matrix_to_6d(matrix)))
    (back.sum() + rot.axis_angle_to_quaternion(zero).sum()).backward()
    assert zero.grad.isfinite().all() and zero.grad.abs().sum() > 0
