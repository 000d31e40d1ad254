"""`scripts/make_demo_faces.py` as a user runs it, in miniature."""

import importlib.util
import json
from pathlib import Path

import av
import make_demo_faces as script
import numpy as np
import pytest
from make_demo_speaker import EXTRAS

from speech2video.data.speech2face.clip import (
    EYE_DISTANCE,
    EYES_AT,
    FaceRecording,
    eye_centres,
    load_face_recordings,
)
from speech2video.util.video.reader import read_frames
from tests.shared import run_here

SIZE = 48
TINY = ("--sentences", 1, "--seconds", 1.2, "--size", SIZE, "--seed", 3)
NAMES = ("p00_00_neutral", "p01_00_calm")
CLIP = {"face.json", "video.mp4", "audio.wav", "landmarks.npz"}
pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, EXTRAS)), reason="the extra `demo` is missing"
)


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: object) -> int:
    return run_here(monkeypatch, script.main, "--output", folder, *TINY, *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two people, a sentence each."""
    folder = tmp_path_factory.mktemp("faces") / "demo"
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert run(monkeypatch, folder, "--people", 2, "--jobs", 2) == 0
    return folder


@pytest.fixture(scope="module")
def clips(folder: Path) -> list[FaceRecording]:
    return load_face_recordings(folder, size=SIZE)


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_there_are_clips_and_ground_truth_and_nothing_else(folder: Path) -> None:
    expected = {f"{name}/{file}" for name in NAMES for file in CLIP}
    expected |= {f"ground_truth/{name}.{kind}" for name in NAMES for kind in ("npz", "json")}
    assert set(contents(folder)) == expected


def test_clips_say_who_and_how(clips: list[FaceRecording]) -> None:
    assert [(one.speaker, one.emotion) for one in clips] == [("p00", "neutral"), ("p01", "calm")]
    assert all(0 < len(one) <= 30 and np.abs(one.audio_S).max() > 0.03 for one in clips)


def test_faces_are_aligned_and_fill_the_image(clips: list[FaceRecording]) -> None:
    for one in clips:
        right_2, left_2 = (np.median(eye, 0) for eye in eye_centres(one.points_TK2))
        np.testing.assert_allclose((right_2 + left_2) / 2, np.array(EYES_AT) * SIZE, atol=0.5)
        np.testing.assert_allclose(left_2 - right_2, (EYE_DISTANCE * SIZE, 0), atol=0.5)
        x, y = one.points_TK2[0, 30].astype(int)
        nose_3, corner_3 = one.frames_T3HW[0, :, y, x], one.frames_T3HW[0, :, 2, 2]
        assert np.abs(nose_3.astype(int) - corner_3).max() > 10


def test_ground_truth_is_as_long_and_opens_where_the_landmarks_do(
    folder: Path, clips: list[FaceRecording]
) -> None:
    for one in clips:
        with np.load(folder / "ground_truth" / f"{one.name}.npz", allow_pickle=False) as known:
            assert {len(known[name]) for name in known if name.endswith(("_T", "TE", "TA"))} == {
                len(one)
            }
            opening_T = known["lip_opening_T"]
            assert len(known["phones"]) == len(known["phone_times_N2"])
        gap_T = np.linalg.norm(one.points_TK2[:, 62] - one.points_TK2[:, 66], axis=1)
        assert np.corrcoef(gap_T, opening_T)[0, 1] > 0.98
        assert json.loads((folder / "ground_truth" / f"{one.name}.json").read_text())["text"]


@pytest.mark.slow
def test_more_people_leave_the_first_as_they_are(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = {name: data for name, data in contents(folder).items() if "p00" in name}
    assert run(monkeypatch, tmp_path / "demo", "--people", 1) == 0
    assert contents(tmp_path / "demo") == first


def test_what_is_there_is_not_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(folder)
    assert run(monkeypatch, folder, "--people", 2) == 0
    assert "2 of 2 clips are there" in capsys.readouterr().out and contents(folder) == before


def test_another_plan_in_the_same_folder_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, folder, "--people", 2, "--size", 64) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "size 48, not size 64" in error


def test_videos_say_that_they_are_synthetic(folder: Path) -> None:
    video = folder / NAMES[0] / "video.mp4"
    with av.open(str(video)) as file:
        assert "synthetic" in file.metadata["comment"]
    assert next(read_frames(video)).shape == (3, SIZE, SIZE)
