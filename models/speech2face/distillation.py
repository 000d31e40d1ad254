"""Distillation of the face teachers into the speech encoders, and disentangling of their codes.

Losses that compare the items of a batch with each other gather those of all processes, so that two
processes with half the batch each equal one with all of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.models.pose2video.renderer import to_floats
from speech2video.models.speech2face.encoders import CONTENT_DIM, IDENTITY_DIM, NUM_EMOTIONS, mlp
from speech2video.models.speech2face.losses import Terms
from speech2video.models.speech2face.teachers import EMOTION_TEMPERATURE, FaceTeachers
from speech2video.util import distributed

CONTRASTIVE_TEMPERATURE = 0.07  # of InfoNCE (van den Oord et al. 2018)
ENERGY_FRAMES = 5  # of motion, compared as one vector
EPSILON = 1e-6  # under a root, whose slope at 0 is infinite
TEACHER_FRAMES = 3  # of each item that teachers see
HEAD_HIDDEN = 128
IDENTITY_LOSSES = ("identity_distance", "contrastive", "posterior")
EMOTION_LOSSES = ("emotion_distance",)


class DistillationHeads(nn.Module):
    """Heads used in training only: they read lips from content, and what codes should not hold."""

    def __init__(self, *, speakers: int, lips: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(
            {
                "lips": nn.Linear(CONTENT_DIM, lips),
                "speaker_in_emotion": mlp(NUM_EMOTIONS, HEAD_HIDDEN, speakers),
                "emotion_in_identity": mlp(IDENTITY_DIM, HEAD_HIDDEN, NUM_EMOTIONS),
                "speaker_in_content": mlp(CONTENT_DIM, HEAD_HIDDEN, speakers),
            }
        )

    def forward(self, codes: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the outputs of the named heads; that of "other_lips" is that of "lips"."""
        return {name: self.heads[name.removeprefix("other_")](code) for name, code in codes.items()}


@dataclass(eq=False)
class DistillationBatch:
    """Codes of a batch's speech with their losses; None where no loss needs them.

    Attributes:
        identity_ND, emotion_N8: of masked voices; unit vectors and shares of the emotions.
        target_emotion_NT8: the teacher's logits of `TEACHER_FRAMES` frames.
        terms: losses, to be computed if used.
        head_inputs: codes by the name of the head that reads them.
    """

    identity_ND: Tensor | None = None
    emotion_N8: Tensor | None = None
    target_emotion_NT8: Tensor | None = None
    terms: Terms = field(default_factory=dict)
    head_inputs: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Distillation:
    """Encode speech and compute the distillation losses of the codes.

    Attributes:
        network: returns a network by name, as `BaseModel.net` does.
        teachers: of these codes.
        weights: of the losses in use.
        look_ahead: frames by which content is late.
    """

    network: Callable[[str], nn.Module]
    teachers: FaceTeachers
    weights: Mapping[str, float]
    look_ahead: int

    def encode(self, batch: Mapping[str, Tensor], *, generating: bool) -> DistillationBatch:
        """Return identity and emotion of a batch of `FaceDataset` as far as losses need them.

        Args:
            generating: whether frames are generated, too. An encoder without a distillation loss
                is then left to learn from them.
        """
        codes, voice_NBL = DistillationBatch(), batch["masked_voice"]
        frames = to_floats(batch["frames"][:, teacher_frames(batch["frames"])]).flatten(0, 1)
        only = not generating  # encoders learn from these losses only
        if self.uses(*IDENTITY_LOSSES) or (only and self.uses("emotion_in_identity", "covariance")):
            self._encode_identity(codes, voice_NBL, frames)
        if self.uses(*EMOTION_LOSSES) or (only and self.uses("speaker_in_emotion", "covariance")):
            self._encode_emotion(codes, voice_NBL, frames)
        identity_ND, emotion_N8 = codes.identity_ND, codes.emotion_N8
        if identity_ND is not None and emotion_N8 is not None:
            codes.terms["covariance"] = lambda: cross_covariance(identity_ND, emotion_N8)
        return codes

    def encode_content(self, batch: Mapping[str, Tensor], codes: DistillationBatch) -> Tensor:
        """Return content (N, T − look-ahead, 256), each at its own frame, and add its losses."""
        speech_NTF, other_NTF = batch["speech"], batch.get("other_speech")
        count, length = speech_NTF.shape[:2]
        if other_NTF is not None:  # encoded in one call; frames beyond the end change none before
            beyond = (0, 0, 0, other_NTF.shape[1] - length)
            speech_NTF = torch.cat((F.pad(speech_NTF, beyond), other_NTF))
        content_NTC, _ = self.network("content").train()(speech_NTF)
        content_NTC = content_NTC[:, self.look_ahead :]
        if other_NTF is not None:
            codes.head_inputs["other_lips"] = content_NTC[count:]
        content_NTC = content_NTC[:count, : length - self.look_ahead]
        codes.head_inputs["lips"] = content_NTC
        codes.head_inputs["speaker_in_content"] = reverse_gradient(content_NTC.mean(1))
        return content_NTC

    def losses(self, codes: DistillationBatch, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses in use, those of the heads last."""
        losses = {name: term() for name, term in codes.terms.items() if name in self.weights}
        inputs = {name: code for name, code in codes.head_inputs.items() if name in self.weights}
        outputs = self.network("heads")(inputs) if inputs else {}
        for name, output in outputs.items():
            if name == "lips":
                lips, seen = (batch[key][:, : output.shape[1]] for key in ("lips", "lips_seen"))
                losses[name] = masked_mse(output, lips, seen)
            elif name == "other_lips":
                lips = batch[name][:, : output.shape[1]]
                losses[name] = masked_mse(output, lips, torch.ones_like(lips[..., 0]))
            else:
                losses[name] = masked_cross_entropy(output, batch[name.partition("_")[0]])
        return losses

    def uses(self, *names: str) -> bool:
        """Return whether any of these losses is in use."""
        return any(name in self.weights for name in names)

    def _encode_identity(self, codes: DistillationBatch, voice_NBL: Tensor, frames: Tensor) -> None:
        codes.identity_ND = identity_ND = self.network("identity").train()(voice_NBL)
        codes.head_inputs["emotion_in_identity"] = reverse_gradient(identity_ND)
        with torch.no_grad():
            target_NTD = self.teachers.target_identity(frames).unflatten(0, (-1, TEACHER_FRAMES))
            target_ND = F.normalize(target_NTD.mean(1), dim=1)
        codes.terms["identity_distance"] = lambda: (identity_ND - target_ND).square().sum(1).mean()
        codes.terms["contrastive"] = lambda: contrastive_loss(identity_ND, target_ND)
        if "identity" not in self.teachers.external:  # only ours classifies these speakers
            codes.terms["posterior"] = lambda: soft_cross_entropy(
                *map(self.teachers.classify_speaker, (identity_ND, target_ND))
            )

    def _encode_emotion(self, codes: DistillationBatch, voice_NBL: Tensor, frames: Tensor) -> None:
        logits_N8 = self.network("emotion").train()(voice_NBL)
        codes.emotion_N8 = emotion_N8 = logits_N8.softmax(1)
        codes.head_inputs["speaker_in_emotion"] = reverse_gradient(emotion_N8)
        with torch.no_grad():
            target_NT8 = self.teachers.target_emotion(frames).unflatten(0, (-1, TEACHER_FRAMES))
        codes.target_emotion_NT8 = target_NT8
        codes.terms["emotion_distance"] = lambda: emotion_loss(logits_N8, target_NT8)


def teacher_frames(frames_NT3HW: Tensor) -> Tensor:
    """Return the indices of the frames that teachers see."""
    return torch.linspace(0, frames_NT3HW.shape[1] - 1, TEACHER_FRAMES).long()


def contrastive_loss(student_ND: Tensor, teacher_ND: Tensor) -> Tensor:
    """Return InfoNCE from voices to the faces of the whole batch, 0-dim.

    Targets are the teacher's similarities of the faces, so that clips of one person are no
    negatives of each other.
    """
    faces_MD = gather_processes(teacher_ND.detach())
    student_NM, teacher_NM = (x @ faces_MD.T for x in (student_ND, teacher_ND))
    return soft_cross_entropy(student_NM, teacher_NM, temperature=CONTRASTIVE_TEMPERATURE)


def emotion_loss(student_N8: Tensor, teacher_NT8: Tensor) -> Tensor:
    """Return the cross-entropy of logits with the maximum over the teacher's frames, 0-dim."""
    return soft_cross_entropy(student_N8, teacher_NT8.amax(1), temperature=EMOTION_TEMPERATURE)


def soft_cross_entropy(
    student_NC: Tensor, teacher_NC: Tensor, *, temperature: float = 1.0
) -> Tensor:
    """Return the cross-entropy of a student's logits with a teacher's, 0-dim.

    Hinton et al., Distilling the Knowledge in a Neural Network, 2015.
    """
    target_NC = (teacher_NC.detach() / temperature).softmax(1)
    return -(target_NC * (student_NC / temperature).log_softmax(1)).sum(1).mean()


def masked_cross_entropy(logits_NC: Tensor, label_N: Tensor) -> Tensor:
    """Return the cross-entropy, 0-dim; items with labels below 0 count as zero."""
    known_N = (label_N >= 0).to(logits_NC.dtype)
    return (F.cross_entropy(logits_NC, label_N.clamp(min=0), reduction="none") * known_N).mean()


def masked_mse(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared error of vectors (..., L), 0-dim; those with mask 0 count as zero."""
    return ((output - target).square().mean(-1) * mask).mean()


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return -grad_outputs[0]


def reverse_gradient(x: Tensor) -> Tensor:
    """Return x; its gradient comes back negated.

    Ganin and Lempitsky, Unsupervised Domain Adaptation by Backpropagation, 2015.
    """
    return _ReverseGradient.apply(x)


def cross_covariance(one_NA: Tensor, other_NB: Tensor) -> Tensor:
    """Return the sum of squared covariances between the components of two codes, 0-dim.

    Cheung et al., Discovering Hidden Factors of Variation in Deep Networks, 2015.
    """
    one_NA, other_NB = gather_processes(one_NA), gather_processes(other_NB)
    covariance_AB = (one_NA - one_NA.mean(0)).T @ (other_NB - other_NB.mean(0)) / len(one_NA)
    return covariance_AB.square().sum()


def energy_distance(generated_NTM: Tensor, real_NTM: Tensor) -> Tensor:
    """Return the distance of two motion distributions, 0-dim; 0 where they are equal.

    The mean of energy distances (Székely and Rizzo 2013) of single numbers, of each number over
    `ENERGY_FRAMES` frames, and of all numbers over the whole item. Unlike a squared error, whose
    optimum is no motion at all, it pairs no generated item with a real one.
    """
    generated, real = gather_processes(generated_NTM), gather_processes(real_NTM)
    count = generated.shape[1] // ENERGY_FRAMES * ENERGY_FRAMES
    views = (
        lambda x: x.flatten(0, 1).T[..., None],
        lambda x: x[:, :count].unflatten(1, (-1, ENERGY_FRAMES)).permute(3, 0, 1, 2).flatten(1, 2),
        lambda x: x.flatten(1)[None],
    )
    distances = []
    for view in views:
        one, other = view(generated), view(real)
        pairs = (one, other), (one, one), (other, other)
        across, within, beyond = (_mean_distance(*pair) for pair in pairs)
        distances.append(2 * across - within - beyond)
    return torch.stack(distances).mean()


def gather_processes(x: Tensor) -> Tensor:
    """Return the rows of all processes; the gradient is that of one process with all rows.

    Each process computes the same loss of these rows and keeps the gradient of its own; DDP takes
    the mean over processes of what is to be a sum, hence the factor.
    """
    world = distributed.world_size()
    if world == 1:
        return x
    rows = [torch.empty_like(x) for _ in range(world)]
    dist.all_gather(rows, x.detach().contiguous())
    if x.requires_grad:
        rows[distributed.rank()] = world * x - (world - 1) * x.detach()
    return torch.cat(rows)


def _mean_distance(one_VNC: Tensor, other_VMC: Tensor) -> Tensor:
    """Return the mean root-mean-square distance of all pairs."""
    squares = (one_VNC[:, :, None] - other_VMC[:, None]).square().mean(3)
    return (squares + EPSILON).sqrt().mean()
