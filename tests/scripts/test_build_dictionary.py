"""`scripts/build_dictionary.py`: gestures mined, listed by hand, and drawn."""

from pathlib import Path

import build_dictionary as build_dictionary_script
import pytest
from torch import Tensor

from speech2video.data.clip import Clip, list_clips
from speech2video.data.gestures.dictionary import GestureDictionary
from speech2video.data.gestures.extraction import mine_gestures
from speech2video.data.gestures.mining import read_mining_clips
from speech2video.data.motion_io import read_motion
from speech2video.util.body.body_model import Body
from speech2video.util.text.transcript import Word
from tests.data.gestures.gesture_examples import gesturing_clips
from tests.shared import run_here


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    return run_here(monkeypatch, build_dictionary_script.main, *arguments)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Word]]:
    folder = tmp_path_factory.mktemp("dataset")
    return folder, gesturing_clips(folder, Body.load())


def test_the_gesture_is_found(
    dataset: tuple[Path, list[Word]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, made = dataset
    assert run(monkeypatch, "--dataset", folder, "--output", tmp_path) == 0
    best = GestureDictionary.load(tmp_path).entries[0]
    assert best.words == ("up",) and set(best.parts) == {"right_arm", "right_hand"}
    assert abs(best.made - len(made)) <= 2
    assert best.probability == pytest.approx(len(made) / 36, abs=0.08)
    assert abs(best.key_in_word - 0.4) * 0.35 * 25 < 2  # frames
    sheet = (tmp_path / "sheet.html").read_text()
    assert sheet.count("<section>") == len(GestureDictionary.load(tmp_path).entries)
    assert "data:image/png" in sheet


def test_predicted_motion_is_no_gesture(dataset: tuple[Path, list[Word]], body: Body) -> None:
    def predict(clip: Clip) -> Tensor:
        return read_motion(clip.pose).pose_vector(body)

    clips = read_mining_clips(list_clips(dataset[0]), body, predict)
    dictionary, _ = mine_gestures(clips, body)
    assert not dictionary.entries


def test_listed_entries_replace_mined_ones(
    dataset: tuple[Path, list[Word]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "word,clip,start,end,probability\nUp|upwards,01,1.0,2.0,0.4\nup|upwards,01,1.2,1.2,.5\n"
    )
    arguments = ("--dataset", dataset[0], "--output", tmp_path / "out", "--list", path)
    assert run(monkeypatch, *arguments) == 0
    entries = GestureDictionary.load(tmp_path / "out").entries
    assert entries[0].words == ("Up", "upwards") and entries[0].probability == 0.4
    assert len(entries[0].motion_NP) == 26 and len(entries[1].motion_NP) == 1
    assert not any("up" in entry.words for entry in entries[2:])


def test_an_existing_dictionary_is_not_overwritten(
    dataset: tuple[Path, list[Word]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "dictionary.json").write_text("mine")
    assert run(monkeypatch, "--dataset", dataset[0], "--output", tmp_path) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "dictionary.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("up,99,1,2,0.5", "no clip '99'"),
        ("up,01,2,1,0.5", "start <= end"),
        ("up,01,1,2,2", "probability 2"),
        ("up,01,1,nan,1", "end is 'nan'"),
        (",01,1,2,1", "must not be empty"),
        ("up,01,1", "a number is needed"),
        ("up,01,1,40,1", "hold"),
    ],
)
def test_bad_lists_give_one_line_errors(
    dataset: tuple[Path, list[Word]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    row: str,
    words: str,
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("word,clip,start,end,probability\n" + row + "\n")
    arguments = ("--dataset", dataset[0], "--output", tmp_path / "out", "--list", path)
    assert run(monkeypatch, *arguments, "--no-propose") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and words in lines[0] and "line 2" in lines[0]
    assert not (tmp_path / "out").exists()
