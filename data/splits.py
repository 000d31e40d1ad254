"""Which clips are trained on, and which are kept to judge by."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from speech2video.data.clip import join_names
from speech2video.util.errors import DataError
from speech2video.util.timing import FPS

LEAST_FRAMES = 2  # of what is held out: motion takes two


class SplittableClip(Protocol):
    """A clip in memory: its name, its frames, and a part of it as a clip of its own."""

    name: str

    def __len__(self) -> int: ...

    def part(self, begin: int, end: int) -> "SplittableClip": ...


Clips = TypeVar("Clips", bound=SplittableClip)


def split_clips(
    clips: Sequence[Clips], *, held_out: Sequence[str], seconds: float
) -> tuple[list[Clips], list[Clips]]:
    """Return (to train on, held out).

    Args:
        held_out: names of clips that are held out whole.
        seconds: where no names are given, the last so many seconds of each clip are held out, of
            each only if more than twice as much is left.

    Raises:
        DataError: a name that is no clip's, or nothing left on either side.
    """
    names = sorted({clip.name for clip in clips})
    unknown = sorted(set(held_out) - set(names))
    if unknown:
        raise DataError(f"--held_out {unknown[0]}: no such clip; there are {join_names(names)}")
    if held_out:
        train = [clip for clip in clips if clip.name not in held_out]
        test = [clip for clip in clips if clip.name in held_out]
    else:
        train, test = _ends_apart(clips, round(seconds * FPS))
    if not train or not test:
        what = "nothing to train on" if not train else "nothing held out to validate on"
        raise DataError(f"{what}: {len(clips)} clips, --held_out {' '.join(held_out) or None}")
    return train, test


def _ends_apart(clips: Sequence[Clips], frames: int) -> tuple[list[Clips], list[Clips]]:
    train, test = [], []
    for clip in clips:
        count = len(clip)
        if frames >= LEAST_FRAMES and count > 3 * frames:
            test.append(clip.part(count - frames, count))
            clip = clip.part(0, count - frames)
        train.append(clip)
    return train, test
