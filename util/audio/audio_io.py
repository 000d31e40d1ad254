"""Read, write and normalise mono audio of any file, on the clock of `util.video.media`."""

import wave
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write, write_errors
from speech2video.util.timing import SAMPLE_RATE
from speech2video.util.video.reader import Damage, audio_stream, decode, open_media, video_start

TARGET_LEVEL = -23.0  # dB of full scale, of normalised speech (EBU R 128 asks it in LUFS)
GATE_WINDOW = 0.4  # seconds, ITU-R BS.1770-4
GATE_FLOOR = -70.0  # dB below full scale; anything less is silence
GATE_BELOW = 10.0  # dB below the mean; anything less is a pause
MAX_DEVIATION = 0.04  # seconds between audio and its time stamps that count as a gap or an overlap
DRIFT = 0.002  # seconds of lasting deviation that stretching corrects
DRIFT_MEMORY = 0.9  # share of the last deviation kept: single time stamps are rounded to 1 ms
MAX_STRETCH = 0.01  # share by which a block is stretched or squeezed at most; inaudible in speech
SILENCE = 48_000  # samples of silence made at once, so that a long gap takes no memory
PLANES = 8  # with so many, PyAV 18 reads past the end of a planar frame and crashes
LAYOUTS = {1: "mono", 2: "stereo"}

TimedBlock = tuple[Fraction, np.ndarray, int]  # seconds on the clock, samples (C, n), rate in Hz


def read_audio(path: Path) -> Iterator[np.ndarray]:
    """Yield 16 kHz mono audio in chunks (S,) float32 in [-1, 1], one second each but the last.

    Stereo becomes the mean of its channels. Takes the memory of a few seconds, however long the
    file. Raises `DataError` if there is no audio track or nothing in it decodes to finite numbers.
    """
    rest_S = np.zeros(0, np.float32)
    for block in read_audio_blocks(path, rate=SAMPLE_RATE):
        rest_S = np.concatenate([rest_S, block.mean(axis=0).clip(-1, 1)])
        while len(rest_S) >= SAMPLE_RATE:
            yield rest_S[:SAMPLE_RATE]
            rest_S = rest_S[SAMPLE_RATE:]
    if len(rest_S):
        yield rest_S


def load_audio(path: Path, *, normalise: bool = False) -> np.ndarray:
    """Return a whole file's audio (S,) float32 in [-1, 1], mono, as `read_audio` yields it.

    `normalise` applies `normalise_loudness`. Raises `DataError` as `read_audio` does, and if the
    audio is empty.
    """
    chunks = list(read_audio(path))
    if not chunks:
        raise DataError(f"{path}: the audio is empty")
    audio_S = np.concatenate(chunks)
    return normalise_loudness(audio_S) if normalise else audio_S


def write_audio(path: Path, audio_S: np.ndarray, rate: int = SAMPLE_RATE) -> None:
    """Write mono audio (S,) in [-1, 1] as a wav file of 16-bit PCM, atomically.

    Values past full scale are clipped. Raises `DataError` on a wrong shape, on NaN, and where the
    file cannot be written.
    """
    audio_S = np.asarray(audio_S)
    if audio_S.ndim != 1 or not np.isfinite(audio_S).all():
        raise DataError(f"{path}: mono audio (S,) of finite numbers is needed, not {audio_S.shape}")
    pcm_S = np.clip(np.round(audio_S * 32768.0), -32768, 32767).astype("<i2")
    with atomic_write(path) as partial, write_errors(path), wave.open(str(partial), "wb") as file:
        file.setparams((1, 2, rate, len(pcm_S), "NONE", ""))
        file.writeframes(pcm_S.tobytes())


def normalise_loudness(audio_S: np.ndarray) -> np.ndarray:
    """Return audio (S,) scaled by `loudness_gain`: peaks never pass 1, and silence stays."""
    gain = loudness_gain([audio_S])
    return np.multiply(audio_S, gain, dtype=np.float64).astype(np.float32)


def loudness_gain(chunks: Iterable[np.ndarray]) -> float:
    """Return the factor that brings audio, given in chunks (S,), to `TARGET_LEVEL`; 1 for silence.

    A file can so be read twice instead of kept: once for its gain, once to use it.
    """
    meter = LoudnessMeter()
    for chunk in chunks:
        meter.push(chunk)
    return meter.gain


class LoudnessMeter:
    """The gain that brings speech, its pauses left out, to `TARGET_LEVEL`; audio comes in chunks.

    Gated as ITU-R BS.1770-4 does, but without its frequency weighting and overlap of windows. Keeps
    two numbers for each window of 0.4 s. The size of the chunks does not matter.
    """

    def __init__(self) -> None:
        self._size = round(GATE_WINDOW * SAMPLE_RATE)
        self._powers: list[float] = []
        self._peaks: list[float] = []
        self._rest_S = np.zeros(0, np.float32)  # less than a window

    def push(self, audio_S: np.ndarray) -> None:
        """Take in the next samples (S,)."""
        audio_S = np.concatenate([self._rest_S, audio_S])
        whole = len(audio_S) // self._size * self._size
        for window in audio_S[:whole].reshape(-1, self._size):
            self._powers.append(np.square(window, dtype=np.float64).mean())
            self._peaks.append(np.abs(window).max())
        self._rest_S = audio_S[whole:].copy()

    @property
    def gain(self) -> float:
        """The factor to multiply samples by; no sample so far passes 1 by it. 1 for silence.

        A begun window counts for its peak only, unless there is no other.
        """
        powers = np.array(self._powers)
        if not len(powers) and len(self._rest_S):
            powers = np.square(self._rest_S[None], dtype=np.float64).mean(axis=1)
        powers = powers[powers > 10 ** (GATE_FLOOR / 10)]
        if not len(powers):
            return 1.0
        speech = powers[powers > powers.mean() * 10 ** (-GATE_BELOW / 10)].mean()
        peak = max([*self._peaks, np.abs(self._rest_S).max(initial=0)])
        return float(min(10 ** (TARGET_LEVEL / 20) / np.sqrt(speech), 1 / peak))


def read_audio_blocks(path: Path, *, rate: int) -> Iterator[np.ndarray]:
    """Yield blocks (C, n) float32 at `rate` Hz from t = 0; C is 1 or 2 and does not change.

    More than two channels become one. Audio whose time stamps drift against its count of samples
    (recorders whose clock is off) is stretched to its time stamps; gaps are filled with silence.
    Values may pass ±1 slightly, as resampling overshoots. Raises `DataError` if there is no audio
    track, if nothing in it decodes, or if it holds no finite number.
    """
    start = video_start(path)
    with open_media(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise DataError(f"{path}: no audio track; a file with audio is needed")
        timed = _timed(path, decode(container, stream, Damage()), start)
        first = next(timed, None)
        if first is None:
            raise DataError(f"{path}: no audio in it could be decoded")
        yield from _resample(_on_clock(first, timed), first[2], rate)


def _timed(path: Path, decoded: Iterable, start: Fraction | None) -> Iterator[TimedBlock]:
    after, finite = Fraction(0), 0
    items: Iterable[Any] = chain(decoded, (None,))
    for (time, frame), following in pairwise(items):
        samples = _samples(frame)
        if following is None and frame.duration:
            # codecs fill up their last block; the file says how much of it counts
            seconds = frame.duration * (frame.time_base or Fraction(0))
            samples = samples[:, : round(seconds * frame.sample_rate)]
        start = (time or Fraction(0)) if start is None else start
        now = after if time is None else time - start
        after = now + Fraction(samples.shape[1], frame.sample_rate)
        finite += np.count_nonzero(np.isfinite(samples))
        yield now, np.nan_to_num(samples, posinf=0.0, neginf=0.0), frame.sample_rate
    if after and not finite:
        raise DataError(f"{path}: not one sample of the audio is a finite number")


def _samples(frame: av.AudioFrame) -> np.ndarray:
    """Return a frame's samples (C, n), C at most 2, as float32 of full scale 1.

    More channels become their mean, whatever loudspeaker places their layout names: recorders
    number microphones.
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


def _on_clock(first: TimedBlock, rest: Iterable[TimedBlock]) -> Iterator[np.ndarray]:
    """Yield blocks (C, n) that follow each other without gap from t = 0, all like the first."""
    (channels, _), rate = first[1].shape, first[2]
    written, lag = 0, None
    for time, block, block_rate in chain([first], rest):
        count = round(block.shape[1] * rate / block_rate)
        if len(block) != channels:
            block = np.repeat(block.mean(axis=0, keepdims=True), channels, axis=0)
        block = _stretch(block, count)
        late = float(time * rate) - written
        if lag is None or abs(late) > MAX_DEVIATION * rate:
            gap = round(late)
            for position in range(0, gap, SILENCE):
                yield np.zeros((channels, min(SILENCE, gap - position)), np.float32)
            block = block[:, max(-gap, 0) :]
            written += max(gap, 0)
            lag = 0.0 if block.shape[1] else None  # until the overlap is cut, cut
        else:
            lag = DRIFT_MEMORY * lag + (1 - DRIFT_MEMORY) * late
            if abs(lag) > DRIFT * rate:
                change = round(np.clip(lag, -MAX_STRETCH * count, MAX_STRETCH * count))
                block, lag = _stretch(block, count + change), lag - change
        written += block.shape[1]
        if block.shape[1]:
            yield block


def _stretch(block: np.ndarray, count: int) -> np.ndarray:
    """Return the block (C, n) as (C, count), linear between samples."""
    size = block.shape[1]
    if size in (0, count):
        return block
    at = np.linspace(0, size - 1, count)
    return np.stack([np.interp(at, np.arange(size), row) for row in block]).astype(np.float32)


def _resample(blocks: Iterable[np.ndarray], rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Yield the blocks (C, n) at another rate; as many samples as the whole length rounds to."""
    if rate == to_rate:
        yield from blocks
        return
    resampler, taken, given, channels = None, 0, 0, 0
    for block in blocks:
        channels = len(block)
        resampler = resampler or av.AudioResampler("fltp", LAYOUTS[channels], to_rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", LAYOUTS[channels])
        frame.sample_rate, frame.pts, frame.time_base = rate, taken, Fraction(1, rate)
        taken += block.shape[1]
        for out in resampler.resample(frame):
            given += out.samples
            yield out.to_ndarray()
    if resampler is None:
        return
    missing = max(round(Fraction(taken * to_rate, rate)) - given, 0)
    tail = [out.to_ndarray() for out in resampler.resample(None)]
    tail.append(np.zeros((channels, missing), np.float32))
    yield np.concatenate(tail, axis=1)[:, :missing]
