"""Phone states of human voices: the acoustic model of the package pocketsphinx.

The model's 5126 Gaussian mixtures ("senones") are states of phones in context, learned from many
people's recorded speech, which synthetic voices cannot replace. Here their likelihoods are computed
100 times a second, and summed up for each state of each phone: 126 probabilities. phone_hmm.py
makes phones of them. Front end and file formats are those of Sphinx (Huggins-Daines et al.,
"PocketSphinx", ICASSP 2006); its noise removal follows Kim & Stern, "Power-normalized cepstral
coefficients", ICASSP 2012.
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from scipy.fft import dct
from threadpoolctl import ThreadpoolController

from speech2video.util.audio import mel
from speech2video.util.errors import DataError

STATES = 126  # of 42 phones, three each
DELAY_HOPS = 3  # of 10 ms, by which states are late: what their differences need

BANDS, CEPSTRA = 25, 13
LOWEST, HIGHEST = 130.0, 6800.0  # Hz
EMPHASIS, LIFTER, FULL_SCALE = 0.97, 22, 32768
QUIETEST = 2.0  # power added to each band, as of a quiet room: the model knows no digital silence
STREAMS = 3  # cepstra, their first and second differences
REACH = 3  # windows on both sides that the second differences need
MIN_VARIANCE = 1e-4
WEIGHT_LOG = 1024 * np.log(1.0001)  # of a mixture weight's unit
BLOCK = 100  # windows evaluated at once, which fit into the processor's cache
UNLIKELY = -9.0  # of a phone's best Gaussians, relative to the best phone's: it is not evaluated
UNLIKELY_SENONE = -25.0  # logarithm that its senones have
MIN_LIKELIHOOD = 1e-12  # of a stream, relative to the best mixture's

# Silence and noises also match a voice that the model does not know, and phones match digital
# silence. So the log likelihood of silence falls by each unit of the first cepstrum, less the
# voice's mean, above the second of these, and that of phones by two for each below the first.
SILENCE, NOISES = "SIL", ("+NSN+", "+SPN+")
SURELY_SILENT, SURELY_LOUD = -42.0, -3.0

# Noise removal: shares of the past in smoothed power, its envelope, and masking by a peak before.
POWER_PAST, RISE_PAST, FALL_PAST = 0.7, 0.995, 0.5
MIN_POWER = 1e-6  # of digital silence
PEAK_PAST, MASKED, MAX_GAIN, SMOOTHED_BANDS = 0.85, 0.2, 20.0, 4

# Running mean of the cepstra: over what is loud enough for speech at the usual loudness.
SPEECH_CEPSTRUM = 30.0  # of the first cepstrum
PRIOR_WINDOWS, MEMORY_WINDOWS = 50.0, 1500.0  # 0.5 s and 15 s


@dataclass(frozen=True, eq=False)
class AcousticModel:
    """Mixtures of a phonetically tied Sphinx model: a codebook of Gaussians for each phone.

    Its senones are in the order of phones and states here.

    Attributes:
        phones: names of the 42 phones, in ARPAbet but for silence and noise.
        quadratic_SXG: (3, 27, G) factors of squared features, features and 1, for all Gaussians.
        weights: for each codebook (3, K, n), its senones' weights.
        starts: (126,) the first senone of each state of each phone.
        triphones: (n, 4) word position, phone, phone before and after.
        senones_N3: (n, 3) each triphone's senones.
        stay_P3: (42, 3) chance of each state to last for another window.
    """

    phones: tuple[str, ...]
    quadratic_SXG: np.ndarray
    weights: list[np.ndarray]
    starts: np.ndarray
    triphones: np.ndarray
    senones_N3: np.ndarray
    stay_P3: np.ndarray

    def log_likelihoods(self, features_TSC: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the senones' log likelihoods (up to `BLOCK`, 5126) of features (T, 3, 13).

        They are relative to the window's best phone; `UNLIKELY` phones are not evaluated.
        """
        for t in range(0, len(features_TSC), BLOCK):
            yield self._block(features_TSC[t : t + BLOCK])

    def _block(self, features_TSC: np.ndarray) -> np.ndarray:
        count, books = len(features_TSC), len(self.weights)
        x_STC = features_TSC.transpose(1, 0, 2).astype(np.float32)
        x_STX = np.concatenate([x_STC**2, x_STC, np.ones_like(x_STC[..., :1])], 2)
        log_STBK = (x_STX @ self.quadratic_SXG).reshape(STREAMS, count, books, -1)
        best_STB1 = log_STBK.max(3, keepdims=True)
        best_TB = best_STB1.sum(0)[..., 0]
        best_TB -= best_TB.max(1, keepdims=True)
        log_TN = np.full(
            (count, sum(w.shape[2] for w in self.weights)), UNLIKELY_SENONE, np.float32
        )
        for b, weights_SKN in enumerate(self.weights):
            likely = np.flatnonzero(best_TB[:, b] > UNLIKELY)  # the others cost time alone
            if not len(likely):
                continue
            mixed_MN = np.ones((), np.float32)
            for s in range(STREAMS):
                relative_MK = log_STBK[s, likely, b] - best_STB1[s, likely, b]
                stream_MN = np.exp(relative_MK) @ weights_SKN[s]
                mixed_MN = mixed_MN * np.maximum(stream_MN, MIN_LIKELIHOOD)
            first = self.starts[3 * b]
            own = slice(first, first + weights_SKN.shape[2])
            log_TN[likely, own] = np.log(mixed_MN) + best_TB[likely, b, None]
        return np.maximum(log_TN, UNLIKELY_SENONE)

    def of_phones(self, *names: str) -> np.ndarray:
        """Return which senones (5126,) belong to phones of these names."""
        phones = np.array([self.phones.index(name) for name in names])
        numbers = np.searchsorted(self.starts, np.arange(self.senones_N3.max() + 1), "right") - 1
        return np.isin(numbers // 3, phones)

    def states(self, log_TN: np.ndarray) -> np.ndarray:
        """Return the states' probabilities (T, 126) of senones' log likelihoods."""
        states_TN = np.add.reduceat(np.exp(log_TN), self.starts, axis=1)
        return states_TN / states_TN.sum(1, keepdims=True)


def single_thread() -> AbstractContextManager[object]:
    """Let NumPy's products take one thread.

    On a busy machine, several would wait for each other at every small product.
    """
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def is_available() -> bool:
    """Return whether the package with the acoustic model is installed."""
    return _model_folder() is not None


@cache
def acoustic_model() -> AcousticModel:
    """Return the model of the package pocketsphinx. Raises `DataError` if it is not installed."""
    folder = _model_folder()
    if folder is None:
        raise DataError("phone states need the package pocketsphinx (pip install pocketsphinx)")
    means, variances = (_read_gaussians(folder / name) for name in ("means", "variances"))
    inverse = 1 / np.maximum(variances, MIN_VARIANCE)
    constant = 0.5 * (np.log(inverse / (2 * np.pi)) - means**2 * inverse).sum(-1, keepdims=True)
    quadratic = np.concatenate([-0.5 * inverse, means * inverse, constant], -1)  # (B, S, K, 27)
    names, triphones, senones_N3 = _read_definition(folder / "mdef")
    phone, state = np.zeros((2, senones_N3.max() + 1), int)
    phone[senones_N3], state[senones_N3] = triphones[:, 1:2], np.arange(3)
    order = np.lexsort((state, phone))
    weights_SKN = np.exp(-_read_weights(folder / "sendump", len(order)) * np.float32(WEIGHT_LOG))
    return AcousticModel(
        names,
        quadratic.transpose(1, 3, 0, 2).reshape(STREAMS, 2 * CEPSTRA + 1, -1).astype(np.float32),
        [
            np.ascontiguousarray(weights_SKN[..., order[phone[order] == b]])
            for b in range(len(means))
        ],
        np.searchsorted((3 * phone + state)[order], np.arange(STATES)),
        triphones,
        np.argsort(order)[senones_N3],
        _read_transitions(folder / "transition_matrices"),
    )


def phone_language_model(phones: Sequence[str]) -> np.ndarray:
    """Return pocketsphinx' chance (P, P, P) of the third phone after the first two."""
    from pocketsphinx import Config, LogMath, NGramModel

    logarithm, folder = LogMath(), _model_folder()
    assert folder is not None
    model = NGramModel(Config(), logarithm, str(folder.parent / "en-us-phone.lm.bin"))
    size = len(phones)
    chances = [logarithm.exp(model.prob([*words][::-1])) for words in product(phones, repeat=3)]
    return np.array(chances).reshape(size, size, size)


class SenoneStream:
    """Senones of speech at the usual loudness, `DELAY_HOPS` late, as it arrives.

    The first rows belong to no audio.

    Args:
        mean_C: cepstra's mean (13,) over the speech of many voices, to begin from.
    """

    def __init__(self, mean_C: np.ndarray) -> None:
        self._model = acoustic_model()
        self._noises = np.flatnonzero(self._model.of_phones(SILENCE, *NOISES))
        self._cepstra = CepstraStream()
        self._mean = mel.RunningMean(mean_C, prior=PRIOR_WINDOWS, memory=MEMORY_WINDOWS)
        self._past_NC = np.zeros((2 * REACH, CEPSTRA))

    def push(self, power_NF: np.ndarray) -> Iterator[np.ndarray]:
        """Take spectra (N, 257) of windows (`mel.power_spectra`); yield N rows (n, 5126)."""
        cepstra_NC, is_speech_N = self._cepstra.push(power_NF)
        cepstra_NC = cepstra_NC - self._mean.push(cepstra_NC, is_speech_N)
        c = np.concatenate([self._past_NC, cepstra_NC])
        self._past_NC = c[len(c) - 2 * REACH :]

        def at(offset: int) -> np.ndarray:
            return c[REACH + offset :][: len(cepstra_NC)]

        first = at(2) - at(-2)
        second = at(3) - at(-1) - (at(1) - at(-3))
        features_TSC = np.stack([at(0), first, second], 1)
        return self._rows(features_TSC)

    def _rows(self, features_TSC: np.ndarray) -> Iterator[np.ndarray]:
        begin = 0
        for log_TN in self._model.log_likelihoods(features_TSC):
            loudness_T1 = features_TSC[begin : begin + len(log_TN), 0, :1].astype(np.float32)
            begin += len(log_TN)
            silent_T1 = 2 * np.maximum(SURELY_SILENT - loudness_T1, 0)
            loud_T1 = np.maximum(loudness_T1 - SURELY_LOUD, 0)
            if silent_T1.any():
                log_TN -= silent_T1
            log_TN[:, self._noises] += silent_T1 - loud_T1
            yield log_TN


class CepstraStream:
    """Sphinx' cepstra of speech at the usual loudness, as it arrives."""

    def __init__(self) -> None:
        self._noise: _NoiseRemoval | None = None

    def push(self, power_NF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take spectra (N, 257); return cepstra (N, 13), and which windows (N,) are speech."""
        power_NB = power_NF @ _filters().T + QUIETEST
        if self._noise is None and len(power_NB):
            self._noise = _NoiseRemoval(power_NB[0])
        if self._noise is not None:
            power_NB = self._noise.push(power_NB)
        cepstra_NC = np.asarray(dct(np.log(power_NB), norm="ortho"))[:, :CEPSTRA]
        return cepstra_NC * _lifter(), cepstra_NC[:, 0] > SPEECH_CEPSTRUM


class _NoiseRemoval:
    """Lower the bands in which power hardly rises above its slow lower envelope."""

    def __init__(self, first_B: np.ndarray) -> None:
        self._power_B, self._noise_B = first_B.copy(), first_B.copy()
        self._floor_B, self._peak_B = first_B / MAX_GAIN, np.zeros_like(first_B)
        bands = np.arange(len(first_B))
        near_BB = np.abs(bands[:, None] - bands) <= SMOOTHED_BANDS
        self._smooth_BB = near_BB / near_BB.sum(1, keepdims=True)

    def push(self, power_NB: np.ndarray) -> np.ndarray:
        """Return the next powers (N, B) without noise."""
        gain_NB = np.empty_like(power_NB)
        for n, now_B in enumerate(power_NB):
            self._power_B = POWER_PAST * self._power_B + (1 - POWER_PAST) * now_B
            self._noise_B = _envelope(self._power_B, self._noise_B)
            signal_B = np.maximum(self._power_B - self._noise_B, 1.0)
            self._floor_B = _envelope(signal_B, self._floor_B)
            past_B = PEAK_PAST * self._peak_B
            self._peak_B = np.maximum(past_B, signal_B)
            masked_B = np.where(signal_B < past_B, MASKED * past_B, signal_B)
            power_B = np.maximum(self._power_B, MIN_POWER)
            gain_NB[n] = np.maximum(masked_B, self._floor_B) / power_B
        return power_NB * (gain_NB.clip(1 / MAX_GAIN, MAX_GAIN) @ self._smooth_BB.T)


def _envelope(power_B: np.ndarray, below_B: np.ndarray) -> np.ndarray:
    past_B = np.where(power_B >= below_B, RISE_PAST, FALL_PAST)
    return past_B * below_B + (1 - past_B) * power_B


def _model_folder() -> Path | None:
    try:
        import pocketsphinx
    except ImportError:
        return None
    return Path(pocketsphinx.__file__).parent / "model" / "en-us" / "en-us"


@cache
def _filters() -> np.ndarray:
    """Return Sphinx' mel filters (25, 257) for powers of `mel.power_spectra`, with pre-emphasis."""
    edges = _hertz(np.linspace(_mel(LOWEST), _mel(HIGHEST), BANDS + 2))
    hertz = mel.frequencies()
    step = hertz[1]
    low, middle, high = ((np.round(edges / step) * step)[k : k + BANDS, None] for k in range(3))
    height = 2 / (high - low)
    filters = np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)) * height
    emphasis = np.abs(1 - EMPHASIS * np.exp(-2j * np.pi * np.arange(len(hertz)) / mel.FFT)) ** 2
    return filters.clip(min=0) * emphasis * _sphinx_power()


def _sphinx_power() -> float:
    """Return Sphinx' power of a window over that of `mel.power_spectra`, for white noise."""
    noise_NW = np.random.default_rng(0).standard_normal((100, mel.WINDOW))
    plain = np.abs(np.fft.rfft(noise_NW * np.hamming(mel.WINDOW), mel.FFT)) ** 2
    return FULL_SCALE**2 * float(plain.sum() / mel.power_spectra(noise_NW).sum())


def _mel(hertz: float) -> float:
    return 2595 * np.log10(1 + hertz / 700)


def _hertz(mels: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mels / 2595) - 1)


@cache
def _lifter() -> np.ndarray:
    return 1 + LIFTER / 2 * np.sin(np.arange(CEPSTRA) * np.pi / LIFTER)


def _read_gaussians(path: Path) -> np.ndarray:
    """Return means or variances (codebooks, streams, Gaussians, 13) of a Sphinx-3 file."""
    data = path.read_bytes()
    place = data.index(b"endhdr\n") + len(b"endhdr\n") + 4  # and the mark of the byte order
    books, streams, gaussians = struct.unpack_from("<3i", data, place)
    place += 4 * (3 + streams + 1)  # the streams' lengths, and the count of all numbers
    shape = books, streams, gaussians, CEPSTRA
    numbers = np.frombuffer(data, "<f4", int(np.prod(shape)), place)
    return numbers.reshape(shape).astype(np.float64)


def _read_weights(path: Path, senones: int) -> np.ndarray:
    """Return mixture weights (streams, Gaussians, senones), logarithms in units of `WEIGHT_LOG`."""
    data, place = path.read_bytes(), 0
    while length := struct.unpack_from("<i", data, place)[0]:  # lines of text, then 0
        place += 4 + length
    gaussians, columns = struct.unpack_from("<2i", data, place + 4)
    if columns != senones:
        raise DataError(f"{path}: weights of {columns} states, {senones} are needed")
    numbers = np.frombuffer(data, np.uint8, STREAMS * gaussians * columns, place + 12)
    return numbers.reshape(STREAMS, gaussians, columns).astype(np.float32)


def _read_definition(path: Path) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Return a binary model definition's phones, triphones (n, 4) and their senones (n, 3).

    The first triphones are the phones without context.
    """
    data = path.read_bytes()
    (skip,) = struct.unpack_from("<i", data, 8)
    place = 12 + skip
    phones, triphones, states, *_, nodes, _ = struct.unpack_from("<10i", data, place)
    place += 40
    names = []
    for _ in range(phones):
        end = data.index(b"\0", place)
        names.append(data[place:end].decode("ascii"))
        place = end + 1
    place = (place + 3) // 4 * 4 + 8 * nodes
    entry = np.dtype([("sequence", "<i4"), ("matrix", "<i4"), ("context", "u1", 4)])
    entries = np.frombuffer(data, entry, triphones, place)
    place += entry.itemsize * triphones
    sequences = np.frombuffer(data, "<u2", struct.unpack_from("<i", data, place)[0], place + 4)
    context = entries["context"].astype(int)
    context[:phones] = np.stack([0 * np.arange(phones), np.arange(phones)] * 2, 1)
    return tuple(names), context, sequences.reshape(-1, states)[entries["sequence"]].astype(int)


def _read_transitions(path: Path) -> np.ndarray:
    """Return the chance (phones, 3) of each state to last for another window."""
    data = path.read_bytes()
    place = data.index(b"endhdr\n") + len(b"endhdr\n") + 4
    phones, rows, columns = struct.unpack_from("<3i", data, place)
    chances = np.frombuffer(data, "<f4", phones * rows * columns, place + 16)
    chances = chances.reshape(phones, rows, columns)
    return np.diagonal(chances, axis1=1, axis2=2) / chances.sum(2)
