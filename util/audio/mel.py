"""Spectra of speech as a stream: windows, mel filters, and log-mel spectrograms.

Windows last 25 ms and come every 10 ms, each centred in its own 10 ms, four to a frame: windows
4 t to 4 t + 3 describe samples [640 t, 640 (t + 1)). Audio before the first sample and after the
last is silence. Logarithms are natural, of power in units of full scale.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice, repeat
from typing import TypeVar

import numpy as np

from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLE_RATE, SAMPLES_PER_FRAME

HOP, WINDOW, FFT = 160, 400, 512  # samples
MARGIN = (WINDOW - HOP) // 2  # samples by which a window passes its 10 ms on both sides
HOPS_PER_FRAME = SAMPLES_PER_FRAME // HOP  # 4
N_MELS = 80
HIGHEST = 8000.0  # Hz
MEL_FLOOR = 1e-8  # -80 dB of full scale: less in a band is silence
MIN_DEVIATION = 0.1  # nepers; silence is not made loud
BATCH = 64_000  # samples computed at once: memory does not grow with the audio
WINDOW_FRAMES, WINDOW_STRIDE = 25, 12  # frames of an identity and emotion window, and between two

Item = TypeVar("Item")


class WindowStream:
    """Windows (N, 400) of audio that comes in chunks of any size, in bounded memory.

    A window comes out as soon as 120 samples past its 10 ms are there.
    """

    def __init__(self) -> None:
        self._reset()

    def push(self, audio_S: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the windows that the next samples (S,) complete.

        Raises `DataError` on another shape than (S,), whole numbers, and NaN.
        """
        audio_S = check_audio(audio_S, first=self._samples)
        self._samples += len(audio_S)
        yield from self._advance(audio_S)

    def finish(self) -> Iterator[np.ndarray]:
        """Yield the windows that silence up to a whole frame completes; start anew."""
        yield from self._advance(np.zeros(-self._samples % SAMPLES_PER_FRAME + MARGIN, np.float32))
        self._reset()

    def _reset(self) -> None:
        self._samples = 0
        self._audio_S = np.zeros(MARGIN, np.float32)

    def _advance(self, audio_S: np.ndarray) -> Iterator[np.ndarray]:
        for begin in range(0, len(audio_S), BATCH):
            self._audio_S = np.concatenate([self._audio_S, audio_S[begin : begin + BATCH]])
            if len(self._audio_S) >= WINDOW:
                windows_NW = np.lib.stride_tricks.sliding_window_view(self._audio_S, WINDOW)[::HOP]
                self._audio_S = self._audio_S[len(windows_NW) * HOP :].copy()
                yield windows_NW


def check_audio(audio_S: np.ndarray, *, first: int = 0) -> np.ndarray:
    """Return audio (S,), of which `first` samples came before.

    Raises `DataError` on another shape, whole numbers, and NaN.
    """
    audio_S = np.asarray(audio_S)
    if audio_S.ndim != 1 or audio_S.dtype.kind != "f":
        raise DataError(f"mono audio (S,) of floats is needed, not {audio_S.dtype} {audio_S.shape}")
    if not np.isfinite(audio_S).all():
        bad = int(np.isfinite(audio_S).argmin())
        raise DataError(f"sample {first + bad} of the audio is {audio_S[bad]}")
    return audio_S


class RunningMean:
    """The mean of rows (B,) that are speech, up to each row; older ones are forgotten gradually.

    Args:
        mean_B: before the first row.
        prior: number of rows that it counts as.
        memory: number of rows that the mean is taken over.
    """

    def __init__(self, mean_B: np.ndarray, *, prior: float, memory: float) -> None:
        self._mean_B, self._count, self._memory = np.array(mean_B, np.float64), prior, memory

    def push(self, rows_NB: np.ndarray, is_speech_N: np.ndarray) -> np.ndarray:
        """Return the means (N, B) at the next rows (N, B), each of which counts in its own."""
        means_NB = np.empty_like(rows_NB)
        for n, is_speech in enumerate(is_speech_N):
            if is_speech:
                self._count = min(self._count + 1, self._memory)
                self._mean_B = self._mean_B + (rows_NB[n] - self._mean_B) / self._count
            means_NB[n] = self._mean_B
        return means_NB


def power_spectra(windows_NW: np.ndarray) -> np.ndarray:
    """Return power spectra (N, 257) whose sum is a window's mean square, in units of full scale."""
    spectrum = np.fft.rfft(windows_NW * _taper(), n=FFT)
    return np.square(spectrum.real) + np.square(spectrum.imag)


def log_power(power: np.ndarray, floor: float) -> np.ndarray:
    """Return the natural logarithm of power, of at least `floor`."""
    return np.log(np.maximum(power, floor))


def frequencies() -> np.ndarray:
    """Return the frequencies (257,) of a spectrum, Hz."""
    return np.arange(FFT // 2 + 1) * SAMPLE_RATE / FFT


def mel_filters(
    bands: int = N_MELS, *, lowest: float = 0.0, highest: float = HIGHEST, equal_area: bool = True
) -> np.ndarray:
    """Return triangles (bands, 257), evenly spaced in Slaney's mel, of equal area or of peak 1.

    Equal to `librosa.filters.mel` (norm "slaney" or None) but for the last bits, on which the
    shipped checkpoints' results depend.
    """
    edges = _from_mel(np.linspace(_to_mel(lowest), _to_mel(highest), bands + 2))
    rising = (frequencies() - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies()) / np.diff(edges)[1:, None]
    filters = np.minimum(rising, falling).clip(min=0)
    return filters * (2 / (edges[2:] - edges[:-2]))[:, None] if equal_area else filters


def log_mels(audio_S: np.ndarray) -> np.ndarray:
    """Return log-mels (80, 4 T) float32, T = ceil(S / 640), of 16 kHz mono audio in [-1, 1].

    Raises `DataError` as `WindowStream.push` does.
    """
    stream = LogMelStream()
    return np.concatenate([stream.push(audio_S), stream.finish()], 1)


class LogMelStream:
    """`log_mels` of audio that comes in chunks of any size, in bounded memory."""

    def __init__(self) -> None:
        self._windows = WindowStream()
        self._rest_BL = np.zeros((N_MELS, 0), np.float32)  # of a frame that is not complete

    def push(self, audio_S: np.ndarray) -> np.ndarray:
        """Take the next samples (S,) and return the log-mels (80, 4 n) of the frames they end."""
        return self._whole_frames(self._windows.push(audio_S))

    def finish(self) -> np.ndarray:
        """Return the log-mels (80, 4 n) of what silence makes whole frames; start anew."""
        return self._whole_frames(self._windows.finish())

    def _whole_frames(self, windows: Iterable[np.ndarray]) -> np.ndarray:
        mel_BL = np.concatenate((self._rest_BL, _mel_columns(windows)), 1)
        whole = mel_BL.shape[1] // HOPS_PER_FRAME * HOPS_PER_FRAME
        self._rest_BL = mel_BL[:, whole:]
        return mel_BL[:, :whole]


def normalise_utterance(mels_BN: np.ndarray) -> np.ndarray:
    """Return log-mels (80, N) with mean 0 and deviation 1 in each band over the utterance.

    Cepstral mean and variance normalisation (CMVN) of one utterance: it removes most of a voice's
    timbre and keeps the phones.
    """
    mean_B1, deviation_B1 = mels_BN.mean(1, keepdims=True), mels_BN.std(1, keepdims=True)
    return ((mels_BN - mean_B1) / deviation_B1.clip(min=MIN_DEVIATION)).astype(np.float32)


def normalise_global(
    mels_BN: np.ndarray, mean_B: np.ndarray, deviation_B: np.ndarray
) -> np.ndarray:
    """Return log-mels (80, N) in deviations of the training voices' bands, with overall mean 0.

    This keeps timbre, which carries identity and emotion, and removes the recording's level.
    """
    mels_BN = (mels_BN - mean_B[:, None]) / deviation_B[:, None]
    return (mels_BN - mels_BN.mean()).astype(np.float32)


def mel_frames(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the mels (80, 4) of each frame. Raises `DataError` on chunks of another shape."""
    for mel_BL in chunks:
        if mel_BL.ndim != 2 or mel_BL.shape[0] != N_MELS or mel_BL.shape[1] % HOPS_PER_FRAME:
            raise DataError(f"log-mels {mel_BL.shape}; ({N_MELS}, {HOPS_PER_FRAME} n) are needed")
        for begin in range(0, mel_BL.shape[1], HOPS_PER_FRAME):
            yield np.ascontiguousarray(mel_BL[:, begin : begin + HOPS_PER_FRAME], np.float32)


def mel_windows(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield windows (80, 4 `WINDOW_FRAMES`); the last one reaches the end.

    Speech shorter than a window is repeated until it fills one.
    """
    kept: list[np.ndarray] = []
    count = 0
    for mel_BC in mel_frames(chunks):
        kept = [*kept[1 - WINDOW_FRAMES :], mel_BC]
        count += 1
        if count >= WINDOW_FRAMES and (count - WINDOW_FRAMES) % WINDOW_STRIDE == 0:
            yield np.concatenate(kept, 1)
    if 0 < count < WINDOW_FRAMES:
        yield np.concatenate([kept[i % count] for i in range(WINDOW_FRAMES)], 1)
    elif count and (count - WINDOW_FRAMES) % WINDOW_STRIDE:
        yield np.concatenate(kept, 1)


def repeat_last(items: Iterable[Item], more: int) -> Iterator[Item]:
    """Yield the items, then the last one `more` times."""
    last = None
    for last in items:
        yield last
    if last is not None:
        yield from repeat(last, more)


def batched(items: Iterable[Item], count: int) -> Iterator[list[Item]]:
    """Yield `count` items at once; the last ones may be fewer."""
    items = iter(items)
    while group := list(islice(items, count)):
        yield group


def _mel_columns(windows: Iterable[np.ndarray]) -> np.ndarray:
    columns = [np.zeros((N_MELS, 0), np.float32)]
    for windows_NW in windows:
        power_BN = _mel_filters() @ power_spectra(windows_NW).T
        columns.append(log_power(power_BN, MEL_FLOOR).astype(np.float32))
    return np.concatenate(columns, 1)


@cache
def _taper() -> np.ndarray:
    """Return a Hann window, symmetric about the middle of its 10 ms: a click has one loudest."""
    hann = np.hanning(WINDOW)
    return hann * np.sqrt(2 / FFT / np.square(hann).sum())


@cache
def _mel_filters() -> np.ndarray:
    """Return the filters times their typical width, so that bands are in units of power."""
    return mel_filters() * SAMPLE_RATE / FFT


def _to_mel(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else 15 + np.log(hertz / 1000) * 27 / np.log(6.4)


def _from_mel(mel_B: np.ndarray) -> np.ndarray:
    return np.where(mel_B < 15, mel_B * 200 / 3, 1000 * np.exp((mel_B - 15) * np.log(6.4) / 27))
