"""Matte, colours past the edges, and backgrounds: what composites over them look like."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from speech2video.util.body.skeleton import IBUG68, indices
from speech2video.util.errors import DataError, OptionError
from speech2video.util.video.compositing import (
    clean_matte,
    composite,
    cover,
    inner_body,
    open_background,
    separate,
)
from speech2video.util.video.formats import parse_colour
from speech2video.util.video.writer import write_video
from tests.util.video.test_video import blocks

WIDTH, HEIGHT = SIZE = 96, 64
NOWHERE = np.zeros((HEIGHT, WIDTH), bool)


def disc(radius: float = 20) -> np.ndarray:
    """Return alpha (H, W) of a disc whose edge is some pixels wide."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    away = np.hypot(x - WIDTH / 2, y - HEIGHT / 2)
    return ((radius - away) / 3 + 0.5).clip(0, 1).astype(np.float32)


def frame_of(alpha_HW: np.ndarray, person: float, background: np.ndarray) -> np.ndarray:
    return (alpha_HW * person + (1 - alpha_HW) * background).astype(np.float32)


def plain(level: float) -> np.ndarray:
    return np.full((3, HEIGHT, WIDTH), level, np.float32)


@pytest.mark.parametrize("person", [0.1, 0.9])
@pytest.mark.parametrize("own", [0.0, 0.5, 1.0])
def test_edges_have_no_halo_on_dark_and_light(person: float, own: float) -> None:
    frame = frame_of(disc(), person, plain(own))
    layers = separate(frame, disc()[None], plain(own), NOWHERE)
    colours, alpha = layers
    black, white = (next(composite([layers], [plain(255 * level)])) for level in (0, 1))
    difference = white.astype(int) - black
    np.testing.assert_allclose(
        difference / 255, np.broadcast_to(1 - alpha, (3, *NOWHERE.shape)), atol=1 / 255
    )
    np.testing.assert_allclose(black / 255, np.broadcast_to(alpha * person, black.shape), atol=0.03)
    np.testing.assert_allclose(colours, person, atol=0.15)
    again = next(composite([layers], [(255 * plain(own)).round().astype(np.uint8)]))
    np.testing.assert_allclose(again / 255, frame, atol=0.03)
    rgba = next(composite([layers], [None]))
    assert rgba.shape == (4, HEIGHT, WIDTH) and rgba.dtype == np.uint8
    np.testing.assert_allclose(rgba[:3] / 255, person, atol=0.15)


def test_errors_that_hardly_show_get_no_colour_of_their_own() -> None:
    alpha = disc()
    noise = np.random.default_rng(0).normal(0, 0.05, (3, HEIGHT, WIDTH)).astype(np.float32)
    faint = (alpha < 0.1)[None]
    frame = frame_of(alpha, 0.6, plain(0.5)) + noise * faint
    rgba = next(composite([separate(frame, alpha[None], plain(0.5), NOWHERE)], [None]))
    assert np.abs(rgba[:3] / 255 - 0.6).max() < 0.2
    assert not rgba[3][alpha == 0].any()


def test_without_a_person_all_is_background() -> None:
    nothing = np.zeros((1, HEIGHT, WIDTH), np.float32)
    layers = separate(plain(0.3), nothing, plain(0.3), NOWHERE)
    assert np.isfinite(layers[0]).all()
    assert np.array_equal(next(composite([layers], [blocks(3)])), blocks(3))


def test_holes_inside_a_person_are_filled_and_gaps_stay() -> None:
    alpha, body = disc(28), NOWHERE.copy()
    body[20:44, 40:56] = True
    alpha[30:32, 44:54] = 0  # a stripe of the background's colour on the clothes
    alpha[24:26, 60:66] = 0.7  # a highlight
    alpha[48:50, 44:50] = 0  # a gap between fingers
    clean = clean_matte(alpha, body)
    assert (clean[28:34, 42:56] == 1).all() and (clean[24:26, 60:66] == 1).all()
    assert (clean[48:50, 45:49] < 0.05).all()
    assert clean[alpha < 0.02].max() == pytest.approx(1), "only by the stripe"
    assert (clean[:, :5] == 0).all()
    np.testing.assert_allclose(clean_matte(disc(), NOWHERE), disc(), atol=0.021)


def test_the_inner_body_lies_inside_the_points_and_missing_ones_leave_it_out() -> None:
    points = np.full((144, 2), np.nan)
    assert not inner_body(points, SIZE).any()
    torso = indices(("left_shoulder", "right_shoulder", "right_hip", "left_hip"))
    points[torso] = [(70, 20), (30, 20), (30, 60), (70, 60)]
    mask = inner_body(points, SIZE)
    assert mask[40, 50] and mask[:, 30:70].sum() == mask.sum() and not mask[:, 30].any()
    points[list(IBUG68)] = [(1e30, 5)] * 67 + [(-1e30, 9)]
    assert inner_body(points, SIZE).shape == (HEIGHT, WIDTH)


def test_the_forehead_is_inside_and_a_head_that_turns_keeps_it() -> None:
    middle = np.array([50.0, 32.0])
    chin, brows = IBUG68[8], list(IBUG68[17:27])
    for angle in (0.0, 0.7, -0.7):
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, sin], [-sin, cos]])
        points = np.full((144, 2), np.nan)
        points[list(IBUG68)] = middle  # of the face; what counts is its outline
        points[chin] = middle + np.array([0, 20]) @ turn
        points[brows] = middle + np.stack([np.linspace(-10, 10, 10), np.full(10, -5)], 1) @ turn
        mask = inner_body(points, SIZE)
        for height, inside in ((-11, True), (-20, False)):  # above the brows, above any forehead
            x, y = (middle + np.array([0, height]) @ turn).round().astype(int)
            assert mask[y, x] == inside, (angle, height)


def test_colours_are_of_three_or_six_digits() -> None:
    assert parse_colour("#0aF") == parse_colour("#00aaff") == (0, 170, 255)
    assert parse_colour("sea.png") is None
    for wrong in ("#", "#12", "#12345", "#gggggg", "#1234567"):
        with pytest.raises(OptionError, match="no such colour; an image, a video, #rrggbb"):
            parse_colour(wrong)
    frame = next(open_background("#0af", SIZE))
    assert frame.shape == (3, HEIGHT, WIDTH) and (frame[:, 5, 7] == (0, 170, 255)).all()


@pytest.mark.parametrize("size", [(96, 64), (64, 64), (100, 30), (31, 97), (400, 300)])
def test_an_image_covers_the_frame_in_its_aspect(tmp_path: Path, size: tuple[int, int]) -> None:
    y, x = np.mgrid[: size[1], : size[0]]
    round_ = np.hypot(x - (size[0] - 1) / 2, y - (size[1] - 1) / 2) < 0.3 * min(size)
    image = np.repeat(np.where(round_, 255, 0).astype(np.uint8)[None], 3, 0)
    cv2.imwrite(str(tmp_path / "a.PNG"), image.transpose(1, 2, 0))
    frames = list(islice(open_background(str(tmp_path / "a.PNG"), SIZE), 2))
    assert frames[0].shape == (3, HEIGHT, WIDTH) and np.array_equal(*frames)
    seen = frames[0][0] > 127
    scale = max(WIDTH / size[0], HEIGHT / size[1])
    radius = min(0.3 * min(size) * scale, 1e9)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    away = np.hypot(x - (WIDTH - 1) / 2, y - (HEIGHT - 1) / 2)
    edge = 2 + scale
    assert seen[away < radius - edge].all() and not seen[away > radius + edge].any()


def test_a_video_goes_on_from_its_start(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", map(blocks, range(5)), quality=4)
    frames = list(islice(open_background(str(tmp_path / "a.mp4"), SIZE), 12))
    bars = [int(frame[:, 4:28].min(0).mean(0).argmax()) // 4 for frame in frames]
    assert bars == [number % 5 for number in range(12)]


def test_what_is_no_background_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("words")
    (tmp_path / "a.mp4").write_text("words")
    (tmp_path / "empty").mkdir()
    for name in ("a.png", "a.mp4", "empty", "missing.jpg"):
        with pytest.raises(DataError, match=name) as error:
            open_background(str(tmp_path / name), SIZE)
        assert "\n" not in str(error.value)


def test_cover_keeps_what_fits() -> None:
    assert cover(blocks(), SIZE) is not None and np.array_equal(cover(blocks(), SIZE), blocks())
