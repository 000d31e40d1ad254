"""OpenPose json: what is written is read, what is missing is zeros, what is wrong is one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speech2video.util.body.skeleton import POINT_INDEX, POINTS
from speech2video.util.errors import DataError
from speech2video.util.rendering.openpose import (
    BODY_25,
    OpenPoseFrame,
    points_to_openpose,
    read_openpose,
    read_openpose_folder,
)
from tests.shared import DATA, FIXTURES, cases

COUNTS = {
    "pose_keypoints_2d": 25,
    "face_keypoints_2d": 70,
    "hand_left_keypoints_2d": 21,
    "hand_right_keypoints_2d": 21,
}


def random_person(seed: int, size_px: float = 300.0) -> dict[str, list[float]]:
    random = np.random.default_rng(seed)
    return {
        key: (random.uniform(0.1, 1, (count, 3)) * (size_px, size_px, 1)).ravel().tolist()
        for key, count in COUNTS.items()
    }


def all_values(value: str) -> str:
    """Return a file's text in which every number of the body reads so."""
    return f'{{"people": [{{"pose_keypoints_2d": [{", ".join([value] * 75)}]}}]}}'


def write(path: Path, *people: Any) -> Path:
    path.write_text(json.dumps({"version": 1.3, "people": people}))
    return path


def test_numbers_come_back_unchanged(tmp_path: Path) -> None:
    person = random_person(0)
    frame = read_openpose(write(tmp_path / "a.json", person))
    arrays = (frame.body_253, frame.face_703, frame.left_hand_213, frame.right_hand_213)
    for array, values in zip(arrays, person.values(), strict=True):
        np.testing.assert_array_equal(array.ravel(), values)
    assert len(BODY_25) == len(set(BODY_25)) == len(frame.body_253)


@pytest.mark.parametrize("key", COUNTS)
def test_an_empty_list_is_zeros_and_touches_nothing_else(tmp_path: Path, key: str) -> None:
    person = random_person(1)
    whole = read_openpose(write(tmp_path / "a.json", person))
    frame = read_openpose(write(tmp_path / "b.json", person | {key: []}))
    parts = ("body_253", "face_703", "left_hand_213", "right_hand_213")
    for part, its_key in zip(parts, COUNTS, strict=True):
        expected = getattr(whole, part) * (its_key != key)
        np.testing.assert_array_equal(getattr(frame, part), expected)
    assert frame.left_hand_listed == (key != "hand_left_keypoints_2d")


def test_the_largest_person_is_taken_in_any_order(tmp_path: Path) -> None:
    small, large = random_person(2, 40), random_person(3, 200)
    empty = {key: [] for key in COUNTS}
    for people in ((small, large, empty), (empty, large, small)):
        frame = read_openpose(write(tmp_path / "a.json", *people))
        np.testing.assert_array_equal(frame.body_253.ravel(), large["pose_keypoints_2d"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not json"),
        ("\xff", "not json"),
        ("[" * 100_000, "not json"),
        ("[]", "people"),
        ('{"people": 3}', "people"),
        ('{"people": []}', "no person"),
        ('{"people": [7]}', "pose_keypoints_2d"),
        ('{"people": [{}]}', "pose_keypoints_2d"),
        ('{"people": [{"pose_keypoints_2d": 1}]}', "no list"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', "3 numbers"),
        (all_values("NaN"), "finite"),
        (all_values('"1"'), "finite"),
        (all_values("1e9"), "finite"),
        (all_values("1" * 400), "finite"),
    ],
)
def test_a_wrong_file_is_named_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=message) as error:
        read_openpose(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_frame_of_a_wrong_shape_is_refused() -> None:
    with pytest.raises(DataError, match="face_703"):
        OpenPoseFrame(
            body_253=np.zeros((25, 3)),
            face_703=np.zeros((68, 3)),
            left_hand_213=np.zeros((21, 3)),
            right_hand_213=np.zeros((21, 3)),
        )


def test_a_folder_is_read_in_frame_order(tmp_path: Path) -> None:
    numbers = [0, 2, 9, 10, 11, 100]
    for number in reversed(numbers):
        write(tmp_path / f"clip2_{number}_keypoints.json", random_person(number))
    for number, frame in zip(numbers, read_openpose_folder(tmp_path), strict=True):
        expected = random_person(number)["pose_keypoints_2d"]
        np.testing.assert_array_equal(frame.body_253.ravel(), expected)


def test_a_folder_without_frames_is_refused_at_once(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError, match="no json"):
            read_openpose_folder(folder)


@pytest.mark.parametrize("folder", cases(DATA, "**/openpose") + cases(FIXTURES, "skeleton_maps"))
def test_real_files_are_read(folder: Path) -> None:
    frames = list(read_openpose_folder(folder))
    assert len(frames) == len(list(folder.glob("*.json")))
    assert all(frame.face_703[:, 2].mean() > 0.5 for frame in frames)


def test_body_points_become_openpose_and_missing_ones_zeros() -> None:
    points_K2 = np.arange(2.0 * len(POINTS)).reshape(-1, 2) + 1
    points_K2[POINT_INDEX["left_wrist"]] = np.nan
    points_K2[POINT_INDEX["face_30"]] = 1e9
    frame = points_to_openpose(points_K2)
    assert frame.body_253[BODY_25.index("LElbow"), :2] == pytest.approx(
        points_K2[POINT_INDEX["left_elbow"]]
    )
    assert not frame.body_253[BODY_25.index("LWrist")].any()
    assert not frame.face_703[30].any() and frame.face_703[8, 2] == 1
    assert frame.right_hand_213[8, :2] == pytest.approx(points_K2[POINT_INDEX["right_index_tip"]])
