import numpy as np
import pytest

from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.body.skeleton import LEFT_HAND_JOINTS, LEFT_TIPS, POINT_INDEX, indices
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.skeleton_maps import (
    FINGER_COLOURS,
    MOUTH_COLOUR,
    draw_skeleton_map,
    draw_skeleton_maps,
)


@pytest.fixture(scope="module")
def points_K2(body: Body) -> np.ndarray:
    import torch

    points = body.points(torch.zeros(1, POSE_SIZE))
    return Camera.framing(points, width=512, height=512).project(points)[0].numpy()


def test_maps_stream_one_by_one_with_channels_first(points_K2: np.ndarray) -> None:
    drawn = draw_skeleton_maps((points_K2 for _ in range(10**9)), width=512, height=384)
    first = next(drawn)
    assert first.shape == (3, 384, 512) and first.dtype == np.uint8 and first.any()


def test_the_two_hands_and_their_fingers_differ_in_colour() -> None:
    colours = [*FINGER_COLOURS["left"], *FINGER_COLOURS["right"]]
    assert len(set(map(tuple, colours))) == 10


def test_drawing_moves_with_the_points(points_K2: np.ndarray) -> None:
    moved = draw_skeleton_map(points_K2 + np.array((20, 10)), width=512, height=512)
    assert np.array_equal(
        moved[10:, 20:], draw_skeleton_map(points_K2, width=512, height=512)[:-10, :-20]
    )


def test_half_a_pixel_changes_the_map(points_K2: np.ndarray) -> None:
    lips = points_K2.copy()
    lips[POINT_INDEX["face_66"], 1] += 0.5
    draw = {"width": 512, "height": 512}
    assert (draw_skeleton_map(lips, **draw) != draw_skeleton_map(points_K2, **draw)).any()


def test_line_width_follows_the_image(points_K2: np.ndarray) -> None:
    share = [
        (draw_skeleton_map(points_K2 * scale, width=size, height=size).any(2)).mean()
        for scale, size in ((0.5, 256), (1, 512), (2, 1024))
    ]
    assert max(share) < 2.2 * min(share)


def test_missing_points_leave_their_lines_out(points_K2: np.ndarray) -> None:
    gone = points_K2.copy()
    gone[indices((*LEFT_HAND_JOINTS, *LEFT_TIPS))] = np.nan
    image = draw_skeleton_map(gone, width=512, height=512)
    whole = draw_skeleton_map(points_K2, width=512, height=512)
    for colour in FINGER_COLOURS["left"]:
        assert (whole == colour).all(2).any() and not (image == colour).all(2).any()
    assert not image[:8, :8].any(), "nothing is drawn at (0, 0)"
    one = points_K2.copy()
    one[POINT_INDEX["face_50"]] = np.nan
    assert draw_skeleton_map(one, width=512, height=512).any()


@pytest.mark.parametrize("value", [np.nan, 1e9, -1e9, np.inf])
@pytest.mark.parametrize("filled_mouth", [False, True])
def test_no_points_and_points_far_away_draw_nothing(value: float, filled_mouth: bool) -> None:
    points = np.full((144, 2), value)
    assert not draw_skeleton_map(points, width=64, height=64, filled_mouth=filled_mouth).any()


def _mouth(*, gap: float, at: tuple[float, float]) -> np.ndarray:
    """Return points of which there is only a mouth, open by 9 x `gap` pixels around a place."""
    inner = ((-6, 0), (-3, -1), (0, -1), (3, -1), (6, 0), (3, 1), (0, 1), (-3, 1))
    outer = [(9 * np.cos(a), 7 * np.sin(a)) for a in np.pi + 2 * np.pi * np.arange(12) / 12]
    points = np.full((144, 2), np.nan)
    lips = [POINT_INDEX[f"face_{i}"] for i in range(48, 68)]
    points[lips] = np.array([*outer, *((x, gap / 2 * y) for x, y in inner)]) + at
    return points


def _filled(points_K2: np.ndarray) -> np.ndarray:
    return draw_skeleton_map(points_K2, width=128, height=128, filled_mouth=True).astype(float)


@pytest.mark.parametrize("at", [(64, 64), (64.3, 63.6), (100.5, 20.1)])
@pytest.mark.parametrize("gap", [0.25, 0.5, 1, 3])
def test_a_mouth_is_filled_by_how_far_it_is_open(gap: float, at: tuple[float, float]) -> None:
    filled = _filled(_mouth(gap=gap, at=at)) - _filled(_mouth(gap=0, at=at))
    pixels = filled[..., 2].sum() / MOUTH_COLOUR[2]
    assert pixels == pytest.approx(9 * gap, rel=0.05, abs=0.9)


@pytest.mark.parametrize("at", [(0, 64), (127.5, 127), (64, -0.5)])
def test_a_mouth_may_be_partly_outside(at: tuple[float, float]) -> None:
    assert 0 < (_filled(_mouth(gap=3, at=at))[..., 2] > 200).sum() < 27


def test_lips_pressed_into_each_other_are_a_shut_mouth() -> None:
    pressed = _filled(_mouth(gap=-2, at=(64, 64)))
    assert np.array_equal(pressed, _filled(_mouth(gap=0, at=(64, 64))))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="144"):
        draw_skeleton_map(np.zeros((68, 2)), width=64, height=64)
