"""Worker processes: results in order, progress, errors, killed workers, Ctrl-C."""

import _thread
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from speech2video.util.errors import UserError
from speech2video.util.process_pool import AHEAD, Progress, iterate_tasks, run_tasks


def start_worker() -> Callable[[Path | str, Progress], str]:
    return work


def work(task: Path | str, progress: Progress) -> str:
    """Do one step, and what the task's name says."""
    progress(1.0)
    if task == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "fail":
        raise ValueError("failed")
    if isinstance(task, Path) and task.name == "kill":
        while not task.with_name("slow").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    if isinstance(task, Path):
        try:
            task.touch()
            time.sleep(60)
        finally:
            time.sleep(0.5 if task.name == "slow" else 0)
            task.unlink(missing_ok=True)
    return f"{task} done"


@pytest.mark.parametrize("jobs", [0, 2])
def test_results_are_in_order_and_progress_adds_up(jobs: int) -> None:
    seen = []
    assert run_tasks(start_worker, list("abc"), jobs=jobs, on_progress=seen.append) == [
        "a done",
        "b done",
        "c done",
    ]
    assert seen == sorted(seen) and seen[-1] == 3


@pytest.mark.parametrize("jobs", [0, 2])
def test_tasks_without_number_are_drawn_as_they_are_done(jobs: int) -> None:
    drawn = 0

    def tasks() -> Iterator[str]:
        nonlocal drawn
        while True:
            drawn += 1
            yield str(drawn)

    seen: list[float] = []
    results = iterate_tasks(start_worker, tasks(), jobs=jobs, on_progress=seen.append)
    for number in range(1, 51):
        assert next(results) == f"{number} done"
        assert drawn <= number + AHEAD * jobs
    results.close()
    assert seen == sorted(seen) and seen[-1] >= 40


def test_an_error_is_raised_when_its_turn_comes(tmp_path: Path) -> None:
    results = iterate_tasks(start_worker, ["a", "fail", tmp_path / "long"], jobs=2)
    assert next(results) == "a done"
    with pytest.raises(ValueError, match="failed"):
        next(results)
    assert not list(tmp_path.iterdir())


def test_tasks_after_a_killed_worker_are_named() -> None:
    results = iterate_tasks(start_worker, ["kill", *"abc"], jobs=1, on_killed=lambda t: f"no {t}")
    assert list(results) == ["no kill", "no a", "no b", "no c"]


def test_an_error_is_raised_and_stops_the_others(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="failed"):
        run_tasks(start_worker, [tmp_path / "long", "fail", "a"], jobs=2)
    assert not list(tmp_path.iterdir())


def test_a_killed_worker_is_an_error_or_a_result() -> None:
    with pytest.raises(UserError, match="killed"):
        run_tasks(start_worker, ["kill"], jobs=1)
    assert run_tasks(start_worker, ["kill"], jobs=1, on_killed=lambda task: f"no {task}") == [
        "no kill"
    ]


@pytest.mark.timeout(50)
@pytest.mark.parametrize("names", ["slow kill", "a slow kill b", "slow fail", "a slow fail b"])
def test_a_worker_that_cleans_up_longest_ends(tmp_path: Path, names: str) -> None:
    tasks = [tmp_path / name if name in ("slow", "kill") else name for name in names.split()]
    with pytest.raises(UserError if "kill" in names else ValueError):
        run_tasks(start_worker, tasks, jobs=2)
    assert not list(tmp_path.iterdir())


def test_an_interrupt_unwinds_the_workers(tmp_path: Path) -> None:
    def interrupt() -> None:
        while not (tmp_path / "long").exists():
            time.sleep(0.05)
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_tasks(start_worker, [tmp_path / "long"], jobs=1)
    assert not list(tmp_path.iterdir())
