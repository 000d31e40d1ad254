"""Generators in a row, each in a thread of its own."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import TypeVar

from speech2video.util.lookahead import ahead

DEPTH = 4  # items that each thread keeps ready

Item = TypeVar("Item")


class Stages:
    """Puts threads between generators that feed each other, and ends them all together.

    with Stages() as stages:
        for item in second(stages.ahead(first())):      # first() runs in a thread
            ...

    Leaving the block, by whatever way, stops the last thread first and waits for each, so that none
    is left behind and none waits for another. What goes wrong in one is raised where its items are
    used, and so on to the end of the row. At most `DEPTH` items wait between two.
    """

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "Stages":
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def ahead(self, items: Iterable[Item]) -> Iterator[Item]:
        """Return the same items, made ahead in a thread that starts when the first is asked for."""
        return self._open.enter_context(contextlib.closing(ahead(items, depth=DEPTH)))
