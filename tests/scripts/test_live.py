"""`scripts/live.py`: from a file or a pipe to a file or a camera."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import live
import numpy as np
import pytest

from speech2video.util.audio.audio_io import load_audio, write_audio
from tests.inference_command import read
from tests.shared import run_here
from tests.tiny_speaker import NAME, SIZE, voice

EXTRA = ("--device", "cpu", "--threads", "1")
ALL = ("--max_delay", 3600)  # no frame is left out, however slow the machine


def run(monkeypatch: pytest.MonkeyPatch, checkpoints: Path, *arguments: object) -> int:
    arguments = ("--name", NAME, "--checkpoints", checkpoints, *EXTRA, *arguments)
    return run_here(monkeypatch, live.main, *arguments)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that writes bytes to standard input, and then does something."""
    reader, writer = os.pipe()
    threads = []

    def feed(data: bytes, then: Callable[[], object] = lambda: None) -> None:
        def write() -> None:
            with os.fdopen(writer, "wb") as file:
                file.write(data)
                file.flush()
                then()

        threads.append(threading.Thread(target=write))
        threads[-1].start()

    with os.fdopen(reader, "rb") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        yield feed
    for thread in threads:
        thread.join()


def pcm(seconds: float, rate: int = 16_000) -> bytes:
    return (voice(seconds, rate=rate) * 32767).astype("<i2").tobytes()


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_pipe_becomes_a_file_with_its_audio(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipe: Any, rate: int
) -> None:
    pipe(pcm(0.8, rate))
    output, more = tmp_path / "out.mp4", ("--rate", rate)
    assert run(monkeypatch, checkpoints, "--input", "-", "--output", output, *more, *ALL) == 0
    frames, seconds, metadata = read(output)
    assert frames.shape == (20, SIZE, SIZE, 3) and seconds == pytest.approx(0.8, abs=0.03)
    assert metadata["comment"].startswith("synthetic: made by speech2video; tiny")
    said_S, heard_S = voice(0.8), load_audio(output)[: round(0.8 * 16_000)]
    if rate == 16_000:
        assert np.corrcoef(said_S[: len(heard_S)], heard_S)[0, 1] > 0.9


def test_a_file_at_its_own_pace_is_shown_as_a_camera(
    checkpoints: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = []

    class Device:
        def __init__(self, *given: int) -> None:
            assert given == (SIZE, SIZE, 25)

        def __enter__(self) -> "Device":
            return self

        def __exit__(self, *_: object) -> None:
            shown.append("closed")

        def send(self, image: np.ndarray) -> None:
            assert image.shape == (SIZE, SIZE, 3) and image.flags.c_contiguous
            shown.append(image)

    package = ModuleType("pyvirtualcam")
    package.Camera = Device  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "pyvirtualcam", package)
    write_audio(tmp_path / "a.wav", voice(0.6))
    begin = time.monotonic()
    arguments = ("--input", tmp_path / "a.wav", "--seconds", 0.4, "--camera", *ALL)
    assert run(monkeypatch, checkpoints, *arguments) == 0
    assert time.monotonic() - begin > 0.4
    assert len(shown) == 11 and shown[-1] == "closed"
    printed = capsys.readouterr()
    assert "live: 10 frames, 0 left out" in printed.out and "delay" in printed.err


def test_left_out_frames_are_shown_by_those_before() -> None:
    images = [np.full((1, 1, 3), n, np.uint8) for n in range(3)]
    frames = zip((0.08, 0.12, 0.24), images, strict=True)
    assert [image[0, 0, 0] for image in live.without_gaps(frames)] == [0, 0, 0, 1, 1, 1, 2]


def test_an_interrupt_leaves_a_complete_file(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipe: Any
) -> None:
    def interrupt() -> None:  # once the file is being written; the pipe stays open
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".*.partial*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)
        while not output.exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    output = tmp_path / "out.mp4"
    pipe(pcm(0.8), interrupt)
    assert run(monkeypatch, checkpoints, "--input", "-", "--output", output, *ALL) == 0
    frames, seconds, _ = read(output)
    assert 1 <= len(frames) <= 20  # how far it had come by then
    assert seconds == pytest.approx(len(frames) / 25, abs=0.03)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


BAD = {
    "no such speaker": (("--name", "none", "--input", "a.wav", "--output", "x.mp4"), "none"),
    "no such file": (("--input", "none.wav", "--output", "x.mp4"), "none.wav"),
    "not audio": (("--input", __file__, "--output", "x.mp4"), "test_live.py"),
    "no display": (("--input", "a.wav"), "no display for a window; give --output"),
    "no microphone": (("--output", "x.mp4"), "sounddevice"),
    "no camera": (("--input", "a.wav", "--camera"), "pyvirtualcam"),
    "rate": (("--input", "a.wav", "--output", "x.mp4", "--rate", "8000"), "--rate"),
    "another ending": (("--input", "a.wav", "--output", "x.txt"), ".txt"),
    "the input": (("--input", "a.wav", "--output", "a.wav"), "a.wav"),
    "transparent": (("--input", "a.wav", "--background", "transparent"), "--background"),
    "empty": (("--input", "-", "--output", "x.mp4"), "no audio arrived"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_missing_is_one_clear_line(
    checkpoints: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_audio(Path("a.wav"), voice(0.2))
    for module in ("sounddevice", "pyvirtualcam"):
        monkeypatch.setitem(sys.modules, module, None)
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    arguments, words = BAD[name]
    with open(os.devnull, "rb") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert run(monkeypatch, checkpoints, *arguments) == 2
    text = capsys.readouterr().err
    errors = [line for line in text.splitlines() if "error: " in line]
    assert len(errors) == 1 and words in errors[0], text
    assert [path.name for path in Path.cwd().iterdir()] == ["a.wav"]
