"""`ahead`: the same items in the same order, and no thread left behind."""

import threading
from collections.abc import Iterator

import pytest

from speech2video.util.lookahead import DEPTH, ahead


def counted(made: list[int], end: int) -> Iterator[int]:
    for number in range(end):
        made.append(number)
        yield number


@pytest.mark.parametrize("count", [0, 1, DEPTH, 100])
def test_the_items_come_in_order(count: int) -> None:
    assert list(ahead(range(count))) == list(range(count))


def test_no_more_than_depth_are_made_ahead() -> None:
    made: list[int] = []
    for number in ahead(counted(made, 50), depth=3):
        assert len(made) <= number + 1 + 3
    assert made == list(range(50))


def test_what_goes_wrong_is_raised_at_its_turn() -> None:
    def broken() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("the third")

    items = ahead(broken())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(items)


def test_who_stops_early_leaves_no_thread() -> None:
    before, made = threading.active_count(), []
    items = ahead(counted(made, 1000))
    next(items)
    items.close()
    assert threading.active_count() == before and len(made) <= DEPTH + 2
