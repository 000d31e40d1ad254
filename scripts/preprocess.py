"""Make recordings of one person into clips: picture and sound in step, keypoints, pose, words.

python scripts/preprocess.py --input recordings/ --output datasets/NAME --jobs 2
"""

import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _checkout  # noqa: F401
import torch
from tqdm import tqdm

from speech2video.data.preprocessing.recording import Recipe, make_clip
from speech2video.data.preprocessing.report import write_report
from speech2video.data.preprocessing.words import Words
from speech2video.options.preprocess_options import PreprocessOptions
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError, OptionError, UserError, run_command

RECORDINGS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".ts")
OPENPOSE = "openpose:"
POLL_SECONDS = 0.5
Task = tuple[Path, Path, Recipe]


def main() -> None:
    options = PreprocessOptions.parse()
    recordings = find_recordings(options.input)
    tasks = [
        (recording, options.output / recording.stem, recipe(options, recording))
        for recording in recordings
    ]
    failed = run_side_by_side(tasks, options.jobs)
    for reason in failed.values():
        print(f"error: {reason}", file=sys.stderr)
    if len(failed) < len(tasks):
        print(f"{len(tasks) - len(failed)} of {len(tasks)} recordings in {options.output}")
        print(f"report: {write_report(options.output, body=Body.load(options.body))}")
    if failed:
        sys.exit(2)


def find_recordings(path: Path) -> list[Path]:
    """Return the recordings of a folder in name order, or the one file; raises `DataError`."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; a recording is needed")
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in RECORDINGS)
    if not found:
        raise DataError(f"{path}: no recordings in it ({', '.join(RECORDINGS)})")
    stems = [recording.stem for recording in found]
    double = next((stem for stem in stems if stems.count(stem) > 1), None)
    if double:
        raise DataError(f"{path}: two recordings are called {double}; clips are named after them")
    return found


def recipe(options: PreprocessOptions, recording: Path) -> Recipe:
    """Return how one recording is made into a clip."""
    keypoints = options.keypoints
    if keypoints.startswith(OPENPOSE):
        folder = Path(keypoints.removeprefix(OPENPOSE))
        own = folder / recording.stem
        keypoints = str(own if own.is_dir() else folder)
    elif keypoints != "mediapipe":
        raise OptionError(f"--keypoints {keypoints}: mediapipe or openpose:FOLDER is needed")
    motion = options.motion
    if motion and motion.is_dir():
        motion = motion / f"{recording.stem}.npz"
    return Recipe(
        body=options.body,
        size=options.size,
        keypoints=keypoints,
        motion=motion,
        words=Words(options.transcripts, options.recognise),
    )


def run_side_by_side(tasks: list[Task], jobs: int) -> dict[Path, str]:
    """Make the clips under one progress bar; return what went wrong, by recording."""
    with tqdm(total=len(tasks), unit="recording", dynamic_ncols=True, mininterval=1.0) as bar:
        if jobs == 1 or len(tasks) == 1:
            failed = {}
            for number, task in enumerate(tasks):
                failed[task[0]] = _make(
                    *task, lambda share, start=number: _advance(bar, start + share)
                )
                _advance(bar, number + 1)
        else:
            failed = _in_processes(tasks, jobs, bar)
    return {recording: reason for recording, reason in failed.items() if reason}


def _in_processes(tasks: list[Task], jobs: int, bar: tqdm) -> dict[Path, str]:
    context = multiprocessing.get_context("spawn")  # forked torch and MediaPipe threads would hang
    with context.Manager() as manager:
        shares = manager.dict()
        with context.Pool(jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            running = {task[0]: pool.apply_async(_make_shared, (*task, shares)) for task in tasks}
            while waiting := [result for result in running.values() if not result.ready()]:
                waiting[0].wait(POLL_SECONDS)
                _advance(bar, sum(shares.values()))
            return {recording: result.get() for recording, result in running.items()}


def _advance(bar: tqdm, place: float) -> None:
    bar.update(min(place, bar.total) - bar.n)


def _make_shared(recording: Path, folder: Path, how: Recipe, shares: Any) -> str:
    """Make one clip in a process of its own, which tells the others how far it is."""
    return _make(recording, folder, how, lambda share: shares.update({recording: share}))


def _make(recording: Path, folder: Path, how: Recipe, tell: Callable[[float], None]) -> str:
    """Make one clip; return what went wrong in one line, or nothing."""
    try:
        make_clip(recording, folder, how, tell)
    except UserError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    run_command(main)
