"""Write an mp4 with audio from frames that come one at a time."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace

from speech2video.util.audio.audio_io import LAYOUTS, read_audio_blocks
from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write, write_errors
from speech2video.util.timing import FPS

AUDIO_RATE = 48_000  # Hz
AUDIO_BITS = 96_000  # per second and channel
KEYFRAME_SECONDS = 2  # between frames that a player can jump to
THREADS = 4  # fixed, because x264's bytes depend on how many threads it has
BT709 = 1  # ITU-T H.273: primaries, transfer curve and matrix of high-definition video
STEADY = "no-mbtree=1"  # x264's macroblock tree reads unset memory: bytes vary from run to run
# Generated frames are small, and the generator waits for the same processor. x264's psychovisual
# tuning spends bits on static backgrounds and smears lips; "psnr" turns it off.
GENERATED = {"quality": 14, "preset": "veryfast", "tune": "psnr"}
SYNTHETIC = "synthetic: made by speech2video"  # in every file, so that no viewer is deceived
EXACT = 0x20 | 0x40000  # swscale's AREA and ACCURATE_RND, which PyAV names only from 18 on


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    fps: int = FPS,
    audio: Path | None = None,
    metadata: Mapping[str, str] | None = None,
    quality: int = 18,
    preset: str = "medium",
    tune: str | None = None,
    synthetic: bool = True,
) -> int:
    """Write frames (3, H, W) uint8 RGB as an mp4 (H.264, AAC) and return their number.

    Frames are taken one at a time; an hour takes the memory of a minute. The same input gives the
    same bytes. The file is written atomically; a failure or an interrupt leaves nothing behind.
    Odd sizes grow by a repeated last row or column, since 4:2:0 images are even.

    Args:
        path: of the mp4.
        frames: all of one size.
        fps: frames a second.
        audio: any file PyAV reads; cut or padded with silence to the video's length, at 48 kHz.
        metadata: title, artist, comment, description, date and the like; mp4 drops other keys.
        quality: x264's constant rate factor, 0 to 51, less is better.
        preset, tune: x264's; `**GENERATED` is all three for generated frames.
        synthetic: whether the comment says so; False is for cut and scaled camera recordings.

    Raises:
        DataError: no frames, one of another shape or type, audio that cannot be read, or a file
            that cannot be written.
    """
    track = None if audio is None else _AudioTrack(Path(audio))
    comment = (metadata or {}).get("comment", "")
    if synthetic and not comment.startswith("synthetic"):
        comment = f"{SYNTHETIC}; {comment}" if comment else SYNTHETIC
    x264 = {"preset": preset, "crf": str(quality)} | ({"tune": tune} if tune else {})
    with atomic_write(path) as partial, _output(path, partial) as container:
        container.metadata.update({**(metadata or {}), "comment": comment})
        return _encode(path, container, frames, track, fps=fps, x264=x264)


def _encode(
    path: Path,
    container: OutputContainer,
    frames: Iterable[np.ndarray],
    track: "_AudioTrack | None",
    *,
    fps: int,
    x264: Mapping[str, str],
) -> int:
    """Encode video and audio in step, and return the number of frames."""
    stream, shape, count = None, None, 0
    for frame in frames:
        shape = np.shape(frame) if shape is None else shape
        image = _to_video_frame(path, count, np.asarray(frame), shape)
        image.pts, image.time_base = count, Fraction(1, fps)
        count += 1
        with write_errors(path, FFmpegError):
            if stream is None:
                stream = _add_video_stream(container, image, fps, x264)
                if track:
                    track.begin(container)
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
    container: OutputContainer, image: av.VideoFrame, fps: int, x264: Mapping[str, str]
) -> av.VideoStream:
    options = {**x264, "g": str(max(round(fps * KEYFRAME_SECONDS), 1)), "x264-params": STEADY}
    stream = container.add_stream("libx264", rate=Fraction(fps), options=options)
    stream.width, stream.height, stream.pix_fmt = image.width, image.height, "yuv420p"
    context = stream.codec_context
    context.thread_count = THREADS
    context.color_primaries = context.color_trc = context.colorspace = BT709
    context.color_range = ColorRange.MPEG
    return stream


def _to_video_frame(
    path: Path, number: int, frame: np.ndarray, shape: tuple[int, ...]
) -> av.VideoFrame:
    """Return a frame (3, H, W) for the encoder: of even size, 4:2:0, BT.709."""
    good = frame.ndim == 3 and len(frame) == 3 and frame.size and frame.dtype == np.uint8
    if not good or frame.shape != shape:
        needed = f"{shape} like the first" if good else "(3, H, W)"
        seen = f"frame {number} is {frame.shape} {frame.dtype}"
        raise DataError(f"{path}: {seen}, {needed} uint8 is needed")
    _, height, width = shape
    rgb_HW3 = np.pad(frame.transpose(1, 2, 0), ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    image = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb_HW3), "rgb24")
    return image.reformat(
        format="yuv420p",
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        dst_colorspace=Colorspace.ITU709,
        interpolation=EXACT,
    )


class _AudioTrack:
    """The audio track: read from a file as far as the video has come."""

    def __init__(self, path: Path) -> None:
        """Open the audio; raises `DataError` before any frame is made."""
        self._blocks = read_audio_blocks(path, rate=AUDIO_RATE, whole=True)
        self._rest = next(self._blocks)
        self._sent = 0

    def begin(self, container: OutputContainer) -> None:
        self._layout = LAYOUTS[len(self._rest)]
        self.stream = container.add_stream("aac", rate=AUDIO_RATE, layout=self._layout)
        self.stream.bit_rate = AUDIO_BITS * len(self._rest)

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


@contextmanager
def _output(path: Path, partial: Path) -> Iterator[OutputContainer]:
    container = av.open(f"file:{partial}", "w", "mp4", options={"movflags": "+faststart"})
    try:
        yield container
    finally:
        with write_errors(path, FFmpegError):
            container.close()
