"""Clips on disk: the folder of one recording, the names of its files, and what describes it."""

import contextlib
import csv
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

import numpy as np

from speech2video.util.errors import DataError
from speech2video.util.files import read_json, read_table, typed_fields, write_json, write_text

MAX_INFO_BYTES = 1_000_000  # of a clip's description
MAX_INFO_NUMBER = 10**8  # frames, pixels, people
MAX_NAMES = 8  # clips, in a message
BAD_FRAMES_HEADER = "first,last,reason"  # of bad_frames.csv

Info = TypeVar("Info")
AnyClip = TypeVar("AnyClip", bound="ClipFolder[Any]")


@dataclass(frozen=True)
class ClipFolder(Generic[Info]):
    """Base of clips: a folder that appears complete or not at all.

    Subclasses set `INFO_TYPE`, the dataclass that describes a clip, `INFO_FILE`, the json file it
    is kept in, and for messages `KIND` and `MADE_BY`.
    """

    INFO_TYPE: ClassVar[type[Any]]
    INFO_FILE: ClassVar[str]
    KIND: ClassVar[str]
    MADE_BY: ClassVar[str]

    folder: Path

    @property
    def json(self) -> Path:
        """The description of the clip, written last."""
        return self.folder / self.INFO_FILE

    @property
    def video(self) -> Path:
        """Frames at 25 fps, H.264."""
        return self.folder / "video.mp4"

    @property
    def audio(self) -> Path:
        """Audio: 16 kHz mono PCM, 640 samples a frame."""
        return self.folder / "audio.wav"

    @property
    def is_complete(self) -> bool:
        """Whether the clip exists."""
        return self.json.is_file()

    def info(self) -> Info:
        """Return the clip's description; raises `DataError` if it is missing or broken."""
        what = f"the folder of a {self.KIND}"
        with contextlib.suppress(OSError):  # which read_json reports
            if (size := self.json.stat().st_size) > MAX_INFO_BYTES:
                raise DataError(
                    f"{self.json}: {size} bytes; the description of a {self.KIND} is short"
                )
        fields = typed_fields(read_json(self.json, what=what), self.INFO_TYPE, where=str(self.json))
        for name, value in fields.items():
            if isinstance(value, int) and not 0 <= value <= MAX_INFO_NUMBER:
                needed = f"0 to {MAX_INFO_NUMBER} is needed"
                raise DataError(f"{self.json}: {name} is {str(value)[:20]}; {needed}")
        return self.INFO_TYPE(**fields)

    def write_info(self, info: Info) -> None:
        """Write the clip's description."""
        write_json(self.json, asdict(cast(Any, info)))

    @classmethod
    @contextlib.contextmanager
    def create(cls: type[AnyClip], folder: Path, *, over: bool = False) -> Iterator[AnyClip]:
        """Give a temporary clip to fill, renamed to `folder` on success and deleted on failure.

        Args:
            over: whether an older clip in the folder is replaced.

        Raises:
            DataError: the folder holds something else, or files cannot be written.
        """
        over = over and cls(folder).is_complete
        if folder.exists() and not over and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder}: in the way; it is no {cls.KIND}, and not empty")
        partial = cls(folder.with_name(f".{folder.name}.partial"))
        shutil.rmtree(partial.folder, ignore_errors=True)  # left by a killed run
        try:
            partial.folder.mkdir(parents=True)
            yield partial
            if over:
                shutil.rmtree(folder)
            os.replace(partial.folder, folder)
        except OSError as error:  # a full disk, most likely
            raise DataError(f"{error.filename or folder}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(partial.folder, ignore_errors=True)

    @classmethod
    def find_all(cls: type[AnyClip], dataset: Path) -> list[AnyClip]:
        """Return a dataset's clips in name order; raises `DataError` where there are none."""
        found = [cls(path.parent) for path in sorted(dataset.glob(f"*/{cls.INFO_FILE}"))]
        found = [clip for clip in found if not clip.folder.name.startswith(".")]
        if not found:
            raise DataError(f"{dataset}: no {cls.KIND}s in it; {cls.MADE_BY} makes them")
        return found


@dataclass(frozen=True)
class BadFrames:
    """Frames `first` to `last`, inclusive, that are unfit for training."""

    first: int
    last: int
    reason: str


@dataclass(frozen=True)
class ClipInfo:
    """Content of clip.json.

    Attributes:
        source: file name of the recording.
        frames: their number, at 25 fps; the audio has 640 samples for each.
        width, height: of the frames, pixels.
        keypoints: the detector ("mediapipe", "openpose"), or "" where there are none.
        body: the body model of the pose ("open", "smplx").
        people: number of people steadily visible, 0 where they were not counted.
        words: source of the words ("given", "aligned", "recognised"), "" where there are none.
        notes: remarks for the user: damage, several people, audio cut or padded.
    """

    source: str
    frames: int
    width: int
    height: int
    keypoints: str
    body: str
    people: int = 0
    words: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clip(ClipFolder[ClipInfo]):
    """A clip of a person's body. Each property is the path of one part, present or not."""

    INFO_TYPE = ClipInfo
    INFO_FILE = "clip.json"
    KIND = "clip"
    MADE_BY = "scripts/preprocess.py"

    @property
    def keypoints(self) -> Path:
        """Detected points, as `data.keypoints` writes them."""
        return self.folder / "keypoints.npz"

    @property
    def pose(self) -> Path:
        """SMPL-X motion and the camera, as `data.motion_io` writes it."""
        return self.folder / "pose.npz"

    @property
    def projection(self) -> Path:
        """Fitted points in the image, as the detector should see them; absent if not fitted."""
        return self.folder / "projected.npz"

    @property
    def words(self) -> Path:
        """Words with their times, csv; absent where they are unknown."""
        return self.folder / "words.csv"

    @property
    def phones(self) -> Path:
        """Phones with their times, csv; absent where they are unknown."""
        return self.folder / "phones.csv"

    @property
    def bad_frames(self) -> Path:
        """Frames that training leaves out, csv; absent where there are none."""
        return self.folder / "bad_frames.csv"

    def write_bad_frames(self, runs: Sequence[BadFrames]) -> None:
        """Write the frames that training leaves out; no file for none."""
        lines = [f"{run.first},{run.last},{run.reason}" for run in runs]
        if lines:
            write_text(self.bad_frames, "\n".join((BAD_FRAMES_HEADER, *lines)) + "\n")

    def bad_mask(self, frames: int) -> np.ndarray | None:
        """Return the mask (T,) of frames to leave out of training; None without such frames.

        Raises:
            DataError: bad_frames.csv is no table of `first,last,reason`.
        """
        if not self.bad_frames.is_file():
            return None
        bad_T = np.zeros(frames, bool)
        try:
            for row in read_table(self.bad_frames):
                first, last = int(row["first"]), int(row["last"])
                if not 0 <= first <= last:
                    raise ValueError(f"frames {first} to {last}")
                bad_T[first : last + 1] = True
        except (OSError, ValueError, KeyError, TypeError, OverflowError, csv.Error) as error:
            needed = f"a table {BAD_FRAMES_HEADER} is needed"
            raise DataError(f"{self.bad_frames}: cannot be read ({error}); {needed}") from None
        return bad_T if bad_T.any() else None


def list_clips(dataset: Path, names: Collection[str] = ()) -> list[Clip]:
    """Return a dataset's clips in name order, only the named ones if names are given.

    Raises:
        DataError: there are no clips, or none of a given name.
    """
    clips = Clip.find_all(dataset)
    if unknown := sorted(set(names) - {clip.folder.name for clip in clips}):
        known = join_names([clip.folder.name for clip in clips])
        raise DataError(f"{unknown[0]}: no such clip; there are {known} in {dataset}")
    return [clip for clip in clips if not names or clip.folder.name in names]


def join_names(names: Sequence[str]) -> str:
    """Return the first few names, separated by commas, for a message."""
    return ", ".join(names[:MAX_NAMES]) + (", …" if len(names) > MAX_NAMES else "")


def find_motion_and_audio(path: Path) -> tuple[Path, Path | None]:
    """Return the motion and, if present, the audio file of a clip's folder or of motion elsewhere.

    A folder that is no clip's is motion itself: one file for each frame.

    Raises:
        DataError: the folder holds no motion.
    """
    if not path.is_dir():
        return path, None
    clip = Clip(path)
    if not clip.pose.is_file():
        if not clip.json.exists() and (any(path.glob("*.npz")) or (path / "smplx").is_dir()):
            return path, None
        raise DataError(f"{path}: no {clip.pose.name} in it; a clip's folder or an npz is needed")
    return clip.pose, clip.audio if clip.audio.is_file() else None
