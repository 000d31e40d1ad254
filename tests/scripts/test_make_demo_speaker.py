"""`scripts/make_demo_speaker.py` as a user runs it, in miniature."""

import csv
import importlib.util
import json
from pathlib import Path

import av
import make_demo_speaker as script
import numpy as np
import pytest

from speech2video.data.motion_io import read_motion
from speech2video.data.pose2video.clip import load_pose_videos
from speech2video.data.synthetic.speaker.recording import QUIET, demo_camera
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.skeleton import POINT_INDEX
from speech2video.util.text.transcript import read_words
from speech2video.util.timing import FPS
from tests.shared import run_here

SIZE, COUNT = 128, 2
TINY = ("--minutes", 0.04, "--seconds", 1.2, "--size", SIZE, "--seed", 3)
GROUND_TRUTH = {"pose.npz", "words.csv", "phones.csv", "gestures.json", "plan.json"}
GROUND_TRUTH |= {"clip.json", "audio.wav", "video.mp4"}  # a clip to train on
NEEDED = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, script.EXTRAS)), reason="the extra `demo` is missing"
)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    return run_here(monkeypatch, script.main, *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two recordings of one sentence each."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert run(monkeypatch, "--output", folder, *TINY, "--jobs", 2) == 0
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@NEEDED
def test_there_are_recordings_and_ground_truth_and_nothing_else(folder: Path):
    names = [f"{number:03d}" for number in range(COUNT)]
    expected = {f"recordings/{name}{kind}" for name in names for kind in (".mp4", ".txt")}
    expected |= {f"ground_truth/{name}/{file}" for name in names for file in GROUND_TRUTH}
    assert set(contents(folder)) == expected


@NEEDED
@pytest.mark.parametrize("number", range(COUNT))
def test_ground_truth_is_as_long_as_the_video(folder: Path, body: Body, number: int):
    known = folder / "ground_truth" / f"{number:03d}"
    video = folder / "recordings" / f"{number:03d}.mp4"
    with av.open(str(video)) as file:
        assert "synthetic" in file.metadata["comment"]
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    motion = read_motion(known / "pose.npz")
    assert len(frames) == len(motion) and motion.fps == FPS
    assert motion.camera == demo_camera(SIZE) and motion.body == body.name
    assert {frame.shape for frame in frames} == {(SIZE, SIZE, 3)}
    audio_S = load_audio(video)
    assert len(audio_S) / 16_000 == pytest.approx(len(frames) / FPS, abs=0.06)
    assert np.abs(audio_S).max() > 0.05


@NEEDED
@pytest.mark.parametrize("number", range(COUNT))
def test_words_phones_and_gestures_belong_to_the_same_speech(folder: Path, number: int):
    known = folder / "ground_truth" / f"{number:03d}"
    text = (folder / "recordings" / f"{number:03d}.txt").read_text()
    words = read_words(known / "words.csv")
    end = len(read_motion(known / "pose.npz")) / FPS
    assert words and all(0 <= word.start <= word.end <= end for word in words)
    assert all(word.text.lower() in text.lower() for word in words)
    assert words[0].start >= QUIET[0] and words[-1].end <= end - QUIET[0]
    with open(known / "phones.csv", encoding="utf-8", newline="") as file:
        phones = list(csv.DictReader(file))
    for phone in phones:
        word = words[int(phone["word"])]
        start, stop = float(phone["start"]), float(phone["end"])
        assert word.start - 1e-3 <= start <= stop <= word.end + 1e-3
    made = json.loads((known / "gestures.json").read_text())
    assert set(made) == {"gestures", "beats"}
    spoken = {(word.text, round(word.start, 3)) for word in words}
    for use in made["gestures"]:
        assert (use["word"]["text"], round(use["word"]["start"], 3)) in spoken
        assert use["start"] <= use["apex"] <= use["end"]


@pytest.mark.slow
@NEEDED
def test_what_is_missing_is_made_again_and_is_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    before = contents(folder)
    kept = folder / "recordings" / "000.mp4"
    time = kept.stat().st_mtime_ns
    (folder / "recordings" / "001.mp4").unlink()
    (folder / "ground_truth" / "001" / "words.csv").unlink()
    assert run(monkeypatch, "--output", folder, *TINY) == 0
    assert "1 of 2 recordings are there" in capsys.readouterr().out
    after = contents(folder)
    assert set(after) == set(before)
    assert [name for name in before if before[name] != after[name]] == []
    assert kept.stat().st_mtime_ns == time


@NEEDED
def test_another_seed_does_not_mix_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    before = contents(folder)
    assert run(monkeypatch, "--output", folder, *TINY[:-1], 4) == 2
    assert "seed 3, not seed 4" in capsys.readouterr().err
    assert contents(folder) == before


BAD = {
    "size": (["--size", "5"], "--size 5"),
    "no time": (["--minutes", "0"], "--minutes 0"),
    "no jobs": (["--jobs", "0"], "--jobs 0"),
    "output cannot be": (["--output", "/proc/nowhere"], "/proc/nowhere"),
}


@NEEDED
@pytest.mark.parametrize("name", BAD)
def test_bad_options_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
):
    extra, words = BAD[name]
    assert run(monkeypatch, "--output", tmp_path / "demo", *TINY, *extra) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(errors) == 1 and words in errors[0]
    assert not list(tmp_path.iterdir())


def test_missing_extras_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run(monkeypatch, "--output", tmp_path / "demo", *TINY) == 2
    assert "pip install 'speech2video[demo]'" in capsys.readouterr().err


def test_more_minutes_add_recordings(tmp_path: Path):
    def plans(*arguments: object) -> list:
        words = ["--output", str(tmp_path), *map(str, arguments)]
        return script.plan_recordings(script.MakeDemoSpeakerOptions.parse(words))

    short, long = plans("--minutes", 2), plans("--minutes", 4)
    assert long[: len(short)] == short and len(long) == 2 * len(short)
    assert sum(plan.seconds for plan in plans("--minutes", 0.05)) == pytest.approx(3)


@NEEDED
def test_the_ground_truth_is_a_dataset_of_exact_clips(folder: Path, body: Body):
    size = {"width": SIZE, "height": SIZE}
    videos = load_pose_videos(folder / "ground_truth", body, **size)
    assert [video.name for video in videos] == ["000", "001"]
    for video in videos:
        wrists = video.points_TK2[:, [POINT_INDEX["left_wrist"], POINT_INDEX["right_wrist"]]]
        assert ((wrists > 0) & (wrists < SIZE)).mean() > 0.9, "hands are in the image"


@NEEDED
def test_a_man_speaks_too(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    arguments = (*TINY[2:], "--minutes", 0.02, "--presenter", "man")
    assert run(monkeypatch, "--output", tmp_path / "man", *arguments) == 0
    frames = []
    for base in (tmp_path / "man", folder):
        with av.open(str(base / "recordings" / "000.mp4")) as file:
            frames.append(next(file.decode(video=0)).to_ndarray(format="rgb24").astype(int))
    assert np.abs(frames[0] - frames[1]).mean() > 5
    betas = [read_motion(b / "ground_truth/000/pose.npz").betas for b in (tmp_path / "man", folder)]
    assert (betas[0] != betas[1]).any()
