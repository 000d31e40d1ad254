"""Distillation losses: minima, reversed gradients, and gradients over processes."""

import math

import pytest
import torch
import torch.nn.functional as F

from speech2video.models.speech2face import distillation
from speech2video.models.speech2face.distillation import (
    contrastive_loss,
    cross_covariance,
    emotion_loss,
    energy_distance,
    gather_processes,
    masked_cross_entropy,
    masked_mse,
    reverse_gradient,
    soft_cross_entropy,
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def units(count: int = 6) -> torch.Tensor:
    return F.normalize(torch.randn(count, 128), dim=1)


def test_gradients_reverse_and_values_stay() -> None:
    x, head = torch.randn(4, 3, requires_grad=True), torch.nn.Linear(3, 2)
    through = reverse_gradient(x)
    assert torch.equal(through, x)
    head(through).square().sum().backward()
    turned, x.grad = x.grad.clone(), None
    own = head.weight.grad.clone()
    head.zero_grad()
    head(x).square().sum().backward()
    torch.testing.assert_close(turned, -x.grad)
    torch.testing.assert_close(own, head.weight.grad)  # the head itself learns as usual


def test_a_student_equal_to_its_teacher_has_minimal_losses() -> None:
    teacher = units()
    assert contrastive_loss(teacher, teacher) < contrastive_loss(units(), teacher)
    logits = torch.randn(6, 3, 8)
    student = logits.amax(1).clone().requires_grad_(True)
    emotion_loss(student, logits).backward()
    assert student.grad.abs().max() < 1e-7


def test_soft_cross_entropy_is_that_of_labels_for_a_certain_teacher() -> None:
    teacher = torch.randn(6, 5).mul(3).requires_grad_(True)
    student = teacher.detach().clone().requires_grad_(True)
    soft_cross_entropy(student, teacher).backward()
    assert student.grad.abs().max() < 1e-6 and teacher.grad is None
    sure = 50 * torch.eye(5)
    expected = F.cross_entropy(student[:5], torch.arange(5))
    torch.testing.assert_close(soft_cross_entropy(student[:5], sure), expected)


def test_contrastive_loss_of_different_faces_is_infonce() -> None:
    teacher, student = torch.eye(128)[:6], units()
    expected = F.cross_entropy(student @ teacher.T / 0.07, torch.arange(6))
    torch.testing.assert_close(contrastive_loss(student, teacher), expected, rtol=1e-4, atol=1e-4)


def test_one_persons_clips_are_no_negatives() -> None:
    face, student = F.normalize(torch.randn(1, 128), dim=1).repeat(4, 1), units(4)
    # all faces are one person's: no voice can be distinguished
    assert float(contrastive_loss(student, face)) == pytest.approx(math.log(4), abs=1e-5)


def test_teachers_get_no_gradient() -> None:
    teacher, logits = units().requires_grad_(True), torch.randn(6, 3, 8, requires_grad=True)
    student = units().requires_grad_(True)
    (contrastive_loss(student, teacher) + emotion_loss(torch.randn(6, 8), logits)).backward()
    assert teacher.grad is None and logits.grad is None and student.grad is not None


def test_unknown_labels_count_as_zero() -> None:
    logits, label = torch.randn(4, 8), torch.tensor([1, -1, 2, -1])
    known = F.cross_entropy(logits[[0, 2]], label[[0, 2]])
    torch.testing.assert_close(masked_cross_entropy(logits, label), known / 2)
    generated, real, mask = torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.zeros(2, 3)
    assert float(masked_mse(generated, real, mask)) == 0


def test_covariance_is_that_of_numpy() -> None:
    one, other = torch.randn(50, 3), torch.randn(50, 4)
    both = torch.cat((one, other), 1).T
    expected = torch.cov(both, correction=0)[:3, 3:].square().sum()
    torch.testing.assert_close(cross_covariance(one, other), expected)
    assert cross_covariance(one, one) > cross_covariance(one, other)


def test_energy_distance_is_small_between_equal_statistics_only() -> None:
    def random_walk(scale: float) -> torch.Tensor:
        return scale * torch.randn(48, 10, 2).cumsum(1) / 3

    real, like = random_walk(1), random_walk(1)
    static, wild = torch.zeros(48, 10, 2), random_walk(3)
    assert float(energy_distance(real, real)) == pytest.approx(0, abs=1e-3)
    near = energy_distance(like, real)
    assert near < 0.5 * min(energy_distance(static, real), energy_distance(wild, real))
    steady = torch.randn(48, 1, 2).expand_as(like) * real.std()
    restless = torch.randn(48, 10, 2) * real.std()
    # single frames alike, but nothing moves, or everything jumps
    assert near < energy_distance(steady, real) and near < energy_distance(restless, real)


def test_two_processes_have_the_gradient_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(4, 3)
    halves = [half.clone().requires_grad_(True) for half in rows.split(2)]
    whole = rows.clone().requires_grad_(True)
    cross_covariance(whole, whole.square()).backward()

    def gather(into: list[torch.Tensor], x: torch.Tensor) -> None:
        source = rows if torch.equal(x, halves[rank]) else rows.square()
        for kept, part in zip(into, source.split(2), strict=True):
            kept.copy_(part)

    monkeypatch.setattr(distillation.distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distillation.dist, "all_gather", gather)
    for rank, half in enumerate(halves):
        monkeypatch.setattr(distillation.distributed, "rank", lambda rank=rank: rank)
        assert torch.equal(gather_processes(half.detach()), rows)
        cross_covariance(half, half.square()).backward()
    # DDP takes the mean of what each process has
    found = torch.cat([half.grad for half in halves]) / 2
    torch.testing.assert_close(found, whole.grad)
