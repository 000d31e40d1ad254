"""Tasks shared out among worker processes, with progress, that end on Ctrl-C and with their parent.

def start_worker() -> Worker: ...          # runs once in each process: threads, loaded models
results = run_tasks(start_worker, tasks, jobs=4, on_progress=show)
for result in iterate_tasks(start_worker, millions_of_tasks, jobs=4): ...
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from types import FrameType
from typing import Any, TypeVar

from speech2video.util.errors import UserError

TERMINAL_SIGNALS = (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT))
POLL_SECONDS = 0.2  # between two progress reports
AHEAD = 8  # tasks of each process that are drawn, and whose results wait for their turn

Task = TypeVar("Task")
Result = TypeVar("Result")
Progress = Callable[[float], None]

_worker: dict[str, Any] = {}  # of this worker: function, progress, stop event, running, ending


class Stopped(Exception):
    """Raised in a worker by its progress callback once the pool is stopped."""


class Terminated(SystemExit):
    """Raised in a worker by SIGTERM, so that the task that runs cleans up."""


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
        return list(_run_here(start_worker, tasks, on_progress))
    if not tasks:
        return []
    jobs, most = min(jobs, len(tasks)), len(tasks)
    done = _run_in_processes(start_worker, tasks, jobs, most, on_progress, stop_on_error)
    return [_result(future, task, on_killed) for task, future in list(done)]


def iterate_tasks(
    start_worker: Callable[[], Callable[[Task, Progress], Result]],
    tasks: Iterable[Task],
    *,
    jobs: int,
    on_progress: Callable[[float], object] = lambda _: None,
    on_killed: Callable[[Task], Result] | None = None,
) -> Generator[Result, None, None]:
    """Yield the result of each task, in the order of the tasks, however many there are.

    Tasks are drawn as processes take them. Arguments and errors as of `run_tasks`, but an error is
    raised when its task's turn comes.
    """
    if jobs == 0:
        yield from _run_here(start_worker, tasks, on_progress)
        return
    done = _run_in_processes(start_worker, tasks, jobs, AHEAD * jobs, on_progress, False)
    with contextlib.closing(done):
        for task, future in done:
            yield _result(future, task, on_killed)


def _run_here(
    start_worker: Callable[[], Callable[[Task, Progress], Result]],
    tasks: Iterable[Task],
    on_progress: Callable[[float], object],
) -> Iterator[Result]:
    worker, done = start_worker(), 0.0
    amount = 0.0  # of the task that is done now

    def progress(now: float) -> None:
        nonlocal amount
        amount = now
        on_progress(done + amount)

    for task in tasks:
        yield worker(task, progress)
        done, amount = done + amount, 0.0


def _run_in_processes(
    start_worker: Callable[[], Callable[[Task, Progress], Result]],
    tasks: Iterable[Task],
    jobs: int,
    most: int,
    on_progress: Callable[[float], object],
    stop_on_error: bool,
) -> Generator[tuple[Task, "Future[Result]"], None, None]:
    """Yield tasks that are done, in order, while at most so many are drawn and not yielded."""
    context = multiprocessing.get_context("spawn")  # forked torch and MediaPipe threads would hang
    amounts, stop = context.Array("d", most), context.Event()
    others = set(multiprocessing.active_children())
    coming: deque[tuple[int, Task, Future[Result]]] = deque()
    numbered, done = enumerate(tasks), 0.0  # progress of the tasks that are yielded
    watched = False
    with ProcessPoolExecutor(jobs, context, _init_worker, (start_worker, amounts, stop)) as pool:
        try:
            while True:
                for number, task in islice(numbered, most - len(coming)):
                    coming.append((number, task, _submit(pool, number % most, task)))
                if not coming:
                    return
                if not watched:
                    # the executor watches the process that it started last from the next task on
                    _submit(pool, None, None)
                    watched = True
                futures = [future for _, _, future in coming]
                wait(futures if stop_on_error else futures[:1], POLL_SECONDS, FIRST_EXCEPTION)
                for future in futures if stop_on_error else ():
                    if future.done() and not isinstance(future.exception(), BrokenProcessPool):
                        future.result()
                on_progress(done + sum(amounts[:]))
                while coming and coming[0][2].done():
                    number, task, future = coming.popleft()
                    done += amounts[number % most]
                    amounts[number % most] = 0.0
                    yield task, future
        except BaseException:
            stop.set()
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            pool.shutdown(cancel_futures=True)
            raise


def _submit(pool: ProcessPoolExecutor, place: int | None, task: Any) -> "Future[Any]":
    with _blocked_signals():  # which workers inherit, until they ignore them
        try:
            return pool.submit(_run_task, place, task)
        except BrokenProcessPool as error:
            future: Future[Any] = Future()
            future.set_exception(error)
            return future


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
    _worker.update(running=False, ending=False)
    signal.signal(signal.SIGTERM, _exit)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker.update(function=start_worker(), amounts=amounts, stop=stop)


def _exit(number: int, _: FrameType | None) -> None:
    """End this process; a task that runs is unwound, and `_run_task` then ends the process.

    Raised anywhere else, an exception would be lost in the pool, which would wait for another task.
    """
    if not _worker["running"]:
        os._exit(128 + number)
    if not _worker["ending"]:  # a second signal would interrupt the clean-up
        _worker["ending"] = True
        raise Terminated


def _end_with_parent() -> None:
    """End this process with its parent: workers of a killed run would disturb the next run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_task(number: int | None, task: Any) -> Any:
    if number is None:
        return None

    def progress(amount: float) -> None:
        if _worker["stop"].is_set():
            raise Stopped
        _worker["amounts"][number] = amount

    try:
        try:
            _worker["running"] = True
            progress(0.0)
            return _worker["function"](task, progress)
        finally:
            _worker["running"] = False
    except Terminated:
        os._exit(128 + signal.SIGTERM)
