"""Speech with the motion that belongs to it, one clip in memory, and how a data set is divided."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from speech2video.data.clip import Clip, list_clips
from speech2video.data.gestures.dictionary import GestureDictionary, spelling
from speech2video.data.loader import SampleIndex
from speech2video.data.motion_io import read_motion
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.audio.augmentation import AudioAugmentation
from speech2video.util.audio.features import extract_features
from speech2video.util.audio.normalisation import normalise_voice, voice_mean
from speech2video.util.audio.vocal_tract import change_speed
from speech2video.util.body.body_model import Body
from speech2video.util.body.rotations import resample_linear
from speech2video.util.errors import DataError
from speech2video.util.rendering.camera import Camera
from speech2video.util.smoothing import PoseSmoother, SmoothNoise
from speech2video.util.text.transcript import Word, read_words
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME

LEAST_FRAMES = 10


@dataclass(frozen=True, eq=False)
class MotionClip:
    """One clip: what was said and how the person moved.

    Attributes:
        name: of the clip.
        audio_S: (S,) float32, 16 kHz, loudness-normalised, 640 samples a frame.
        pose_TP: (T, 106) pose vectors.
        words: what was said when; empty where nobody knows.
        gesture_T: (T,) bool, where the person makes a gesture of the dictionary.
        camera: that the clip was filmed with, or None.
    """

    name: str
    audio_S: np.ndarray
    pose_TP: Tensor
    words: list[Word]
    gesture_T: np.ndarray
    camera: Camera | None = None

    def __len__(self) -> int:
        return len(self.pose_TP)

    def part(self, begin: int, end: int) -> "MotionClip":
        """Return frames [begin, end) as a clip of its own."""
        first, last = begin / FPS, end / FPS
        words = [
            Word(word.text, word.start - first, word.end - first)
            for word in self.words
            if first <= word.start and word.end <= last
        ]
        return replace(
            self,
            name=f"{self.name}[{begin}:{end}]",
            audio_S=self.audio_S[begin * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME],
            pose_TP=self.pose_TP[begin:end],
            words=words,
            gesture_T=self.gesture_T[begin:end],
        )


def load_motion_clip(clip: Clip, body: Body) -> MotionClip:
    """Return a clip's speech and motion.

    Raises:
        DataError: parts of the clip are missing or broken, or its motion is for another body.
    """
    motion = read_motion(clip.pose).resample()
    if motion.body != body.name:
        seen = f"motion of the body {motion.body!r}"
        raise DataError(f"{clip.pose}: {seen}; --body with the file of that body is needed")
    pose_TP = motion.pose_vector(body)
    if len(pose_TP) < LEAST_FRAMES:
        raise DataError(f"{clip.pose}: {len(pose_TP)} frames; at least {LEAST_FRAMES} are needed")
    audio_S = load_audio(clip.audio, normalise=True)
    samples = len(pose_TP) * SAMPLES_PER_FRAME
    audio_S = np.pad(audio_S[:samples], (0, max(samples - len(audio_S), 0)))
    words = read_words(clip.words) if clip.words.is_file() else []
    nowhere_T = np.zeros(len(pose_TP), bool)
    return MotionClip(clip.folder.name, audio_S, pose_TP, words, nowhere_T, motion.camera)


def load_motion_clips(folder: Path, body: Body) -> list[MotionClip]:
    """Return all clips of a data set, in name order; raises `DataError` as each clip does."""
    return [load_motion_clip(clip, body) for clip in list_clips(folder)]


def smooth_motion(recording: MotionClip, window: int) -> MotionClip:
    """Return a clip with body and hands smoothed over an odd number of frames, lips as they are.

    A fit trembles by a few millimetres from frame to frame, and what is trained on it would, too.
    """
    smoother = PoseSmoother(window)
    pose_TP = torch.cat((smoother.push(recording.pose_TP), smoother.finish()))
    return replace(recording, pose_TP=pose_TP)


def mark_gestures(
    recordings: Sequence[MotionClip], dictionary: GestureDictionary
) -> list[MotionClip]:
    """Return the clips with `gesture_T` set wherever a gesture of the dictionary may be made.

    That is at every occurrence of its words, made there or not: where a gesture begins and ends is
    the dictionary's best guess, and what lies around a word it is not made at is little.
    """
    by_word = dictionary.by_word()
    marked = []
    for recording in recordings:
        gesture_T = np.zeros(len(recording), bool)
        for word in recording.words:
            for entry in by_word.get(spelling(word.text), ()):
                key = word.start + entry.key_in_word * (word.end - word.start)
                start, _, _, end = entry.times(key)
                gesture_T[max(round(start * FPS), 0) : max(round(end * FPS), 0)] = True
        marked.append(replace(recording, gesture_T=gesture_T))
    return marked


def pose_statistics(recordings: Sequence[MotionClip]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (106,) of the poses over all frames."""
    pose_NP = torch.cat([recording.pose_TP for recording in recordings])
    return pose_NP.mean(0), pose_NP.std(0, unbiased=False)


# Clips as batches for speech to pose: windows of features with the motion that belongs to them.
#
# Sound is augmented as sound, which takes longer than a step of training. So each clip is heard in a
# fixed number of versions, each made once, when it is first asked for: what an item holds depends on
# its seed only, not on what was asked before.

POSED_FRAMES = 8  # of each window, whose joints and landmarks the losses look at


class Audio2PoseDataset(Dataset):
    """Windows of clips; where a window lies depends on its `SampleIndex`'s seed alone.

    An item is a dict of tensors: features (W + D, F) with the look-ahead, standardised by voice
    only; pose (W, 106); weight (W,), 0 beyond the clip's end; gesture (W,), 1 where an iconic
    gesture is made; posed (8,) numbers of the frames to pose; noise (W + D, Z).

    Args:
        features: a name of `features.FEATURE_SETS`.
        window: W frames of an item.
        look_ahead: D frames of speech beyond it.
        versions: how many ways each clip is heard, the first of them as it is.
        noise: Z numbers a frame.
    """

    def __init__(
        self,
        recordings: Sequence[MotionClip],
        *,
        features: str,
        window: int,
        look_ahead: int,
        noise: int,
        num_augmentations: int = 1,
        augmentation: AudioAugmentation | None = None,
        voice_mean_F: np.ndarray | None = None,
        seed: int = 0,
    ) -> None:
        self.recordings, self.kind = list(recordings), features
        self.window, self.look_ahead, self.noise = window, look_ahead, noise
        self.num_augmentations, self.augmentation, self.seed = num_augmentations, augmentation, seed
        self.voice_mean_F = voice_mean_F
        counts = np.array([max(len(recording) - window, 0) + 1 for recording in recordings])
        self._starts = np.concatenate([[0], counts.cumsum()])
        self._heard: dict[tuple[int, int], tuple[np.ndarray, Tensor, np.ndarray]] = {}

    def __len__(self) -> int:
        """The number of windows that overlap by half: every frame comes about twice an epoch."""
        frames = sum(map(len, self.recordings))
        return max(2 * frames // self.window, len(self.recordings))

    def __getitem__(self, item: SampleIndex) -> dict[str, Tensor]:
        """Return a window of a clip, in one of its versions."""
        random = item.rng()
        place = int(random.integers(self._starts[-1]))
        clip = int(np.searchsorted(self._starts, place, side="right")) - 1
        version = int(random.integers(self.num_augmentations))
        features_TF, pose_TP, gesture_T = self._version(clip, version)
        begin = round((place - self._starts[clip]) * len(pose_TP) / len(self.recordings[clip]))
        begin = min(begin, max(len(pose_TP) - self.window, 0))
        noise = SmoothNoise(self.noise, seed=int(random.integers(2**32)))
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
        audio_S, pose_TP, gesture_T = recording.audio_S, recording.pose_TP, recording.gesture_T
        if version and self.augmentation is not None:
            random = np.random.default_rng((self.seed, clip, version))
            factor = self.augmentation.draw_speed(random)
            audio_S = self.augmentation.augment(change_speed(audio_S, factor), random)
            count = int(len(pose_TP) / factor)  # a frame is the middle of its 640 samples
            times = (torch.arange(count, dtype=torch.float64) + 0.5) * factor - 0.5
            times = times.clamp(0, len(pose_TP) - 1)
            pose_TP = resample_linear(pose_TP, times)
            gesture_T = gesture_T[times.round().long().numpy()]
        features_TF = normalised_features(audio_S, self.kind, self.voice_mean_F)
        count = min(len(features_TF), len(pose_TP))
        return features_TF.astype(np.float16), pose_TP[:count], gesture_T[:count]


def normalised_features(
    audio_S: np.ndarray, kind: str, voice_prior_F: np.ndarray | None = None
) -> np.ndarray:
    """Return features (T, F) without what the voice adds to all of them."""
    features_TF = extract_features(audio_S, kind=kind)
    return normalise_voice(features_TF, voice_mean(features_TF, kind, voice_prior_F), kind)


def mean_voice_features(recordings: Sequence[MotionClip], kind: str) -> np.ndarray:
    """Return the mean (F,) of the training voices."""
    waves = (recording.audio_S for recording in recordings)
    return np.mean([voice_mean(extract_features(audio_S, kind=kind), kind) for audio_S in waves], 0)
