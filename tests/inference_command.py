"""test.py as a command: in this process, or in one of its own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from tests.shared import ROOT, run_here
from tests.tiny_speaker import NAME

_spec = importlib.util.spec_from_file_location("test_command", ROOT / "test.py")  # not Python's own
command = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(command)

TIMEOUT = 300  # seconds; a hang, on the slowest machine
EXTRA = ("--device", "cpu", "--threads", "1", "--precision", "fp32")


def run(monkeypatch: pytest.MonkeyPatch, checkpoints: Path, *arguments: object) -> int:
    name = () if "--name" in arguments else ("--name", NAME)
    arguments = (*name, "--checkpoints", checkpoints, *EXTRA, *arguments)
    return run_here(monkeypatch, command.main, *arguments)


def start(
    checkpoints: Path, folder: Path, *arguments: object, launcher: tuple = ("test.py",)
) -> subprocess.Popen:
    """Start the command in a process of its own, with its results in `folder`/results."""
    launcher = [str(ROOT / part) if part == "test.py" else part for part in launcher]
    line = [sys.executable, *launcher, "--name", NAME, "--checkpoints", checkpoints, *EXTRA]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [str(part) for part in (*line, *arguments)], cwd=folder, env=environment, **pipes
    )


def read(path: Path) -> tuple[np.ndarray, float, dict[str, str]]:
    """Return a video's frames (T, H, W, 3), the seconds of its audio and its metadata."""
    with av.open(str(path)) as file:
        audio = file.streams.audio
        seconds = float(audio[0].duration * audio[0].time_base) if audio else 0.0
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
        return frames, seconds, dict(file.metadata)
