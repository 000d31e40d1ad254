"""Speech with the motion that belongs to it, one clip in memory, and how a data set is divided."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speech2video.data.clip import Clip, clips_of
from speech2video.data.gesture_dictionary import GestureDictionary, spelling
from speech2video.data.motion import FPS
from speech2video.data.motion_file import read_motion
from speech2video.util.audio import SPEECH_RATE, load_wave
from speech2video.util.body.body_model import Body
from speech2video.util.camera import Camera
from speech2video.util.errors import DataError
from speech2video.util.smoothing import Smoother
from speech2video.util.transcript import Word, read_words

SAMPLES_A_FRAME = SPEECH_RATE // FPS  # 640
LEAST_FRAMES = 10


@dataclass(frozen=True, eq=False)
class SpeechMotion:
    """One clip: what was said and how the person moved.

    Attributes:
        name: of the clip.
        wave_S: (S,) float32, 16 kHz, loudness-normalised, 640 samples a frame.
        pose_TP: (T, 106) pose vectors.
        words: what was said when; empty where nobody knows.
        gesture_T: (T,) bool, where the person makes a gesture of the dictionary.
        camera: that the clip was filmed with, or None.
    """

    name: str
    wave_S: np.ndarray
    pose_TP: Tensor
    words: list[Word]
    gesture_T: np.ndarray
    camera: Camera | None = None

    def __len__(self) -> int:
        return len(self.pose_TP)

    def part(self, begin: int, end: int) -> "SpeechMotion":
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
            wave_S=self.wave_S[begin * SAMPLES_A_FRAME : end * SAMPLES_A_FRAME],
            pose_TP=self.pose_TP[begin:end],
            words=words,
            gesture_T=self.gesture_T[begin:end],
        )


def load_speech_motion(clip: Clip, body: Body) -> SpeechMotion:
    """Return a clip's speech and motion.

    Raises:
        DataError: parts of the clip are missing or broken, or its motion is for another body.
    """
    motion = read_motion(clip.pose).resampled()
    if motion.body != body.name:
        seen = f"motion of the body {motion.body!r}"
        raise DataError(f"{clip.pose}: {seen}; --body with the file of that body is needed")
    pose_TP = motion.pose_vector(body)
    if len(pose_TP) < LEAST_FRAMES:
        raise DataError(f"{clip.pose}: {len(pose_TP)} frames; at least {LEAST_FRAMES} are needed")
    wave_S = load_wave(clip.audio, normalise=True)
    samples = len(pose_TP) * SAMPLES_A_FRAME
    wave_S = np.pad(wave_S[:samples], (0, max(samples - len(wave_S), 0)))
    words = read_words(clip.words) if clip.words.is_file() else []
    nowhere_T = np.zeros(len(pose_TP), bool)
    return SpeechMotion(clip.folder.name, wave_S, pose_TP, words, nowhere_T, motion.camera)


def load_dataset(folder: Path, body: Body) -> list[SpeechMotion]:
    """Return all clips of a data set, in name order; raises `DataError` as each clip does."""
    return [load_speech_motion(clip, body) for clip in clips_of(folder)]


def smoothed(recording: SpeechMotion, window: int) -> SpeechMotion:
    """Return a clip with body and hands smoothed over an odd number of frames, lips as they are.

    A fit trembles by a few millimetres from frame to frame, and what is trained on it would, too.
    """
    smoother = Smoother(window)
    pose_TP = torch.cat((smoother.push(recording.pose_TP), smoother.finish()))
    return replace(recording, pose_TP=pose_TP)


def mark_gestures(
    recordings: Sequence[SpeechMotion], dictionary: GestureDictionary
) -> list[SpeechMotion]:
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


def pose_statistics(recordings: Sequence[SpeechMotion]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (106,) of the poses over all frames."""
    pose_NP = torch.cat([recording.pose_TP for recording in recordings])
    return pose_NP.mean(0), pose_NP.std(0, unbiased=False)
