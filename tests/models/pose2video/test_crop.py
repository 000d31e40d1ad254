"""Crops: exact where they can be, smooth where they must be, empty where nothing is."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from speech2video.models.pose2video.discriminators import crop

IMAGE = torch.rand(1, 2, 20, 30, generator=torch.Generator().manual_seed(0))


def box(*ends: float) -> torch.Tensor:
    return torch.tensor([ends], dtype=torch.float32)


def test_a_box_of_whole_pixels_is_copied() -> None:
    torch.testing.assert_close(crop(IMAGE, box(7, 3, 23, 19), 16), IMAGE[..., 3:19, 7:23])
    square = IMAGE[..., :20, :20]
    torch.testing.assert_close(crop(square, box(0, 0, 20, 20), 20), square)


@pytest.mark.parametrize("times", [2, 3, 4])
def test_a_large_box_is_averaged(times: int) -> None:
    image = torch.rand(1, 3, 48, 48)
    mean = F.avg_pool2d(image, times)
    torch.testing.assert_close(crop(image, box(0, 0, 48, 48), 48 // times), mean)


@pytest.mark.parametrize("ends", [(5.3, 4.1, 12.9, 11.7), (1, 1, 29, 19), (3.3, 2.2, 18.9, 17.8)])
def test_a_ramp_stays_a_ramp(ends: tuple[float, ...]) -> None:
    y, x = torch.meshgrid(torch.arange(20) + 0.5, torch.arange(30) + 0.5, indexing="ij")
    middles = (torch.arange(8) + 0.5) / 8
    x0, y0, x1, y1 = ends
    seen = crop(torch.stack((x, y))[None], box(*ends), 8)[0]
    torch.testing.assert_close(seen[0], (x0 + (x1 - x0) * middles).expand(8, 8))
    torch.testing.assert_close(seen[1], (y0 + (y1 - y0) * middles)[:, None].expand(8, 8))


@pytest.mark.parametrize(
    "ends", [(5.3, 4.1, 12.9, 11.7), (-6.2, 3.0, 9.8, 19.0), (14.5, 8.5, 40, 34), (-9, -9, 39, 29)]
)
def test_it_is_the_mean_of_samples_and_zero_outside(ends: tuple[float, ...]) -> None:
    seen = crop(IMAGE, box(*ends), 6)[0].numpy()
    np.testing.assert_allclose(seen, reference(IMAGE[0].numpy(), ends, 6), atol=1e-5)


def reference(image: np.ndarray, ends: tuple[float, ...], size: int) -> np.ndarray:
    """Return the crop, sample by sample; the outermost half pixel repeats itself once outside."""
    x0, y0, x1, y1 = ends
    across, down = (x1 - x0) / size, (y1 - y0) / size
    m, n = int(np.ceil(across)), int(np.ceil(down))
    result = np.zeros((len(image), size, size))
    for i, j, k, q in np.ndindex(size, size, n, m):
        y = y0 + (i + (k + 0.5) / n) * down - 0.5
        x = x0 + (j + (q + 0.5) / m) * across - 0.5
        result[:, i, j] += sample(image, y, x) / (m * n)
    return result


def sample(image: np.ndarray, y: float, x: float) -> np.ndarray:
    height, width = image.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(len(image))
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    top, left = min(int(y), height - 2), min(int(x), width - 2)
    u, v = y - top, x - left
    patch = image[:, top : top + 2, left : left + 2]
    return np.einsum("cij,i,j->c", patch, [1 - u, u], [1 - v, v])


def test_fine_stripes_turn_grey_and_do_not_alias() -> None:
    stripes = (torch.arange(96) % 2).float().expand(1, 1, 96, 96) * 2 - 1
    assert crop(stripes, box(0.7, 0.2, 95.2, 94.7), 24).abs().mean() < 0.15


def test_absent_and_outside_are_zero() -> None:
    boxes = torch.tensor([[0, 0, 0, 0], [50, 50, 70, 70], [-30, 0, -10, 20]], dtype=torch.float32)
    assert crop(IMAGE.expand(3, 2, 20, 30), boxes, 8).abs().max() == 0


def test_each_image_has_its_own_box() -> None:
    boxes = torch.cat((box(1, 2, 9, 10), box(12.5, 3.5, 22.1, 13.1)))
    both = crop(torch.cat((IMAGE, -IMAGE)), boxes, 8)
    alone = [crop(p, b[None], 8) for p, b in zip((IMAGE, -IMAGE), boxes, strict=True)]
    torch.testing.assert_close(both, torch.cat(alone))


def test_gradients_go_to_the_images_alone() -> None:
    image, boxes = IMAGE.clone().requires_grad_(), box(-3.2, 2.1, 12.4, 17.7).requires_grad_()
    seen = crop(image, boxes, 8)
    weight = torch.rand_like(seen)
    (seen * weight).sum().backward()
    assert boxes.grad is None
    # a crop is linear, so what its gradient says of the image is what the crop is
    torch.testing.assert_close((image * image.grad).sum(), (seen * weight).sum())


def test_sixteen_bits_are_taken() -> None:
    seen = crop(IMAGE.bfloat16(), box(7, 3, 23, 19), 16)
    assert seen.dtype == torch.float32
    torch.testing.assert_close(seen, IMAGE[..., 3:19, 7:23], atol=4e-3, rtol=0)
