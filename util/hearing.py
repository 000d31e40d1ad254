"""A speech as a network hears it, however long: its file is read as a stream, never kept.

How loud it is and whose voice it is shows at its end only, so the file is read three times: for its
loudness, for the mean of its voice, and for its features.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speech2video.util.audio import SPEECH_RATE, read_audio
from speech2video.util.errors import DataError
from speech2video.util.loudness import LoudnessMeter
from speech2video.util.media import open_media, sound_stream
from speech2video.util.speech_features import FRAME, FeatureStream
from speech2video.util.voice_normalisation import VoiceMeter

LEAST_RATE = 4000  # Hz; less is no speech, but a broken head that makes hours out of seconds


@dataclass(frozen=True, eq=False)
class Hearing:
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


def hear(path: Path, *, kind: str, prior_F: np.ndarray | None = None) -> Hearing:
    """Listen to all of a file, in the memory of some seconds of it.

    Args:
        path: any file with sound that PyAV reads.
        kind: of the features.
        prior_F: the training voices' mean (F,), see `VoiceMeter`.

    Raises:
        DataError: no such file, no sound in it, none that decodes, or none that can be speech.
    """
    check_sound(path)
    loudness, samples = LoudnessMeter(SPEECH_RATE), 0
    for wave_S in read_audio(path):
        loudness.push(wave_S)
        samples += len(wave_S)
    if not samples:
        raise DataError(f"{path}: the sound is empty")
    gain = loudness.gain or 1.0  # silence stays
    voice = VoiceMeter(kind)
    for features_TF in _features(path, kind, gain):
        voice.push(features_TF)
    return Hearing(path, kind, -(-samples // FRAME), gain, voice.mean(prior_F))


def check_sound(path: Path) -> None:
    """Raise `DataError` for what cannot be read more than once, and for a rate no speech has."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError(f"{path}: no plain file; one that can be read more than once is needed")
    with open_media(path) as container:
        stream = sound_stream(container)
        if stream is not None and stream.rate < LEAST_RATE:
            raise DataError(f"{path}: {stream.rate} Hz; speech takes {LEAST_RATE} Hz and more")


def _features(path: Path, kind: str, gain: float) -> Iterator[np.ndarray]:
    stream = FeatureStream(kind)
    for wave_S in read_audio(path):
        # in 64 bits and back, as `normalise_loudness` does it
        yield stream.push(np.multiply(wave_S, gain, dtype=np.float64).astype(np.float32))
    yield stream.finish()
