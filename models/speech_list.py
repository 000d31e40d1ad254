"""Many speeches of one speaker, shared out among processes."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import torch

from speech2video.models.walk import walk_of
from speech2video.options.test_options import TestOptions
from speech2video.util.errors import UserError
from speech2video.util.log import progress
from speech2video.util.speech_source import recorded

_worker: dict[str, Any] = {}  # what a worker process keeps from sound to sound


def make_videos(sounds: Sequence[Path], options: TestOptions, device: torch.device) -> list[str]:
    """Make a video of each sound; return what went wrong, in one line each.

    One that cannot be used does not keep the others from being made.

    Raises:
        UserError: the speaker cannot be loaded.
    """
    speaker = walk_of(options).load(options, device)
    if options.jobs == 1 or len(sounds) < 2:
        return [
            reason for sound in sounds if (reason := _reason(speaker, sound, options, bar=True))
        ]
    done = progress(
        _in_processes(sounds, options, device), total=len(sounds), name=options.name, unit="video"
    )
    return [reason for reason in done if reason]


def _reason(speaker: Any, sound: Path, options: TestOptions, *, bar: bool) -> str:
    """Make one video; return what went wrong, "" where nothing did."""
    try:
        speech = recorded(sound, words=options.words)
        walk_of(options).make_video(speaker, speech, options, bar=bar)
    except UserError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename or sound}: {error.strerror or error}"
    return ""


def _in_processes(
    sounds: Sequence[Path], options: TestOptions, device: torch.device
) -> Iterator[str]:
    """Yield what went wrong with each sound, in the order in which they are done."""
    context = multiprocessing.get_context("spawn")  # forked torch threads would hang
    stop = context.Event()
    threads = options.threads or max(1, torch.get_num_threads() // options.jobs)
    begin = {"initializer": _begin_worker, "initargs": (stop, options, device, threads)}
    with ProcessPoolExecutor(min(options.jobs, len(sounds)), mp_context=context, **begin) as pool:
        sound_of = {pool.submit(_work, sound): sound for sound in sounds}
        try:
            for future in as_completed(sound_of):
                yield _result(future, sound_of[future])
        except BaseException:  # Ctrl-C, in most cases: nobody waits for videos any more
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _result(future: "Future[str]", sound: Path) -> str:
    try:
        return future.result()
    except BrokenProcessPool:
        return (
            f"{sound}: not made, as a process was killed (with fewer --jobs it takes less memory)"
        )


def _begin_worker(stop: Any, options: TestOptions, device: torch.device, threads: int) -> None:
    """Prepare a worker process, which ends, and cleans up, when its parent says so or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    _worker.update(stop=stop, options=options, speaker=walk_of(options).load(options, device))


def _end_with_parent() -> None:
    """End this process with its parent: a killed run's workers would disturb the next run."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(sound: Path) -> str:
    if _worker["stop"].is_set():
        return ""
    return _reason(_worker["speaker"], sound, _worker["options"], bar=False)
