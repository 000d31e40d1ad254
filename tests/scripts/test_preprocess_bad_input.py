"""Invalid recordings: one line of error, status 2, and no partial output."""

import contextlib
import errno
import io
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import preprocess as script
import pytest

from speech2video.data.clip import Clip
from speech2video.data.keypoints import Keypoints
from speech2video.data.preprocessing import recording as recording_module
from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.body.skeleton import POINT_INDEX
from speech2video.util.video.reader import read_frames
from speech2video.util.video.writer import write_video
from tests.demo import SIZE
from tests.recordings import make_recording
from tests.shared import ROOT, run_here

pytest.importorskip("mediapipe", reason="the extra `preprocess` is not installed")

DISK = 30_000  # bytes, size limit of a file


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> str:
    """Run the command, which must fail, and return its one line of error."""
    assert run_here(monkeypatch, script.main, *arguments) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(errors) == 1
    return errors[0]


def is_empty(folder: Path) -> bool:
    return not folder.exists() or not list(folder.iterdir())


def write_empty_scene(folder: Path, *, frames: int = 60, audio: bool = True) -> Path:
    """Write a video without a person."""
    write_audio(folder / "a.wav", np.zeros(frames * 640, np.float32))
    frame_3HW = np.full((3, 64, 64), 128, np.uint8)
    audio = folder / "a.wav" if audio else None
    write_video(folder / "a.mp4", (frame_3HW for _ in range(frames)), audio=audio)
    return folder / "a.mp4"


def write_text(path: Path, words: str = "no video") -> Path:
    path.write_text(words)
    return path


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path.parent


def write_truncated(folder: Path) -> Path:
    """Write a video whose file is truncated after a second and a half."""
    noise = np.random.default_rng(0).integers(0, 255, (100, 3, 64, 64), np.uint8)
    path = folder / "short.mp4"
    write_video(path, iter(noise), audio=write_empty_scene(folder))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 8])
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "none.mp4", "no such file"),
        (lambda folder: write_text(folder / "text.mp4") / "talk.mp4", "no such file"),
        (lambda folder: folder, "no recordings"),
        (lambda folder: write_text(folder / "text.mp4"), "text.mp4: not a video"),
        (lambda folder: write_text(folder / "empty.mp4", ""), "empty.mp4: not a video"),
        (lambda folder: make_folder(folder / "x.mp4"), "x.mp4: a folder"),
        (lambda folder: write_empty_scene(folder), "no person found in 60 frames"),
        (lambda folder: write_empty_scene(folder, frames=20), "0.8 s; at least 2 s"),
        (write_truncated, "s of 4.00 s read"),
        (lambda folder: write_empty_scene(folder, audio=False), "no audio track"),
    ],
    ids=[
        "missing",
        "in a file",
        "no recordings",
        "text",
        "empty",
        "folder",
        "no person",
        "short",
        "truncated",
        "no audio",
    ],
)
def test_invalid_recordings_are_refused_without_output(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    make: object,
    words: str,
) -> None:
    (tmp_path / "in").mkdir()
    recording, output = make(tmp_path / "in"), tmp_path / "out"
    line = refused(monkeypatch, capsys, "--input", recording, "--output", output)
    assert words in line
    assert is_empty(output)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder without read permission, except for root."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0)
    yield folder
    folder.chmod(0o700)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_without_permission_is_refused(
    locked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    line = refused(monkeypatch, capsys, "--input", locked, "--output", output)
    assert f"{locked}: cannot be read (Permission denied)" in line
    assert not output.exists()


def test_a_folder_with_read_errors_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(folder: Path) -> Iterator[Path]:
        raise OSError(errno.EIO, "Input/output error", str(folder))

    output = tmp_path / "out"
    monkeypatch.setattr(Path, "iterdir", broken)
    line = refused(monkeypatch, capsys, "--input", tmp_path, "--output", output)
    assert f"{tmp_path}: cannot be read (Input/output error)" in line
    assert not output.exists()


TEXT = "It was the best of times, it was the worst of times, it was the age of wisdom. " * 9


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("000.txt", TEXT, "does not fit"),
        ("000.txt", "", "no words"),
        ("000.csv", "word,start,end\nhello,100,101\n", "go on until 101.0 s, the audio lasts 4.4"),
        ("000.TextGrid", "nothing", "000.TextGrid"),
    ],
    ids=["too many words", "no words", "another recording's times", "broken"],
)
def test_an_unsuitable_transcript_is_refused(
    demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str,
    words: str,
) -> None:
    transcript, output = write_text(tmp_path / name, content), tmp_path / "out"
    arguments = ("--input", demo / "recordings", "--output", output, "--transcripts", transcript)
    assert words in refused(monkeypatch, capsys, *arguments)
    assert is_empty(output)


def test_an_output_that_cannot_be_created_is_refused(
    demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = write_text(tmp_path / "file") / "dataset"
    line = refused(monkeypatch, capsys, "--input", demo / "recordings", "--output", output)
    assert str(output) in line and "cannot be written" in line


def test_other_folders_are_not_overwritten(
    demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = tmp_path / "000/diary.txt"
    other.parent.mkdir()
    write_text(other, "dear diary")
    line = refused(monkeypatch, capsys, "--input", demo / "recordings", "--output", tmp_path)
    assert "000: in the way" in line
    assert other.read_text() == "dear diary" and len(list(tmp_path.rglob("*"))) == 2


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Limit files to `DISK` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (DISK, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_is_reported(
    demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    line = refused(monkeypatch, capsys, "--input", demo / "recordings", "--output", output)
    assert "cannot be written" in line and "large" in line
    assert is_empty(output)


def test_a_disk_that_fills_later_is_reported(
    demo: Path,
    demo_clip: Clip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keypoints = Keypoints.load(demo_clip.keypoints)
    monkeypatch.setattr(recording_module, "detect_keypoints", lambda *_, **__: keypoints)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    output = tmp_path / "out"
    line = refused(monkeypatch, capsys, "--input", demo / "recordings", "--output", output)
    assert "No space left on device" in line
    assert is_empty(output)


def make_mixed(demo: Path, folder: Path) -> Path:
    """Write valid, unusual and invalid recordings of two to five seconds."""
    source = demo / "recordings/000.mp4"
    frames = list(islice(read_frames(source), 15, 67))
    folder.mkdir()
    for kind in (".mp4", ".txt"):
        (folder / f"whole{kind}").write_bytes(source.with_suffix(kind).read_bytes())
    (folder / "cut.mp4").write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])
    write_video(folder / "mute.mp4", iter(frames))
    two = [(number / 25, with_bystander(frame)) for number, frame in enumerate(frames)]
    second_CS = load_audio(source)[None, :16_000]
    make_recording(folder / "odd.mp4", two, second_CS, rate=16_000)
    write_text(folder / "text.mp4")
    return folder


def with_bystander(frame: np.ndarray) -> np.ndarray:
    """Return an image (H, W, 3) with a smaller second person next to the first."""
    added = np.repeat(frame[:, :, :1], frame.shape[2] * 3 // 4, axis=2)
    small = frame[:, ::2, ::2]
    added[:, -small.shape[1] :, -small.shape[2] :] = small
    return np.concatenate([frame, added], axis=2).transpose(1, 2, 0)


@pytest.fixture(scope="module")
def killed(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[int]]:
    """Recordings, a dataset whose run was killed after the first clip, and its processes."""
    folder = tmp_path_factory.mktemp("killed")
    recordings, output = make_mixed(demo, folder / "recordings"), folder / "dataset"
    arguments = ["--input", recordings, "--output", output, "--jobs", "2"]
    command = [sys.executable, str(ROOT / "scripts/preprocess.py"), *map(str, arguments)]
    with open(folder / "log", "wb") as log, subprocess.Popen(command, stderr=log) as process:
        while not list(output.glob("*/clip.json")) or not list(output.glob(".*.partial")):
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        workers = _children(process.pid)
        process.send_signal(signal.SIGKILL)
    return recordings, output, workers


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.slow
def test_a_killed_run_leaves_no_worker(killed: tuple[Path, Path, list[int]]) -> None:
    end = time.monotonic() + 30
    while any(map(_is_running, killed[2])):
        assert time.monotonic() < end
        time.sleep(0.05)


class ResumedRun(NamedTuple):
    """A killed run's dataset after a second run.

    Attributes:
        output: its folder.
        made: files of the first run, with their times.
        printed: output of the second run.
    """

    output: Path
    made: dict[Path, int]
    printed: str


@pytest.fixture(scope="module")
def resumed(killed: tuple[Path, Path, list[int]]) -> ResumedRun:
    recordings, output, _ = killed
    made = {path: path.stat().st_mtime_ns for path in output.glob("[!.]*/*")}
    with pytest.MonkeyPatch.context() as monkeypatch, io.StringIO() as printed:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            status = run_here(monkeypatch, script.main, "--input", recordings, "--output", output)
        assert status == 2
        return ResumedRun(output, made, printed.getvalue())


@pytest.mark.slow
def test_a_killed_run_is_resumed(resumed: ResumedRun, demo_clip: Clip) -> None:
    assert resumed.made
    assert {path: path.stat().st_mtime_ns for path in resumed.made} == resumed.made
    assert "of 5 recordings are there" in resumed.printed
    names = {"cut", "odd", "whole", "report.html", "report.json"}
    assert {path.name for path in resumed.output.iterdir()} == names
    for path in demo_clip.folder.iterdir():
        if path != demo_clip.json:  # contains the recording's name
            assert (resumed.output / "whole" / path.name).read_bytes() == path.read_bytes()


def test_invalid_recordings_do_not_stop_others(resumed: ResumedRun) -> None:
    errors = [line for line in resumed.printed.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "mute.mp4: no audio track" in errors[0] and "text.mp4: not a video" in errors[1]
    assert "3 of 5 recordings in" in resumed.printed


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cut", "s of 4.40 s read"),
        ("odd", "audio of 1.00 s cut or padded to the video's 2.08 s"),
        ("odd", "2 people; the largest who stays was taken"),
    ],
)
def test_unusual_recordings_have_notes(resumed: ResumedRun, name: str, words: str) -> None:
    clip = Clip(resumed.output / name)
    assert any(words in note for note in clip.info().notes)
    if clip.json not in resumed.made:
        assert f"{name}.mp4: " in resumed.printed and words in resumed.printed
    assert len(load_audio(clip.audio)) == 640 * clip.info().frames
    assert words in (resumed.output / "report.html").read_text()


def test_the_larger_of_two_people_is_used(resumed: ResumedRun) -> None:
    clip = Clip(resumed.output / "odd")
    noses_TK = Keypoints.load(clip.keypoints).points_TK3[:, POINT_INDEX["nose"], 0]
    assert clip.info().people == 2 and (noses_TK < SIZE).all()
