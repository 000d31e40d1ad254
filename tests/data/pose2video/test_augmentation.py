"""Picture, points and view change together; colours by what was drawn; nothing where not asked."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from speech2video.data.pose2video.augmentation import (
    FACE,
    GRID,
    HANDS,
    LIPS,
    PARTS,
    ImageAugmentation,
    ImageTransform,
    MapNoise,
    cut_window,
    cut_windows,
)
from speech2video.util.body.skeleton import POINT_INDEX
from tests.video_clips import texture

NO_COLOUR = {"brightness": None, "contrast": None, "saturation": None}
WIDE = ImageAugmentation(scale=(0.8, 1.25), shift=(-0.1, 0.1), probability=1, **NO_COLOUR)
SIZES = [(96, 96), (128, 80)]


def changes(width: int, height: int, augmentation: ImageAugmentation = WIDE):
    for seed in range(8):
        yield augmentation.draw(np.random.default_rng(seed), width=width, height=height)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_is_identity(width: int, height: int):
    image, points = texture(height, width), np.random.default_rng(0).uniform(0, 90, (4, 2))
    never = ImageAugmentation(probability=0)
    nothing = ImageAugmentation(scale=None, shift=None, probability=1, **NO_COLOUR)
    rests = (1, 1), (0, 0)
    at_rest = ImageAugmentation(scale=rests[0], shift=rests[1], probability=1, **NO_COLOUR)
    for augmentation in (never, nothing, at_rest):
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
def test_the_view_samples_the_changed_picture_out_of_the_resting_one(width: int, height: int):
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


def test_each_colour_changes_what_it_says():
    image = np.clip(texture(64, 64), 60, 190)
    grey = np.full((8, 8, 3), 100, np.uint8)
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
    augmentation = ImageAugmentation(scale=None, shift=None, probability=1, **NO_COLOUR | ranges)
    return augmentation.draw(np.random.default_rng(0), width=64, height=64)


# Noise on points: as large as asked, smooth, lips least, and stretches that are missing.

SIZE, FRAMES = 1000, 4000
POINTS_TK2 = np.full((FRAMES, 144, 2), 500.0, np.float32)
STILL = {"body": 0, "fingers": 0, "face": 0, "lips": 0, "hand": 0, "head": 0}
WHOLE = {"part": 0, "point": 0}


def noisy(noise: MapNoise, seed: int = 0) -> np.ndarray:
    return noise.apply(POINTS_TK2, size=SIZE, rng=np.random.default_rng(seed))


def test_equal_generators_give_equal_noise_and_leave_the_points_alone():
    one, same, other = noisy(MapNoise()), noisy(MapNoise()), noisy(MapNoise(), 1)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other) and (POINTS_TK2 == 500).all()
    assert one.dtype == POINTS_TK2.dtype


def test_no_noise_changes_nothing():
    assert np.array_equal(noisy(MapNoise(**STILL, **WHOLE)), POINTS_TK2)


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("fingers", HANDS[0] + HANDS[1]),
        ("face", FACE),
        ("lips", LIPS),
        ("body", [POINT_INDEX["left_elbow"]]),
    ],
)
def test_points_wander_by_as_much_as_asked(name: str, points: list[int]):
    wander = noisy(MapNoise(**STILL | {name: 0.01}, **WHOLE))[:, points] - 500
    assert wander.std() == pytest.approx(0.01 * SIZE, rel=0.25)
    steps = np.diff(wander, axis=0).std()
    assert steps < 0.5 * wander.std()  # smooth: frames lie nearer than any two moments
    others = np.setdiff1d(np.arange(144), points)
    if name != "body":
        assert (noisy(MapNoise(**STILL | {name: 0.01}, **WHOLE))[:, others] == 500).all()


@pytest.mark.parametrize(("name", "points"), [("hand", HANDS[0]), ("head", FACE + LIPS)])
def test_a_part_wanders_as_one(name: str, points: list[int]):
    wander = noisy(MapNoise(**STILL | {name: 0.01}, **WHOLE))[:, points] - 500
    assert wander.std() == pytest.approx(0.01 * SIZE, rel=0.3)
    np.testing.assert_allclose(wander, wander[:, :1].repeat(len(points), 1), atol=1e-3)


@pytest.mark.parametrize("frames", [4.0, 20.0])
def test_parts_are_missing_for_their_share_in_stretches(frames: float):
    noise = MapNoise(**STILL, part=0.1, point=0, frames=frames)
    missing = np.isnan(np.concatenate([noisy(noise, seed) for seed in range(4)])).any(-1)
    parts_TN = np.stack([missing[:, part].any(1) for part in PARTS], 1)
    assert parts_TN.mean() == pytest.approx(0.1, rel=0.2)
    begins = np.diff(parts_TN.astype(int), axis=0) == 1
    assert parts_TN.sum() / begins.sum() == pytest.approx(frames, rel=0.2)
    assert (missing[:, HANDS[0]].all(1) == missing[:, HANDS[0]].any(1)).all()


def test_lips_and_limbs_are_never_missing():
    gone = np.isnan(noisy(MapNoise(part=0.3, point=0.3))).any((0, 2))
    assert not gone[LIPS].any() and not gone[[POINT_INDEX["left_wrist"], POINT_INDEX["neck"]]].any()
    assert gone[HANDS[0] + HANDS[1] + FACE].all()


def test_times_makes_it_stronger_and_zero_none():
    assert np.array_equal(noisy(MapNoise().times(0)), POINTS_TK2)
    twice = np.nanstd(noisy(MapNoise().times(2)) - 500)
    assert twice == pytest.approx(2 * np.nanstd(noisy(MapNoise()) - 500), rel=0.2)


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
    windows = cut_windows(item, side=SIDE, random=np.random.default_rng(0))
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
    window = cut_window(item, 0, 64, SIDE)
    assert not window["present"].any() and not window["boxes"].any()


def test_a_part_larger_than_the_window_is_judged_by_what_is_seen(
    item: dict[str, torch.Tensor],
) -> None:
    item["boxes"][:, 0] = torch.tensor([20.0, 4, 110, 90])
    window = cut_window(item, 2 * GRID, GRID, SIDE)
    assert window["present"][:, 0].all()
    assert window["boxes"][0, 0].tolist() == [0, 0, SIDE, SIDE]


def test_the_view_says_where_a_window_was_cut(item: dict[str, torch.Tensor]) -> None:
    window = cut_window(item, 2 * GRID, GRID, SIDE)
    whole = item["frames"][:1].float()
    grid = F.affine_grid(window["view"][None], (1, 3, SIDE, SIDE), align_corners=False)
    seen = F.grid_sample(whole, grid, align_corners=False)
    assert torch.allclose(seen, window["frames"][:1].float(), atol=1e-2)


def test_windows_of_a_moved_picture_lead_back_to_the_resting_one(
    item: dict[str, torch.Tensor],
) -> None:
    view = torch.tensor([[0.5, 0, 0.25], [0, 0.5, -0.25]])
    window = cut_window(item | {"view": view}, GRID, 0, SIDE)
    corner = torch.tensor([[-1.0], [-1.0], [1.0]])  # of the window: pixel (16, 0) of the picture
    there = view @ torch.tensor([[2 * GRID / WIDTH - 1], [-1.0], [1.0]])
    assert torch.allclose(window["view"] @ corner, there)


def test_windows_lie_on_the_grid_and_in_the_picture(item: dict[str, torch.Tensor]) -> None:
    for seed in range(20):
        for window in cut_windows(item, side=SIDE, random=np.random.default_rng(seed)):
            assert window["frames"].shape == (2, 3, SIDE, SIDE)
            x, y = corner(window)
            assert x % GRID == 0 and 0 <= x <= WIDTH - SIDE
            assert y % GRID == 0 and 0 <= y <= HEIGHT - SIDE
