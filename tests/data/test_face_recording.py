"""Face clips in memory: what was written, in any size, and divided without a leak."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speech2video.data.face_clip import FaceClip
from speech2video.data.face_recording import divide_faces, load_face_recordings
from speech2video.util.audio import write_wave
from speech2video.util.errors import DataError
from speech2video.util.log_mels import FRAME
from tests.face_clips import PEOPLE, SENTENCES, SIZE, recording, recordings, write_face_clips


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_face_clips(tmp_path_factory.mktemp("faces"), frames=20)


def test_clips_come_back(dataset: Path) -> None:
    found = load_face_recordings(dataset, size=SIZE)
    assert [one.name for one in found] == sorted(one.name for one in recordings())
    for one in found[:2]:
        made = next(other for other in recordings(frames=20) if other.name == one.name)
        assert (one.speaker, one.emotion, one.sentence) == tuple(one.name.split("_"))
        assert one.frames_T3HW.shape == made.frames_T3HW.shape and len(one) == 20
        apart = np.abs(one.frames_T3HW.astype(int) - made.frames_T3HW)
        assert apart.mean() < 4  # H.264 loses colours' detail
        np.testing.assert_array_equal(one.points_TK2, made.points_TK2)
        np.testing.assert_allclose(one.wave_S, made.wave_S, atol=1e-4)


def test_sizes_scale_pictures_and_points_alike(dataset: Path) -> None:
    whole, half = (load_face_recordings(dataset, size=size)[0] for size in (SIZE, SIZE // 2))
    np.testing.assert_allclose(half.points_TK2, whole.points_TK2 / 2)
    means = whole.frames_T3HW.reshape(20, 3, SIZE // 2, 2, SIZE // 2, 2).mean((3, 5))
    assert np.abs(half.frames_T3HW - means).max() <= 1


def test_a_part_keeps_sound_and_picture_together() -> None:
    one = recording()
    part = one.part(5, 12)
    assert len(part) == 7 and len(part.wave_S) == 7 * FRAME
    np.testing.assert_array_equal(part.wave_S, one.wave_S[5 * FRAME : 12 * FRAME])
    np.testing.assert_array_equal(part.points_TK2, one.points_TK2[5:12])


@pytest.mark.parametrize(
    ("part", "said"),
    [("sound", "samples"), ("frames", "face.json says 9"), ("size", "pixels"), ("speaker", "name")],
)
def test_parts_that_disagree_are_refused(tmp_path: Path, part: str, said: str) -> None:
    write_face_clips(tmp_path, frames=20)
    clip = FaceClip(tmp_path / recording().name)
    if part == "sound":
        write_wave(clip.audio, np.zeros(100, np.float32))
    else:
        wrong = {"frames": 9, "size": 32, "speaker": ""}[part]
        clip.write_info(replace(clip.info(), **{part: wrong}))
    with pytest.raises(DataError, match=said):
        load_face_recordings(tmp_path, size=SIZE)


def test_the_last_fifth_of_everybodys_sentences_is_held_out() -> None:
    split = divide_faces(recordings())
    assert {one.sentence for one in split.observed} == {max(SENTENCES)}
    assert {one.speaker for one in split.observed} == set(PEOPLE) and not split.unseen
    assert len(split.training) + len(split.observed) == len(recordings())
    again = divide_faces(recordings()[::-1])
    assert {one.name for one in again.observed} == {one.name for one in split.observed}


def test_sentences_and_speakers_can_be_named() -> None:
    split = divide_faces(recordings(), held_out_sentences=["one"], held_out_speakers=["bob"])
    assert {one.speaker for one in split.unseen} == {"bob"}
    assert {(one.speaker, one.sentence) for one in split.observed} == {("ann", "one")}
    assert {(one.speaker, one.sentence) for one in split.training} == {
        ("ann", sentence) for sentence in SENTENCES if sentence != "one"
    }


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"held_out_sentences": ["four"]}, "no such sentence; there are one"),
        ({"held_out_speakers": ["eve"]}, "no such speaker; there are ann, bob"),
        ({"held_out_speakers": PEOPLE}, "nothing left to train on"),
        ({"held_out_sentences": SENTENCES}, "nothing left to train on"),
    ],
)
def test_a_division_that_cannot_be_is_refused(held: dict, said: str) -> None:
    with pytest.raises(DataError, match=said):
        divide_faces(recordings(), **held)


def test_one_sentence_each_holds_nothing_out() -> None:
    with pytest.raises(DataError, match="nothing held out"):
        divide_faces([recording(person) for person in range(len(PEOPLE))])
