"""Sound as a stream of blocks on the clock that it shares with the picture (see `media`)."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from speech2video.util.errors import DataError
from speech2video.util.media import Damage, decode, open_media, picture_start, sound_stream

JUMP = 0.04  # seconds between sound and its time stamps that count as a gap or an overlap
DRIFT = 0.002  # seconds of lasting deviation that stretching mends
DRIFT_MEMORY = 0.9  # share of the last deviation kept: single time stamps are rounded to 1 ms
STRETCH = 0.01  # most that a block is stretched or squeezed; inaudible in speech
SILENCE = 48_000  # samples of silence made at once, so that a long gap takes no memory
PLANES = 8  # with so many, PyAV 18 reads past the end of a planar frame and crashes
LAYOUTS = {1: "mono", 2: "stereo"}

Timed = tuple[Fraction, np.ndarray, int]  # seconds on the shared clock, samples (C, n), rate in Hz


def read_sound(path: Path, *, rate: int, damage: Damage | None = None) -> Iterator[np.ndarray]:
    """Yield blocks (C, n) float32 at `rate` Hz from t = 0; C is 1 or 2 and does not change.

    More than two channels become one. Sound whose time stamps drift against its count of samples
    (recorders whose clock is off) is stretched to its time stamps; gaps are filled with silence.
    Values may pass ±1 slightly, as resampling overshoots. Raises `DataError` if there is no sound
    track, if nothing in it decodes, or if it holds no finite number.
    """
    start = picture_start(path)
    with open_media(path) as container:
        stream = sound_stream(container)
        if stream is None:
            raise DataError(f"{path}: no sound track; a file with sound is needed")
        timed = _timed(path, decode(container, stream, damage or Damage()), start)
        first = next(timed, None)
        if first is None:
            raise DataError(f"{path}: no sound in it could be decoded")
        yield from _resample(_on_clock(first, timed), first[2], rate)


def _timed(path: Path, decoded: Iterable, start: Fraction | None) -> Iterator[Timed]:
    after, numbers = Fraction(0), 0
    for time, frame, is_last in _mark_last(decoded):
        samples = _samples(frame)
        if is_last and frame.duration:
            # codecs fill up their last block; the file says how much of it is meant
            meant = round(frame.duration * frame.time_base * frame.sample_rate)
            samples = samples[:, :meant]
        start = (time or Fraction(0)) if start is None else start
        now = after if time is None else time - start
        after = now + Fraction(samples.shape[1], frame.sample_rate)
        numbers += np.count_nonzero(np.isfinite(samples))
        yield now, np.nan_to_num(samples, posinf=0.0, neginf=0.0), frame.sample_rate
    if after and not numbers:
        raise DataError(f"{path}: not one sample of the sound is a finite number")


def _mark_last(decoded: Iterable) -> Iterator[tuple[Fraction | None, av.AudioFrame, bool]]:
    """Yield (time, frame, whether it is the last)."""
    held = None
    for item in decoded:
        if held:
            yield *held, False
        held = item
    if held:
        yield *held, True


def _samples(frame: av.AudioFrame) -> np.ndarray:
    """Return a frame's samples (C, n), C at most 2, as float32 of full scale 1.

    More channels become their mean, not what loudspeaker places would ask: recorders number
    microphones.
    """
    channels = frame.layout.nb_channels
    if frame.format.is_planar and channels >= PLANES:
        frame = av.AudioResampler("flt", frame.layout, frame.sample_rate).resample(frame)[0]
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, channels).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples / np.float32(2.0 ** (8 * samples.dtype.itemsize - 1))
    samples = samples.astype(np.float32)
    return samples if channels <= 2 else samples.mean(axis=0, keepdims=True)


def _on_clock(first: Timed, rest: Iterable[Timed]) -> Iterator[np.ndarray]:
    """Yield blocks (C, n) that follow each other without gap from t = 0, all as the first is."""
    (channels, _), rate = first[1].shape, first[2]
    written, lag = 0, None
    for time, block, block_rate in _chain(first, rest):
        count = round(block.shape[1] * rate / block_rate)
        block = _stretch(_with_channels(block, channels), count)
        late = float(time * rate) - written
        if lag is None or abs(late) > JUMP * rate:
            gap = round(late)
            for position in range(0, gap, SILENCE):
                yield np.zeros((channels, min(SILENCE, gap - position)), np.float32)
            block = block[:, max(-gap, 0) :]
            written += max(gap, 0)
            lag = 0.0 if block.shape[1] else None  # until the overlap is cut, cut
        else:
            lag = DRIFT_MEMORY * lag + (1 - DRIFT_MEMORY) * late
            if abs(lag) > DRIFT * rate:
                change = round(np.clip(lag, -STRETCH * count, STRETCH * count))
                block, lag = _stretch(block, count + change), lag - change
        written += block.shape[1]
        if block.shape[1]:
            yield block


def _chain(first: Timed, rest: Iterable[Timed]) -> Iterator[Timed]:
    yield first
    yield from rest


def _with_channels(block: np.ndarray, channels: int) -> np.ndarray:
    if len(block) == channels:
        return block
    return np.repeat(block.mean(axis=0, keepdims=True), channels, axis=0)


def _stretch(block: np.ndarray, count: int) -> np.ndarray:
    """Return the block (C, n) as (C, count), linear between samples."""
    size = block.shape[1]
    if count == size or not size:
        return block
    at = np.linspace(0, size - 1, count)
    return np.stack([np.interp(at, np.arange(size), row) for row in block]).astype(np.float32)


def _resample(blocks: Iterable[np.ndarray], rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Yield the blocks (C, n) at another rate; as many samples as the whole length rounds to."""
    if rate == to_rate:
        yield from blocks
        return
    resampler, taken, given = None, 0, 0
    for block in blocks:
        layout = LAYOUTS[len(block)]
        resampler = resampler or av.AudioResampler("fltp", layout, to_rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, taken, Fraction(1, rate)
        taken += block.shape[1]
        for out in resampler.resample(frame):
            given += out.samples
            yield out.to_ndarray()
    if resampler is None:
        return
    missing = round(Fraction(taken * to_rate, rate)) - given
    tail = [out.to_ndarray() for out in resampler.resample(None)]
    tail.append(np.zeros((len(block), max(missing, 0)), np.float32))
    yield np.concatenate(tail, axis=1)[:, : max(missing, 0)]
