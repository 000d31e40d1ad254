"""What a voice and its microphone add to all features alike, estimated where somebody speaks.

Taken away (cepstral mean normalisation: Atal, JASA 55, 1974), a network that knows one voice
follows another. Pauses are left out of the mean, or much silence would make silence look like
speech; and a few words tell little, so that the mean of the training voices stands in for the rest.
"""

import numpy as np

from speech2video.util.speech_features import COEFFICIENTS, WINDOWS, feature_size

SPOKEN = -42.0  # dB of full scale from which a frame counts as speech; speech is at about -23
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
        self._sum += spoken_TWC.sum((0, 1), dtype=np.float64) / WINDOWS
        self._count += len(spoken_TWC)

    def mean(self, prior_F: np.ndarray | None = None) -> np.ndarray:
        """Return the mean (F,), zero for slopes; with `prior_F` for what was not heard yet."""
        if prior_F is None:
            static_C = self._sum / max(self._count, 1)
        else:
            prior_C = _static(prior_F[None], self.kind)[0].mean(0)
            static_C = self._sum + PRIOR_FRAMES * prior_C
            static_C = static_C / (self._count + PRIOR_FRAMES)
        return _tiled(static_C, self.kind)


def voice_mean(features_TF: np.ndarray, kind: str, prior_F: np.ndarray | None = None) -> np.ndarray:
    """Return the mean (F,) of a whole recording's spoken frames, as `VoiceMeter.mean` does."""
    meter = VoiceMeter(kind)
    meter.push(features_TF)
    return meter.mean(prior_F)


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
    return energy_T > SPOKEN * np.log(10) / 10
