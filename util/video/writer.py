"""Write a video with audio from frames that come one at a time; the path's ending is the kind."""

import contextlib
import glob
import os
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.reformatter import ColorRange, Colorspace

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from speech2video.util.audio.audio_io import LAYOUTS, read_audio_blocks
from speech2video.util.errors import DataError, note
from speech2video.util.files import atomic_write, write_errors
from speech2video.util.timing import FPS
from speech2video.util.video.content_credentials import VideoSigner
from speech2video.util.video.formats import (
    FORMATS,
    FRAGMENTED,
    VideoFormat,
    check_video_path,
    image_folder,
    image_name,
    video_format,
)

AUDIO_RATE = 48_000  # Hz
AUDIO_BITS = 96_000  # per second and channel
THREADS = 4  # fixed, because x264's bytes depend on how many threads it has
BT709 = 1  # ITU-T H.273: primaries, transfer curve and matrix of high-definition video
STEADY = "no-mbtree=1"  # x264's macroblock tree reads unset memory: bytes vary from run to run
# Generated frames are small, and the generator waits for the same processor. x264's psychovisual
# tuning spends bits on static backgrounds and smears lips; "psnr" turns it off.
GENERATED = {"quality": 14, "preset": "veryfast", "tune": "psnr"}
SIGNED = ("mp4", "mov")  # containers of C2PA manifests
SYNTHETIC = "synthetic: made by speech2video"  # in every file, so that no viewer is deceived
EXACT = 0x20 | 0x40000  # swscale's AREA and ACCURATE_RND, which PyAV names only from 18 on
VP9_QUALITY = 1.3  # its quantiser's scale, in steps of x264's
VP9 = {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
PRORES = {"profile": "4444", "vendor": "apl0"}  # Apple's name, without which some programs refuse
PALETTE_FRAMES = 16  # the first ones, whose colours a gif is drawn with
PALETTE_SIDE = 256  # pixels, of the images that the palette is made of
DITHER = "dither=bayer:bayer_scale=3"  # a fixed pattern: static backgrounds do not shimmer
JPEG_QUALITY = 95
AUDIO_NAME = "audio.wav"  # next to single images
_PNG_HEADER = 33  # bytes: signature and size of the image
_PNG_END = 12
_PARTIAL_NAME = 150  # bytes


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    fps: int = FPS,
    audio: Path | Iterator[np.ndarray] | None = None,
    metadata: Mapping[str, str] | None = None,
    quality: int = 18,
    preset: str = "medium",
    tune: str | None = None,
    synthetic: bool = True,
    alpha: bool = False,
    fragmented: bool = False,
    signer: VideoSigner | None = None,
) -> int:
    """Write frames (3, H, W) uint8 RGB as a video and return their number.

    Frames are taken one at a time; an hour takes the memory of a minute. The same input gives the
    same bytes. The file is written atomically; a failure or an interrupt leaves nothing behind.
    Odd sizes grow by a repeated last row or column in 4:2:0 video, whose sizes are even.

    Args:
        path: mp4, mov and mkv (H.264, AAC), webm (VP9, Opus), gif and apng (silent); a new folder,
            or a pattern in one (DIR/%05d.png), gets numbered images and a wav.
        frames: all of one size.
        fps: frames a second.
        audio: any file PyAV reads; cut or padded with silence to the video's length, at 48 kHz. Or
            blocks (C, n) float32 at 48 kHz, each taken once its frame was: of audio that arrives.
        metadata: title, artist, comment, description, date and the like; mp4 drops other keys,
            images have the comment only.
        quality: x264's constant rate factor, 0 to 51, less is better; that of VP9 follows.
        preset, tune: x264's; `**GENERATED` is all three for generated frames.
        synthetic: whether the comment says so; False is for cut and scaled camera recordings.
        alpha: whether frames are (4, H, W), RGB and straight alpha: webm (VP9), mov (ProRes 4444),
            apng or pngs.
        fragmented: whether what is written of an mp4 can be played while more of it is made: a
            second at a time. `files.partial_of(path)` is that file.
        signer: adds a C2PA manifest to an mp4 or mov; others get a note.

    Raises:
        DataError: no frames, one of another shape or type, audio that cannot be read, another
            ending, or a file that cannot be written.
    """
    check_video_path(path, alpha=alpha)
    kind = video_format(path, alpha=alpha)
    if fragmented:
        if kind is not FORMATS[".mp4"]:
            raise DataError(f"{path}: only mp4 is written in fragments")
        kind = FRAGMENTED
    if signer and fragmented:
        raise DataError(f"{path}: what is signed is complete, and not written in fragments")
    if signer and (kind is None or kind.container not in SIGNED):
        note(f"{path}: without a C2PA manifest, which {' and '.join(SIGNED)} have")
        signer = None
    channels = 4 if alpha else 3
    track = None if audio is None else _AudioTrack(audio)
    comment = (metadata or {}).get("comment", "")
    if synthetic and not comment.startswith("synthetic"):
        comment = f"{SYNTHETIC}; {comment}" if comment else SYNTHETIC
    # names of files may hold bytes that are no UTF-8
    tags = {**(metadata or {}), "comment": comment}.items()
    about = {name: text.encode("utf-8", "backslashreplace").decode() for name, text in tags}
    if kind is None:
        return _write_images(path, _checked(path, frames, channels), track, fps=fps, about=about)
    if missing := {kind.video, kind.audio or kind.video} - av.codecs_available:
        raise DataError(f"{path}: PyAV has no {' and no '.join(sorted(missing))}; mp4 needs none")
    if track and not kind.audio:
        note(f"{path}: without audio, which {path.suffix} does not hold")
        track = None
    x264 = {"preset": preset, "crf": str(quality)} | ({"tune": tune} if tune else {})
    with atomic_write(path) as partial:
        with _output(path, partial, kind.container, dict(kind.options)) as container:
            container.metadata.update(about)
            checked = _checked(path, frames, channels)
            count = _encode(path, container, checked, track, kind, fps=fps, x264=x264)
        if kind.container in _END_COMMENTS and comment:
            with write_errors(path):
                _END_COMMENTS[kind.container](partial, comment)
        if signer:
            with write_errors(path):
                signer.sign(partial, title=path.name, description=about["comment"])
        return count


def _encode(
    path: Path,
    container: OutputContainer,
    frames: Iterable[np.ndarray],
    track: "_AudioTrack | None",
    kind: VideoFormat,
    *,
    fps: int,
    x264: Mapping[str, str],
) -> int:
    """Encode video and audio in step, and return the number of frames."""
    stream, count = None, 0
    images = (_to_video_frame(frame, kind.pixels) for frame in frames)
    for image in _with_palette(path, images) if kind.pixels == "pal8" else images:
        image.pts, image.time_base = count, Fraction(1, fps)
        count += 1
        with write_errors(path, FFmpegError):
            if stream is None:
                stream = _add_video_stream(container, image, kind, fps, x264)
                if track:
                    track.begin(container, kind.audio)
            container.mux(stream.encode(image))
            if track:
                container.mux(track.packets_until(round(Fraction(count * AUDIO_RATE, fps))))
    if stream is None:
        raise DataError(f"{path}: no frames to write")
    with write_errors(path, FFmpegError):
        container.mux(stream.encode(None))
        if track:
            container.mux(track.stream.encode(None))
    return count


def _add_video_stream(
    container: OutputContainer,
    image: av.VideoFrame,
    kind: VideoFormat,
    fps: int,
    x264: Mapping[str, str],
) -> av.VideoStream:
    group = str(max(round(fps * kind.keyframe_seconds), 1))
    options = {
        "libx264": {**x264, "g": group, "x264-params": STEADY},
        "libvpx-vp9": {**VP9, "crf": f"{float(x264['crf']) * VP9_QUALITY:.0f}", "g": group},
        "prores_ks": PRORES,
    }.get(kind.video, {})
    stream = container.add_stream(kind.video, rate=Fraction(fps), options=options)
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height, stream.pix_fmt = image.width, image.height, kind.pixels
    if not kind.pixels.startswith("yuv"):
        return stream
    if kind.pixels == "yuva420p":
        stream.metadata["alpha_mode"] = "1"  # Matroska's flag, without which players ignore it
    context = stream.codec_context
    context.thread_count = THREADS
    context.color_primaries = context.color_trc = context.colorspace = BT709
    context.color_range = ColorRange.MPEG
    return stream


def _checked(path: Path, frames: Iterable[np.ndarray], channels: int) -> Iterator[np.ndarray]:
    """Yield frames as long as they are (channels, H, W) uint8 and all of one size."""
    shape = None
    for number, frame in enumerate(map(np.asarray, frames)):
        shape = frame.shape if shape is None else shape
        good = frame.ndim == 3 and len(frame) == channels and frame.size
        good = good and frame.dtype == np.uint8
        if not good or frame.shape != shape:
            needed = f"{shape} like the first" if good else f"({channels}, H, W)"
            seen = f"frame {number} is {frame.shape} {frame.dtype}"
            raise DataError(f"{path}: {seen}, {needed} uint8 is needed")
        yield frame


def _to_video_frame(frame: np.ndarray, pixels: str) -> av.VideoFrame:
    """Return a frame (3 or 4, H, W) for the encoder; YUV is BT.709, 4:2:0 of even size."""
    rgb_HWC, packed = frame.transpose(1, 2, 0), "rgba" if len(frame) == 4 else "rgb24"
    if "420" in pixels:
        height, width, _ = rgb_HWC.shape
        rgb_HWC = np.pad(rgb_HWC, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    image = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb_HWC), packed)
    if not pixels.startswith("yuv"):
        return image
    return image.reformat(
        format=pixels,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        dst_colorspace=Colorspace.ITU709,
        interpolation=EXACT,
    )


def _with_palette(path: Path, images: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Yield images in 256 colours, which are chosen from the first ones."""
    first = list(islice(images, PALETTE_FRAMES))
    if not first:
        return
    with write_errors(path, FFmpegError):
        graph = Graph()
        chosen = _palette([_small(image) for image in first])
        inputs = [_buffer(graph, image) for image in (first[0], chosen)]
        mapped, output = graph.add("paletteuse", DITHER), graph.add("buffersink")
        for number, source in enumerate(inputs):
            source.link_to(mapped, 0, number)
        mapped.link_to(output)
        graph.configure()
        _push(inputs[1], chosen, 0)
        inputs[1].push(None)
    for number, image in enumerate(chain(first, images)):
        with write_errors(path, FFmpegError):
            _push(inputs[0], image, number)
            ready = list(_pull(output))
        yield from ready
    with write_errors(path, FFmpegError):
        inputs[0].push(None)
        ready = list(_pull(output))
    yield from ready


def _palette(images: list[av.VideoFrame]) -> av.VideoFrame:
    """Return the 256 colours that show some images best, as an image of 16 × 16."""
    graph = Graph()
    source, output = _buffer(graph, images[0]), graph.add("buffersink")
    chosen = graph.add("palettegen", "reserve_transparent=0")
    source.link_to(chosen)
    chosen.link_to(output)
    graph.configure()
    for number, image in enumerate(images):
        _push(source, image, number)
    source.push(None)
    return next(_pull(output))


def _small(image: av.VideoFrame) -> av.VideoFrame:
    scale = min(1.0, PALETTE_SIDE / max(image.width, image.height))
    width, height = (max(1, round(side * scale)) for side in (image.width, image.height))
    return image.reformat(width, height)


def _buffer(graph: Graph, image: av.VideoFrame) -> FilterContext:
    return graph.add_buffer(
        width=image.width, height=image.height, format=image.format, time_base=Fraction(1, FPS)
    )


def _push(source: FilterContext, image: av.VideoFrame, number: int) -> None:
    image.pts, image.time_base = number, Fraction(1, FPS)
    source.push(image)


def _pull(output: FilterContext) -> Iterator[av.VideoFrame]:
    while True:
        try:
            image = output.pull()
        except (BlockingIOError, EOFError):
            return
        assert isinstance(image, av.VideoFrame)
        yield image


def _write_images(
    path: Path,
    frames: Iterable[np.ndarray],
    track: "_AudioTrack | None",
    *,
    fps: int,
    about: Mapping[str, str],
) -> int:
    """Write numbered images and the audio into a new folder; return their number."""
    final, pattern = image_folder(path)
    count = 0
    with _new_folder(path, final) as folder:
        with _image_audio(path, folder, track, about) as packets_until:
            for frame in frames:
                with write_errors(path):
                    image = _encode_image(frame, Path(pattern).suffix.lower(), about["comment"])
                    (folder / image_name(pattern, count)).write_bytes(image)
                count += 1
                with write_errors(path, FFmpegError):
                    packets_until(round(Fraction(count * AUDIO_RATE, fps)))
        if not count:
            raise DataError(f"{path}: no frames to write")
    return count


@contextlib.contextmanager
def _new_folder(path: Path, folder: Path) -> Iterator[Path]:
    """Give a temporary folder, renamed on success, else deleted, as are those of killed processes.

    It is locked as long as its process lives.
    """
    final = Path(os.path.realpath(folder))
    name = os.fsdecode(os.fsencode(final.name)[:_PARTIAL_NAME])
    partial = final.with_name(f".{name}.{secrets.token_hex(6)}.partial")
    lock = None
    try:
        with write_errors(path):
            partial.mkdir(parents=True)
            if fcntl is not None:
                lock = os.open(partial, os.O_RDONLY)
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(lock, fcntl.LOCK_EX)
                for left in final.parent.glob(f".{glob.escape(name)}.*.partial"):
                    _remove_if_dead(left)
        yield partial
        with write_errors(path):
            os.replace(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_if_dead(partial: Path) -> None:
    """Delete a partial folder that no process has locked."""
    assert fcntl is not None
    with contextlib.suppress(OSError):
        lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(partial, ignore_errors=True)
        finally:
            os.close(lock)


@contextlib.contextmanager
def _image_audio(
    path: Path, folder: Path, track: "_AudioTrack | None", about: Mapping[str, str]
) -> Iterator[Callable[[int], None]]:
    """Give a function that writes the wav up to a sample; it does nothing without audio."""
    if track is None:
        yield lambda sample: None
        return
    with _output(path, folder / AUDIO_NAME, "wav", {}) as container:
        container.metadata.update(about)
        track.begin(container, "pcm_s16le")
        yield lambda sample: container.mux(track.packets_until(sample))
        with write_errors(path, FFmpegError):
            container.mux(track.stream.encode(None))


def _encode_image(frame: np.ndarray, ending: str, comment: str) -> bytes:
    """Return the bytes of a png or jpeg of a frame (3 or 4, H, W), with a comment."""
    bgr = np.concatenate((frame[2::-1], frame[3:]))
    bgr_HWC = np.ascontiguousarray(bgr.transpose(1, 2, 0))
    quality = [] if ending == ".png" else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, encoded = cv2.imencode(ending, bgr_HWC, quality)
    image = encoded.tobytes()
    if not comment:
        return image
    if ending == ".png":
        return image[:_PNG_HEADER] + _png_comment(comment) + image[_PNG_HEADER:]
    text = comment.encode()[:60_000]
    return image[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + image[2:]


def _png_comment(comment: str) -> bytes:
    """Return a tEXt chunk."""
    chunk = b"tEXtComment\0" + comment.encode("latin-1", "backslashreplace")
    return (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")


def _comment_apng(path: Path, comment: str) -> None:
    """Insert a comment before the chunk that ends an apng; FFmpeg writes none."""
    with path.open("r+b") as file:
        file.seek(-_PNG_END, os.SEEK_END)
        end = file.read()
        file.seek(-_PNG_END, os.SEEK_END)
        file.write(_png_comment(comment) + end)


def _comment_gif(path: Path, comment: str) -> None:
    """Insert a comment before the byte that ends a gif; FFmpeg writes none."""
    text = comment.encode("ascii", "backslashreplace")
    blocks = (text[k : k + 255] for k in range(0, len(text), 255))
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x21\xfe" + b"".join(bytes([len(b)]) + b for b in blocks) + b"\0;")


_END_COMMENTS = {"apng": _comment_apng, "gif": _comment_gif}


class _AudioTrack:
    """The audio track: read as far as the video has come."""

    def __init__(self, audio: Path | Iterator[np.ndarray]) -> None:
        """Open the audio; raises `DataError` before any frame is made."""
        if isinstance(audio, Iterator):
            self._blocks = audio
        else:
            self._blocks = read_audio_blocks(Path(audio), rate=AUDIO_RATE, whole=True)
        self._rest = next(self._blocks)
        self._sent = 0

    def begin(self, container: OutputContainer, codec: str) -> None:
        self._layout = LAYOUTS[len(self._rest)]
        stream = container.add_stream(codec, rate=AUDIO_RATE, layout=self._layout)
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = AUDIO_BITS * len(self._rest)
        self.stream = stream

    def packets_until(self, sample: int) -> list[av.Packet]:
        """Return the packets that become ready when the audio is sent up to a sample number."""
        count = sample - self._sent
        while self._rest.shape[1] < count:
            block = next(self._blocks, None)
            if block is None:
                block = np.zeros((len(self._rest), count - self._rest.shape[1]), np.float32)
            self._rest = np.concatenate([self._rest, block], axis=1)
        samples = np.ascontiguousarray(self._rest[:, :count].clip(-1, 1))
        self._rest = self._rest[:, count:]
        frame = av.AudioFrame.from_ndarray(samples, "fltp", self._layout)
        frame.sample_rate, frame.pts = AUDIO_RATE, self._sent
        frame.time_base = Fraction(1, AUDIO_RATE)
        self._sent = sample
        return self.stream.encode(frame)


@contextlib.contextmanager
def _output(
    path: Path, partial: Path, kind: str, options: dict[str, str]
) -> Iterator[OutputContainer]:
    container = av.open(f"file:{partial}", "w", kind, options=options)
    try:
        yield container
    finally:
        with write_errors(path, FFmpegError):
            container.close()
