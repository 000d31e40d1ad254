"""Face clips as batches: stretches of pictures with their speech, who speaks and how they feel."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from speech2video.data.face_clip import EMOTIONS
from speech2video.data.face_recording import FaceRecording
from speech2video.data.training_loader import Item
from speech2video.util.errors import DataError
from speech2video.util.log_mels import COLUMNS, LEAST_DEVIATION, coloured, log_mels, normalised

SHIFTS = (5, 15)  # frames by which speech is off to be no longer in step with the lips


@dataclass(frozen=True)
class FacePart:
    """A part of the face.

    Attributes:
        landmarks: whose middle is its own.
        sides: across and down, of the picture's width: its box, the same for all faces.
        at: across and down, of the picture's width: where it is if no landmarks are found.
    """

    landmarks: tuple[int, ...]
    sides: tuple[float, float]
    at: tuple[float, float]


MOUTH = FacePart(tuple(range(48, 68)), sides=(0.40, 0.40), at=(0.5, 0.71))
EYES = FacePart((*range(17, 27), *range(36, 48)), sides=(0.56, 0.26), at=(0.5, 0.36))  # and brows


class FaceDataset(Dataset):
    """Stretches of T frames of face clips; which one depends on its `Item`'s seed alone.

    An item is a dict of tensors: mel (80, 4 T) log-mels normalised over their utterance; voice
    (80, 4 T), the same `coloured`; shifted_mel (80, 4 T), the same clip's 5 to 15 frames earlier
    or later; frames (T, 3, H, W) uint8; mouth_boxes, eye_boxes (T, 4), x0 y0 x1 y1 in pixels,
    inside the picture; present (T,), 0 where a shorter clip has ended and its last frame is held;
    still (3, H, W) uint8, another picture of the same person, from another clip if there is one;
    speaker, a number in `speakers`; emotion, a number in `EMOTIONS`, -1 where it is not known;
    clip, the recording's number, and begin, the stretch's first frame in it.

    Args:
        frames: T of an item.
        item_count: of an epoch; by default as many as bring each frame about once.
        speakers: in the order of their numbers; by default those of the recordings, by name.

    Attributes:
        mel_mean_B, mel_deviation_B: (80,) of all recordings' log-mels.

    Raises:
        DataError: no recordings, or one of a speaker who is not in `speakers`.
    """

    def __init__(
        self,
        recordings: Sequence[FaceRecording],
        *,
        frames: int = 25,
        item_count: int | None = None,
        speakers: Sequence[str] | None = None,
    ) -> None:
        if not recordings:
            raise DataError("no recordings of faces; at least one is needed")
        self.recordings, self.frames = list(recordings), frames
        own = sorted({recording.speaker for recording in recordings})
        self.speakers = tuple(own if speakers is None else speakers)
        unknown = sorted(set(own) - set(self.speakers))
        if unknown:
            raise DataError(f"speaker {unknown[0]} is none of the {len(self.speakers)} known ones")
        lengths = np.array([len(recording) for recording in recordings])
        self._starts = np.maximum(lengths - frames, 0) + 1
        self._items = max(int(lengths.sum()) // frames, 1) if item_count is None else item_count
        self._log_mels: dict[int, np.ndarray] = {}
        mels_BN = np.concatenate([self._log_mel(index) for index in range(len(recordings))], 1)
        self.mel_mean_B = mels_BN.mean(1)
        self.mel_deviation_B = mels_BN.std(1).clip(min=LEAST_DEVIATION)

    def __len__(self) -> int:
        """The number of items in an epoch."""
        return self._items

    def __getitem__(self, item: Item) -> dict[str, Tensor]:
        """Return a stretch of a clip."""
        random = item.rng()
        place = int(random.integers(self._starts.sum()))
        index = int(np.searchsorted(self._starts.cumsum(), place, side="right"))
        begin = place - int(self._starts[:index].sum())
        recording = self.recordings[index]
        numbers = np.arange(begin, begin + self.frames)
        inside = numbers.clip(max=len(recording) - 1)
        size = recording.frames_T3HW.shape[-1]
        emotion = EMOTIONS.index(recording.emotion) if recording.emotion else -1
        out = {
            "mel": self._stretch(self.mel(index), begin),
            "shifted_mel": self._stretch(self.mel(index), self._shifted(index, begin, random)),
            "voice": self._voice(index, begin),
            "frames": recording.frames_T3HW[inside],
            "mouth_boxes": part_boxes(recording.points_TK2[inside], size, MOUTH),
            "eye_boxes": part_boxes(recording.points_TK2[inside], size, EYES),
            "present": (numbers < len(recording)).astype(np.float32),
            "still": self._still(index, random),
        }
        tensors = {name: torch.from_numpy(np.ascontiguousarray(out[name])) for name in out}
        speaker = self.speakers.index(recording.speaker)
        numbered = {"speaker": speaker, "emotion": emotion, "clip": index, "begin": begin}
        return tensors | {name: torch.tensor(number) for name, number in numbered.items()}

    def mel(self, index: int) -> np.ndarray:
        """Return a recording's log-mels (80, 4 T), normalised over it."""
        return normalised(self._log_mel(index))

    def _log_mel(self, index: int) -> np.ndarray:
        if index not in self._log_mels:
            self._log_mels[index] = log_mels(self.recordings[index].wave_S)
        return self._log_mels[index]

    def _voice(self, index: int, begin: int) -> np.ndarray:
        mel_BL = self._stretch(self._log_mel(index), begin)
        return coloured(mel_BL, self.mel_mean_B, self.mel_deviation_B)

    def _stretch(self, mel_BN: np.ndarray, begin: int) -> np.ndarray:
        columns = np.arange(COLUMNS * begin, COLUMNS * (begin + self.frames))
        return mel_BN[:, columns.clip(0, mel_BN.shape[1] - 1)]

    def _shifted(self, index: int, begin: int, random: np.random.Generator) -> int:
        """Return where speech begins that is not in step; inside the clip where there is room."""
        shift = int(random.integers(SHIFTS[0], SHIFTS[1] + 1))
        sign = 1 if random.random() < 0.5 else -1
        last = self._starts[index] - 1
        if not 0 <= begin + sign * shift <= last:
            sign = -sign
        if not 0 <= begin + sign * shift <= last:
            shift = SHIFTS[0]
        if not 0 <= begin + sign * shift <= last:
            sign = 1 if last - begin >= begin else -1
        return begin + sign * shift

    def _still(self, index: int, random: np.random.Generator) -> np.ndarray:
        """Return a picture of the same person, of another clip where there is one."""
        own = self.recordings[index]
        others = [r for r in self.recordings if r.speaker == own.speaker and r is not own] or [own]
        other = others[int(random.integers(len(others)))]
        return other.frames_T3HW[int(random.integers(len(other)))]


def part_boxes(points_TK2: np.ndarray, size: int, part: FacePart) -> np.ndarray:
    """Return boxes (T, 4) float32, x0 y0 x1 y1 in pixels, around a part of the face.

    All of one size and inside the picture of `size` pixels. Where its landmarks are missing it is
    where it is in the clip's other frames in the middle, or in most aligned pictures.
    """
    centre_T2 = points_TK2[:, list(part.landmarks)].mean(1)
    seen_T = np.isfinite(centre_T2).all(1)
    usual_2 = np.median(centre_T2[seen_T], 0) if seen_T.any() else np.array(part.at) * size
    half_2 = np.array(part.sides) * size / 2
    centre_T2 = np.where(seen_T[:, None], centre_T2, usual_2).clip(half_2, size - half_2)
    return np.concatenate((centre_T2 - half_2, centre_T2 + half_2), 1).astype(np.float32)
