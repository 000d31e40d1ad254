"""Augmentation: images, points and views change together; map noise; crops."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from speech2video.data.pose2video.augmentation import (
    DROPPED_PARTS,
    FACE,
    GRID,
    HANDS,
    LIPS,
    ImageAugmentation,
    ImageTransform,
    MapNoise,
    crop_item,
    random_crops,
)
from speech2video.util.body.skeleton import POINT_INDEX
from tests.video_clips import texture

NO_COLOUR = {"brightness": (0, 0), "contrast": (1, 1), "saturation": (1, 1)}
NO_MOTION = {"scale": (1, 1), "shift": (0, 0)}
WIDE = ImageAugmentation(scale=(0.8, 1.25), shift=(-0.1, 0.1), probability=1, **NO_COLOUR)
SIZES = [(96, 96), (128, 80)]


def changes(width: int, height: int, augmentation: ImageAugmentation = WIDE):
    for seed in range(8):
        yield augmentation.draw(np.random.default_rng(seed), width=width, height=height)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_is_identity(width: int, height: int):
    image, points = texture(height, width), np.random.default_rng(0).uniform(0, 90, (4, 2))
    never = ImageAugmentation(probability=0)
    identity = ImageAugmentation(probability=1, **NO_MOTION, **NO_COLOUR)
    for augmentation in (never, identity):
        for change in changes(width, height, augmentation):
            assert np.array_equal(change.image(image), image)
            assert np.array_equal(change.points(points), points)
            assert np.array_equal(change.view(), np.eye(2, 3, dtype=np.float32))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_what_is_drawn_at_a_point_is_found_where_the_point_goes(width: int, height: int):
    point = np.array((0.45 * width, 0.55 * height))
    x_W, y_H = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    spot = 250 * np.exp(-((x_W - point[0]) ** 2 + (y_H - point[1]) ** 2) / (2 * 4**2))
    for change in changes(width, height):
        moved = change.image(np.repeat(spot[..., None], 3, -1).astype(np.uint8))[..., 0]
        moments = cv2.moments(np.where(moved > 10, moved, 0).astype(np.float32))
        found = np.array((moments["m10"], moments["m01"])) / moments["m00"] + 0.5
        np.testing.assert_allclose(found, change.points(point), atol=0.1)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_view_samples_the_changed_image_out_of_the_resting_one(width: int, height: int):
    image = cv2.GaussianBlur(texture(height, width), (0, 0), 2)
    resting = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    for change in changes(width, height):
        grid = F.affine_grid(
            torch.from_numpy(change.view())[None], list(resting.shape), align_corners=False
        )
        seen = F.grid_sample(
            resting, grid, mode="bicubic", padding_mode="border", align_corners=False
        )
        changed = torch.from_numpy(change.image(image)).permute(2, 0, 1)
        off = (seen[0] - changed).abs()[:, 4:-4, 4:-4]
        inside = (grid[0, 4:-4, 4:-4].abs() < 0.93).all(-1)
        assert inside.float().mean() > 0.4 and off[:, inside].max() < 4


def test_boxes_and_scales_stay_in_their_ranges():
    for change in changes(200, 200):
        width, height = change.box[2:]
        assert width == height and 200 / 1.26 < width < 200 / 0.79
        middle = change.points(np.array((100.0, 100.0)))
        assert np.abs(middle - 100).max() <= 0.1 * 200 + 1


def test_each_colour_range_has_its_effect():
    image = np.clip(texture(64, 64), 60, 190)
    grey = np.full((64, 64, 3), 100, np.uint8)
    brighter = draw(brightness=(0.1, 0.1))
    assert brighter.image(grey) == pytest.approx(np.full_like(grey, 126), abs=1)
    harder = draw(contrast=(1.2, 1.2)).image(image)
    assert harder.std() == pytest.approx(1.2 * image.std(), rel=0.02)
    no_colour = draw(saturation=(1e-6, 1e-6)).image(image)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    assert np.abs(no_colour.astype(int) - luma[..., None]).max() <= 1


def test_equal_generators_give_equal_changes():
    one, same = (
        ImageAugmentation().draw(np.random.default_rng(3), width=64, height=64) for _ in "ab"
    )
    assert one.box == same.box and np.array_equal(one.colour_34, same.colour_34)


def draw(**ranges: tuple[float, float]) -> ImageTransform:
    augmentation = ImageAugmentation(probability=1, **NO_MOTION, **NO_COLOUR | ranges)
    return augmentation.draw(np.random.default_rng(0), width=64, height=64)


# Map noise

SIZE, FRAMES = 1000, 4000
POINTS_TK2 = np.full((FRAMES, 144, 2), 500.0, np.float32)
NO_SHIFT = {"body": 0, "fingers": 0, "face": 0, "lips": 0, "hand": 0, "head": 0}
NOTHING_MISSING = {"part": 0, "point": 0}


def noisy(noise: MapNoise, seed: int = 0) -> np.ndarray:
    return noise.apply(POINTS_TK2, size=SIZE, rng=np.random.default_rng(seed))


def test_equal_generators_give_equal_noise_and_leave_the_points_alone():
    one, same, other = noisy(MapNoise()), noisy(MapNoise()), noisy(MapNoise(), 1)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other) and (POINTS_TK2 == 500).all()
    assert one.dtype == POINTS_TK2.dtype


def test_no_noise_changes_nothing():
    assert np.array_equal(noisy(MapNoise(**NO_SHIFT, **NOTHING_MISSING)), POINTS_TK2)


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("fingers", HANDS[0] + HANDS[1]),
        ("face", FACE),
        ("lips", LIPS),
        ("body", [POINT_INDEX["left_elbow"]]),
    ],
)
def test_points_shift_by_the_given_amount(name: str, points: list[int]):
    shift = noisy(MapNoise(**NO_SHIFT | {name: 0.01}, **NOTHING_MISSING))[:, points] - 500
    assert shift.std() == pytest.approx(0.01 * SIZE, rel=0.25)
    steps = np.diff(shift, axis=0).std()
    assert steps < 0.5 * shift.std()  # smooth: frames lie nearer than any two moments
    others = np.setdiff1d(np.arange(144), points)
    if name != "body":
        assert (
            noisy(MapNoise(**NO_SHIFT | {name: 0.01}, **NOTHING_MISSING))[:, others] == 500
        ).all()


@pytest.mark.parametrize(("name", "points"), [("hand", HANDS[0]), ("head", FACE + LIPS)])
def test_a_part_shifts_as_a_whole(name: str, points: list[int]):
    shift = noisy(MapNoise(**NO_SHIFT | {name: 0.01}, **NOTHING_MISSING))[:, points] - 500
    assert shift.std() == pytest.approx(0.01 * SIZE, rel=0.3)
    np.testing.assert_allclose(shift, shift[:, :1].repeat(len(points), 1), atol=1e-3)


@pytest.mark.parametrize("frames", [4.0, 20.0])
def test_parts_are_missing_for_their_share_in_intervals(frames: float):
    noise = MapNoise(**NO_SHIFT, part=0.1, point=0, frames=frames)
    missing = np.isnan(np.concatenate([noisy(noise, seed) for seed in range(4)])).any(-1)
    parts_TN = np.stack([missing[:, part].any(1) for part in DROPPED_PARTS], 1)
    assert parts_TN.mean() == pytest.approx(0.1, rel=0.2)
    begins = np.diff(parts_TN.astype(int), axis=0) == 1
    assert parts_TN.sum() / begins.sum() == pytest.approx(frames, rel=0.2)
    assert (missing[:, HANDS[0]].all(1) == missing[:, HANDS[0]].any(1)).all()


def test_lips_and_limbs_are_never_missing():
    missing = np.isnan(noisy(MapNoise(part=0.3, point=0.3))).any((0, 2))
    assert (
        not missing[LIPS].any()
        and not missing[[POINT_INDEX["left_wrist"], POINT_INDEX["neck"]]].any()
    )
    assert missing[HANDS[0] + HANDS[1] + FACE].all()


def test_times_makes_it_stronger_and_zero_none():
    assert np.array_equal(noisy(MapNoise().times(0)), POINTS_TK2)
    twice = np.nanstd(noisy(MapNoise().times(2)) - 500)
    assert twice == pytest.approx(2 * np.nanstd(noisy(MapNoise()) - 500), rel=0.2)


HEIGHT, WIDTH, SIDE = 96, 128, 32


@pytest.fixture
def item() -> dict[str, torch.Tensor]:
    """An item of two frames whose left hand is out of the image."""
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


def corner(crop: dict[str, torch.Tensor]) -> tuple[int, int]:
    """Return where in the image a crop begins (x, y), pixels, of its view."""
    x = (crop["view"][0, 2] - SIDE / WIDTH + 1) * WIDTH / 2
    y = (crop["view"][1, 2] - SIDE / HEIGHT + 1) * HEIGHT / 2
    assert abs(x - x.round()) < 1e-3 and abs(y - y.round()) < 1e-3
    return round(float(x)), round(float(y))


def test_a_crop_shows_its_region_at_its_box(item: dict[str, torch.Tensor]) -> None:
    crops = random_crops(item, size=SIDE, rng=np.random.default_rng(0))
    assert len(crops) == 4
    for region, crop in ((0, crops[0]), (2, crops[2])):
        assert crop["present"][0, region] == 1
        x0, y0, x1, y1 = crop["boxes"][0, region].int().tolist()
        dx, dy = corner(crop)
        whole = item["boxes"][0, region].int().tolist()
        assert [x1 + dx, y1 + dy] == [min(whole[2], dx + SIDE), min(whole[3], dy + SIDE)]
        seen = crop["frames"][0, :, y0:y1, x0:x1]
        assert torch.equal(seen, item["frames"][0, :, y0 + dy : y1 + dy, x0 + dx : x1 + dx])


def test_a_region_outside_the_crop_is_absent(item: dict[str, torch.Tensor]) -> None:
    crop = crop_item(item, 0, 64, SIDE)
    assert not crop["present"].any() and not crop["boxes"].any()


def test_a_region_larger_than_the_crop_is_present_if_it_fills_it(
    item: dict[str, torch.Tensor],
) -> None:
    item["boxes"][:, 0] = torch.tensor([20.0, 4, 110, 90])
    crop = crop_item(item, 2 * GRID, GRID, SIDE)
    assert crop["present"][:, 0].all()
    assert crop["boxes"][0, 0].tolist() == [0, 0, SIDE, SIDE]


def test_the_view_samples_the_crop(item: dict[str, torch.Tensor]) -> None:
    crop = crop_item(item, 2 * GRID, GRID, SIDE)
    whole = item["frames"][:1].float()
    grid = F.affine_grid(crop["view"][None], (1, 3, SIDE, SIDE), align_corners=False)
    seen = F.grid_sample(whole, grid, align_corners=False)
    assert torch.allclose(seen, crop["frames"][:1].float(), atol=1e-2)


def test_crops_of_a_moved_image_lead_back_to_the_original_one(
    item: dict[str, torch.Tensor],
) -> None:
    view = torch.tensor([[0.5, 0, 0.25], [0, 0.5, -0.25]])
    crop = crop_item(item | {"view": view}, GRID, 0, SIDE)
    corner = torch.tensor([[-1.0], [-1.0], [1.0]])  # of the crop: pixel (16, 0) of the image
    there = view @ torch.tensor([[2 * GRID / WIDTH - 1], [-1.0], [1.0]])
    assert torch.allclose(crop["view"] @ corner, there)


def test_crops_lie_on_the_grid_and_in_the_image(item: dict[str, torch.Tensor]) -> None:
    for seed in range(20):
        for crop in random_crops(item, size=SIDE, rng=np.random.default_rng(seed)):
            assert crop["frames"].shape == (2, 3, SIDE, SIDE)
            x, y = corner(crop)
            assert x % GRID == 0 and 0 <= x <= WIDTH - SIDE
            assert y % GRID == 0 and 0 <= y <= HEIGHT - SIDE
