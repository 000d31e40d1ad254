"""MediaPipe's keypoints: landmark tables, mirrored sides, hands, bystanders, cleaning of tracks."""

import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from speech2video.data.keypoints import Keypoints
from speech2video.data.preprocessing.detection import mediapipe_networks as tables
from speech2video.data.preprocessing.detection.mediapipe_keypoints import (
    detect_keypoints,
    find_jumps,
    find_short_runs,
    smooth_track,
)
from speech2video.util.body.skeleton import IBUG68, POINT_INDEX, POINTS, mirrored
from speech2video.util.errors import DataError, UserError
from speech2video.util.video.reader import read_frames
from tests.shared import DATA, cases

FRAMES = 12
MIRROR = [POINT_INDEX[mirrored(name)] for name in POINTS]


@lru_cache
def clip(path: Path) -> list[np.ndarray]:
    return list(islice(read_frames(path), FRAMES))


@lru_cache
def detected(path: Path, *, mirror: bool = False) -> Keypoints:
    pytest.importorskip("mediapipe")
    step = -1 if mirror else 1
    _, height, width = clip(path)[0].shape
    frames = (frame[:, :, ::step] for frame in clip(path))
    return detect_keypoints(frames, width=width, height=height, fps=25.0)


def test_the_tables_contain_each_point_once() -> None:
    hands = [*tables.HAND_TARGETS[0], *tables.HAND_TARGETS[1]]
    assert sorted(
        set(tables.FACE_TARGET) - {POINT_INDEX["left_eye"], POINT_INDEX["right_eye"]}
    ) == (sorted(IBUG68))
    for target in (tables.FACE_TARGET, tables.POSE_TARGET, hands):
        assert len(set(target)) == len(target)
    for target, source in (
        (tables.FACE_TARGET, tables.FACE_SOURCE),
        (tables.POSE_TARGET, tables.POSE_SOURCE),
    ):
        assert len(set(source)) == len(source) == len(target)


def test_left_and_right_have_the_same_points_in_the_tables() -> None:
    left, right = tables.HAND_TARGETS
    assert [MIRROR[point] for point in left] == right
    pose = dict(zip(tables.POSE_TARGET, tables.POSE_SOURCE, strict=True))
    for target in pose:
        assert MIRROR[target] in pose


def test_a_video_without_people_is_an_error() -> None:
    pytest.importorskip("mediapipe")
    grey = (np.full((3, 96, 128), 90, np.uint8) for _ in range(3))
    with pytest.raises(DataError, match="no person found in 3 frames"):
        detect_keypoints(grey, width=128, height=96, fps=25.0)
    with pytest.raises(DataError, match="128 × 96"):
        detect_keypoints([np.zeros((3, 90, 128), np.uint8)], width=128, height=96, fps=25.0)


VIDEOS = cases(DATA, "upper_body/*.mp4", "vidtimit_fadg0/sa2/video.mp4")


@pytest.mark.parametrize("path", VIDEOS)
def test_a_face_is_found_completely_and_missing_points_are_nan(path: Path) -> None:
    keypoints = detected(path)
    assert keypoints.detection_rates()["face"] == 1
    assert keypoints.people >= 1 and np.isfinite(keypoints.face_mesh_TM2).all()
    points = keypoints.points_TK3
    missing = points[..., 2] == 0
    assert np.isnan(points[missing, :2]).all()
    assert not (points[..., :2] == 0).any()
    inside = (points[:, IBUG68, :2] >= 0) & (
        points[:, IBUG68, :2] <= (keypoints.width, keypoints.height)
    )
    assert inside.all()
    knees = [POINT_INDEX["left_knee"], POINT_INDEX["right_knee"]]
    assert (points[:, knees, 2] < 0.3).all(), "all videos are from the hips up"


@pytest.mark.parametrize("path", VIDEOS)
def test_a_mirrored_image_swaps_the_sides(path: Path) -> None:
    keypoints, other = detected(path), detected(path, mirror=True)
    swapped = other.points_TK3[:, MIRROR] * (-1, 1, 1) + (keypoints.width, 0, 0)
    eyes = [POINT_INDEX["left_eye"], POINT_INDEX["right_eye"]]
    scale = np.linalg.norm(np.subtract(*keypoints.points_TK3[:, eyes, :2].swapaxes(0, 1)), axis=1)
    distance = np.linalg.norm(keypoints.points_TK3 - swapped, axis=2) / scale[:, None]
    for part in (eyes, [POINT_INDEX["left_shoulder"], POINT_INDEX["right_shoulder"]]):
        assert np.nanmedian(distance[:, part]) < 0.2
    for hand in tables.HAND_TARGETS:
        both = np.isfinite(distance[:, hand[1:]]).all(1)
        assert not both.any() or np.median(distance[both][:, hand]) < 0.3


@pytest.mark.parametrize("path", cases(DATA, "upper_body/speaker_b.mp4"))
def test_hands_in_view_are_found_on_the_right_arm(path: Path) -> None:
    keypoints = detected(path)
    share = keypoints.detection_rates()
    assert share["left_hand"] > 0.9 and share["right_hand"] > 0.9
    for side in ("left", "right"):
        root = keypoints.points_TK3[:, POINT_INDEX[f"{side}_middle1"], 0]
        own, other = (
            keypoints.points_TK3[:, POINT_INDEX[f"{s}_elbow"], 0]
            for s in (side, mirrored(f"{side}_")[:-1])
        )
        assert (np.abs(root - own) < np.abs(root - other)).all()
        fingers = keypoints.world_TK3[:, tables.HAND_TARGETS[side == "right"]]
        reach = np.linalg.norm(fingers - fingers[:, :1], axis=2).max(1)
        assert ((reach > 0.08) & (reach < 0.25)).all(), "metres from the wrist to the farthest tip"


@pytest.mark.parametrize("path", cases(DATA, "upper_body/speaker_b.mp4"))
def test_of_two_people_the_larger_is_taken_and_both_are_counted(path: Path) -> None:
    pytest.importorskip("mediapipe")

    def with_bystander() -> Iterator[np.ndarray]:
        for frame in clip(path)[4:]:  # earlier ones show an image at the place of the bystander
            image = frame.copy()
            image[:, 300:660, :360] = frame[:, ::2, 500:1220:2]
            yield image

    _, height, width = clip(path)[0].shape
    both = detect_keypoints(with_bystander(), width=width, height=height, fps=25.0)
    alone = detected(path)
    assert (both.people, alone.people) == (2, 1)
    nose = POINT_INDEX["nose"]
    assert np.abs(both.points_TK3[:, nose] - alone.points_TK3[4:, nose]).max() < 20


def test_without_mediapipe_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(UserError, match="speech2video\\[preprocess\\]") as error:
        detect_keypoints([], width=128, height=96, fps=25.0)
    assert "\n" not in str(error.value)


def moving_points(frames: int = 60) -> np.ndarray:
    """Return a group of points (T, 5, 2) that moves smoothly."""
    time = np.arange(frames)[:, None]
    middle = np.concatenate([200 + 60 * np.sin(time / 9), 150 + 40 * np.cos(time / 7)], 1)
    return middle[:, None] + np.random.default_rng(0).uniform(-30, 30, (1, 5, 2))


def test_smoothing_leaves_a_straight_line_where_it_is() -> None:
    line = np.arange(30.0)[:, None, None] * np.ones((1, 2, 2))
    np.testing.assert_allclose(smooth_track(line)[5:-5], line[5:-5])


def test_smoothing_forwards_equals_smoothing_backwards() -> None:
    track = moving_points() + np.random.default_rng(1).normal(0, 3, (60, 5, 2))
    np.testing.assert_allclose(smooth_track(track[::-1]), smooth_track(track)[::-1])


def test_smoothing_reduces_noise() -> None:
    exact = moving_points()
    noisy = exact + np.random.default_rng(1).normal(0, 3, (60, 5, 2))
    before, after = (np.abs(track - exact).mean() for track in (noisy, smooth_track(noisy)))
    assert after < 0.7 * before


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 60])
def test_missing_points_stay_missing_without_affecting_neighbours(frames: int) -> None:
    track = moving_points(frames)
    track[frames // 2] = np.nan
    np.testing.assert_array_equal(np.isnan(smooth_track(track)), np.isnan(track))


def test_a_jump_of_one_frame_is_found_and_a_fast_motion_is_not() -> None:
    track = moving_points()
    assert not find_jumps(track).any()
    track[20] += 300
    assert np.flatnonzero(find_jumps(track)).tolist() == [20]
    track[40:] += 300
    track[50] = np.nan
    assert np.flatnonzero(find_jumps(track)).tolist() == [20]


def test_short_runs_are_found() -> None:
    found = np.array([1, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1], bool)
    expected = np.array([1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0], bool)
    np.testing.assert_array_equal(find_short_runs(found), expected)
