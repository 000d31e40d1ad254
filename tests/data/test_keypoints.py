"""Keypoints: saving and loading, filling of gaps, guessed wrists, OpenPose's json."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speech2video.data.keypoints import (
    FILLED_CONFIDENCE,
    Keypoints,
    fill_gaps,
    read_openpose_keypoints,
    remove_guessed_wrists,
)
from speech2video.util.body.skeleton import IBUG68, POINT_INDEX, POINTS
from speech2video.util.errors import DataError
from speech2video.util.rendering.openpose import points_to_openpose
from speech2video.util.rendering.openpose_json import read_openpose
from tests.shared import DATA, cases

FRAMES = 40


def random_keypoints(frames: int = FRAMES, *, missing: float = 0.2, mesh: bool = True) -> Keypoints:
    random = np.random.default_rng(0)
    points = random.uniform(0.05, 1, (frames, len(POINTS), 3)) * (640, 480, 1)
    points[random.random(points.shape[:2]) < missing] = (np.nan, np.nan, 0)
    world = random.normal(size=points.shape)
    world[random.random(points.shape[:2]) < missing] = np.nan
    return Keypoints(
        points_TK3=points.astype(np.float32),
        world_TK3=world.astype(np.float32),
        width=640,
        height=480,
        fps=25.0,
        source="mediapipe",
        people=2,
        face_mesh_TM2=random.random((frames, 468, 2)).astype(np.float32) if mesh else None,
    )


def straight(gap: slice) -> Keypoints:
    """Return points that all move along straight lines, with one gap in the left wrist's."""
    keypoints = random_keypoints(missing=0, mesh=False)
    line = np.arange(FRAMES, dtype=np.float32)[:, None, None]
    points = (keypoints.points_TK3[:1] + line * (3, -2, 0)).astype(np.float32)
    points[gap, POINT_INDEX["left_wrist"]] = (np.nan, np.nan, 0)
    return replace(keypoints, points_TK3=points, world_TK3=(line * 0 + points / 999))


@pytest.mark.parametrize("mesh", [True, False])
def test_what_is_saved_is_loaded(tmp_path: Path, mesh: bool) -> None:
    keypoints = random_keypoints(mesh=mesh)
    keypoints.save(tmp_path / "keypoints.npz")
    loaded = Keypoints.load(tmp_path / "keypoints.npz")
    for name, value in vars(keypoints).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
    assert [path.name for path in tmp_path.iterdir()] == ["keypoints.npz"]


@pytest.mark.parametrize("length", [1, 3, 5])
def test_a_short_gap_in_a_straight_line_is_filled_exactly(length: int) -> None:
    gap = slice(10, 10 + length)
    holed, whole = straight(gap), straight(slice(0))
    filled, wrist = fill_gaps(holed), POINT_INDEX["left_wrist"]
    places, confidence = filled.points_TK3[..., :2], filled.points_TK3[..., 2]
    np.testing.assert_allclose(places, whole.points_TK3[..., :2], rtol=1e-6)
    np.testing.assert_allclose(
        confidence[gap, wrist], FILLED_CONFIDENCE * whole.points_TK3[gap, wrist, 2], rtol=1e-6
    )
    np.testing.assert_array_equal(confidence[:10], whole.points_TK3[:10, :, 2])


@pytest.mark.parametrize("gap", [slice(10, 16), slice(0, 3), slice(FRAMES - 2, FRAMES)])
def test_long_gaps_and_open_ends_stay_missing(gap: slice) -> None:
    holed = straight(gap)
    filled = fill_gaps(holed)
    np.testing.assert_array_equal(filled.points_TK3, holed.points_TK3)


def test_filling_moves_no_detected_point() -> None:
    keypoints = random_keypoints()
    filled, found = fill_gaps(keypoints), keypoints.points_TK3[..., 2] > 0
    np.testing.assert_array_equal(filled.points_TK3[found], keypoints.points_TK3[found])
    assert (filled.points_TK3[..., 2] > 0).sum() > found.sum()


def test_the_share_found_counts_frames() -> None:
    points = random_keypoints(missing=0).points_TK3.copy()
    points[..., 2] = 1
    points[:10, POINT_INDEX["right_thumb2"]] = (np.nan, np.nan, 0)
    points[:20, POINT_INDEX["left_index_tip"], 2] = 0.1
    share = replace(random_keypoints(missing=0), points_TK3=points).detection_rates()
    assert share == {"body": 1, "face": 1, "left_hand": 0.5, "right_hand": 0.75}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points_TK3": np.zeros((3, 143, 3), np.float32)}, "points_TK3"),
        ({"points_TK3": np.zeros((3, 144, 3), np.float32)}, "never both"),
        ({"points_TK3": np.full((3, 144, 3), 2, np.float32)}, "confidence"),
        ({"world_TK3": np.zeros((4, 144, 3), np.float32)}, "world_TK3"),
        ({"world_TK3": np.zeros((3, 144, 3))}, "float32"),
        ({"face_mesh_TM2": np.zeros((3, 478, 2), np.float32)}, "face_mesh"),
        ({"width": 0}, "positive"),
        ({"fps": float("nan")}, "positive"),
    ],
)
def test_wrong_arrays_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(random_keypoints(3), **change)


def test_a_wrong_file_is_named_in_one_line(tmp_path: Path) -> None:
    whole = tmp_path / "whole.npz"
    random_keypoints(3).save(whole)
    arrays = dict(np.load(whole))
    cut, text, pickled, absent, other = (tmp_path / name for name in "abcde")
    cut.write_bytes(whole.read_bytes()[:500])
    text.write_text("no numbers")
    with open(pickled, "wb") as stream:
        np.savez(stream, **(arrays | {"points": np.array([{}], dtype=object)}))
    with open(other, "wb") as stream:
        np.savez(stream, **(arrays | {"point_names": arrays["point_names"][::-1]}))
    for path in (cut, text, pickled, absent, other):
        with pytest.raises(DataError) as error:
            Keypoints.load(path)
        assert str(error.value).count(str(path)) == 1
        assert "\n" not in str(error.value)


def with_lost_hand(confidence: float) -> Keypoints:
    """Return points in which the left hand is lost in frames 10 to 19, its wrist guessed."""
    keypoints, lost = random_keypoints(missing=0), slice(10, 20)
    points = keypoints.points_TK3
    points[..., 2] = 1.0
    points[:15, POINT_INDEX["right_wrist"], 2] = 0.2  # not confident, but with a hand
    points[lost, POINT_INDEX["left_index2"]] = (np.nan, np.nan, 0)
    points[lost, POINT_INDEX["left_wrist"], 2] = confidence
    return keypoints


def test_only_a_guessed_wrist_is_removed() -> None:
    keypoints, wrist = with_lost_hand(0.35), POINT_INDEX["left_wrist"]
    keypoints.points_TK3[12:15, wrist, 2] = 0.4  # a confident guess
    left = remove_guessed_wrists(keypoints)
    gone_TK = (left.points_TK3[..., 2] == 0) & (keypoints.points_TK3[..., 2] > 0)
    assert np.flatnonzero(gone_TK[:, wrist]).tolist() == list(range(10, 20))
    assert np.isnan(left.world_TK3[10:20, wrist]).all()
    gone_TK[:, wrist] = False
    assert not gone_TK.any()


def test_a_mostly_confident_wrist_is_kept_without_its_hand() -> None:
    keypoints = with_lost_hand(0.4)
    keypoints.points_TK3[12:15, POINT_INDEX["left_wrist"], 2] = 0.1
    left = remove_guessed_wrists(keypoints)
    np.testing.assert_array_equal(left.points_TK3, keypoints.points_TK3)
    np.testing.assert_array_equal(left.world_TK3, keypoints.world_TK3)


KEYS = {
    "body_253": "pose_keypoints_2d",
    "face_703": "face_keypoints_2d",
    "left_hand_213": "hand_left_keypoints_2d",
    "right_hand_213": "hand_right_keypoints_2d",
}
SIZE = {"width": 640, "height": 480, "fps": 25.0}


def body_points(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(20, 400, (144, 2))


def write(folder: Path, number: int, *people: np.ndarray) -> None:
    frames = map(points_to_openpose, people)
    listed = [
        {key: getattr(f, part).ravel().tolist() for part, key in KEYS.items()} for f in frames
    ]
    (folder / f"clip2_{number}_keypoints.json").write_text(json.dumps({"people": listed}))


def test_reading_is_the_inverse_of_writing(tmp_path: Path) -> None:
    for number in (1, 2, 9, 10, 11):  # counts from 1, sorted as numbers
        write(tmp_path, number, body_points(number))
    keypoints = read_openpose_keypoints(tmp_path, frames=5, **SIZE)
    for frame, number in zip(keypoints.points_TK3, (1, 2, 9, 10, 11), strict=True):
        found = frame[:, 2] > 0
        np.testing.assert_allclose(frame[found, :2], body_points(number)[found], rtol=1e-6)
    assert found[list(IBUG68)].all() and found[POINT_INDEX["left_pinky_tip"]]
    assert not found[POINT_INDEX["spine1"]]
    assert keypoints.detection_rates() == {"body": 1, "face": 1, "left_hand": 1, "right_hand": 1}


def test_a_frame_without_people_is_missing_and_never_at_the_corner(tmp_path: Path) -> None:
    write(tmp_path, 0, body_points(0))
    write(tmp_path, 1)
    points = read_openpose_keypoints(tmp_path, frames=2, **SIZE).points_TK3
    assert (points[1, :, 2] == 0).all() and np.isnan(points[1, :, :2]).all()
    assert not (points[..., :2] == 0).any()


def test_the_larger_of_two_people_is_taken(tmp_path: Path) -> None:
    small, large = body_points(0) / 4, body_points(1)
    write(tmp_path, 0, small, large)
    nose = read_openpose_keypoints(tmp_path, frames=1, **SIZE).points_TK3[0, POINT_INDEX["nose"]]
    np.testing.assert_allclose(nose, [*large[POINT_INDEX["nose"]], 1], rtol=1e-6)


def test_files_of_a_faster_recording_are_resampled_as_its_frames_are(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path, number, body_points(0) + number)
    keypoints = read_openpose_keypoints(tmp_path, frames=6, **SIZE, source_fps=50.0)
    shift = keypoints.points_TK3[:, POINT_INDEX["nose"], 0] - body_points(0)[POINT_INDEX["nose"], 0]
    np.testing.assert_allclose(shift, [1, 3, 5, 7, 9, 11], atol=1e-3)


def test_what_does_not_fit_is_named_in_one_line(tmp_path: Path) -> None:
    for folder, frames, message in (
        (tmp_path / "absent", 3, "no json files"),
        (tmp_path, 7, "3 json files"),
        (tmp_path, 3, "no person"),
    ):
        for number in range(3):
            write(tmp_path, number)
        with pytest.raises(DataError, match=message) as error:
            read_openpose_keypoints(folder, frames=frames, **SIZE)
        assert "\n" not in str(error.value)
    (tmp_path / "clip2_1_keypoints.json").write_text("{")
    write(tmp_path, 0, body_points(0))
    with pytest.raises(DataError, match="not json"):
        read_openpose_keypoints(tmp_path, frames=3, **SIZE)


def test_frames_without_a_file_are_missing_and_move_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = [2, 3, 7, 11, 12]
    for number in there:
        write(tmp_path, number, body_points(number))
    points = read_openpose_keypoints(tmp_path, frames=16, **SIZE).points_TK3
    nose = POINT_INDEX["nose"]
    assert np.flatnonzero(points[:, nose, 2]).tolist() == there
    for number in there:
        place = body_points(number)[nose]
        np.testing.assert_allclose(points[number, nose, :2], place, rtol=1e-6)
    assert capsys.readouterr().err.count("11 of 16 frames are not there") == 1
    with pytest.raises(DataError, match="of 20 frames"):  # a third is missing at the end
        read_openpose_keypoints(tmp_path, frames=20, **SIZE)


def test_one_file_with_all_frames_is_read_in_the_recordings_pixels(tmp_path: Path) -> None:
    people = [points_to_openpose(body_points(t)).body_253 for t in range(4)]
    scaled = [person * (99 / SIZE["width"], 99 / SIZE["height"], 1) for person in people]
    frames = [
        {
            "canvas_width": 99,
            "canvas_height": 99,
            "people": [{"pose_keypoints_2d": s.ravel().tolist()}],
        }
        for s in scaled
    ]
    (tmp_path / "all.json").write_text(json.dumps(frames))
    points = read_openpose_keypoints(tmp_path / "all.json", frames=4, **SIZE).points_TK3
    expected = [body_points(t)[POINT_INDEX["left_ankle"]] for t in range(4)]
    np.testing.assert_allclose(points[:, POINT_INDEX["left_ankle"], :2], expected, rtol=1e-5)


@pytest.mark.parametrize("folder", cases(DATA, "**/openpose"))
def test_real_files_have_a_face_in_every_frame(folder: Path) -> None:
    files = sorted(folder.glob("*.json"))
    keypoints = read_openpose_keypoints(folder, frames=len(files), width=512, height=384, fps=25.0)
    assert keypoints.found_TK[:, list(IBUG68[27:])].mean() > 0.98
    first = read_openpose(files[0]).face_703[30, :2]
    np.testing.assert_allclose(keypoints.points_TK3[0, IBUG68[30], :2], first, rtol=1e-6)
