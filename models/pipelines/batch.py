"""Videos of many audio files, shared out among processes."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from speech2video.models.pipelines.speaker import Speaker
from speech2video.models.registry import SPEAKERS, load_class
from speech2video.options.inference import InferenceOptions
from speech2video.util.errors import UserError
from speech2video.util.iteration import open_bar
from speech2video.util.process_pool import run_tasks

KILLED = "not made, as a process was killed (fewer --jobs need less memory)"


def make_videos(
    audio_files: Sequence[Path], options: InferenceOptions, device: torch.device
) -> list[str]:
    """Make a video of each audio file; return the error messages, in one line each.

    An unusable file does not keep the others from being made.

    Raises:
        UserError: the speaker cannot be loaded.
    """
    kind: type[Speaker] = load_class(SPEAKERS, options.model)
    speaker = kind.load(options, device)
    if options.jobs == 1 or len(audio_files) < 2:
        messages = [_make_video(speaker, options, audio) for audio in audio_files]
    else:
        threads = options.threads or max(1, torch.get_num_threads() // options.jobs)
        start = functools.partial(_start_worker, kind, options, device, threads)
        with open_bar(total=len(audio_files), name=options.name, unit="video") as bar:
            messages = run_tasks(
                start,
                audio_files,
                jobs=options.jobs,
                on_progress=lambda done: bar.update(done - bar.n),
                on_killed=lambda audio: f"{audio}: {KILLED}",
            )
    return [message for message in messages if message]


def _make_video(
    speaker: Speaker, options: InferenceOptions, audio: Path, *, bar: bool = True
) -> str:
    """Make one video; return the error message, "" on success."""
    try:
        speaker.make_video(speaker.read_speech(audio, options), options, bar=bar)
    except UserError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename or audio}: {error.strerror or error}"
    return ""


def _start_worker(
    kind: type[Speaker], options: InferenceOptions, device: torch.device, threads: int
) -> Callable[[Path, Callable[[float], None]], str]:
    torch.set_num_threads(threads)
    speaker = kind.load(options, device)

    def make(audio: Path, progress: Callable[[float], None]) -> str:
        message = _make_video(speaker, options, audio, bar=False)
        progress(1.0)
        return message

    return make
