"""Face clips as batches: stretches of pictures with their speech, who speaks and how they feel."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from speech2video.data.loader import SampleIndex
from speech2video.data.speech2face.clip import EMOTIONS, EYE_DISTANCE, FaceRecording
from speech2video.util.audio.augmentation import AudioAugmentation
from speech2video.util.audio.mel import (
    HOPS_PER_FRAME,
    LEAST_DEVIATION,
    log_mels,
    normalise_global,
    normalise_utterance,
)
from speech2video.util.errors import DataError
from speech2video.util.smoothing import SmoothNoise

SYNC_SHIFTS = (5, 15)  # frames by which speech is off to be no longer in step with the lips


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
    """Stretches of T frames of face clips; which one depends on its `SampleIndex`'s seed alone.

    An item is a dict of tensors: mel (80, 4 T) log-mels normalised over their utterance; voice
    (80, 4 T), the same `normalise_global`; shifted_mel (80, 4 T), the same clip's 5 to 15 frames earlier
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

    def __getitem__(self, item: SampleIndex) -> dict[str, Tensor]:
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
            "reference_image": self._still(index, random),
        }
        tensors = {name: torch.from_numpy(np.ascontiguousarray(out[name])) for name in out}
        speaker = self.speakers.index(recording.speaker)
        numbered = {"speaker": speaker, "emotion": emotion, "clip": index, "begin": begin}
        return tensors | {name: torch.tensor(number) for name, number in numbered.items()}

    def mel(self, index: int) -> np.ndarray:
        """Return a recording's log-mels (80, 4 T), normalised over it."""
        return normalise_utterance(self._log_mel(index))

    def _log_mel(self, index: int) -> np.ndarray:
        if index not in self._log_mels:
            self._log_mels[index] = log_mels(self.recordings[index].audio_S)
        return self._log_mels[index]

    def _voice(self, index: int, begin: int) -> np.ndarray:
        mel_BL = self._stretch(self._log_mel(index), begin)
        return normalise_global(mel_BL, self.mel_mean_B, self.mel_deviation_B)

    def _stretch(self, mel_BN: np.ndarray, begin: int) -> np.ndarray:
        columns = np.arange(HOPS_PER_FRAME * begin, HOPS_PER_FRAME * (begin + self.frames))
        return mel_BN[:, columns.clip(0, mel_BN.shape[1] - 1)]

    def _shifted(self, index: int, begin: int, random: np.random.Generator) -> int:
        """Return where speech begins that is not in step; inside the clip where there is room."""
        shift = int(random.integers(SYNC_SHIFTS[0], SYNC_SHIFTS[1] + 1))
        sign = 1 if random.random() < 0.5 else -1
        last = self._starts[index] - 1
        if not 0 <= begin + sign * shift <= last:
            sign = -sign
        if not 0 <= begin + sign * shift <= last:
            shift = SYNC_SHIFTS[0]
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


# Of a face's landmarks, the few numbers a frame that say how head, lids and lips move.
#
# Head and lids follow chance, not speech: a face is painted with their truth in training, and with
# numbers made of noise in use (`NoiseProcess`). Lips follow speech: their numbers teach what to hear.

# how far the head is off its place in the clip: right and down (picture widths), roll (radians),
# zoom (natural logarithm); off the person's usual: turn and nod (of the nose's tip, eye distances);
# and how much wider the lids are open than mostly in the clip (share)
MOTION = ("right", "down", "roll", "zoom", "turn", "nod", "lids")
IN_CLIP, OF_PERSON = slice(0, 4), slice(4, 6)  # of these numbers: off whose usual
# eye distances beyond the mouth at rest: gap of the lips, height and width of the mouth, chin
LIPS = ("gap", "height", "width", "chin")
CORNERS = ((36, 39), (42, 45))  # of the right and left eye: blinks do not move them
LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))
GAPS = ((61, 67), (62, 66), (63, 65))
UPPER, LOWER, LEFT, RIGHT, CHIN, NOSE, NOSE_TIP = 51, 57, 54, 48, 8, 33, 30
REST = 0.1  # quantile of a clip's mouth that counts as shut
LEAST = 0.02  # deviation of a number that hardly moves, in its unit
EXTREME = 0.002  # quantile beyond which motion is not to go
MASKED_BANDS, MASKED_COLUMNS = 12, 16  # at most
NOISE_STD = 0.2  # deviations of a band
VTLP_STD = 0.08  # deviation of the logarithm of a throat's length
NOISE_WARM_UP = 15  # frames that noise runs before a stretch begins
NO_VOICE_CHANGE = {"pitch": None, "formants": None}  # who speaks must not change


def head_motion(points_TK2: np.ndarray, size: int) -> np.ndarray:
    """Return head and lids (T, 7) float32, see `MOTION`, of landmarks (T, 68, 2) in pixels.

    Turn and nod are not off anybody's usual yet. Frames without landmarks have their neighbours'
    values; clips without any have NaN.
    """
    points = _fill_gaps(points_TK2)
    if points is None:
        return np.full((len(points_TK2), len(MOTION)), np.nan, np.float32)
    right_T2, left_T2 = (points[:, pair].mean(1) for pair in CORNERS)
    middle_T2, across_T2 = (right_T2 + left_T2) / 2, left_T2 - right_T2
    distance_T = np.hypot(*across_T2.T)
    roll_T = np.arctan2(across_T2[:, 1], across_T2[:, 0])
    nose_T2 = np.einsum("tij,tj->ti", _inverse_rotations(roll_T), points[:, NOSE_TIP] - middle_T2)
    open_T = sum(_distance(points, pair) for pair in LIDS) / distance_T
    zoom_T = np.log(distance_T / (EYE_DISTANCE * size))
    found_TM = np.column_stack(
        (middle_T2 / size, roll_T, zoom_T, nose_T2 / distance_T[:, None], open_T)
    )
    usual_M = np.median(found_TM, 0)
    found_TM[:, IN_CLIP] -= usual_M[IN_CLIP]
    found_TM[:, -1] = found_TM[:, -1] / max(usual_M[-1], 1e-6) - 1
    return found_TM.astype(np.float32)


def subtract_speaker_median(
    motions: Sequence[np.ndarray], speakers: Sequence[str]
) -> list[np.ndarray]:
    """Return clips' motion (T, 7) with turn and nod off what is usual for each speaker.

    A head may be turned all through a clip, so that its own middle tells nothing. What is not known
    becomes 0, which is usual.
    """
    found = []
    for speaker, motion_TM in zip(speakers, motions, strict=True):
        own = [one for one, who in zip(motions, speakers, strict=True) if who == speaker]
        seen_NM = np.concatenate(own)
        seen_NM = seen_NM[np.isfinite(seen_NM).all(1)]
        usual_M = np.zeros(len(MOTION), np.float32)
        if len(seen_NM):
            usual_M[OF_PERSON] = np.median(seen_NM[:, OF_PERSON], 0)
        found.append(np.nan_to_num(motion_TM - usual_M))
    return found


def lip_shapes(points_TK2: np.ndarray) -> np.ndarray:
    """Return lips (T, 4) float32, see `LIPS`, of landmarks (T, 68, 2); NaN without landmarks."""
    right_T2, left_T2 = (points_TK2[:, pair].mean(1) for pair in CORNERS)
    distance_T = np.hypot(*(left_T2 - right_T2).T)
    gap_T = np.mean([_distance(points_TK2, pair) for pair in GAPS], 0)
    height_T, width_T = (_distance(points_TK2, pair) for pair in ((UPPER, LOWER), (LEFT, RIGHT)))
    shapes_TL = np.column_stack((gap_T, height_T, width_T, _distance(points_TK2, (NOSE, CHIN))))
    shapes_TL = shapes_TL / distance_T[:, None]
    seen_T = np.isfinite(shapes_TL).all(1)
    if not seen_T.any():
        return np.full((len(points_TK2), len(LIPS)), np.nan, np.float32)
    rest_L = np.quantile(shapes_TL[seen_T], REST, 0)
    rest_L[LIPS.index("width")] = np.median(shapes_TL[seen_T, LIPS.index("width")])
    return np.where(seen_T[:, None], shapes_TL - rest_L, np.nan).astype(np.float32)


class FaceMotionDataset(FaceDataset):
    """`FaceDataset` with what moves: also motion (T, 7), lips (T, 4), lips_seen (T,), noise.

    Lips are in deviations of all clips' lips; noise (AGO + T, Z) is what a `NoiseProcess` reads;
    masked_voice (80, 4 T) is the voice with parts left out, so that none is known by one detail;
    masked_mel the mels of what is said, so, and as a throat of another length says it.
    """

    def __init__(
        self, recordings: Sequence[FaceRecording], *, noise: int, **others: object
    ) -> None:
        super().__init__(recordings, **others)
        self.noise = noise
        size = recordings[0].frames_T3HW.shape[-1]
        motions = [head_motion(one.points_TK2, size) for one in recordings]
        self.motions = subtract_speaker_median(motions, [one.speaker for one in recordings])
        shapes = [lip_shapes(one.points_TK2) for one in recordings]
        seen = np.concatenate([lips[np.isfinite(lips).all(1)] for lips in shapes])
        deviation_L = seen.std(0).clip(min=LEAST) if len(seen) else np.ones(len(LIPS), np.float32)
        self.lips = [lips / deviation_L for lips in shapes]

    def __getitem__(self, item: SampleIndex) -> dict[str, Tensor]:
        """Return a stretch of a clip."""
        found = super().__getitem__(item)
        index, begin = int(found["clip"]), int(found["begin"])
        numbers = np.arange(begin, begin + self.frames).clip(max=len(self.motions[index]) - 1)
        lips_TL = self.lips[index][numbers]
        seen_T = np.isfinite(lips_TL).all(1) & (found["present"].numpy() > 0)
        noise = SmoothNoise(self.noise, seed=item.seed)
        more = {
            "motion": self.motions[index][numbers],
            "lips": np.where(seen_T[:, None], lips_TL, 0),
            "lips_seen": seen_T,
            "noise": noise.next(NOISE_WARM_UP + self.frames),
            "masked_voice": spec_augment(
                found["voice"].numpy(), np.random.default_rng((item.seed, 1))
            ),
            "masked_mel": self._said_otherwise(found["mel"].numpy(), item),
        }
        return found | {k: torch.from_numpy(v.astype(np.float32)) for k, v in more.items()}

    def _said_otherwise(self, mel_BL: np.ndarray, item: SampleIndex) -> np.ndarray:
        random = np.random.default_rng((item.seed, 2))
        return spec_augment(
            perturb_vocal_tract(mel_BL, np.exp(VTLP_STD * random.standard_normal())), random
        )

    def motion_statistics(self) -> dict[str, Tensor]:
        """Return mean, deviation, lowest and highest (7,) of the clips' motion."""
        motion_NM = np.concatenate(self.motions)
        found = {
            "mean": motion_NM.mean(0),
            "deviation": motion_NM.std(0).clip(min=LEAST * 0.1),
            "lowest": np.quantile(motion_NM, EXTREME, axis=0),
            "highest": np.quantile(motion_NM, 1 - EXTREME, axis=0),
        }
        return {name: torch.from_numpy(value.astype(np.float32)) for name, value in found.items()}


def spec_augment(mel_BL: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return log-mels (80, L) in deviations, some bands and some columns at their mean, and hiss.

    Park et al., SpecAugment, 2019.
    """
    bands, columns = mel_BL.shape
    mel_BL = mel_BL + NOISE_STD * random.standard_normal(mel_BL.shape)
    for axis, size, most in ((0, bands, MASKED_BANDS), (1, columns, MASKED_COLUMNS)):
        begin, count = random.integers(size), random.integers(most + 1)
        mel_BL[(slice(None),) * axis + (slice(begin, begin + count),)] = 0
    return mel_BL


def perturb_vocal_tract(mel_BL: np.ndarray, length: float) -> np.ndarray:
    """Return log-mels (80, L) whose band b is what was between the bands about `length` b.

    As if the throat had another length (Jaitly and Hinton, Vocal Tract Length Perturbation, 2013).
    """
    bands = np.arange(len(mel_BL))
    from_B = np.clip(length * bands, 0, bands[-1])
    below_B = np.floor(from_B).astype(int).clip(max=bands[-1] - 1)
    share_B1 = (from_B - below_B)[:, None]
    return (1 - share_B1) * mel_BL[below_B] + share_B1 * mel_BL[below_B + 1]


def augmented_copies(
    recordings: Sequence[FaceRecording], num_augmentations: int, *, seed: int
) -> list[FaceRecording]:
    """Return recordings, and each also in `num_augmentations` − 1 other rooms: noise, echo, colour, level.

    Who speaks and when does not change, and pictures are shared, not copied.
    """
    augmentation = AudioAugmentation(**NO_VOICE_CHANGE)
    found = list(recordings)
    for version in range(1, num_augmentations):
        for number, one in enumerate(recordings):
            random = np.random.default_rng((seed, number, version))
            found.append(replace(one, audio_S=augmentation.augment(one.audio_S, random)))
    return found


def _fill_gaps(points_TK2: np.ndarray) -> np.ndarray | None:
    """Return landmarks without gaps, None where there are none at all."""
    seen = np.flatnonzero(np.isfinite(points_TK2).all((1, 2)))
    if not len(seen):
        return None
    nearest = seen[np.abs(np.arange(len(points_TK2))[:, None] - seen).argmin(1)]
    return points_TK2[nearest].astype(np.float64)


def _distance(points_TK2: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    return np.hypot(*(points_TK2[:, pair[0]] - points_TK2[:, pair[1]]).T)


def _inverse_rotations(angle_T: np.ndarray) -> np.ndarray:
    """Return rotations (T, 2, 2) back by angles."""
    cos, sin = np.cos(angle_T), np.sin(angle_T)
    return np.stack((np.stack((cos, sin), -1), np.stack((-sin, cos), -1)), 1)
