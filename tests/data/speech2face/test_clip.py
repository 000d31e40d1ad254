"""Face clips on disk: whole or not at all, and steady."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speech2video.data.speech2face.clip import (
    EYE_DISTANCE,
    EYES_AT,
    FaceClip,
    FaceInfo,
    alignment_transform,
    eye_centres,
    load_face_recordings,
    split_faces,
    transform_points,
)
from speech2video.data.speech2face.index import FaceIndex
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLES_PER_FRAME
from tests.face_clips import SENTENCES, SIZE, SPEAKERS, recording, recordings, write_face_clips

IMAGE_SIZE = 128
INFO = FaceInfo("a.mp4", 30, IMAGE_SIZE, "ann", "sad", "one", ("audio cut",))


@pytest.fixture
def points_TK2() -> np.ndarray:
    """Landmarks of a head that moves."""
    rng = np.random.default_rng(0)
    face_K2 = rng.uniform(-40, 40, (68, 2))
    face_K2[36:42] += (-60, -30)
    face_K2[42:48] += (60, -30)
    return 200 + face_K2 + rng.normal(0, 6, (41, 1, 2))


def test_clips_round_trip(tmp_path: Path, points_TK2: np.ndarray) -> None:
    with FaceClip.create(tmp_path / "set" / "one") as clip:
        clip.write_info(INFO)
        clip.write_points(points_TK2)
    (found,) = FaceClip.find_all(tmp_path / "set")
    assert found.info() == INFO
    np.testing.assert_array_equal(found.points(), points_TK2.astype(np.float32))


def test_a_clip_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), FaceClip.create(tmp_path / "one") as clip:
        clip.write_info(INFO)
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_way_stays(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="in the way"), FaceClip.create(tmp_path / "one"):
        pass
    assert (tmp_path / "one" / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not json"),
        ("{}", "no 'source'"),
        ('{"source": "a", "frames": "b", "size": 1, "speaker": "c"}', "frames"),
        ('{"source": "a", "frames": 1, "size": 1, "speaker": "c", "emotion": "odd"}', "known are"),
    ],
)
def test_a_broken_description_is_refused_in_a_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "face.json").write_text(text)
    with pytest.raises(DataError, match=message):
        FaceClip(tmp_path).info()


def test_landmarks_of_another_shape_are_refused(tmp_path: Path) -> None:
    clip = FaceClip(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        clip.points()
    np.savez(clip.landmarks, points_TK2=np.zeros((4, 5, 2)))
    with pytest.raises(DataError, match="68"):
        clip.points()
    np.savez(clip.landmarks, others=np.zeros(3))
    with pytest.raises(DataError, match="points_TK2"):
        clip.points()


def test_an_empty_folder_has_no_clips(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no face clips"):
        FaceClip.find_all(tmp_path)


def test_eyes_are_aligned(points_TK2: np.ndarray) -> None:
    points_TK2[3] = np.nan
    aligned = transform_points(points_TK2, alignment_transform(points_TK2, IMAGE_SIZE))
    right_2, left_2 = (np.nanmedian(eye, 0) for eye in eye_centres(aligned))
    np.testing.assert_allclose((right_2 + left_2) / 2, np.array(EYES_AT) * IMAGE_SIZE, atol=0.5)
    np.testing.assert_allclose(left_2 - right_2, (EYE_DISTANCE * IMAGE_SIZE, 0), atol=0.5)


def test_alignment_does_not_depend_on_the_camera(points_TK2: np.ndarray) -> None:
    straight = transform_points(points_TK2, alignment_transform(points_TK2, IMAGE_SIZE))
    rotation = 1.7 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    other = transform_points(points_TK2, np.column_stack((rotation, (900, -50))))
    again = transform_points(other, alignment_transform(other, IMAGE_SIZE))
    # medians are taken along each axis, so not exactly
    np.testing.assert_allclose(again, straight, atol=1.0)


def test_alignment_keeps_head_motion(points_TK2: np.ndarray) -> None:
    transform_23 = alignment_transform(points_TK2, IMAGE_SIZE)
    moved = np.diff(transform_points(points_TK2, transform_23), axis=0)
    np.testing.assert_allclose(moved, np.diff(points_TK2, axis=0) @ transform_23[:, :2].T)


def test_missing_eyes_are_refused(points_TK2: np.ndarray) -> None:
    with pytest.raises(DataError, match="both eyes"):
        alignment_transform(np.full_like(points_TK2, np.nan), IMAGE_SIZE)
    with pytest.raises(DataError, match="one place"):
        alignment_transform(np.zeros_like(points_TK2), IMAGE_SIZE)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_face_clips(tmp_path_factory.mktemp("faces"), frames=20)


def test_recordings_are_loaded_as_written(dataset: Path) -> None:
    found = load_face_recordings(dataset, size=SIZE)
    assert [one.name for one in found] == sorted(one.name for one in recordings())
    for one in found[:2]:
        made = next(other for other in recordings(frames=20) if other.name == one.name)
        assert (one.speaker, one.emotion, one.sentence) == tuple(one.name.split("_"))
        assert one.frames_T3HW.shape == made.frames_T3HW.shape and len(one) == 20
        apart = np.abs(one.frames_T3HW.astype(int) - made.frames_T3HW)
        assert apart.mean() < 4  # H.264 loses colours' detail
        np.testing.assert_array_equal(one.points_TK2, made.points_TK2)
        np.testing.assert_allclose(one.audio_S, made.audio_S, atol=1e-4)


def test_sizes_scale_frames_and_points_alike(dataset: Path) -> None:
    whole, half = (load_face_recordings(dataset, size=size)[0] for size in (SIZE, SIZE // 2))
    np.testing.assert_allclose(half.points_TK2, whole.points_TK2 / 2)
    means = whole.frames_T3HW.reshape(20, 3, SIZE // 2, 2, SIZE // 2, 2).mean((3, 5))
    assert np.abs(half.frames_T3HW - means).max() <= 1


def test_a_part_keeps_audio_and_frames_aligned() -> None:
    one = recording()
    part = one.part(5, 12)
    assert len(part) == 7 and len(part.audio_S) == 7 * SAMPLES_PER_FRAME
    np.testing.assert_array_equal(
        part.audio_S, one.audio_S[5 * SAMPLES_PER_FRAME : 12 * SAMPLES_PER_FRAME]
    )
    np.testing.assert_array_equal(part.points_TK2, one.points_TK2[5:12])


@pytest.mark.parametrize(
    ("part", "message"),
    [("audio", "samples"), ("frames", "face.json says 9"), ("size", "pixels")],
)
def test_parts_that_disagree_are_refused(tmp_path: Path, part: str, message: str) -> None:
    write_face_clips(tmp_path, frames=20)
    clip = FaceClip(tmp_path / recording().name)
    if part == "audio":
        write_audio(clip.audio, np.zeros(100, np.float32))
    else:
        wrong = {"frames": 9, "size": 32}[part]
        clip.write_info(replace(clip.info(), **{part: wrong}))
    with pytest.raises(DataError, match=message):
        load_face_recordings(tmp_path, size=SIZE)
    with pytest.raises(DataError, match=message):
        FaceIndex.update(tmp_path)


def test_the_last_fifth_of_each_speakers_sentences_is_held_out() -> None:
    split = split_faces(recordings())
    assert {one.sentence for one in split.observed} == {max(SENTENCES)}
    assert {one.speaker for one in split.observed} == set(SPEAKERS) and not split.unseen
    assert len(split.training) + len(split.observed) == len(recordings())
    again = split_faces(recordings()[::-1])
    assert {one.name for one in again.observed} == {one.name for one in split.observed}


def test_sentences_and_speakers_can_be_named() -> None:
    split = split_faces(recordings(), held_out_sentences=["one"], held_out_speakers=["bob"])
    assert {one.speaker for one in split.unseen} == {"bob"}
    assert {(one.speaker, one.sentence) for one in split.observed} == {("ann", "one")}
    assert {(one.speaker, one.sentence) for one in split.training} == {
        ("ann", sentence) for sentence in SENTENCES if sentence != "one"
    }


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"held_out_sentences": ["four"]}, "no such sentence; there are one"),
        ({"held_out_speakers": ["eve"]}, "no such speaker; there are ann, bob"),
        ({"held_out_speakers": SPEAKERS}, "nothing left to train on"),
        ({"held_out_sentences": SENTENCES}, "nothing left to train on"),
    ],
)
def test_an_impossible_split_is_refused(held: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_faces(recordings(), **held)


def test_one_sentence_each_holds_nothing_out() -> None:
    with pytest.raises(DataError, match="nothing held out"):
        split_faces([recording(person) for person in range(len(SPEAKERS))])


def test_clips_of_unknown_people_are_trained_on() -> None:
    unknown = [replace(one, speaker="", sentence="zz") for one in recordings()[:3]]
    split = split_faces([*unknown, *recordings()])
    assert split.training[:3] == unknown
    assert all(one.speaker for one in split.observed) and not split.unseen
    with pytest.raises(DataError, match="nothing held out"):
        split_faces(unknown)
