"""Generators in a row, each in a thread of its own."""

import contextlib
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

# Work that goes on in a thread while its results are used.

DEPTH = 8  # items made ahead: enough to even out slow ones, and little memory

Item = TypeVar("Item")


def prefetch(items: Iterable[Item], *, depth: int = DEPTH) -> Iterator[Item]:
    """Yield the items, in order, while a thread makes those that follow, `depth` of them at most.

    It helps where both sides leave Python's lock alone most of the time, as decoders and networks
    do. What making an item raises is raised here, at its turn.
    """
    source, end = iter(items), object()
    thread = ThreadPoolExecutor(1)
    try:
        coming = deque(thread.submit(next, source, end) for _ in range(depth))
        while (item := coming.popleft().result()) is not end:
            coming.append(thread.submit(next, source, end))
            yield item
    finally:
        thread.shutdown(cancel_futures=True)


STAGE_DEPTH = 4  # items that each thread keeps ready

Item_stages = TypeVar("Item_stages")


class PrefetchStack:
    """Puts threads between generators that feed each other, and ends them all together.

    with Stages() as stages:
        for item in second(stages.ahead(first())):      # first() runs in a thread
            ...

    Leaving the block, by whatever way, stops the last thread first and waits for each, so that none
    is left behind and none waits for another. What goes wrong in one is raised where its items are
    used, and so on to the end of the row. At most `STAGE_DEPTH` items wait between two.
    """

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "PrefetchStack":
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def prefetch(self, items: Iterable[Item_stages]) -> Iterator[Item_stages]:
        """Return the same items, made ahead in a thread that starts when the first is asked for."""
        return self._open.enter_context(contextlib.closing(prefetch(items, depth=STAGE_DEPTH)))


# What long work shows while it runs.

LOG_FILE_SECONDS = 30.0  # between lines where nobody watches a bar move

Item_log = TypeVar("Item_log")


def progress_bar(
    items: Iterable[Item_log], *, total: int | None = None, name: str = "", unit: str = "frame"
) -> Iterator[Item_log]:
    """Yield the items under a progress bar with rate and time left, on standard error.

    Into a file or a pipe it writes a line now and then, not ten a second.
    """
    watched = sys.stderr.isatty()
    interval = 0.1 if watched else LOG_FILE_SECONDS
    yield from tqdm(
        items,
        total=total,
        desc=name,
        unit=unit,
        dynamic_ncols=watched,
        mininterval=interval,
        maxinterval=max(10.0, interval),
    )
