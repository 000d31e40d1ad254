"""Log-mels that come in chunks of any size: as frames, and as windows to listen in."""

from collections.abc import Iterable, Iterator
from itertools import islice, repeat
from typing import TypeVar

import numpy as np

from speech2video.util.errors import DataError
from speech2video.util.log_mels import BANDS, COLUMNS

Item = TypeVar("Item")

HEARD, HEARD_EVERY = 25, 12  # frames of a window that who and how are heard in, and between two


def frames_of(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the mels (80, 4) of each frame."""
    for mel_BL in chunks:
        if mel_BL.ndim != 2 or mel_BL.shape[0] != BANDS or mel_BL.shape[1] % COLUMNS:
            raise DataError(f"log-mels {mel_BL.shape}; ({BANDS}, {COLUMNS} n) are needed")
        for begin in range(0, mel_BL.shape[1], COLUMNS):
            yield np.ascontiguousarray(mel_BL[:, begin : begin + COLUMNS], np.float32)


def lasting(frames: Iterable[np.ndarray], more: int) -> Iterator[np.ndarray]:
    """Yield frames, and the last one so many times more."""
    last = None
    for last in frames:
        yield last
    if last is not None:
        yield from repeat(last, more)


def grouped(items: Iterable[Item], count: int) -> Iterator[list[Item]]:
    """Yield so many items at once; the last ones may be fewer."""
    items = iter(items)
    while group := list(islice(items, count)):
        yield group


def windows_of(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield windows (80, 4 `HEARD`); the last one reaches the end of what is heard.

    Speech shorter than a window is heard over and over until it fills one.
    """
    kept: list[np.ndarray] = []
    count = 0
    for mel_BC in frames_of(chunks):
        kept = [*kept[1 - HEARD :], mel_BC]
        count += 1
        if count >= HEARD and (count - HEARD) % HEARD_EVERY == 0:
            yield np.concatenate(kept, 1)
    if 0 < count < HEARD:
        yield np.concatenate([kept[i % count] for i in range(HEARD)], 1)
    elif count and (count - HEARD) % HEARD_EVERY:
        yield np.concatenate(kept, 1)
