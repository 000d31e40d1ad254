"""What long work shows while it runs."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

LOG_FILE_SECONDS = 30.0  # between lines where nobody watches a bar move

Item = TypeVar("Item")


def progress(
    items: Iterable[Item], *, total: int | None = None, name: str = "", unit: str = "frame"
) -> Iterator[Item]:
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
