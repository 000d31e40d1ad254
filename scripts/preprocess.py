"""Convert recordings of a person into clips: frames, audio, keypoints, pose and words.

python scripts/preprocess.py --input recordings/ --output datasets/NAME --jobs 2
python scripts/preprocess.py --faces --input people/ --output datasets/NAME   aligned faces instead
python scripts/preprocess.py --faces --input hdtf/ --list RD_times.txt --output datasets/NAME

A stopped run continues where it stopped, clip by clip. A recording that cannot be used does not
stop the others; it is reported at the end.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from speech2video.data.preprocessing.listing import (
    FaceFiles,
    Unread,
    is_hidden,
    is_recorded_frames,
    is_recording,
)
from speech2video.data.preprocessing.recording import (
    ClipConfig,
    WordSource,
    made_clips,
    preprocess_recording,
)
from speech2video.data.preprocessing.report import write_report
from speech2video.data.speech2face.clip import FaceClip
from speech2video.data.speech2face.labels import label_keys, read_labels
from speech2video.options.preprocessing import PreprocessOptions
from speech2video.util.body.body_model import Body
from speech2video.util.errors import DataError, OptionError, UserError, run_command
from speech2video.util.files import folder_lock
from speech2video.util.process_pool import Progress, iterate_tasks
from speech2video.util.video.reader import RECORDING_SUFFIXES, folder_audio, is_frame_folder

OPENPOSE = "openpose:"
BAR = "{percentage:3.0f}%|{bar}| {n:.1f} of {total} recordings [{elapsed}, {remaining} left]"


class Task(NamedTuple):
    """One recording, and the functions that find its clips and that make them."""

    recording: Path
    made: Callable[[], Sequence[Clip | FaceClip]]
    convert: Callable[[Progress], object]


class Outcome(NamedTuple):
    """What became of a recording: why it failed, or "", and remarks on its clips."""

    reason: str
    remarks: Sequence[str] = ()


def main() -> None:
    options = PreprocessOptions.parse()
    with folder_lock(options.output):
        preprocess(options)


def preprocess(options: PreprocessOptions) -> None:
    """Make the clips that the dataset lacks; exit with 2 if any failed."""
    torch.set_num_threads(1)  # threads compete; `--jobs` uses the other cores
    body = None if options.faces else Body.load(options.body)
    tasks: Iterable[Task] = FaceTasks(options) if options.faces else body_tasks(options)
    total = tasks.total if isinstance(tasks, FaceTasks) else len(list(tasks))
    missing = sum(not _is_made(task) for task in tasks)
    if missing < total:
        print(f"{options.output}: {total - missing} of {total} recordings are there")
    todo = (task for task in tasks if not _is_made(task))
    outcomes = make_clips(todo, missing, options.jobs)
    remarks = [remark for outcome in outcomes for remark in outcome.remarks]
    reasons = [outcome.reason for outcome in outcomes if outcome.reason]
    for remark in remarks:
        print(f"note: {remark}")
    if len(reasons) < total:
        print(f"{total - len(reasons)} of {total} recordings in {options.output}")
        if body:
            print(f"report: {write_report(options.output, body=body)}")
    for reason in reasons:
        print(f"error: {reason}", file=sys.stderr)
    if reasons:
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


class FaceTasks:
    """The tasks for recordings of faces, made one at a time, as often as they are iterated over.

    Clips are named after their recordings and the folders of these.

    Attributes:
        total: their number.

    Raises:
        DataError: no recordings, or two whose clips would have one name.
        OptionError: options that do not go together.
    """

    def __init__(self, options: PreprocessOptions) -> None:
        if (options.label_scheme == "csv") != (options.labels is not None):
            raise OptionError("--label_scheme csv and --labels FILE go together")
        require_mediapipe("")
        self._options = options
        self._table = read_labels(options.labels) if options.labels else None
        others = options.output, options.labels, options.list
        self._files = FaceFiles.of(options.input, listed=options.list, others=others)
        self.total = self._files.check()

    def __iter__(self) -> Iterator[Task]:
        """Yield the tasks; raises `DataError`."""
        options, root = self._options, self._files.folder
        for path, name, span in self._files:
            own = None  # the whole table would be sent along with each task
            if self._table is not None:
                keys = label_keys(path, root)
                own = {key: self._table[key] for key in keys if key in self._table}
            scheme = options.label_scheme
            config = FaceClipConfig(options.face_size, scheme, root, own, span)
            clip = FaceClip(options.output / name)
            convert = partial(preprocess_face, path, clip.folder, config)
            yield Task(path, partial(made_clips, clip, path), convert)


def list_recordings(
    path: Path, *, words: WordSource | None = None, others: Sequence[Path | None] = ()
) -> list[Path]:
    """Return the recordings of bodies in a folder, in name order, or the one recording.

    A recording is a file, or a folder of numbered frames with audio. Other files are named in a
    note. Raises `DataError` if there is no recording.

    Args:
        words: of the recordings.
        others: files and folders that are read, too.
    """
    if path.exists() and not path.is_dir():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; a recording is needed")
    try:
        everything = sorted(path.iterdir())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    # macOS puts a hidden ._talk.mp4 next to talk.mp4 on foreign disks
    shown = [one for one in everything if not is_hidden(one.name)]
    found = [one for one in shown if is_recording(one.name) or is_recorded_frames(one)]
    frames = [one for one in found if is_frame_folder(one)]
    if not found and is_frame_folder(path):
        return [path]
    read = {*others, *found, *map(folder_audio, frames)}
    if words:
        read |= set(map(words.find, found))
    inside = {one.resolve() for one in read if one is not None}
    if not found:
        endings = ", ".join(RECORDING_SUFFIXES)
        raise DataError(f"{path}: no recordings in it ({endings}, or folders of frames)")
    unread = Unread()
    for one in shown:
        if one.resolve() not in inside:
            unread.add(f"{one.name}{'/' if one.is_dir() else ''}")
    unread.note(path)
    return found


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


def make_clips(tasks: Iterable[Task], count: int, jobs: int) -> list[Outcome]:
    """Make the clips of so many tasks under one progress bar; return what is to be said of them."""
    with tqdm(total=count, bar_format=BAR, dynamic_ncols=True, mininterval=1.0) as bar:
        in_processes = jobs > 1 and count > 1
        outcomes = iterate_tasks(
            start_worker if in_processes else lambda: make_clip,
            tasks,
            jobs=min(jobs, count) if in_processes else 0,
            on_progress=lambda done: bar.update(done - bar.n),
            on_killed=_killed,
        )
        found = [outcome for outcome in outcomes if outcome.reason or outcome.remarks]
        bar.update(count - bar.n)
    return found


def _killed(task: Task) -> Outcome:
    hint = "with fewer --jobs it takes less memory; finished clips are not made again"
    return Outcome(f"{task.recording}: not made, as a worker process was killed ({hint})")


def start_worker() -> Callable[[Task, Progress], Outcome]:
    """Prepare a worker process: one thread for each library."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return make_clip


def make_clip(task: Task, progress: Progress) -> Outcome:
    """Make one clip; return the error in one line, or the remarks on it."""
    try:
        task.convert(progress)
        remarks = dict.fromkeys(n for clip in task.made() for n in clip.info().notes)
        outcome = Outcome("", [f"{task.recording}: {remark}" for remark in remarks])
    except UserError as error:
        outcome = Outcome(" ".join(str(error).split()))
    progress(1.0)
    return outcome


if __name__ == "__main__":
    run_command(main)
