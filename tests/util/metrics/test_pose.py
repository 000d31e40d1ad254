"""Errors of poses: zero for the truth, blind to what they are said to be blind to."""

import numpy as np
import pytest

from speech2video.util.metrics import pose


@pytest.fixture
def points_TK3() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 5, 3))


def test_the_truth_has_no_error(points_TK3: np.ndarray) -> None:
    assert not pose.distances(points_TK3, points_TK3).any()
    assert not pose.aligned_distances(points_TK3, points_TK3, at=0).any()
    assert pose.bone_angles(points_TK3, points_TK3, [(0, 1), (1, 2)]).max() < 1e-4


def test_alignment_forgets_a_shift_and_nothing_else(points_TK3: np.ndarray) -> None:
    shifted = points_TK3 + np.random.default_rng(1).normal(size=(40, 1, 3))
    assert pose.aligned_distances(shifted, points_TK3, at=2).max() < 1e-9
    twice = pose.aligned_distances(2 * points_TK3, points_TK3, at=2)
    assert np.allclose(twice, np.linalg.norm(points_TK3 - points_TK3[:, 2:3], axis=2))


def test_a_bone_turned_about_is_flipped(points_TK3: np.ndarray) -> None:
    angles = pose.bone_angles(-points_TK3, points_TK3, [(0, 1)])
    assert angles.min() > 179.9 > pose.FLIPPED


def test_correlation_and_percentile_leave_out_what_is_unknown() -> None:
    a_T = np.arange(50.0)
    a_T[7] = np.nan
    assert pose.correlation(a_T, 3 - 2 * a_T) == pytest.approx(-1)
    assert pose.correlation(a_T, np.ones(50)) is None
    assert pose.correlation(a_T[:20], a_T[:20]) is None
    assert pose.percentile(a_T[6:9], 50) == 7
    assert pose.percentile(np.full(3, np.nan), 50) is None
