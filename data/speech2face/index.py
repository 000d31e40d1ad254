"""Index of a data set's face clips: a few numbers and names of each, so that none stays in memory.

    index = FaceIndex.update(dataset)                   # reads new and changed clips only
    recordings = index.recordings(numbers, size=128)    # read from disk as they are used

The index is kept in DATASET/.speech2face/. What else was computed of all clips lies next to it.
"""

import contextlib
import hashlib
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from operator import eq
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from speech2video.data.pose2video.clip import Framing
from speech2video.data.pose2video.frames import FrameCache
from speech2video.data.speech2face.clip import (
    EMOTIONS,
    FaceClip,
    FaceInfo,
    FaceRecording,
    check_samples,
    check_video_frames,
    check_video_size,
    face_runs,
    load_clip_audio,
    load_clip_points,
    load_face_recording,
)
from speech2video.util import distributed
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.errors import DataError, note
from speech2video.util.files import read_npz, write_npz
from speech2video.util.iteration import open_bar
from speech2video.util.process_pool import Progress, iterate_tasks
from speech2video.util.timing import SAMPLE_RATE
from speech2video.util.video.reader import open_media, video_stream, wav_format

FOLDER, FILE = ".speech2face", "index.npz"
FORMAT = 1  # of the file; others are made anew
BATCH = 64  # clips that a process reads at once
BAR = 2000  # new clips from which a progress bar is shown
KEPT = 4  # files of each kind of results that are kept; each belongs to one choice of clips
PARTS = ("face.json", "video.mp4", "audio.wav", "landmarks.npz")  # their times show a change
GIGABYTE = 1024**3


class Texts(Sequence[str]):
    """Texts as bytes in a row: 8 bytes more than themselves, where a list takes about 60."""

    def __init__(self, content: np.ndarray, ends_C: np.ndarray) -> None:
        self.content, self.ends_C = content, ends_C

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """Return the texts of an iterable."""
        content, ends = bytearray(), array("q")
        for text in texts:
            content += text.encode("utf-8", "surrogateescape")
            ends.append(len(content))
        return cls(np.frombuffer(bytes(content), np.uint8), np.array(ends, np.int64))

    def take(self, numbers: np.ndarray) -> "Texts":
        """Return some of the texts."""
        return Texts.of(self[int(number)] for number in numbers)

    def __len__(self) -> int:
        return len(self.ends_C)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        begin = int(self.ends_C[number - 1]) if number % len(self) else 0
        return _text(self.content[begin : int(self.ends_C[number])].tobytes())

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays to keep in a file."""
        return {name: self.content, f"{name}_ends": self.ends_C}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], name: str) -> "Texts":
        """Return texts of a file; raises `ValueError` where they are none."""
        content, ends_C = arrays[name], arrays[f"{name}_ends"].astype(np.int64)
        last = int(ends_C[-1]) if len(ends_C) else 0
        if (
            content.dtype != np.uint8
            or last != len(content)
            or (np.diff(ends_C, prepend=0) < 0).any()
        ):
            raise ValueError(name)
        return cls(content, ends_C)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


class ClipSummary(NamedTuple):
    """What the index holds of a clip: see `FaceIndex`; `runs` as of `face_runs`."""

    speaker: str
    emotion: int
    sentence: str
    frames: int
    size: int
    runs: Sequence[slice]


@dataclass(frozen=True, eq=False)
class FaceIndex:
    """Table of a data set's face clips, in name order.

    Attributes:
        dataset: its folder.
        names, sentences: of the C clips.
        speakers: the people's names, sorted.
        speaker_C: index in `speakers`, -1 where unknown.
        emotion_C: index in `EMOTIONS`, -1 where unknown.
        frames_C, size_C: number and side of the frames.
        stamp_C: a hash of the files' times and sizes, by which a change is noticed.
        run_R3: clip, first and last + 1 of each run of frames with a face.
    """

    dataset: Path
    names: Texts
    sentences: Texts
    speakers: tuple[str, ...]
    speaker_C: np.ndarray
    emotion_C: np.ndarray
    frames_C: np.ndarray
    size_C: np.ndarray
    stamp_C: np.ndarray
    run_R3: np.ndarray

    def __len__(self) -> int:
        """The number of clips."""
        return len(self.names)

    @classmethod
    def update(cls, dataset: Path, *, workers: int = 0) -> "FaceIndex":
        """Return the index of a data set; new and changed clips are read and it is kept.

        Args:
            workers: processes that read; 0 reads in this one.

        Raises:
            DataError: no clips, or one whose parts are missing, broken or of different lengths.
        """
        dataset = Path(dataset)
        old, names = cls.load(dataset), _clip_names(dataset)
        stamp_C = np.fromiter((_stamp(dataset / name) for name in names), np.uint64, len(names))
        if old and np.array_equal(old.stamp_C, stamp_C) and all(map(eq, old.names, names)):
            return old
        index = cls._read(dataset, names, stamp_C, old, workers)
        if distributed.is_main():
            index.keep()
        return index

    def keep(self) -> None:
        """Write the index into its data set; where that is not possible, a note says so."""
        keep_arrays(self.dataset / FOLDER / FILE, self.arrays())

    @property
    def speaker_names(self) -> Sequence[str]:
        """The speaker's name of each clip, "" where unknown."""
        return _Lazy(len(self), lambda n: ("", *self.speakers)[self.speaker_C[n] + 1])

    def recordings(
        self, numbers: Sequence[int], *, size: int, cache_bytes: int = 4 * GIGABYTE
    ) -> "StoredRecordings":
        """Return clips with frames of `size` pixels, of which some stay in memory once read."""
        return StoredRecordings(self, np.asarray(numbers, np.int64), size, cache_bytes)

    def info(self, number: int) -> FaceInfo:
        """Return a clip's description, without its source and notes."""
        emotion, speaker = self.emotion_C[number], self.speaker_C[number]
        return FaceInfo(
            "",
            int(self.frames_C[number]),
            int(self.size_C[number]),
            self.speakers[speaker] if speaker >= 0 else "",
            EMOTIONS[emotion] if emotion >= 0 else "",
            self.sentences[number],
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays to keep in a file."""
        numbers = "speaker_C", "emotion_C", "frames_C", "size_C", "stamp_C", "run_R3"
        found = {name: getattr(self, name) for name in numbers}
        texts = {
            "names": self.names,
            "sentences": self.sentences,
            "speakers": Texts.of(self.speakers),
        }
        for name, value in texts.items():
            found |= value.arrays(name)
        return found | {"format": np.array(FORMAT)}

    @classmethod
    def load(cls, dataset: Path) -> "FaceIndex | None":
        """Return the index as it was kept; None where there is none, or it is broken."""
        path = dataset / FOLDER / FILE
        if not path.is_file():
            return None
        try:
            arrays = read_npz(path, what="an index of face clips")
            if int(arrays["format"]) != FORMAT:
                return None
            texts = {name: Texts.from_arrays(arrays, name) for name in ("names", "sentences")}
            speakers = tuple(Texts.from_arrays(arrays, "speakers"))
            count, run_R3 = len(texts["names"]), arrays["run_R3"]
            columns = {
                name: arrays[name].astype(kind)
                for name, kind in (
                    ("speaker_C", np.int32),
                    ("emotion_C", np.int8),
                    ("frames_C", np.int32),
                    ("size_C", np.int32),
                    ("stamp_C", np.uint64),
                )
            }
            index = cls(
                dataset,
                texts["names"],
                texts["sentences"],
                speakers,
                *columns.values(),
                run_R3=run_R3.astype(np.int32),
            )
            if any(len(column) != count for column in (*columns.values(), texts["sentences"])):
                raise ValueError("columns")
            index._check()
            return index
        except (DataError, KeyError, ValueError, TypeError, IndexError) as error:
            note(f"{path}: broken ({error}); the clips are read again")
            return None

    def _check(self) -> None:
        """Raise `ValueError` where numbers lie outside their ranges."""
        clip_R, begin_R, end_R = self.run_R3.T
        frames_R = self.frames_C[clip_R] if len(clip_R) and clip_R.min() >= 0 else clip_R
        good = (
            self.frames_C.min(initial=1) > 0
            and self.size_C.min(initial=1) > 0
            and self.speaker_C.min(initial=0) >= -1
            and self.speaker_C.max(initial=-1) < len(self.speakers)
            and self.emotion_C.min(initial=0) >= -1
            and self.emotion_C.max(initial=-1) < len(EMOTIONS)
            and (np.diff(clip_R) >= 0).all()
            and ((begin_R >= 0) & (begin_R < end_R) & (end_R <= frames_R)).all()
        )
        if not good:
            raise ValueError("numbers")

    @classmethod
    def _read(
        cls,
        dataset: Path,
        names: Sequence[str],
        stamp_C: np.ndarray,
        old: "FaceIndex | None",
        workers: int,
    ) -> "FaceIndex":
        """Return a new index; clips that the old one knows and that did not change are not read."""
        known_C = _same_clips(names, stamp_C, old)
        new = [number for number, known in enumerate(known_C) if known < 0]
        with open_bar(
            total=len(new),
            name=f"index of {dataset.name}",
            unit="clip",
            disable=len(new) < BAR or not distributed.is_main(),
        ) as bar:
            read = _summaries((dataset / names[number] for number in new), workers, bar.update)
            runs = (
                old.run_R3[:, 0].searchsorted(np.arange(len(old) + 1)) if old else np.zeros(1, int)
            )

            def summary(number: int) -> ClipSummary:
                if not old or (known := int(known_C[number])) < 0:
                    return next(read)
                info, own = old.info(known), old.run_R3[runs[known] : runs[known + 1], 1:]
                slices = [slice(int(begin), int(end)) for begin, end in own]
                emotion = int(old.emotion_C[known])
                kept = info.speaker, emotion, info.sentence, info.frames, info.size
                return ClipSummary(*kept, slices)

            return cls.of(dataset, names, stamp_C, map(summary, range(len(names))))

    @classmethod
    def of(
        cls,
        dataset: Path,
        names: Sequence[str],
        stamp_C: np.ndarray,
        summaries: Iterable[ClipSummary],
    ) -> "FaceIndex":
        """Return the index of summaries, of which one at a time is in memory."""
        codes: dict[str, int] = {}
        speakers, emotions, frames, sizes, runs = (array(kind) for kind in "ibiii")

        def sentences() -> Iterator[str]:
            for number, one in enumerate(summaries):
                speakers.append(codes.setdefault(one.speaker, len(codes)) if one.speaker else -1)
                emotions.append(one.emotion)
                frames.append(one.frames)
                sizes.append(one.size)
                for run in one.runs:
                    runs.extend((number, run.start, run.stop))
                yield one.sentence

        texts, in_order = Texts.of(sentences()), sorted(codes)
        place = {name: number for number, name in enumerate(in_order)}
        place_P = np.array([*(place[name] for name in codes), -1], np.int32)
        return cls(
            dataset,
            Texts.of(names),
            texts,
            tuple(in_order),
            place_P[np.array(speakers, np.int32)],
            np.array(emotions, np.int8),
            np.array(frames, np.int32),
            np.array(sizes, np.int32),
            stamp_C,
            np.array(runs, np.int32).reshape(-1, 3),
        )


class StoredFrames:
    """A clip's frames (T, 3, H, W) uint8 RGB on disk, to be indexed by frame as an array is."""

    def __init__(self, cache: FrameCache, number: int, shape: tuple[int, ...]) -> None:
        self._cache, self._number, self.shape = cache, number, shape

    def __len__(self) -> int:
        """The number of frames."""
        return self.shape[0]

    def __getitem__(self, frames: int | slice | np.ndarray) -> np.ndarray:
        """Return a frame (3, H, W), or several; raises `DataError` where one does not decode."""
        numbers = np.arange(len(self))[frames]
        found_N3HW = self._cache.frames(self._number, np.atleast_1d(numbers)).transpose(0, 3, 1, 2)
        return found_N3HW if np.ndim(numbers) else found_N3HW[0]


@dataclass(frozen=True, eq=False)
class StoredRecording:
    """A face clip on disk, with what `FaceRecording` has; each part is read when asked for.

    Attributes:
        clip: its folder.
        info: of the index.
        size: height and width of the frames, pixels.
        number: among `StoredRecordings`.
        cache: of all clips' frames; None in other processes.
    """

    clip: FaceClip
    info: FaceInfo
    size: int
    number: int
    cache: FrameCache | None = None
    begin = 0  # of a `CachedVideo`

    def __len__(self) -> int:
        """The number of frames."""
        return self.info.frames

    @property
    def name(self) -> str:
        """The name of the clip."""
        return self.clip.folder.name

    @property
    def speaker(self) -> str:
        """The name of the person, "" where unknown."""
        return self.info.speaker

    @property
    def emotion(self) -> str:
        """One of `EMOTIONS`, "" where unknown."""
        return self.info.emotion

    @property
    def sentence(self) -> str:
        """The name of the sentence."""
        return self.info.sentence

    @property
    def video(self) -> Path:
        """The file of the frames."""
        return self.clip.video

    @property
    def framing(self) -> Framing:
        """How the file's frames are resized."""
        return Framing(self.info.size, self.info.size, self.size, self.size)

    @property
    def frames_T3HW(self) -> StoredFrames:
        """The frames."""
        assert self.cache is not None
        return StoredFrames(self.cache, self.number, (len(self), 3, self.size, self.size))

    @property
    def audio_S(self) -> np.ndarray:
        """The audio; raises `DataError`."""
        return load_clip_audio(self.clip, len(self))

    @property
    def points_TK2(self) -> np.ndarray:
        """The landmarks; raises `DataError`."""
        return load_clip_points(self.clip, self.info, self.size)

    def load(self, frames: int | None = None) -> FaceRecording:
        """Return the clip, or its first frames, in memory; raises `DataError`."""
        return load_face_recording(self.clip, size=self.size, frames=frames)

    def elsewhere(self) -> "StoredRecording":
        """Return the clip for another process."""
        return replace(self, cache=None)


class StoredRecordings(Sequence[StoredRecording]):
    """Clips of an index; see `FaceIndex.recordings`.

    Attributes:
        table, number_C, size: the index, numbers in it, and the frames' side.
        speakers, speaker_C, emotion_C, frames_C, run_R3: as of `FaceIndex`, of these clips.
        frame_cache: of their frames.
    """

    def __init__(self, index: FaceIndex, number_C: np.ndarray, size: int, cache_bytes: int) -> None:
        self.table, self.number_C, self.size = index, number_C, size
        columns = index.speaker_C, index.emotion_C, index.frames_C
        speaker_C, self.emotion_C, self.frames_C = (column[number_C] for column in columns)
        present = np.unique(speaker_C[speaker_C >= 0])
        self.speakers = tuple(index.speakers[number] for number in present)
        self.speaker_C = np.where(speaker_C >= 0, present.searchsorted(speaker_C), -1)
        place_C = np.full(len(index), -1)
        place_C[number_C] = np.arange(len(number_C))
        clip_R = place_C[index.run_R3[:, 0]]
        order = np.argsort(clip_R, kind="stable")[(clip_R < 0).sum() :]
        self.run_R3 = np.column_stack((clip_R, index.run_R3[:, 1:]))[order]
        self.frame_cache = FrameCache(self, limit_bytes=cache_bytes)

    def __len__(self) -> int:
        """The number of clips."""
        return len(self.number_C)

    @overload
    def __getitem__(self, number: int) -> StoredRecording: ...
    @overload
    def __getitem__(self, number: slice) -> list[StoredRecording]: ...
    def __getitem__(self, number: int | slice) -> StoredRecording | list[StoredRecording]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        row = int(self.number_C[number])
        clip = FaceClip(self.table.dataset / self.table.names[row])
        return StoredRecording(clip, self.table.info(row), self.size, number, self.frame_cache)

    def cached(
        self,
        name: str,
        settings: Sequence[object],
        shapes: Mapping[str, tuple[int, ...]],
        make: Callable[[], Mapping[str, np.ndarray]],
    ) -> dict[str, np.ndarray]:
        """Return what was computed of these clips, or compute and keep it next to the index.

        Args:
            name: of the results, and of their file.
            settings: what they depend on, apart from the clips.
            shapes: of each array, float32; in a file, others are computed again.
            make: computes them.
        """
        digest = hashlib.sha256(repr((name, self.size, *settings, self.speakers)).encode())
        for column in (self.table.stamp_C[self.number_C], self.speaker_C.astype(np.int32)):
            digest.update(column.tobytes())
        path = self.table.dataset / FOLDER / f"{name}_{digest.hexdigest()[:16]}.npz"
        with contextlib.suppress(DataError):  # none yet, or broken
            found = read_npz(path, what="results of face clips")
            if {key: value.shape for key, value in found.items()} == dict(shapes):
                return {key: value.astype(np.float32) for key, value in found.items()}
        made = dict(make())
        if distributed.is_main():
            keep_arrays(path, made)
            _forget_old(path.parent, name)
        return made


class HeldOutClips:
    """Clips that are read anew each time they are iterated over, their first frames only."""

    def __init__(self, clips: Sequence[StoredRecording], *, frames: int) -> None:
        self.clips, self.frames = clips, frames

    def __len__(self) -> int:
        """The number of clips."""
        return len(self.clips)

    def __iter__(self) -> Iterator[FaceRecording]:
        """Yield the recordings; raises `DataError`."""
        for clip in self.clips:
            yield clip.load(self.frames)


def keep_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an npz file; where that is not possible, a note says so."""
    try:
        write_npz(path, arrays)
    except DataError as error:
        note(f"{error}; what it would hold is computed at each start")


def _forget_old(folder: Path, name: str) -> None:
    """Delete all but the newest results of a name."""
    with contextlib.suppress(OSError):
        files = [(os.stat(path).st_mtime_ns, path) for path in folder.glob(f"{name}_*.npz")]
        for _, path in sorted(files)[:-KEPT]:
            path.unlink()


class _Lazy(Sequence[str]):
    """Texts that a function makes."""

    def __init__(self, count: int, get: Callable[[int], str]) -> None:
        self._count, self._get = count, get

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        if not 0 <= number < self._count:
            raise IndexError(number)
        return self._get(number)


def _clip_names(dataset: Path) -> list[str]:
    """Return the names of a data set's clips in order; raises `DataError` without any."""
    names = []
    with contextlib.suppress(OSError), os.scandir(dataset) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and os.path.isfile(
                os.path.join(entry.path, FaceClip.INFO_FILE)
            ):
                names.append(entry.name)
    if not names:
        raise DataError(f"{dataset}: no {FaceClip.KIND}s in it; {FaceClip.MADE_BY} makes them")
    return sorted(names)


def _stamp(folder: Path) -> int:
    """Return a hash of the times and sizes of a clip's files."""
    digest = hashlib.blake2b(digest_size=8)
    for part in PARTS:
        with contextlib.suppress(OSError):
            status = os.stat(os.path.join(folder, part))
            digest.update(b"%d %d " % (status.st_mtime_ns, status.st_size))
        digest.update(b";")
    return int.from_bytes(digest.digest(), "little")


def _same_clips(names: Sequence[str], stamp_C: np.ndarray, old: FaceIndex | None) -> np.ndarray:
    """Return each clip's number in the old index, -1 where it is new or changed; both in order."""
    known_C = np.full(len(names), -1)
    if old:
        rest = enumerate(old.names)
        number, name = next(rest, (-1, None))
        for place, now in enumerate(names):
            while name is not None and name < now:
                number, name = next(rest, (-1, None))
            if name == now and old.stamp_C[number] == stamp_C[place]:
                known_C[place] = number
    return known_C


def _summaries(
    folders: Iterator[Path], workers: int, on_done: Callable[[], object]
) -> Iterator[ClipSummary]:
    """Yield the summaries of clips, which other processes read where there are many."""
    batches = iter(lambda: list(islice(folders, BATCH)), [])
    first = list(islice(batches, 2 * workers))
    jobs = workers if len(first) == 2 * workers else 0
    for batch in iterate_tasks(_start_reader, chain(first, batches), jobs=jobs):
        for summary in batch:
            on_done()
            yield summary


def _start_reader() -> Callable[[list[Path], Progress], list[ClipSummary]]:
    return _read_batch


def _read_batch(folders: list[Path], progress: Progress) -> list[ClipSummary]:
    return [summarise_clip(FaceClip(folder)) for folder in folders]


def summarise_clip(clip: FaceClip) -> ClipSummary:
    """Return what the index holds of a clip, without decoding its video.

    Raises:
        DataError: parts of it are missing, broken or of different lengths.
    """
    info = clip.info()
    if not info.frames or not info.size:
        raise DataError(f"{clip.json}: {info.frames} frames of {info.size} pixels")
    with open_media(clip.video) as container:
        stream = video_stream(container)
        if stream is None:
            raise DataError(f"{clip.video}: no video in it")
        check_video_size(clip, info, stream.width, stream.height)
        check_video_frames(clip, info, stream.frames or info.frames)  # some headers have no number
    header = wav_format(clip.audio)
    known = header is not None and header.seconds == header.seconds  # not NaN
    samples = (
        round(header.seconds * SAMPLE_RATE) if header and known else len(load_audio(clip.audio))
    )
    check_samples(clip, samples, info.frames)
    points_TK2 = load_clip_points(clip, info, info.size)
    emotion = EMOTIONS.index(info.emotion) if info.emotion else -1
    name, runs = info.sentence or clip.folder.name, face_runs(points_TK2)
    return ClipSummary(info.speaker, emotion, name, info.frames, info.size, runs)
