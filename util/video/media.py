"""Open and decode recordings with PyAV, on the one clock that their audio and video share.

The clock: t = 0 is the time of a file's first video frame; in a file without video, of its first
sample. Audio before t = 0 is cut, audio that starts later begins with silence.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition

from speech2video.util.errors import DataError

STATIC_STREAMS = Disposition.attached_pic | Disposition.timed_thumbnails  # cover art is no video
# tags that are not UTF-8 must not stop a file from being read; PyAV 19 always reads them
LENIENT: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)
LEAP = 10  # seconds; a time stamp that leaps so far, past the file's stated end, is broken


@dataclass
class Damage:
    """The unusable part of a stream; filled while it is decoded."""

    packets: int = 0  # packets the decoder refused, or that the file's end cut off
    cut_short: bool = False  # the file ended in the middle of its data


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a recording; raises `DataError` in one line if it is missing or no recording."""
    try:
        # the prefix keeps ffmpeg from taking a name such as "http:x" for an address
        container = av.open(f"file:{path}", **LENIENT)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: a folder; a video or audio file is needed") from None
    except PermissionError:
        raise DataError(f"{path}: may not be read") from None
    except (FFmpegError, OSError, ValueError):
        raise DataError(f"{path}: not a video or audio file that can be read") from None
    try:
        yield container
    finally:
        container.close()


def video_stream(container: InputContainer) -> "av.VideoStream | None":
    """Return the first video stream, cover art left out; None if there is none."""
    streams = container.streams.video
    return next((s for s in streams if not s.disposition & STATIC_STREAMS), None)


def audio_stream(container: InputContainer) -> "av.AudioStream | None":
    """Return the audio track that players take: the one marked default, else the first."""
    streams = [s for s in container.streams.audio if s.codec_context is not None]
    marked = (s for s in streams if s.disposition & Disposition.default)
    return next(marked, streams[0] if streams else None)


def decode(
    container: InputContainer, stream: "av.VideoStream | av.AudioStream", damage: Damage
) -> Iterator["tuple[Fraction | None, av.VideoFrame | av.AudioFrame]"]:
    """Yield (time stamp in seconds, frame) of all that decodes; count the rest in `damage`.

    Times are the file's own, not yet on the shared clock; None where the file gives none.
    """
    end, last = stated_end(container), None
    for packet in _packets(container, stream, damage):
        try:
            frames = stream.codec_context.decode(packet)
        except FFmpegError:
            damage.packets += 1
            continue
        for frame in frames:
            # unset once packets have ended
            frame.time_base = frame.time_base or stream.time_base or Fraction(1)
            time = None if frame.pts is None else frame.pts * frame.time_base
            if time is not None:
                if last is not None and end is not None and time > max(last + LEAP, end):
                    damage.packets += 1  # or the frame before it would be held for hours
                    continue
                last = time
            yield time, frame


def stated_end(container: InputContainer) -> Fraction | None:
    """Return the time stamp (s) at which the file says it ends, or None."""
    if container.duration is None:
        return None
    return Fraction((container.start_time or 0) + container.duration, av.time_base)


def video_start(path: Path) -> Fraction | None:
    """Return the time stamp (s) of the first video frame, where the clock starts, or None."""
    with open_media(path) as container:
        stream = video_stream(container)
        if stream is None:
            return None
        first = next(decode(container, stream, Damage()), None)
        return (first[0] or Fraction(0)) if first else None


def _packets(
    container: InputContainer, stream: "av.VideoStream | av.AudioStream", damage: Damage
) -> Iterator[av.Packet | None]:
    """Yield the packets of a stream, then None, which empties the decoder."""
    try:
        for packet in container.demux(stream):
            if packet.size:  # an empty one ends the stream
                damage.packets += packet.is_corrupt
                yield packet
    except FFmpegError:
        damage.cut_short = True
    yield None
