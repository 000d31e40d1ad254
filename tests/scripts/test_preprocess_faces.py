"""`scripts/preprocess.py --faces`: aligned and labelled clips, and bad input."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import preprocess as script
import pytest

from speech2video.data.preprocessing.faces import align_frames
from speech2video.data.speech2face.clip import (
    FaceClip,
    FaceRecording,
    eye_centres,
    load_face_recording,
)
from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.timing import SAMPLES_PER_FRAME
from speech2video.util.video.writer import write_video
from tests.shared import DATA, cases, run_here

SIZE, FRAMES = 64, 20
NEEDED = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("mediapipe", "pyvista", "espeakng_loader"))),
    reason="the extras `preprocess` and `demo` are not installed",
)


def run(monkeypatch: pytest.MonkeyPatch, recordings: Path, output: Path, *more: object) -> int:
    arguments = ("--faces", "--face_size", SIZE, "--input", recordings, "--output", output, *more)
    return run_here(monkeypatch, script.main, *arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FaceClip:
    """A synthetic face that speaks, with its true landmarks, at 128 pixels."""
    from speech2video.data.synthetic.faces.recording import FacePlan, make_demo_face_clip
    from speech2video.util.body.body_model import Body

    folder, plan = tmp_path_factory.mktemp("made"), FacePlan(6, 0, 0, 1.2, 128)
    make_demo_face_clip(folder, plan, Body.load())
    return FaceClip(folder / plan.name)


@pytest.fixture(scope="module")
def recordings(made: FaceClip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That face in the corner of larger frames: once with an audio track, once with a file."""
    folder = tmp_path_factory.mktemp("recordings")
    face = load_face_recording(made, size=128)
    wide = np.full((len(face), 3, 180, 240), 90, np.uint8)
    wide[:, :, 40:168, 100:228] = face.frames_T3HW
    for name in ("ann/happy/one.mp4", "bob/two.mp4"):
        path = folder / name
        path.parent.mkdir(parents=True)
        write_video(path, wide, audio=made.audio if "one" in name else None)
    shutil.copy(made.audio, folder / "bob" / "two.wav")
    return folder


@pytest.fixture(scope="module")
def dataset(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("dataset") / "faces"
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert run(monkeypatch, recordings, output) == 0
    return output


@NEEDED
def test_clips_are_named_and_labelled_by_their_folders(dataset: Path) -> None:
    found = {clip.folder.name: clip.info() for clip in FaceClip.find_all(dataset)}
    assert set(found) == {"ann_happy_one", "bob_two"}
    one, two = found["ann_happy_one"], found["bob_two"]
    assert (one.speaker, one.emotion, one.sentence) == ("ann", "happy", "one")
    assert (two.speaker, two.emotion, two.sentence) == ("bob", "", "two")
    assert one.size == SIZE and one.notes == two.notes == ()


@NEEDED
def test_the_found_face_is_the_true_one(dataset: Path, made: FaceClip) -> None:
    truth_TK2 = made.points() * (SIZE / 128)  # it was aligned already
    found_TK2 = FaceClip(dataset / "bob_two").points()
    inner = slice(17, 68)  # cheeks' outline is where each detector thinks
    apart_TK = np.linalg.norm(found_TK2 - truth_TK2, axis=2)[:, inner]
    assert np.median(apart_TK) < 0.04 * SIZE
    right_T2, left_T2 = eye_centres(found_TK2)
    middle_2 = np.median((right_T2 + left_T2) / 2, 0)
    np.testing.assert_allclose(middle_2, (0.5 * SIZE, 0.38 * SIZE), atol=0.5)
    gaps = [np.linalg.norm(p[:, 62] - p[:, 66], axis=1) for p in (found_TK2, truth_TK2)]
    assert np.corrcoef(gaps)[0, 1] > 0.8


@NEEDED
def test_frames_and_audio_are_unchanged(dataset: Path, made: FaceClip) -> None:
    ground_truth = load_face_recording(made, size=SIZE)
    one = load_face_recording(FaceClip(dataset / "bob_two"), size=SIZE)
    assert len(one) == len(ground_truth)
    np.testing.assert_array_equal(one.audio_S, ground_truth.audio_S)
    middle = slice(SIZE // 4, 3 * SIZE // 4)  # detectors' eyes are not quite the true ones
    apart = (
        one.frames_T3HW[..., middle, middle].astype(int)
        - ground_truth.frames_T3HW[..., middle, middle]
    )
    assert np.abs(apart).mean() < 12


@NEEDED
def test_a_recording_is_split_at_cuts(
    made: FaceClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    face = load_face_recording(made, size=128)
    far = np.full((len(face), 3, 180, 240), 90, np.uint8)
    far[:, :, 40:168, 100:228] = face.frames_T3HW
    near = np.full_like(far, 90)
    near[:, :, :, 20:200] = face.frames_T3HW[:, :, np.arange(180) * 128 // 180][
        ..., np.arange(180) * 128 // 180
    ]
    slide = np.full_like(far, 20)
    slide[:, :, 60:90, 30:200] = 200
    shown = np.concatenate([slide, far, near])
    write_audio(tmp_path / "a.wav", np.tile(face.audio_S, 3))
    (tmp_path / "in/ann").mkdir(parents=True)
    write_video(tmp_path / "in/ann/one.mp4", iter(shown), audio=tmp_path / "a.wav")
    assert run(monkeypatch, tmp_path / "in", tmp_path / "out") == 0
    assert "without a face" in capsys.readouterr().out
    clips = FaceClip.find_all(tmp_path / "out")
    assert [clip.folder.name for clip in clips] == ["ann_one_1", "ann_one_2"]
    loaded = [load_face_recording(clip, size=SIZE) for clip in clips]
    assert [len(one) for one in loaded] == [len(face)] * 2
    right_T2, left_T2 = (np.stack(both) for both in zip(*map(_eyes, loaded), strict=True))
    np.testing.assert_allclose(left_T2 - right_T2, np.tile((0.3 * SIZE, 0), (2, 1)), atol=1.5)


def _eyes(one: FaceRecording) -> tuple[np.ndarray, np.ndarray]:
    right_T2, left_T2 = eye_centres(one.points_TK2)
    return np.nanmedian(right_T2, 0), np.nanmedian(left_T2, 0)


@NEEDED
def test_parts_of_a_list_are_cut_out(
    recordings: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list.txt").write_text("ann/happy/one.mp4 0.2-1.0\nbob/none.mp4\n")
    more = ("--list", tmp_path / "list.txt", "--label_scheme", "none")
    assert run(monkeypatch, recordings, tmp_path / "set", *more) == 2  # one is missing
    (part,) = FaceClip.find_all(tmp_path / "set")
    assert part.folder.name == "ann_happy_one_0.2-1"
    info, whole = part.info(), FaceClip(dataset / "ann_happy_one")
    assert (info.speaker, info.emotion, info.frames, info.notes) == ("", "", 20, ())
    assert info.sentence == "ann_happy_one_0.2-1"
    audio_S = load_audio(whole.audio)[5 * SAMPLES_PER_FRAME : 25 * SAMPLES_PER_FRAME]
    np.testing.assert_array_equal(load_audio(part.audio), audio_S)
    turn = [np.hypot(*(p[:, 57] - p[:, 51]).T) for p in (part.points(), whole.points()[5:25])]
    assert np.corrcoef(turn)[0, 1] > 0.9


@NEEDED
def test_a_second_run_does_nothing(
    recordings: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    before = (dataset / "bob_two" / "video.mp4").stat().st_mtime_ns
    assert run(monkeypatch, recordings, dataset) == 0
    assert "2 of 2 recordings are there" in capsys.readouterr().out
    assert (dataset / "bob_two" / "video.mp4").stat().st_mtime_ns == before


@NEEDED
def test_bad_recordings_are_reported_and_the_others_made(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "people"
    shutil.copytree(recordings / "ann", folder / "ann")
    grey = np.full((FRAMES, 3, 64, 64), 128, np.uint8)
    write_audio(tmp_path / "a.wav", np.zeros(FRAMES * SAMPLES_PER_FRAME, np.float32))
    (folder / "eve").mkdir()
    write_video(folder / "eve" / "empty.mp4", grey, audio=tmp_path / "a.wav")
    write_video(folder / "eve" / "silent.mp4", grey)
    (folder / "eve" / "text.mp4").write_text("no video")
    assert run(monkeypatch, folder, tmp_path / "set", "--label_scheme", "folders") == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(errors) == 3
    for name, reason in (("empty", "no face"), ("silent", "no audio"), ("text", "not a video")):
        assert any(name in line and reason in line for line in errors)
    assert [clip.folder.name for clip in FaceClip.find_all(tmp_path / "set")] == ["ann_happy_one"]


@NEEDED
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--label_scheme", "csv"), "go together"),
        (("--labels", "nowhere.csv"), "go together"),
        (("--label_scheme", "csv", "--labels", "nowhere.csv"), "nowhere.csv: no such file"),
        (("--label_scheme", "ravdess"), "not a name of ravdess"),
    ],
)
def test_labels_that_do_not_fit_are_rejected(
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    more: tuple[str, ...],
    said: str,
) -> None:
    assert run(monkeypatch, recordings, tmp_path / "set", *more) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
def test_frames_are_transformed_as_points(scale: float) -> None:
    frame_3HW = np.zeros((3, 60, 80), np.uint8)
    frame_3HW[:, 20:24, 30:34] = 240  # its middle is (32, 22)
    turn = scale * np.array([[0.8, -0.6], [0.6, 0.8]])
    transform_23 = np.column_stack((turn, (64, 64) - turn @ (32, 22)))
    (moved_3HW,) = align_frames([frame_3HW], transform_23, 128)
    weight_HW = moved_3HW[0].astype(float)
    ys, xs = np.indices(weight_HW.shape) + 0.5
    middle = (weight_HW * xs).sum() / weight_HW.sum(), (weight_HW * ys).sum() / weight_HW.sum()
    np.testing.assert_allclose(middle, (64, 64), atol=0.15)


def test_borders_are_replicated() -> None:
    frame_3HW = np.full((3, 40, 40), 77, np.uint8)
    (moved_3HW,) = align_frames([frame_3HW], np.array([[1.0, 0, 90], [0, 1, 5]]), 128)
    assert (moved_3HW == 77).all()


@NEEDED
@pytest.mark.parametrize("recording", cases(DATA, "grid_faces/s*/bbaf?n.mp4", "grid/l*.mpg"))
def test_real_faces_are_found_in_every_frame(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, recording, tmp_path / "set") == 0
    (clip,) = FaceClip.find_all(tmp_path / "set")
    info = clip.info()
    assert info.frames == 75 and np.isfinite(clip.points()).all() and info.notes == ()
    assert info.sentence == recording.stem and len(load_audio(clip.audio)) == 75 * SAMPLES_PER_FRAME
