"""Clips as batches for speech to pose: windows of features with the motion that belongs to them.

Sound is augmented as sound, which takes longer than a step of training. So each clip is heard in a
fixed number of versions, each made once, when it is first asked for: what an item holds depends on
its seed only, not on what was asked before.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from speech2video.data.sound_augmentation import SoundAugmentation
from speech2video.data.speech_motion import SpeechMotion
from speech2video.data.training_loader import Item
from speech2video.util.body.rotations import resample_linear
from speech2video.util.smooth_noise import NoiseStream
from speech2video.util.speech_features import speech_features
from speech2video.util.voice_change import change_speed
from speech2video.util.voice_normalisation import normalised, voice_mean

POSED_FRAMES = 8  # of each window, whose joints and landmarks the losses look at


class Audio2PoseDataset(Dataset):
    """Windows of clips; where a window lies depends on its `Item`'s seed alone.

    An item is a dict of tensors: features (W + D, F) with the look-ahead, standardised by voice
    only; pose (W, 106); weight (W,), 0 beyond the clip's end; gesture (W,), 1 where an iconic
    gesture is made; posed (8,) numbers of the frames to pose; noise (W + D, Z).

    Args:
        features: a name of `speech_features.FEATURE_SETS`.
        window: W frames of an item.
        look_ahead: D frames of speech beyond it.
        versions: how many ways each clip is heard, the first of them as it is.
        noise: Z numbers a frame.
    """

    def __init__(
        self,
        recordings: Sequence[SpeechMotion],
        *,
        features: str,
        window: int,
        look_ahead: int,
        noise: int,
        versions: int = 1,
        augmentation: SoundAugmentation | None = None,
        voice_mean_F: np.ndarray | None = None,
        seed: int = 0,
    ) -> None:
        self.recordings, self.kind = list(recordings), features
        self.window, self.look_ahead, self.noise = window, look_ahead, noise
        self.versions, self.augmentation, self.seed = versions, augmentation, seed
        self.voice_mean_F = voice_mean_F
        counts = np.array([max(len(recording) - window, 0) + 1 for recording in recordings])
        self._starts = np.concatenate([[0], counts.cumsum()])
        self._heard: dict[tuple[int, int], tuple[np.ndarray, Tensor, np.ndarray]] = {}

    def __len__(self) -> int:
        """The number of windows that overlap by half: every frame comes about twice an epoch."""
        frames = sum(map(len, self.recordings))
        return max(2 * frames // self.window, len(self.recordings))

    def __getitem__(self, item: Item) -> dict[str, Tensor]:
        """Return a window of a clip, in one of its versions."""
        random = item.rng()
        place = int(random.integers(self._starts[-1]))
        clip = int(np.searchsorted(self._starts, place, side="right")) - 1
        version = int(random.integers(self.versions))
        features_TF, pose_TP, gesture_T = self._version(clip, version)
        begin = round((place - self._starts[clip]) * len(pose_TP) / len(self.recordings[clip]))
        begin = min(begin, max(len(pose_TP) - self.window, 0))
        noise = NoiseStream(self.noise, seed=int(random.integers(2**32)))
        end = self.window + self.look_ahead
        rows = np.arange(begin, begin + end)
        inside = rows[: self.window].clip(max=len(pose_TP) - 1)
        return {
            "features": torch.from_numpy(features_TF[rows.clip(max=len(features_TF) - 1)]).float(),
            "pose": pose_TP[inside],
            "weight": torch.from_numpy(rows[: self.window] < len(pose_TP)).float(),
            "gesture": torch.from_numpy(gesture_T[inside]).float(),
            "posed": torch.from_numpy(random.integers(self.window, size=POSED_FRAMES)),
            "noise": torch.from_numpy(noise.next(end)),
        }

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation (F,) of what goes in, over clips as they are."""
        features_NF = np.concatenate(
            [self._version(clip, 0)[0] for clip in range(len(self.recordings))]
        ).astype(np.float64)
        mean, std = features_NF.mean(0), features_NF.std(0)
        return torch.from_numpy(mean).float(), torch.from_numpy(std).float()

    def _version(self, clip: int, version: int) -> tuple[np.ndarray, Tensor, np.ndarray]:
        """Return features (T, F) float16, poses (T, P) and gestures (T,) of one version."""
        if (clip, version) not in self._heard:
            self._heard[clip, version] = self._hear(clip, version)
        return self._heard[clip, version]

    def _hear(self, clip: int, version: int) -> tuple[np.ndarray, Tensor, np.ndarray]:
        recording = self.recordings[clip]
        wave_S, pose_TP, gesture_T = recording.wave_S, recording.pose_TP, recording.gesture_T
        if version and self.augmentation is not None:
            random = np.random.default_rng((self.seed, clip, version))
            factor = self.augmentation.draw_speed(random)
            wave_S = self.augmentation.augment(change_speed(wave_S, factor), random)
            count = int(len(pose_TP) / factor)  # a frame is the middle of its 640 samples
            times = (torch.arange(count, dtype=torch.float64) + 0.5) * factor - 0.5
            times = times.clamp(0, len(pose_TP) - 1)
            pose_TP = resample_linear(pose_TP, times)
            gesture_T = gesture_T[times.round().long().numpy()]
        features_TF = normalised_features(wave_S, self.kind, self.voice_mean_F)
        count = min(len(features_TF), len(pose_TP))
        return features_TF.astype(np.float16), pose_TP[:count], gesture_T[:count]


def normalised_features(
    wave_S: np.ndarray, kind: str, voice_prior_F: np.ndarray | None = None
) -> np.ndarray:
    """Return features (T, F) without what the voice adds to all of them."""
    features_TF = speech_features(wave_S, kind=kind)
    return normalised(features_TF, voice_mean(features_TF, kind, voice_prior_F), kind)


def voice_prior(recordings: Sequence[SpeechMotion], kind: str) -> np.ndarray:
    """Return the mean (F,) of the training voices."""
    waves = (recording.wave_S for recording in recordings)
    return np.mean([voice_mean(speech_features(wave_S, kind=kind), kind) for wave_S in waves], 0)
