"""Training configuration, and real and generated frames with their losses.

Names, weights and stages of all losses stand in `options/speech2face.py`.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from speech2video.models.gan import item_mean
from speech2video.models.optim import cosine_decay
from speech2video.models.pose2video import losses
from speech2video.models.pose2video.discriminators import crop
from speech2video.models.pose2video.renderer import to_floats
from speech2video.models.speech2face import discriminators
from speech2video.models.speech2face.teachers import EMOTION_TEMPERATURE, FaceTeachers, resize_faces
from speech2video.options.speech2face import STAGES
from speech2video.util.audio.mel import HOPS_PER_FRAME

WARM_UP = 50  # steps over which the learning rate rises at the beginning of each part
MOUTH_WEIGHT, EYES_WEIGHT = 16.0, 6.0  # of errors there, compared with elsewhere
WARM_UP_FRAMES = 4  # for the content encoder's memory, before the first generated frame
COARSE_SHARE = 0.5  # of the generator's stage, trained at half the size
FRAME_STRIDE = 2  # of the frames that the discriminators of single frames see

Terms = dict[str, Callable[[], Tensor]]
DiscriminatorInputs = tuple[Tensor, Tensor, dict[str, Any]]  # real, fake, other arguments


@dataclass(frozen=True)
class TrainingConfig:
    """How a `Speech2FaceModel` is trained.

    Attributes:
        stage_ends: the steps before which stages end.
        lr, lr_d: initial learning rates of Adam; `lr_d` of the discriminators.
        ndf: channels of the discriminators' first layer.
        r1, r1_every: weight of the discriminators' gradient penalty, and steps between two.
        generator_share: share of a batch that frames are generated of.
        num_frames: generated of each item; consecutive ones in the adversarial stage.
        weights: of the losses in use.
        ema: decay of the averaged weights.
        validate_frames: of each validated clip.
    """

    stage_ends: tuple[int, ...]
    lr: float
    lr_d: float
    weights: Mapping[str, float]
    ndf: int = 16
    r1: float = 0.0
    r1_every: int = 16
    generator_share: float = 0.25
    num_frames: int = 5
    ema: float | None = 0.998
    grad_clip: float | None = 1.0
    validate_frames: int = 75

    def stage(self, step: int) -> str:
        """Return the stage of a step; the last one does not end."""
        return STAGES[min(bisect_right(self.stage_ends, step), len(STAGES) - 1)]

    def is_coarse(self, step: int) -> bool:
        """Return whether a generator that grows is trained at half its size in a step."""
        begin, end = self.stage_ends[1:3]
        return step < begin + COARSE_SHARE * (end - begin)

    def r1_weight(self, step: int) -> float:
        """Return the weight of the gradient penalty in a step: that of several steps at once."""
        return 0.0 if step % self.r1_every else self.r1 * self.r1_every

    def lr_share(self, step: int) -> float:
        """Return the share of the learning rate, which rises and falls once per part of a run.

        The parts are teachers, students, and both last stages together.
        """
        parts = (0, self.stage_ends[0], self.stage_ends[1], self.stage_ends[-1])
        begin, end = next((part for part in pairwise(parts) if step < part[1]), parts[-2:])
        done = step - begin
        return cosine_decay(done, max(end - begin, 1)) * min(1.0, (done + 1) / WARM_UP)


class FrameWindow:
    """P real frames of each of a batch's N items, with what belongs to them.

    Where in its item a window begins follows from the item's place in its clip, which is random.

    Args:
        frames: P.
        length: frames of an item with content.
        spacing: from one frame to the next, or less where items are too short.
        shrink: by which real frames are made smaller.

    Attributes:
        real: (N, P, 3, H, W) -1..1.
        mouth_boxes, eye_boxes: (N, P, 4) in pixels; eyes with their brows.
        present: (N, P), 0 for frames beyond the clip's end.
        mel, shifted_mel: (N, 80, 4 P), of these frames and out of sync with them.
        emotion: (N,), -1 where unknown.
    """

    def __init__(
        self,
        batch: Mapping[str, Tensor],
        *,
        frames: int,
        length: int,
        spacing: int = 1,
        shrink: int = 1,
    ) -> None:
        warm_up = min(WARM_UP_FRAMES, length - frames)
        spacing = max(1, min(spacing, (length - warm_up - 1) // (frames - 1)))
        offsets_P = spacing * torch.arange(frames, device=batch["begin"].device)
        starts = length - warm_up - spacing * (frames - 1)
        self._frames_NP = warm_up + batch["begin"][:, None] % starts + offsets_P
        self.real = to_floats(self.select(batch["frames"]))
        if shrink > 1:
            small = F.avg_pool2d(self.real.flatten(0, 1), shrink)
            self.real = small.unflatten(0, self.real.shape[:2])
        names = ("mouth_boxes", "eye_boxes")
        self.mouth_boxes, self.eye_boxes = (self.select(batch[n]) / shrink for n in names)
        self.present = self.select(batch["present"])
        mels = (batch[name].unflatten(2, (-1, HOPS_PER_FRAME)) for name in ("mel", "shifted_mel"))
        by_frame = (self.select(mel.transpose(1, 2)).transpose(1, 2) for mel in mels)
        self.mel, self.shifted_mel = (mel.flatten(2) for mel in by_frame)
        self.emotion = batch["emotion"]

    def select(self, items_NT: Tensor) -> Tensor:
        """Return the window's frames (N, P, ...) of items (N, T, ...)."""
        rows = torch.arange(len(items_NT), device=items_NT.device)[:, None]
        return items_NT[rows, self._frames_NP]


class SynthesisBatch:
    """Real and generated frames of a window.

    Args:
        window: the real frames.
        fake: generated ones (N, P, 3, H, W).
        identity_ND: that they were generated with.
    """

    def __init__(self, window: FrameWindow, fake: Tensor, identity_ND: Tensor) -> None:
        self.window, self.real, self.fake = window, window.real, fake
        self.identity_ND = identity_ND
        self._middle = fake.shape[1] // 2

    def image_terms(self) -> Terms:
        """Return the losses of pixels."""
        items = self.real, self.fake, self.window.present
        real, fake, present = (one.flatten(0, 1) for one in items)
        boxes_MR4 = torch.stack((self.window.mouth_boxes, self.window.eye_boxes), 2).flatten(0, 1)
        weights = MOUTH_WEIGHT, EYES_WEIGHT
        weight = losses.region_weight_map(boxes_MR4, present[:, None], real.shape[-2:], weights)
        given = {"weight_map": weight, "present_N": present}

        def temporal() -> Tensor:
            """Return the error of the differences between consecutive frames."""
            fake, real = ((x[:, 1:] - x[:, :-1]).flatten(0, 1) for x in (self.fake, self.real))
            later = weight.unflatten(0, self.window.present.shape)[:, 1:].flatten(0, 1)
            present = self.window.present[:, 1:].flatten()
            return losses.reconstruction_loss(fake, real, later, present_N=present)

        return {
            "reconstruction": lambda: losses.reconstruction_loss(fake, real, **given),
            "structural": lambda: losses.ssim_loss(fake, real, **given),
            "temporal": temporal,
        }

    def perceptual_terms(self, teachers: FaceTeachers) -> Terms:
        """Return the losses in the teachers' features: lips of all frames, others of one each."""
        real, fake, present = (
            one[:, self._middle] for one in (self.real, self.fake, self.window.present)
        )
        boxes = self.window.mouth_boxes.flatten(0, 1)

        def identity() -> Tensor:
            with torch.no_grad():
                target_ND = teachers.embed_identity(real)
            cosine_N = (teachers.embed_identity(fake) * target_ND).sum(1)
            return ((1 - cosine_N) * present).mean()

        def emotion() -> Tensor:
            with torch.no_grad():
                target_N8 = (teachers.classify_emotion(real) / EMOTION_TEMPERATURE).softmax(1)
            log_p_N8 = (teachers.classify_emotion(fake) / EMOTION_TEMPERATURE).log_softmax(1)
            return (-(target_N8 * log_p_N8).sum(1) * present).mean()

        def lips() -> Tensor:
            generated = teachers.lip_shape(self.fake.flatten(0, 1), boxes)
            with torch.no_grad():
                target = teachers.lip_shape(self.real.flatten(0, 1), boxes)
            return item_mean((generated - target).square(), self.window.present.flatten())

        return {
            "perceptual_identity": identity,
            "perceptual_emotion": emotion,
            "perceptual_lips": lips,
        }

    def discriminator_inputs(
        self, name: str, *, generated_only: bool = False
    ) -> DiscriminatorInputs:
        """Return real and fake inputs of a discriminator, and its other arguments.

        Args:
            name: frame, mouth, eyes, sequence, sync or emotion.
            generated_only: whether fakes are generated ones only, for the generator's loss.
        """
        window = self.window
        if name in ("frame", "mouth", "eyes"):
            rows = slice(None, None, FRAME_STRIDE)
            real, fake = (one[:, rows].flatten(0, 1) for one in (self.real, self.fake))
            present = window.present[:, rows].flatten()
            if name == "frame":
                identity = self.identity_ND.repeat_interleave(len(real) // len(self.real), 0)
                return real, fake, {"condition": (identity,), "present_N": present}
            boxes = window.mouth_boxes if name == "mouth" else window.eye_boxes
            place = boxes[:, rows].flatten(0, 1), discriminators.REGION_SIDE
            return crop(real, *place), crop(fake, *place), {"present_N": present}
        complete = window.present.amin(1)
        if name == "sequence":
            side = discriminators.SEQUENCE_SIDE
            real, fake = (
                resize_faces(one.flatten(0, 1), side).unflatten(0, one.shape[:2])
                for one in (self.real, self.fake)
            )
            return real, fake, {"condition": (window.mel,), "present_N": complete}
        if name == "sync":
            return self._sync_inputs(complete, generated_only)
        side = discriminators.EMOTION_SIDE
        real, fake = (resize_faces(one[:, self._middle], side) for one in (self.real, self.fake))
        known = (window.emotion >= 0).to(real.dtype) * window.present[:, self._middle]
        return real, fake, {"condition": (window.emotion,), "present_N": known}

    def _sync_inputs(self, complete: Tensor, generated_only: bool) -> DiscriminatorInputs:
        """Return rows of mouths and speech; fakes are also real mouths with other speech."""
        count, side = discriminators.SYNC_FRAMES, discriminators.MOUTH_SIDE
        join = discriminators.join_sync_inputs
        begin = (self.real.shape[1] - count) // 2
        rows, columns = (slice(n * begin, n * (begin + count)) for n in (1, HOPS_PER_FRAME))
        mel, shifted_mel = self.window.mel[..., columns], self.window.shifted_mel[..., columns]
        boxes = self.window.mouth_boxes[:, rows].flatten(0, 1)
        mouths, generated_mouths = (
            crop(one[:, rows].flatten(0, 1), boxes, side).unflatten(0, (-1, count))
            for one in (self.real, self.fake)
        )
        real, generated = join(mouths, mel), join(generated_mouths, mel)
        if generated_only:
            return real, generated, {"present_N": complete}
        fakes = torch.cat((generated, join(mouths, shifted_mel)))
        return torch.cat((real, real)), fakes, {"present_N": complete.repeat(2)}
