"""`test.py` when something is wrong: one line and nothing written, or a right result."""

import errno
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from speech2video.util.audio import write_wave
from tests.audio_fuzzer import write_damaged
from tests.shared import ROOT
from tests.speaking import PATIENCE, read, run, start
from tests.tiny_speaker import AUTHORS, NAME, voice

DAMAGED = 30
FILE_LIMIT = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))"

BAD = {
    "no such sound": (["--audio", "nowhere.wav"], "no such file"),
    "not a sound": (["--audio", __file__], "not a video or sound file"),
    "a folder": (["--audio", "."], "a folder"),
    "no samples": (["--audio", "empty.wav"], "empty.wav"),
    "not a rate of speech": (["--audio", "slow.wav"], "1 Hz"),
    "a pipe": (["--audio", "pipe"], "more than once"),
    "nothing to say": ([], "--audio"),
    "another script": (["--text", "你好"], "Latin"),
    "another script in a transcript": (["--audio", "a.wav", "--transcript", "Привет"], "Latin"),
    "no words": (["--text", "..."], "no words"),
    "no such words": (["--audio", "a.wav", "--words", "no.csv"], "no.csv"),
    "no such speaker": (["--audio", "a.wav", "--name", "nobody"], "there are:"),
    "no painter": (["--audio", "a.wav", "--name", "bodiless"], "--skeleton"),
    "no mover": (["--audio", "a.wav", "--name", AUTHORS], "no checkpoint"),
    "weights cut off": (["--audio", "a.wav", "--name", "cut"], "safetensors"),
    "of another version": (["--audio", "a.wav", "--name", "version"], "version"),
    "no options": (["--audio", "a.wav", "--name", "silent"], "options.json"),
    "no such dictionary": (["--text", "a", "--gestures", "nowhere"], "nowhere"),
    "gestures without words": (["--audio", "a.wav", "--gestures", "x"], "--words"),
    "two sounds": (["--audio", "a.wav", "--text", "a"], "only one"),
    "articulation of a motion": (["--pose", "a.npz", "--articulation", "2"], "only one"),
    "no such timeline": (["--audio", "a.wav", "--timeline", "no.json"], "no.json"),
    "no such motion": (["--pose", "no.npz"], "no.npz"),
    "no points": (["--openpose", ".", "--name", AUTHORS], "no json files"),
    "no such list": (["--audio_list", "no.txt"], "no.txt"),
    "an empty list": (["--audio_list", "blank.txt"], "no paths"),
    "one name twice": (["--audio_list", "twice.txt"], "two sounds"),
    "a folder to write to": (["--audio", "a.wav", "--output", "."], "a folder"),
    "no place to write to": (["--audio", "a.wav", "--output", "a.wav/x.mp4"], "cannot be written"),
    "onto its own sound": (["--audio", "a.wav", "--output", "a.wav"], "is read from it"),
}


@pytest.fixture(scope="module")
def bad(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what can be wrong; checkpoints/ in it has speakers with a fault each."""
    folder = tmp_path_factory.mktemp("bad")
    runs = Path(shutil.copytree(checkpoints, folder / "checkpoints"))
    for name in ("cut", "version", "silent", "bodiless"):
        shutil.copytree(runs / NAME, runs / name)
    shutil.rmtree(runs / "bodiless" / "pose2video")
    (runs / "silent" / "pose2video" / "options.json").unlink()
    weights = runs / "cut" / "audio2pose" / "model.safetensors"
    os.truncate(weights, 100_000)
    weights = runs / "version" / "pose2video" / "model.safetensors"
    tensors = weights.read_bytes().replace(b'"checkpoint_version":"1"', b'"checkpoint_version":"9"')
    weights.write_bytes(tensors)
    write_wave(folder / "a.wav", voice(0.2))
    write_wave(folder / "empty.wav", np.zeros(0, np.float32))
    write_wave(folder / "slow.wav", voice(0.2), rate=1)
    os.mkfifo(folder / "pipe")
    (folder / "blank.txt").write_text("\n \n")
    (folder / "twice.txt").write_text("a.wav\nother/a.mp3\n")
    return folder


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(
    bad: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], case: str
):
    arguments, expected = BAD[case]
    if "--text" in arguments or "--transcript" in arguments:
        pytest.importorskip("espeakng_loader", reason="the extra `demo` is not installed")
    monkeypatch.chdir(bad)
    before = sorted(bad.rglob("*"))
    assert run(monkeypatch, Path("checkpoints"), *arguments) == 2
    said = capsys.readouterr().err
    assert expected in said and "Traceback" not in said
    assert len([line for line in said.splitlines() if "error: " in line]) == 1
    assert sorted(bad.rglob("*")) == before


def test_a_full_disk_is_one_line(
    checkpoints: Path,
    speech: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    output = tmp_path / "out" / "x.mp4"
    assert run(monkeypatch, checkpoints, "--audio", speech, "--output", output) == 2
    assert os.strerror(errno.ENOSPC) in capsys.readouterr().err
    assert list(output.parent.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="a limit of a file's size is POSIX'")
def test_a_disk_that_fills_up_while_it_is_written_to(
    checkpoints: Path, speech: Path, tmp_path: Path
):
    code = f"{FILE_LIMIT}; runpy.run_path({str(ROOT / 'test.py')!r}, run_name='__main__')"
    process = start(checkpoints, tmp_path, "--audio", speech, launcher=("-c", code))
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 2 and "cannot be written" in said and "Traceback" not in said
    assert list((tmp_path / "results" / NAME).iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=str)
def test_a_run_that_is_killed_leaves_no_video(
    checkpoints: Path, tmp_path: Path, how: signal.Signals
):
    write_wave(tmp_path / "long.wav", voice(120.0))
    process = start(checkpoints, tmp_path, "--audio", "long.wav")
    folder, deadline = tmp_path / "results" / NAME, time.monotonic() + PATIENCE
    while not any(path.stat().st_size > 0 for path in folder.glob(".*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(how)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode != 0 and "Traceback" not in said
    left = list(folder.iterdir())
    assert all(path.name.startswith(".") for path in left)
    assert how == signal.SIGKILL or not left


def test_two_runs_at_once_into_one_folder(checkpoints: Path, speech: Path, tmp_path: Path):
    processes = [start(checkpoints, tmp_path, "--audio", speech) for _ in range(2)]
    assert [process.wait(timeout=PATIENCE) for process in processes] == [0, 0]
    (video,) = (tmp_path / "results" / NAME).iterdir()
    assert len(read(video)[0]) == 25


def test_damaged_sounds_end_in_a_line_or_a_video(checkpoints: Path, tmp_path: Path):
    listed = write_damaged(tmp_path, DAMAGED)
    process = start(checkpoints, tmp_path, "--audio_list", listed, "--skeleton")
    said, noise = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2 and "Traceback" not in noise
    errors = [line for line in noise.splitlines() if line.startswith("error: ")]
    videos = list((tmp_path / "results" / NAME).iterdir())
    assert len(errors) + len(videos) == DAMAGED and min(len(errors), len(videos)) > 0
    assert all(path.suffix == ".mp4" and len(read(path)[0]) for path in videos)
    assert f"{len(videos)} of {DAMAGED}" in said
