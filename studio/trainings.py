"""Trainings of new speakers: the commands of scripts/train_speaker.sh, one training at a time.

results/studio/trainings/ID/training.json   what was asked for, and how far it is
results/studio/trainings/ID/recordings/     uploads, under names of the server's own
results/studio/trainings/ID/dataset/        clips, their report, gestures
results/studio/trainings/ID/runs/NAME/      checkpoints and curves of both trainers
results/studio/trainings/ID/evaluation/     reports on what was held out
results/studio/trainings/ID/log.txt         what the commands print

Each command continues where it was stopped, so that a training which is stopped, or whose server
ends in any way, goes on to the same result. The speaker appears among the others when it is ready.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import os
import re
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import filelock

from speech2video.data.clip import Clip
from speech2video.data.preprocessing.detection.mediapipe_networks import require_mediapipe
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.options.base import ARCHITECTURE
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.options.studio import TOKEN_VARIABLE
from speech2video.studio.guard import kill_session
from speech2video.studio.jobs import DONE, FAILED, ID_BYTES, INTERRUPTED, JOB_ID, RUNNING
from speech2video.util.checkpoint_folder import OPTIONS_FILE, WEIGHTS_FILE, resolve_checkpoint
from speech2video.util.errors import DataError, UserError, one_line
from speech2video.util.files import (
    check_output_folder,
    read_json,
    typed_fields,
    write_errors,
    write_json,
    write_text,
)
from speech2video.util.text.transcript import WORD_SUFFIXES
from speech2video.util.timing import FPS
from speech2video.util.video.reader import RECORDING_SUFFIXES

ROOT = Path(__file__).resolve().parent.parent  # of the checkout, which has the commands
STOPPED, STOPPING = "stopped", "stopping"  # and the states of jobs, but those of waiting
STATES = (RUNNING, DONE, FAILED, STOPPED, INTERRUPTED)
STATE_FILE, LOG_FILE, LOCK_FILE = "training.json", "log.txt", ".lock"
MOTION, IMAGES = TrainAudio2PoseOptions.KIND, TrainPose2VideoOptions.KIND
CLIPS = "clips"  # key of the first step
EVALUATIONS = ("motion", "video", "speech")
KILLED = 128 + 9  # exit status

QUICK_STEPS, DEFAULT_STEPS, MAX_STEPS = 1000, 4000, 1_000_000  # of each trainer
SAVE_EVERY = 1000  # steps at most
SIZES = (256, 384, 512)  # pixels
HELD_OUT = {MOTION: 8.0, IMAGES: 10.0}  # seconds at each clip's end, the trainers' defaults
HELD_OUT_SHARE, MIN_HELD_OUT = 4, 0.4  # of clips that are too short for it

FIELDS = {  # of a request to train, all texts
    "name": "of the new speaker",
    "folder": "of recordings, in place of uploads: a folder in the server's --recordings",
    "steps": "of each training: quick, default or a number; by default default",
    "size": f"of the image, in pixels: {', '.join(map(str, SIZES))}; by default {SIZES[0]}",
    "pretrained": "speaker that the motion starts from; by default none",
    "language": "of the speech, such as de or pt-BR; by default English",
    "recognise": "true: recognise the words of recordings without a file of words",
}
NAME = re.compile(r"\w[\w.-]{0,59}")  # of a speaker; no option of a command can be meant by it
LANGUAGE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,19}")
WORDS = re.compile(
    rf"(\.[a-z]{{2,3}}(-[a-z0-9]{{1,6}})?)?({'|'.join(map(re.escape, WORD_SUFFIXES))})",
    re.IGNORECASE,
)  # what follows the recording's name in that of its words
MAX_FILES = 200  # recordings and transcripts of one upload
MAX_FOLDER_FILES = 100_000
LONGEST_NAME = 100  # characters of a file's name that is shown
FREE_BYTES = 2_000_000_000  # for checkpoints and curves
CLIP_RATIO = 2  # disk that clips may take, in sizes of their recordings

TAIL_BYTES, TAIL_LINES, NOTES = 20_000, 40, 20
PROGRESS = re.compile(r"\| *([\d.]+)(?:/| of )([\d.]+)\b.*?\[[\d:]+(?:<|, )([\d:]+|\?)")
REPORTS = {  # by what the page calls them
    "Preprocessing": "dataset/report.html",
    "Gestures": "dataset/gestures/sheet.html",
    "Speech to pose": f"runs/{{name}}/{MOTION}/index.html",
    "Pose to video": f"runs/{{name}}/{IMAGES}/index.html",
    **{f"Evaluation: {kind}": f"evaluation/{kind}/report.html" for kind in EVALUATIONS},
}
SERVED = re.compile(
    r"dataset/report\.html|dataset/gestures/sheet\.html"
    rf"|runs/{NAME.pattern}/({MOTION}|{IMAGES})/(index\.html|(images|videos)/[^/]+\.(jpg|mp4))"
    rf"|evaluation/({'|'.join(EVALUATIONS)})/[^/]+\.(html|svg|png|jpg|mp4)"
)


class Conflict(UserError):
    """What is asked for does not fit what there is: a name that is taken, a training that runs."""


@dataclass
class Training:
    """A training, as its file keeps it. Times are in seconds, `created` since 1970.

    Attributes:
        name: of the new speaker.
        folder: of the recordings below the server's, or "" for uploads.
        files: names of the uploaded recordings, in the order of the files.
        steps: of each trainer.
        size: width and height of the image, pixels.
        pretrained: speaker that the motion starts from.
        recognise: whether to recognise the words of recordings without a transcript.
        step: key of the step that is or was done.
        finished: keys of the steps that are over.
        notes: recordings and steps that were left out.
        seconds: for which it has run.
    """

    id: str
    name: str
    created: float
    folder: str = ""
    files: tuple[str, ...] = ()
    steps: int = DEFAULT_STEPS
    size: int = SIZES[0]
    pretrained: str | None = None
    language: str | None = None
    recognise: bool = False
    state: str = RUNNING
    step: str = ""
    finished: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True)
class Place:
    """The folders of a training."""

    folder: Path
    recordings: Path
    checkpoints: Path

    @property
    def dataset(self) -> Path:
        """The clips."""
        return self.folder / "dataset"

    @property
    def gestures(self) -> Path:
        """The gesture dictionary."""
        return self.dataset / "gestures"

    @property
    def runs(self) -> Path:
        """Checkpoints of the trainers."""
        return self.folder / "runs"

    @property
    def speaker(self) -> Path:
        """What is exported."""
        return self.folder / "speaker"


@dataclass(frozen=True)
class Step:
    """A part of a training: commands, each a program and its arguments.

    Attributes:
        commands: called when the step begins.
        finish: called after the commands.
        passable: whether the training goes on where a command has failed with a status.
        threads: that a command computes with.
    """

    key: str
    title: str
    commands: Callable[[], Sequence[Sequence[str]]]
    finish: Callable[[], None] = lambda: None
    passable: Callable[[int], bool] = lambda _: False
    threads: int = 1


class _Run:
    """The training that is done: its process, and why it is to end."""

    def __init__(self, training: Training) -> None:
        self.training, self.began = training, time.monotonic()
        self.process: subprocess.Popen | None = None
        self.reason = ""  # the state to end in
        self.log_start = 0  # bytes of the log before the current command
        self.thread: threading.Thread | None = None


class Trainings:
    """Keeps trainings in a folder, and does one at a time.

    Args:
        folder: of the trainings; made if missing.
        checkpoints: folder of all speakers.
        recordings: folder whose folders of recordings may be trained on; None for uploads only.

    Raises:
        DataError: a folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        checkpoints: Path,
        recordings: Path | None = None,
    ) -> None:
        self._folder, self._checkpoints = folder.resolve(), checkpoints.resolve()
        if recordings is not None and not recordings.is_dir():
            raise DataError(f"--recordings {recordings}: no such folder")
        self._recordings = None if recordings is None else recordings.resolve()
        self._lock = threading.RLock()
        self._trainings: dict[str, Training] = {}
        self._active: _Run | None = None
        self._receiving = False
        with write_errors(folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._load()

    def limits(self) -> dict[str, Any]:
        """Return what can be asked for, as values of json."""
        return {
            "problem": training_problem(),
            "folders": self.folders(),
            "max_files": MAX_FILES,
            "recordings": RECORDING_SUFFIXES,
            "words": WORD_SUFFIXES,
            "quick_steps": QUICK_STEPS,
            "default_steps": DEFAULT_STEPS,
            "max_steps": MAX_STEPS,
            "sizes": SIZES,
            "recognise": importlib.util.find_spec("faster_whisper") is not None,
        }

    def folders(self) -> dict[str, int]:
        """Return the number of recordings in each folder that may be trained on, by name."""
        found = {}
        for path in sorted(self._recordings.glob("*")) if self._recordings else ():
            with contextlib.suppress(OSError):  # of one that cannot be read
                if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                    count = sum(map(_is_recording, path.iterdir()))
                    found |= {path.name: count} if count else {}
        return found

    def all(self) -> list[Training]:
        """Return all trainings, newest first."""
        with self._lock:
            found = [dataclasses.replace(one) for one in self._trainings.values()]
        return sorted(found, key=lambda one: one.created, reverse=True)

    def get(self, training_id: str) -> Training | None:
        """Return a training as it is now; None where there is none."""
        with self._lock:
            found = self._trainings.get(training_id)
            return None if found is None else dataclasses.replace(found)

    def folder(self, training_id: str) -> Path:
        """Return the folder of a training, whether or not there is one."""
        return self._folder / training_id

    @contextlib.contextmanager
    def receiving(self, size: int) -> Iterator[None]:
        """Keep others from starting a training while the upload of one, of some bytes, arrives.

        Raises:
            Conflict: a training runs, or another upload arrives.
            DataError: nothing can be trained here, or there is too little room on the disk.
        """
        if problem := training_problem():
            raise DataError(problem)
        with self._lock:
            self._check_idle()
            self._receiving = True
        try:
            check_output_folder(self._checkpoints)
            self._check_room(size)
            yield
        finally:
            self._receiving = False

    def start(self, fields: Mapping[str, str], uploads: Sequence[tuple[str, BinaryIO]]) -> Training:
        """Start a training, within `receiving`.

        Args:
            fields: those of `FIELDS`; all but the name may be left out.
            uploads: names and contents of recordings and their transcripts.

        Raises:
            Conflict: there is a speaker or a training of this name.
            DataError: a field or an upload that cannot be used.
        """
        training = self._parse(fields)
        self._check_name(training.name)
        if bool(training.folder) == bool(uploads):
            seen = "recordings and a folder" if uploads else "nothing"
            raise DataError(f"{seen} given; recordings, or the name of a folder, are needed")
        names = stored_names([name for name, _ in uploads])
        place = self._place(training)  # refuses folders
        try:
            with write_errors(place.folder):
                place.folder.mkdir()
                if uploads:
                    place.recordings.mkdir()
                for (_, content), name in zip(uploads, names, strict=True):
                    with (place.recordings / name).open("xb") as file:
                        shutil.copyfileobj(content, file)
            shown = [
                _shown(name)
                for (name, _), stored in zip(uploads, names, strict=True)
                if _is_recording(Path(stored))
            ]
            training.files = tuple(shown)
            with self._lock:
                self._check_name(training.name)
                write_json(place.folder / STATE_FILE, dataclasses.asdict(training))
                self._trainings[training.id] = training
                self._launch(training)
        except BaseException:
            if training.id not in self._trainings:
                shutil.rmtree(place.folder, ignore_errors=True)
            raise
        return dataclasses.replace(training)

    def stop(self, training_id: str) -> None:
        """Stop a training; it saves its state first. One that does not run stays as it is."""
        with self._lock:
            if self._active is not None and self._active.training.id == training_id:
                self._end(self._active, STOPPED)

    def go_on(self, training_id: str) -> None:
        """Continue a training that was stopped or interrupted, or has failed.

        Raises:
            Conflict: it is done, or one runs.
            DataError: nothing can be trained here, or there is too little room on the disk.
        """
        if problem := training_problem():
            raise DataError(problem)
        self._check_room(0)
        with self._lock:
            training = self._trainings[training_id]
            self._check_idle()
            if training.state == DONE:
                raise Conflict(f"{training.name}: the training is done")
            self._place(training)  # refuses folders
            training.state, training.error = RUNNING, None
            self._save(training)
            self._launch(training)

    def remove(self, training_id: str) -> None:
        """Remove a training that does not run with all of its files; the speaker stays.

        Raises:
            Conflict: it runs, or its commands have yet to end.
        """
        folder = self.folder(training_id)
        with self._lock:
            if self._active is not None and self._active.training.id == training_id:
                raise Conflict("the training runs; stop it first")
            try:
                with filelock.FileLock(folder / LOCK_FILE).acquire(timeout=0):
                    pass
            except filelock.Timeout:
                raise Conflict("the training is about to end; try again in a minute") from None
            del self._trainings[training_id]
        shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Stop the training that runs; it is reported as interrupted."""
        with self._lock:
            run = self._active
            if run is not None:
                self._end(run, INTERRUPTED)
        if run is not None and run.thread is not None:
            run.thread.join()

    def describe(self, training: Training, *, log: bool = False) -> dict[str, Any]:
        """Return a training as values of json, with the end of its log if asked for."""
        run = self._active
        if run is not None and run.training.id != training.id:
            run = None
        shown = ("id", "name", "created", "folder", "files", "steps", "size", "pretrained")
        values = {name: getattr(training, name) for name in (*shown, "notes", "error")}
        done, total, left = self._progress(training, run)
        return values | {
            "state": STOPPING if run and run.reason else training.state,
            "parts": [
                {"key": step.key, "title": step.title, "state": _part_state(training, step)}
                for step in training_steps(training, self._place(training, check=False))
            ],
            "done": done,
            "total": total,
            "seconds_left": left,
            "seconds": round(training.seconds + (time.monotonic() - run.began if run else 0)),
            "reports": self._reports(training),
            **({"log": self._tail(training)} if log else {}),
        }

    def report_file(self, training_id: str, path: str) -> Path | None:
        """Return a file of a training's reports; None for all other files."""
        if not SERVED.fullmatch(path):
            return None
        folder = self.folder(training_id)
        file = folder / path
        try:
            inside = Path(os.path.realpath(file)).is_relative_to(os.path.realpath(folder))
            return file if inside and stat.S_ISREG(file.stat().st_mode) else None
        except (OSError, ValueError):
            return None

    def _parse(self, fields: Mapping[str, str]) -> Training:
        given = {name: text.strip() for name, text in fields.items() if text.strip()}
        name = given.get("name", "")
        if not NAME.fullmatch(name):
            raise DataError(
                f"name {name!r:.70}: 1 to 60 letters, digits, dots, dashes and underscores, "
                "a letter or digit first, are needed"
            )
        steps = {"quick": QUICK_STEPS, "default": DEFAULT_STEPS}.get(given.get("steps", "default"))
        if steps is None:
            steps = _whole_number("steps", given["steps"], MAX_STEPS)
        size = _whole_number("size", given.get("size", str(SIZES[0])), SIZES[-1])
        if size not in SIZES:
            raise DataError(f"size {size}: one of {', '.join(map(str, SIZES))} is needed")
        language = given.get("language")
        if language and not LANGUAGE.fullmatch(language):
            raise DataError(f"language {language!r:.60}: no such language")
        pretrained = given.get("pretrained")
        if pretrained is not None:
            self._check_pretrained(pretrained)
        training_id = secrets.token_hex(ID_BYTES)
        return Training(
            training_id,
            name,
            time.time(),
            folder=given.get("folder", ""),
            steps=steps,
            size=size,
            pretrained=pretrained,
            language=language,
            recognise=given.get("recognise") == "true",
        )

    def _check_pretrained(self, name: str) -> None:
        """Refuse a speaker whose motion has another architecture than is trained here."""
        if not NAME.fullmatch(name) or not (self._checkpoints / name / MOTION).is_dir():
            raise DataError(f"pretrained {name!r:.60}: no speaker with a body of this name")
        checkpoint = resolve_checkpoint(self._checkpoints / name / MOTION)
        saved = TrainAudio2PoseOptions.load(checkpoint / OPTIONS_FILE)
        for field in dataclasses.fields(TrainAudio2PoseOptions):
            if field.metadata["group"] == ARCHITECTURE:
                value = getattr(saved, field.name)
                if value != field.default:
                    other = f"its --{field.name} is {value!s:.40}, not {field.default!s:.40}"
                    raise DataError(f"pretrained {name}: {other}")

    def _check_name(self, name: str) -> None:
        if os.path.lexists(self._checkpoints / name):
            raise Conflict(f"name {name}: there is a speaker of this name")
        others = (one.name for one in self._trainings.values() if one.state != DONE)
        if name.casefold() in map(str.casefold, others):
            raise Conflict(f"name {name}: there is a training of this name; remove it first")

    def _check_idle(self) -> None:
        if self._active is not None:
            raise Conflict(f"{self._active.training.name} is trained; one at a time")
        if self._receiving:
            raise Conflict("the recordings of another training arrive; one at a time")

    def _check_room(self, size: int) -> None:
        uploads = Path(tempfile.gettempdir())  # where they arrive
        for folder, needed in ((self._folder, FREE_BYTES + CLIP_RATIO * size), (uploads, size)):
            if (free := shutil.disk_usage(folder).free) < needed:
                seen = f"{free / 1e9:.1f} GB are free on the disk"
                raise DataError(f"{seen}; {needed / 1e9:.1f} GB are needed")

    def _place(self, training: Training, *, check: bool = True) -> Place:
        """Return the folders of a training.

        Raises:
            DataError: no such folder of recordings, or one with links that lead out of it.
        """
        folder = self.folder(training.id)
        if not training.folder:
            return Place(folder, folder / "recordings", self._checkpoints)
        recordings = (self._recordings or folder) / training.folder
        if check and CLIPS not in training.finished:
            if training.folder not in self.folders():
                names = ", ".join(self.folders()) or "none"
                raise DataError(
                    f"folder {training.folder!r:.60}: no such folder; there are: {names}"
                )
            for path in islice(recordings.rglob("*"), MAX_FOLDER_FILES):
                if not Path(os.path.realpath(path)).is_relative_to(recordings):
                    shown = _shown(str(path.relative_to(recordings)))
                    raise DataError(f"folder {training.folder}: {shown} leads out of it")
        return Place(folder, recordings, self._checkpoints)

    def _load(self) -> None:
        for path in sorted(self._folder.iterdir()):
            if not JOB_ID.fullmatch(path.name):
                continue
            try:
                values = read_json(path / STATE_FILE, what="a training")
                training = Training(**typed_fields(values, Training, where=str(path)))
            except DataError:
                if not (path / STATE_FILE).exists():  # the server ended while its upload arrived
                    shutil.rmtree(path, ignore_errors=True)
                continue
            if training.id != path.name or training.state not in STATES:
                continue
            if not NAME.fullmatch(training.name):
                continue
            self._trainings[training.id] = training
            if training.state == RUNNING:
                training.state, training.error = INTERRUPTED, "the server ended while it ran"
                self._save(training)

    def _save(self, training: Training) -> None:
        with contextlib.suppress(DataError, OSError):  # of a full disk; memory knows it
            write_json(self.folder(training.id) / STATE_FILE, dataclasses.asdict(training))

    def _launch(self, training: Training) -> None:
        self._active = run = _Run(training)
        run.thread = threading.Thread(target=self._work, args=(run,), daemon=True)
        run.thread.start()

    def _end(self, run: _Run, reason: str) -> None:
        run.reason = run.reason or reason
        if run.process is not None and run.process.stdin is not None:
            run.process.stdin.close()  # which the guard notices

    def _work(self, run: _Run) -> None:
        """Do the steps that are left."""
        training, error = run.training, None
        try:
            for step in training_steps(training, self._place(training)):
                if step.key in training.finished:
                    continue
                with self._lock:
                    training.step = step.key
                    self._save(training)
                if error := self._do(run, step):
                    break
                if run.reason:
                    break
                with self._lock:
                    training.finished = (*training.finished, step.key)
        except (UserError, OSError) as failure:
            error = str(failure)
        except Exception as failure:  # the server goes on
            error = f"{type(failure).__name__}: {failure}"
        with self._lock:
            training.seconds += time.monotonic() - run.began
            if error:
                training.state, training.error = FAILED, self._named(training, error)
            elif run.reason:
                training.state = run.reason
                training.error = "the server ended" if run.reason == INTERRUPTED else None
            else:
                training.state = DONE
            self._save(training)
            self._active = None

    def _do(self, run: _Run, step: Step) -> str | None:
        """Do a step; return the line of an error. Once it is to end, nothing is an error."""
        training = run.training
        for command in step.commands():
            status = self._execute(run, step, command)
            if run.reason:
                return None
            if not status:
                continue
            lines = self._lines(training, run.log_start)
            errors = [one.split("error: ", 1)[1] for one in lines if "error: " in one]
            if not step.passable(status):
                if status == KILLED:
                    return f"{step.title}: killed, most likely for want of memory"
                return f"{step.title}: {errors[-1] if errors else f'ended with status {status}'}"
            with self._lock:
                left = errors or [f"left out, as it ended with status {status}"]
                notes = (*training.notes, *(f"{step.title}: {one}" for one in left))
                training.notes = tuple(dict.fromkeys(notes))[:NOTES]
        step.finish()
        return None

    def _execute(self, run: _Run, step: Step, command: Sequence[str]) -> int:
        """Run a command in a session of its own; return its exit status."""
        folder = self.folder(run.training.id)
        environment = os.environ | {"OMP_NUM_THREADS": str(step.threads)}
        environment.pop(TOKEN_VARIABLE, None)  # the commands have no need of it
        guard = [sys.executable, "-m", "speech2video.studio.guard", str(folder / LOCK_FILE)]
        with (folder / LOG_FILE).open("ab") as log:
            log.write(f"== {step.title}\n".encode())
            log.flush()
            with self._lock:
                if run.reason:
                    return 0
                run.log_start = log.seek(0, os.SEEK_END)
                run.process = process = subprocess.Popen(
                    [*guard, *command],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    cwd=ROOT,
                    env=environment,
                    start_new_session=True,
                )
            try:
                status = process.wait()
            finally:
                kill_session(process.pid)
        with self._lock:
            run.process = None
            if process.stdin is not None:
                process.stdin.close()
        return status if status >= 0 else 128 - status

    def _progress(self, training: Training, run: _Run | None) -> tuple[float, float, int | None]:
        """Return what is done of the current command, the total, and the seconds left."""
        if run is None or run.process is None:
            return 0, 0, None
        for line in reversed(self._lines(training, run.log_start)):
            if found := PROGRESS.search(line):
                done, total, left = found.groups()
                with contextlib.suppress(ValueError):
                    return float(done), float(total), _seconds(left)
        return 0, 0, None

    def _lines(self, training: Training, start: int = 0) -> list[str]:
        """Return the last lines of the log from a byte on, of a progress bar the last state."""
        try:
            with (self.folder(training.id) / LOG_FILE).open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(start, size - TAIL_BYTES))
                text = log.read(TAIL_BYTES).decode("utf-8", "replace")
        except OSError:
            return []
        bars = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
        return [self._named(training, line) for line in bars if line.strip()]

    def _tail(self, training: Training) -> list[str]:
        return self._lines(training)[-TAIL_LINES:]

    def _named(self, training: Training, line: str) -> str:
        """Return a line with the names that users know in place of the server's paths."""
        line = line.replace(f"{self.folder(training.id)}/", "").replace(f"{ROOT}/", "")
        if self._recordings is not None:
            line = line.replace(f"{self._recordings}/", "")
        line = line.replace(f"{self._checkpoints}/", "")
        for number, name in enumerate(training.files, 1):
            line = re.sub(rf"(recordings/)?{_stem(number)}\.\w+", lambda _, name=name: name, line)
        return one_line(line)

    def _reports(self, training: Training) -> list[dict[str, Any]]:
        """Return title, path and time of change of the reports that there are."""
        found = []
        for title, pattern in REPORTS.items():
            path = pattern.format(name=training.name)
            if (file := self.report_file(training.id, path)) is not None:
                with contextlib.suppress(OSError):
                    changed = round(file.stat().st_mtime, 2)
                    found.append({"title": title, "path": path, "changed": changed})
        return found


def training_problem() -> str | None:
    """Return why nothing can be trained here, in one line; None where it can."""
    if not (ROOT / "scripts" / "preprocess.py").is_file():
        return "the commands that train are missing: start the studio from a checkout"
    try:
        require_mediapipe()
    except UserError as error:
        return one_line(str(error))
    return None


def training_steps(training: Training, place: Place) -> list[Step]:
    """Return the steps of a training: what scripts/train_speaker.sh does."""
    cores = os.cpu_count() or 1
    name, dataset, runs = training.name, place.dataset, ("--checkpoints", place.runs)
    interval = max(1, min(SAVE_EVERY, training.steps // 4))

    def clips() -> list[list[str]]:
        more = [f"--language={training.language}"] if training.language else []
        more += ["--recognise"] if training.recognise else []
        given = ("--input", place.recordings, "--output", dataset, "--jobs", cores, *more)
        return [_command("scripts/preprocess.py", *given)]

    def gestures() -> list[list[str]]:
        if (place.gestures / "dictionary.json").is_file():
            return []
        given = ("--dataset", dataset, "--output", place.gestures)
        return [_command("scripts/build_dictionary.py", *given)]

    def with_gestures() -> tuple[object, ...]:
        there = (place.gestures / "dictionary.json").is_file()
        return ("--gestures", place.gestures) if there else ()

    def train(kind: str, *more: object) -> list[list[str]]:
        given = ("--dataset", dataset, "--name", name, *runs, "--steps", training.steps)
        given += ("--save_every", interval, "--validate_every", interval)
        given += ("--held_out_seconds", held_out_seconds(dataset, HELD_OUT[kind]))
        return [_command(f"train_{kind}.py", *given, *more)]

    def motion() -> list[list[str]]:
        more = ("--pretrained", place.checkpoints / (training.pretrained or ""))
        return train(MOTION, *with_gestures(), *(more if training.pretrained else ()))

    def images() -> list[list[str]]:
        return train(IMAGES, "--width", training.size, "--height", training.size)

    def export() -> list[list[str]]:
        shutil.rmtree(place.speaker, ignore_errors=True)
        given = ("--name", name, *runs, "--output", place.speaker)
        return [
            _command("scripts/export_checkpoint.py", *given, "--kind", kind)
            for kind in (MOTION, IMAGES)
        ]

    def evaluate() -> list[list[str]]:
        output = place.folder / "evaluation"
        return [
            _command(
                *("scripts/evaluate.py", kind, "--name", name, *runs, "--output", output / kind),
                *(with_gestures() if kind == "motion" else ()),
            )
            for kind in EVALUATIONS
        ]

    def has_clips(status: int) -> bool:
        return status < KILLED and any(dataset.glob("*/clip.json"))

    return [
        Step(CLIPS, "Preprocessing", clips, passable=has_clips),
        Step("gestures", "Gestures", gestures, passable=lambda _: True),
        Step("motion", "Speech to pose", motion),
        Step("images", "Pose to video", images, threads=cores),
        Step("speaker", "Export", export, finish=functools.partial(_install, training, place)),
        Step("evaluation", "Evaluation", evaluate, passable=lambda _: True),
    ]


def held_out_seconds(dataset: Path, usual: float) -> float:
    """Return the seconds at each clip's end to hold out, fewer where all clips are short.

    Raises:
        DataError: there are no clips.
    """
    longest = max(clip.info().frames for clip in Clip.find_all(dataset)) / FPS
    return round(min(usual, max(MIN_HELD_OUT, longest / HELD_OUT_SHARE)), 2)


def stored_names(names: Sequence[str]) -> list[str]:
    """Return the names under which uploads are kept: of recordings a number, of words the same.

    Raises:
        DataError: no recording, too many files, one of another kind, two of a name, or words
            without their recording.
    """
    if len(names) > MAX_FILES:
        raise DataError(f"{len(names)} files; at most {MAX_FILES} are taken")
    plain = [re.split(r"[/\\]", name)[-1] for name in names]
    stems: dict[str, str] = {}
    found = {}
    for name in plain:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in RECORDING_SUFFIXES:
            if stem.casefold() in stems:
                raise DataError(f"{_shown(name)}: two recordings have this name")
            stems[stem.casefold()] = _stem(len(stems) + 1)
            found[name] = stems[stem.casefold()] + suffix.lower()
    for name in plain:
        if name not in found:
            found[name] = _stored_words(name, stems)
    if names and not stems:
        raise DataError(
            f"no recordings; files that end in {', '.join(RECORDING_SUFFIXES)} are needed"
        )
    stored = [found[name] for name in plain]
    if len(set(stored)) < len(stored):
        double = next(name for name in plain if stored.count(found[name]) > 1)
        raise DataError(f"{_shown(double)}: two files have this name")
    return stored


def _stored_words(name: str, stems: Mapping[str, str]) -> str:
    for stem, stored in stems.items():
        rest = name[len(stem) :]
        if name.casefold().startswith(f"{stem}.") and WORDS.fullmatch(rest):
            return stored + rest.lower()
    if WORDS.fullmatch(os.path.splitext(name)[1]):
        raise DataError(f"{_shown(name)}: words of no recording; they need the same name")
    kinds = ", ".join((*RECORDING_SUFFIXES, *dict.fromkeys(WORD_SUFFIXES)))
    raise DataError(f"{_shown(name)}: neither a recording nor words ({kinds})")


def _install(training: Training, place: Place) -> None:
    """Put the exported speaker among the others, complete or not at all."""
    made, target = place.speaker, place.checkpoints / training.name
    for path in place.gestures.glob("*"):
        if path.suffix in (".json", ".npz"):
            (made / "gestures").mkdir(exist_ok=True)
            shutil.copyfile(path, made / "gestures" / path.name)
    seconds = sum(clip.info().frames for clip in Clip.find_all(place.dataset)) / FPS
    learned = f"{training.steps} steps at {training.size} × {training.size} pixels"
    text = f"# {training.name}\n\nTrained in the studio on {seconds / 60:.1f} minutes, {learned}.\n"
    write_text(made / "README.md", text)
    weights = Path(IMAGES) / WEIGHTS_FILE
    if os.path.lexists(target):
        with contextlib.suppress(OSError):  # the server may have ended just after it was made
            if (made / weights).read_bytes() == (target / weights).read_bytes():
                return
        raise DataError(f"{target}: there already; rename or remove that speaker, then go on")
    partial = target.with_name(f"{target.name}~")  # no speaker can have this name
    with write_errors(target):
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(made, partial)
        os.rename(partial, target)


def _command(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / script), *map(str, arguments)]


def _stem(number: int) -> str:
    return f"recording_{number:03d}"


def _is_recording(path: Path) -> bool:
    return path.suffix.lower() in RECORDING_SUFFIXES and not path.name.startswith(".")


def _part_state(training: Training, step: Step) -> str:
    if step.key in training.finished:
        return DONE
    return training.state if step.key == training.step else "waiting"


def _shown(name: str) -> str:
    return one_line(name)[-LONGEST_NAME:] or "a file without a name"


def _seconds(text: str) -> int | None:
    """Return the seconds of hours, minutes and seconds; None where they are not known."""
    if text == "?":
        return None
    total = 0
    for part in text.split(":"):
        total = 60 * total + int(part or 0)
    return total


def _whole_number(name: str, text: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise DataError(f"{name} {text!r:.40}: a whole number from 1 to {most} is needed")
    return int(text)
