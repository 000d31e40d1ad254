"""`scripts/draw_pose.py` as a user runs it."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from speech2video.data.motion import FPS, from_pose_vector
from speech2video.data.motion_file import write_motion
from speech2video.util.audio import write_wave
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from tests.shared import DATA, ROOT, cases

FRAMES = 20


def draw_pose(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / "draw_pose.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Path:
    """A clip's folder with pose and sound."""
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    pose = torch.randn(1, POSE_SIZE) * torch.linspace(0, 0.2, FRAMES).unsqueeze(1)
    write_motion(folder / "pose.npz", from_pose_vector(pose, body))
    time = np.arange(FRAMES * 640) / 16000
    write_wave(folder / "audio.wav", np.sin(2 * np.pi * 440 * time).astype(np.float32) / 2, 16000)
    return folder


def read(path: Path) -> tuple[np.ndarray, float]:
    """Return the frames (T, H, W, 3) and the seconds of sound of a video."""
    with av.open(str(path)) as file:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in file.decode(video=0)])
    with av.open(str(path)) as file:
        sound = file.streams.audio
        seconds = float(sound[0].duration * sound[0].time_base) if sound else 0.0
    return frames, seconds


@pytest.mark.parametrize(
    "extra", [(), ("--style", "vid2vid_authors"), ("--clamp",), ("--mesh",)], ids=str
)
def test_a_clip_becomes_a_video_with_its_sound(clip: Path, tmp_path: Path, extra: tuple) -> None:
    if "--mesh" in extra:
        pytest.importorskip("pyvista", reason="the extra `render` is not installed")
    output = tmp_path / "new" / "out.mp4"
    result = draw_pose("--pose", clip, "--output", output, "--size", 128, *extra)
    assert result.returncode == 0, result.stderr
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
    "no such sound": (["--audio", "nowhere.wav"], "nowhere.wav"),
    "not a sound": (["--audio", __file__], "test_draw_pose.py"),
    "size": (["--size", "5"], "--size 5"),
    "output cannot be": (["--output", "/proc/nowhere/out.mp4"], "/proc/nowhere"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line_and_leaves_nothing(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    extra, words = BAD[name]
    result = draw_pose("--pose", clip, "--output", tmp_path / "out.mp4", "--size", 128, *extra)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 2 and len(errors) == 1 and words in errors[0], result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", cases(DATA, "beat2_*/*.npz", "show/*.npz"))
def test_real_motion_becomes_a_video_of_its_length(path: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    sound = path.with_suffix(".wav")
    result = draw_pose("--pose", path, "--audio", sound, "--output", output, "--size", 128)
    assert result.returncode == 0, result.stderr
    with np.load(path) as motion:
        frames = len(motion["poses"] if "poses" in motion else motion["global_orient"])
    video, seconds = read(output)
    assert len(video) == round(frames * FPS / 30)
    assert seconds == pytest.approx(len(video) / FPS, abs=1e-3)
    lit = video.any(3).mean((1, 2))
    assert lit.min() > 0.01, "there is somebody in every frame"
