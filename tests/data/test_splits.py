"""Training and held-out clips."""

from dataclasses import dataclass

import pytest

from speech2video.data.splits import split_clips
from speech2video.util.errors import DataError


@dataclass
class Clip:
    """A clip whose frames are numbers."""

    name: str
    frames: range

    def __len__(self) -> int:
        return len(self.frames)

    def part(self, begin: int, end: int) -> "Clip":
        return Clip(self.name, self.frames[begin:end])


def clip(name: str, frames: int) -> Clip:
    return Clip(name, range(frames))


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
