"""`scripts/preprocess.py` on a rendered speaker, and on what is no recording of a speaker."""

from pathlib import Path

import numpy as np
import preprocess as preprocess_script
import pytest
import torch

from speech2video.data.clip import Clip, clips_of
from speech2video.data.keypoints import Keypoints
from speech2video.data.motion_file import read_motion
from speech2video.util.audio import load_wave, write_wave
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.body.skeleton import IBUG68
from speech2video.util.camera import Camera
from speech2video.util.render import MeshRenderer
from speech2video.util.video import write_video
from tests.shared import run_here

pytest.importorskip("mediapipe", reason="the extra `preprocess` is not installed")
pytest.importorskip("pyvista", reason="the extra `render` is not installed")

FRAMES, SIZE = 55, 256
CAMERA = Camera(500.0, (128.0, 128.0), SIZE, SIZE, translation=(0.0, 0.25, 1.3))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    return run_here(monkeypatch, preprocess_script.main, *arguments)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered body that opens and shuts its mouth, loud when it is open."""
    folder = tmp_path_factory.mktemp("recordings")
    body = Body.load()
    time = np.arange(FRAMES) / 25
    pose = torch.zeros(FRAMES, POSE_SIZE)
    opening = 0.15 * (1 + np.sin(2 * np.pi * 1.5 * time))
    pose[:, -3] = torch.from_numpy(opening).float()
    samples = np.repeat(opening / 0.3, 640) * np.sin(np.arange(FRAMES * 640) / 4)
    write_wave(folder / "talk.wav", samples.astype(np.float32) * 0.8)
    with MeshRenderer(body, CAMERA) as renderer:
        frames = list(renderer.frames(pose))
    write_video(folder / "talk.mp4", iter(frames), audio=folder / "talk.wav")
    (folder / "talk.csv").write_text("word,start,end\nhello,0.2,0.9\n")
    return folder / "talk.mp4"


@pytest.fixture(scope="module")
def clip(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """The clip that the command makes of it."""
    output = tmp_path_factory.mktemp("dataset")
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert run(monkeypatch, "--input", recording, "--output", output) == 0
    assert "talk" in (output / "report.html").read_text()
    assert (output / "report.json").is_file()
    return clips_of(output)[0]


def test_the_clip_is_whole_and_in_step(clip: Clip) -> None:
    info = clip.info()
    assert (info.frames, info.width, info.height) == (FRAMES, SIZE, SIZE)
    assert info.words == "given" and info.source == "talk.mp4"
    assert len(load_wave(clip.audio)) == FRAMES * 640
    assert len(read_motion(clip.pose)) == len(Keypoints.load(clip.keypoints)) == FRAMES


def test_the_mouth_is_followed(clip: Clip) -> None:
    truth = 0.15 * (1 + np.sin(2 * np.pi * 1.5 * np.arange(FRAMES) / 25))
    body = Body.load()
    jaw = read_motion(clip.pose).pose_vector(body)[:, -3].numpy()
    assert np.corrcoef(jaw, truth)[0, 1] > 0.7
    points = Keypoints.load(clip.keypoints).points_TK3
    gap = np.linalg.norm(points[:, IBUG68[62], :2] - points[:, IBUG68[66], :2], axis=1)
    assert np.corrcoef(gap, truth)[0, 1] > 0.8


def test_a_second_run_does_nothing(
    clip: Clip, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in clip.folder.iterdir()}
    assert run(monkeypatch, "--input", recording, "--output", clip.folder.parent) == 0
    assert before == {path: path.stat().st_mtime_ns for path in clip.folder.iterdir()}


def plain(folder: Path, *, frames: int = 60, sound: bool = True) -> Path:
    """Write a video of nobody."""
    write_wave(folder / "a.wav", np.zeros(frames * 640, np.float32))
    picture = np.full((3, 64, 64), 128, np.uint8)
    audio = folder / "a.wav" if sound else None
    write_video(folder / "a.mp4", (picture for _ in range(frames)), audio=audio)
    return folder / "a.mp4"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "none.mp4", "no such file"),
        (lambda folder: folder, "no recordings"),
        (lambda folder: _text(folder), "text.mp4"),
        (lambda folder: plain(folder), "no person"),
        (lambda folder: plain(folder, frames=20), "0.8 s; at least 2 s"),
        (lambda folder: plain(folder, sound=False), "no sound"),
    ],
    ids=["no file", "empty folder", "no video", "nobody", "short", "mute"],
)
def test_what_is_no_recording_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    make: object,
    words: str,
) -> None:
    (tmp_path / "in").mkdir()
    recording, output = make(tmp_path / "in"), tmp_path / "out"
    assert run(monkeypatch, "--input", recording, "--output", output) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(errors) == 1 and words in errors[0]
    assert not output.exists() or not list(output.iterdir())


def _text(folder: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("no video")
    return path
