"""Make recordings of one person into clips: picture and sound in step, keypoints, pose, words.

python scripts/preprocess.py --input recordings/ --output datasets/NAME --jobs 2
python scripts/preprocess.py --faces --input people/ --output datasets/NAME   aligned faces instead

A run that was stopped is taken up where it stopped, clip by clip. A recording that cannot be used
does not keep the others from being made; it is named at the end.
"""

import contextlib
import importlib.util
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import _checkout  # noqa: F401
import cv2
import torch
from tqdm import tqdm

from speech2video.data.clip import Clip
from speech2video.data.preprocessing.faces import FaceClipConfig, preprocess_face
from speech2video.data.preprocessing.recording import ClipConfig, WordSource, preprocess_recording
from speech2video.data.preprocessing.report import write_report
from speech2video.data.speech2face.clip import FaceClip
from speech2video.data.speech2face.labels import read_labels
from speech2video.options.preprocessing import PreprocessOptions
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError, OptionError, UserError, run_command
from speech2video.util.files import write_errors

RECORDINGS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".ts")
OF_FACES = (*RECORDINGS, ".flv")  # CREMA-D's
OPENPOSE = "openpose:"
LOOK = 0.5  # seconds between two looks at how far the workers are
BAR = "{percentage:3.0f}%|{bar}| {n:.1f} of {total} recordings [{elapsed}, {remaining} left]"

_worker: dict[str, Any] = {}  # what a worker process keeps from recording to recording


class Task(NamedTuple):
    """One recording, the clip it becomes, and how."""

    recording: Path
    folder: Path
    recipe: ClipConfig | FaceClipConfig

    @property
    def clip(self) -> Clip | FaceClip:
        """What it becomes."""
        kind = FaceClip if isinstance(self.recipe, FaceClipConfig) else Clip
        return kind(self.folder)


class Stopped(Exception):
    """The user has had enough."""


def main() -> None:
    options = PreprocessOptions.parse()
    torch.set_num_threads(1)  # more of them hinder each other; `--jobs` is what other cores are for
    body = None if options.faces else Body.load(options.body)
    tasks = face_tasks(options) if options.faces else body_tasks(options)
    todo = [task for task in tasks if not task.clip.json.is_file()]
    if len(todo) < len(tasks):
        print(f"{options.output}: {len(tasks) - len(todo)} of {len(tasks)} recordings are there")
    with write_errors(options.output):
        options.output.mkdir(parents=True, exist_ok=True)
    failed = make_clips(todo, options.jobs)
    for task in todo:
        if task.recording not in failed:
            for note in task.clip.info().notes:
                print(f"note: {task.recording}: {note}")
    if len(failed) < len(tasks):
        print(f"{len(tasks) - len(failed)} of {len(tasks)} recordings in {options.output}")
        if body:
            print(f"report: {write_report(options.output, body=body)}")
    for reason in failed.values():
        print(f"error: {reason}", file=sys.stderr)
    if failed:
        with contextlib.suppress(OSError):
            options.output.rmdir()  # if nothing is in it
        sys.exit(2)


def body_tasks(options: PreprocessOptions) -> list[Task]:
    """Return the recordings of a body, the clips they become, and how."""
    recordings = find_recordings(options.input)
    return [Task(path, options.output / path.stem, recipe(options, path)) for path in recordings]


def face_tasks(options: PreprocessOptions) -> list[Task]:
    """Return the recordings of faces, the clips they become, and how; raises `DataError`.

    Clips are named after their recordings and the folders that these lie in.
    """
    if (options.label_scheme == "csv") != (options.labels is not None):
        raise OptionError("--label_scheme csv and --labels FILE go together")
    need_mediapipe("")
    table = read_labels(options.labels) if options.labels else None
    root = options.input if options.input.is_dir() else options.input.parent
    how = FaceClipConfig(options.face_size, options.label_scheme, root, table)
    folders: dict[str, Path] = {}
    for path in list_recordings(options.input, OF_FACES, deep=True):
        name = "_".join(path.relative_to(root).with_suffix("").parts)
        if name in folders:
            raise DataError(f"{folders[name]} and {path}: both would become {name}")
        folders[name] = path
    return [Task(path, options.output / name, how) for name, path in folders.items()]


def list_recordings(path: Path, endings: tuple[str, ...], *, deep: bool = False) -> list[Path]:
    """Return the recordings of a folder in name order, or the one file; raises `DataError`."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; a recording is needed")
    try:
        files = sorted(path.rglob("*") if deep else path.iterdir())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    # macOS puts a hidden ._talk.mp4 beside talk.mp4 on foreign disks
    found = [p for p in files if p.suffix.lower() in endings and not p.name.startswith(".")]
    if not found:
        raise DataError(f"{path}: no recordings in it ({', '.join(endings)})")
    return found


def find_recordings(path: Path) -> list[Path]:
    """Return `list_recordings` of one folder, each of a name of its own; raises `DataError`."""
    found = list_recordings(path, RECORDINGS)
    stems = [recording.stem for recording in found]
    double = next((stem for stem in stems if stems.count(stem) > 1), None)
    if double:
        raise DataError(f"{path}: two recordings are called {double}; clips are named after them")
    return found


def recipe(options: PreprocessOptions, recording: Path) -> ClipConfig:
    """Return how one recording is made into a clip."""
    keypoints = options.keypoints
    if keypoints.startswith(OPENPOSE):
        folder = Path(keypoints.removeprefix(OPENPOSE))
        own = folder / recording.stem
        keypoints = str(own if own.is_dir() else folder)
    elif keypoints != "mediapipe":
        raise OptionError(f"--keypoints {keypoints}: mediapipe or openpose:FOLDER is needed")
    else:
        need_mediapipe(", or give --keypoints openpose:FOLDER")
    motion = options.motion
    if motion and motion.is_dir():
        motion = motion / f"{recording.stem}.npz"
    return ClipConfig(
        body=options.body,
        size=options.size,
        keypoints=keypoints,
        motion=motion,
        words=WordSource(options.transcripts, options.recognise),
    )


def need_mediapipe(instead: str) -> None:
    """Raise `UserError` where MediaPipe is not installed; `instead` says what else would do."""
    if not importlib.util.find_spec("mediapipe"):
        raise UserError(
            f"mediapipe is not installed: pip install 'speech2video[preprocess]'{instead}"
        )


def make_clips(tasks: list[Task], jobs: int) -> dict[Path, str]:
    """Make the clips under one progress bar; return what went wrong, by recording.

    What is no fault of a recording's is raised when all the others are done.
    """
    with tqdm(total=len(tasks), bar_format=BAR, dynamic_ncols=True, mininterval=1.0) as bar:
        if jobs > 1 and len(tasks) > 1:
            return _in_processes(tasks, min(jobs, len(tasks)), bar)
        failed = {}
        for number, task in enumerate(tasks):
            reason = make(task, lambda share, start=number: _advance(bar, start + share))
            failed |= {task.recording: reason} if reason else {}
            _advance(bar, number + 1)
        return failed


def _in_processes(tasks: list[Task], jobs: int, bar: tqdm) -> dict[Path, str]:
    context = multiprocessing.get_context("spawn")  # forked torch and MediaPipe threads would hang
    shares, stop = context.Array("d", len(tasks)), context.Event()
    begin = {"initializer": begin_worker, "initargs": (shares, stop)}
    with ProcessPoolExecutor(jobs, mp_context=context, **begin) as pool:
        futures = [pool.submit(work, number, task) for number, task in enumerate(tasks)]
        try:
            while wait(futures, timeout=LOOK).not_done:
                _advance(bar, sum(shares))
        finally:  # of itself, or by Ctrl-C
            stop.set()
            pool.shutdown(cancel_futures=True)
    reasons = [_reason(task, future) for task, future in zip(tasks, futures, strict=True)]
    _advance(bar, len(tasks))
    return {t.recording: reason for t, reason in zip(tasks, reasons, strict=True) if reason}


def _reason(task: Task, future: Future) -> str:
    try:
        return future.result()
    except BrokenProcessPool:
        hint = "with fewer --jobs it takes less memory; what is done is not done again"
        return f"{task.recording}: not made, as a worker process was killed ({hint})"


def _advance(bar: tqdm, place: float) -> None:
    bar.update(min(place, bar.total) - bar.n)


def begin_worker(shares: Any, stop: Any) -> None:
    """Prepare a worker process: one thread, no ear for Ctrl-C, and an end when its parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _worker.update(shares=shares, stop=stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process with its parent: a killed run's workers would disturb the next run."""
    multiprocessing.parent_process().join()
    os._exit(1)


def work(number: int, task: Task) -> str:
    """Make one clip in a worker process; return what went wrong."""

    def tell(share: float) -> None:
        if _worker["stop"].is_set():
            raise Stopped
        _worker["shares"][number] = share

    reason = make(task, tell)
    _worker["shares"][number] = 1.0
    return reason


def make(task: Task, tell: Callable[[float], None]) -> str:
    """Make one clip; return what went wrong in one line, or nothing."""
    making = preprocess_face if isinstance(task.recipe, FaceClipConfig) else preprocess_recording
    try:
        making(*task, tell)
    except UserError as error:
        return " ".join(str(error).split())
    return ""


if __name__ == "__main__":
    run_command(main)
