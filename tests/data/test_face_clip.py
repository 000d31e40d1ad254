"""Face clips on disk: whole or not at all, and steady."""

from pathlib import Path

import numpy as np
import pytest

from speech2video.data.face_clip import (
    EYE_DISTANCE,
    EYES_AT,
    FaceClip,
    FaceInfo,
    eye_middles,
    face_clips_of,
    new_face_clip,
    steady_transform,
    transformed,
)
from speech2video.util.errors import DataError

SIZE = 128
INFO = FaceInfo("a.mp4", 30, SIZE, "ann", "sad", "one", ("sound cut",))


@pytest.fixture
def points_TK2() -> np.ndarray:
    """Landmarks of a head that moves."""
    random = np.random.default_rng(0)
    face_K2 = random.uniform(-40, 40, (68, 2))
    face_K2[36:42] += (-60, -30)
    face_K2[42:48] += (60, -30)
    return 200 + face_K2 + random.normal(0, 6, (41, 1, 2))


def test_a_clip_gives_back_what_was_written(tmp_path: Path, points_TK2: np.ndarray) -> None:
    with new_face_clip(tmp_path / "set" / "one") as clip:
        clip.write_info(INFO)
        clip.write_points(points_TK2)
    (found,) = face_clips_of(tmp_path / "set")
    assert found.info() == INFO
    np.testing.assert_array_equal(found.points(), points_TK2.astype(np.float32))


def test_a_clip_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_face_clip(tmp_path / "one") as clip:
        clip.write_info(INFO)
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_way_stays(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="in the way"), new_face_clip(tmp_path / "one"):
        pass
    assert (tmp_path / "one" / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not json"),
        ("{}", "no 'source'"),
        ('{"source": "a", "frames": "b", "size": 1, "speaker": "c"}', "frames"),
        ('{"source": "a", "frames": 1, "size": 1, "speaker": "c", "emotion": "odd"}', "known are"),
    ],
)
def test_a_broken_note_is_refused_in_a_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "face.json").write_text(text)
    with pytest.raises(DataError, match=said):
        FaceClip(tmp_path).info()


def test_landmarks_of_another_shape_are_refused(tmp_path: Path) -> None:
    clip = FaceClip(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        clip.points()
    np.savez(clip.landmarks, points_TK2=np.zeros((4, 5, 2)))
    with pytest.raises(DataError, match="68"):
        clip.points()
    np.savez(clip.landmarks, others=np.zeros(3))
    with pytest.raises(DataError, match="points_TK2"):
        clip.points()


def test_an_empty_folder_has_no_clips(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no face clips"):
        face_clips_of(tmp_path)


def test_eyes_come_to_their_place(points_TK2: np.ndarray) -> None:
    points_TK2[3] = np.nan
    aligned = transformed(points_TK2, steady_transform(points_TK2, SIZE))
    right_2, left_2 = (np.nanmedian(eye, 0) for eye in eye_middles(aligned))
    np.testing.assert_allclose((right_2 + left_2) / 2, np.array(EYES_AT) * SIZE, atol=0.5)
    np.testing.assert_allclose(left_2 - right_2, (EYE_DISTANCE * SIZE, 0), atol=0.5)


def test_how_the_recording_was_held_makes_no_difference(points_TK2: np.ndarray) -> None:
    straight = transformed(points_TK2, steady_transform(points_TK2, SIZE))
    turn = 1.7 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    other = transformed(points_TK2, np.column_stack((turn, (900, -50))))
    again = transformed(other, steady_transform(other, SIZE))
    # medians are taken along each axis, so not exactly
    np.testing.assert_allclose(again, straight, atol=1.0)


def test_heads_move_in_aligned_pictures_as_they_did(points_TK2: np.ndarray) -> None:
    transform_23 = steady_transform(points_TK2, SIZE)
    moved = np.diff(transformed(points_TK2, transform_23), axis=0)
    np.testing.assert_allclose(moved, np.diff(points_TK2, axis=0) @ transform_23[:, :2].T)


def test_no_eyes_are_refused(points_TK2: np.ndarray) -> None:
    with pytest.raises(DataError, match="both eyes"):
        steady_transform(np.full_like(points_TK2, np.nan), SIZE)
    with pytest.raises(DataError, match="one place"):
        steady_transform(np.zeros_like(points_TK2), SIZE)
