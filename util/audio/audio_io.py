"""Read, write and normalise mono audio of any file, on the clock of `util.video.reader`."""

import wave
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, pairwise
from math import isnan
from pathlib import Path
from typing import Any

import av
import numpy as np

from speech2video.util.audio.tracks import Mix, choose_mix, to_samples
from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write, write_errors
from speech2video.util.timing import SAMPLE_RATE
from speech2video.util.video.reader import (
    MAX_GAP,
    ReadReport,
    audio_seconds,
    decode,
    folder_audio,
    is_frame_folder,
    note_once,
    open_media,
    video_start,
    wav_format,
)

TARGET_LEVEL = -23.0  # dB of full scale, of normalised speech (EBU R 128 asks it in LUFS)
GATE_WINDOW = 0.4  # seconds, ITU-R BS.1770-4
GATE_FLOOR = -70.0  # dB below full scale; anything less is silence
GATE_BELOW = 10.0  # dB below the mean; anything less is a pause
MAX_DEVIATION = 0.04  # seconds between audio and its time stamps that count as a gap or an overlap
DRIFT = 0.002  # seconds of lasting deviation that stretching corrects
DRIFT_MEMORY = 0.9  # share of the last deviation kept: single time stamps are rounded to 1 ms
MAX_STRETCH = 0.01  # share by which a block is stretched or squeezed at most; inaudible in speech
SILENCE = 48_000  # samples of silence made at once, so that a long gap takes no memory
MAX_HOURS = 6  # that are held in memory at once
MAX_SAMPLES = MAX_HOURS * 3600 * SAMPLE_RATE
LAYOUTS = {1: "mono", 2: "stereo"}

TimedBlock = tuple[Fraction, np.ndarray, int]  # seconds on the clock, samples (C, n), rate in Hz


def read_audio(path: Path, *, whole: bool = False) -> Iterator[np.ndarray]:
    """Yield 16 kHz mono audio in chunks (S,) float32 in [-1, 1], one second each but the last.

    Stereo becomes the mean of its channels. Takes the memory of a few seconds, however long the
    file. `whole` and errors as of `read_audio_blocks`.
    """
    rest_S = np.zeros(0, np.float32)
    for block in read_audio_blocks(path, rate=SAMPLE_RATE, whole=whole):
        rest_S = np.concatenate([rest_S, block.mean(axis=0).clip(-1, 1)])
        while len(rest_S) >= SAMPLE_RATE:
            yield rest_S[:SAMPLE_RATE]
            rest_S = rest_S[SAMPLE_RATE:]
    if len(rest_S):
        yield rest_S


def load_audio(path: Path, *, normalise: bool = False, whole: bool = False) -> np.ndarray:
    """Return a whole file's audio (S,) float32 in [-1, 1], mono, as `read_audio` yields it.

    `normalise` applies `normalise_loudness`. Raises `DataError` as `read_audio` does, if the audio
    is empty, and past `MAX_HOURS`.
    """
    audio_S = _load_plain_wav(path)
    if audio_S is not None:
        return normalise_loudness(audio_S) if normalise else audio_S
    chunks, size = [], 0
    for chunk in read_audio(path, whole=whole):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_SAMPLES:
            raise DataError(f"{path}: more than {MAX_HOURS} hours; cut it into shorter files")
    if not chunks:
        raise DataError(f"{path}: the audio is empty")
    audio_S, position = np.empty(size, np.float32), 0
    for chunk in chunks:
        audio_S[position : position + len(chunk)] = chunk
        position += len(chunk)
    return normalise_loudness(audio_S) if normalise else audio_S


def _load_plain_wav(path: Path) -> np.ndarray | None:
    """Return the audio (S,) of a wav file as `write_audio` writes it, None of any other.

    There is nothing to choose in it, and reading it through a decoder takes many times as long.
    """
    found = wav_format(path)
    if found is None or (found.tag, found.channels, found.valid_bits) != (1, 1, 16):
        return None
    try:
        with wave.open(str(path), "rb") as file:
            count = file.getnframes()
            if file.getparams()[:3] != (1, 2, SAMPLE_RATE) or count > MAX_SAMPLES:
                return None
            pcm = file.readframes(count)
    except (wave.Error, EOFError, OSError):
        return None
    if not count or len(pcm) != 2 * count:  # cut off, or the header does not know its length
        return None
    return np.frombuffer(pcm, "<i2") / np.float32(32768)


def count_samples(path: Path) -> int:
    """Return the number of samples of all of a file's audio at 16 kHz, in bounded memory.

    Raises `DataError` as `read_audio` does, and if the audio is empty.
    """
    samples = sum(map(len, read_audio(path, whole=True)))
    if not samples:
        raise DataError(f"{path}: the audio is empty")
    return samples


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


def read_audio_blocks(path: Path, *, rate: int, whole: bool = False) -> Iterator[np.ndarray]:
    """Yield blocks (C, n) float32 at `rate` Hz from t = 0; C is 1 or 2 and does not change.

    The track and the mix of its channels are those of `tracks.choose_mix`. Audio whose time stamps
    drift against its count of samples (recorders whose clock is off) is stretched to its time
    stamps; gaps are filled with silence. Values may pass ±1 slightly, as resampling overshoots.
    Damage and a part that is missing at the end are noted.

    Args:
        path: a file, or a folder of frames with an audio file.
        rate: of the blocks, Hz.
        whole: whether to keep audio from before the first video frame; t = 0 is then its start.

    Raises:
        DataError: no audio track, nothing in it decodes, or it holds no finite number.
    """
    if is_frame_folder(path):
        path = folder_audio(path) or path
    mix, report = choose_mix(path), ReadReport()
    start = video_start(path)
    with open_media(path) as container:
        stream = next(s for s in container.streams.audio if s.index == mix.stream)
        report.stated_seconds = audio_seconds(container, stream)
        decoded = decode(container, stream, report.damage)
        timed = _timed(path, decoded, mix, start, whole, report)
        first = next(timed, None)
        if first is None:
            raise DataError(f"{path}: no audio in it could be decoded")
        yield from _resample(_on_clock(first, timed), first[2], rate)
    header = wav_format(path)
    piped = header is not None and isnan(header.seconds)  # written before its size was known
    if not report.is_complete and not piped:
        note_once(path, f"damaged audio: {report}")


def _timed(
    path: Path,
    decoded: Iterable,
    mix: Mix,
    start: Fraction | None,
    whole: bool,
    report: ReadReport,
) -> Iterator[TimedBlock]:
    after, finite, begin, origin = Fraction(0), 0, Fraction(0), None
    items: Iterable[Any] = chain(decoded, (None,))
    for (time, frame), following in pairwise(items):
        samples = to_samples(frame)
        if following is None and frame.duration:
            # codecs fill up their last block; the file says how much of it counts
            seconds = frame.duration * (frame.time_base or Fraction(0))
            samples = samples[:, : round(seconds * frame.sample_rate)]
        if origin is None:
            begin = time or Fraction(0)
            origin = _clock_start(path, begin, start, whole)
        now = after if time is None else time - origin
        after = now + Fraction(samples.shape[1], frame.sample_rate)
        with np.errstate(invalid="ignore"):
            sane = np.abs(samples) <= mix.limit
        finite += np.count_nonzero(sane)
        if not sane.all():
            note_once(path, "samples that are no numbers, or absurd ones, are read as silence")
            samples = np.where(sane, samples, np.float32(0))
        yield now, mix.apply(samples), frame.sample_rate
    report.seconds = float(after + (origin or 0) - begin)
    if after and not finite:
        raise DataError(f"{path}: not one sample of the audio is a finite number")


def _clock_start(path: Path, audio: Fraction, video: Fraction | None, whole: bool) -> Fraction:
    """Return the time (s) of t = 0, given those of the first audio sample and video frame."""
    if video is None:
        return audio
    if abs(audio - video) > MAX_GAP:
        note_once(path, "video and audio start at unrelated times; both are taken from their start")
        return audio
    return min(audio, video) if whole else video


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
