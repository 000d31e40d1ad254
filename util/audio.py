"""Sound in and out: any file that PyAV reads becomes a mono wave on the clock of its picture."""

import wave
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from speech2video.util.errors import DataError
from speech2video.util.files import replacing, writing
from speech2video.util.loudness import loudness_gain
from speech2video.util.sound_stream import read_sound

SPEECH_RATE = 16_000  # Hz, what all features are computed from


def read_audio(
    path: Path, *, rate: int = SPEECH_RATE, start: float = 0.0, duration: float | None = None
) -> Iterator[np.ndarray]:
    """Yield the sound as mono chunks (S,) float32 in [-1, 1], one second each but the last.

    `start` and `duration` are seconds on the clock shared with the picture, `rate` is in Hz. Stereo
    becomes the mean of its channels. Takes the memory of a few seconds, however long the sound.
    Raises `DataError` if there is no sound track or nothing in it decodes to finite numbers.
    """
    begin = round(start * rate)
    end = None if duration is None else begin + round(duration * rate)
    mono = (block.mean(axis=0).clip(-1, 1) for block in read_sound(path, rate=rate))
    yield from _rechunk(_cut(mono, begin, end), rate)


def load_wave(path: Path, *, rate: int = SPEECH_RATE, normalise: bool = False) -> np.ndarray:
    """Return the whole sound (S,) float32 in [-1, 1], mono, as `read_audio` yields it.

    `normalise` applies `normalise_loudness`. Raises `DataError` as `read_audio` does, and if the
    sound is empty.
    """
    chunks = list(read_audio(path, rate=rate))
    if not chunks:
        raise DataError(f"{path}: the sound is empty")
    wave_S = np.concatenate(chunks)
    return normalise_loudness(wave_S, rate=rate) if normalise else wave_S


def normalise_loudness(wave_S: np.ndarray, *, rate: int = SPEECH_RATE) -> np.ndarray:
    """Return the wave (S,) scaled so that what is spoken, pauses left out, is as loud as `LEVEL`.

    By `loudness.loudness_gain`, so peaks never pass 1. Silence stays.
    """
    gain = loudness_gain([wave_S], rate=rate)
    return np.multiply(wave_S, gain, dtype=np.float64).astype(np.float32)


def write_wave(path: Path, wave_S: np.ndarray, rate: int = SPEECH_RATE) -> None:
    """Write a mono wave (S,) in [-1, 1] as 16-bit PCM, beside and then renamed.

    Values past full scale are clipped. Raises `DataError` on a wrong shape, on NaN, and where the
    file cannot be written.
    """
    path, wave_S = Path(path), np.asarray(wave_S)
    if wave_S.ndim != 1 or not np.isfinite(wave_S).all():
        raise DataError(f"{path}: a mono wave (S,) of finite numbers is needed, not {wave_S.shape}")
    pcm_S = np.clip(np.round(wave_S * 32768.0), -32768, 32767).astype("<i2")
    with replacing(path) as partial, writing(path), wave.open(str(partial), "wb") as file:
        file.setparams((1, 2, rate, len(pcm_S), "NONE", ""))
        file.writeframes(pcm_S.tobytes())


def _cut(blocks: Iterable[np.ndarray], begin: int, end: int | None) -> Iterator[np.ndarray]:
    """Yield what of the blocks (S,) lies between two sample numbers."""
    position = 0
    for block in blocks:
        last = None if end is None else max(end - position, 0)
        part = block[max(begin - position, 0) : last]
        position += len(block)
        if len(part):
            yield part
        if end is not None and position >= end:
            return


def _rechunk(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yield the same samples in chunks of `size`; the last may be shorter."""
    rest = np.zeros(0, np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
    if len(rest):
        yield rest
