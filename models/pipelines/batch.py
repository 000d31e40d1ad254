"""Which walk from speech to video a command asks for: how it is loaded, how it makes a video."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from speech2video.models.pipelines import body_video as pipeline
from speech2video.models.pipelines import speaker
from speech2video.models.pipelines import talking_face as face_pipeline
from speech2video.options.inference import SPEECH2FACE, SPEECH2VIDEO, InferenceOptions
from speech2video.util.errors import UserError
from speech2video.util.iteration import progress_bar
from speech2video.util.text.speech_source import recorded_speech


@dataclass(frozen=True)
class Pipeline:
    """Two functions.

    Attributes:
        load: (options, device) to whoever speaks.
        make_video: (who, speech, options, bar=True) to the number of frames written.
    """

    load: Callable[..., Any]
    make_video: Callable[..., int]


PIPELINES = {
    SPEECH2VIDEO: Pipeline(speaker.load, pipeline.make_video),
    SPEECH2FACE: Pipeline(face_pipeline.load, face_pipeline.make_video),
}


def find_pipeline(options: InferenceOptions) -> Pipeline:
    """Return the walk of --model."""
    return PIPELINES[options.model]


# Many speeches of one speaker, shared out among processes.

_worker: dict[str, Any] = {}  # what a worker process keeps from sound to sound


def make_videos(
    audio_files: Sequence[Path], options: InferenceOptions, device: torch.device
) -> list[str]:
    """Make a video of each sound; return what went wrong, in one line each.

    One that cannot be used does not keep the others from being made.

    Raises:
        UserError: the speaker cannot be loaded.
    """
    speaker = find_pipeline(options).load(options, device)
    if options.jobs == 1 or len(audio_files) < 2:
        return [
            reason
            for audio in audio_files
            if (reason := _reason(speaker, audio, options, bar=True))
        ]
    done = progress_bar(
        _in_processes(audio_files, options, device),
        total=len(audio_files),
        name=options.name,
        unit="video",
    )
    return [reason for reason in done if reason]


def _reason(speaker: Any, audio: Path, options: InferenceOptions, *, bar: bool) -> str:
    """Make one video; return what went wrong, "" where nothing did."""
    try:
        speech = recorded_speech(audio, words=options.words)
        find_pipeline(options).make_video(speaker, speech, options, bar=bar)
    except UserError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename or audio}: {error.strerror or error}"
    return ""


def _in_processes(
    audio_files: Sequence[Path], options: InferenceOptions, device: torch.device
) -> Iterator[str]:
    """Yield what went wrong with each sound, in the order in which they are done."""
    context = multiprocessing.get_context("spawn")  # forked torch threads would hang
    stop = context.Event()
    threads = options.threads or max(1, torch.get_num_threads() // options.jobs)
    begin = {"initializer": _begin_worker, "initargs": (stop, options, device, threads)}
    with ProcessPoolExecutor(
        min(options.jobs, len(audio_files)), mp_context=context, **begin
    ) as pool:
        sound_of = {pool.submit(_work, audio): audio for audio in audio_files}
        try:
            for future in as_completed(sound_of):
                yield _result(future, sound_of[future])
        except BaseException:  # Ctrl-C, in most cases: nobody waits for videos any more
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _result(future: "Future[str]", audio: Path) -> str:
    try:
        return future.result()
    except BrokenProcessPool:
        return (
            f"{audio}: not made, as a process was killed (with fewer --jobs it takes less memory)"
        )


def _begin_worker(stop: Any, options: InferenceOptions, device: torch.device, threads: int) -> None:
    """Prepare a worker process, which ends, and cleans up, when its parent says so or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    _worker.update(stop=stop, options=options, speaker=find_pipeline(options).load(options, device))


def _end_with_parent() -> None:
    """End this process with its parent: a killed run's workers would disturb the next run."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(audio: Path) -> str:
    if _worker["stop"].is_set():
        return ""
    return _reason(_worker["speaker"], audio, _worker["options"], bar=False)
