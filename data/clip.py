"""One recording on disk: what every clip folder holds, and under which names.

A clip's folder appears whole or not at all: it is made beside, and renamed when complete.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from speech2video.util.errors import DataError

MAX_NAMES = 8  # clips, in a message


@dataclass(frozen=True)
class ClipInfo:
    """What clip.json says.

    Attributes:
        source: file name of the recording.
        frames: how many, at 25 a second; the sound has 640 samples for each.
        width, height: of the picture, pixels.
        keypoints: the detector ("mediapipe", "openpose"), or "" where there are none.
        body: the body the pose is for ("open", "smplx").
        people: how many were steadily in the picture, 0 where nobody counted.
        words: where the words are from ("given", "aligned", "recognised"), "" where there are none.
        notes: what a person should know: damage, several people, sound cut or padded.
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
class Clip:
    """A clip's folder. Each property is where the clip keeps that part, there or not."""

    folder: Path

    @property
    def json(self) -> Path:
        """What the clip is: `ClipInfo`."""
        return self.folder / "clip.json"

    @property
    def video(self) -> Path:
        """The picture at 25 frames a second, H.264."""
        return self.folder / "video.mp4"

    @property
    def audio(self) -> Path:
        """The sound: 16 kHz mono PCM, 640 samples a frame."""
        return self.folder / "audio.wav"

    @property
    def keypoints(self) -> Path:
        """Observed points, as `data.keypoints` writes them."""
        return self.folder / "keypoints.npz"

    @property
    def pose(self) -> Path:
        """SMPL-X motion and the camera, as `data.motion_file` writes it."""
        return self.folder / "pose.npz"

    @property
    def words(self) -> Path:
        """Words with their times, csv; absent where they are not known."""
        return self.folder / "words.csv"

    def info(self) -> ClipInfo:
        """Return what clip.json says; raises `DataError` if it is missing or broken."""
        try:
            values = json.loads(self.json.read_text())
            return ClipInfo(**values | {"notes": tuple(values["notes"])})
        except OSError as error:
            raise DataError(f"{self.json}: {error.strerror}; a clip's folder is needed") from None
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{self.json}: not what a clip says of itself ({error})") from None

    def write_info(self, info: ClipInfo) -> None:
        """Write clip.json."""
        self.json.write_text(json.dumps(asdict(info), indent=2) + "\n")


def list_clips(dataset: Path, names: Collection[str] = ()) -> list[Clip]:
    """Return a data set's clips in name order, or those of them that have the names given.

    Raises:
        DataError: there are none, or a name is no clip's.
    """
    found = [Clip(path.parent) for path in sorted(dataset.glob("*/clip.json"))]
    if not found:
        raise DataError(f"{dataset}: no clips; scripts/preprocess.py makes them of recordings")
    clips = [clip for clip in found if not clip.folder.name.startswith(".")]
    if unknown := sorted(set(names) - {clip.folder.name for clip in clips}):
        known = join_names([clip.folder.name for clip in clips])
        raise DataError(f"{unknown[0]}: no such clip; there are {known} in {dataset}")
    return [clip for clip in clips if not names or clip.folder.name in names]


def join_names(names: Sequence[str]) -> str:
    """Return names for a message, not more than a line of them."""
    return ", ".join(names[:MAX_NAMES]) + (", …" if len(names) > MAX_NAMES else "")


def find_motion_and_audio(path: Path) -> tuple[Path, Path | None]:
    """Return where the motion and, if there is any, the sound is, for an npz or a clip's folder.

    Raises:
        DataError: a folder that holds no motion.
    """
    if not path.is_dir():
        return path, None
    clip = Clip(path)
    if not clip.pose.is_file():
        raise DataError(f"{path}: no {clip.pose.name} in it; a clip's folder or an npz is needed")
    return clip.pose, clip.audio if clip.audio.is_file() else None
