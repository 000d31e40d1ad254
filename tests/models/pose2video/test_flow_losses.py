import pytest
import torch

from speech2video.models.pose2video.losses import flow_loss, resize_flow, warp_loss

FLOW = torch.randn(2, 2, 12, 16, generator=torch.Generator().manual_seed(0))
ALL = torch.ones(2, 12, 16)


def zoom(height: int, width: int) -> torch.Tensor:
    """Return the flow of a image that grows about its middle, in pixels of its size."""
    right = (torch.arange(width) + 0.5 - width / 2) * 0.1
    down = (torch.arange(height) + 0.5 - height / 2) * 0.1
    grid = torch.meshgrid(down, right, indexing="ij")
    return torch.stack((grid[1], grid[0]))[None]


@pytest.mark.parametrize("size", [(24, 32), (12, 16), (96, 64), (48, 128)])
def test_a_flow_of_another_size_is_the_same_motion(size: tuple[int, int]) -> None:
    resized = resize_flow(zoom(48, 64), size)
    edge = 4  # where there is nothing to interpolate with
    inside = (..., slice(edge, -edge), slice(edge, -edge))
    torch.testing.assert_close(resized[inside], zoom(*size)[inside], atol=1e-4, rtol=1e-4)


def test_the_truth_has_no_error_and_a_pixel_off_is_one() -> None:
    assert flow_loss(FLOW, FLOW, ALL) == 0
    off = FLOW + torch.tensor([1.0, -0.5]).view(2, 1, 1)
    assert flow_loss(off, FLOW, ALL) == pytest.approx(1.5, abs=1e-5)
    assert flow_loss(torch.full((2, 2, 6, 8), 0.5), torch.ones(2, 2, 12, 16), ALL) == 0


def test_untrusted_pixels_have_no_gradient() -> None:
    trust = ALL.clone()
    trust[:, :, 4:] = 0
    flow = FLOW.clone().requires_grad_()
    error = flow_loss(flow, FLOW + 1, trust)
    error.backward()
    assert error.detach() == pytest.approx(2 / 4, abs=1e-5)
    assert flow.grad[..., 4:].abs().sum() == 0 and flow.grad[..., :4].abs().min() > 0


@pytest.mark.parametrize("shape", [(2, 12, 16), (2, 1, 12, 16)])
def test_trust_may_be_bytes(shape: tuple[int, ...]) -> None:
    trust = (torch.rand(shape) > 0.5).float()
    of_bytes = (trust * 255).to(torch.uint8)
    ground_truth = FLOW.half()
    for one, other in ((trust, of_bytes), (trust, trust.bool().float())):
        torch.testing.assert_close(
            flow_loss(FLOW * 2, ground_truth, one), flow_loss(FLOW * 2, ground_truth, other)
        )


def test_the_true_motion_explains_the_frame() -> None:
    before = torch.rand(1, 3, 12, 16)
    frame = before.roll((2, -1), (-1, -2))  # two to the right, one up
    flow = torch.tensor([-2.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 12, 16)
    trust = torch.zeros(1, 12, 16)
    trust[:, :-1, 2:] = 1
    assert warp_loss(flow, before, frame, trust) < 1e-5
    assert warp_loss(-flow, before, frame, trust) > 0.1
    half = flow[..., ::2, ::2] / 2
    assert warp_loss(half, before, frame, trust) < 1e-5


def test_two_half_batches_are_one_whole() -> None:
    trust, ground_truth = torch.rand(2, 12, 16), FLOW.flip(0)
    frames = torch.rand(2, 2, 3, 12, 16)
    for loss, others in ((flow_loss, (ground_truth,)), (warp_loss, tuple(frames))):
        whole = loss(FLOW, *others, trust)
        halves = [
            loss(FLOW[n : n + 1], *(o[n : n + 1] for o in others), trust[n : n + 1]) for n in (0, 1)
        ]
        torch.testing.assert_close(whole, torch.stack(halves).mean())


def test_warping_trains_the_flow() -> None:
    flow = torch.zeros(1, 2, 12, 16, requires_grad=True)
    x = torch.arange(16.0).expand(1, 3, 12, 16) / 8 - 1
    warp_loss(flow, x, x + 0.25, torch.ones(1, 12, 16)).backward()
    inside = flow.grad[..., 1:-1]  # a border pixel sees no further than itself
    assert (inside[:, 0] < 0).all() and inside[:, 1].abs().max() < 1e-6
