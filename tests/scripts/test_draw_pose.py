"""`scripts/draw_pose.py` as a user runs it."""

import subprocess
import sys
from pathlib import Path

import av
import draw_pose as draw_pose_script
import numpy as np
import pytest
import torch

from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import write_motion
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.timing import FPS
from tests.shared import DATA, ROOT, cases, run_here

FRAMES = 20
SMALL = ("--size", 128)


def draw_pose(*arguments: object) -> subprocess.CompletedProcess:
    """Run the command as a user does."""
    command = [sys.executable, str(ROOT / "scripts" / "draw_pose.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def draw_pose_here(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    return run_here(monkeypatch, draw_pose_script.main, *arguments)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Path:
    """A clip's folder with pose and audio."""
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    pose = torch.randn(1, POSE_SIZE) * torch.linspace(0, 0.2, FRAMES).unsqueeze(1)
    write_motion(folder / "pose.npz", motion_from_pose(pose, body))
    time = np.arange(FRAMES * 640) / 16000
    write_audio(folder / "audio.wav", np.sin(2 * np.pi * 440 * time).astype(np.float32) / 2, 16000)
    return folder


def read(path: Path) -> tuple[np.ndarray, float]:
    """Return the frames (T, H, W, 3) and the seconds of audio of a video."""
    with av.open(str(path)) as file:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in file.decode(video=0)])
    with av.open(str(path)) as file:
        audio = file.streams.audio
        seconds = float(audio[0].duration * audio[0].time_base) if audio else 0.0
    return frames, seconds


@pytest.mark.parametrize(
    "extra", [(), ("--map_style", "vid2vid_authors"), ("--clamp",), ("--mesh",)], ids=str
)
def test_a_clip_becomes_a_video_with_its_audio(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: tuple
) -> None:
    if "--mesh" in extra:
        pytest.importorskip("pyvista", reason="the extra `render` is not installed")
    output = tmp_path / "new" / "out.mp4"
    assert draw_pose_here(monkeypatch, "--pose", clip, "--output", output, *SMALL, *extra) == 0
    frames, seconds = read(output)
    assert frames.shape == (FRAMES, 128, 128, 3)
    assert seconds == pytest.approx(FRAMES / FPS, abs=1e-3)
    assert (frames[0] != frames[-1]).any() and frames.std() > 5
    assert [path.name for path in output.parent.iterdir()] == ["out.mp4"]


BAD = {
    "no such file": (["--pose", "nowhere.npz"], "nowhere.npz"),
    "not an npz": (["--pose", __file__], "npz"),
    "a folder without motion": (["--pose", "."], "no pose.npz"),
    "no such body": (["--body", "nowhere.npz"], "register"),
    "a body that is none": (["--body", __file__], "body"),
    "no such audio": (["--audio", "nowhere.wav"], "nowhere.wav"),
    "not audio": (["--audio", __file__], "test_draw_pose.py"),
    "size": (["--size", "5"], "--size 5"),
    "output cannot be": (["--output", "/proc/nowhere/out.mp4"], "/proc/nowhere"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line_and_leaves_nothing(
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    extra, words = BAD[name]
    arguments = ["--pose", clip, "--output", tmp_path / "out.mp4", *SMALL, *extra]
    assert draw_pose_here(monkeypatch, *arguments) == 2
    text = capsys.readouterr().err
    errors = [line for line in text.splitlines() if "error: " in line]
    assert len(errors) == 1 and words in errors[0], text
    assert not list(tmp_path.iterdir())


def test_the_command_itself_gives_status_and_line(clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    assert draw_pose("--pose", clip, "--output", output, *SMALL).returncode == 0
    assert output.is_file()
    failed = draw_pose("--pose", tmp_path / "none.npz", "--output", output)
    assert failed.returncode == 2 and "Traceback" not in failed.stderr
    assert "none.npz: no such file" in failed.stderr.splitlines()[-1]


@pytest.mark.parametrize("path", cases(DATA, "beat2_*/*.npz", "show/*.npz"))
def test_real_motion_becomes_a_video_of_its_length(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mp4"
    arguments = ["--pose", path, "--audio", path.with_suffix(".wav"), "--output", output, *SMALL]
    assert draw_pose_here(monkeypatch, *arguments) == 0
    with np.load(path) as motion:
        frames = len(motion["poses"] if "poses" in motion else motion["global_orient"])
    video, seconds = read(output)
    assert len(video) == round(frames * FPS / 30)
    assert seconds == pytest.approx(len(video) / FPS, abs=1e-3)
    lit = video.any(3).mean((1, 2))
    assert lit.min() > 0.01, "there is a person in every frame"
