"""Frames of clips at random, as fast as memory allows: decoded once and kept within a limit."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np

from speech2video.data.pose2video.clip import PoseVideo
from speech2video.util.errors import DataError
from speech2video.util.timing import FPS
from speech2video.util.video.media import open_media, video_stream
from speech2video.util.video.reader import frame_to_rgb

CHUNK_FRAMES = 50  # frames decoded together: so many lie between two that a player can jump to


class FrameCache:
    """Framed frames of clips, the latest used kept; what comes out depends on nothing before.

    Each process that loads has its own, with its own limit.

    Args:
        limit_bytes: that what is kept may take. With room for all, each frame is decoded once.
    """

    def __init__(self, videos: Sequence[PoseVideo], *, limit_bytes: int) -> None:
        self.videos, self.limit_bytes = list(videos), limit_bytes
        self.bytes = 0  # that are kept now
        self._chunks: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()

    def frames(self, video_index: int, numbers: Sequence[int]) -> np.ndarray:
        """Return frames (N, H, W, 3) uint8 of a clip by their numbers.

        Raises:
            DataError: the file does not hold them, or they do not decode.
        """
        video = self.videos[video_index]
        framing = video.framing
        frames_NHW3 = np.empty((len(numbers), framing.height, framing.width, 3), np.uint8)
        places = np.asarray(numbers) + video.begin
        for chunk in dict.fromkeys((places // CHUNK_FRAMES).tolist()):
            here = places // CHUNK_FRAMES == chunk
            frames_NHW3[here] = self._chunk(video_index, chunk)[places[here] - chunk * CHUNK_FRAMES]
        return frames_NHW3

    def _chunk(self, video_index: int, chunk: int) -> np.ndarray:
        key = video_index, chunk
        if key not in self._chunks:
            video = self.videos[video_index]
            begin = chunk * CHUNK_FRAMES
            end = min(begin + CHUNK_FRAMES, video.begin + video.frames)
            size = (end - begin) * video.framing.width * video.framing.height * 3
            while self._chunks and self.bytes + size > self.limit_bytes:
                self.bytes -= self._chunks.popitem(last=False)[1].nbytes
            frames_NHW3 = _decode(video, begin, end)
            if size > self.limit_bytes:
                return frames_NHW3
            self._chunks[key] = frames_NHW3
            self.bytes += size
        self._chunks.move_to_end(key)
        return self._chunks[key]


def _decode(video: PoseVideo, begin: int, end: int) -> np.ndarray:
    """Return the file's frames [begin, end), framed, (N, H, W, 3)."""
    framing = video.framing
    frames_NHW3 = np.empty((end - begin, framing.height, framing.width, 3), np.uint8)
    missing = set(range(begin, end))
    size = framing.source_width, framing.source_height
    for number, image in _iterate_frames(video.video, begin):
        if number in missing:
            frames_NHW3[number - begin] = framing.image(frame_to_rgb(image, size))
            missing.remove(number)
        if not missing or number >= end:
            break
    if missing:
        raise DataError(f"{video.video}: no frame {min(missing)}; a clip's video is at {FPS} fps")
    return frames_NHW3


def _iterate_frames(path: Path, begin: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield (number, picture) of a file of constant rate from frame `begin` on, or from before."""
    with open_media(path) as container:
        stream = video_stream(container)
        tick = float(stream.time_base)
        start = stream.start_time or 0
        # A file is sought by when pictures are decoded, which is before they are shown.
        for early in (1, 2 * CHUNK_FRAMES, begin):
            second = max(begin - early, 0) / FPS
            try:
                container.seek(start + round(second / tick), stream=stream)
                pictures = (
                    (round((image.pts - start) * tick * FPS), image)
                    for image in container.decode(stream)
                    if image.pts is not None
                )
                first = next(pictures, None)
                if first is not None and (first[0] <= begin or early == begin):
                    yield first
                    yield from pictures
                    return
            except av.FFmpegError as error:
                raise DataError(f"{path}: not decodable about {second:.1f} s ({error})") from None
