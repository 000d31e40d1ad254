"""Work that goes on in a thread while its results are used."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

DEPTH = 8  # items made ahead: enough to even out slow ones, and little memory

Item = TypeVar("Item")


def ahead(items: Iterable[Item], *, depth: int = DEPTH) -> Iterator[Item]:
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
