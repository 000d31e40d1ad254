import torch

from speech2video.models.networks.warping import warp

PICTURE = torch.rand(2, 3, 6, 9, generator=torch.Generator().manual_seed(0))


def flow(right: float, down: float) -> torch.Tensor:
    return torch.tensor([right, down]).view(1, 2, 1, 1).expand(2, 2, 6, 9)


def test_no_flow_moves_nothing() -> None:
    torch.testing.assert_close(warp(PICTURE, flow(0, 0)), PICTURE)


def test_whole_pixels_shift_and_the_border_stays() -> None:
    moved = warp(PICTURE, flow(2, -1))
    torch.testing.assert_close(moved[..., 1:, :-2], PICTURE[..., :-1, 2:])
    torch.testing.assert_close(moved[..., 0, :-2], PICTURE[..., 0, 2:])
    torch.testing.assert_close(moved[..., 1:, -1], PICTURE[..., :-1, -1])


def test_half_a_pixel_is_the_mean_of_two() -> None:
    moved = warp(PICTURE, flow(0, 0.5))
    torch.testing.assert_close(moved[..., :-1, :], (PICTURE[..., :-1, :] + PICTURE[..., 1:, :]) / 2)


def test_positions_are_exact_in_a_wide_picture_of_16_bits() -> None:
    picture = torch.rand(1, 1, 2, 2000).bfloat16()
    moved = warp(
        picture, torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2000).bfloat16()
    )
    torch.testing.assert_close(moved[..., :-1], picture[..., 1:].float(), atol=1e-3, rtol=0)
