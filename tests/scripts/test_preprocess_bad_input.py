"""What is no recording of a speaker: one clear line, status 2, and nothing half-made."""

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

DISK = 30_000  # bytes that fit on a disk that is nearly full


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> str:
    """Run the command, which fails in one line; return that."""
    assert run_here(monkeypatch, script.main, *arguments) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(errors) == 1
    return errors[0]


def is_empty(folder: Path) -> bool:
    return not folder.exists() or not list(folder.iterdir())


def plain(folder: Path, *, frames: int = 60, audio: bool = True) -> Path:
    """Write a video of nobody."""
    write_audio(folder / "a.wav", np.zeros(frames * 640, np.float32))
    picture = np.full((3, 64, 64), 128, np.uint8)
    audio = folder / "a.wav" if audio else None
    write_video(folder / "a.mp4", (picture for _ in range(frames)), audio=audio)
    return folder / "a.mp4"


def text(path: Path, words: str = "no video") -> Path:
    path.write_text(words)
    return path


def folder_called(path: Path) -> Path:
    path.mkdir()
    return path.parent


def short(folder: Path) -> Path:
    """Write a video whose file breaks off after a second and a half."""
    noise = np.random.default_rng(0).integers(0, 255, (100, 3, 64, 64), np.uint8)
    path = folder / "short.mp4"
    write_video(path, iter(noise), audio=plain(folder))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 8])
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "none.mp4", "no such file"),
        (lambda folder: text(folder / "text.mp4") / "talk.mp4", "no such file"),
        (lambda folder: folder, "no recordings"),
        (lambda folder: text(folder / "text.mp4"), "text.mp4: not a video"),
        (lambda folder: text(folder / "empty.mp4", ""), "empty.mp4: not a video"),
        (lambda folder: folder_called(folder / "x.mp4"), "x.mp4: a folder"),
        (lambda folder: plain(folder), "no person found in 60 frames"),
        (lambda folder: plain(folder, frames=20), "0.8 s; at least 2 s"),
        (short, "s of 4.00 s read"),
        (lambda folder: plain(folder, audio=False), "no audio track"),
    ],
    ids=[
        "absent",
        "in a file",
        "no recordings",
        "text",
        "empty",
        "folder",
        "nobody",
        "short",
        "torn",
        "mute",
    ],
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
    line = refused(monkeypatch, capsys, "--input", recording, "--output", output)
    assert words in line
    assert is_empty(output)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder that its owner may not read; root may."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0)
    yield folder
    folder.chmod(0o700)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_may_not_be_read(
    locked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    line = refused(monkeypatch, capsys, "--input", locked, "--output", output)
    assert f"{locked}: cannot be read (Permission denied)" in line
    assert not output.exists()


def test_a_folder_that_fails_to_be_read(
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
def test_a_transcript_that_does_not_fit(
    demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str,
    words: str,
) -> None:
    transcript, output = text(tmp_path / name, content), tmp_path / "out"
    arguments = ("--input", demo / "recordings", "--output", output, "--transcripts", transcript)
    assert words in refused(monkeypatch, capsys, *arguments)
    assert is_empty(output)


def test_no_folder_can_be_made(
    demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = text(tmp_path / "file") / "dataset"
    line = refused(monkeypatch, capsys, "--input", demo / "recordings", "--output", output)
    assert str(output) in line and "cannot be written" in line


def test_a_folder_that_is_no_clip_is_left_alone(
    demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = tmp_path / "000/diary.txt"
    mine.parent.mkdir()
    text(mine, "dear diary")
    line = refused(monkeypatch, capsys, "--input", demo / "recordings", "--output", tmp_path)
    assert "000: in the way" in line
    assert mine.read_text() == "dear diary" and len(list(tmp_path.rglob("*"))) == 2


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow past `DISK` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (DISK, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_at_once(
    demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    line = refused(monkeypatch, capsys, "--input", demo / "recordings", "--output", output)
    assert "cannot be written" in line and "large" in line
    assert is_empty(output)


def test_a_disk_that_fills_late(
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
    """Write good, odd and bad recordings, all of two to five seconds."""
    source = demo / "recordings/000.mp4"
    frames = list(islice(read_frames(source), 15, 67))
    folder.mkdir()
    for kind in (".mp4", ".txt"):
        (folder / f"whole{kind}").write_bytes(source.with_suffix(kind).read_bytes())
    (folder / "cut.mp4").write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])
    write_video(folder / "mute.mp4", iter(frames))
    two = [(number / 25, with_onlooker(frame)) for number, frame in enumerate(frames)]
    second_CS = load_audio(source)[None, :16_000]
    make_recording(folder / "odd.mp4", two, second_CS, rate=16_000)
    text(folder / "text.mp4")
    return folder


def with_onlooker(frame: np.ndarray) -> np.ndarray:
    """Return a picture (H, W, 3) with a smaller second person beside the first."""
    beside = np.repeat(frame[:, :, :1], frame.shape[2] * 3 // 4, axis=2)
    small = frame[:, ::2, ::2]
    beside[:, -small.shape[1] :, -small.shape[2] :] = small
    return np.concatenate([frame, beside], axis=2).transpose(1, 2, 0)


@pytest.fixture(scope="module")
def killed(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[int]]:
    """Recordings, a data set whose making was killed after the first clip, and its processes."""
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


def test_a_killed_run_leaves_no_worker(killed: tuple[Path, Path, list[int]]) -> None:
    end = time.monotonic() + 30
    while any(map(_is_running, killed[2])):
        assert time.monotonic() < end
        time.sleep(0.05)


class TakenUp(NamedTuple):
    """A killed run's data set after a second run.

    Attributes:
        output: its folder.
        made: what the first run had made, with its times.
        said: what the second run printed.
    """

    output: Path
    made: dict[Path, int]
    said: str


@pytest.fixture(scope="module")
def taken_up(killed: tuple[Path, Path, list[int]]) -> TakenUp:
    recordings, output, _ = killed
    made = {path: path.stat().st_mtime_ns for path in output.glob("[!.]*/*")}
    with pytest.MonkeyPatch.context() as monkeypatch, io.StringIO() as said:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = run_here(monkeypatch, script.main, "--input", recordings, "--output", output)
        assert status == 2
        return TakenUp(output, made, said.getvalue())


def test_a_killed_run_is_taken_up_where_it_stopped(taken_up: TakenUp, demo_clip: Clip) -> None:
    assert taken_up.made
    assert {path: path.stat().st_mtime_ns for path in taken_up.made} == taken_up.made
    assert "of 5 recordings are there" in taken_up.said
    names = {"cut", "odd", "whole", "report.html", "report.json"}
    assert {path.name for path in taken_up.output.iterdir()} == names
    for path in demo_clip.folder.iterdir():
        if path != demo_clip.json:  # which names the recording
            assert (taken_up.output / "whole" / path.name).read_bytes() == path.read_bytes()


def test_bad_recordings_are_named_and_keep_no_other_back(taken_up: TakenUp) -> None:
    errors = [line for line in taken_up.said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "mute.mp4: no audio track" in errors[0] and "text.mp4: not a video" in errors[1]
    assert "3 of 5 recordings in" in taken_up.said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cut", "s of 4.40 s read"),
        ("odd", "audio of 1.00 s cut or padded to the video's 2.08 s"),
        ("odd", "2 people; the largest who stays was taken"),
    ],
)
def test_what_is_odd_is_said(taken_up: TakenUp, name: str, words: str) -> None:
    clip = Clip(taken_up.output / name)
    assert any(words in note for note in clip.info().notes)
    if clip.json not in taken_up.made:
        assert f"{name}.mp4: " in taken_up.said and words in taken_up.said
    assert len(load_audio(clip.audio)) == 640 * clip.info().frames
    assert words in (taken_up.output / "report.html").read_text()


def test_of_two_people_the_larger_is_taken(taken_up: TakenUp) -> None:
    clip = Clip(taken_up.output / "odd")
    noses_TK = Keypoints.load(clip.keypoints).points_TK3[:, POINT_INDEX["nose"], 0]
    assert clip.info().people == 2 and (noses_TK < SIZE).all()
