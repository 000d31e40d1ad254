"""Open recordings with PyAV and read their video at a constant rate, on one clock with the audio.

The clock: t = 0 is the time of a file's first video frame; in a file without video, of its first
sample. Audio before t = 0 is cut, audio that starts later begins with silence.
"""

import io
import os
import re
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
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

from speech2video.util.errors import DataError, note
from speech2video.util.timing import FPS
from speech2video.util.video.wide_colour import is_wide, wide_to_rgb

VIDEO_SUFFIXES = (
    *(".mp4", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".ts", ".mts"),
    *(".m2ts", ".3gp", ".flv", ".asf", ".mxf", ".ogv"),
)
RECORDING_SUFFIXES = (*VIDEO_SUFFIXES, ".3g2", ".f4v", ".m2t", ".vob")  # of files in folders
AUDIO_SUFFIXES = (".wav", ".flac", ".m4a", ".mp3", ".aac", ".ogg", ".opus")
# Demuxers of one file's own content: none that opens other files or addresses (hls, concat, dash,
# sdp, image2), none of a device, none that takes any text for data.
FORMATS = (
    "3g2,3gp,aa,aac,ac3,ac4,aiff,amr,amrnb,amrwb,ape,apng,asf,asf_o,au,av1,avi,caf,dirac,dts,dtshd,"
    "dv,eac3,f4v,flac,flv,gif,gsm,gxf,h261,h263,h264,hevc,iff,ircam,ivf,kux,latm,loas,m4a,m4v,"
    "matroska,mj2,mjpeg,mlp,mov,mp3,mp4,mpc,mpc8,mpeg,mpegts,mpegvideo,mxf,nistsphere,nsv,nut,obu,"
    "ogg,oma,opus,paf,pva,qcp,rm,sbc,sds,shn,smjpeg,sox,tak,truehd,tta,vc1,voc,vvc,w64,wav,webm,"
    "wsd,wtv,wv,xwma,yuv4mpegpipe"
)
IMAGES = {  # demuxer by suffix, of a folder of frames
    ".png": "png_pipe",
    ".jpg": "jpeg_pipe",
    ".jpeg": "jpeg_pipe",
    ".bmp": "bmp_pipe",
    ".webp": "webp_pipe",
    ".tif": "tiff_pipe",
    ".tiff": "tiff_pipe",
}
SIZED = ("wav", "w64", "aiff", "au", "caf", "flac", "avi", "asf", "wv", "ape", "tta")
PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<MPD", b"<?xml", b"[playlist]", b"v=0")
STATIC_STREAMS = Disposition.attached_pic | Disposition.timed_thumbnails  # cover art is no video
# tags that are not UTF-8 must not stop a file from being read; PyAV 19 always reads them
LENIENT: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)
LEAP = 10  # seconds; a time stamp that leaps so far, past the file's stated end, is broken
BACK = 1  # seconds; one that goes back so far is, too
MAX_GAP = 600  # seconds without any data; a longer gap is a clock that leaps
MAX_SECONDS = 24 * 3600
MAX_STREAMS = 256
EXTENSIBLE = 0xFFFE  # tag of a wav whose header is the longer one
UNKNOWN_SIZE = 0x7FFF0000  # bytes; from here on a wav was written to a pipe
SCANNED = 10  # seconds, in which moving video is known from single images
FEW = 10  # packets in that time; no more may be a single image or a slide show
SMALL, CHANGE = (64, 64), 8  # size of the images compared, grey levels by which moving ones differ
SLOW = 0.25  # share of another video's packets; with fewer, a video is a thumbnail of it
MAX_SIDE, MAX_PIXELS = 16_384, 1 << 26  # of a frame


@dataclass
class Damage:
    """The unusable part of a stream; filled while it is decoded."""

    packets: int = 0  # packets the decoder refused, or that the file's end cut off
    cut_short: bool = False  # the file ended in the middle of its data
    leaps: int = 0  # of the clock, by hours or days; what follows goes on without a gap


_noted: set[tuple[str, str]] = set()


def note_once(path: Path | str, text: str) -> None:
    """Print one note on a file; a file read several times has it once."""
    if (str(path), text) not in _noted:
        _noted.add((str(path), text))
        note(f"{path}: {text}")


@contextmanager
def open_media(path: Path, demuxer: str | None = None) -> Iterator[InputContainer]:
    """Open a recording; raises `DataError` in one line if it is missing or no recording.

    Only a plain file is opened, and only as a container of its own content: a playlist, which names
    other files, is refused.
    """
    file_stamp(path)
    options = {"format_whitelist": demuxer or FORMATS, "protocol_whitelist": "file"}
    try:
        # the prefix keeps ffmpeg from taking a name such as "http:x" for an address
        source = _corrected_wav(path) or f"file:{path}"
        container = av.open(source, format=demuxer, container_options=options, **LENIENT)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except PermissionError:
        raise DataError(f"{path}: may not be read") from None
    except (FFmpegError, OSError, ValueError, OverflowError, MemoryError):
        kind = "a playlist of other files, " if _is_playlist(path) else ""
        raise DataError(f"{path}: {kind}not a video or audio file that can be read") from None
    try:
        if len(container.streams) > MAX_STREAMS:
            raise DataError(f"{path}: {len(container.streams)} tracks; at most {MAX_STREAMS}")
        yield container
    except (OverflowError, MemoryError, UnicodeDecodeError) as error:
        reason = str(error) or "out of memory"
        raise DataError(f"{path}: numbers in it that no recording has ({reason})") from None
    finally:
        container.close()


def file_stamp(path: Path) -> tuple[int, int]:
    """Return time and size of a plain file, so that what was measured of it can be kept.

    Raises `DataError` for any other, which is not opened.
    """
    try:
        status = os.stat(path)  # opening a FIFO would wait for its writer
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: no such file") from None
    except PermissionError:
        raise DataError(f"{path}: may not be read") from None
    except (OSError, ValueError):  # a loop of links, a NUL in the name, a name too long
        raise DataError(f"{path}: no file can have this name") from None
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"{path}: a folder; a video or audio file is needed")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: no plain file; one that can be read more than once is needed")
    return status.st_mtime_ns, status.st_size


def _is_playlist(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(64).lstrip(b"\xef\xbb\xbf \r\n").startswith(PLAYLISTS)
    except OSError:
        return False


@dataclass(frozen=True)
class WavFormat:
    """What a wav file's header says of its samples."""

    tag: int  # 1 is integer, 3 float
    channels: int
    container_bits: int  # of a stored sample
    valid_bits: int  # of them that count
    seconds: float  # of all samples by the size in the header; NaN where that is not known
    valid_at: int  # offset of the two bytes that ffmpeg takes for the container's bits
    data_at: int  # offset of the first sample


def wav_format(path: Path) -> WavFormat | None:
    """Return the format of a wav file's samples; None of any other file."""
    try:
        if not os.path.isfile(path):  # opening a FIFO would wait for its writer
            return None
        with open(path, "rb") as file:
            if (head := file.read(12))[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
                return None
            form, form_at, at = b"", 0, 12
            for _ in range(64):  # chunks
                file.seek(at)
                name, size = struct.unpack("<4sI", file.read(8))
                if name == b"fmt " and size >= 16:
                    form, form_at = file.read(min(size, 40)), at + 8
                elif name == b"data":
                    return _parse_wav(form, form_at, size, at + 8) if form else None
                at += 8 + size + size % 2
    except (OSError, struct.error):
        pass
    return None


def _parse_wav(form: bytes, form_at: int, size: int, data_at: int) -> WavFormat:
    tag, channels, rate, _, block, bits = struct.unpack("<HHIIHH", form[:16])
    valid, valid_at = bits, form_at + 14
    if tag == EXTENSIBLE and len(form) >= 26:
        valid, _, tag = struct.unpack("<HIH", form[18:26])
        valid_at = form_at + 18
    stored = 8 * block // channels if channels else 0
    known = 0 < size < UNKNOWN_SIZE and block * rate
    seconds = size / (block * rate) if known else float("nan")
    return WavFormat(tag, channels, stored, valid, seconds, valid_at, data_at)


class _PatchedFile(io.FileIO):
    """A file of which two bytes of the header read otherwise."""

    def __init__(self, path: Path, at: int, content: bytes) -> None:
        super().__init__(os.fspath(path))
        self._at, self._content = at, content

    def read(self, size: int | None = -1) -> bytes:
        begin = self.seek(0, io.SEEK_CUR)
        data = bytearray(super().read(-1 if size is None else size) or b"")
        for offset, value in enumerate(self._content):
            if 0 <= self._at + offset - begin < len(data):
                data[self._at + offset - begin] = value
        return bytes(data)


def _corrected_wav(path: Path) -> io.FileIO | None:
    """Return a wav file whose 24 or 20 valid bits fill 32, as one of 32 bits, or None.

    ffmpeg takes the valid bits for the size of a sample, or the samples for floats.
    """
    found = wav_format(path)
    if found is None or found.tag != 1 or found.container_bits != 32:
        return None
    if not 16 < found.valid_bits < 32:
        return None
    with open(path, "rb") as file:
        file.seek(found.data_at)
        data = file.read(1 << 16)
    floats = np.abs(np.frombuffer(data[: len(data) // 4 * 4], "<f4"))
    with np.errstate(invalid="ignore"):  # one editor's "24.0 float" has the same header
        if floats.any() and ((floats == 0) | ((floats > 1e-6) & (floats < 2.0**25))).all():
            return None
    return _PatchedFile(path, found.valid_at, struct.pack("<H", 32))


def video_stream(container: InputContainer) -> "av.VideoStream | None":
    """Return the largest moving video, the first of equal ones; None if there is no video.

    Cover art is left out. A single image counts if there is nothing else.
    """
    streams = [
        s
        for s in container.streams.video
        if s.codec_context is not None and not s.disposition & STATIC_STREAMS
    ]
    if len(streams) < 2:
        return streams[0] if streams else None
    path = _path(container)
    stamp = file_stamp(path)
    counts = _video_packets(path, stamp)
    least = max(2, max(counts.values(), default=0) * SLOW)
    moving = [s for s in streams if counts.get(s.index, 0) >= least] or streams
    if len(moving) > 1:
        moving = [s for s in moving if _moves(path, stamp, s.index)] or moving
    chosen = max(moving, key=lambda s: (s.width or 0) * (s.height or 0))
    if chosen is not streams[0]:
        why = "larger than the first" if streams[0] in moving else "the first hardly moves"
        number = container.streams.video.index(chosen) + 1
        note_once(path, f"video track {number} of {len(container.streams.video)} taken: {why}")
    return chosen


def _path(container: InputContainer) -> Path:
    return Path(container.name.removeprefix("file:"))


@lru_cache(256)
def _video_packets(path: Path, stamp: tuple[int, int]) -> dict[int, int]:
    """Return the number of video packets in a file's first `SCANNED` seconds, by stream."""
    counts: dict[int, int] = {}
    with open_media(path) as container:
        first = None
        streams = [s for s in container.streams if s.type in ("video", "audio")]
        try:
            for packet in container.demux(streams):
                if not packet.size or packet.dts is None or packet.time_base is None:
                    continue
                time = packet.dts * packet.time_base
                first = time if first is None else first
                if time > first + SCANNED:
                    break
                if packet.stream.type == "video":
                    counts[packet.stream.index] = counts.get(packet.stream.index, 0) + 1
                    if min(counts.get(s.index, 0) for s in container.streams.video) > FEW:
                        break
        except FFmpegError:
            pass
    return counts


@lru_cache(256)
def _moves(path: Path, stamp: tuple[int, int], index: int) -> bool:
    """Return whether a video's image changes within its first `SCANNED` seconds."""
    first, begin = None, None
    with open_media(path) as container:
        stream = next(s for s in container.streams.video if s.index == index)
        try:
            for time, frame in decode(container, stream, Damage()):
                assert isinstance(frame, av.VideoFrame)
                small = frame.reformat(*SMALL, "gray").to_ndarray().astype(np.int16)
                first = small if first is None else first
                begin = time if begin is None else begin
                if np.abs(small - first).max() > CHANGE:
                    return True
                if begin is not None and time is not None and time > begin + SCANNED:
                    break
        except FFmpegError:
            pass
    return False


def audio_streams(container: InputContainer) -> "list[av.AudioStream]":
    """Return the audio tracks that have a decoder, the one marked default first."""
    streams = [s for s in container.streams.audio if s.codec_context is not None]
    return sorted(streams, key=lambda s: not s.disposition & Disposition.default)


def decode(
    container: InputContainer, stream: "av.VideoStream | av.AudioStream", damage: Damage
) -> Iterator["tuple[Fraction | None, av.VideoFrame | av.AudioFrame]"]:
    """Yield (time stamp in seconds, frame) of all that decodes; count the rest in `damage`.

    Times are the file's own, not yet on the shared clock; None where the file gives none. A clock
    that leaps is set right: the first frame after it is dropped, the next ones follow in step.
    Raises `DataError` past `MAX_SECONDS`.
    """
    end, first, last, suspect, shift = stated_end(container), None, None, None, Fraction(0)
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
            time = time + shift if time is not None and shift else time
            if time is not None and last is not None and _leaps(time, last, end):
                if suspect is None or not 0 < time - suspect < LEAP:
                    suspect = time
                    damage.packets += 1  # or the frame before it would be held for hours
                    continue
                moved = suspect - last - (time - suspect)
                shift, time = shift - moved, time - moved
                damage.leaps += 1
                end = None  # it counts the leap
            if time is not None:
                suspect, last = None, time
                first = time if first is None else first
                if time - first > MAX_SECONDS:
                    hours = f"more than {MAX_SECONDS // 3600} hours long"
                    raise DataError(f"{_path(container)}: {hours}; cut it into shorter files")
            yield time, frame


def _leaps(time: Fraction, last: Fraction, end: Fraction | None) -> bool:
    past_end = end is not None and time > max(last + LEAP, end)
    return past_end or time > last + MAX_GAP or time < last - BACK


def stated_end(container: InputContainer) -> Fraction | None:
    """Return the time stamp (s) at which the file says it ends, or None."""
    if container.duration is None:
        return None
    start = container.start_time or 0
    if "matroska" in container.format.name and container.duration > start:
        start = 0  # this header gives the end
    return Fraction(start + container.duration, av.time_base)


def video_start(path: Path) -> Fraction | None:
    """Return the time stamp (s) of the first frame of moving video, where the clock starts.

    None if there is no video, or only a single image or a slide show.
    """
    with open_media(path) as container:
        stream = video_stream(container)
        if stream is None or _is_slides(path, stream):
            return None
        first = next(decode(container, stream, Damage()), None)
        return (first[0] or Fraction(0)) if first else None


def _is_slides(path: Path, stream: "av.VideoStream") -> bool:
    if stream.frames > FEW:
        return False
    count = _video_packets(path, file_stamp(path)).get(stream.index, 0)
    rate = float(stream.average_rate or 0)
    # a short clip has few frames, and a slow one
    return count < 2 or (count <= FEW and 0 < rate < 1)


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
MAX_ASPECT = 8  # of a pixel; real ones are below 3
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
    """How much of a video or its audio could be read; complete once reading has come to its end."""

    seconds: float = 0.0  # that could be read
    stated_seconds: float = float("nan")  # that the file states
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
        if self.damage.packets:
            text += f", {self.damage.packets} packets damaged"
        return text + ", time stamps that leap set right" * bool(self.damage.leaps)


def probe(path: Path) -> VideoInfo:
    """Return a video's properties; decodes one frame. Raises `DataError` if it is no video."""
    if is_frame_folder(path):
        images = _images(path)
        _, first = _first(path, _decode_images(images, Damage()))
        size = _size_shown(path, first, None)
        return VideoInfo(*size, images.fps, images.seconds, folder_audio(path) is not None)
    with open_media(path) as container:
        stream = _stream(path, container)
        start, first = _first(path, decode(container, stream, Damage()))
        width, height = _size_shown(path, first, stream.sample_aspect_ratio)
        fps = float(stream.average_rate or stream.guessed_rate or 0)
        duration = _stated_seconds(container, stream, start)
        return VideoInfo(width, height, fps, duration, bool(audio_streams(container)))


def read_frames(
    path: Path, *, fps: float = FPS, report: ReadReport | None = None
) -> Iterator[np.ndarray]:
    """Yield frames (3, H, W) uint8 RGB at a constant rate, upright, with square pixels.

    Frame k shows (k + 1/2) / fps seconds on the clock shared with the audio: an event at time t is
    first seen in frame round(t · fps), never more than half a frame off, however long the recording
    and however uneven its source's times. Any length takes the memory of a few frames.

    A folder of images is read as a recording of 25 fps, or of the number in its `fps.txt`. HLG and
    PQ video is converted to BT.709.

    Frames are views: `frame.transpose(1, 2, 0)` is the contiguous (H, W, 3) that OpenCV and
    MediaPipe take, at no cost. Damaged frames are skipped and the frame before is held; `report`,
    if given, counts them. Raises `DataError` if the file is no video or nothing in it decodes.
    """
    report = ReadReport() if report is None else report
    rate = Fraction(fps).limit_denominator(1001)
    if is_frame_folder(path):
        images = _images(path)
        decoded = _decode_images(images, report.damage)
        yield from _at_rate(path, decoded, rate, report, lambda _: (images.seconds, None))
        return
    with open_media(path) as container:
        stream = _stream(path, container)
        stream.thread_type = "AUTO"
        decoded = decode(container, stream, report.damage)

        def properties(start: Fraction) -> tuple[float, Fraction | None]:
            return _stated_seconds(container, stream, start), stream.sample_aspect_ratio

        yield from _at_rate(path, decoded, rate, report, properties)


def _at_rate(
    path: Path,
    decoded: Iterator,
    rate: Fraction,
    report: ReadReport,
    properties: Callable[[Fraction], tuple[float, Fraction | None]],
) -> Iterator[np.ndarray]:
    """Yield `read_frames`' frames; `properties` gives stated seconds and aspect of pixels."""
    start, held = _first(path, decoded)
    report.stated_seconds, aspect = properties(start)
    size = _size_shown(path, held, aspect)
    if is_wide(held):
        note_once(path, "colours of HLG, PQ or BT.2020 converted to BT.709")
    for count, frame in _held(decoded, start, held, rate, report):
        rgb_HW3 = frame_to_rgb(frame, size)
        for more in reversed(range(count)):
            # a held frame is yielded as copies: drawing on one must not change the others
            yield (rgb_HW3.copy() if more else rgb_HW3).transpose(2, 0, 1)


@dataclass(frozen=True)
class _Images:
    """The images of a folder, in the order of the last number in their names.

    Attributes:
        paths: of the images.
        times: seconds (Fraction) from the first; a number that is missing leaves a gap.
        fps: images a second.
    """

    paths: tuple[Path, ...]
    times: tuple[Fraction, ...]
    fps: float

    @property
    def seconds(self) -> float:
        """The length with the last image's."""
        return float(self.times[-1]) + 1 / self.fps


def is_frame_folder(path: Path) -> bool:
    """Return whether a path is a folder with at least two images in it, and without videos."""
    try:
        if not path.is_dir() or any(p.suffix.lower() in VIDEO_SUFFIXES for p in path.iterdir()):
            return False
        return len(_image_paths(path)) > 1
    except OSError:
        return False


def is_image(path: Path) -> bool:
    """Return whether a path is a file with an image's ending."""
    return path.suffix.lower() in IMAGES and path.is_file()


def read_image(path: Path) -> np.ndarray:
    """Return an image as (3, H, W) uint8 RGB, upright; raises `DataError` if it is none."""
    with open_media(path, IMAGES[path.suffix.lower()]) as container:
        stream = _stream(path, container)
        _, frame = _first(path, decode(container, stream, Damage()))
        size = _size_shown(path, frame, stream.sample_aspect_ratio)
        return frame_to_rgb(frame, size).transpose(2, 0, 1)


def _image_paths(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if is_image(path)]


def folder_audio(folder: Path) -> Path | None:
    """Return the audio file of a folder of frames: next to it by its name, or the one within."""
    outside = [folder.with_name(folder.name + suffix) for suffix in AUDIO_SUFFIXES]
    within = [path for path in folder.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES]
    found = [path for path in (*outside, *sorted(within)) if path.is_file()]
    if len(within) > 1 and found[0] in within:
        note_once(folder, f"{len(within)} audio files in it; {found[0].name} taken")
    return found[0] if found else None


def _images(folder: Path) -> _Images:
    def order(path: Path) -> tuple[list[tuple[int, str]], str]:
        parts = re.findall(r"[0-9]+|[^0-9]+", path.stem)
        return [(int(p), "") if p.isascii() and p.isdigit() else (-1, p) for p in parts], path.name

    paths = sorted(_image_paths(folder), key=order)
    fps, stated = float(FPS), folder / "fps.txt"
    if stated.is_file():
        with open(stated, encoding="utf-8", errors="replace") as file:
            text = file.read(64).strip()
        try:
            fps = float(Fraction(text))
        except (ValueError, ZeroDivisionError, OverflowError):
            fps = 0.0
        if not 1 <= fps <= 1000:
            raise DataError(
                f"{stated}: {text!r}; a number of images a second, 1 to 1000, is needed"
            )
    rate = Fraction(fps).limit_denominator(1001)
    numbers = [int((re.findall(r"[0-9]+", path.stem) or ["0"])[-1]) for path in paths]
    places, count = [number - numbers[0] for number in numbers], len(paths)
    rising = all(first < second for first, second in pairwise(places))
    if not rising or places[-1] >= 2 * count:  # no count of frames
        places = list(range(count))
    elif missing := places[-1] + 1 - count:
        note_once(folder, f"{missing} images missing by their numbers; the one before is held")
    return _Images(tuple(paths), tuple(place / rate for place in places), fps)


def _decode_images(images: _Images, damage: Damage) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    for path, time in zip(images.paths, images.times, strict=True):
        try:
            with open_media(path, IMAGES[path.suffix.lower()]) as container:
                frame = next(container.decode(video=0))
        except (DataError, FFmpegError, StopIteration, IndexError):
            damage.packets += 1
            note_once(path, "not an image that can be read; the one before is held")
            continue
        frame.time_base = Fraction(1, 90_000)
        frame.duration = round((1 / Fraction(images.fps).limit_denominator(1001)) / frame.time_base)
        yield time, frame


def _stream(path: Path, container: InputContainer) -> av.VideoStream:
    stream = video_stream(container)
    if stream is None:
        raise DataError(f"{path}: no video in it; a video is needed")
    _check_size(path, stream.width or 0, stream.height or 0)
    return stream


def _check_size(path: Path, width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        limit = f"at most {MAX_SIDE} a side and {MAX_PIXELS / 1e6:.0f} million"
        raise DataError(f"{path}: {width}x{height} pixels; {limit} are read")


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
    if duration > MAX_GAP:  # a broken rate
        return min(gap, 1 / rate)
    return max(duration, min(gap, 1 / rate)) if duration * rate < TINY else duration


def frame_to_rgb(frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
    """Return a frame as contiguous (H, W, 3) uint8 RGB, upright, in the size (width, height)."""
    swaps, flips_x, flips_y = _turn(frame)
    width, height = size[::-1] if swaps else size
    if is_wide(frame):
        rgb_HW3 = wide_to_rgb(frame, (width, height))
        return _turned(rgb_HW3, swaps, flips_x, flips_y)
    untagged = frame.colorspace not in COLOURS_KNOWN
    rgb_HW3 = frame.reformat(
        width,
        height,
        "gbrp",  # swscale is a grey level too dark when it packs 4:2:0 as rgb24
        src_colorspace=Colorspace.ITU709 if untagged and frame.height >= HD_HEIGHT else None,
        dst_color_range=ColorRange.JPEG,
        interpolation=EXACT,
    ).to_ndarray()
    return _turned(rgb_HW3, swaps, flips_x, flips_y)


def _turned(rgb_HW3: np.ndarray, swaps: bool, flips_x: bool, flips_y: bool) -> np.ndarray:
    rgb_HW3 = rgb_HW3.transpose(1, 0, 2) if swaps else rgb_HW3
    return np.ascontiguousarray(rgb_HW3[:: -1 if flips_y else 1, :: -1 if flips_x else 1])


def _size_shown(path: Path, frame: av.VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Return (width, height) of a frame, turned upright and with square pixels."""
    aspect = aspect or Fraction(1)
    if not 1 / MAX_ASPECT <= aspect <= MAX_ASPECT:
        note_once(path, f"pixels {float(aspect):.3g} times as wide as high taken for square ones")
        aspect = Fraction(1)
    width, height = max(round(frame.width * aspect), 1), frame.height
    _check_size(path, width, height)
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
    """Return the seconds of video that the file states, from the first frame on; NaN if unknown."""
    if stream.duration is not None:
        end = ((stream.start_time or 0) + stream.duration) * (stream.time_base or Fraction(0))
        return float(end - start)
    end = _tagged_duration(stream)
    if end is None and (end := stated_end(container)) is not None and len(container.streams) > 1:
        # the header gives the longest track's end, which need not be the video's
        last = _last_packets(_path(container), file_stamp(_path(container)), end)
        if max(last.values(), default=Fraction(0)) > end - 1:
            end = last.get(stream.index)
    return float("nan") if end is None else float(end - start)


def audio_seconds(container: InputContainer, stream: "av.AudioStream") -> float:
    """Return the seconds of audio that the file states; NaN where that is only estimated."""
    if (wav := wav_format(_path(container))) is not None:
        return wav.seconds  # ffmpeg makes it fit the file
    if not _states_length(container):
        return float("nan")
    if stream.duration is not None and stream.time_base:
        return float(stream.duration * stream.time_base)
    end, start = _tagged_duration(stream), (stream.start_time or 0) * (stream.time_base or 0)
    if end is None and len(container.streams) == 1:
        end = stated_end(container)
    return float("nan") if end is None else float(end - start)


def _states_length(container: InputContainer) -> bool:
    """Return whether a length comes from a header, not from ffmpeg's guess by the bit rate."""
    name = container.format.name
    if name == "mp3":
        with open(_path(container), "rb") as file:
            head = file.read(10)
            if head[:3] == b"ID3" and len(head) == 10:  # its size in four times seven bits
                size = sum((byte & 127) << 7 * (3 - place) for place, byte in enumerate(head[6:]))
                file.seek(10 + size)
            head = file.read(4096)
        return any(mark in head for mark in (b"Xing", b"Info", b"VBRI"))
    return name in SIZED or "mov" in name or "matroska" in name


def _tagged_duration(stream: "av.VideoStream | av.AudioStream") -> Fraction | None:
    """Return the end (s) that a Matroska track's statistics give."""
    tags = stream.metadata
    text = next((tags[name] for name in tags if name.upper().startswith("DURATION")), "")
    try:
        hours, minutes, seconds = (Fraction(part) for part in text.split(":"))
        return 3600 * hours + 60 * minutes + seconds
    except (ValueError, ZeroDivisionError):
        return None


@lru_cache(256)
def _last_packets(path: Path, stamp: tuple[int, int], end: Fraction) -> dict[int, Fraction]:
    """Return the time (s) at which the tracks' last packets end, near the file's end."""
    found: dict[int, Fraction] = {}
    with open_media(path) as container:
        try:
            container.seek(round((end - LEAP) * av.time_base))
            for packet in container.demux():
                if packet.size and packet.pts is not None and packet.time_base:
                    now = (packet.pts + (packet.duration or 0)) * packet.time_base
                    found[packet.stream.index] = max(now, found.get(packet.stream.index, now))
        except FFmpegError:
            pass
    return found
