"""test.py: correct videos from good input; one line and no file from bad input."""

import errno
import importlib.util
import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from speech2video.data.motion_io import read_motion
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.pose_vector import POSE_SLICES
from speech2video.util.metrics.motion import lip_opening
from speech2video.util.video.reader import read_frames
from tests.fuzz_samples import write_damaged_audio
from tests.inference_command import TIMEOUT, read, run, start
from tests.recordings import make_recording
from tests.shared import ROOT
from tests.tiny_speaker import AUTHORS, NAME, SIZE, voice

speaks = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="the extra `demo` is not installed"
)


def test_a_speech_becomes_a_video_named_after_it(
    checkpoints: Path, speech: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.csv").write_text("word,start,end\nhuge,0.3,0.5\nup,0.6,0.8\n")
    extra = ("--words", "words.csv", "--save_timeline", "t.json", "--save_pose", "p.npz")
    assert run(monkeypatch, checkpoints, "--audio", speech, "--seed", 7, *extra) == 0
    folder = tmp_path / "results" / NAME
    assert [path.name for path in folder.iterdir()] == ["A speech, v1.2 (final).mp4"]
    frames, seconds, metadata = read(folder / "A speech, v1.2 (final).mp4")
    assert frames.shape == (25, SIZE, SIZE, 3) and seconds == pytest.approx(1.0, abs=1e-3)
    assert metadata["comment"].startswith("synthetic") and "seed 7" in metadata["comment"]
    assert all(
        part in metadata["comment"] for part in (NAME, "audio2pose", "gestures", "pose2video")
    )
    assert len(json.loads((tmp_path / "t.json").read_text())["insertions"]) == 2
    assert len(read_motion(tmp_path / "p.npz")) == 25


def test_the_same_seed_is_the_same_video_and_another_one_is_not(
    checkpoints: Path, speech: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    videos = []
    for number, seed in enumerate((1, 1, 2)):
        output = tmp_path / f"{number}.mp4"
        more = ("--audio", speech, "--seed", seed, "--output", output)
        assert run(monkeypatch, checkpoints, *more) == 0
        videos.append(output.read_bytes())
    assert videos[0] == videos[1] != videos[2]


@speaks
def test_a_text_has_gestures_and_an_editable_timeline(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    text = ("--text", "It is huge, and it goes up.", "--skeleton", "--gestures")
    dictionary = checkpoints / NAME / "gestures"
    inserted = (*text, dictionary, "--save_timeline", "t.json", "--output", "1.mp4")
    assert run(monkeypatch, checkpoints, *inserted) == 0
    timeline = json.loads((tmp_path / "t.json").read_text())
    assert {row["word"] for row in timeline["insertions"]} >= {"huge", "up"}
    (tmp_path / "none.json").write_text(json.dumps(timeline | {"insertions": []}))
    for number, extra in {2: (dictionary, "--timeline", "t.json"), 3: ("off",),
                          4: (dictionary, "--timeline", "none.json")}.items():  # fmt: skip
        assert run(monkeypatch, checkpoints, *text, *extra, "--output", f"{number}.mp4") == 0
    videos = {number: (tmp_path / f"{number}.mp4").read_bytes() for number in range(1, 5)}
    assert videos[1] == videos[2] and (read(Path("3.mp4"))[0] == read(Path("4.mp4"))[0]).all()
    assert (read(Path("1.mp4"))[0] != read(Path("3.mp4"))[0]).any()


@pytest.mark.parametrize("seconds, frames", [(0.0001, 1), (0.05, 2), (20.0, 500)])
def test_any_length_of_silence(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seconds: float, frames: int
):
    path = tmp_path / "silence.wav"
    write_audio(path, np.zeros(max(round(seconds * 16_000), 1), np.float32))
    more = ("--skeleton", "--output", tmp_path / "x.mp4", "--save_pose", tmp_path / "x.npz")
    assert run(monkeypatch, checkpoints, "--audio", path, *more) == 0
    assert len(read(tmp_path / "x.mp4")[0]) == frames


def test_silence_shuts_the_mouth(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body
):
    path = tmp_path / "silence.wav"
    write_audio(path, np.zeros(4 * 16_000, np.float32))
    more = ("--skeleton", "--output", tmp_path / "x.mp4", "--save_pose", tmp_path / "x.npz")
    assert run(monkeypatch, checkpoints, "--audio", path, *more) == 0
    points = body.points(read_motion(tmp_path / "x.npz").pose_vector(body)).numpy()
    assert np.median(lip_opening(points)) < 4e-3  # metres


def test_face_motion_scale_scales_the_jaw(
    checkpoints: Path, speech: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body
):
    jaws = []
    for scale in ("0", "1", "2"):
        pose = tmp_path / f"{scale}.npz"
        more = ("--face_motion_scale", scale, "--skeleton", "--output", tmp_path / "x.mp4")
        assert run(monkeypatch, checkpoints, "--audio", speech, *more, "--save_pose", pose) == 0
        jaws.append(read_motion(pose).pose_vector(body)[:, POSE_SLICES["jaw"]])
    none, usual, wide = (jaw.std(0).norm().item() for jaw in jaws)
    assert none < 1e-5 < usual < wide


def test_192_khz_of_8_channels(checkpoints: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    audio_CS = np.repeat(voice(1.0, rate=192_000)[None], 8, axis=0)
    path = make_recording(
        tmp_path / "x.wav", audio_CS=audio_CS, rate=192_000, codecs=("", "pcm_f32le")
    )
    output = tmp_path / "x.mp4"
    assert run(monkeypatch, checkpoints, "--audio", path, "--output", output) == 0
    assert len(read(output)[0]) == 25 and read(output)[1] == pytest.approx(1.0, abs=1e-3)


def test_the_endings_of_output_are_the_kinds_of_video(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    write_audio(tmp_path / "a.wav", voice(0.2))
    for output in ("a.webm", "a.gif", "images"):
        more = ("--audio", "a.wav", "--skeleton", "--output", output)
        assert run(monkeypatch, checkpoints, *more) == 0
    assert len(list(read_frames(Path("a.webm")))) == 5 and Path("a.gif").read_bytes()[:3] == b"GIF"
    assert len(list(Path("images").glob("*.png"))) == 5 and Path("images/audio.wav").is_file()
    (tmp_path / "list.txt").write_text("a.wav\n")
    more = ("--audio_list", "list.txt", "--skeleton", "--output", "out", "--format", "mov")
    assert run(monkeypatch, checkpoints, *more) == 0
    assert [path.name for path in Path("out").iterdir()] == ["a.mov"]


def test_openpose_points_drive_an_imported_renderer(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    person = {"pose_keypoints_2d": [20.0, 30.0, 1.0] * 25, "face_keypoints_2d": [30, 9, 1] * 70}
    folder = tmp_path / "points"
    folder.mkdir()
    for number in range(4):
        person["pose_keypoints_2d"][3 * 4] = 50.0 + number
        (folder / f"{number}.json").write_text(json.dumps({"people": [person]}))
    output = tmp_path / "x.mp4"
    more = ("--openpose", folder, "--size", 96, 64, "--output", output, "--side_by_side")
    assert run(monkeypatch, checkpoints, "--name", AUTHORS, *more) == 0
    assert read(output)[0].shape == (4, 64, 192, 3)
    assert run(monkeypatch, checkpoints, *more) == 2  # a renderer of other maps


def test_processes_share_a_list_despite_a_bad_file(
    checkpoints: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
):
    monkeypatch.chdir(tmp_path)
    for name in ("one.x", "two", "three"):
        write_audio(tmp_path / f"{name}.wav", voice(0.2))
    (tmp_path / "list.txt").write_text("one.x.wav\nnowhere.wav\ntwo.wav\n\nthree.wav\n")
    assert run(monkeypatch, checkpoints, "--audio_list", "list.txt", "--output", "1") == 2
    shared = ("--audio_list", "list.txt", "--output", "2", "--jobs", 2, "--save_pose", "2")
    assert run(monkeypatch, checkpoints, *shared) == 2
    printed = capsys.readouterr()
    assert printed.err.count("error: nowhere.wav") == 2 and "3 of 4" in printed.out
    for name in ("one.x.mp4", "two.mp4", "three.mp4"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert (tmp_path / "2" / "one.x.npz").is_file() and len(list((tmp_path / "2").iterdir())) == 6


@pytest.mark.slow
def test_torchruns_processes_share_a_list(checkpoints: Path, tmp_path: Path):
    for name in ("one", "two", "three"):
        write_audio(tmp_path / f"{name}.wav", voice(0.2))
    (tmp_path / "list.txt").write_text("one.wav\ntwo.wav\nthree.wav\n")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "test.py")
    process = start(checkpoints, tmp_path, "--audio_list", "list.txt", launcher=launcher)
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    assert "2 of 2 videos" in output and "1 of 1 videos" in output
    found = {path.name for path in (tmp_path / "results" / NAME).iterdir()}
    assert found == {"one.mp4", "two.mp4", "three.mp4"}


DAMAGED = 30
FILE_LIMIT = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))"

BAD = {
    "no such file": (["--audio", "nowhere.wav"], "no such file"),
    "not audio": (["--audio", __file__], "not a video or audio file"),
    "a folder": (["--audio", "."], "a folder"),
    "no samples": (["--audio", "empty.wav"], "empty.wav"),
    "not a rate of speech": (["--audio", "slow.wav"], "1 Hz"),
    "a pipe": (["--audio", "pipe"], "more than once"),
    "nothing to say": ([], "--audio"),
    "another script": (["--text", "你好"], "Latin"),
    "another script in a transcript": (["--audio", "a.wav", "--transcript", "Привет"], "Latin"),
    "no words": (["--text", "..."], "no words"),
    "no such words": (["--audio", "a.wav", "--words", "no.csv"], "no.csv"),
    "no such speaker": (["--audio", "a.wav", "--name", "absent"], "there are:"),
    "no renderer": (["--audio", "a.wav", "--name", "bodiless"], "--skeleton"),
    "no pose predictor": (["--audio", "a.wav", "--name", AUTHORS], "no checkpoint"),
    "weights cut off": (["--audio", "a.wav", "--name", "cut"], "safetensors"),
    "of another version": (["--audio", "a.wav", "--name", "version"], "version"),
    "no options": (["--audio", "a.wav", "--name", "silent"], "options.json"),
    "no such dictionary": (["--text", "a", "--gestures", "nowhere"], "nowhere"),
    "gestures without words": (["--audio", "a.wav", "--gestures", "x"], "--words"),
    "audio and text": (["--audio", "a.wav", "--text", "a"], "only one"),
    "face scale of a motion": (["--pose", "a.npz", "--face_motion_scale", "2"], "only one"),
    "no such timeline": (["--audio", "a.wav", "--timeline", "no.json"], "no.json"),
    "no such motion": (["--pose", "no.npz"], "no.npz"),
    "no points": (["--openpose", ".", "--name", AUTHORS], "no json files"),
    "no such list": (["--audio_list", "no.txt"], "no.txt"),
    "an empty list": (["--audio_list", "blank.txt"], "no paths"),
    "one name twice": (["--audio_list", "twice.txt"], "called a"),
    "a folder to write to": (["--audio", "a.wav", "--output", "."], "a folder"),
    "an ending that is not written": (["--audio", "a.wav", "--output", "a.avi"], ".webm"),
    "a folder that is not empty": (["--audio", "a.wav", "--output", "checkpoints"], "a folder"),
    "no place to write to": (["--audio", "a.wav", "--output", "a.wav/x.mp4"], "cannot be written"),
    "onto its own audio": (["--audio", "a.wav", "--output", "a.wav"], "is read from it"),
}


@pytest.fixture(scope="module")
def bad(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bad input; its checkpoints/ has speakers with one fault each."""
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
    write_audio(folder / "a.wav", voice(0.2))
    write_audio(folder / "empty.wav", np.zeros(0, np.float32))
    write_audio(folder / "slow.wav", voice(0.2), rate=1)
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
    errors = capsys.readouterr().err
    assert expected in errors and "Traceback" not in errors
    assert len([line for line in errors.splitlines() if "error: " in line]) == 1
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


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a limit of a file's size is POSIX'")
def test_a_disk_that_fills_up_is_one_line(checkpoints: Path, speech: Path, tmp_path: Path):
    code = f"{FILE_LIMIT}; runpy.run_path({str(ROOT / 'test.py')!r}, run_name='__main__')"
    process = start(checkpoints, tmp_path, "--audio", speech, launcher=("-c", code))
    errors = process.communicate(timeout=TIMEOUT)[1]
    assert process.returncode == 2 and "cannot be written" in errors and "Traceback" not in errors
    assert list((tmp_path / "results" / NAME).iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=str)
def test_a_run_that_is_killed_leaves_no_video(
    checkpoints: Path, tmp_path: Path, how: signal.Signals
):
    write_audio(tmp_path / "long.wav", voice(120.0))
    process = start(checkpoints, tmp_path, "--audio", "long.wav")
    folder, deadline = tmp_path / "results" / NAME, time.monotonic() + TIMEOUT
    while not any(path.stat().st_size > 0 for path in folder.glob(".*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(how)
    errors = process.communicate(timeout=TIMEOUT)[1]
    assert process.returncode != 0 and "Traceback" not in errors
    left = list(folder.iterdir())
    assert all(path.name.startswith(".") for path in left)
    assert how == signal.SIGKILL or not left


@pytest.mark.slow
def test_two_runs_at_once_into_one_folder(checkpoints: Path, speech: Path, tmp_path: Path):
    processes = [start(checkpoints, tmp_path, "--audio", speech) for _ in range(2)]
    assert [process.wait(timeout=TIMEOUT) for process in processes] == [0, 0]
    (video,) = (tmp_path / "results" / NAME).iterdir()
    assert len(read(video)[0]) == 25


@pytest.mark.slow
def test_damaged_files_end_in_an_error_or_a_video(checkpoints: Path, tmp_path: Path):
    listed = write_damaged_audio(tmp_path, DAMAGED)
    process = start(checkpoints, tmp_path, "--audio_list", listed, "--skeleton")
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 2 and "Traceback" not in errors
    messages = [line for line in errors.splitlines() if line.startswith("error: ")]
    videos = list((tmp_path / "results" / NAME).iterdir())
    assert len(messages) + len(videos) == DAMAGED and min(len(messages), len(videos)) > 0
    assert all(path.suffix == ".mp4" and len(read(path)[0]) for path in videos)
    assert f"{len(videos)} of {DAMAGED}" in output


@pytest.mark.parametrize(
    "more",
    [
        ("--save_pose", "a.wav"),
        ("--output", "words.csv"),
        ("--output", "same.mp4", "--save_timeline", "same.mp4"),
        ("--save_timeline", "pipe"),
    ],
)
def test_no_output_replaces_an_input(
    checkpoints: Path,
    speech: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(speech, "a.wav")
    Path("words.csv").write_text("word,start,end\nhuge,0.3,0.5\n")
    os.mkfifo("pipe")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()}
    given = ("--audio", "a.wav", "--words", "words.csv", *more)
    assert run(monkeypatch, checkpoints, *given) == 2
    assert "error: " in capsys.readouterr().err
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_list_whose_audio_would_be_replaced_makes_nothing(
    checkpoints: Path, speech: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    shutil.copy(speech, "out/b.mp4")
    Path("list.txt").write_text(f"{speech}\nout/b.mp4\n")
    before = Path("out/b.mp4").read_bytes()
    assert run(monkeypatch, checkpoints, "--audio_list", "list.txt", "--output", "out") == 2
    assert Path("out/b.mp4").read_bytes() == before
    assert len(list(Path("out").iterdir())) == 1
