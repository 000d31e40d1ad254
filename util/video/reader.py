"""Open recordings with PyAV and read their video at a constant rate, on one clock with the audio.

The clock: t = 0 is the time of a file's first video frame; in a file without video, of its first
sample. Audio before t = 0 is cut, audio that starts later begins with silence.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor, isnan
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.reformatter import ColorRange, Colorspace

from speech2video.util.errors import DataError
from speech2video.util.timing import FPS

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


HD_HEIGHT = 720  # pixels; from here on untagged video is BT.709, below it is BT.601
MISSING = 0.2  # seconds at the end that may be missing: stated lengths are often rounded
TINY = Fraction(1, 4)  # of an output frame; a shorter last frame is a missing duration
COLOURS_KNOWN = (1, 4, 5, 6, 7, 9)  # ITU-T H.273 matrix coefficients that swscale converts
EXACT = 0x2 | 0x40000  # swscale's BILINEAR and ACCURATE_RND, which PyAV names only from 18 on


@dataclass(frozen=True)
class VideoInfo:
    """A recording's properties, before it is read; sizes are those of `read_frames`."""

    width: int  # pixels, turned upright and with square pixels
    height: int
    fps: float  # average, of the source's own frames
    duration: float  # seconds of video that the file states; NaN where it does not
    has_audio: bool


@dataclass
class ReadReport:
    """How much of a video could be read; complete once `read_frames` has come to its end."""

    seconds: float = 0.0  # of video that could be read
    stated_seconds: float = float("nan")  # of video that the file states
    damage: Damage = field(default_factory=Damage)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing at the end and nothing was refused on the way."""
        missing = self.stated_seconds - self.seconds > MISSING
        return not (missing or self.damage.packets or self.damage.cut_short)

    def __str__(self) -> str:
        known = not isnan(self.stated_seconds)
        stated = f"{self.stated_seconds:.2f} s" if known else "an unknown length"
        text = f"{self.seconds:.2f} s of {stated} read"
        return f"{text}, {self.damage.packets} packets damaged" if self.damage.packets else text


def probe(path: Path) -> VideoInfo:
    """Return a video's properties; decodes one frame. Raises `DataError` if it is no video."""
    with open_media(path) as container:
        stream = _stream(path, container)
        start, first = _first(path, decode(container, stream, Damage()))
        width, height = _size_shown(first, stream)
        fps = float(stream.average_rate or stream.guessed_rate or 0)
        duration = _stated_seconds(container, stream, start)
        has_audio = audio_stream(container) is not None
        return VideoInfo(width, height, fps, duration, has_audio)


def read_frames(
    path: Path, *, fps: float = FPS, report: ReadReport | None = None
) -> Iterator[np.ndarray]:
    """Yield frames (3, H, W) uint8 RGB at a constant rate, upright, with square pixels.

    Frame k shows (k + 1/2) / fps seconds on the clock shared with the audio: an event at time t is
    first seen in frame round(t · fps), never more than half a frame off, however long the recording
    and however uneven its source's times. Any length takes the memory of a few frames.

    Frames are views: `frame.transpose(1, 2, 0)` is the contiguous (H, W, 3) that OpenCV and
    MediaPipe take, at no cost. Damaged frames are skipped and the frame before is held; `report`,
    if given, counts them. Raises `DataError` if the file is no video or nothing in it decodes.
    """
    report = ReadReport() if report is None else report
    rate = Fraction(fps).limit_denominator(1001)
    with open_media(path) as container:
        stream = _stream(path, container)
        stream.thread_type = "AUTO"
        decoded = decode(container, stream, report.damage)
        start, held = _first(path, decoded)
        report.stated_seconds = _stated_seconds(container, stream, start)
        size = _size_shown(held, stream)
        for count, frame in _held(decoded, start, held, rate, report):
            rgb_HW3 = frame_to_rgb(frame, size)
            for more in reversed(range(count)):
                # a held frame is yielded as copies: drawing on one must not change the others
                yield (rgb_HW3.copy() if more else rgb_HW3).transpose(2, 0, 1)


def _stream(path: Path, container: InputContainer) -> av.VideoStream:
    stream = video_stream(container)
    if stream is None:
        raise DataError(f"{path}: no video in it; a video is needed")
    return stream


def _first(path: Path, decoded: Iterator) -> tuple[Fraction, av.VideoFrame]:
    time, frame = next(decoded, (None, None))
    if frame is None:
        raise DataError(f"{path}: no video in it could be decoded")
    return time or Fraction(0), frame


def _held(
    decoded: Iterator, start: Fraction, held: av.VideoFrame, rate: Fraction, report: ReadReport
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield (number of output frames that show it, frame): sample and hold at constant `rate`."""
    given, now, gap = 0, Fraction(0), 1 / rate
    for time, frame in decoded:
        time = now + gap if time is None else time - start
        if time <= now:  # the clock never goes back
            report.damage.packets += 1
            continue
        index = floor(time * rate + Fraction(1, 2))
        if index > given:
            yield index - given, held
            given = index
        held, gap, now = frame, time - now, time
        report.seconds = float(now)
    end = now + _last_duration(held, gap, rate)
    report.seconds = float(end)
    if count := max(floor(end * rate + Fraction(1, 2)) - given, not given):
        yield count, held


def _last_duration(frame: av.VideoFrame, gap: Fraction, rate: Fraction) -> Fraction:
    """Return the seconds that the last frame is shown; `gap` is those of the one before."""
    duration = (frame.duration or 0) * (frame.time_base or Fraction(0))
    return max(duration, min(gap, 1 / rate)) if duration * rate < TINY else duration


def frame_to_rgb(frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
    """Return a frame as contiguous (H, W, 3) uint8 RGB, upright, in the size (width, height)."""
    swaps, flips_x, flips_y = _turn(frame)
    width, height = size[::-1] if swaps else size
    untagged = frame.colorspace not in COLOURS_KNOWN
    rgb_HW3 = frame.reformat(
        width,
        height,
        "gbrp",  # swscale is a grey level too dark when it packs 4:2:0 as rgb24
        src_colorspace=Colorspace.ITU709 if untagged and frame.height >= HD_HEIGHT else None,
        dst_color_range=ColorRange.JPEG,
        interpolation=EXACT,
    ).to_ndarray()
    rgb_HW3 = rgb_HW3.transpose(1, 0, 2) if swaps else rgb_HW3
    return np.ascontiguousarray(rgb_HW3[:: -1 if flips_y else 1, :: -1 if flips_x else 1])


def _size_shown(frame: av.VideoFrame, stream: av.VideoStream) -> tuple[int, int]:
    """Return (width, height) of a frame, turned upright and with square pixels."""
    aspect = stream.sample_aspect_ratio or 1
    width, height = round(frame.width * aspect), frame.height
    return (height, width) if _turn(frame)[0] else (width, height)


def _turn(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Return whether to swap x and y, then to flip x, and y, to show a stored frame.

    This is the frame's display matrix (ISO/IEC 14496-12, 8.5.3, by rows).
    """
    side_data: Any = frame.side_data
    matrix = side_data.get(SideData.DISPLAYMATRIX)
    if matrix is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5]
    return (False, a < 0, d < 0) if abs(a) >= abs(b) else (True, c < 0, b < 0)


def _stated_seconds(container: InputContainer, stream: av.VideoStream, start: Fraction) -> float:
    """Return the seconds of video that the file states, from the first frame on."""
    if stream.duration is not None:
        end = ((stream.start_time or 0) + stream.duration) * (stream.time_base or Fraction(0))
        return float(end - start)
    end = stated_end(container)
    return float("nan") if end is None else float(end - start)
