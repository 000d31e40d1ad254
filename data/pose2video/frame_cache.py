"""Random access to the frames of clips: decoded in chunks, cached up to a memory limit."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from av import VideoFrame
from av.error import FFmpegError

from speech2video.data.pose2video.clip import PoseVideo
from speech2video.util.errors import DataError
from speech2video.util.timing import FPS
from speech2video.util.video.media import open_media, video_stream
from speech2video.util.video.reader import frame_to_rgb

CHUNK_FRAMES = 50  # decoded together: about the distance of two key frames


class FrameCache:
    """Cropped frames of clips, the most recently used ones kept in memory.

    Every process that loads data has its own, with its own limit.

    Args:
        limit_bytes: of the cached frames. With room for all, each frame is decoded once.
    """

    def __init__(self, videos: Sequence[PoseVideo], *, limit_bytes: int) -> None:
        self.videos, self.limit_bytes = list(videos), limit_bytes
        self.bytes = 0  # of the frames cached now
        self._chunks: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()

    def frames(self, video_index: int, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the frames (N, H, W, 3) uint8 of a clip with the given indices.

        Raises:
            DataError: a frame is missing in the file, or does not decode.
        """
        video = self.videos[video_index]
        framing = video.framing
        frames_NHW3 = np.empty((len(numbers), framing.height, framing.width, 3), np.uint8)
        indices = np.asarray(numbers) + video.begin
        for chunk in dict.fromkeys((indices // CHUNK_FRAMES).tolist()):
            in_chunk = indices // CHUNK_FRAMES == chunk
            offsets = indices[in_chunk] - chunk * CHUNK_FRAMES
            frames_NHW3[in_chunk] = self._chunk(video_index, chunk)[offsets]
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
    """Return frames [begin, end) of the file, cropped, (N, H, W, 3) uint8."""
    framing = video.framing
    frames_NHW3 = np.empty((end - begin, framing.height, framing.width, 3), np.uint8)
    missing = set(range(begin, end))
    size = framing.source_width, framing.source_height
    for number, frame in _iterate_frames(video.video, begin):
        if number in missing:
            frames_NHW3[number - begin] = framing.image(frame_to_rgb(frame, size))
            missing.remove(number)
        if not missing or number >= end:
            break
    if missing:
        raise DataError(f"{video.video}: no frame {min(missing)}; a clip's video is at {FPS} fps")
    return frames_NHW3


def _iterate_frames(path: Path, begin: int) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (index, frame) of a file of constant frame rate, from `begin` or earlier on."""
    with open_media(path) as container:
        stream = video_stream(container)
        if stream is None or stream.time_base is None:
            raise DataError(f"{path}: no video in it")
        tick, start = float(stream.time_base), stream.start_time or 0
        # Seeking goes by decoding time, which is before presentation time: where the first frame
        # found is too late, seek further back.
        for lead in (1, 2 * CHUNK_FRAMES, begin):
            second = max(begin - lead, 0) / FPS
            try:
                container.seek(start + round(second / tick), stream=stream)
                frames = (
                    (round((frame.pts - start) * tick * FPS), frame)
                    for frame in container.decode(stream)
                    if frame.pts is not None
                )
                first = next(frames, None)
                if first is not None and (first[0] <= begin or lead == begin):
                    yield first
                    yield from frames
                    return
            except FFmpegError as error:
                raise DataError(f"{path}: not decodable about {second:.1f} s ({error})") from None
