"""Jobs: order, cancelling, failing, surviving the end of the server, the size that is kept."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from speech2video.studio.jobs import (
    CANCELLED,
    DONE,
    FAILED,
    INTERRUPTED,
    JOB_FILE,
    QUEUED,
    REQUEST_FILE,
    RUNNING,
    Job,
    JobQueue,
    QueueFull,
)
from speech2video.util.errors import DataError
from tests.shared import ROOT

SECONDS = 60  # that a test waits at most; processes of Python take a while to start


def start_worker(log: Path) -> Callable[[Path, Callable[[int, int], None]], None]:
    """Return a function that does what the request says, as `JobQueue` needs it."""

    def do(folder: Path, on_progress: Callable[[int, int], None]) -> None:
        request = json.loads((folder / REQUEST_FILE).read_text())
        with log.open("a") as file:
            file.write(f"{request['name']} {os.getpid()}\n")
        if request["do"] == "fail":
            raise DataError(f"{folder}/upload: broken")
        if request["do"] == "crash":
            raise ZeroDivisionError("a fault\nof the program")
        if request["do"] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        for number in range(request.get("steps", 3)):
            on_progress(number + 1, request.get("steps", 3))
            time.sleep(request.get("seconds", 0))
        (folder / "video.mp4").write_bytes(bytes(request.get("size", 10)))

    return do


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the file that workers write the names of their jobs to."""
    return tmp_path / "log.txt"


@pytest.fixture
def queue(tmp_path: Path, log: Path) -> Iterator[JobQueue]:
    """Yield a queue with one process."""
    queue = JobQueue(tmp_path / "jobs", functools.partial(start_worker, log), max_waiting=5)
    yield queue
    queue.close()


def submit(queue: JobQueue, name: str, do: str = "work", **more: object) -> str:
    """Queue a job; return its name in the queue."""
    job_id, _ = queue.new_folder()
    return queue.submit(job_id, "video", "demo", name, {"name": name, "do": do, **more}).id


def wait_for(queue: JobQueue, job_id: str, state: str) -> Job:
    """Return a job once it is in a state."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        job = queue.get(job_id)
        if job and job.state == state:
            return job
        time.sleep(0.02)
    raise AssertionError(f"{job} is not {state}")


def test_a_file_that_goes_while_sizes_are_added_up_stops_no_queue(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs' folders change at any time: a state is replaced, a job is removed."""
    size_of = os.lstat

    def lstat(path: Any, **more: Any) -> os.stat_result:
        if str(path).endswith("video.mp4"):
            raise FileNotFoundError(path)
        return size_of(path, **more)

    monkeypatch.setattr("os.lstat", lstat)
    for name in ("first", "second"):
        wait_for(queue, submit(queue, name), DONE)


@pytest.mark.parametrize(
    ("text", "title"),
    [("a\nb", "a b"), ("", "video"), ("one two " * 20, "one two " * 9 + "one two…")],
)
def test_a_title_is_one_short_line(queue: JobQueue, text: str, title: str) -> None:
    job = queue.get(submit(queue, text))
    assert job is not None and job.title == title


def test_jobs_are_done_in_their_order_by_one_process(queue: JobQueue, log: Path) -> None:
    ids = [submit(queue, name) for name in "abc"]
    jobs = [queue.wait(job_id, SECONDS) for job_id in ids]
    assert [(job and job.state, job and job.done) for job in jobs] == [(DONE, 3)] * 3
    names, processes = zip(*map(str.split, log.read_text().splitlines()), strict=True)
    assert names == ("a", "b", "c") and len(set(processes)) == 1
    assert [job.id for job in queue.list()] == ids[::-1]


def test_a_job_that_fails_has_one_line_and_the_next_is_done(queue: JobQueue) -> None:
    ids = [submit(queue, do, do) for do in ("fail", "crash", "die", "work")]
    jobs = [queue.wait(job_id, SECONDS) for job_id in ids]
    assert [job and job.state for job in jobs] == [FAILED, FAILED, FAILED, DONE]
    errors = [(job and job.error) or "" for job in jobs[:3]]
    assert errors[0] == "upload: broken"
    assert errors[1] == "ZeroDivisionError: a fault of the program"
    assert "killed" in errors[2]


def test_cancelled_jobs_end_and_the_next_is_done(queue: JobQueue) -> None:
    long, waiting, last = (
        submit(queue, "long", steps=10_000, seconds=0.01),
        submit(queue, "waiting"),
        submit(queue, "last"),
    )
    running = wait_for(queue, long, RUNNING)
    assert queue.position(queue.get(last) or running) == 1
    queue.remove(waiting)
    queue.remove(long)
    done = queue.wait(last, SECONDS)
    assert done and done.state == DONE
    assert wait_for(queue, long, CANCELLED) and wait_for(queue, waiting, CANCELLED)
    queue.remove(long)
    assert queue.get(long) is None and not queue.folder(long).exists()


def test_too_many_waiting_jobs_are_refused(queue: JobQueue) -> None:
    first = submit(queue, "long", steps=10_000, seconds=0.01)
    wait_for(queue, first, RUNNING)
    for number in range(5):
        submit(queue, str(number))
    with pytest.raises(QueueFull, match="5 jobs wait already"):
        submit(queue, "one more")


def test_the_oldest_results_make_room(tmp_path: Path, log: Path) -> None:
    start = functools.partial(start_worker, log)
    queue = JobQueue(tmp_path / "jobs", start, keep_bytes=25_000)
    ids = [submit(queue, str(number), size=10_000) for number in range(4)]
    queue.wait(ids[-1], SECONDS)
    queue.close()
    assert [queue.get(job_id) is not None for job_id in ids] == [False, False, True, True]
    assert [queue.folder(job_id).exists() for job_id in ids] == [False, False, True, True]


SERVER = """
import functools, sys, time
from pathlib import Path
from tests.studio.test_jobs import start_worker, submit
from speech2video.studio.jobs import JobQueue

if __name__ == "__main__":
    queue = JobQueue(Path(sys.argv[1]), functools.partial(start_worker, Path(sys.argv[2])))
    submit(queue, "done"), submit(queue, "long", steps=10_000, seconds=0.01), submit(queue, "next")
    time.sleep(1000)
"""


def test_a_killed_server_loses_no_job(tmp_path: Path, log: Path) -> None:
    script, jobs = tmp_path / "server.py", tmp_path / "jobs"
    script.write_text(SERVER)
    arguments = [sys.executable, str(script), str(jobs), str(log)]
    server = subprocess.Popen(arguments, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    end = time.monotonic() + SECONDS
    while not (log.is_file() and "long" in log.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    server.kill()
    server.wait()
    worker = int(log.read_text().split()[-1])
    (jobs / "0123456789abcdef").mkdir()  # an upload that was never queued
    queue = JobQueue(jobs, functools.partial(start_worker, log))
    by_title = {job.title: job for job in queue.list()}
    last = queue.wait(by_title["next"].id, SECONDS)
    queue.close()
    assert last and last.state == DONE
    assert by_title["done"].state == DONE
    assert by_title["long"].state == INTERRUPTED and "server" in (by_title["long"].error or "")
    assert not (jobs / "0123456789abcdef").exists()
    while _is_alive(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _is_alive(worker), "a worker outlives its server"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "zombie" not in Path(f"/proc/{process}/status").read_text()


def test_waiting_jobs_wait_again(tmp_path: Path, log: Path) -> None:
    folder = tmp_path / "jobs" / ("0" * 16)
    folder.mkdir(parents=True)
    (folder / REQUEST_FILE).write_text('{"name": "a", "do": "work"}')
    row = {"id": folder.name, "kind": "video", "speaker": "demo", "title": "a", "created": 1.0}
    (folder / JOB_FILE).write_text(json.dumps(row | {"state": QUEUED}))
    queue = JobQueue(tmp_path / "jobs", functools.partial(start_worker, log))
    job = queue.wait(folder.name, SECONDS)
    queue.close()
    assert job and job.state == DONE


def test_broken_states_are_not_taken_for_jobs(tmp_path: Path, log: Path) -> None:
    for number, text in enumerate(("{", "[]", '{"id": "../../x"}', '{"id": 3}')):
        folder = tmp_path / "jobs" / f"{number:016x}"
        folder.mkdir(parents=True)
        (folder / JOB_FILE).write_text(text)
    (tmp_path / "jobs" / "kept by the user").mkdir()
    queue = JobQueue(tmp_path / "jobs", functools.partial(start_worker, log))
    queue.close()
    assert queue.list() == []
    assert (tmp_path / "jobs" / "kept by the user").is_dir()
