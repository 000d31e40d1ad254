"""Normalisation of speech features by a voice's mean, and the features of whole audio files.

A voice and its microphone add the same to all features (cepstral mean normalisation: Atal, JASA 55,
1974). The mean is taken over speech alone, or pauses would count as the voice; the training voices'
mean stands in while there is little speech.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speech2video.util.audio.audio_io import LoudnessMeter, read_audio
from speech2video.util.audio.features import FeatureExtractor, feature_set
from speech2video.util.audio.mel import HOPS_PER_FRAME
from speech2video.util.errors import DataError
from speech2video.util.timing import frame_count

PRIOR_FRAMES = 50.0  # weight of the training voices' mean: two seconds of speech


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
