"""A folder of OpenPose json becomes keypoints: everything in its place, nobody is missing."""

import json
from pathlib import Path

import numpy as np
import pytest

from speech2video.data.preprocessing.openpose_keypoints import read_openpose_keypoints
from speech2video.util.body.skeleton import IBUG68, POINT_INDEX
from speech2video.util.errors import DataError
from speech2video.util.openpose import points_to_openpose, read_openpose
from tests.shared import DATA, cases

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


def test_reading_is_the_inverse_of_drawing(tmp_path: Path) -> None:
    for number in (1, 2, 9, 10, 11):  # counts from 1, sorted as numbers
        write(tmp_path, number, body_points(number))
    keypoints = read_openpose_keypoints(tmp_path, frames=5, **SIZE)
    for frame, number in zip(keypoints.points_TK3, (1, 2, 9, 10, 11), strict=True):
        found = frame[:, 2] > 0
        np.testing.assert_allclose(frame[found, :2], body_points(number)[found], rtol=1e-6)
    assert found[list(IBUG68)].all() and found[POINT_INDEX["left_pinky_tip"]]
    assert not found[POINT_INDEX["spine1"]]
    assert keypoints.found_share() == {"body": 1, "face": 1, "left_hand": 1, "right_hand": 1}


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
        (tmp_path / "absent", 3, "0 json files"),
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


@pytest.mark.parametrize("folder", cases(DATA, "**/openpose"))
def test_real_files_have_a_face_in_every_frame(folder: Path) -> None:
    files = sorted(folder.glob("*.json"))
    keypoints = read_openpose_keypoints(folder, frames=len(files), width=512, height=384, fps=25.0)
    assert keypoints.found_TK[:, list(IBUG68[27:])].mean() > 0.98
    first = read_openpose(files[0]).face_703[30, :2]
    np.testing.assert_allclose(keypoints.points_TK3[0, IBUG68[30], :2], first, rtol=1e-6)
