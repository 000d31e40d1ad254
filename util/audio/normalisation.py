"""What a voice and its microphone add to all features alike, estimated where somebody speaks.

Taken away (cepstral mean normalisation: Atal, JASA 55, 1974), a network that knows one voice
follows another. Pauses are left out of the mean, or much silence would make silence look like
speech; and a few words tell little, so that the mean of the training voices stands in for the rest.

Of `snr` the mean is that of power, in its logarithm: the voice's level in each band. Speech is then
told beside that level, and what lies far below it, as all does that a pause holds, is 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speech2video.util.audio.audio_io import LoudnessMeter, read_audio
from speech2video.util.audio.features import COEFFICIENTS, WINDOWS, FeatureExtractor, feature_size
from speech2video.util.errors import DataError
from speech2video.util.timing import SAMPLE_RATE, SAMPLES_PER_FRAME
from speech2video.util.video.media import audio_stream, open_media

SPOKEN = -42.0  # dB of full scale from which a frame counts as speech; speech is at about -23
SPOKEN_SNR = -33.0  # the same where noise is taken away: what is left of it is less
AUDIBLE = 0.1  # of the voice's power in a band, -10 dB, where `snr` turns from power to logarithm
PRIOR_FRAMES = 50.0  # what the training voices' mean counts for: two seconds of speech


class VoiceMeter:
    """The mean of the features (F,) over the spoken frames heard so far, chunk by chunk.

    Only what a window says by itself is averaged; slopes over time are the same in every room.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._sum = np.zeros(_static_size(kind))
        self._count = 0

    def push(self, features_TF: np.ndarray) -> None:
        """Hear the next frames (T, F)."""
        static_TWC = _static(features_TF, self.kind)
        spoken_TWC = static_TWC[_is_spoken(static_TWC, self.kind)]
        self._sum += _to_mean(spoken_TWC, self.kind).sum((0, 1)) / WINDOWS
        self._count += len(spoken_TWC)

    def mean(self, prior_F: np.ndarray | None = None) -> np.ndarray:
        """Return the mean (F,), zero for slopes; with `prior_F` for what was not heard yet."""
        if prior_F is None and not self._count:
            return np.zeros(feature_size(self.kind), np.float32)
        total_C, count = self._sum, float(self._count)
        if prior_F is not None:
            prior_WC = _to_mean(_static(prior_F[None], self.kind)[0], self.kind)
            total_C, count = total_C + PRIOR_FRAMES * prior_WC.mean(0), count + PRIOR_FRAMES
        mean_C = total_C / count
        return _tiled(np.log(mean_C) if self.kind == "snr" else mean_C, self.kind)


def voice_mean(features_TF: np.ndarray, kind: str, prior_F: np.ndarray | None = None) -> np.ndarray:
    """Return the mean (F,) of a whole recording's spoken frames, as `VoiceMeter.mean` does."""
    meter = VoiceMeter(kind)
    meter.push(features_TF)
    return meter.mean(prior_F)


def normalise_voice(features_TF: np.ndarray, voice_F: np.ndarray, kind: str) -> np.ndarray:
    """Return features (T, F) without what the voice (F,), its `VoiceMeter.mean`, adds to all.

    What a network is to hear. For `snr`: log(1 + power / (`AUDIBLE` * the voice's)).
    """
    if kind == "snr":
        return np.logaddexp(0, features_TF - voice_F - np.float32(np.log(AUDIBLE)))
    return features_TF - voice_F


def _to_mean(static: np.ndarray, kind: str) -> np.ndarray:
    """Return the numbers, of features, whose mean is taken."""
    static = static.astype(np.float64)
    return np.exp(static) if kind == "snr" else static


def _static_size(kind: str) -> int:
    return COEFFICIENTS + 1 if kind == "mfcc" else feature_size(kind) // WINDOWS


def _static(features_TF: np.ndarray, kind: str) -> np.ndarray:
    """Return what each window says by itself (T, 4, C)."""
    windows_TWN = features_TF.reshape(len(features_TF), WINDOWS, feature_size(kind) // WINDOWS)
    return windows_TWN[..., : _static_size(kind)]


def _tiled(static_C: np.ndarray, kind: str) -> np.ndarray:
    window = np.zeros(feature_size(kind) // WINDOWS)
    window[: len(static_C)] = static_C
    return np.tile(window, WINDOWS).astype(np.float32)


def _is_spoken(static_TWC: np.ndarray, kind: str) -> np.ndarray:
    """Return which frames (T,) are loud enough to be speech."""
    if kind == "mfcc":
        energy_T = static_TWC[..., COEFFICIENTS].max(1)
    else:  # bands hold a share of the power each, and overlap by half
        energy_T = np.log(np.exp(static_TWC.astype(np.float64)).sum(-1)).max(1)
    least = SPOKEN_SNR if kind == "snr" else SPOKEN
    return energy_T > least * np.log(10) / 10


# A speech as a network hears it, however long: its file is read as a stream, never kept.
#
# How loud it is and whose voice it is shows at its end only, so the file is read three times: for its
# loudness, for the mean of its voice, and for its features.

LEAST_RATE = 4000  # Hz; less is no speech, but a broken head that makes hours out of seconds


@dataclass(frozen=True, eq=False)
class AudioFeatures:
    """What has to be known of a whole speech before its first frame.

    Attributes:
        path: the sound's file.
        kind: of the features, see `speech_features`.
        frames: T, at 25 a second; the last one may be half filled.
        gain: what brings it to the usual loudness.
        voice_F: the voice's mean, as `Audio2Pose.stream` takes it.
    """

    path: Path
    kind: str
    frames: int
    gain: float
    voice_F: np.ndarray

    def features(self) -> Iterator[np.ndarray]:
        """Yield features (n, F), some for each second of sound, T together."""
        return _features(self.path, self.kind, self.gain)


def analyse_audio(path: Path, *, kind: str, prior_F: np.ndarray | None = None) -> AudioFeatures:
    """Listen to all of a file, in the memory of some seconds of it.

    Args:
        path: any file with sound that PyAV reads.
        kind: of the features.
        prior_F: the training voices' mean (F,), see `VoiceMeter`.

    Raises:
        DataError: no such file, no sound in it, none that decodes, or none that can be speech.
    """
    check_audio(path)
    loudness, samples = LoudnessMeter(SAMPLE_RATE), 0
    for audio_S in read_audio(path):
        loudness.push(audio_S)
        samples += len(audio_S)
    if not samples:
        raise DataError(f"{path}: the sound is empty")
    gain = loudness.gain or 1.0  # silence stays
    voice = VoiceMeter(kind)
    for features_TF in _features(path, kind, gain):
        voice.push(features_TF)
    return AudioFeatures(path, kind, -(-samples // SAMPLES_PER_FRAME), gain, voice.mean(prior_F))


def check_audio(path: Path) -> None:
    """Raise `DataError` for what cannot be read more than once, and for a rate no speech has."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError(f"{path}: no plain file; one that can be read more than once is needed")
    with open_media(path) as container:
        stream = audio_stream(container)
        if stream is not None and stream.rate < LEAST_RATE:
            raise DataError(f"{path}: {stream.rate} Hz; speech takes {LEAST_RATE} Hz and more")


def _features(path: Path, kind: str, gain: float) -> Iterator[np.ndarray]:
    stream = FeatureExtractor(kind)
    for audio_S in read_audio(path):
        # in 64 bits and back, as `normalise_loudness` does it
        yield stream.push(np.multiply(audio_S, gain, dtype=np.float64).astype(np.float32))
    yield stream.finish()
