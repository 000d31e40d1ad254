"""`scripts/preprocess.py` on the synthetic speaker, whose ground truth is known."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import preprocess as script
import pytest
import torch

from speech2video.data.clip import Clip
from speech2video.data.keypoints import Keypoints
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import read_motion, write_motion
from speech2video.data.preprocessing.recording import WordSource
from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.skeleton import IBUG68, POINT_INDEX, indices
from speech2video.util.rendering.openpose import points_to_openpose
from speech2video.util.text.transcript import read_words
from speech2video.util.video.reader import read_frames
from speech2video.util.video.writer import write_video
from tests.demo import SIZE
from tests.shared import run_here

WORD_OFF = 0.15  # seconds median error of the start of aligned words
WRIST_OFF = 0.25  # metres, median error of detected wrists
PIXELS_OFF = 6.0  # median error of fitted shoulders, elbows and detected wrists, at 256 pixels


@pytest.fixture(scope="module")
def ground_truth(demo: Path, demo_clip: Clip, body: Body) -> dict[str, np.ndarray]:
    """The true pose, its points in the camera's axes and in pixels."""
    return _points(demo / "ground_truth/000/pose.npz", body)


@pytest.fixture(scope="module")
def fitted(demo_clip: Clip, body: Body) -> dict[str, np.ndarray]:
    """The same of the fit."""
    return _points(demo_clip.pose, body)


def _points(path: Path, body: Body) -> dict[str, np.ndarray]:
    motion = read_motion(path)
    pose_TP = motion.pose_vector(body)
    points_TK3 = body.points(pose_TP, betas=motion.betas)
    in_camera = motion.camera.to_camera(points_TK3)
    pixels = motion.camera.project(points_TK3)
    parts = {"pose": pose_TP, "metres": in_camera, "pixels": pixels}
    return {name: part.numpy() for name, part in parts.items()}


def test_the_clip_is_complete_and_in_sync(
    demo_clip: Clip, ground_truth: dict[str, np.ndarray]
) -> None:
    info, frames = demo_clip.info(), len(ground_truth["pose"])
    assert (info.frames, info.width, info.height) == (frames, SIZE, SIZE)
    assert info.words == "aligned" and info.source == "000.mp4" and info.people == 1
    assert info.notes == ()
    assert len(load_audio(demo_clip.audio)) == frames * 640
    assert "000" in (demo_clip.folder.parent / "report.html").read_text()
    assert (demo_clip.folder.parent / "report.json").is_file()
    assert len(read_motion(demo_clip.pose)) == len(Keypoints.load(demo_clip.keypoints)) == frames


def test_face_and_hands_are_found(demo_clip: Clip) -> None:
    found = Keypoints.load(demo_clip.keypoints).detection_rates()
    assert found["face"] > 0.99 and found["body"] > 0.99
    assert min(found["left_hand"], found["right_hand"]) > 0.5


def test_the_mouth_is_fitted(
    demo_clip: Clip, ground_truth: dict[str, np.ndarray], fitted: dict[str, np.ndarray]
) -> None:
    assert np.corrcoef(fitted["pose"][:, -3], ground_truth["pose"][:, -3])[0, 1] > 0.5
    seen_TK2 = Keypoints.load(demo_clip.keypoints).points_TK3[..., :2]
    gaps = [
        np.linalg.norm(points[:, IBUG68[62]] - points[:, IBUG68[66]], axis=1)
        for points in (seen_TK2, fitted["pixels"], ground_truth["pixels"])
    ]
    assert np.corrcoef(gaps)[:2, 2].min() > 0.8


def test_the_body_is_fitted(
    demo_clip: Clip, ground_truth: dict[str, np.ndarray], fitted: dict[str, np.ndarray]
) -> None:
    found_TK = Keypoints.load(demo_clip.keypoints).found_TK
    for side in ("left", "right"):
        hand_T = found_TK[:, indices((f"{side}_wrist", f"{side}_index1"))].all(1)
        for name in ("shoulder", "elbow", "wrist"):
            joint = POINT_INDEX[f"{side}_{name}"]
            off_T = np.linalg.norm(
                fitted["pixels"][:, joint] - ground_truth["pixels"][:, joint], axis=1
            )
            assert np.median(off_T[hand_T]) < PIXELS_OFF, f"{side} {name}"
        off_T3 = _from_neck(fitted, f"{side}_wrist") - _from_neck(ground_truth, f"{side}_wrist")
        assert np.median(np.linalg.norm(off_T3, axis=1)[hand_T]) < WRIST_OFF


def _from_neck(points: dict[str, np.ndarray], name: str) -> np.ndarray:
    return points["metres"][:, POINT_INDEX[name]] - points["metres"][:, POINT_INDEX["neck"]]


def test_the_words_are_aligned(demo: Path, demo_clip: Clip) -> None:
    spoken, aligned = read_words(demo / "ground_truth/000/words.csv"), read_words(demo_clip.words)
    assert [w.text.lower() for w in aligned] == [w.text.lower() for w in spoken]
    off = [abs(a.start - b.start) for a, b in zip(aligned, spoken, strict=True)]
    assert np.median(off) < WORD_OFF


def test_a_second_run_does_nothing(
    demo_clip: Clip, demo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo_clip.folder.iterdir()}
    arguments = ("--input", demo / "recordings", "--output", demo_clip.folder.parent)
    assert run_here(monkeypatch, script.main, *arguments) == 0
    assert "1 of 1 recordings are there" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in demo_clip.folder.iterdir()}


OPENPOSE_KEYS = {
    "body_253": "pose_keypoints_2d",
    "face_703": "face_keypoints_2d",
    "left_hand_213": "hand_left_keypoints_2d",
    "right_hand_213": "hand_right_keypoints_2d",
}


def write_openpose(folder: Path, pixels_TK2: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for number, points_K2 in enumerate(pixels_TK2):
        frame = points_to_openpose(points_K2)
        person = {key: getattr(frame, part).ravel().tolist() for part, key in OPENPOSE_KEYS.items()}
        path = folder / f"{folder.name}_{number}_keypoints.json"
        path.write_text(json.dumps({"people": [person]}))


def test_given_points_and_motion_are_scaled_to_the_clip(
    demo: Path,
    ground_truth: dict[str, np.ndarray],
    body: Body,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    openpose, output = tmp_path / "openpose/000", tmp_path / "dataset"
    write_openpose(openpose, ground_truth["pixels"])
    given = (
        "--keypoints",
        f"openpose:{openpose.parent}",
        "--motion",
        demo / "ground_truth/000/pose.npz",
    )
    arguments = ("--input", demo / "recordings", "--output", output, "--size", SIZE // 2, *given)
    assert run_here(monkeypatch, script.main, *arguments) == 0
    clip = Clip(output / "000")
    assert (clip.info().keypoints, clip.info().width) == ("openpose", SIZE // 2)
    points_TK3 = Keypoints.load(clip.keypoints).points_TK3
    face = list(IBUG68)
    np.testing.assert_allclose(
        points_TK3[:, face, :2], ground_truth["pixels"][:, face] / 2, atol=1e-3
    )
    taken = _points(clip.pose, body)
    np.testing.assert_allclose(taken["pose"], ground_truth["pose"], atol=1e-4)
    np.testing.assert_allclose(taken["pixels"], ground_truth["pixels"] / 2, atol=1e-2)


CUT = 55  # frame


@pytest.fixture(scope="module")
def cut_recording(
    demo: Path, ground_truth: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[object]]:
    """A folder of a recording with a cut and an end without a person; the command's arguments."""
    folder, frames = tmp_path_factory.mktemp("cut"), list(read_frames(demo / "recordings/000.mp4"))
    (folder / "in").mkdir()
    closer = [
        cv2.resize(f[:, 20:180, 40:200].transpose(1, 2, 0), (SIZE, SIZE)).transpose(2, 0, 1)
        for f in frames[CUT:]
    ]
    wall = np.random.default_rng(0).integers(60, 200, (4, 4, 3), np.uint8)
    wall = cv2.resize(wall, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST).transpose(2, 0, 1)
    shown = [*frames[:CUT], *closer, *[wall] * 60]
    audio_S = np.zeros(640 * len(shown), np.float32)
    audio_S[: 640 * len(frames)] = load_audio(demo / "recordings/000.mp4")[: 640 * len(frames)]
    write_audio(folder / "talk.wav", audio_S)
    write_video(folder / "in/talk.mp4", iter(shown), audio=folder / "talk.wav")
    (folder / "in/talk.csv").write_text("word,start,end\none,0.1,0.4\ntwo,2.1,2.4\nsix,2.6,2.9\n")
    pixels_TK2 = np.full((len(shown), *ground_truth["pixels"].shape[1:]), np.nan)
    pixels_TK2[: len(frames)] = ground_truth["pixels"]
    write_openpose(folder / "openpose/talk", pixels_TK2)
    motion = read_motion(demo / "ground_truth/000/pose.npz")
    body = Body.load()
    pose_TP = motion.pose_vector(body)
    longer_TP = pose_TP[torch.arange(len(shown)).clamp(max=len(pose_TP) - 1)]
    write_motion(folder / "talk.npz", motion_from_pose(longer_TP, body, camera=motion.camera))
    given = ["--keypoints", f"openpose:{folder / 'openpose'}", "--motion", folder / "talk.npz"]
    return folder / "dataset", ["--input", folder / "in", "--output", folder / "dataset", *given]


def test_a_recording_is_split_at_cuts(
    cut_recording: tuple[Path, list[object]],
    ground_truth: dict[str, np.ndarray],
    body: Body,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dataset, arguments = cut_recording
    assert run_here(monkeypatch, script.main, *arguments) == 0
    printed = capsys.readouterr().out
    assert "4.40 to 6.80 s, without a person" in printed and "1 of 1 recordings in" in printed
    clips = [Clip(dataset / name) for name in ("talk_1", "talk_2")]
    assert sorted(path.parent.name for path in dataset.glob("*/clip.json")) == ["talk_1", "talk_2"]
    frames = len(ground_truth["pose"])
    audio_S = load_audio(dataset.parent / "in/talk.mp4")
    for clip, (begin, end) in zip(clips, ((0, CUT), (CUT, frames)), strict=True):
        assert clip.info().frames == end - begin and clip.info().source == "talk.mp4"
        assert "cut out of talk.mp4" in clip.info().notes[0]
        made_S = load_audio(clip.audio)
        np.testing.assert_allclose(made_S, audio_S[640 * begin : 640 * end], atol=1e-4)
        pose_TP = read_motion(clip.pose).pose_vector(body).numpy()
        np.testing.assert_allclose(pose_TP, ground_truth["pose"][begin:end], atol=1e-4)
        assert len(Keypoints.load(clip.keypoints)) == end - begin
        assert len(list(read_frames(clip.video))) == end - begin
    assert [word.text for word in read_words(clips[0].words)] == ["one"]
    assert read_words(clips[1].words)[0].start == pytest.approx(2.6 - CUT / 25)


def test_parts_are_made_again_only_if_the_first_is_missing(
    cut_recording: tuple[Path, list[object]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dataset, arguments = cut_recording
    assert run_here(monkeypatch, script.main, *arguments) == 0
    assert "1 of 1 recordings are there" in capsys.readouterr().out
    files = {path: path.read_bytes() for path in dataset.glob("talk_*/*")}
    shutil.rmtree(dataset / "talk_1")  # as if killed before the last part was renamed
    assert run_here(monkeypatch, script.main, *arguments) == 0
    assert {path: path.read_bytes() for path in dataset.glob("talk_*/*")} == files
    assert not list(dataset.glob(".*"))


def test_a_recording_called_as_anothers_part_is_refused(
    cut_recording: tuple[Path, list[object]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dataset, arguments = cut_recording
    assert run_here(monkeypatch, script.main, *arguments) == 0
    source = dataset.parent / "in/talk.mp4"
    (source.parent / "talk_1.mp4").write_bytes(source.read_bytes())
    assert run_here(monkeypatch, script.main, *arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "talk_1: a part of talk.mp4 already; rename talk_1.mp4" in error


def test_a_folder_of_frames_is_a_recording_and_unread_files_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("take", "stills", "out"):
        (tmp_path / folder).mkdir()
    names = ["talk.MTS", "talk.txt", "take/1.png", "take/2.png", "take.wav", ".hidden", "Thumbs.db"]
    unread = ["logo1.jpg", "logo2.jpg", "talk.docx", "x.docx", "stills/1.png", "stills/2.png"]
    for name in names + unread:
        (tmp_path / name).touch()
    (tmp_path / "talk.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    arguments = {"words": WordSource(), "others": [tmp_path / "out"]}
    found = script.list_recordings(tmp_path, **arguments)
    assert found == [tmp_path / "take", tmp_path / "talk.MTS"]
    named = "logo1.jpg, logo2.jpg, stills/, talk.docx, talk.txt and 1 more"
    assert capsys.readouterr().err == f"note: {tmp_path}: not read: {named}\n"
    assert script.list_recordings(tmp_path / "take") == [tmp_path / "take"]


@pytest.mark.parametrize("ending", [".mts", ".m2ts", ".3gp", ".flv", ".wmv", ".ts", ".MOV"])
def test_common_containers_are_recordings(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"talk{ending}").touch()
    assert script.list_recordings(tmp_path) == [tmp_path / f"talk{ending}"]
