"""Picture, points and view change together; colours by what was drawn; nothing where not asked."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from speech2video.data.picture_augmentation import PictureAugmentation, PictureChange
from tests.picture_clips import texture

NO_COLOUR = {"brightness": None, "contrast": None, "saturation": None}
WIDE = PictureAugmentation(scale=(0.8, 1.25), shift=(-0.1, 0.1), probability=1, **NO_COLOUR)
SIZES = [(96, 96), (128, 80)]


def changes(width: int, height: int, augmentation: PictureAugmentation = WIDE):
    for seed in range(8):
        yield augmentation.draw(np.random.default_rng(seed), width=width, height=height)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_is_identity(width: int, height: int):
    picture, points = texture(height, width), np.random.default_rng(0).uniform(0, 90, (4, 2))
    never = PictureAugmentation(probability=0)
    nothing = PictureAugmentation(scale=None, shift=None, probability=1, **NO_COLOUR)
    rests = (1, 1), (0, 0)
    at_rest = PictureAugmentation(scale=rests[0], shift=rests[1], probability=1, **NO_COLOUR)
    for augmentation in (never, nothing, at_rest):
        for change in changes(width, height, augmentation):
            assert np.array_equal(change.picture(picture), picture)
            assert np.array_equal(change.points(points), points)
            assert np.array_equal(change.view(), np.eye(2, 3, dtype=np.float32))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_what_is_drawn_at_a_point_is_found_where_the_point_goes(width: int, height: int):
    point = np.array((0.45 * width, 0.55 * height))
    x_W, y_H = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    spot = 250 * np.exp(-((x_W - point[0]) ** 2 + (y_H - point[1]) ** 2) / (2 * 4**2))
    for change in changes(width, height):
        moved = change.picture(np.repeat(spot[..., None], 3, -1).astype(np.uint8))[..., 0]
        moments = cv2.moments(np.where(moved > 10, moved, 0).astype(np.float32))
        found = np.array((moments["m10"], moments["m01"])) / moments["m00"] + 0.5
        np.testing.assert_allclose(found, change.points(point), atol=0.1)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_view_samples_the_changed_picture_out_of_the_resting_one(width: int, height: int):
    picture = cv2.GaussianBlur(texture(height, width), (0, 0), 2)
    resting = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    for change in changes(width, height):
        grid = F.affine_grid(
            torch.from_numpy(change.view())[None], list(resting.shape), align_corners=False
        )
        seen = F.grid_sample(
            resting, grid, mode="bicubic", padding_mode="border", align_corners=False
        )
        changed = torch.from_numpy(change.picture(picture)).permute(2, 0, 1)
        off = (seen[0] - changed).abs()[:, 4:-4, 4:-4]
        inside = (grid[0, 4:-4, 4:-4].abs() < 0.93).all(-1)
        assert inside.float().mean() > 0.4 and off[:, inside].max() < 4


def test_boxes_and_scales_stay_in_their_ranges():
    for change in changes(200, 200):
        width, height = change.box[2:]
        assert width == height and 200 / 1.26 < width < 200 / 0.79
        middle = change.points(np.array((100.0, 100.0)))
        assert np.abs(middle - 100).max() <= 0.1 * 200 + 1


def test_each_colour_changes_what_it_says():
    picture = np.clip(texture(64, 64), 60, 190)
    grey = np.full((8, 8, 3), 100, np.uint8)
    brighter = draw(brightness=(0.1, 0.1))
    assert brighter.picture(grey) == pytest.approx(np.full_like(grey, 126), abs=1)
    harder = draw(contrast=(1.2, 1.2)).picture(picture)
    assert harder.std() == pytest.approx(1.2 * picture.std(), rel=0.02)
    no_colour = draw(saturation=(1e-6, 1e-6)).picture(picture)
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    assert np.abs(no_colour.astype(int) - luma[..., None]).max() <= 1


def test_equal_generators_give_equal_changes():
    one, same = (
        PictureAugmentation().draw(np.random.default_rng(3), width=64, height=64) for _ in "ab"
    )
    assert one.box == same.box and np.array_equal(one.colour_34, same.colour_34)


def draw(**ranges: tuple[float, float]) -> PictureChange:
    augmentation = PictureAugmentation(scale=None, shift=None, probability=1, **NO_COLOUR | ranges)
    return augmentation.draw(np.random.default_rng(0), width=64, height=64)
