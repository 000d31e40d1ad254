import numpy as np
import pytest
import torch
import torch.nn.functional as F

from speech2video.data.picture_windows import GRID, cut, windows_of

HEIGHT, WIDTH, SIDE = 96, 128, 32


@pytest.fixture
def item() -> dict[str, torch.Tensor]:
    """An item of two frames whose left hand is out of the picture."""
    random = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, 3, HEIGHT, WIDTH), generator=random, dtype=torch.uint8)
    boxes = torch.tensor([[50, 10, 70, 30], [0, 0, 0, 0], [90, 60, 110, 80], [58, 22, 64, 28]])
    present = torch.tensor([1.0, 0, 1, 1])
    return {
        "maps": torch.cat([frames, frames]),
        "frames": frames,
        "boxes": boxes.float().repeat(2, 1, 1),
        "present": present.repeat(2, 1),
        "view": torch.eye(3)[:2],
    }


def corner(window: dict[str, torch.Tensor]) -> tuple[int, int]:
    """Return where in the picture a window begins (x, y), pixels, of its view."""
    x = (window["view"][0, 2] - SIDE / WIDTH + 1) * WIDTH / 2
    y = (window["view"][1, 2] - SIDE / HEIGHT + 1) * HEIGHT / 2
    assert abs(x - x.round()) < 1e-3 and abs(y - y.round()) < 1e-3
    return round(float(x)), round(float(y))


def test_a_window_holds_its_part_where_the_boxes_say(item: dict[str, torch.Tensor]) -> None:
    windows = windows_of(item, side=SIDE, random=np.random.default_rng(0))
    assert len(windows) == 4
    for part, window in ((0, windows[0]), (2, windows[2])):
        assert window["present"][0, part] == 1
        x0, y0, x1, y1 = window["boxes"][0, part].int().tolist()
        dx, dy = corner(window)
        whole = item["boxes"][0, part].int().tolist()
        assert [x1 + dx, y1 + dy] == [min(whole[2], dx + SIDE), min(whole[3], dy + SIDE)]
        seen = window["frames"][0, :, y0:y1, x0:x1]
        assert torch.equal(seen, item["frames"][0, :, y0 + dy : y1 + dy, x0 + dx : x1 + dx])


def test_a_part_outside_the_window_is_not_judged(item: dict[str, torch.Tensor]) -> None:
    window = cut(item, 0, 64, SIDE)
    assert not window["present"].any() and not window["boxes"].any()


def test_a_part_larger_than_the_window_is_judged_by_what_is_seen(
    item: dict[str, torch.Tensor],
) -> None:
    item["boxes"][:, 0] = torch.tensor([20.0, 4, 110, 90])
    window = cut(item, 2 * GRID, GRID, SIDE)
    assert window["present"][:, 0].all()
    assert window["boxes"][0, 0].tolist() == [0, 0, SIDE, SIDE]


def test_the_view_says_where_a_window_was_cut(item: dict[str, torch.Tensor]) -> None:
    window = cut(item, 2 * GRID, GRID, SIDE)
    whole = item["frames"][:1].float()
    grid = F.affine_grid(window["view"][None], (1, 3, SIDE, SIDE), align_corners=False)
    seen = F.grid_sample(whole, grid, align_corners=False)
    assert torch.allclose(seen, window["frames"][:1].float(), atol=1e-2)


def test_windows_of_a_moved_picture_lead_back_to_the_resting_one(
    item: dict[str, torch.Tensor],
) -> None:
    view = torch.tensor([[0.5, 0, 0.25], [0, 0.5, -0.25]])
    window = cut(item | {"view": view}, GRID, 0, SIDE)
    corner = torch.tensor([[-1.0], [-1.0], [1.0]])  # of the window: pixel (16, 0) of the picture
    there = view @ torch.tensor([[2 * GRID / WIDTH - 1], [-1.0], [1.0]])
    assert torch.allclose(window["view"] @ corner, there)


def test_windows_lie_on_the_grid_and_in_the_picture(item: dict[str, torch.Tensor]) -> None:
    for seed in range(20):
        for window in windows_of(item, side=SIDE, random=np.random.default_rng(seed)):
            assert window["frames"].shape == (2, 3, SIDE, SIDE)
            x, y = corner(window)
            assert x % GRID == 0 and 0 <= x <= WIDTH - SIDE
            assert y % GRID == 0 and 0 <= y <= HEIGHT - SIDE
