import numpy as np
import pytest
import torch

from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import LIMITS
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.rotations import axis_angle_to_matrix
from speech2video.util.body.skeleton import JOINTS, POINT_INDEX, POINTS
from speech2video.util.errors import DataError
from speech2video.util.metrics.motion import (
    ACCELERATION,
    FLIPPED,
    JERK,
    LIPS,
    align_heads,
    aligned_distances,
    beat_constancy,
    bone_angles,
    derivative_ratio,
    distances,
    hand_energy_ratio,
    joint_position_error,
    joint_speeds,
    l1_diversity,
    limit_violations,
    lip_opening,
    lip_vertex_error,
    lvd_emage,
    lvd_talkshow,
    mean_derivative,
    motion_beats,
    speech_onsets,
    srgr,
)
from speech2video.util.timing import FPS
from tests.util.metrics.random_poses import FRAMES, random_poses


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def points(body: Body) -> np.ndarray:
    return body.points(random_poses(0)).numpy().astype(float)


@pytest.fixture(scope="module")
def other_points(body: Body) -> np.ndarray:
    return body.points(random_poses(1)).numpy().astype(float)


def flat(points_TK3: np.ndarray) -> np.ndarray:
    return points_TK3.reshape(len(points_TK3), -1)


def test_ground_truth_has_no_error(points: np.ndarray) -> None:
    assert srgr(points, points) == 1
    assert lvd_emage(flat(points), flat(points)) == 0
    assert lvd_talkshow(points, points) == 0
    assert hand_energy_ratio(points, points) == 1
    assert derivative_ratio(points, points, order=JERK) == 1
    assert joint_position_error(points, points) == pytest.approx(
        dict.fromkeys(("body", "hands", "fingers", "lips"), 0), abs=1e-9
    )


def test_diversity_is_translation_invariant_and_linear(points: np.ndarray) -> None:
    usual = l1_diversity(flat(points))
    assert l1_diversity(flat(points) + 7.0) == pytest.approx(usual)
    assert l1_diversity(flat(points) * 3) == pytest.approx(3 * usual)
    assert l1_diversity(np.ones((5, 3))) == 0


def test_velocity_differences_ignore_translation_and_one_ignores_direction(
    points: np.ndarray,
) -> None:
    moved, backwards = points + 1.0, 2 * points.mean(0) - points
    for lvd in (lambda a, b: lvd_emage(flat(a), flat(b)), lvd_talkshow):
        assert lvd(moved, points) == pytest.approx(0, abs=1e-12)
        assert lvd(points * 2, points) > 0
    assert lvd_talkshow(backwards, points) == pytest.approx(0, abs=1e-12)
    assert lvd_emage(flat(backwards), flat(points)) > 0


def test_recall_counts_joints() -> None:
    true = np.zeros((10, 4, 3))
    predicted = true.copy()
    predicted[5:, :2] = 1.0  # half the joints wrong in half the frames
    assert srgr(predicted, true) == pytest.approx(0.75)


def test_position_errors_of_parts_are_separate(points: np.ndarray) -> None:
    moved = points.copy()
    moved[:, LIPS] += (0.0, 0.003, 0.0)
    error = joint_position_error(moved, points)
    assert error["lips"] == pytest.approx(0.003)
    assert error["body"] == error["hands"] == error["fingers"] == 0


def test_position_error_ignores_translation(points: np.ndarray, other_points: np.ndarray) -> None:
    error = joint_position_error(other_points, points)
    moved = joint_position_error(other_points + (1.0, 2.0, 3.0), points)
    assert moved == pytest.approx(error)


def test_a_raised_shoulder_moves_the_arm_and_not_the_lips(body: Body) -> None:
    rest = torch.zeros(FRAMES, POSE_SIZE)
    raised = rest.clone()
    shoulder = POSE_SLICES["body"].start + 3 * (JOINTS.index("left_collar") - 1)
    raised[:, shoulder + 2] = 0.3
    error = joint_position_error(body.points(raised).numpy(), body.points(rest).numpy())
    assert error["hands"] > error["body"] > error["fingers"] > 0
    assert error["lips"] == pytest.approx(0, abs=1e-6)


def test_lip_error_ignores_head_rotation(body: Body) -> None:
    rest = torch.zeros(FRAMES, POSE_SIZE)
    nodding = rest.clone()
    head = POSE_SLICES["body"].start + 3 * (JOINTS.index("head") - 1)
    nodding[:, head] = torch.linspace(-0.4, 0.4, FRAMES)
    error = joint_position_error(body.points(nodding).numpy(), body.points(rest).numpy())
    assert error["lips"] < 1e-5


def test_derivatives_scale_with_size_and_frame_rate(points: np.ndarray) -> None:
    for order in (1, ACCELERATION, JERK):
        usual = mean_derivative(points, order=order, fps=25)
        assert mean_derivative(points, order=order, fps=50) == pytest.approx(2**order * usual)
        assert derivative_ratio(3 * points, points, order=order) == pytest.approx(3)


def test_jitter_shows_in_jerk_and_smoothing_too(
    points: np.ndarray, random: np.random.Generator
) -> None:
    smooth = points.cumsum(0) / 10
    jittery = smooth + random.normal(size=points.shape) * 0.01
    assert derivative_ratio(jittery, smooth, order=JERK) > 2
    assert derivative_ratio(smooth, jittery, order=JERK) < 0.5


def test_hand_energy_is_quadratic_and_only_the_hands(points: np.ndarray) -> None:
    middle = points.mean(0)
    assert hand_energy_ratio(middle + 0.5 * (points - middle), points) == pytest.approx(0.25)
    swaying = points + np.linspace(0, 1, FRAMES)[:, None, None]
    assert hand_energy_ratio(swaying, points) == pytest.approx(1)
    nodding = points.copy()
    nodding[:, POINT_INDEX["head"]] *= 5
    assert hand_energy_ratio(nodding, points) == 1
    assert np.isnan(hand_energy_ratio(points, np.repeat(points[:1], FRAMES, axis=0)))


def test_limit_violations_are_a_share_of_frames() -> None:
    rotations = np.zeros((10, len(JOINTS), 3))
    assert limit_violations(rotations) == 0
    beyond = LIMITS[JOINTS.index("jaw"), 0, 1].item() + 0.2
    rotations[:3, JOINTS.index("jaw"), 0] = beyond
    assert limit_violations(rotations) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("predicted", "true"),
    [
        (np.zeros((4, 3)), np.zeros((5, 3))),
        (np.full((4, 3), np.nan), np.zeros((4, 3))),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.zeros((1, 3)), np.zeros((1, 3))),
        (np.zeros(4), np.zeros(4)),
    ],
    ids=["lengths", "nan", "empty", "one frame", "axes"],
)
def test_incomparable_motions_are_refused(predicted: np.ndarray, true: np.ndarray) -> None:
    with pytest.raises(DataError):
        lvd_emage(predicted, true)


SECONDS = 8
PERIOD = 0.8  # seconds between two beats


def strokes(*, delay: float = 0.0) -> np.ndarray:
    """Return joints that reverse every 0.8 s, first at `delay`, while drifting.

    Without drift their speed at the reversal would be zero, which counts as rest.
    """
    times = np.arange(SECONDS * FPS) / FPS - delay
    swing = np.stack((np.cos(np.pi * times / PERIOD), times, 0 * times), axis=1)
    return np.broadcast_to(swing[:, None], (len(times), len(JOINTS), 3)).copy()


ONSETS = np.arange(1, SECONDS / PERIOD - 1) * PERIOD
MEAN_SPEED = joint_speeds(strokes(), fps=FPS).mean(0)


def constancy(motion: np.ndarray, **settings: float) -> float:
    return beat_constancy(motion, ONSETS, fps=FPS, mean_speed_J=MEAN_SPEED, **settings)


def test_strokes_on_the_onsets_score_one_and_late_ones_less() -> None:
    assert constancy(strokes()) == pytest.approx(1)
    late = [constancy(strokes(delay=delay)) for delay in (0.0, 0.12, 0.4)]
    assert late == sorted(late, reverse=True)
    assert late[2] < late[0] - 0.3
    assert late[2] == pytest.approx(np.exp(-(0.4**2) / (2 * 0.3**2)), rel=0.05)


def test_a_motion_at_rest_has_no_beats() -> None:
    assert constancy(np.zeros_like(strokes())) == 0


def test_constancy_ignores_offset_and_scale() -> None:
    motion = strokes(delay=0.1)
    assert constancy(motion + 3) == pytest.approx(constancy(motion))
    assert constancy(motion * 0.9) == pytest.approx(constancy(motion))


def test_slow_minima_are_rest() -> None:
    speed = 1 + np.cos(np.arange(100) * 2 * np.pi / 25)  # down to 0 every second
    assert motion_beats(speed, mean_speed=1.0).size == 0
    beats = motion_beats(speed + 0.5, mean_speed=1.0)
    np.testing.assert_allclose(beats, (12.5, 37.5, 62.5, 87.5), atol=0.5)


def test_onsets_are_where_audio_begins() -> None:
    rate, audio_S = 16_000, np.zeros(16_000 * 3)
    for start in (0.5, 1.5, 2.25):
        begin = round(start * rate)
        audio_S[begin : begin + 2000] = np.sin(np.arange(2000)) * np.linspace(1, 0, 2000)
    starts = np.array((0.5, 1.5, 2.25))
    after = speech_onsets(audio_S, rate=rate)[:, None] - starts
    assert (np.abs(after).min(0) < 0.05).all()  # each is found
    assert (np.abs(after).min(1) < 0.1).all()  # and nothing else


def test_missing_onsets_and_speeds_are_refused() -> None:
    with pytest.raises(DataError, match="onsets"):
        beat_constancy(strokes(), [], fps=FPS, mean_speed_J=MEAN_SPEED)
    with pytest.raises(DataError, match="mean speeds"):
        beat_constancy(strokes(), ONSETS, fps=FPS, mean_speed_J=MEAN_SPEED[:3])


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


def test_ground_truth_has_no_error_test_points(points_TK3: np.ndarray) -> None:
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
