"""Acoustic features of speech for networks, 25 frames a second, extracted as a stream.

A frame is its four windows (see `mel`) one after the other: frame t describes samples
[640 t, 640 (t + 1)). Gain adds a constant to log energy and the first MFCC, or to all bands, so
audio of the usual loudness is expected (`normalisation.RunningLoudness`).

`FEATURE_SETS` has one entry for each kind; a new kind is a subclass of `FeatureSet` and an entry.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speech2video.util.audio import mel
from speech2video.util.audio.encoders import (
    ARCHITECTURES,
    EncoderExtractor,
    EncoderName,
    encoder_info,
)
from speech2video.util.audio.mel import HOPS_PER_FRAME
from speech2video.util.errors import DataError
from speech2video.util.text.phones import DELAY_FRAMES, PHONES, STEPS_PER_FRAME

if TYPE_CHECKING:
    from speech2video.util.audio.phonetic import PhoneticExtractor

MIN_HERTZ, MAX_HERTZ = 60.0, 7600.0  # hum lies below, remains of resampling above
FLOOR = 1e-9  # -90 dB of full scale: less in a band is silence, in a studio or a digital one
MFCC_BANDS = 40  # wide enough that a high voice's harmonics are not bands of their own
COEFFICIENTS = 13  # MFCC kept, the first one included
NOISE_SHARE = 2.0  # times the floor, a low quantile of the noise, that make up nearly all of it
AUDIBLE = 0.1  # of the voice's power in a band, -10 dB, where `snr` turns from power to logarithm
FLOOR_HISTORY = 250  # frames of 0.04 s that a noise floor is estimated from, ten seconds
FLOOR_QUANTILE = 0.2  # share of them that are taken for noise, at least
PHONETIC = "phonetic"
FLOOR_BATCH = 500  # frames computed at once: bounds memory


@dataclass(frozen=True)
class FeatureSet:
    """A kind of acoustic features; this class is log-mel bands.

    Attributes:
        static_size: C, values of a window by itself.
        reach: windows on both sides that deltas are fitted to; 0: no deltas.
        speech_level: dB of full scale from which a frame counts as speech, which is at about -23.
        voice_normalised: whether `normalise` needs the voice's mean.
        delay: frames past its own audio that a frame depends on.
        min_std: that normalised features have for the network; those that hardly change are not
            amplified.
    """

    static_size: int
    reach: int = 0
    speech_level: float = -42.0
    voice_normalised: bool = True
    delay: int = 0
    min_std: float = 0.1  # nepers

    @property
    def size(self) -> int:
        """F, the values of a frame."""
        return HOPS_PER_FRAME * self.static_size * (2 if self.reach else 1)

    def window_features(self, power_NB: np.ndarray) -> np.ndarray:
        """Return static features (N, C) of windows from their power spectra (N, 257), N even."""
        return mel.log_power(_product(power_NB, _filters(self.static_size).T), FLOOR)

    def frame_filter(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return a function for one stream: static (4 n, C) to features of n whole frames."""
        return lambda rows: rows

    def static(self, features_TF: np.ndarray) -> np.ndarray:
        """Return the static features (T, 4, C), without deltas."""
        shape = len(features_TF), HOPS_PER_FRAME, self.size // HOPS_PER_FRAME
        return features_TF.reshape(shape)[..., : self.static_size]

    def log_energy(self, static_TWC: np.ndarray) -> np.ndarray:
        """Return each window's energy (T, 4), its natural logarithm."""
        # bands hold a share of the power each, and overlap by half
        return np.log(np.exp(static_TWC.astype(np.float64)).sum(-1))

    def is_speech(self, static_TWC: np.ndarray) -> np.ndarray:
        """Return which frames (T,) are loud enough to be speech."""
        return self.log_energy(static_TWC).max(1) > self.speech_level * np.log(10) / 10

    def to_linear(self, static: np.ndarray) -> np.ndarray:
        """Return static features in the units in which a voice's mean is taken, float64."""
        return static.astype(np.float64)

    def from_linear(self, mean_C: np.ndarray) -> np.ndarray:
        """Return a voice's mean in the units of the features."""
        return mean_C

    def normalise(self, features_TF: np.ndarray, voice_F: np.ndarray) -> np.ndarray:
        """Return features (T, F) relative to the voice's mean (F,)."""
        return features_TF - voice_F


class Mfcc(FeatureSet):
    """13 MFCC, log energy and their deltas (Suwajanakorn et al., "Synthesizing Obama", 2017)."""

    def window_features(self, power_NB: np.ndarray) -> np.ndarray:
        log_mel = mel.log_power(_product(power_NB, _filters(MFCC_BANDS).T), FLOOR)
        audible = (mel.frequencies() >= MIN_HERTZ) & (mel.frequencies() <= MAX_HERTZ)
        energy_N1 = mel.log_power(_product(power_NB, audible[:, None].astype(float)), FLOOR)
        return np.concatenate([_product(log_mel, _cosines().T), energy_N1], axis=1)

    def log_energy(self, static_TWC: np.ndarray) -> np.ndarray:
        return static_TWC[..., COEFFICIENTS]


class SpectralSubtraction(FeatureSet):
    """Log-mel bands less the noise floor's power (Boll, IEEE Trans. ASSP 27, 1979).

    A voice's mean is that of power. Normalised features are log(1 + power / (0.1 the voice's)):
    speech relative to the voice's level, and 0 in pauses, however noisy the recording.
    """

    def window_features(self, power_NB: np.ndarray) -> np.ndarray:
        # powers, of which noise is subtracted first
        return _product(power_NB, _filters(self.static_size).T)

    def frame_filter(self) -> Callable[[np.ndarray], np.ndarray]:
        noise = NoiseFloor(self.static_size)

        def subtract(power_NB: np.ndarray) -> np.ndarray:
            power_TWB = power_NB.reshape(-1, HOPS_PER_FRAME, self.static_size)
            floor_TB = noise.push(power_TWB.mean(axis=1))
            return mel.log_power((power_TWB - NOISE_SHARE * floor_TB[:, None]).clip(min=0), FLOOR)

        return subtract

    def to_linear(self, static: np.ndarray) -> np.ndarray:
        return np.exp(static.astype(np.float64))

    def from_linear(self, mean_C: np.ndarray) -> np.ndarray:
        return np.log(mean_C)

    def normalise(self, features_TF: np.ndarray, voice_F: np.ndarray) -> np.ndarray:
        return np.logaddexp(0, features_TF - voice_F - np.float32(np.log(AUDIBLE)))


class Phonetic(FeatureSet):
    """Probabilities of phones, and log energies; see `phonetic`."""

    @property
    def size(self) -> int:
        return STEPS_PER_FRAME * (len(PHONES) + 1)


FEATURE_SETS: dict[str, FeatureSet] = {
    "mfcc": Mfcc(COEFFICIENTS + 1, reach=2),
    "logmel": FeatureSet(80),
    # few bands, so that noise averages out in each; the rest of speech is quieter
    "snr": SpectralSubtraction(26, speech_level=-33.0),
    PHONETIC: Phonetic(0, voice_normalised=False, delay=DELAY_FRAMES, min_std=0.03),
}


def is_phonetic(kind: str) -> bool:
    """Return whether a name is that of phonetic features: phonetic or phonetic:FOLDER."""
    return kind.partition(":")[0] == PHONETIC


def check_features(kind: str) -> None:
    """Raise `DataError` for what names no feature set and no pretrained encoder."""
    known = kind in FEATURE_SETS or is_phonetic(kind)
    if not known and EncoderName.parse(kind) is None:
        names = f"{', '.join(FEATURE_SETS)}, and KIND:FOLDER[@LAYER] of {', '.join(ARCHITECTURES)}"
        raise DataError(f"features {kind!r}: known are {names}")


def feature_set(kind: str) -> FeatureSet:
    """Return the feature set of a name.

    Raises `DataError` on unknown names, and on encoders as `encoders.encoder_info` does.
    """
    check_features(kind)
    if is_phonetic(kind) or kind in FEATURE_SETS:
        return FEATURE_SETS[PHONETIC if is_phonetic(kind) else kind]
    size = encoder_info(kind).size // HOPS_PER_FRAME
    return FeatureSet(size, voice_normalised=False, min_std=0.01)


def make_extractor(kind: str) -> "FeatureExtractor | EncoderExtractor | PhoneticExtractor":
    """Return the extractor of a feature set's name. Raises `DataError` as `feature_set` does."""
    check_features(kind)
    if is_phonetic(kind):
        from speech2video.util.audio import phonetic  # with torch, which takes seconds

        folder = kind.partition(":")[2]
        return phonetic.PhoneticExtractor(Path(folder) if folder else phonetic.FOLDER)
    return FeatureExtractor(kind) if kind in FEATURE_SETS else EncoderExtractor(kind)


def extract_features(audio_S: np.ndarray, *, kind: str = "mfcc") -> np.ndarray:
    """Return features (T, F) float32, T = ceil(S / 640), of 16 kHz mono audio (S,) in [-1, 1].

    Raises `DataError` on an unknown kind, another shape than (S,), whole numbers, and NaN.
    """
    extractor = make_extractor(kind)
    return np.concatenate([extractor.push(audio_S), extractor.finish()])


class FeatureExtractor:
    """`extract_features` of audio that comes in chunks of any size, in bounded memory.

    A frame comes out as soon as its windows, and those of its deltas, are complete. The chunks do
    not matter, not even in the last bits.
    """

    def __init__(self, kind: str = "mfcc") -> None:
        self._set = feature_set(kind)
        self._windows = mel.WindowStream()
        self._reset()

    def push(self, audio_S: np.ndarray) -> np.ndarray:
        """Take the next samples (S,) and return the frames (n, F) that are complete by now."""
        return self._add(self._windows.push(audio_S))

    def finish(self) -> np.ndarray:
        """Return the frames (n, F) that silence after the last sample completes; start anew."""
        features_TF = self._add(self._windows.finish())
        if self._started:
            last = self._rows[-1:].repeat(self._set.reach, axis=0)
            self._rows = np.concatenate([self._rows, last])
            features_TF = np.concatenate([features_TF, self._whole_frames()])
        self._reset()
        return features_TF

    def _reset(self) -> None:
        self._rows = np.zeros((0, 0))  # static features of windows that later frames need
        self._power_NB = np.zeros((0, mel.FFT // 2 + 1))  # of a window that waits for the next
        self._started = False
        self._filter = self._set.frame_filter()

    def _add(self, windows: Iterable[np.ndarray]) -> np.ndarray:
        """Return the frames (n, F) that more windows (N, 400) complete."""
        frames = [np.zeros((0, self._set.size), np.float32)]
        for windows_NW in windows:
            power_NB = np.concatenate([self._power_NB, mel.power_spectra(windows_NW)])
            pairs = len(power_NB) // 2 * 2
            self._power_NB = power_NB[pairs:]
            if not pairs:
                continue
            rows = self._set.window_features(power_NB[:pairs])
            if not self._started:
                self._rows, self._started = rows[:1].repeat(self._set.reach, axis=0), True
            self._rows = np.concatenate([self._rows, rows])
            frames.append(self._whole_frames())
        return np.concatenate(frames)

    def _whole_frames(self) -> np.ndarray:
        """Return whole frames (n, F) of the kept windows; drop those that no later one needs."""
        reach = self._set.reach
        count = max(len(self._rows) - 2 * reach, 0) // HOPS_PER_FRAME
        rows = self._rows[: count * HOPS_PER_FRAME + 2 * reach if count else 0]
        self._rows = self._rows[count * HOPS_PER_FRAME :]
        if reach and count:
            rows = np.concatenate([rows[reach:-reach], _deltas(rows, reach)], axis=1)
        return self._filter(rows).reshape(count, self._set.size).astype(np.float32)


class NoiseFloor:
    """The noise's power in each band: a low quantile over the past 250 frames.

    Speech leaves gaps in every band, so a low quantile of power is about that of the noise
    (minimum statistics: Martin, IEEE Trans. Speech and Audio Processing 9, 2001; a quantile
    instead of the minimum: Stahl et al., ICASSP 2000). Early on, the quantile is that of fewer
    frames. How the frames are cut into chunks does not matter.
    """

    def __init__(self, bands: int) -> None:
        self._past = np.full((FLOOR_HISTORY - 1, bands), np.inf)

    def push(self, power_TB: np.ndarray) -> np.ndarray:
        """Return the floor (T, B) beneath each of the next frames' powers (T, B)."""
        starts = range(0, len(power_TB), FLOOR_BATCH)
        parts = (self._floor(power_TB[begin : begin + FLOOR_BATCH]) for begin in starts)
        return np.concatenate([power_TB[:0], *parts])

    def _floor(self, power_TB: np.ndarray) -> np.ndarray:
        all_NB = np.concatenate([self._past, power_TB])
        self._past = all_NB[len(power_TB) :]
        recent_TBH = np.lib.stride_tricks.sliding_window_view(all_NB, FLOOR_HISTORY, axis=0)
        known_T = np.isfinite(recent_TBH[:, 0]).sum(-1)
        ranks_T = (FLOOR_QUANTILE * (known_T - 1)).astype(int)
        sorted_TBH = np.partition(recent_TBH, np.unique(ranks_T), axis=-1)
        return np.take_along_axis(sorted_TBH, ranks_T[:, None, None], -1)[..., 0]


def _product(rows_NB: np.ndarray, matrix_BC: np.ndarray) -> np.ndarray:
    """Return rows (N, B), N even, times a matrix (B, C).

    They are multiplied in pairs, as the last bits of a product depend on its number of rows.
    """
    pairs = rows_NB.reshape(-1, 2, rows_NB.shape[1])
    return (pairs @ matrix_BC).reshape(len(rows_NB), -1)


def _deltas(rows: np.ndarray, reach: int) -> np.ndarray:
    """Return the slope a window (N, C), by least squares, of features (N + 2 reach, C)."""
    count, steps = len(rows) - 2 * reach, range(-reach, reach + 1)
    terms = (step * rows[reach + step :][:count] for step in steps)
    slope = sum(terms, np.zeros_like(rows[:count]))
    return slope / sum(step * step for step in steps)


@cache
def _filters(bands: int) -> np.ndarray:
    return mel.mel_filters(bands, lowest=MIN_HERTZ, highest=MAX_HERTZ, equal_area=False)


@cache
def _cosines() -> np.ndarray:
    """Return the orthonormal cosine transform (DCT-II), (coefficients, bands)."""
    phase = np.outer(np.arange(COEFFICIENTS), np.arange(MFCC_BANDS) + 0.5) * np.pi / MFCC_BANDS
    table = np.sqrt(2 / MFCC_BANDS) * np.cos(phase)
    table[0] = np.sqrt(1 / MFCC_BANDS)
    return table
