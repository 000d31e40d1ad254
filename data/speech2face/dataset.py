"""Training items of face clips: frames, speech, landmark-based motion and lips, labels.

Head and lids move by chance: the generator gets their ground truth in training, and motion from
noise at inference (`HeadMotionGenerator`). Lips follow speech: their shapes are distilled into the
content encoder.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from speech2video.data.loader import SampleIndex
from speech2video.data.speech2face.clip import EMOTIONS, EYE_DISTANCE, FaceRecording
from speech2video.data.splits import good_runs, note_left_out
from speech2video.util.audio import mel
from speech2video.util.audio.augmentation import AudioAugmentation
from speech2video.util.errors import DataError, note
from speech2video.util.smoothing import SmoothNoise

SYNC_SHIFTS = (5, 15)  # frames by which out-of-sync speech is shifted, at least and at most
# Head relative to its median in the clip: right and down (image widths), roll (radians), zoom
# (logarithm); relative to the speaker's median: turn and nod (of the nose's tip, eye distances);
# relative to the clip's median: opening of the lids (share).
MOTION = ("right", "down", "roll", "zoom", "turn", "nod", "lids")
PER_CLIP, PER_SPEAKER = slice(0, 4), slice(4, 6)
# Relative to the mouth at rest, in eye distances.
LIPS = ("gap", "height", "width", "chin")
EYE_CORNERS = ((36, 39), (42, 45))  # of the right and left eye: blinks do not move them
LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))
INNER_LIPS = ((61, 67), (62, 66), (63, 65))
LIP_PAIRS = ((51, 57), (54, 48), (33, 8))  # upper and lower lip, the corners, nose and chin
NOSE_TIP = 30
REST_QUANTILE = 0.1  # of a clip's mouth shapes: the closed mouth
MIN_RUN = 15  # frames between two without a face that items are taken of
MIN_STD = 0.02  # of a number that hardly moves, in its unit
EXTREME_QUANTILE = 0.002  # beyond which generated motion is clamped
MAX_MASKED_BANDS, MAX_MASKED_COLUMNS = 12, 16
NOISE_STD = 0.2  # of the noise added to masked mels, in standard deviations of a band
VTLP_STD = 0.08  # of the logarithm of the vocal tract's length
NOISE_WARM_UP = 15  # frames of noise before an item begins


class FacePart(NamedTuple):
    """A part of the face.

    Attributes:
        landmarks: whose mean is its centre.
        sides: width and height of its box, in image widths.
        centre: x and y in image widths, where no landmarks are found.
    """

    landmarks: tuple[int, ...]
    sides: tuple[float, float]
    centre: tuple[float, float]


MOUTH = FacePart(tuple(range(48, 68)), sides=(0.40, 0.40), centre=(0.5, 0.71))
EYES = FacePart((*range(17, 27), *range(36, 48)), sides=(0.56, 0.26), centre=(0.5, 0.36))


class FaceDataset(Dataset):
    """Items of T frames of face clips; which one depends on its `SampleIndex`'s seed alone.

    An item is a dict of tensors:
        mel, masked_mel: log-mels (80, 4 T) normalised per utterance; masked, vocal tract perturbed.
        voice, masked_voice: log-mels (80, 4 T) that keep the timbre (`normalise_global`); masked.
        shifted_mel: mel of the same clip 5 to 15 frames earlier or later.
        frames: (T, 3, H, W) uint8.
        mouth_boxes, eye_boxes: (T, 4), x0 y0 x1 y1 in pixels, inside the image.
        present: (T,), 0 after a shorter clip's end, where its last frame is repeated.
        motion, lips: (T, 7), see `MOTION`; (T, 4), see `LIPS`, standardised over all clips.
        lips_seen: (T,), 1 where landmarks were found.
        noise: (`NOISE_WARM_UP` + T, Z) for `HeadMotionGenerator`.
        reference_image: (3, H, W) uint8 of the speaker, from another clip if there is one.
        speaker, emotion: index in `speakers`, in `EMOTIONS` (-1 where unknown).
        clip, begin: the recording's index, and the item's first frame in it.

    Args:
        frames: T.
        noise_dim: Z.
        item_count: of an epoch; by default each frame is seen about once.
        use_all_frames: whether to take items and reference images of frames without a face, too.

    Attributes:
        speakers: of the recordings, by name.
        mel_mean_B, mel_std_B: (80,) of all recordings' log-mels.
        motions, lips: of each recording.

    Raises:
        DataError: no recordings.
    """

    def __init__(
        self,
        recordings: Sequence[FaceRecording],
        *,
        frames: int = 25,
        noise_dim: int = 16,
        item_count: int | None = None,
        use_all_frames: bool = False,
    ) -> None:
        if not recordings:
            raise DataError("no recordings of faces; at least one is needed")
        self.recordings, self.frames, self.noise_dim = list(recordings), frames, noise_dim
        self.speakers = tuple(sorted({recording.speaker for recording in recordings}))
        lengths = np.array([len(recording) for recording in recordings])
        self._starts = np.maximum(lengths - frames, 0) + 1
        bad = [None if use_all_frames else one.bad_T for one in recordings]
        self._runs = _runs_of(recordings, bad)
        if not self._runs:
            note(f"no clip has {MIN_RUN} frames in a row with a face: all frames are trained on")
            bad = [None] * len(recordings)
            self._runs = _runs_of(recordings, bad)
        run_lengths = np.array([run.stop - run.start for _, run in self._runs])
        self._run_starts = np.maximum(run_lengths - frames, 0) + 1
        self._rows = [
            np.arange(len(one)) if mask is None else np.flatnonzero(~mask)
            for one, mask in zip(recordings, bad, strict=True)
        ]
        used = int(run_lengths.sum())
        note_left_out(int(lengths.sum()) - used, int(lengths.sum()))
        self._items = max(used // frames, 1) if item_count is None else item_count
        self._log_mels = [mel.log_mels(recording.audio_S) for recording in recordings]
        mels_BN = np.concatenate(self._log_mels, 1)
        self.mel_mean_B = mels_BN.mean(1)
        self.mel_std_B = mels_BN.std(1).clip(min=mel.MIN_DEVIATION)
        size = recordings[0].frames_T3HW.shape[-1]
        motions = [head_motion(one.points_TK2, size) for one in recordings]
        self.motions = subtract_speaker_median(motions, [one.speaker for one in recordings])
        shapes = [lip_shapes(one.points_TK2) for one in recordings]
        seen = np.concatenate([lips[np.isfinite(lips).all(1)] for lips in shapes])
        std_L = seen.std(0).clip(min=MIN_STD) if len(seen) else np.ones(len(LIPS), np.float32)
        self.lips = [lips / std_L for lips in shapes]

    def __len__(self) -> int:
        """The number of items in an epoch."""
        return self._items

    def __getitem__(self, item: SampleIndex) -> dict[str, Tensor]:
        """Return an item."""
        rng = item.rng()
        place = int(rng.integers(self._run_starts.sum()))
        number = int(np.searchsorted(self._run_starts.cumsum(), place, side="right"))
        index, run = self._runs[number]
        begin = run.start + place - int(self._run_starts[:number].sum())
        recording = self.recordings[index]
        numbers = np.arange(begin, begin + self.frames)
        inside = numbers.clip(max=run.stop - 1)
        present_T = numbers < run.stop
        size = recording.frames_T3HW.shape[-1]
        mel_BN, stats = self.mel(index), (self.mel_mean_B, self.mel_std_B)
        mel_BL = self._columns(mel_BN, begin)
        shifted_BL = self._columns(mel_BN, self._shifted_begin(index, begin, rng))
        voice_BL = mel.normalise_global(self._columns(self._log_mels[index], begin), *stats)
        content_rng = np.random.default_rng((item.seed, 2))
        tract = np.exp(VTLP_STD * content_rng.standard_normal())
        lips_TL = self.lips[index][inside]
        seen_T = np.isfinite(lips_TL).all(1) & present_T
        arrays = {
            "mel": mel_BL,
            "shifted_mel": shifted_BL,
            "voice": voice_BL,
            "frames": recording.frames_T3HW[inside],
            "mouth_boxes": part_boxes(recording.points_TK2[inside], size, MOUTH),
            "eye_boxes": part_boxes(recording.points_TK2[inside], size, EYES),
            "present": present_T.astype(np.float32),
            "reference_image": self._reference_image(index, rng),
            "motion": self.motions[index][inside].astype(np.float32),
            "lips": np.where(seen_T[:, None], lips_TL, 0).astype(np.float32),
            "lips_seen": seen_T.astype(np.float32),
            "noise": SmoothNoise(self.noise_dim, seed=item.seed).next(NOISE_WARM_UP + self.frames),
            "masked_voice": spec_augment(voice_BL, np.random.default_rng((item.seed, 1))),
            "masked_mel": spec_augment(perturb_vocal_tract(mel_BL, tract), content_rng),
        }
        tensors = {
            "speaker": torch.tensor(self.speakers.index(recording.speaker)),
            "emotion": torch.tensor(EMOTIONS.index(recording.emotion) if recording.emotion else -1),
            "clip": torch.tensor(index),
            "begin": torch.tensor(begin),
        }
        for name, array in arrays.items():
            tensors[name] = torch.from_numpy(np.ascontiguousarray(array))
        return tensors

    def good_rows(self, index: int) -> np.ndarray:
        """Return the numbers of a recording's frames with a face, or of all if all are used."""
        return self._rows[index]

    def mel(self, index: int) -> np.ndarray:
        """Return a recording's log-mels (80, 4 T), normalised over it."""
        return mel.normalise_utterance(self._log_mels[index])

    def motion_statistics(self) -> dict[str, Tensor]:
        """Return mean, std, lowest and highest (7,) of the clips' motion."""
        motion_NM = np.concatenate(self.motions)
        found = {
            "mean": motion_NM.mean(0),
            "std": motion_NM.std(0).clip(min=MIN_STD * 0.1),
            "lowest": np.quantile(motion_NM, EXTREME_QUANTILE, axis=0),
            "highest": np.quantile(motion_NM, 1 - EXTREME_QUANTILE, axis=0),
        }
        return {name: torch.from_numpy(value.astype(np.float32)) for name, value in found.items()}

    def _columns(self, mel_BN: np.ndarray, begin: int) -> np.ndarray:
        columns = np.arange(mel.HOPS_PER_FRAME * self.frames) + mel.HOPS_PER_FRAME * begin
        return mel_BN[:, columns.clip(0, mel_BN.shape[1] - 1)]

    def _shifted_begin(self, index: int, begin: int, rng: np.random.Generator) -> int:
        """Return where out-of-sync speech begins; inside the clip if possible."""
        shortest, longest = SYNC_SHIFTS
        shift = int(rng.integers(shortest, longest + 1))
        sign = 1 if rng.random() < 0.5 else -1
        last = int(self._starts[index]) - 1
        offsets = sign * shift, -sign * shift, -sign * shortest
        inside = [begin + offset for offset in offsets if 0 <= begin + offset <= last]
        return (inside or [begin + (shortest if last - begin >= begin else -shortest)])[0]

    def _reference_image(self, index: int, rng: np.random.Generator) -> np.ndarray:
        speaker = self.recordings[index].speaker
        others = [
            n for n, r in enumerate(self.recordings) if r.speaker == speaker and n != index
        ] or [index]
        number = others[int(rng.integers(len(others)))]
        rows = self.good_rows(number)
        return self.recordings[number].frames_T3HW[rows[int(rng.integers(len(rows)))]]


def _runs_of(
    recordings: Sequence[FaceRecording], bad: Sequence[np.ndarray | None]
) -> list[tuple[int, slice]]:
    """Return the index of the recording, and the frames, of every run of good frames."""
    return [
        (index, run)
        for index, one in enumerate(recordings)
        for run in good_runs(bad[index], len(one), shortest=MIN_RUN)
    ]


def part_boxes(points_TK2: np.ndarray, size: int, part: FacePart) -> np.ndarray:
    """Return boxes (T, 4) float32, x0 y0 x1 y1 in pixels, around a part of the face.

    All have one size and lie inside the image of `size` pixels. Without landmarks of a frame the
    box is at the clip's median, without any at the part's usual place.
    """
    centre_T2 = points_TK2[:, list(part.landmarks)].mean(1)
    seen_T = np.isfinite(centre_T2).all(1)
    median_2 = np.median(centre_T2[seen_T], 0) if seen_T.any() else np.array(part.centre) * size
    half_2 = np.array(part.sides) * size / 2
    centre_T2 = np.where(seen_T[:, None], centre_T2, median_2).clip(half_2, size - half_2)
    return np.concatenate((centre_T2 - half_2, centre_T2 + half_2), 1).astype(np.float32)


def head_motion(points_TK2: np.ndarray, size: int) -> np.ndarray:
    """Return head and lids (T, 7) float32, see `MOTION`, of landmarks (T, 68, 2) in pixels.

    Turn and nod are absolute; `subtract_speaker_median` follows. Frames without landmarks take
    their neighbours' values, clips without any NaN.
    """
    seen = np.flatnonzero(np.isfinite(points_TK2).all((1, 2)))
    if not len(seen):
        return np.full((len(points_TK2), len(MOTION)), np.nan, np.float32)
    nearest_T = seen[np.abs(np.arange(len(points_TK2))[:, None] - seen).argmin(1)]
    points = points_TK2[nearest_T].astype(np.float64)
    right_T2, left_T2 = (points[:, pair].mean(1) for pair in EYE_CORNERS)
    middle_T2, across_T2 = (right_T2 + left_T2) / 2, left_T2 - right_T2
    distance_T = np.hypot(*across_T2.T)
    roll_T = np.arctan2(across_T2[:, 1], across_T2[:, 0])
    cos_T, sin_T = np.cos(roll_T), np.sin(roll_T)
    x_T, y_T = (points[:, NOSE_TIP] - middle_T2).T
    nose_2T = np.stack((cos_T * x_T + sin_T * y_T, cos_T * y_T - sin_T * x_T)) / distance_T
    open_T = sum(_distance(points, pair) for pair in LIDS) / distance_T
    zoom_T = np.log(distance_T / (EYE_DISTANCE * size))
    motion_TM = np.column_stack((middle_T2 / size, roll_T, zoom_T, *nose_2T, open_T))
    median_M = np.median(motion_TM, 0)
    motion_TM[:, PER_CLIP] -= median_M[PER_CLIP]
    motion_TM[:, -1] = motion_TM[:, -1] / max(median_M[-1], 1e-6) - 1
    return motion_TM.astype(np.float32)


def subtract_speaker_median(
    motions: Sequence[np.ndarray], speakers: Sequence[str]
) -> list[np.ndarray]:
    """Return clips' motion (T, 7) with turn and nod relative to each speaker's median.

    A head may be turned all through a clip, so that the clip's own median means nothing. Unknown
    motion becomes 0.
    """
    found = []
    for speaker, motion_TM in zip(speakers, motions, strict=True):
        own = [one for one, other in zip(motions, speakers, strict=True) if other == speaker]
        seen_NM = (own_NM := np.concatenate(own))[np.isfinite(own_NM).all(1)]
        median_M = np.zeros(len(MOTION), np.float32)
        if len(seen_NM):
            median_M[PER_SPEAKER] = np.median(seen_NM[:, PER_SPEAKER], 0)
        found.append(np.nan_to_num(motion_TM - median_M))
    return found


def lip_shapes(points_TK2: np.ndarray) -> np.ndarray:
    """Return lips (T, 4) float32, see `LIPS`, of landmarks (T, 68, 2); NaN without landmarks."""
    right_T2, left_T2 = (points_TK2[:, pair].mean(1) for pair in EYE_CORNERS)
    distance_T = np.hypot(*(left_T2 - right_T2).T)
    gap_T = np.mean([_distance(points_TK2, pair) for pair in INNER_LIPS], 0)
    shapes_TL = np.column_stack((gap_T, *(_distance(points_TK2, pair) for pair in LIP_PAIRS)))
    shapes_TL /= distance_T[:, None]
    seen_T = np.isfinite(shapes_TL).all(1)
    if not seen_T.any():
        return np.full((len(points_TK2), len(LIPS)), np.nan, np.float32)
    rest_L = np.quantile(shapes_TL[seen_T], REST_QUANTILE, 0)
    rest_L[LIPS.index("width")] = np.median(shapes_TL[seen_T, LIPS.index("width")])
    return np.where(seen_T[:, None], shapes_TL - rest_L, np.nan).astype(np.float32)


def spec_augment(mel_BL: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return normalised log-mels (80, L) with noise, and some bands and columns masked by 0.

    Park et al., SpecAugment, 2019.
    """
    bands, columns = mel_BL.shape
    mel_BL = mel_BL + NOISE_STD * rng.standard_normal(mel_BL.shape)
    for axis, size, most in ((0, bands, MAX_MASKED_BANDS), (1, columns, MAX_MASKED_COLUMNS)):
        begin, count = rng.integers(size), rng.integers(most + 1)
        mel_BL[(slice(None),) * axis + (slice(begin, begin + count),)] = 0
    return mel_BL.astype(np.float32)


def perturb_vocal_tract(mel_BL: np.ndarray, length: float) -> np.ndarray:
    """Return log-mels (80, L) of a vocal tract of another length: band b is read at `length` b.

    Jaitly and Hinton, Vocal Tract Length Perturbation, 2013.
    """
    bands = np.arange(len(mel_BL))
    source_B = np.clip(length * bands, 0, bands[-1])
    below_B = np.floor(source_B).astype(int).clip(max=bands[-1] - 1)
    share_B1 = (source_B - below_B)[:, None]
    return (1 - share_B1) * mel_BL[below_B] + share_B1 * mel_BL[below_B + 1]


def augmented_copies(
    recordings: Sequence[FaceRecording], num_augmentations: int, *, seed: int
) -> list[FaceRecording]:
    """Return recordings, and `num_augmentations` − 1 copies of each with augmented audio.

    Noise, echo, colour and level change, the voice and its timing do not. Frames are shared.
    """
    augmentation = AudioAugmentation(pitch=None, formants=None)
    found = list(recordings)
    for version in range(1, num_augmentations):
        for number, one in enumerate(recordings):
            rng = np.random.default_rng((seed, number, version))
            found.append(replace(one, audio_S=augmentation.augment(one.audio_S, rng)))
    return found


def _distance(points_TK2: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    return np.hypot(*(points_TK2[:, pair[0]] - points_TK2[:, pair[1]]).T)
