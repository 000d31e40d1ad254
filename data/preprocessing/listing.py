"""Recordings in folders and lists.

Those of faces, of which public data sets have millions, are never all in memory: `FaceFiles` goes
through its folders, or through a list, as often as it is iterated over.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

from speech2video.util.errors import DataError, note
from speech2video.util.files import check_file
from speech2video.util.video.reader import (
    AUDIO_SUFFIXES,
    IMAGES,
    MAX_SECONDS,
    RECORDING_SUFFIXES,
    folder_audio,
    is_frame_folder,
)

UNNAMED = ("thumbs.db", "desktop.ini")  # what systems leave in folders
NAMED = 5  # files that are not read, which a note names
MAX_LINE = 100_000  # characters of a list
_TIME = r"((?:\d{1,3}:){0,2}\d{1,6}(?:\.\d{1,6})?)"
_SPAN = re.compile(rf"{_TIME}-{_TIME}")


class Span(NamedTuple):
    """A part of a recording, seconds."""

    begin: float
    end: float

    def __str__(self) -> str:
        return f"{self.begin:g}-{self.end:g}"


class FaceFile(NamedTuple):
    """A recording of a face, or a part of it, and the name of its clip."""

    path: Path
    name: str
    span: Span | None = None


@dataclass(frozen=True)
class FaceFiles:
    """Recordings of faces: a file, those below a folder, or those that a list names.

    Attributes:
        folder: that contains the people's folders, or the one recording.
        recording: the only one.
        listed: a text file with a recording a line, relative to the folder, after which times may
            follow, as in HDTF's lists: NAME.mp4 00:30-01:15 02:11-02:33.
        others: files and folders that are no recordings.
    """

    folder: Path
    recording: Path | None = None
    listed: Path | None = None
    others: tuple[Path, ...] = ()

    @classmethod
    def of(
        cls, path: Path, *, listed: Path | None = None, others: Sequence[Path | None] = ()
    ) -> "FaceFiles":
        """Return the recordings at a path; raises `DataError` where there is nothing."""
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; a recording is needed")
        known = tuple(one for one in others if one is not None)
        if listed is not None:
            if not path.is_dir():
                raise DataError(f"{path}: no folder; that of the recordings in {listed} is needed")
            check_file(listed, what="a list of recordings")
            return cls(path, None, listed, known)
        files = cls(path, None, None, known)
        if path.is_dir() and (next(iter(files), None) or not is_frame_folder(path)):
            return files
        return cls(path.parent, path, None, known)

    def __iter__(self) -> Iterator[FaceFile]:
        """Yield the recordings in the order of their paths, or of the list; raises `DataError`."""
        if self.listed is not None:
            yield from _read_list(self.listed, self.folder)
            return
        yield from self._found(Unread())

    def _found(self, unread: "Unread") -> Iterator[FaceFile]:
        one = self.recording
        skipped = frozenset(os.path.realpath(other) for other in self.others)
        for path in _search(self.folder, skipped, unread) if one is None else (one,):
            inside = path.relative_to(self.folder)
            yield FaceFile(path, "_".join(inside.with_suffix("").parts))

    def check(self) -> int:
        """Return the number of recordings, and name in a note what is not read.

        Raises:
            DataError: none, two whose clips would have one name, or a broken list.
        """
        unread = Unread()
        files = iter(self) if self.listed else self._found(unread)
        names: set[int] = set()  # hashes take a tenth of the names
        total = 0
        for file in files:
            total += 1
            names.add(hash(file.name))
            if len(names) < total:
                first = next(other for other in self if other.name == file.name)
                both = f"{first.path} and {file.path}"
                raise DataError(f"{both}: both would become {file.name}")
        if not total:
            endings = ", ".join(RECORDING_SUFFIXES)
            raise DataError(
                f"{self.listed}: no recordings in it"
                if self.listed
                else f"{self.folder}: no recordings in it ({endings}, or folders of frames)"
            )
        unread.note(self.folder)
        return total


class Unread:
    """Files that are not read: the first few names, and their number."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.count = 0

    def add(self, name: str) -> None:
        """Count a file."""
        self.count += 1
        self.names += [name] if self.count <= NAMED else []

    def note(self, folder: Path) -> None:
        """Name them in a note."""
        if self.count:
            more = f" and {self.count - NAMED} more" if self.count > NAMED else ""
            note(f"{folder}: not read: {', '.join(self.names)}{more}")


def is_hidden(name: str) -> bool:
    """Return whether a file is none of the user's."""
    return name.startswith(".") or name.lower() in UNNAMED


def is_recorded_frames(path: Path) -> bool:
    """Return whether a path is a folder of numbered images with audio, and without videos."""
    if not is_frame_folder(path) or folder_audio(path) is None:
        return False
    files = [one for one in path.iterdir() if not is_hidden(one.name)]
    images = [one for one in files if one.suffix.lower() in IMAGES]
    videos = any(one.suffix.lower() in RECORDING_SUFFIXES for one in files)
    return not videos and all(any(map(str.isdigit, one.stem)) for one in images)


def _search(
    folder: Path, skipped: frozenset[str], unread: Unread, inside: str = ""
) -> Iterator[Path]:
    """Yield the recordings below a folder in the order of their paths, with one folder in memory.

    Links to folders are not followed.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted((one.name, one.is_dir(follow_symlinks=False)) for one in entries)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
    found = [(name, is_folder) for name, is_folder in found if not is_hidden(name)]
    frames = {name for name, is_folder in found if is_folder and is_recorded_frames(folder / name)}
    videos = {name for name, is_folder in found if not is_folder and is_recording(name)}
    real = os.path.realpath(folder) if skipped else ""
    others = {os.path.basename(other) for other in skipped if os.path.dirname(other) == real}
    stems = {*frames, *(os.path.splitext(name)[0] for name in videos)}
    for name, is_folder in found:
        path, stem, suffix = folder / name, *os.path.splitext(name)
        if name in frames or name in videos:
            yield path
        elif name in others:
            continue
        elif is_folder:
            yield from _search(path, skipped, unread, f"{inside}{name}/")
        elif not (suffix in AUDIO_SUFFIXES and stem in stems):
            unread.add(inside + name)


def is_recording(name: str) -> bool:
    """Return whether a file's name has the ending of a video."""
    return os.path.splitext(name)[1].lower() in RECORDING_SUFFIXES


def _read_list(path: Path, folder: Path) -> Iterator[FaceFile]:
    """Yield what a list names; raises `DataError` with the line that is wrong."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        for number in count(1):
            line = file.readline(MAX_LINE + 1)
            if not line:
                return
            where = f"{path}, line {number}"
            if len(line) > MAX_LINE:
                raise DataError(
                    f"{where}: longer than {MAX_LINE} characters; no list of recordings"
                )
            words = line.split()
            spans = []
            while len(words) > 1 and (match := _SPAN.fullmatch(words[-1])):
                span = Span(_seconds(match[1]), _seconds(match[2]))
                if not span.begin < span.end <= MAX_SECONDS:
                    raise DataError(f"{where}: {words[-1]} is no time in a recording")
                spans.append(span)
                line = line.rstrip()[: -len(words.pop())]
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            inside = Path(text)
            if inside.is_absolute() or ".." in inside.parts or "\0" in text:
                raise DataError(f"{where}: {text}: a path within {folder} is needed")
            name = "_".join(inside.with_suffix("").parts)
            for span in reversed(spans):
                yield FaceFile(folder / inside, f"{name}_{span}", span)
            if not spans:
                yield FaceFile(folder / inside, name)


def _seconds(time: str) -> float:
    """Return the seconds of 75, 01:15 or 1:02:03."""
    return sum(float(part) * 60**n for n, part in enumerate(reversed(time.split(":"))))
