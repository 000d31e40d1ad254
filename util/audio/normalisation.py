"""Normalisation of speech by loudness and by a voice's mean, as it arrives.

A voice and its microphone add the same to all features (cepstral mean normalisation: Atal, JASA 55,
1974). The mean is taken over speech alone, or pauses would count as the voice; the training voices'
mean stands in while there is little speech.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

from speech2video.util.audio import mel
from speech2video.util.audio.audio_io import GATE_FLOOR, TARGET_LEVEL
from speech2video.util.audio.features import FeatureSet, feature_set, make_extractor
from speech2video.util.audio.mel import HOPS_PER_FRAME
from speech2video.util.timing import SAMPLE_RATE

PRIOR_FRAMES = 50.0  # weight of the training voices' mean: two seconds of speech
MEMORY_FRAMES = 750.0  # of speech that a voice's mean is taken over: 30 s
HOP_SECONDS = mel.HOP / SAMPLE_RATE  # 10 ms, the grid of the running gain
START_UP = 20  # hops whose gain is the one after the last of them
LEVEL_HOPS = 20  # a level is the mean power of: 0.2 s, a syllable
FLOOR_HOPS = 4  # and a noise floor: what speech's own gaps last
AUDIBLE = 4.0  # dB above the noise floor from which audio counts
FIRST_FLOOR = -56.0  # dB of full scale, of noise before it is known
FLOOR_BLOCK = 100  # hops; the floor is the quietest of this block and of the one before
LOUD_SHARE = 0.1  # of the speech that is louder than its loud level
PAUSE = 13  # dB below the loud level; anything less is a pause, or speech of another time
MEAN_BELOW = 1.0  # dB from the mean of decibels up to the level of the mean power
MEMORY = 10.0  # seconds of speech
PRIOR_SECONDS = 0.03  # of speech that the target level counts as
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
        audio_S = mel.check_audio(audio_S, first=self._samples)
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
        # the variance, as a constant offset is silence
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


class RunningVoiceMean:
    """The mean of the features (F,) over the frames of speech so far, at each frame.

    Only static features are averaged; the mean of their deltas is zero. Speech from more than
    `MEMORY_FRAMES` before is forgotten gradually. The chunks do not matter.

    Args:
        kind: a name of `features.FEATURE_SETS`.
        prior_F: the training voices' mean (F,), which counts as two seconds of speech.
    """

    def __init__(self, kind: str, prior_F: np.ndarray | None = None) -> None:
        self._set = feature_set(kind)
        mean_C, count = np.zeros(self._set.static_size), 0.0
        if prior_F is not None:
            mean_C = self._set.to_linear(self._set.static(prior_F[None])[0]).mean(0)
            count = PRIOR_FRAMES
        self._mean = mel.RunningMean(mean_C, prior=count, memory=MEMORY_FRAMES)
        self._is_known = count > 0

    def push(self, features_TF: np.ndarray) -> np.ndarray:
        """Return the means (T, F) at the next frames (T, F), each of which counts in its own."""
        static_TWC = self._set.static(features_TF)
        linear_TC = self._set.to_linear(static_TWC).mean(axis=1)
        is_speech_T = self._set.is_speech(static_TWC)
        known_T = np.logical_or.accumulate(is_speech_T) | self._is_known
        self._is_known |= bool(is_speech_T.any())
        return _to_features(self._set, self._mean.push(linear_TC, is_speech_T), known_T)


def voice_mean(features_TF: np.ndarray, kind: str) -> np.ndarray:
    """Return the mean (F,) of the features over all speech, zero for deltas and without speech."""
    chosen = feature_set(kind)
    static_TWC = chosen.static(features_TF)
    speech_TWC = chosen.to_linear(static_TWC[chosen.is_speech(static_TWC)])
    mean_C = speech_TWC.sum((0, 1)) / max(HOPS_PER_FRAME * len(speech_TWC), 1)
    return _to_features(chosen, mean_C[None], np.array([len(speech_TWC) > 0]))[0]


def _to_features(chosen: FeatureSet, means_TC: np.ndarray, known_T: np.ndarray) -> np.ndarray:
    """Return means (T, C) in linear units as features (T, F) float32, unknown ones as 0."""
    windows_TW = np.zeros((len(means_TC), chosen.size // HOPS_PER_FRAME))
    windows_TW[known_T, : chosen.static_size] = chosen.from_linear(means_TC[known_T])
    return np.tile(windows_TW, HOPS_PER_FRAME).astype(np.float32)


class SpeechFeatures:
    """Normalised features (n, F), 25 frames a second, of raw audio in chunks of any size.

    `RunningLoudness`, the extractor, and the set's normalisation by `RunningVoiceMean`. A frame
    depends on no later sample than the extractor needs, but for the first `START_UP` of audio.
    Neither whole files nor the size of the chunks make a difference, not even in the last bits.

    Args:
        kind: a name of `features.FEATURE_SETS`.
        prior_F: the training voices' mean (F,).
    """

    def __init__(self, kind: str, prior_F: np.ndarray | None = None) -> None:
        self._set, self._kind, self._prior_F = feature_set(kind), kind, prior_F
        self._loudness, self._extractor = RunningLoudness(), make_extractor(kind)
        self._voice = self._voice_mean()

    def push(self, audio_S: np.ndarray) -> np.ndarray:
        """Take the next 16 kHz samples (S,) and return the frames (n, F) that are complete by now.

        Raises `DataError` on another shape than (S,), whole numbers, and NaN.
        """
        return self._normalise(self._extractor.push(self._loudness.push(audio_S)))

    def finish(self) -> np.ndarray:
        """Return the frames (n, F) that silence after the last sample completes; start anew."""
        rest_TF = self._extractor.push(self._loudness.finish())
        features_TF = self._normalise(np.concatenate([rest_TF, self._extractor.finish()]))
        self._voice = self._voice_mean()
        return features_TF

    def _voice_mean(self) -> RunningVoiceMean | None:
        needed = self._set.voice_normalised
        return RunningVoiceMean(self._kind, self._prior_F) if needed else None

    def _normalise(self, features_TF: np.ndarray) -> np.ndarray:
        if self._voice is None:
            return features_TF
        return self._set.normalise(features_TF, self._voice.push(features_TF))


def speech_features(
    audio_S: np.ndarray, kind: str, prior_F: np.ndarray | None = None
) -> np.ndarray:
    """Return normalised features (T, F), T = ceil(S / 640), of raw 16 kHz audio (S,)."""
    return np.concatenate(list(stream_speech_features([audio_S], kind, prior_F)))


def stream_speech_features(
    chunks: Iterable[np.ndarray], kind: str, prior_F: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Yield normalised features (n, F) of raw 16 kHz audio in chunks (S,), as they arrive."""
    features = SpeechFeatures(kind, prior_F)
    for audio_S in chunks:
        yield features.push(audio_S)
    yield features.finish()
