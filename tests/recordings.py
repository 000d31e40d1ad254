"""Recordings for tests: any container, uneven times, late tracks, clicks with flashes."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

MILLISECOND = Fraction(1, 1000)
BLOCK = 1000  # samples a frame


def make_recording(
    path: Path,
    images: Sequence[tuple[float, np.ndarray]] = (),
    audio_CS: np.ndarray | None = None,
    *,
    rate: int = 48_000,
    audio_start: float = 0.0,
    audio_speed: float = 1.0,
    gap: tuple[float, float] = (0.0, 0.0),
    codecs: tuple[str, str] = ("libx264", "aac"),
) -> Path:
    """Write images (seconds, (H, W, 3)) and audio (C, S) without a `gap` of it (seconds).

    The audio's time stamps begin at `audio_start` seconds and count `audio_speed` too few.
    """
    with av.open(str(path), "w") as container:
        streams = []
        if images:
            streams.append(_video_stream(container, codecs[0], images[0][1].shape))
        if audio_CS is not None:
            layout = {1: "mono", 2: "stereo", 8: "7.1"}[len(audio_CS)]
            streams.append(container.add_stream(codecs[1], rate=rate, layout=layout))
            streams[-1].codec_context.time_base = Fraction(1, rate)
        packets = []
        for stream in streams:
            if stream.type == "video":
                packets += _encode(stream, _image_frames(images))
            else:
                packets += _encode(
                    stream, _audio_frames(audio_CS, rate, layout, audio_start, audio_speed, gap)
                )
        packets.sort(key=lambda packet: packet.dts * packet.time_base)
        container.start_encoding()
        container.mux(packets)
    return path


def flashes_and_clicks(seconds: float, *, rate: int, seed: int = 0) -> tuple[list, np.ndarray]:
    """Return images at uneven times and audio (1, S); each full second flashes and clicks."""
    random = np.random.default_rng(seed)
    times, time = [0.0], 0.0
    while time < seconds:
        gap = random.uniform(0.012, 0.075)
        second = np.floor(time + gap)
        time = second if second > time else time + gap
        times.append(round(time, 3))
    images = [(t, np.full((32, 48, 3), 255 if _flashes(t) else 16, np.uint8)) for t in times]
    audio_CS = np.zeros((1, round(seconds * rate)), np.float32)
    for second in range(1, int(seconds)):
        click = slice(second * rate, second * rate + rate // 50)
        audio_CS[0, click] = random.uniform(-0.8, 0.8, rate // 50)
    return images, audio_CS


def onsets(level_N: np.ndarray, rate: float) -> np.ndarray:
    """Return the seconds at which a level passes half of its peak after being below it."""
    above_N = level_N > 0.5 * level_N.max()
    starts = np.flatnonzero(above_N & ~np.concatenate([[False], above_N[:-1]]))
    far = np.diff(starts, prepend=-rate) > rate / 2
    return starts[far] / rate


def _flashes(time: float) -> bool:
    return time >= 1 and time % 1 < 0.15


def _video_stream(container, codec: str, shape: tuple[int, ...]):
    stream = container.add_stream(codec, rate=1000 if codec == "libx264" else 25)
    stream.height, stream.width, _ = shape
    stream.pix_fmt = "yuv420p" if codec != "ffv1" else "bgr0"
    stream.codec_context.time_base = MILLISECOND if codec != "mpeg4" else Fraction(1, 25)
    return stream


def _encode(stream, frames) -> list:
    packets = [packet for frame in frames for packet in stream.encode(frame)]
    return packets + stream.encode(None)


def _image_frames(images):
    for time, image_HW3 in images:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image_HW3), "rgb24")
        frame.pts, frame.time_base = round(time * 1000), MILLISECOND
        yield frame


def _audio_frames(audio_CS: np.ndarray, rate: int, layout: str, start: float, speed: float, gap):
    for position in range(0, audio_CS.shape[1], BLOCK):
        if gap[0] <= position / rate < gap[1]:
            continue
        block_1N = audio_CS[:, position : position + BLOCK].T.astype(np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block_1N, "flt", layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = round(start * rate + position / speed)
        yield frame
