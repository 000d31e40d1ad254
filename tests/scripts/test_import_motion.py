"""`scripts/import_motion.py`: motion and audio from elsewhere become a clip."""

from pathlib import Path

import import_motion
import numpy as np
import pytest
import torch

from speech2video.data.audio2pose.dataset import load_motion_clips
from speech2video.data.clip import Clip
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import write_motion
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.text.transcript import Word, write_words
from tests.shared import run_here

FRAMES = 40


@pytest.fixture
def files(tmp_path: Path, body: Body) -> dict[str, Path]:
    """Motion, audio and words of a short talk."""
    paths = {name: tmp_path / name for name in ("talk.npz", "talk.wav", "talk.csv")}
    pose_TP = 0.05 * np.random.default_rng(0).standard_normal((FRAMES, 106)).astype(np.float32)
    write_motion(paths["talk.npz"], motion_from_pose(torch.from_numpy(pose_TP), body))
    write_audio(paths["talk.wav"], np.sin(np.arange(FRAMES * 640 + 100) / 9).astype(np.float32))
    write_words(paths["talk.csv"], [Word("up", 0.2, 0.6)])
    return paths


def run(monkeypatch: pytest.MonkeyPatch, files: dict[str, Path], *more: object) -> int:
    arguments = ("--motion", files["talk.npz"], "--audio", files["talk.wav"], *more)
    return run_here(monkeypatch, import_motion.main, *arguments)


def test_it_becomes_a_clip(
    files: dict[str, Path], tmp_path: Path, body: Body, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "set"
    assert run(monkeypatch, files, "--output", folder, "--words", files["talk.csv"]) == 0
    recording = load_motion_clips(folder, body)[0]
    assert len(recording) == FRAMES and [word.text for word in recording.words] == ["up"]
    assert Clip(folder / "talk").info().notes == ("no video",)
    assert run(monkeypatch, files, "--output", folder) == 2  # there already


@pytest.mark.parametrize("audio_frames", [20, 41, 90])
def test_the_time_that_motion_and_audio_share_is_used(
    audio_frames: int,
    files: dict[str, Path],
    tmp_path: Path,
    body: Body,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    write_audio(files["talk.wav"], np.ones(audio_frames * 640, np.float32) / 9)
    assert run(monkeypatch, files, "--output", tmp_path / "set") == 0
    recording = load_motion_clips(tmp_path / "set", body)[0]
    assert len(recording) == min(FRAMES, audio_frames)
    assert len(recording.audio_S) == 640 * len(recording)
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == (audio_frames != 41)
    assert all("1.60 s of motion" in note and "the first" in note for note in notes)


def test_bad_input_is_one_line_and_leaves_nothing(
    files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    folder = tmp_path / "set"
    assert run(monkeypatch, files, "--output", folder, "--words", tmp_path / "no.csv") == 2
    assert "no such file" in capsys.readouterr().err
    write_audio(files["talk.wav"], np.zeros(16_000 * 9, np.float32))
    assert run(monkeypatch, files, "--output", folder) == 2
    assert "must belong together" in capsys.readouterr().err
    assert not list(folder.glob("*")) and not list(folder.glob(".*"))
