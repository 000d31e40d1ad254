"""Clips of speech with motion, and the training windows of audio2pose cut from them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from speech2video.data.clip import Clip, list_clips
from speech2video.data.gestures.dictionary import GestureDictionary, spelling
from speech2video.data.loader import SampleIndex
from speech2video.data.motion_io import read_motion
from speech2video.data.splits import good_runs
from speech2video.util.audio.audio_io import load_audio, normalise_loudness
from speech2video.util.audio.augmentation import AudioAugmentation, change_speed
from speech2video.util.audio.features import extract_features, feature_set, is_phonetic
from speech2video.util.audio.normalisation import level_loudness, speech_features, voice_mean
from speech2video.util.audio.phonetic import replace_phones
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import pose_columns
from speech2video.util.body.rotations import resample_linear
from speech2video.util.errors import DataError
from speech2video.util.rendering.camera import Camera
from speech2video.util.smoothing import PoseSmoother, SmoothNoise
from speech2video.util.text.phones import STEPS_PER_FRAME as STEPS
from speech2video.util.text.phones import phone_confidence, phone_shares
from speech2video.util.text.transcript import (
    Phone,
    Word,
    cut_phones,
    cut_words,
    read_phones,
    read_words,
)
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME

MIN_FRAMES = 10  # of a clip
LOSS_FRAMES = 8  # of each window, whose joints and landmarks the losses compare


@dataclass(frozen=True, eq=False)
class MotionClip:
    """Speech and motion of one clip.

    Attributes:
        name: of the clip.
        audio_S: (S,) float32, 16 kHz, as loud as recorded, 640 samples a frame.
        pose_TP: (T, 106) pose vectors.
        words: with their times; empty without a transcript.
        gesture_T: (T,) bool, True where a gesture of the dictionary may be made.
        camera: that the clip was filmed with, or None.
        bad_T: (T,) bool, True where a frame is unfit for training; None where none is.
        phones: with their times; None where they are not known.
    """

    name: str
    audio_S: np.ndarray
    pose_TP: Tensor
    words: list[Word]
    gesture_T: np.ndarray
    camera: Camera | None = None
    bad_T: np.ndarray | None = None
    phones: list[Phone] | None = None

    def __len__(self) -> int:
        return len(self.pose_TP)

    def part(self, begin: int, end: int) -> "MotionClip":
        """Return frames [begin, end) as a clip of its own."""
        return replace(
            self,
            name=f"{self.name}[{begin}:{end}]",
            audio_S=self.audio_S[begin * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME],
            pose_TP=self.pose_TP[begin:end],
            words=cut_words(self.words, begin / FPS, end / FPS),
            gesture_T=self.gesture_T[begin:end],
            bad_T=None if self.bad_T is None else self.bad_T[begin:end],
            phones=None if self.phones is None else cut_phones(self.phones, begin / FPS, end / FPS),
        )


def load_motion_clips(folder: Path, body: Body) -> list[MotionClip]:
    """Return the speech and motion of all clips of a data set, by name.

    Raises:
        DataError: missing or broken files, or motion of another body.
    """
    return [_load_motion_clip(clip, body) for clip in list_clips(folder)]


def _load_motion_clip(clip: Clip, body: Body) -> MotionClip:
    motion = read_motion(clip.pose).resample()
    if motion.body != body.name:
        raise DataError(
            f"{clip.pose}: motion of the body {motion.body!r}; --body with its file is needed"
        )
    pose_TP = motion.pose_vector(body)
    if len(pose_TP) < MIN_FRAMES:
        raise DataError(f"{clip.pose}: {len(pose_TP)} frames; at least {MIN_FRAMES} are needed")
    audio_S = load_audio(clip.audio)
    samples = len(pose_TP) * SAMPLES_PER_FRAME
    audio_S = np.pad(audio_S[:samples], (0, max(samples - len(audio_S), 0)))
    words = read_words(clip.words) if clip.words.is_file() else []
    phones = read_phones(clip.phones) if clip.phones.is_file() else None
    no_gesture_T = np.zeros(len(pose_TP), bool)
    bad_T = clip.bad_mask(len(pose_TP))
    name, camera = clip.folder.name, motion.camera
    return MotionClip(name, audio_S, pose_TP, words, no_gesture_T, camera, bad_T, phones)


def smooth_motion(clip: MotionClip, window: int) -> MotionClip:
    """Return a clip with body and hands, not lips, smoothed over an odd number of frames.

    Fitted motion jitters by a few millimetres, and a network trained on it jitters too. Good frames
    take nothing from bad ones next to them.
    """
    pose_TP = clip.pose_TP.clone()
    for run in good_runs(clip.bad_T, len(clip), shortest=1):
        smoother = PoseSmoother(window)
        pose_TP[run] = torch.cat((smoother.push(clip.pose_TP[run]), smoother.finish()))
    return replace(clip, pose_TP=pose_TP)


def mark_gestures(clips: Sequence[MotionClip], dictionary: GestureDictionary) -> list[MotionClip]:
    """Return the clips with `gesture_T` set at every occurrence of the dictionary's words.

    Occurrences without the gesture are marked too: the dictionary's times are estimates, and the
    frames lost that way are few.
    """
    by_word = dictionary.by_word()
    marked = [replace(clip, gesture_T=np.zeros(len(clip), bool)) for clip in clips]
    for clip in marked:
        for word in clip.words:
            for entry in by_word.get(spelling(word.text), ()):
                start, _, _, end = entry.times(entry.key_time(word))
                clip.gesture_T[max(round(start * FPS), 0) : max(round(end * FPS), 0)] = True
    return marked


def pose_statistics(clips: Sequence[MotionClip]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (106,) of the poses over all frames."""
    pose_NP = torch.cat([clip.pose_TP for clip in clips])
    return pose_NP.mean(0), pose_NP.std(0, unbiased=False)


def match_poses(
    clips: Sequence[MotionClip], like_mean_P: Tensor, like_std_P: Tensor, *, min_std: float = 0.0
) -> list[MotionClip]:
    """Return the clips with another mean and deviation (106,) of body and hands.

    Fits lie some centimetres from exact poses, and a renderer that was trained on fits corrupts
    what is elsewhere. Numbers that are constant on either side become the other mean; so do those
    that deviate by no more than `min_std`, which enlarged would make the body tremble.
    """
    columns = pose_columns("translation", "root_orientation", "body", "left_hand", "right_hand")
    mean_C, std_C = (numbers[columns] for numbers in pose_statistics(clips))
    like_mean_C, like_std_C = like_mean_P[columns], like_std_P[columns]
    scale_C = torch.where(std_C > min_std, like_std_C / std_C.clamp(min=1e-12), 0)
    matched = []
    for clip in clips:
        pose_TP = clip.pose_TP.clone()
        pose_TP[:, columns] = like_mean_C + (pose_TP[:, columns] - mean_C) * scale_C
        matched.append(replace(clip, pose_TP=pose_TP))
    return matched


class _Copy(NamedTuple):
    """An augmented copy: features (T, F) float16, poses (T, P), gestures (T,), and known phones.

    Those are their shares (2 T, C) and confidence (2 T,), 50 times a second.
    """

    features_TF: np.ndarray
    pose_TP: Tensor
    gesture_T: np.ndarray
    phones: tuple[np.ndarray, np.ndarray] | None


class Audio2PoseDataset(Dataset):
    """Windows of clips; the `SampleIndex`'s seed alone decides which.

    An item is a dict of tensors: features (W + D, F), voice-normalised, with the look-ahead;
    pose (W, 106); weight (W,), 0 past the clip's end; gesture (W,), 1 where a dictionary gesture
    may be made; frames (8,), numbers of those whose joints the losses compare; noise (W + D, Z).

    Augmenting audio takes longer than a training step. So each clip has a fixed number of augmented
    copies, each computed at its first use from its own seed.

    Args:
        features: as `--features`, see `features.feature_set`.
        seq_len: W, frames of an item.
        look_ahead: D, frames of speech past the window.
        noise: Z, noise numbers per frame.
        num_augmentations: copies of each clip, the first of them unchanged.
        voice_mean_F: prior of the voices' means, see `mean_voice_features`.
        known_phones: share of windows whose phonetic features have the clip's known phones, as
            they have at inference with a text.
    """

    def __init__(
        self,
        clips: Sequence[MotionClip],
        *,
        features: str,
        seq_len: int,
        look_ahead: int,
        noise: int,
        num_augmentations: int = 1,
        augmentation: AudioAugmentation | None = None,
        voice_mean_F: np.ndarray | None = None,
        known_phones: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.known_phones = known_phones if is_phonetic(features) else 0.0
        self.clips, self.kind = list(clips), features
        self.seq_len, self.look_ahead, self.noise = seq_len, look_ahead, noise
        self.num_augmentations, self.augmentation = num_augmentations, augmentation
        self.voice_mean_F, self.seed = voice_mean_F, seed
        counts = np.array([max(len(clip) - seq_len, 0) + 1 for clip in clips])
        self._starts = np.concatenate([[0], counts.cumsum()])
        self._copies: dict[tuple[int, int], _Copy] = {}

    def __len__(self) -> int:
        """The number of windows that overlap by half: an epoch has each frame about twice."""
        return max(2 * sum(map(len, self.clips)) // self.seq_len, len(self.clips))

    def __getitem__(self, item: SampleIndex) -> dict[str, Tensor]:
        """Return a window of one of the augmented copies of a clip."""
        rng = item.rng()
        place = int(rng.integers(self._starts[-1]))
        number = int(np.searchsorted(self._starts, place, side="right")) - 1
        copy = int(rng.integers(self.num_augmentations))
        features_TF, pose_TP, gesture_T, phones = self._copy(number, copy)
        begin = round((place - self._starts[number]) * len(pose_TP) / len(self.clips[number]))
        begin = min(begin, max(len(pose_TP) - self.seq_len, 0))
        noise = SmoothNoise(self.noise, seed=int(rng.integers(2**32)))
        rows = np.arange(begin, begin + self.seq_len + self.look_ahead)
        window = rows[: self.seq_len]
        rows = rows.clip(max=len(features_TF) - 1)
        features_TF = features_TF[rows].astype(np.float32)
        if phones is not None and rng.random() < self.known_phones:
            steps = rows.repeat(STEPS) * STEPS + np.tile(np.arange(STEPS), len(rows))
            features_TF = replace_phones(features_TF, *(array[steps] for array in phones))
        inside = window.clip(max=len(pose_TP) - 1)
        return {
            "features": torch.from_numpy(features_TF),
            "pose": pose_TP[inside],
            "weight": torch.from_numpy(window < len(pose_TP)).float(),
            "gesture": torch.from_numpy(gesture_T[inside]).float(),
            "frames": torch.from_numpy(rng.integers(self.seq_len, size=LOSS_FRAMES)),
            "noise": torch.from_numpy(noise.next(len(rows))),
        }

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation (F,) of the features of the unchanged clips."""
        features = [self._copy(number, 0)[0] for number in range(len(self.clips))]
        features_NF = np.concatenate(features).astype(np.float64)
        mean_F, std_F = map(torch.from_numpy, (features_NF.mean(0), features_NF.std(0)))
        return mean_F.float(), std_F.float()

    def _copy(self, number: int, copy: int) -> "_Copy":
        if (number, copy) not in self._copies:
            self._copies[number, copy] = self._augment(number, copy)
        return self._copies[number, copy]

    def _augment(self, number: int, copy: int) -> "_Copy":
        clip, factor = self.clips[number], 1.0
        audio_S, pose_TP, gesture_T = clip.audio_S, clip.pose_TP, clip.gesture_T
        if copy and self.augmentation is not None:
            rng = np.random.default_rng((self.seed, number, copy))
            factor = self.augmentation.draw_speed(rng)
            audio_S = change_speed(normalise_loudness(audio_S), factor)
            audio_S = self.augmentation.augment(audio_S, rng)
            count = int(len(pose_TP) / factor)  # a frame is the middle of its 640 samples
            times = (torch.arange(count, dtype=torch.float64) + 0.5) * factor - 0.5
            times = times.clamp(0, len(pose_TP) - 1)
            pose_TP = resample_linear(pose_TP, times)
            gesture_T = gesture_T[times.round().long().numpy()]
        features_TF = speech_features(audio_S, self.kind, self.voice_mean_F)
        count = min(len(features_TF), len(pose_TP))
        phones = None
        if self.known_phones and clip.phones is not None:
            known = [replace(p, start=p.start / factor, end=p.end / factor) for p in clip.phones]
            size, rate = STEPS * len(features_TF), STEPS * FPS
            phones = (
                phone_shares(known, size, rate=rate).astype(np.float16),
                phone_confidence(known, size, rate=rate).astype(np.float16),
            )
        return _Copy(features_TF.astype(np.float16), pose_TP[:count], gesture_T[:count], phones)


def mean_voice_features(clips: Sequence[MotionClip], kind: str) -> np.ndarray:
    """Return the mean (F,) of the voices' mean features; 0 for sets that need none."""
    chosen = feature_set(kind)
    if not chosen.voice_normalised:
        return np.zeros(chosen.size, np.float32)
    features = (extract_features(level_loudness(clip.audio_S), kind=kind) for clip in clips)
    return np.mean([voice_mean(features_TF, kind) for features_TF in features], 0)
