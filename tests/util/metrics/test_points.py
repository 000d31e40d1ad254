import numpy as np
import pytest
import torch

from speech2video.util.body.body_model import Body
from speech2video.util.body.rotations import axis_angle_to_matrix
from speech2video.util.body.skeleton import POINT_INDEX, POINTS
from speech2video.util.errors import DataError
from speech2video.util.metrics.points import (
    LIPS,
    MIN_OVERLAP,
    align_heads,
    best_lag,
    correlation,
    lag_correlations,
    lip_opening,
    lip_vertex_error,
)
from tests.util.metrics.random_poses import random_poses

MAX_LAG = 8


def smooth_series(count: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=count + 4)
    return np.convolve(noise, np.ones(5) / 5, mode="valid")


def face(opening_T: np.ndarray, *, eyes: float, axes: int) -> np.ndarray:
    points = np.zeros((len(opening_T), len(POINTS), axes))
    points[:, POINT_INDEX["face_45"], 0] = eyes
    points[:, POINT_INDEX["face_66"], 1] = opening_T
    return points


def test_opening_is_metres_in_space_and_a_share_of_the_eyes_in_a_picture() -> None:
    opening = np.linspace(0, 0.02, 30)
    np.testing.assert_allclose(lip_opening(face(opening, eyes=0.1, axes=3)), opening)
    np.testing.assert_allclose(lip_opening(face(opening, eyes=0.1, axes=2)), opening / 0.1)


def test_opening_in_a_picture_knows_no_scale_place_or_turn() -> None:
    points = face(smooth_series(30), eyes=2.0, axes=2)
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(lip_opening(7 * points @ turn + 100), lip_opening(points))


def test_a_lost_face_has_no_opening() -> None:
    points = face(np.ones(30), eyes=2.0, axes=2)
    points[3] = np.nan
    points[5] = 0  # eyes in one place: no scale
    assert np.flatnonzero(np.isnan(lip_opening(points))).tolist() == [3, 5]


def test_jaw_opens_the_body_s_lips(body: Body) -> None:
    pose = torch.zeros(20, 106)
    pose[:, -3] = torch.linspace(0, 0.4, 20)
    opening = lip_opening(body.points(pose).numpy())
    assert (np.diff(opening) > 0).all()
    assert opening[-1] - opening[0] > 0.01


@pytest.mark.parametrize("shift", [-5, -1, 0, 3, 8])
def test_a_shift_is_found(shift: int) -> None:
    long = smooth_series(140)
    a, b = long[20:120], long[20 - shift : 120 - shift]
    lag, value = best_lag(a, b, MAX_LAG)
    assert lag == shift
    assert value == pytest.approx(1)
    assert best_lag(b, a, MAX_LAG)[0] == -shift


def test_gaps_neither_break_nor_move_the_lag() -> None:
    long = smooth_series(340)
    a, b = long[20:320].copy(), long[17:317].copy()
    a[40:80], b[100:110], b[7] = np.nan, np.nan, np.inf
    lag, value = best_lag(a, b, MAX_LAG)
    assert (lag, value) == (3, pytest.approx(1))


def test_correlation_knows_no_scale_and_no_place() -> None:
    a, b = smooth_series(100), smooth_series(100, seed=1)
    assert correlation(a, 3 * a + 5) == pytest.approx(1)
    assert correlation(a, -a) == pytest.approx(-1)
    assert correlation(2 * a + 1, b) == pytest.approx(correlation(a, b))
    assert lag_correlations(a, b, MAX_LAG)[MAX_LAG] == correlation(a, b)


def test_what_says_nothing_is_nan() -> None:
    a = smooth_series(100)
    assert np.isnan(correlation(a, np.ones(100)))
    assert np.isnan(correlation(a[: MIN_OVERLAP - 1], a[: MIN_OVERLAP - 1]))
    lag, value = best_lag(a[:10], a[:10], MAX_LAG)
    assert lag is None
    assert np.isnan(value)


def test_vertex_error_is_that_of_the_worst_point() -> None:
    true = np.zeros((10, len(LIPS), 3))
    predicted = true.copy()
    predicted[:, 3, 1] = 0.004
    predicted[:, 5, 0] = 0.001
    assert lip_vertex_error(true, true) == 0
    assert lip_vertex_error(predicted, true) == pytest.approx(0.004)
    assert lip_vertex_error(2 * predicted, true) == pytest.approx(0.008)


def test_aligned_heads_forget_every_rigid_motion(body: Body) -> None:
    points = body.points(random_poses(3)).numpy()
    turns = axis_angle_to_matrix(torch.randn(len(points), 3)).numpy()
    moved = points @ turns + np.random.default_rng(0).normal(size=(len(points), 1, 3))
    np.testing.assert_allclose(align_heads(moved, points), points, atol=1e-4)


def test_foreign_points_are_refused() -> None:
    with pytest.raises(DataError, match="68"):
        lip_opening(np.zeros((5, 68, 2)))
    with pytest.raises(DataError, match="length"):
        best_lag(np.zeros(40), np.zeros(41), MAX_LAG)
