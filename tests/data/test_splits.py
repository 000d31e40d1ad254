"""Training and held-out clips."""

from dataclasses import dataclass

import numpy as np
import pytest

from speech2video.data.splits import leave_out_bad_frames, split_clips
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
