"""Speech to face: what each loss counts, and which stage a step belongs to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from speech2video.models.optim import cosine_decay
from speech2video.models.pose2video.discriminators import crop
from speech2video.models.pose2video.losses import (
    item_mean,
    reconstruction_loss,
    region_weight_map,
    ssim_loss,
)
from speech2video.models.pose2video.renderer import to_floats
from speech2video.models.speech2face.discriminators import (
    EMOTION_SIDE,
    MOUTH_SIDE,
    SEQUENCE_SIDE,
    SYNC_FRAMES,
    join_sync_inputs,
)
from speech2video.models.speech2face.distillation import EMOTION_TEMPERATURE
from speech2video.models.speech2face.encoders import COLUMNS
from speech2video.models.speech2face.teachers import FaceTeachers, resize_faces
from speech2video.options.speech2face import ABLATIONS, STAGES
from speech2video.options.training import parse_loss_weights

TEACHERS, STUDENTS, GENERATOR, ADVERSARIAL = STAGES
WARM_UP = 50  # steps over which the learning rate rises at first, in each part
ADVERSARY_NAMES = ("frame", "sequence", "sync", "emotion")


@dataclass(frozen=True)
class FaceLossWeights:
    """What each loss counts."""

    # teachers, by labels and landmarks
    taught_speaker: float = 1.0
    taught_emotion: float = 1.0
    taught_lips: float = 1.0
    # students, by what the teachers see
    identity_distance: float = 1.0
    contrast: float = 0.5
    posterior: float = 1.0
    emotion_distance: float = 1.0
    lips: float = 1.0
    # portraits, by the people's mean looks
    looks: float = 1.0
    # what is kept apart
    speaker_in_emotion: float = 0.05
    emotion_in_identity: float = 0.05
    speaker_in_content: float = 0.05
    covariance: float = 0.1
    motion_statistics: float = 1.0
    # pictures
    reconstruction: float = 1.0
    structural: float = 0.2
    movement: float = 1.0
    # pictures as the teachers see them; little, or specks that please them are painted
    seen_identity: float = 0.02
    seen_emotion: float = 0.005
    seen_lips: float = 0.01
    # adversaries
    frame: float = 0.01
    matching: float = 0.05
    sequence: float = 0.005
    sync: float = 0.01
    emotion: float = 0.005

    @classmethod
    def of(cls, pairs: Sequence[str], *, without: Sequence[str] = ()) -> "FaceLossWeights":
        """Return the weights that pairs NAME=NUMBER say, the usual others, 0 for terms left out.

        Raises:
            OptionError: no such loss, or no number that is 0 or more.
        """
        said = cls(**parse_loss_weights(pairs, [field.name for field in fields(cls)]))
        return replace(said, **{name: 0.0 for term in without for name in ABLATIONS[term]})

    @property
    def used(self) -> dict[str, float]:
        """The weights of the losses that count at all."""
        return {name: weight for name, weight in asdict(self).items() if weight}


@dataclass(frozen=True)
class Schedule:
    """Which stage a step is of; `ends` are the steps before which each ends."""

    ends: tuple[int, ...]

    def stage(self, step: int) -> str:
        """Return the stage of a step; the last one goes on for ever."""
        return next(
            (n for n, end in zip(STAGES, self.ends, strict=True) if step < end), ADVERSARIAL
        )

    def rate_share(self, step: int) -> float:
        """Return the share of the learning rate: it rises and falls once for each part of a run.

        Teachers, students, and the painting of both last stages are parts of their own.
        """
        parts = (0, self.ends[0], self.ends[1], self.ends[-1])
        number = next((i for i in range(2) if step < parts[i + 1]), 2)
        done, length = step - parts[number], parts[number + 1] - parts[number]
        return cosine_decay(done, max(length, 1)) * min(1.0, (done + 1) / WARM_UP)


# Faces as painted beside faces as they were: losses of pictures, and what each adversary sees.

# how many times as much as elsewhere an error counts
MOUTH_WEIGHT, EYES_WEIGHT = 16.0, 6.0
SETTLED = 4  # frames that the content's memory has to settle before the first picture
FRAME_STRIDE = 2  # of the frames that the frame's adversary judges

Term = Callable[[], Tensor]
View = tuple[Tensor, Tensor, dict[str, Any]]  # real, fake, what else the adversary is given


class SynthesisBatch:
    """Stretches of P frames, (N, P, 3, H, W) -1..1, of a batch's items.

    Where in its item a stretch begins follows from the item's own place in its clip, which is
    drawn at random.

    Args:
        pictures: P.
        length: frames of an item that content is known of.
        apart: from one frame of a stretch to the next, or less where items are too short; what
            adversaries judge is consecutive, 1.

    Attributes:
        real, fake: as they were, as painted. `fake` and `identity_ND` are set by who paints.
        boxes, eye_boxes: around the mouths, and the eyes with their brows, (N, P, 4) in pixels.
        present: (N, P), 0 for frames that are not there.
    """

    fake: Tensor
    identity_ND: Tensor

    def __init__(
        self, batch: Mapping[str, Tensor], *, pictures: int, length: int, apart: int = 1
    ) -> None:
        settled = min(SETTLED, length - pictures)
        apart = max(1, min(apart, (length - settled - 1) // (pictures - 1)))
        places = apart * torch.arange(pictures, device=batch["begin"].device)
        room = length - settled - int(places[-1])
        self._frames = settled + batch["begin"][:, None] % room + places
        columns = torch.arange(COLUMNS, device=places.device)
        self._columns = (COLUMNS * self._frames[..., None] + columns).flatten(1)
        self.real = to_floats(self.picked(batch["frames"]))
        self.boxes, self.eye_boxes = (self.picked(batch[k]) for k in ("mouth_boxes", "eye_boxes"))
        self.present = self.picked(batch["present"])
        self.mel, self.shifted_mel = (self._heard(batch[k]) for k in ("mel", "shifted_mel"))
        self.emotion = batch["emotion"]

    def picked(self, items_NT: Tensor) -> Tensor:
        """Return of (N, T, ...) the frames of the stretches, (N, P, ...)."""
        rows = torch.arange(len(items_NT), device=items_NT.device)[:, None]
        return items_NT[rows, self._frames]

    def picture_terms(self) -> dict[str, Term]:
        """Return the losses of pixels, each to be computed when it is asked for."""
        real, fake = self.real.flatten(0, 1), self.fake.flatten(0, 1)
        boxes_MR4 = torch.stack((self.boxes, self.eye_boxes), 2).flatten(0, 1)
        present = self.present.flatten()
        weight = region_weight_map(
            boxes_MR4, present[:, None], real.shape[-2:], (MOUTH_WEIGHT, EYES_WEIGHT)
        )
        return {
            "reconstruction": lambda: reconstruction_loss(fake, real, weight, present_N=present),
            "structural": lambda: ssim_loss(fake, real, weight, present_N=present),
            "movement": lambda: self._movement(weight.unflatten(0, self.present.shape)),
        }

    def seen_terms(self, teachers: FaceTeachers) -> dict[str, Term]:
        """Return the losses of what teachers see; of identity and emotion in one frame of each."""
        middle = self.real.shape[1] // 2
        real, fake, present = self.real[:, middle], self.fake[:, middle], self.present[:, middle]
        boxes = self.boxes.flatten(0, 1)

        def identity() -> Tensor:
            alike_N = (teachers.recognise(fake) * _teacher_output(teachers.recognise, real)).sum(1)
            return ((1 - alike_N) * present).mean()

        def emotion() -> Tensor:
            wanted_N8 = (_teacher_output(teachers.feel, real) / EMOTION_TEMPERATURE).softmax(1)
            guess_N8 = (teachers.feel(fake) / EMOTION_TEMPERATURE).log_softmax(1)
            return (-(wanted_N8 * guess_N8).sum(1) * present).mean()

        def lips() -> Tensor:
            painted = teachers.read_lips(self.fake.flatten(0, 1), boxes)
            wanted = _teacher_output(
                lambda x: teachers.read_lips(x, boxes), self.real.flatten(0, 1)
            )
            return item_mean((painted - wanted).square(), self.present.flatten())

        return {"seen_identity": identity, "seen_emotion": emotion, "seen_lips": lips}

    def view(self, name: str, *, painted_only: bool = False) -> View:
        """Return what an adversary judges, real and fake, and what it is given beside.

        Args:
            name: frame, sequence, sync or emotion.
            painted_only: whether fakes are painted ones only, as the generator's loss takes them.
        """
        if name == "frame":
            rows = slice(None, None, FRAME_STRIDE)
            real, fake = (one[:, rows].flatten(0, 1) for one in (self.real, self.fake))
            present = self.present[:, rows].flatten()
            identity = self.identity_ND.repeat_interleave(len(real) // len(self.real), 0)
            return real, fake, {"condition": (identity,), "present_N": present}
        whole = self.present.amin(1)
        if name == "sequence":
            real, fake = (_resize_clips(one, SEQUENCE_SIDE) for one in (self.real, self.fake))
            return real, fake, {"condition": (self.mel,), "present_N": whole}
        if name == "sync":
            return self._sync_view(whole, painted_only)
        middle = self.real.shape[1] // 2
        real, fake = (resize_faces(one[:, middle], EMOTION_SIDE) for one in (self.real, self.fake))
        known = (self.emotion >= 0).to(real.dtype) * self.present[:, middle]
        return real, fake, {"condition": (self.emotion,), "present_N": known}

    def _sync_view(self, whole: Tensor, painted_only: bool) -> View:
        """Return rows of mouths and speech; fakes are also real mouths with other speech."""
        begin = (self.real.shape[1] - SYNC_FRAMES) // 2
        columns = slice(COLUMNS * begin, COLUMNS * (begin + SYNC_FRAMES))
        real, fake = (self._mouths(one, begin) for one in (self.real, self.fake))
        right, wrong = self.mel[..., columns], self.shifted_mel[..., columns]
        true, painted = join_sync_inputs(real, right), join_sync_inputs(fake, right)
        if painted_only:
            return true, painted, {"present_N": whole}
        fakes = torch.cat((painted, join_sync_inputs(real, wrong)))
        return torch.cat((true, true)), fakes, {"present_N": whole.repeat(2)}

    def _mouths(self, frames_NP3HW: Tensor, begin: int) -> Tensor:
        """Return five frames' mouths (N, 5, 3, 32, 32)."""
        rows = slice(begin, begin + SYNC_FRAMES)
        frames, boxes = (one[:, rows].flatten(0, 1) for one in (frames_NP3HW, self.boxes))
        return crop(frames, boxes, MOUTH_SIDE).unflatten(0, (-1, SYNC_FRAMES))

    def _movement(self, weight_NP1HW: Tensor) -> Tensor:
        """Return how far what changes from frame to frame is from what did: stillness costs."""
        changed = [(one[:, 1:] - one[:, :-1]).flatten(0, 1) for one in (self.fake, self.real)]
        weight = weight_NP1HW[:, 1:].flatten(0, 1)
        return reconstruction_loss(*changed, weight, present_N=self.present[:, 1:].flatten())

    def _heard(self, mel_NBL: Tensor) -> Tensor:
        columns = self._columns[:, None].expand(-1, mel_NBL.shape[1], -1)
        return mel_NBL.gather(2, columns)


@torch.no_grad()
def _teacher_output(look: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    return look(real)


def _resize_clips(frames_NP3HW: Tensor, side: int) -> Tensor:
    return resize_faces(frames_NP3HW.flatten(0, 1), side).unflatten(0, frames_NP3HW.shape[:2])
