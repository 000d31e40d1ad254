"""Jobs: each a folder with its request, state and files; a queue; processes that do them.

results/studio/jobs/ID/job.json         state, so that a restarted server knows it
results/studio/jobs/ID/request.json     what was asked for
results/studio/jobs/ID/video.mp4 ...    results

Whatever ends the server, finished jobs are there when it starts again, waiting ones wait again, and
one that was being done is reported as interrupted.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speech2video.util.errors import DataError, UserError, one_line
from speech2video.util.files import read_json, typed_fields, write_errors, write_json

QUEUED, RUNNING, DONE = "queued", "running", "done"
FAILED, CANCELLED, INTERRUPTED = "failed", "cancelled", "interrupted"
STATES = (QUEUED, RUNNING, DONE, FAILED, CANCELLED, INTERRUPTED)
VIDEO, PLAN = "video", "plan"  # kinds
JOB_FILE, REQUEST_FILE = "job.json", "request.json"
LONGEST_TITLE = 80  # characters
POLL_SECONDS = 0.2  # between two checks of whether a running job is cancelled
ID_BYTES = 8
JOB_ID = re.compile(f"[0-9a-f]{{{2 * ID_BYTES}}}")

# runs in a worker process for each job: its folder, and a callback for frames done and their total
DoJob = Callable[[Path, Callable[[int, int], None]], None]
StartWorker = Callable[[], DoJob]  # runs once in each process; a module's function, or a partial


@dataclass
class Job:
    """One job. `done` and `total` count frames; times are seconds since 1970."""

    id: str
    kind: str
    speaker: str
    title: str
    created: float
    state: str = QUEUED
    started: float | None = None
    ended: float | None = None
    done: int = 0
    total: int = 0
    error: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state not in (QUEUED, RUNNING)

    @property
    def seconds_left(self) -> float | None:
        """Seconds until it is done, at the rate so far; None where that is not known."""
        if self.state != RUNNING or self.started is None or not 0 < self.done <= self.total:
            return None
        return (time.time() - self.started) / self.done * (self.total - self.done)


class JobQueue:
    """Keeps jobs in a folder, and does them in the order they came in, in processes of its own.

    Args:
        folder: of the jobs; made if missing.
        start_worker: see `StartWorker`. A job that raises has failed, with the exception's line.
        workers: jobs done at the same time.
        keep_bytes: the oldest finished jobs are removed while all jobs together are larger.
        max_waiting: jobs that may wait.

    Raises:
        DataError: the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        start_worker: StartWorker,
        *,
        workers: int = 1,
        keep_bytes: int = 4_000_000_000,
        max_waiting: int = 1000,
    ) -> None:
        self._folder, self._keep_bytes, self._max_waiting = folder, keep_bytes, max_waiting
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._closed = False
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with self._changed:
            self._load()
        self._threads = [
            threading.Thread(target=self._work, args=(_Worker(start_worker),), daemon=True)
            for _ in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def folder(self, job_id: str) -> Path:
        """Return the folder of a job, whether or not there is one."""
        return self._folder / job_id

    def new_folder(self) -> tuple[str, Path]:
        """Return an unused name for a job, and its new, empty folder, to put uploads into."""
        job_id = secrets.token_hex(ID_BYTES)
        path = self.folder(job_id)
        path.mkdir()
        return job_id, path

    def submit(self, job_id: str, kind: str, speaker: str, title: str, request: Any) -> Job:
        """Queue a job whose folder `new_folder` made.

        Raises:
            QueueFull: too many wait.
        """
        title = one_line(title) or kind
        if len(title) > LONGEST_TITLE:
            title = f"{title[: LONGEST_TITLE - 1].rstrip()}…"
        job = Job(job_id, kind, speaker, title, time.time())
        write_json(self.folder(job_id) / REQUEST_FILE, request)
        with self._changed:
            if sum(job.state == QUEUED for job in self._jobs.values()) >= self._max_waiting:
                raise QueueFull(f"{self._max_waiting} jobs wait already; try again later")
            self._jobs[job_id] = job
            self._save(job)
            self._changed.notify_all()
        return job

    def get(self, job_id: str) -> Job | None:
        """Return a job as it is now; None where there is none."""
        with self._changed:
            job = self._jobs.get(job_id)
            return None if job is None else dataclasses.replace(job)

    def list(self) -> list[Job]:
        """Return all jobs as they are now, newest first."""
        with self._changed:
            found = [dataclasses.replace(job) for job in self._jobs.values()]
        return sorted(found, key=lambda job: job.created, reverse=True)

    def position(self, job: Job) -> int:
        """Return the number of jobs that wait before one that waits."""
        with self._changed:
            waiting = [other for other in self._jobs.values() if other.state == QUEUED]
        return sum(other.created < job.created for other in waiting)

    def remove(self, job_id: str) -> None:
        """Cancel a job that waits or runs; remove one that is over, with its files."""
        with self._changed:
            if self.cancel(job_id) or self._jobs.pop(job_id, None) is None:
                return
        shutil.rmtree(self.folder(job_id), ignore_errors=True)

    def cancel(self, job_id: str) -> bool:
        """Cancel a job that waits or runs; return whether it was such a one."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.is_over:
                return False
            self._finish(job, CANCELLED)  # its thread ends a running one
            return True

    def wait(self, job_id: str, seconds: float) -> Job | None:
        """Return a job once it is over, or as it is after some seconds."""
        end = time.monotonic() + seconds
        with self._changed:
            while (job := self._jobs.get(job_id)) and not job.is_over:
                if not self._changed.wait(end - time.monotonic()):
                    break
        return self.get(job_id)

    def close(self) -> None:
        """End the processes; a running job is reported as interrupted, waiting ones stay queued."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _load(self) -> None:
        for path in sorted(self._folder.iterdir()):
            try:
                values = read_json(path / JOB_FILE, what="a job")
                job = Job(**typed_fields(values, Job, where=str(path)))
            except DataError:  # the server ended before it was queued; or not a job at all
                if path.is_dir() and JOB_ID.fullmatch(path.name):
                    shutil.rmtree(path, ignore_errors=True)
                continue
            if job.id != path.name or job.state not in STATES:
                continue
            self._jobs[job.id] = job
            if job.state == RUNNING:
                self._finish(job, INTERRUPTED, "the server ended while it was made")

    def _save(self, job: Job) -> None:
        with contextlib.suppress(DataError, OSError):  # of a full disk; memory knows it
            write_json(self.folder(job.id) / JOB_FILE, dataclasses.asdict(job))

    def _finish(self, job: Job, state: str, error: str | None = None) -> None:
        job.state, job.error, job.ended = state, error, time.time()
        self._save(job)
        self._changed.notify_all()

    def _work(self, worker: "_Worker") -> None:
        """Do one job after another until the queue is closed."""
        while job := self._take():
            path = self.folder(job.id)
            outcome = worker.do(path, lambda done, total, job=job: self._report(job, done, total))
            with self._changed:
                if job.state == RUNNING:
                    state = INTERRUPTED if self._closed and outcome.cancelled else outcome.state
                    self._finish(job, state, outcome.error)
            self._make_room()
        worker.end()

    def _take(self) -> Job | None:
        """Return the next job, marked as running; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                waiting = [job for job in self._jobs.values() if job.state == QUEUED]
                if waiting:
                    job = min(waiting, key=lambda job: job.created)
                    job.state, job.started = RUNNING, time.time()
                    self._save(job)
                    return job
                self._changed.wait()
        return None

    def _report(self, job: Job, done: int, total: int) -> bool:
        """Note a running job's progress; return whether it goes on."""
        with self._changed:
            if total:
                job.done, job.total = done, total
            return job.state == RUNNING and not self._closed

    def _make_room(self) -> None:
        with self._changed:
            over = [job for job in self._jobs.values() if job.is_over]
        sizes = {path.name: _folder_size(path) for path in self._folder.iterdir() if path.is_dir()}
        size = sum(sizes.values())
        newest = max(over, key=lambda job: job.ended or 0, default=None)
        for job in sorted(over, key=lambda job: job.ended or 0):
            if size <= self._keep_bytes or job is newest:
                break
            self.remove(job.id)
            size -= sizes.get(job.id, 0)


class QueueFull(DataError):
    """Raised where too many jobs wait."""


@dataclass
class _Outcome:
    state: str
    error: str | None = None
    cancelled: bool = False


class _Worker:
    """A process that does jobs, started when it is first needed, and again after it was killed."""

    def __init__(self, start_worker: StartWorker) -> None:
        self._start_worker = start_worker
        self._context = multiprocessing.get_context("spawn")  # threads do not survive a fork
        self._process: Any = None
        self._connection: Any = None

    def do(self, folder: Path, report: Callable[[int, int], bool]) -> _Outcome:
        """Do a job; `report` gets its progress and says whether it goes on."""
        try:
            self._start()
            self._connection.send(str(folder))
            while True:
                if self._connection.poll(POLL_SECONDS):
                    kind, *values = self._connection.recv()
                    if kind == "done":
                        return _Outcome(DONE)
                    if kind == "failed":
                        return _Outcome(FAILED, values[0])
                    goes_on = report(*values)
                else:
                    goes_on = report(0, 0)
                if not goes_on:
                    self.end()
                    return _Outcome(CANCELLED, cancelled=True)
        except (EOFError, OSError):
            self.end()
            return _Outcome(FAILED, "its process was killed, most likely for want of memory")

    def end(self) -> None:
        """End the process at once; atomic writes leave nothing half-written behind."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
        self._process = None

    def _start(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        self.end()
        self._connection, theirs = self._context.Pipe()
        arguments = (self._start_worker, theirs)
        self._process = self._context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()


def _serve(start_worker: StartWorker, connection: Any) -> None:
    """Do the jobs whose folders arrive, until the other end of the connection is closed."""
    do_job: DoJob | None = None
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            folder = Path(connection.recv())
            try:
                do_job = do_job or start_worker()
                do_job(folder, lambda done, total: connection.send(("progress", done, total)))
                answer: tuple = ("done",)
            except (BrokenPipeError, EOFError):  # the server is gone
                return
            except UserError as error:
                answer = ("failed", one_line(str(error).replace(f"{folder}/", "")))
            except OSError as error:
                answer = ("failed", one_line(f"{error.strerror or error}"))
            except Exception as error:  # one job's fault is not the next one's
                answer = ("failed", one_line(f"{type(error).__name__}: {error}"))
            connection.send(answer)


def _folder_size(folder: Path) -> int:
    """Return the bytes of a folder's files; those that go meanwhile do not count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total
