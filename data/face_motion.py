"""Of a face's landmarks, the few numbers a frame that say how head, lids and lips move.

Head and lids follow chance, not speech: a face is painted with their truth in training, and with
numbers made of noise in use (`NoiseProcess`). Lips follow speech: their numbers teach what to hear.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from speech2video.data.face_clip import EYE_DISTANCE
from speech2video.data.face_dataset import FaceDataset
from speech2video.data.face_recording import FaceRecording
from speech2video.data.sound_augmentation import SoundAugmentation
from speech2video.data.training_loader import Item
from speech2video.util.smooth_noise import NoiseStream

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
HISS = 0.2  # deviations of a band
THROATS = 0.08  # deviation of the logarithm of a throat's length
AGO = 15  # frames that noise runs before a stretch begins
NO_VOICE_CHANGE = {"pitch": None, "formants": None}  # who speaks must not change


def head_motion(points_TK2: np.ndarray, size: int) -> np.ndarray:
    """Return head and lids (T, 7) float32, see `MOTION`, of landmarks (T, 68, 2) in pixels.

    Turn and nod are not off anybody's usual yet. Frames without landmarks have their neighbours'
    values; clips without any have NaN.
    """
    points = _filled(points_TK2)
    if points is None:
        return np.full((len(points_TK2), len(MOTION)), np.nan, np.float32)
    right_T2, left_T2 = (points[:, pair].mean(1) for pair in CORNERS)
    middle_T2, across_T2 = (right_T2 + left_T2) / 2, left_T2 - right_T2
    distance_T = np.hypot(*across_T2.T)
    roll_T = np.arctan2(across_T2[:, 1], across_T2[:, 0])
    nose_T2 = np.einsum("tij,tj->ti", _turns(roll_T), points[:, NOSE_TIP] - middle_T2)
    open_T = sum(_apart(points, pair) for pair in LIDS) / distance_T
    zoom_T = np.log(distance_T / (EYE_DISTANCE * size))
    found_TM = np.column_stack(
        (middle_T2 / size, roll_T, zoom_T, nose_T2 / distance_T[:, None], open_T)
    )
    usual_M = np.median(found_TM, 0)
    found_TM[:, IN_CLIP] -= usual_M[IN_CLIP]
    found_TM[:, -1] = found_TM[:, -1] / max(usual_M[-1], 1e-6) - 1
    return found_TM.astype(np.float32)


def off_usual(motions: Sequence[np.ndarray], speakers: Sequence[str]) -> list[np.ndarray]:
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
    gap_T = np.mean([_apart(points_TK2, pair) for pair in GAPS], 0)
    height_T, width_T = (_apart(points_TK2, pair) for pair in ((UPPER, LOWER), (LEFT, RIGHT)))
    shapes_TL = np.column_stack((gap_T, height_T, width_T, _apart(points_TK2, (NOSE, CHIN))))
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
        self.motions = off_usual(motions, [one.speaker for one in recordings])
        shapes = [lip_shapes(one.points_TK2) for one in recordings]
        seen = np.concatenate([lips[np.isfinite(lips).all(1)] for lips in shapes])
        deviation_L = seen.std(0).clip(min=LEAST) if len(seen) else np.ones(len(LIPS), np.float32)
        self.lips = [lips / deviation_L for lips in shapes]

    def __getitem__(self, item: Item) -> dict[str, Tensor]:
        """Return a stretch of a clip."""
        found = super().__getitem__(item)
        index, begin = int(found["clip"]), int(found["begin"])
        numbers = np.arange(begin, begin + self.frames).clip(max=len(self.motions[index]) - 1)
        lips_TL = self.lips[index][numbers]
        seen_T = np.isfinite(lips_TL).all(1) & (found["present"].numpy() > 0)
        noise = NoiseStream(self.noise, seed=item.seed)
        more = {
            "motion": self.motions[index][numbers],
            "lips": np.where(seen_T[:, None], lips_TL, 0),
            "lips_seen": seen_T,
            "noise": noise.next(AGO + self.frames),
            "masked_voice": masked(found["voice"].numpy(), np.random.default_rng((item.seed, 1))),
            "masked_mel": self._said_otherwise(found["mel"].numpy(), item),
        }
        return found | {k: torch.from_numpy(v.astype(np.float32)) for k, v in more.items()}

    def _said_otherwise(self, mel_BL: np.ndarray, item: Item) -> np.ndarray:
        random = np.random.default_rng((item.seed, 2))
        return masked(throat(mel_BL, np.exp(THROATS * random.standard_normal())), random)

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


def masked(mel_BL: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return log-mels (80, L) in deviations, some bands and some columns at their mean, and hiss.

    Park et al., SpecAugment, 2019.
    """
    bands, columns = mel_BL.shape
    mel_BL = mel_BL + HISS * random.standard_normal(mel_BL.shape)
    for axis, size, most in ((0, bands, MASKED_BANDS), (1, columns, MASKED_COLUMNS)):
        begin, count = random.integers(size), random.integers(most + 1)
        mel_BL[(slice(None),) * axis + (slice(begin, begin + count),)] = 0
    return mel_BL


def throat(mel_BL: np.ndarray, length: float) -> np.ndarray:
    """Return log-mels (80, L) whose band b is what was between the bands about `length` b.

    As if the throat had another length (Jaitly and Hinton, Vocal Tract Length Perturbation, 2013).
    """
    bands = np.arange(len(mel_BL))
    from_B = np.clip(length * bands, 0, bands[-1])
    below_B = np.floor(from_B).astype(int).clip(max=bands[-1] - 1)
    share_B1 = (from_B - below_B)[:, None]
    return (1 - share_B1) * mel_BL[below_B] + share_B1 * mel_BL[below_B + 1]


def heard_otherwise(
    recordings: Sequence[FaceRecording], versions: int, *, seed: int
) -> list[FaceRecording]:
    """Return recordings, and each also in `versions` − 1 other rooms: noise, echo, colour, level.

    Who speaks and when does not change, and pictures are shared, not copied.
    """
    augmentation = SoundAugmentation(**NO_VOICE_CHANGE)
    found = list(recordings)
    for version in range(1, versions):
        for number, one in enumerate(recordings):
            random = np.random.default_rng((seed, number, version))
            found.append(replace(one, wave_S=augmentation.augment(one.wave_S, random)))
    return found


def _filled(points_TK2: np.ndarray) -> np.ndarray | None:
    """Return landmarks without gaps, None where there are none at all."""
    seen = np.flatnonzero(np.isfinite(points_TK2).all((1, 2)))
    if not len(seen):
        return None
    nearest = seen[np.abs(np.arange(len(points_TK2))[:, None] - seen).argmin(1)]
    return points_TK2[nearest].astype(np.float64)


def _apart(points_TK2: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    return np.hypot(*(points_TK2[:, pair[0]] - points_TK2[:, pair[1]]).T)


def _turns(angle_T: np.ndarray) -> np.ndarray:
    """Return rotations (T, 2, 2) back by angles."""
    cos, sin = np.cos(angle_T), np.sin(angle_T)
    return np.stack((np.stack((cos, sin), -1), np.stack((-sin, cos), -1)), 1)
