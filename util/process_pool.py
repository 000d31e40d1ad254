"""Tasks shared out among worker processes, with progress, that end on Ctrl-C and with their parent.

def start_worker() -> Worker: ...          # runs once in each process: threads, loaded models
results = run_tasks(start_worker, tasks, jobs=4, on_progress=show)
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from types import FrameType
from typing import Any, TypeVar

from speech2video.util.errors import UserError

TERMINAL_SIGNALS = (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT))
POLL_SECONDS = 0.2  # between two progress reports

Task = TypeVar("Task")
Result = TypeVar("Result")
Progress = Callable[[float], None]

_worker: dict[str, Any] = {}  # state of a worker process: its function, progress, stop event


class Stopped(Exception):
    """Raised in a worker by its progress callback once the pool is stopped."""


def run_tasks(
    start_worker: Callable[[], Callable[[Task, Progress], Result]],
    tasks: Sequence[Task],
    *,
    jobs: int,
    on_progress: Callable[[float], object] = lambda _: None,
    on_killed: Callable[[Task], Result] | None = None,
    stop_on_error: bool = True,
) -> list[Result]:
    """Return the result of each task, in the order of the tasks.

    Args:
        start_worker: called once in each process; returns the function that does a task. That
            function gets the task and a callback for its progress so far, in any unit. Like the
            tasks, it must be picklable: a module's function, or a `functools.partial` of one.
        tasks: what is to be done.
        jobs: number of processes; 0 runs the tasks in this process.
        on_progress: called with the sum of all tasks' progress.
        on_killed: gives the result of a task whose process was killed; by default that is an error.
        stop_on_error: whether an exception in one task stops the others at once, and not after
            all are done.

    Raises:
        UserError: a process was killed, most likely for want of memory.
        Exception: what a task raised. On this and on Ctrl-C the workers clean up and end.
    """
    if jobs == 0:
        return _run_here(start_worker, tasks, on_progress)
    if not tasks:
        return []
    context = multiprocessing.get_context("spawn")  # forked torch and MediaPipe threads would hang
    amounts, stop = context.Array("d", len(tasks)), context.Event()
    others = set(multiprocessing.active_children())
    jobs, state = min(jobs, len(tasks)), (start_worker, amounts, stop)
    with ProcessPoolExecutor(jobs, context, _init_worker, state) as pool:
        with _blocked_signals():  # which workers inherit, until they ignore them
            futures = {pool.submit(_run_task, n, task): task for n, task in enumerate(tasks)}
        waiting = set(futures)
        try:
            while waiting:
                when = FIRST_EXCEPTION if stop_on_error else ALL_COMPLETED
                done, waiting = wait(waiting, POLL_SECONDS, when)
                for future in done if stop_on_error else ():
                    _result(future, futures[future], on_killed)
                on_progress(sum(amounts[:]))
        except BaseException:
            stop.set()
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            pool.shutdown(cancel_futures=True)
            raise
    return [_result(future, task, on_killed) for future, task in futures.items()]


def _run_here(
    start_worker: Callable[[], Callable[[Task, Progress], Result]],
    tasks: Sequence[Task],
    on_progress: Callable[[float], object],
) -> list[Result]:
    worker, amounts = start_worker(), [0.0] * len(tasks)

    def progress(number: int, amount: float) -> None:
        amounts[number] = amount
        on_progress(sum(amounts))

    return [worker(task, partial(progress, number)) for number, task in enumerate(tasks)]


def _result(
    future: "Future[Result]", task: Task, on_killed: Callable[[Task], Result] | None
) -> Result:
    try:
        return future.result()
    except BrokenProcessPool:
        if on_killed:
            return on_killed(task)
        reason = "a worker process was killed; with fewer --jobs it takes less memory"
        raise UserError(reason) from None


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _init_worker(start_worker: Callable[[], Any], amounts: Any, stop: Any) -> None:
    """Prepare a worker process: SIGTERM unwinds it, its parent's end ends it.

    SIGINT and SIGHUP, which a terminal sends to the parent too, are ignored.
    """
    for number in TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _exit)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker.update(function=start_worker(), amounts=amounts, stop=stop)


def _exit(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one would interrupt the clean-up
    sys.exit(128 + number)


def _end_with_parent() -> None:
    """End this process with its parent: workers of a killed run would disturb the next run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_task(number: int, task: Any) -> Any:
    def progress(amount: float) -> None:
        if _worker["stop"].is_set():
            raise Stopped
        _worker["amounts"][number] = amount

    progress(0.0)
    return _worker["function"](task, progress)
