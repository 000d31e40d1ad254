import numpy as np
import pytest
import torch

from speech2video.models.pose2video.losses import (
    OUTLINE,
    matte_loss,
    reconstruction_loss,
    region_weight_map,
    ssim_loss,
)

GENERATOR = torch.Generator().manual_seed(0)
GENERATED, REAL = (torch.rand(4, 3, 24, 32, generator=GENERATOR) * 2 - 1 for _ in range(2))
BOXES = torch.tensor([[[4.0, 4, 12, 12], [8, 8, 24, 20]]]).expand(4, 2, 4)
PRESENT = torch.tensor([[1.0, 1], [1, 0], [0, 1], [0, 0]])
WEIGHTS = region_weight_map(BOXES, PRESENT, (24, 32), [5, 3])
LOSSES = [reconstruction_loss, ssim_loss]


@pytest.mark.parametrize("loss", LOSSES)
def test_alike_is_zero_and_worse_is_more(loss) -> None:
    assert abs(float(loss(REAL, REAL))) < 1e-6
    errors = [float(loss(REAL + share * (GENERATED - REAL), REAL)) for share in (0.1, 0.3, 1.0)]
    assert 0 < errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("loss", LOSSES)
def test_two_half_batches_are_one_whole(loss) -> None:
    present = torch.tensor([1.0, 0, 1, 1])
    whole = loss(GENERATED, REAL, WEIGHTS, present_N=present)
    halves = [
        loss(GENERATED[h], REAL[h], WEIGHTS[h], present_N=present[h])
        for h in (slice(0, 2), slice(2, 4))
    ]
    torch.testing.assert_close(whole, torch.stack(halves).mean())
    ones = torch.ones(4, 1, 24, 32)
    torch.testing.assert_close(loss(GENERATED, REAL, ones), loss(GENERATED, REAL))
    torch.testing.assert_close(
        loss(GENERATED, REAL, present_N=torch.ones(4)), loss(GENERATED, REAL)
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_absent_items_teach_nothing(loss) -> None:
    generated = GENERATED.clone().requires_grad_()
    loss(generated, REAL, WEIGHTS, present_N=torch.tensor([0.0, 1, 0, 1])).backward()
    assert (generated.grad.flatten(1).abs().sum(1) > 0).tolist() == [False, True, False, True]


@pytest.mark.parametrize("loss", LOSSES)
def test_following_the_slope_finds_the_image(loss) -> None:
    generated = (REAL + 0.3 * GENERATED).requires_grad_()
    optimizer = torch.optim.Adam([generated], lr=0.05)
    before = float(loss(generated, REAL).detach())
    for _ in range(60):
        optimizer.zero_grad()
        loss(generated, REAL).backward()
        optimizer.step()
    assert float(loss(generated, REAL).detach()) < 0.2 * before


def test_ssim_is_that_of_every_window() -> None:
    x, y = (p.double().numpy() for p in (GENERATED * 0.3 + REAL, REAL))
    values = []
    for top in range(0, 24 - 8 + 1, 4):
        for left in range(0, 32 - 8 + 1, 4):
            a, b = (p[..., top : top + 8, left : left + 8] for p in (x, y))
            mean_a, mean_b = a.mean((-2, -1)), b.mean((-2, -1))
            product = ((a - mean_a[..., None, None]) * (b - mean_b[..., None, None])).mean((-2, -1))
            light = (2 * mean_a * mean_b + 0.02**2) / (mean_a**2 + mean_b**2 + 0.02**2)
            detail = (2 * product + 0.06**2) / (a.var((-2, -1)) + b.var((-2, -1)) + 0.06**2)
            values.append(light * detail)
    seen = ssim_loss(GENERATED * 0.3 + REAL, REAL)
    assert float(seen) == pytest.approx(1 - np.mean(values), abs=1e-5)


def test_every_pixel_counts_in_ssim() -> None:
    generated = GENERATED.clone().requires_grad_()
    ssim_loss(generated, REAL).backward()
    assert (generated.grad.abs().amax((0, 1)) > 0).all()


def test_regions_count_by_their_weight_with_mean_one() -> None:
    torch.testing.assert_close(WEIGHTS.mean((1, 2, 3)), torch.ones(4))
    both, first, second, none = WEIGHTS[:, 0]
    assert both[5, 5] / both[0, 0] == pytest.approx(5)
    assert both[18, 20] / both[0, 0] == pytest.approx(3)
    assert both[10, 10] == both[5, 5]  # where regions overlap, the greater
    assert first[18, 20] == first[0, 0] and first[5, 5] / first[0, 0] == pytest.approx(5)
    assert second[5, 5] == second[0, 0]
    assert (none == 1).all()


def test_a_region_weighs_its_area_wherever_it_lies() -> None:
    for left in (3.0, 3.25, 3.6, -2.0):
        boxes = torch.tensor([[[left, 2.5, left + 6, 7.5]]])
        more = region_weight_map(boxes, torch.ones(1, 1), (24, 32), [3])
        area = 5 * (min(left + 6, 32) - max(left, 0))
        background = float(more.min())
        assert float((more / background - 1).sum()) == pytest.approx(2 * area, abs=1e-3)


def test_an_error_in_a_region_counts_more() -> None:
    inside, outside = REAL.clone(), REAL.clone()
    inside[..., 4:12, 4:12] += 0.2
    outside[..., 14:22, 22:30] += 0.2
    for loss in LOSSES:
        assert loss(inside[:1], REAL[:1], WEIGHTS[:1]) > 2 * loss(
            outside[:1], REAL[:1], WEIGHTS[:1]
        )


def test_the_best_matte_is_the_person() -> None:
    """A bright square before a grey wall: alpha is asked to be 1 in it and 0 outside."""
    background = torch.full((1, 3, 32, 32), 0.1)
    person = torch.zeros(2, 1, 32, 32)
    person[:, :, 8:24, 8:24] = 1
    real = background + 0.7 * person
    alpha = torch.full((2, 1, 32, 32), 0.5, requires_grad=True)
    matte_loss(alpha, background, real).backward()
    margin = OUTLINE // 2
    inside = torch.zeros_like(person, dtype=torch.bool)
    inside[:, :, 8 + margin : 24 - margin, 8 + margin : 24 - margin] = True
    assert (alpha.grad[inside] < 0).all(), "the loss falls as alpha rises"
    assert (alpha.grad[person == 0] > 0).all()
    outline = (person > 0) & ~inside
    assert alpha.grad[outline].abs().max() < 0.05 * alpha.grad[inside].abs().min()
    assert matte_loss(person, background, real) < 0.1 * matte_loss(1 - person, background, real)
