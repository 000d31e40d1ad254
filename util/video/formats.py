"""The kinds of video that are written, by the ending of the path. Loads no codecs."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from speech2video.util.errors import DataError, OptionError
from speech2video.util.files import check_output, check_output_folder


@dataclass(frozen=True)
class VideoFormat:
    """FFmpeg's names of a container, of its codecs (none for silent ones) and of its pixels."""

    container: str
    video: str
    audio: str = ""
    pixels: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = ()
    keyframe_seconds: float = 2.0  # between frames that a player can jump to


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
ALPHA_FORMATS = {  # straight alpha: colours are not multiplied by it
    ".webm": replace(FORMATS[".webm"], pixels="yuva420p"),
    ".mov": VideoFormat("mov", "prores_ks", "aac", "yuva444p10le", _FAST_START),
    ".apng": replace(FORMATS[".apng"], pixels="rgba"),
}
FRAGMENTED = replace(  # an mp4 in fragments, each with the index of its frames
    FORMATS[".mp4"],
    options=(
        ("movflags", "+frag_keyframe+delay_moov+default_base_moof"),
        ("flush_packets", "1"),
    ),
    keyframe_seconds=1.0,
)
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")
IMAGE_NAME = "%05d.png"  # in a folder that is named without a pattern
TRANSPARENT = "transparent"  # a background, of videos with alpha
BACKGROUND_NEEDED = f"an image, a video, #rrggbb or {TRANSPARENT} is needed"
_COLOUR = re.compile(r"#([0-9a-f]{3}|[0-9a-f]{6})", re.IGNORECASE)
_NUMBER = re.compile(r"%0?(\d?)d")
_FOLDER = f"a new folder, or FOLDER/{IMAGE_NAME} for single images, is needed"
_NEEDED = f"{', '.join(FORMATS)}, {_FOLDER}"


def video_format(path: Path, *, alpha: bool = False) -> VideoFormat | None:
    """Return the format of a video file, None for a folder of images; `DataError` for any other.

    Args:
        alpha: whether frames have an alpha channel.
    """
    kind = _plain_format(path)
    ending = path.suffix.lower() or (path.name.lower() if kind else "")
    if not alpha or ending in (*ALPHA_FORMATS, ".png", ""):
        return ALPHA_FORMATS[ending] if alpha and kind else kind
    needed = f"{', '.join(ALPHA_FORMATS)}, {_FOLDER}"
    raise DataError(f"{path}: {ending} cannot be transparent; {needed}")


def _plain_format(path: Path) -> VideoFormat | None:
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


def check_video_path(path: Path, *, alpha: bool = False) -> None:
    """Raise `DataError` unless a video can be written at `path`; nothing is made or changed.

    The ending is that of a known format, with `alpha` of one that holds it. A folder
    of images is new or empty.
    """
    if video_format(path, alpha=alpha) is not None:
        check_output(path)
        return
    folder, _ = image_folder(path)
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder}: a folder that is not empty; images need a new one")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: in the way of a folder of images; {_NEEDED}")
    check_output_folder(folder)


def parse_colour(text: str) -> tuple[int, ...] | None:
    """Return red, green and blue (0..255) of #rrggbb or #rgb; None for a text without #.

    Raises:
        OptionError: a # and something else.
    """
    if not text.startswith("#"):
        return None
    if not _COLOUR.fullmatch(text):
        raise OptionError(f"--background {text:.40}: no such colour; {BACKGROUND_NEEDED}")
    digits = text[1:] if len(text) == 7 else "".join(2 * digit for digit in text[1:])
    return tuple(bytes.fromhex(digits))


def background_path(text: str) -> Path | None:
    """Return the file that a background names; None for a colour and for transparent."""
    return None if text == TRANSPARENT or parse_colour(text) is not None else Path(text)
