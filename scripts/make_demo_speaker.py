"""Record the demo speaker: nobody's likeness, and every pose, word and gesture is known.

python scripts/make_demo_speaker.py --output datasets/demo --minutes 4

datasets/demo/recordings/000.mp4, 000.txt    what `preprocess` takes, like any person's recordings
datasets/demo/truth/000/                     pose.npz (with camera), words.csv, phones.csv,
                                             gestures.json, plan.json

A run that was stopped is taken up where it stopped, recording by recording.
"""

import importlib.util
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import _checkout  # noqa: F401
import cv2
import torch

from speech2video.data.synthetic.speaker.recording import (
    RecordingPlan,
    expected_frames,
    is_complete,
    make_recording,
)
from speech2video.options.tools import MakeDemoSpeakerOptions
from speech2video.util.body.body_model import Body
from speech2video.util.errors import UserError, run_command
from speech2video.util.iteration import progress_bar

EXTRAS = {"pyvista": "PyVista", "espeakng_loader": "espeak-ng"}
Make = Callable[..., int]  # make(folder, plan, body, made=...), as `make_recording`
LOOK = 0.2  # seconds between two looks at what the workers have made

_worker: dict[str, Any] = {}  # what a worker process keeps from recording to recording


class Stopped(Exception):
    """Another worker failed, or the user has had enough."""


def main() -> None:
    options = MakeDemoSpeakerOptions.parse()
    check_extras("the demo speaker")
    (options.output / "recordings").mkdir(parents=True, exist_ok=True)
    plans = plan_recordings(options)
    todo = [plan for plan in plans if not is_complete(options.output, plan)]
    if len(todo) < len(plans):
        print(f"{options.output}: {len(plans) - len(todo)} of {len(plans)} recordings are there")
    total = sum(map(expected_frames, todo))
    jobs = min(options.jobs, len(todo))
    made = parallel(options.output, todo, make=make_recording, jobs=jobs)
    for _ in progress_bar(at_most(total, made), total=total, name=str(options.output)):
        pass
    print(f"{options.output}: {len(plans)} recordings with their truth")


def check_extras(what: str) -> None:
    """Raise `UserError` where what only this command needs is not installed."""
    missing = [name for module, name in EXTRAS.items() if not importlib.util.find_spec(module)]
    if missing:
        names = " and ".join(missing)
        raise UserError(f"{what} needs {names}: pip install 'speech2video[demo]'")


def plan_recordings(options: MakeDemoSpeakerOptions) -> list[RecordingPlan]:
    """Return the recordings to make. More minutes make more of them, and the first stay the same.

    Together they last what was asked for, to within half a recording.
    """
    asked = 60 * options.minutes
    seconds = min(options.seconds, asked)
    count = max(1, round(asked / seconds))
    return [RecordingPlan(number, options.seed, seconds, options.size) for number in range(count)]


def parallel(folder: Path, todo: list[Any], *, make: Make, jobs: int) -> Iterator[int]:
    """Make what the plans say, `jobs` at a time, and yield once for every frame made.

    One process draws one speaker at a time on one core, so that the pictures do not depend on how
    many there are. If one fails, the others stop at their next frame and leave nothing half done.
    """
    if not todo:
        return
    context = multiprocessing.get_context("spawn")
    count, stop = context.Value("q", 0), context.Event()
    begin = {"initializer": begin_worker, "initargs": (count, stop)}
    with ProcessPoolExecutor(jobs, mp_context=context, **begin) as pool:
        futures = {pool.submit(work, make, folder, plan) for plan in todo}
        seen, waiting = 0, futures
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=LOOK, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                seen, before = count.value, seen
                yield from range(before, seen)
        except BrokenProcessPool:
            raise UserError(
                "a worker process was killed; with fewer --jobs it takes less memory"
            ) from None
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def begin_worker(count: Any, stop: Any) -> None:
    """Prepare a worker process: one thread, a body, and no ear for Ctrl-C, which `stop` brings."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["LP_NUM_THREADS"] = "1"  # of Mesa's software renderer
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _worker.update(count=count, stop=stop, body=Body.load())


def work(make: Make, folder: Path, plan: Any) -> None:
    """Make one plan's recording in a worker process."""

    def made(frames: int) -> None:
        if _worker["stop"].is_set():
            raise Stopped
        with _worker["count"].get_lock():
            _worker["count"].value += frames

    make(folder, plan, _worker["body"], made=made)


def at_most(total: int, items: Iterable[int]) -> Iterator[int]:
    """Yield the first `total` items and take the rest in silence: the total was a good guess."""
    for number, item in enumerate(items):
        if number < total:
            yield item


if __name__ == "__main__":
    run_command(main)
