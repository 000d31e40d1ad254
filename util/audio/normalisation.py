"""Normalisation of speech by loudness and by a voice's mean, as it arrives.

A voice and its microphone add the same to all features (cepstral mean normalisation: Atal, JASA 55,
1974). The mean is taken over speech alone, or pauses would count as the voice; the training voices'
mean stands in while there is little speech.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from speech2video.util.audio import mel
from speech2video.util.audio.audio_io import GATE_FLOOR, TARGET_LEVEL, LoudnessMeter, read_audio
from speech2video.util.audio.features import FeatureExtractor, feature_set
from speech2video.util.audio.mel import HOPS_PER_FRAME
from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLE_RATE, frame_count

PRIOR_FRAMES = 50.0  # weight of the training voices' mean: two seconds of speech
HOP_SECONDS = mel.HOP / SAMPLE_RATE  # 10 ms, the grid of the running gain
START_UP = 20  # hops whose gain is the one after the last of them
LEVEL_HOPS = 20  # a level is the mean power of: 0.2 s, a syllable
FLOOR_HOPS = 4  # and a noise floor: what speech's own gaps last
AUDIBLE = 4.0  # dB above the noise floor from which a sound counts
FIRST_FLOOR = -56.0  # dB of full scale, of noise before it is known
FLOOR_BLOCK = 100  # hops; the floor is the quietest of this block and of the one before
LOUD_SHARE = 0.1  # of the speech that is louder than its loud level
PAUSE = 13  # dB below the loud level; anything less is a pause, or speech of another time
MEAN_BELOW = 1.0  # dB from the mean of decibels up to the level of the mean power
MEMORY = 10.0  # seconds of speech
PRIOR_SECONDS = 0.03  # of speech that the target level counts as, to begin with
SETTLED = 3.0  # seconds of speech after which the gain is slow
SLEW = 1.2  # dB a second
LARGE, CATCH_UP = 6.0, 3.0  # dB of a change, and 1/s, from and at which it is made faster
Decibel = TypeVar("Decibel", float, np.ndarray)
_LEVELS = np.arange(GATE_FLOOR, 0) + 0.5  # dB, middles of the levels that are counted


class RunningLoudness:
    """Bring speech to `TARGET_LEVEL` as it arrives: each sample's gain depends on earlier ones.

    On a grid of 10 ms, the level is the mean of decibels, over the past 0.2 s each, wherever speech
    stands out of the noise floor and is not far below the loudest of it. Old speech is forgotten,
    in seconds of speech: pauses, silence and steady noise change nothing. The gain follows freely
    at first, and by `SLEW` later, but for large changes.

    The first `START_UP` of audio are held and then share one gain; nothing is delayed afterwards,
    but for the rest of the 10 ms. Networks' look-ahead is longer. The chunks do not matter.
    """

    def __init__(self) -> None:
        self._reset()

    def push(self, audio_S: np.ndarray) -> np.ndarray:
        """Take the next samples (S,) and return those (n,) float32 whose gain is known by now.

        Raises `DataError` on another shape than (S,), whole numbers, and NaN.
        """
        audio_S = mel.check_samples(audio_S, self._samples)
        self._samples += len(audio_S)
        parts = [np.zeros(0, np.float32)]
        for begin in range(0, len(audio_S), mel.BATCH):
            self._rest_S = np.concatenate([self._rest_S, audio_S[begin : begin + mel.BATCH]])
            hops = len(self._rest_S) // mel.HOP
            if self._started or hops >= START_UP:
                parts.append(self._apply(hops))
        return np.concatenate(parts)

    def finish(self) -> np.ndarray:
        """Return the last samples (n,); start anew."""
        parts = [self._apply(len(self._rest_S) // mel.HOP)]
        parts.append((self._rest_S * _to_factor(self._gain)).astype(np.float32))
        self._reset()
        return np.concatenate(parts)

    def _reset(self) -> None:
        self._samples, self._started = 0, False
        self._rest_S = np.zeros(0, np.float32)
        self._powers = np.zeros(LEVEL_HOPS - 1)  # of the past hops
        self._hops = 0
        self._floor, self._floor_before = 0.0, FIRST_FLOOR  # dB, of two blocks
        self._seconds_B = np.zeros(len(_LEVELS))  # of speech at each level from -70 dB on
        self._gain = 0.0  # dB

    def _apply(self, hops: int) -> np.ndarray:
        """Return the next whole hops with their gain, as samples (n,) float32."""
        hops_NH = self._rest_S[: hops * mel.HOP].reshape(hops, mel.HOP)
        self._rest_S = self._rest_S[hops * mel.HOP :].copy()
        if not hops:
            return np.zeros(0, np.float32)
        before = self._gain
        levels = zip(*self._levels(hops_NH), strict=True)
        gain_N = np.array([self._follow(*numbers) for numbers in levels])
        if not self._started:
            held = min(START_UP, hops)
            gain_N[:held] = before = gain_N[held - 1]
            self._started = True
        ends = _to_factor(np.concatenate([[before], gain_N]))
        ramp = np.arange(1, mel.HOP + 1) / mel.HOP
        factors_NH = ends[:-1, None] + np.diff(ends)[:, None] * ramp
        return (hops_NH * factors_NH).astype(np.float32).reshape(-1)

    def _levels(self, hops_NH: np.ndarray) -> tuple[list[int], list[float], list[float]]:
        """Return each hop's number, and the level (dB) of the past 0.2 s and 0.04 s at its end."""
        # the variance, as a constant offset is no sound
        powers = np.concatenate([self._powers, hops_NH.astype(np.float64).var(axis=1)])
        self._powers = powers[-(LEVEL_HOPS - 1) :]
        numbers = np.arange(self._hops, self._hops + len(hops_NH))
        self._hops += len(hops_NH)
        past_NH = np.lib.stride_tricks.sliding_window_view(powers, LEVEL_HOPS)
        levels = []
        for count in (LEVEL_HOPS, FLOOR_HOPS):
            mean_N = past_NH[:, -count:].sum(axis=1) / (numbers + 1).clip(max=count)
            levels.append((10 * np.log10(np.maximum(mean_N, 1e-12))).tolist())
        return numbers.tolist(), *levels

    def _follow(self, number: int, level: float, low: float) -> float:
        """Return the gain (dB) after a hop, from its number and the levels (dB) at its end."""
        if number and number % FLOOR_BLOCK == 0:
            self._floor, self._floor_before = low, self._floor
        self._floor = max(min(low, self._floor), GATE_FLOOR)
        if level <= min(self._floor, self._floor_before) + AUDIBLE:
            return self._gain
        seconds_B = self._seconds_B
        seconds_B *= 1 - HOP_SECONDS / MEMORY
        seconds_B[min(int(level - GATE_FLOOR), len(seconds_B) - 1)] += HOP_SECONDS
        from_top = seconds_B[::-1].cumsum()
        gate = len(seconds_B) - 1 - int(from_top.searchsorted(LOUD_SHARE * from_top[-1])) - PAUSE
        gate = max(gate, 0)
        seconds = float(from_top[len(seconds_B) - 1 - gate])
        mean = float(seconds_B[gate:] @ _LEVELS[gate:]) / seconds
        speech = (seconds * (mean + MEAN_BELOW) + PRIOR_SECONDS * TARGET_LEVEL) / (
            seconds + PRIOR_SECONDS
        )
        change = TARGET_LEVEL - speech - self._gain
        rate = SLEW * max(1.0, (SETTLED / seconds) ** 2) + CATCH_UP * max(abs(change) - LARGE, 0.0)
        step = rate * HOP_SECONDS
        self._gain += min(max(change, -step), step)
        return self._gain


def level_loudness(audio_S: np.ndarray) -> np.ndarray:
    """Return audio (S,) float32 with the gain of `RunningLoudness`."""
    loudness = RunningLoudness()
    return np.concatenate([loudness.push(audio_S), loudness.finish()])


def _to_factor(decibel: Decibel) -> Decibel:
    return 10 ** (decibel / 20)


class VoiceMeter:
    """The mean of the features (F,) over all frames of speech so far, chunk by chunk.

    Only static features are averaged; the mean of their deltas is zero.
    """

    def __init__(self, kind: str) -> None:
        self._set = feature_set(kind)
        self._sum_C = np.zeros(self._set.static_size)
        self._count = 0

    def push(self, features_TF: np.ndarray) -> None:
        """Take in the next frames (T, F)."""
        static_TWC = self._set.static(features_TF)
        speech_TWC = static_TWC[self._set.is_speech(static_TWC)]
        self._sum_C += self._set.to_linear(speech_TWC).sum((0, 1)) / HOPS_PER_FRAME
        self._count += len(speech_TWC)

    def mean(self, prior_F: np.ndarray | None = None) -> np.ndarray:
        """Return the mean (F,), zero for deltas; `prior_F` counts as two seconds of speech."""
        if prior_F is None and not self._count:
            return np.zeros(self._set.size, np.float32)
        total_C, count = self._sum_C, float(self._count)
        if prior_F is not None:
            prior_WC = self._set.to_linear(self._set.static(prior_F[None])[0])
            total_C, count = total_C + PRIOR_FRAMES * prior_WC.mean(0), count + PRIOR_FRAMES
        window = np.zeros(self._set.size // HOPS_PER_FRAME)
        window[: self._set.static_size] = self._set.from_linear(total_C / count)
        return np.tile(window, HOPS_PER_FRAME).astype(np.float32)


def voice_mean(features_TF: np.ndarray, kind: str, prior_F: np.ndarray | None = None) -> np.ndarray:
    """Return the mean (F,) of a whole recording's speech, as `VoiceMeter.mean` does."""
    meter = VoiceMeter(kind)
    meter.push(features_TF)
    return meter.mean(prior_F)


@dataclass(frozen=True, eq=False)
class AudioFeatures:
    """The features of an audio file of any length, with the statistics that normalise them.

    Attributes:
        path: of the audio file.
        kind: a name of `features.FEATURE_SETS`.
        frames: T, at 25 a second; the last one may be half filled.
        gain: factor that brings the audio to the usual loudness.
        voice_F: the voice's mean (F,).
    """

    path: Path
    kind: str
    frames: int
    gain: float
    voice_F: np.ndarray

    def features(self) -> Iterator[np.ndarray]:
        """Yield features (n, F), some for each second of audio, T together."""
        return stream_features(read_audio(self.path, whole=True), self.kind, self.gain)


def analyse_audio(path: Path, *, kind: str, prior_F: np.ndarray | None = None) -> AudioFeatures:
    """Return a file's features and statistics, in the memory of some seconds of audio.

    The file is read once for its loudness and once for its voice's mean, then again for features.

    Args:
        path: any file with audio that PyAV reads.
        kind: of the features.
        prior_F: the training voices' mean (F,), see `VoiceMeter`.

    Raises:
        DataError: no such file, no audio in it, none that decodes, or none that can be speech.
    """
    loudness, samples = LoudnessMeter(), 0
    for audio_S in read_audio(path, whole=True):
        loudness.push(audio_S)
        samples += len(audio_S)
    if not samples:
        raise DataError(f"{path}: the audio is empty")
    voice = VoiceMeter(kind)
    for features_TF in stream_features(read_audio(path, whole=True), kind, loudness.gain):
        voice.push(features_TF)
    return AudioFeatures(path, kind, frame_count(samples), loudness.gain, voice.mean(prior_F))


def stream_features(chunks: Iterable[np.ndarray], kind: str, gain: float) -> Iterator[np.ndarray]:
    """Yield features (n, F) of audio chunks (S,) times a gain, as they arrive."""
    extractor = FeatureExtractor(kind)
    for audio_S in chunks:
        # in 64 bits and back, as `normalise_loudness` does it
        yield extractor.push(np.multiply(audio_S, gain, dtype=np.float64).astype(np.float32))
    yield extractor.finish()
