"""Speech as numbers for networks: MFCC or mel bands, 25 frames a second, computed as it comes.

A frame is 640 samples of 16 kHz and four windows of 25 ms, each centred in its own 10 ms of the
frame: frame t describes samples [640 t, 640 (t + 1)) and nothing needs aligning afterwards. Sound
before the first sample and after the last is silence.

`mfcc` is the set of Suwajanakorn et al., "Synthesizing Obama" (2017), rebuilt: 13 MFCC, log energy
and their deltas, 28 numbers a window. `logmel` is 80 log-mel bands a window. Logarithms are
natural, of power in units of full scale, at least `FLOOR`. Gain adds a constant to log energy and
the first MFCC, or to all bands; the usual loudness is to be given first
(`audio.normalise_loudness`, for streams `loudness`).

`snr` is 26 bands a window, what of their power the room's noise does not explain: the power less
the noise floor's (`noise_floor`), Boll's spectral subtraction (IEEE Trans. ASSP 27, 1979).
`voice_normalisation.normalised` makes of it speech beside the voice's level: 0 in any room's pause.
"""

from functools import cache

import numpy as np

from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLE_RATE, SAMPLES_PER_FRAME

# How loud a room is beneath the speech in it, band by band, followed as the sound comes.
#
# Somebody who speaks leaves gaps: in a band, even in the midst of a sentence. So a low quantile of
# the power over the last seconds is about that of the noise, whoever speaks. Minimum statistics
# (Martin, IEEE Trans. Speech and Audio Processing 9, 2001) are the idea, a quantile instead of the
# minimum is Stahl et al.'s (ICASSP 2000): it needs no correction for how long was listened.

FLOOR_HISTORY = 250  # frames of 0.04 s that are remembered, ten seconds
FLOOR_QUANTILE = 0.2  # share of them that are held for noise, at least
FLOOR_BATCH = 500  # frames computed at once: bounds memory


class NoiseFloor:
    """The low quantile of power over the past `FLOOR_HISTORY` frames, the present one included.

    While less was heard it is the quantile of that; so what sounds first is taken for noise until
    something quieter comes. How the frames are cut into chunks does not matter.
    """

    def __init__(self, bands: int) -> None:
        self._past = np.full((FLOOR_HISTORY - 1, bands), np.inf)

    def push(self, power_TB: np.ndarray) -> np.ndarray:
        """Return the floor (T, B) beneath each of the next frames' powers (T, B)."""
        parts = [np.zeros((0, self._past.shape[1]))]
        for begin in range(0, len(power_TB), FLOOR_BATCH):
            parts.append(self._floor(power_TB[begin : begin + FLOOR_BATCH]))
        return np.concatenate(parts)

    def _floor(self, power_TB: np.ndarray) -> np.ndarray:
        heard_NB = np.concatenate([self._past, power_TB])
        self._past = heard_NB[len(power_TB) :]
        recent_TBH = np.lib.stride_tricks.sliding_window_view(heard_NB, FLOOR_HISTORY, axis=0)
        known_T = np.isfinite(recent_TBH[:, 0]).sum(-1)
        ranks_T = (FLOOR_QUANTILE * (known_T - 1)).astype(int)
        sorted_TBH = np.partition(recent_TBH, np.unique(ranks_T), axis=-1)
        return np.take_along_axis(sorted_TBH, ranks_T[:, None, None], -1)[..., 0]


HOP = 160  # samples from window to window, 10 ms
WINDOW = 400  # samples, 25 ms
MARGIN = (WINDOW - HOP) // 2  # samples by which a window passes its 10 ms on both sides
FFT = 512  # samples, the window zero-padded
LOWEST, HIGHEST = 60.0, 7600.0  # Hz; hum lies below, what resampling leaves differs above
FLOOR = 1e-9  # -90 dB of full scale: less in a band is silence, in a studio or a digital one
MFCC_BANDS = 40  # wide enough that a high voice's harmonics are not bands of their own
COEFFICIENTS = 13  # MFCC kept, the first one included
LOGMEL_BANDS = 80
SNR_BANDS = 26  # fewer, so that noise averages out in each
SUBTRACTED = 2.0  # times the floor, a low quantile of the noise, that make up nearly all of it
REACH = {
    "mfcc": 2,
    "logmel": 0,
    "snr": 0,
}  # windows on both sides that a delta is fitted to; 0: no deltas
BATCH = 64_000  # samples computed at once, so that memory does not grow with the sound

WINDOWS = SAMPLES_PER_FRAME // HOP  # of a frame
FEATURE_SETS = {  # numbers a frame
    "mfcc": WINDOWS * 2 * (COEFFICIENTS + 1),
    "logmel": WINDOWS * LOGMEL_BANDS,
    "snr": WINDOWS * SNR_BANDS,
}
BANDS = {"mfcc": MFCC_BANDS, "logmel": LOGMEL_BANDS, "snr": SNR_BANDS}
# samples past its end that a frame depends on
LOOKAHEAD = {kind: MARGIN + reach * HOP for kind, reach in REACH.items()}


def feature_size(kind: str) -> int:
    """Return F, the numbers a frame of a feature set has. Raises `DataError` on unknown names."""
    if kind not in FEATURE_SETS:
        raise DataError(f"features {kind!r}: known are {', '.join(FEATURE_SETS)}")
    return FEATURE_SETS[kind]


def extract_features(audio_S: np.ndarray, *, kind: str = "mfcc") -> np.ndarray:
    """Return features (T, F) float32, T = ceil(S / 640), of a 16 kHz mono wave (S,) in [-1, 1].

    A frame is its four windows one after the other. Raises `DataError` on an unknown kind, another
    shape than (S,), whole numbers, and NaN.
    """
    stream = FeatureExtractor(kind)
    return np.concatenate([stream.push(audio_S), stream.finish()])


class FeatureExtractor:
    """`extract_features` of a wave that comes in chunks of any size, in bounded memory.

    A frame comes out as soon as `LOOKAHEAD` samples past its end are there.
    """

    def __init__(self, kind: str = "mfcc") -> None:
        feature_size(kind)
        self.kind, self._reach = kind, REACH[kind]
        self._start()

    def push(self, audio_S: np.ndarray) -> np.ndarray:
        """Take the next samples (S,) and return the frames (n, F) that are complete by now."""
        audio_S = np.asarray(audio_S)
        if audio_S.ndim != 1 or audio_S.dtype.kind != "f":
            raise DataError(
                f"a mono wave (S,) of floats is needed, not {audio_S.dtype} {audio_S.shape}"
            )
        if not np.isfinite(audio_S).all():
            first = int(np.isfinite(audio_S).argmin())
            raise DataError(f"sample {self._samples + first} of the sound is {audio_S[first]}")
        self._samples += len(audio_S)
        return self._advance(audio_S)

    def finish(self) -> np.ndarray:
        """Return the frames (n, F) that silence after the last sample completes; start anew."""
        silence = np.zeros(-self._samples % SAMPLES_PER_FRAME + MARGIN, np.float32)
        frames = [self._advance(silence)]
        if self._rows is not None:
            last = self._rows[-1:].repeat(self._reach, axis=0)
            self._rows = np.concatenate([self._rows, last])
            frames.append(self._frames())
        self._start()
        return np.concatenate(frames)

    def _start(self) -> None:
        self._samples = 0
        self._wave = np.zeros(MARGIN, np.float32)
        self._rows: np.ndarray | None = None  # static features of windows still needed
        self._floor = NoiseFloor(SNR_BANDS)

    def _advance(self, audio_S: np.ndarray) -> np.ndarray:
        """Return the frames (n, F) that some more samples, none refused, complete."""
        frames = [np.zeros((0, FEATURE_SETS[self.kind]), np.float32)]
        for begin in range(0, len(audio_S), BATCH):
            self._wave = np.concatenate([self._wave, audio_S[begin : begin + BATCH]])
            if len(self._wave) >= WINDOW:
                self._add_rows()
                frames.append(self._frames())
        return np.concatenate(frames)

    def _add_rows(self) -> None:
        windows_NW = np.lib.stride_tricks.sliding_window_view(self._wave, WINDOW)[::HOP]
        rows = _static_features(windows_NW, self.kind)
        self._wave = self._wave[len(rows) * HOP :].copy()
        if self._rows is None:
            self._rows = rows[:1].repeat(self._reach, axis=0)
        self._rows = np.concatenate([self._rows, rows])

    def _frames(self) -> np.ndarray:
        """Return whole frames (n, F) of the windows at hand, and forget what no later one needs."""
        reach = self._reach
        count = max(len(self._rows) - 2 * reach, 0) // WINDOWS
        rows = self._rows[: count * WINDOWS + 2 * reach if count else 0]
        self._rows = self._rows[count * WINDOWS :]
        if reach and count:
            rows = np.concatenate([rows[reach:-reach], _deltas(rows, reach)], axis=1)
        if self.kind == "snr":
            rows = _log(self._without_noise(rows))
        return rows.reshape(count, FEATURE_SETS[self.kind]).astype(np.float32)

    def _without_noise(self, power_NB: np.ndarray) -> np.ndarray:
        """Return the windows' powers (N, B), whole frames, less what the room explains."""
        power_TWB = power_NB.reshape(-1, WINDOWS, SNR_BANDS)
        floor_TB = self._floor.push(power_TWB.mean(axis=1))
        return (power_TWB - SUBTRACTED * floor_TB[:, None]).clip(min=0)


def mel_filters(bands: int) -> np.ndarray:
    """Return triangles of peak 1 (bands, 257), evenly spaced in mel from `LOWEST` to `HIGHEST`.

    The mel of Slaney's Auditory Toolbox: linear to 1 kHz, logarithmic above.
    """
    edges = _from_mel(np.linspace(_to_mel(LOWEST), _to_mel(HIGHEST), bands + 2))
    hertz = np.arange(FFT // 2 + 1) * SAMPLE_RATE / FFT
    rising = (hertz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - hertz) / np.diff(edges)[1:, None]
    return np.minimum(rising, falling).clip(min=0)


def _static_features(windows_NW: np.ndarray, kind: str) -> np.ndarray:
    """Return what each window says by itself (N, C), from its samples (N, 400)."""
    power = _power(windows_NW)
    mel = power @ _mel_table(BANDS[kind]).T
    if kind == "snr":  # powers still: their noise goes first
        return mel
    logmel = _log(mel)
    if kind == "logmel":
        return logmel
    cepstrum = logmel @ _cosines().T
    hertz = np.arange(FFT // 2 + 1) * SAMPLE_RATE / FFT
    voice = (hertz >= LOWEST) & (hertz <= HIGHEST)
    return np.concatenate([cepstrum, _log(power @ voice)[:, None]], axis=1)


def _power(windows_NW: np.ndarray) -> np.ndarray:
    """Return power spectra (N, 257) whose sum is a window's mean square, in units of full scale."""
    spectrum = np.fft.rfft(windows_NW * _taper(), n=FFT)
    return np.square(spectrum.real) + np.square(spectrum.imag)


def _log(power: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(power, FLOOR))


def _deltas(rows: np.ndarray, reach: int) -> np.ndarray:
    """Return the slope a window (N, C), by least squares, of features (N + 2 reach, C)."""
    count, steps = len(rows) - 2 * reach, range(-reach, reach + 1)
    slope = sum(step * rows[reach + step :][:count] for step in steps)
    return slope / sum(step * step for step in steps)


@cache
def _taper() -> np.ndarray:
    """A Hann window, symmetric about the middle of its 10 ms: a click has one loudest window."""
    hann = np.hanning(WINDOW)
    return hann * np.sqrt(2 / FFT / np.square(hann).sum())


@cache
def _cosines() -> np.ndarray:
    """The orthonormal cosine transform (DCT-II), (coefficients, bands)."""
    phase = np.outer(np.arange(COEFFICIENTS), np.arange(MFCC_BANDS) + 0.5) * np.pi / MFCC_BANDS
    table = np.sqrt(2 / MFCC_BANDS) * np.cos(phase)
    table[0] = np.sqrt(1 / MFCC_BANDS)
    return table


@cache
def _mel_table(bands: int) -> np.ndarray:
    return mel_filters(bands)


def _to_mel(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else 15 + np.log(hertz / 1000) * 27 / np.log(6.4)


def _from_mel(mel_B: np.ndarray) -> np.ndarray:
    return np.where(mel_B < 15, mel_B * 200 / 3, 1000 * np.exp((mel_B - 15) * np.log(6.4) / 27))
