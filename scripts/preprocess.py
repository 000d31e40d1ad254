"""Convert recordings of a person into clips: frames, audio, keypoints, pose and words.

python scripts/preprocess.py --input recordings/ --output datasets/NAME --jobs 2
python scripts/preprocess.py --faces --input people/ --output datasets/NAME   aligned faces instead

A stopped run continues where it stopped, clip by clip. A recording that cannot be used does not
stop the others; it is reported at the end.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import _checkout  # noqa: F401
import cv2
import torch
from tqdm import tqdm

from speech2video.data import motion_io
from speech2video.data.clip import Clip
from speech2video.data.preprocessing.detection.mediapipe_networks import require_mediapipe
from speech2video.data.preprocessing.faces import FaceClipConfig, preprocess_face
from speech2video.data.preprocessing.recording import (
    ClipConfig,
    WordSource,
    made_clips,
    preprocess_recording,
)
from speech2video.data.preprocessing.report import write_report
from speech2video.data.speech2face.clip import FaceClip
from speech2video.data.speech2face.labels import read_labels
from speech2video.options.preprocessing import PreprocessOptions
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError, OptionError, UserError, note, run_command
from speech2video.util.files import folder_lock
from speech2video.util.process_pool import Progress, run_tasks
from speech2video.util.video.reader import (
    AUDIO_SUFFIXES,
    IMAGES,
    RECORDING_SUFFIXES,
    folder_audio,
    is_frame_folder,
)

UNNAMED = ("thumbs.db", "desktop.ini")  # what systems leave in folders
NAMED = 5  # files that are not read, which a note names
OPENPOSE = "openpose:"
BAR = "{percentage:3.0f}%|{bar}| {n:.1f} of {total} recordings [{elapsed}, {remaining} left]"


class Task(NamedTuple):
    """One recording, and the functions that find its clips and that make them."""

    recording: Path
    made: Callable[[], Sequence[Clip | FaceClip]]
    convert: Callable[[Progress], object]


def main() -> None:
    options = PreprocessOptions.parse()
    with folder_lock(options.output):
        preprocess(options)


def preprocess(options: PreprocessOptions) -> None:
    """Make the clips that the dataset lacks; exit with 2 if any failed."""
    torch.set_num_threads(1)  # threads compete; `--jobs` uses the other cores
    body = None if options.faces else Body.load(options.body)
    tasks = face_tasks(options) if options.faces else body_tasks(options)
    todo = [task for task in tasks if not _is_made(task)]
    if len(todo) < len(tasks):
        print(f"{options.output}: {len(tasks) - len(todo)} of {len(tasks)} recordings are there")
    failed = make_clips(todo, options.jobs)
    for task in todo:
        if task.recording not in failed:
            for remark in dict.fromkeys(n for clip in task.made() for n in clip.info().notes):
                print(f"note: {task.recording}: {remark}")
    if len(failed) < len(tasks):
        print(f"{len(tasks) - len(failed)} of {len(tasks)} recordings in {options.output}")
        if body:
            print(f"report: {write_report(options.output, body=body)}")
    for reason in failed.values():
        print(f"error: {reason}", file=sys.stderr)
    if failed:
        sys.exit(2)


def _is_made(task: Task) -> bool:
    """Return whether a recording's clips exist; what is wrong with them is reported later."""
    try:
        return bool(task.made())
    except DataError:
        return False


def body_tasks(options: PreprocessOptions) -> list[Task]:
    """Return the tasks for recordings of a body; raises `DataError` and `OptionError`."""
    others = options.output, options.transcripts, options.motion, options.body
    keypoints = Path(options.keypoints.removeprefix(OPENPOSE))
    words = WordSource(options.transcripts)
    recordings = list_recordings(options.input, words=words, others=(*others, keypoints))
    stems = [recording.stem for recording in recordings]
    double = next((stem for stem in stems if stems.count(stem) > 1), None)
    if double:
        raise DataError(
            f"{options.input}: two recordings are called {double}; clips are named after them"
        )
    tasks = []
    for path in recordings:
        folder, config = options.output / path.stem, clip_config(options, path)
        convert = partial(preprocess_recording, path, folder, config)
        tasks.append(Task(path, partial(made_clips, Clip(folder), path), convert))
    return tasks


def face_tasks(options: PreprocessOptions) -> list[Task]:
    """Return the tasks for recordings of faces; raises `DataError` and `OptionError`.

    Clips are named after their recordings and the folders of these.
    """
    if (options.label_scheme == "csv") != (options.labels is not None):
        raise OptionError("--label_scheme csv and --labels FILE go together")
    require_mediapipe("")
    table = read_labels(options.labels) if options.labels else None
    root = options.input if options.input.is_dir() else options.input.parent
    config = FaceClipConfig(options.face_size, options.label_scheme, root, table)
    tasks: dict[str, Task] = {}
    others = options.output, options.labels
    for path in list_recordings(options.input, recursive=True, others=others):
        name = "_".join(path.relative_to(root).with_suffix("").parts)
        if name in tasks:
            raise DataError(f"{tasks[name].recording} and {path}: both would become {name}")
        clip = FaceClip(options.output / name)
        convert = partial(preprocess_face, path, clip.folder, config)
        tasks[name] = Task(path, partial(made_clips, clip, path), convert)
    return list(tasks.values())


def list_recordings(
    path: Path,
    *,
    recursive: bool = False,
    words: WordSource | None = None,
    others: Sequence[Path | None] = (),
) -> list[Path]:
    """Return the recordings of a folder in name order, or the one recording.

    A recording is a file, or a folder of numbered frames with audio. Other files are named in a
    note. Raises `DataError` if there is no recording.

    Args:
        words: of recordings of bodies; None for those of faces, whose audio may be another file.
        others: files and folders that are read, too.
    """
    if path.exists() and not path.is_dir():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; a recording is needed")
    try:
        everything = sorted(path.rglob("*") if recursive else path.iterdir())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    # macOS puts a hidden ._talk.mp4 next to talk.mp4 on foreign disks
    shown = [one for one in everything if not any(map(_is_hidden, one.relative_to(path).parts))]
    found = [one for one in shown if one.suffix.lower() in RECORDING_SUFFIXES or _is_frames(one)]
    frames = [one for one in found if is_frame_folder(one)]
    found = [one for one in found if not any(folder in one.parents for folder in frames)]
    if not found and is_frame_folder(path):
        return [path]
    read = {*others, *found, *map(folder_audio, frames)}
    for one in found:
        read |= {words.find(one)} if words else {one.with_suffix(end) for end in AUDIO_SUFFIXES}
    inside = {one.resolve() for one in read if one is not None}
    rest = [
        f"{one.relative_to(path)}{'/' if one.is_dir() else ''}"
        for one in shown
        if one.resolve() not in inside
        and not inside & {parent.resolve() for parent in one.parents if parent != path}
        and not (recursive and one.is_dir())
    ]
    if not found:
        endings = ", ".join(RECORDING_SUFFIXES)
        raise DataError(f"{path}: no recordings in it ({endings}, or folders of frames)")
    if rest:
        more = f" and {len(rest) - NAMED} more" if len(rest) > NAMED else ""
        note(f"{path}: not read: {', '.join(rest[:NAMED])}{more}")
    return found


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in UNNAMED


def _is_frames(path: Path) -> bool:
    """Return whether a path is a folder of numbered images with audio, and without videos."""
    if not is_frame_folder(path) or folder_audio(path) is None:
        return False
    files = [one for one in path.iterdir() if not _is_hidden(one.name)]
    images = [one for one in files if one.suffix.lower() in IMAGES]
    videos = any(one.suffix.lower() in RECORDING_SUFFIXES for one in files)
    return not videos and all(any(map(str.isdigit, one.stem)) for one in images)


def clip_config(options: PreprocessOptions, recording: Path) -> ClipConfig:
    """Return the settings for one recording of a body; raises `OptionError`."""
    keypoints = options.keypoints
    if keypoints.startswith(OPENPOSE):
        folder = Path(keypoints.removeprefix(OPENPOSE))
        own = (folder / recording.stem, folder / f"{recording.stem}.json")
        keypoints = str(next((path for path in own if path.exists()), folder))
    elif keypoints != "mediapipe":
        raise OptionError(f"--keypoints {keypoints}: mediapipe or openpose:FOLDER is needed")
    else:
        require_mediapipe(", or give --keypoints openpose:FOLDER")
    motion = options.motion
    if motion and motion.is_dir():
        own = [motion / f"{recording.stem}{ending}" for ending in (*motion_io.ENDINGS, "")]
        motion = next((path for path in own if path.exists()), own[0])
    return ClipConfig(
        body=options.body,
        size=options.size,
        keypoints=keypoints,
        motion=motion,
        words=WordSource(options.transcripts, options.recognise, options.language),
    )


def make_clips(tasks: list[Task], jobs: int) -> dict[Path, str]:
    """Make the clips under one progress bar; return the errors by recording."""
    with tqdm(total=len(tasks), bar_format=BAR, dynamic_ncols=True, mininterval=1.0) as bar:
        in_processes = jobs > 1 and len(tasks) > 1
        reasons = run_tasks(
            start_worker if in_processes else lambda: make_clip,
            tasks,
            jobs=jobs if in_processes else 0,
            on_progress=lambda done: bar.update(done - bar.n),
            on_killed=_killed,
            stop_on_error=False,
        )
        bar.update(len(tasks) - bar.n)
    return {t.recording: reason for t, reason in zip(tasks, reasons, strict=True) if reason}


def _killed(task: Task) -> str:
    hint = "with fewer --jobs it takes less memory; finished clips are not made again"
    return f"{task.recording}: not made, as a worker process was killed ({hint})"


def start_worker() -> Callable[[Task, Progress], str]:
    """Prepare a worker process: one thread for each library."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return make_clip


def make_clip(task: Task, progress: Progress) -> str:
    """Make one clip; return the error in one line, or an empty string."""
    reason = ""
    try:
        task.convert(progress)
    except UserError as error:
        reason = " ".join(str(error).split())
    progress(1.0)
    return reason


if __name__ == "__main__":
    run_command(main)
