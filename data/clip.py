"""One recording on disk: what every clip folder holds, and under which names."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.util.errors import DataError


@dataclass(frozen=True)
class Clip:
    """A clip's folder. Each property is where the clip keeps that part, there or not."""

    folder: Path

    @property
    def pose(self) -> Path:
        """SMPL-X motion, as `data.motion_file` writes it."""
        return self.folder / "pose.npz"

    @property
    def audio(self) -> Path:
        """The sound: 16 kHz mono PCM."""
        return self.folder / "audio.wav"


def motion_and_audio(path: Path) -> tuple[Path, Path | None]:
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
