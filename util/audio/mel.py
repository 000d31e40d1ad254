"""Log-mel bands of speech for faces: 80 bands, four windows to a frame of 25 a second.

25 ms every 10 ms, 512-point FFT, up to 8 kHz, each window centred in its own 10 ms: columns 4 t to
4 t + 3 describe samples [640 t, 640 (t + 1)). Filters are librosa's (Slaney's mel, triangles of
equal area). Sound before the first sample and after the last is silence. Logarithms are natural, of
power in units of full scale.

`normalise_utterance` takes an utterance's mean and deviation out of each band, and with them most of a
voice's colour: what is said is left. `normalise_global` leaves the colour in.
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
N_MELS = 80
HIGHEST = 8000.0  # Hz
COLUMNS_PER_FRAME = 4  # of a frame at 25 a second
FLOOR = 1e-8  # -80 dB of full scale: less in a band is silence
LEAST_DEVIATION = 0.1  # nepers; silence is not made loud
BATCH = 64_000  # samples computed at once: memory does not grow with the sound


def log_mels(audio_S: np.ndarray) -> np.ndarray:
    """Return log-mels (80, 4 T) float32, T = ceil(S / 640), of a 16 kHz mono wave in [-1, 1].

    Raises `DataError` on another shape than (S,), whole numbers, and NaN.
    """
    stream = LogMelStream()
    return np.concatenate([stream.push(audio_S), stream.finish()], 1)


class LogMelStream:
    """`log_mels` of a wave that comes in chunks of any size, in bounded memory.

    A column comes out as soon as 120 samples past its 10 ms are there.
    """

    def __init__(self) -> None:
        self._start()

    def push(self, audio_S: np.ndarray) -> np.ndarray:
        """Take the next samples (S,) and return the columns (80, n) that are complete by now."""
        audio_S = np.asarray(audio_S)
        if audio_S.ndim != 1 or audio_S.dtype.kind != "f":
            seen = f"{audio_S.dtype} {audio_S.shape}"
            raise DataError(f"a mono wave (S,) of floats is needed, not {seen}")
        if not np.isfinite(audio_S).all():
            first = int(np.isfinite(audio_S).argmin())
            raise DataError(f"sample {self._samples + first} of the sound is {audio_S[first]}")
        self._samples += len(audio_S)
        return self._advance(audio_S)

    def finish(self) -> np.ndarray:
        """Return the columns (80, n) that silence up to a whole frame completes; start anew."""
        silence = np.zeros(-self._samples % SAMPLES_PER_FRAME + MARGIN, np.float32)
        columns = self._advance(silence)
        self._start()
        return columns

    def _start(self) -> None:
        self._samples = 0
        self._wave_S = np.zeros(MARGIN, np.float32)

    def _advance(self, audio_S: np.ndarray) -> np.ndarray:
        columns = [np.zeros((N_MELS, 0), np.float32)]
        for begin in range(0, len(audio_S), BATCH):
            self._wave_S = np.concatenate([self._wave_S, audio_S[begin : begin + BATCH]])
            count = (len(self._wave_S) - WINDOW) // HOP + 1
            if count > 0:
                columns.append(_columns(self._wave_S, count))
                self._wave_S = self._wave_S[count * HOP :].copy()
        return np.concatenate(columns, 1)


def normalise_utterance(mels_BN: np.ndarray) -> np.ndarray:
    """Return log-mels (80, N) with mean 0 and deviation 1 in each band over the utterance."""
    mean_B1, deviation_B1 = mels_BN.mean(1, keepdims=True), mels_BN.std(1, keepdims=True)
    return ((mels_BN - mean_B1) / deviation_B1.clip(min=LEAST_DEVIATION)).astype(np.float32)


def normalise_global(
    mels_BN: np.ndarray, mean_B: np.ndarray, deviation_B: np.ndarray
) -> np.ndarray:
    """Return log-mels (80, N) in deviations of training voices' bands, with mean 0 in all together.

    Who speaks and how they feel is heard in how strong bands are beside each other; how loud the
    recording is says nothing of them.
    """
    mels_BN = (mels_BN - mean_B[:, None]) / deviation_B[:, None]
    return (mels_BN - mels_BN.mean()).astype(np.float32)


def mel_filters() -> np.ndarray:
    """Return the filters (80, 257): triangles evenly spaced in Slaney's mel, of equal area.

    Equal to `librosa.filters.mel(sr=16000, n_fft=512, n_mels=80, fmax=8000)`.
    """
    edges = _hertz(np.linspace(0.0, _mel(HIGHEST), N_MELS + 2))
    bins = np.arange(FFT // 2 + 1) * SAMPLE_RATE / FFT
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.minimum(rising, falling).clip(min=0) * (2 / (edges[2:] - edges[:-2]))[:, None]


def _columns(audio_S: np.ndarray, count: int) -> np.ndarray:
    windows_NW = np.lib.stride_tricks.sliding_window_view(audio_S, WINDOW)[::HOP][:count]
    spectrum = np.fft.rfft(windows_NW * _taper(), n=FFT)
    power_NF = np.square(spectrum.real) + np.square(spectrum.imag)
    return np.log(np.maximum(_table() @ power_NF.T, FLOOR)).astype(np.float32)


@cache
def _taper() -> np.ndarray:
    """A Hann window, symmetric about the middle of its 10 ms; a full-scale wave has power 1."""
    hann = np.hanning(WINDOW)
    return hann * np.sqrt(2 / FFT / np.square(hann).sum())


@cache
def _table() -> np.ndarray:
    """The filters times their typical width, so that bands are in units of power."""
    return mel_filters() * SAMPLE_RATE / FFT


def _mel(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else 15 + np.log(hertz / 1000) * 27 / np.log(6.4)


def _hertz(mel_B: np.ndarray) -> np.ndarray:
    return np.where(mel_B < 15, mel_B * 200 / 3, 1000 * np.exp((mel_B - 15) * np.log(6.4) / 27))


# Log-mels that come in chunks of any size: as frames, and as windows to listen in.

Item = TypeVar("Item")

WINDOW_FRAMES, WINDOW_STRIDE = (
    25,
    12,
)  # frames of a window that who and how are heard in, and between two


def mel_frames(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the mels (80, 4) of each frame."""
    for mel_BL in chunks:
        if mel_BL.ndim != 2 or mel_BL.shape[0] != N_MELS or mel_BL.shape[1] % COLUMNS_PER_FRAME:
            raise DataError(
                f"log-mels {mel_BL.shape}; ({N_MELS}, {COLUMNS_PER_FRAME} n) are needed"
            )
        for begin in range(0, mel_BL.shape[1], COLUMNS_PER_FRAME):
            yield np.ascontiguousarray(mel_BL[:, begin : begin + COLUMNS_PER_FRAME], np.float32)


def repeat_last(frames: Iterable[np.ndarray], more: int) -> Iterator[np.ndarray]:
    """Yield frames, and the last one so many times more."""
    last = None
    for last in frames:
        yield last
    if last is not None:
        yield from repeat(last, more)


def batched(items: Iterable[Item], count: int) -> Iterator[list[Item]]:
    """Yield so many items at once; the last ones may be fewer."""
    items = iter(items)
    while group := list(islice(items, count)):
        yield group


def mel_windows(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield windows (80, 4 `WINDOW_FRAMES`); the last one reaches the end of what is heard.

    Speech shorter than a window is heard over and over until it fills one.
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
