"""Iterate with a progress bar, or ahead of time in threads."""

import contextlib
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from tqdm import tqdm

DEPTH = 8  # items made ahead: enough to even out slow ones, and little memory
STAGE_DEPTH = 4  # the same, of each of several threads
LOG_FILE_SECONDS = 30.0  # between lines where standard error is no terminal

Item = TypeVar("Item")


def progress_bar(
    items: Iterable[Item], *, total: int | None = None, name: str = "", unit: str = "frame"
) -> Iterator[Item]:
    """Yield the items under a progress bar with rate and time left, on standard error."""
    with open_bar(total=total, name=name, unit=unit) as bar:
        for item in items:
            yield item
            bar.update()


def open_bar(
    *, total: int | None, name: str, unit: str, initial: int = 0, disable: bool = False
) -> tqdm:
    """Return a progress bar on standard error; into a file or a pipe, a line now and then."""
    terminal = sys.stderr.isatty()
    interval = 0.1 if terminal else LOG_FILE_SECONDS
    seconds = {"mininterval": interval, "maxinterval": max(10.0, interval)}
    shown: Any = {"total": total, "initial": initial, "dynamic_ncols": terminal, **seconds}
    return tqdm(desc=name, unit=unit, disable=disable, **shown)


def prefetch(items: Iterable[Item], *, depth: int = DEPTH) -> Generator[Item, None, None]:
    """Yield the items, in order, while a thread makes the next ones, at most `depth` ahead.

    This saves time where both sides release Python's lock mostly, as decoders and networks do.
    An exception in the thread is raised here, at its item's turn.
    """
    source, end = iter(items), object()
    thread = ThreadPoolExecutor(1)
    try:
        coming: deque[Future[Any]] = deque(thread.submit(next, source, end) for _ in range(depth))
        while (item := coming.popleft().result()) is not end:
            coming.append(thread.submit(next, source, end))
            yield item
    finally:
        thread.shutdown(cancel_futures=True)


class PrefetchStack(contextlib.ExitStack):
    """Run generators that feed each other in a thread each, and end them all together.

    with PrefetchStack() as stack:
        for item in second(stack.prefetch(first())):      # first() runs in a thread
            ...

    Leaving the block stops the last thread first and waits for each, so that none is left behind
    and none waits for another. An exception in one is raised where its items are used, and so on to
    the end of the chain. At most `STAGE_DEPTH` items wait between two.
    """

    def prefetch(self, items: Iterable[Item]) -> Iterator[Item]:
        """Return the same items, made ahead in a thread that starts when the first is asked for."""
        return self.enter_context(contextlib.closing(prefetch(items, depth=STAGE_DEPTH)))
