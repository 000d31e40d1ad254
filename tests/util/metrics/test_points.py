import numpy as np
import pytest
import torch

from speech2video.util.body.body_model import Body
from speech2video.util.body.rotations import axis_angle_to_matrix
from speech2video.util.body.skeleton import POINT_INDEX, POINTS
from speech2video.util.errors import DataError
from speech2video.util.metrics.points import (
    FLIPPED,
    LIPS,
    align_heads,
    aligned_distances,
    bone_angles,
    distances,
    lip_opening,
    lip_vertex_error,
)
from tests.util.metrics.random_poses import random_poses

OPENING = np.linspace(0, 0.02, 30)


@pytest.fixture
def points_TK3() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 5, 3))


def face(opening_T: np.ndarray, *, eyes: float, axes: int) -> np.ndarray:
    points = np.zeros((len(opening_T), len(POINTS), axes))
    points[:, POINT_INDEX["face_45"], 0] = eyes
    points[:, POINT_INDEX["face_66"], 1] = opening_T
    return points


def test_opening_is_in_metres_in_3d_and_in_eye_distances_in_2d() -> None:
    np.testing.assert_allclose(lip_opening(face(OPENING, eyes=0.1, axes=3)), OPENING)
    np.testing.assert_allclose(lip_opening(face(OPENING, eyes=0.1, axes=2)), OPENING / 0.1)


def test_opening_in_2d_is_invariant_to_similarity_transforms() -> None:
    points = face(OPENING, eyes=2.0, axes=2)
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(lip_opening(7 * points @ turn + 100), lip_opening(points))


def test_a_missing_face_has_no_opening() -> None:
    points = face(np.ones(30), eyes=2.0, axes=2)
    points[3] = np.nan
    points[5] = 0  # both eyes in one place: no scale
    assert np.flatnonzero(np.isnan(lip_opening(points))).tolist() == [3, 5]


def test_the_jaw_opens_the_lips(body: Body) -> None:
    pose = torch.zeros(20, 106)
    pose[:, -3] = torch.linspace(0, 0.4, 20)
    opening = lip_opening(body.points(pose).numpy())
    assert (np.diff(opening) > 0).all()
    assert opening[-1] - opening[0] > 0.01


def test_vertex_error_is_that_of_the_worst_point() -> None:
    true = np.zeros((10, len(LIPS), 3))
    predicted = true.copy()
    predicted[:, 3, 1] = 0.004
    predicted[:, 5, 0] = 0.001
    assert lip_vertex_error(true, true) == 0
    assert lip_vertex_error(predicted, true) == pytest.approx(0.004)
    assert lip_vertex_error(2 * predicted, true) == pytest.approx(0.008)


def test_aligned_heads_undo_every_rigid_motion(body: Body) -> None:
    points = body.points(random_poses(3)).numpy()
    turns = axis_angle_to_matrix(torch.randn(len(points), 3)).numpy()
    moved = points @ turns + np.random.default_rng(0).normal(size=(len(points), 1, 3))
    np.testing.assert_allclose(align_heads(moved, points), points, atol=1e-4)


def test_ground_truth_has_no_error(points_TK3: np.ndarray) -> None:
    assert not distances(points_TK3, points_TK3).any()
    assert not aligned_distances(points_TK3, points_TK3, at=0).any()
    assert bone_angles(points_TK3, points_TK3, [(0, 1), (1, 2)]).max() < 1e-4


def test_alignment_removes_translation_only(points_TK3: np.ndarray) -> None:
    shifted = points_TK3 + np.random.default_rng(1).normal(size=(40, 1, 3))
    assert aligned_distances(shifted, points_TK3, at=2).max() < 1e-9
    twice = aligned_distances(2 * points_TK3, points_TK3, at=2)
    assert np.allclose(twice, np.linalg.norm(points_TK3 - points_TK3[:, 2:3], axis=2))


def test_a_reversed_bone_is_flipped(points_TK3: np.ndarray) -> None:
    assert bone_angles(-points_TK3, points_TK3, [(0, 1)]).min() > 179.9 > FLIPPED


def test_other_landmark_sets_are_refused() -> None:
    with pytest.raises(DataError, match="68"):
        lip_opening(np.zeros((5, 68, 2)))
