"""Prefetching gives the same items in the same order, and leaves no thread behind."""

import threading
from collections.abc import Iterable, Iterator

import pytest

from speech2video.util.iteration import DEPTH, STAGE_DEPTH, PrefetchStack, prefetch


def counted(made: list[int], end: int) -> Iterator[int]:
    for number in range(end):
        made.append(number)
        yield number


@pytest.mark.parametrize("count", [0, 1, DEPTH, 100])
def test_the_items_come_in_order(count: int) -> None:
    assert list(prefetch(range(count))) == list(range(count))


def test_no_more_than_depth_are_made_ahead() -> None:
    made: list[int] = []
    for number in prefetch(counted(made, 50), depth=3):
        assert len(made) <= number + 1 + 3
    assert made == list(range(50))


def test_an_error_is_raised_at_its_turn() -> None:
    def broken() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("the third")

    items = prefetch(broken())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(items)


def test_stopping_early_leaves_no_thread() -> None:
    before, made = threading.active_count(), []
    items = prefetch(counted(made, 1000))
    next(items)
    items.close()
    assert threading.active_count() == before and len(made) <= DEPTH + 2


# Stages: the same items in the same order, and no thread left behind, however it ends.


def added(items: Iterable[int], more: int, *, wrong: int | None = None) -> Iterator[int]:
    for item in items:
        if item == wrong:
            raise ValueError("the wrong one")
        yield item + more


def test_items_go_through_all_threads_in_order() -> None:
    before = threading.active_count()
    with PrefetchStack() as stages:
        row: Iterable[int] = range(200)
        for _ in range(5):
            row = stages.prefetch(added(row, 1))
        assert list(row) == list(range(5, 205))
    assert threading.active_count() == before


@pytest.mark.parametrize("place", range(4))
def test_an_error_is_raised_at_the_end_of_the_chain(place: int) -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="the wrong one"), PrefetchStack() as stages:
        row: Iterable[int] = iter(range(10**9))
        for number in range(4):
            row = stages.prefetch(added(row, 0, wrong=50 if number == place else None))
        for item in row:
            assert item < 50
    assert threading.active_count() == before


def test_stopping_early_stops_all() -> None:
    before, made = threading.active_count(), []

    def counted() -> Iterator[int]:
        for number in range(10**9):
            made.append(number)
            yield number

    with pytest.raises(KeyboardInterrupt), PrefetchStack() as stages:
        row = stages.prefetch(added(stages.prefetch(counted()), 0))
        assert next(iter(row)) == 0
        raise KeyboardInterrupt
    assert threading.active_count() == before and len(made) <= 2 * STAGE_DEPTH + 3


def test_no_thread_starts_before_the_first_item() -> None:
    before = threading.active_count()
    with PrefetchStack() as stages:
        stages.prefetch(stages.prefetch(range(3)))
        assert threading.active_count() == before
