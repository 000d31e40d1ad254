"""The kinds of video that are written, by the ending of the path. Loads no codecs."""

import re
from dataclasses import dataclass
from pathlib import Path

from speech2video.util.errors import DataError
from speech2video.util.files import check_output, check_output_folder


@dataclass(frozen=True)
class VideoFormat:
    """FFmpeg's names of a container, of its codecs (none for silent ones) and of its pixels."""

    container: str
    video: str
    audio: str = ""
    pixels: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = ()


_FAST_START = (("movflags", "+faststart"),)  # players can begin before all has come
_SAME_BYTES = (("fflags", "+bitexact"),)  # no random identifiers
FORMATS = {
    ".mp4": VideoFormat("mp4", "libx264", "aac", options=_FAST_START),
    ".mov": VideoFormat("mov", "libx264", "aac", options=_FAST_START),
    ".mkv": VideoFormat("matroska", "libx264", "aac", options=_SAME_BYTES),
    ".webm": VideoFormat("webm", "libvpx-vp9", "libopus", options=_SAME_BYTES),
    ".gif": VideoFormat("gif", "gif", pixels="pal8"),
    ".apng": VideoFormat("apng", "apng", pixels="rgb24", options=(("plays", "0"),)),
}
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")
IMAGE_NAME = "%05d.png"  # in a folder that is named without a pattern
_NUMBER = re.compile(r"%0?(\d?)d")
_NEEDED = f"{', '.join(FORMATS)}, a new folder, or FOLDER/{IMAGE_NAME} for single images, is needed"


def video_format(path: Path) -> VideoFormat | None:
    """Return the format of a video file, None for a folder of images; `DataError` for any other."""
    ending = path.suffix.lower()
    if not ending and path.name.lower() in FORMATS:  # a name that is an ending alone
        ending = path.name.lower()
    if ending in FORMATS:
        return FORMATS[ending]
    if ending in IMAGE_ENDINGS and len(_NUMBER.findall(path.name)) == 1:
        return None
    if ending:
        raise DataError(f"{path}: a video cannot be written as {ending:.20}; {_NEEDED}")
    return None


def image_folder(path: Path) -> tuple[Path, str]:
    """Return the folder and the pattern of names of numbered images: DIR, or DIR/%05d.png."""
    return (path.parent, path.name) if path.suffix else (path, IMAGE_NAME)


def image_name(pattern: str, number: int) -> str:
    """Return the name of an image by its pattern, such as %05d.png."""
    return _NUMBER.sub(lambda match: f"{number:0{match[1] or 1}d}", pattern)


def check_video_path(path: Path) -> None:
    """Raise `DataError` unless a video can be written at `path`; nothing is made or changed.

    The ending is that of a known format. A folder of images is new or empty.
    """
    if video_format(path) is not None:
        check_output(path)
        return
    folder, _ = image_folder(path)
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder}: a folder that is not empty; images need a new one")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: in the way of a folder of images; {_NEEDED}")
    check_output_folder(folder)
