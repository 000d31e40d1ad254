"""Training and held-out clips."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from speech2video.data.splits import CLIPS_FILE, leave_out_bad_frames, remember_clips, split_clips
from speech2video.util.errors import DataError


@dataclass
class Clip:
    """A clip whose frames are numbers."""

    name: str
    frames: range
    bad_T: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def part(self, begin: int, end: int) -> "Clip":
        bad_T = None if self.bad_T is None else self.bad_T[begin:end]
        return Clip(self.name, self.frames[begin:end], bad_T)


def clip(name: str, frames: int, *, bad: tuple[slice, ...] = ()) -> Clip:
    bad_T = np.zeros(frames, bool)
    for run in bad:
        bad_T[run] = True
    return Clip(name, range(frames), bad_T)


def test_named_clips_are_held_out_whole():
    train, test = split_clips([clip("a", 50), clip("b", 50)], held_out=("b",), seconds=1)
    assert [c.name for c in train] == ["a"] and [c.name for c in test] == ["b"]


def test_ends_are_held_out_without_names():
    train, test = split_clips([clip("a", 100), clip("b", 30)], held_out=(), seconds=1)
    assert [c.frames for c in train] == [range(75), range(30)]
    assert [c.frames for c in test] == [range(75, 100)]


@pytest.mark.parametrize(
    ("held_out", "words"), [(("c",), "no such clip"), (("a", "b"), "nothing to train on")]
)
def test_bad_splits_raise(held_out: tuple[str, ...], words: str):
    with pytest.raises(DataError, match=words):
        split_clips([clip("a", 50), clip("b", 50)], held_out=held_out, seconds=1)


@pytest.mark.parametrize("seconds", [0, 0.04])
def test_too_short_ends_are_not_held_out(seconds: float):
    with pytest.raises(DataError, match="nothing held out"):
        split_clips([clip("a", 50)], held_out=(), seconds=seconds)


def test_bad_frames_are_left_out_and_parts_do_not_bridge_them(capsys: pytest.CaptureFixture[str]):
    cut, whole = clip("a", 200, bad=(slice(60, 70), slice(80, 90))), clip("b", 50)
    training, held_out = leave_out_bad_frames([cut, whole], [clip("c", 30, bad=(slice(0, 9),))])
    assert [part.frames for part in training] == [range(60), range(90, 200), range(50)]
    assert training[-1] is whole
    assert len(held_out) == 1  # nothing of it is long enough, yet something has to be validated on
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 1 and "30 of 250 frames" in notes[0] and "--use_all_frames" in notes[0]


def test_clips_without_bad_frames_are_left_as_they_are(capsys: pytest.CaptureFixture[str]):
    clips = [clip("a", 20), Clip("b", range(9))]
    assert leave_out_bad_frames(clips, clips[:1]) == (clips, clips[:1])
    assert capsys.readouterr().err == ""


def test_nothing_but_bad_frames_is_an_error():
    bad = clip("a", 50, bad=(slice(20, 50),))
    with pytest.raises(DataError, match="--use_all_frames"):
        leave_out_bad_frames([bad], [bad])


@pytest.fixture
def started(tmp_path: Path) -> tuple[Path, Path]:
    """A run's folder and its data set, of two clips of 50 frames."""
    run, dataset = tmp_path / "run", tmp_path / "dataset"
    for name in ("a", "b"):
        (dataset / name).mkdir(parents=True)
    remember_clips(run, dataset, {"a": 50, "b": 50}, resumed=False)
    return run, dataset


def test_a_deleted_clip_is_noticed_when_a_run_is_resumed(started: tuple[Path, Path]):
    run, dataset = started
    (dataset / "b").rmdir()
    with pytest.raises(DataError, match=r"b: gone.*clips\.json"):
        remember_clips(run, dataset, {"a": 50}, resumed=True)
    (run / CLIPS_FILE).unlink()
    remember_clips(run, dataset, {"a": 50}, resumed=True)
    remember_clips(run, dataset, {"a": 50}, resumed=True)


@pytest.mark.parametrize(
    ("clips", "words"),
    [
        ({"a": 50, "b": 50}, ""),
        ({"a": 50, "b": 50, "c": 9}, "new: c"),
        ({"a": 50, "b": 49}, "of another length: b"),
        ({"b": 50}, "left out: a"),
    ],
)
def test_other_changes_of_the_clips_are_a_note(
    started: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    clips: dict[str, int],
    words: str,
):
    run, dataset = started
    remember_clips(run, dataset, clips, resumed=True)
    assert words in capsys.readouterr().err
    remember_clips(run, dataset, clips, resumed=True)  # now known
    assert capsys.readouterr().err == ""


def test_another_dataset_is_a_note(started: tuple[Path, Path], capsys: pytest.CaptureFixture[str]):
    run, dataset = started
    remember_clips(run, dataset.parent, {"x": 5}, resumed=True)
    assert f"started with {dataset}" in capsys.readouterr().err


def test_a_broken_list_is_one_line(started: tuple[Path, Path]):
    run, dataset = started
    for broken in ("null", "[" * 50_000, '{"names": null}', "{}"):
        (run / CLIPS_FILE).write_text(broken)
        with pytest.raises(DataError, match=CLIPS_FILE):
            remember_clips(run, dataset, {"a": 50}, resumed=True)
