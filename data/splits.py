"""Split of clips into training and held-out ones."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from speech2video.data.clip import join_names
from speech2video.util.errors import DataError
from speech2video.util.timing import FPS

MIN_FRAMES = 2  # of a held-out part: motion takes two
MIN_TRAINING_SHARE = 3  # a clip is cut only if it is more than so many times as long as the part


class SplittableClip(Protocol):
    """A clip in memory with its frames."""

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...

    def part(self, begin: int, end: int) -> Any: ...


Clips = TypeVar("Clips", bound=SplittableClip)


def split_clips(
    clips: Sequence[Clips], *, held_out: Sequence[str], seconds: float
) -> tuple[list[Clips], list[Clips]]:
    """Return the training clips and the held-out ones.

    Args:
        held_out: names of clips to hold out whole.
        seconds: without names, length of the part to hold out at each clip's end; of short clips,
            nothing is held out.

    Raises:
        DataError: a name without a clip, or no clips on either side.
    """
    names = sorted({clip.name for clip in clips})
    if unknown := sorted(set(held_out) - set(names)):
        raise DataError(f"--held_out {unknown[0]}: no such clip; there are {join_names(names)}")
    if held_out:
        train = [clip for clip in clips if clip.name not in held_out]
        test = [clip for clip in clips if clip.name in held_out]
    else:
        train, test, frames = [], [], round(seconds * FPS)
        for clip in clips:
            count = len(clip)
            if frames >= MIN_FRAMES and count > MIN_TRAINING_SHARE * frames:
                test.append(clip.part(count - frames, count))
                clip = clip.part(0, count - frames)
            train.append(clip)
    if not train or not test:
        what = "nothing to train on" if not train else "nothing held out to validate on"
        raise DataError(f"{what}: {len(clips)} clips, --held_out {' '.join(held_out) or None}")
    return train, test
