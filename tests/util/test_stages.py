"""Stages: the same items in the same order, and no thread left behind, however it ends."""

import threading
from collections.abc import Iterable, Iterator

import pytest

from speech2video.util.stages import DEPTH, Stages


def added(items: Iterable[int], more: int, *, wrong: int | None = None) -> Iterator[int]:
    for item in items:
        if item == wrong:
            raise ValueError("the wrong one")
        yield item + more


def test_items_go_through_all_threads_in_order() -> None:
    before = threading.active_count()
    with Stages() as stages:
        row: Iterable[int] = range(200)
        for _ in range(5):
            row = stages.ahead(added(row, 1))
        assert list(row) == list(range(5, 205))
    assert threading.active_count() == before


@pytest.mark.parametrize("place", range(4))
def test_an_error_is_raised_at_the_end_of_the_row(place: int) -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="the wrong one"), Stages() as stages:
        row: Iterable[int] = iter(range(10**9))
        for number in range(4):
            row = stages.ahead(added(row, 0, wrong=50 if number == place else None))
        for item in row:
            assert item < 50
    assert threading.active_count() == before


def test_who_stops_early_stops_all() -> None:
    before, made = threading.active_count(), []

    def counted() -> Iterator[int]:
        for number in range(10**9):
            made.append(number)
            yield number

    with pytest.raises(KeyboardInterrupt), Stages() as stages:
        row = stages.ahead(added(stages.ahead(counted()), 0))
        assert next(iter(row)) == 0
        raise KeyboardInterrupt
    assert threading.active_count() == before and len(made) <= 2 * DEPTH + 3


def test_nothing_asked_for_nothing_started() -> None:
    before = threading.active_count()
    with Stages() as stages:
        stages.ahead(stages.ahead(range(3)))
        assert threading.active_count() == before
