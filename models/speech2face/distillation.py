"""What students of speech learn from teachers of faces, and what they are kept from learning.

Losses that compare the items of a batch with each other take those of all processes in, so that two
processes with half the batch each learn what one with all of it does.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.models.pose2video.renderer import to_floats
from speech2video.models.speech2face.encoders import CONTENT, EMOTIONS, IDENTITY
from speech2video.util import distributed

if TYPE_CHECKING:
    from speech2video.models.speech2face.model import Speech2FaceModel


CONTRASTIVE_TEMPERATURE = 0.07  # temperature of InfoNCE (van den Oord et al. 2018)
EMOTION_TEMPERATURE = 2.0  # temperature of the emotion's soft targets (Albanie et al. 2018)
WINDOW = 5  # frames of motion that are compared as one
EPSILON = 1e-6  # under a root, whose slope at 0 is infinite


def identity_loss(student_ND: Tensor, teacher_ND: Tensor) -> Tensor:
    """Return the mean squared distance of unit vectors, 0-dim."""
    return (student_ND - teacher_ND).square().sum(1).mean()


def contrastive_loss(student_ND: Tensor, teacher_ND: Tensor) -> Tensor:
    """Return InfoNCE from voices to the faces of the whole batch, 0-dim.

    Clips of one person are no negatives of each other: the targets are as sure of each face as the
    teacher is that it is the same one. With faces all different this is InfoNCE.
    """
    faces_MD = gather_processes(teacher_ND.detach())
    wanted_NM = (teacher_ND.detach() @ faces_MD.T / CONTRASTIVE_TEMPERATURE).softmax(1)
    heard_NM = (student_ND @ faces_MD.T / CONTRASTIVE_TEMPERATURE).log_softmax(1)
    return -(wanted_NM * heard_NM).sum(1).mean()


def posterior_loss(student_NP: Tensor, teacher_NP: Tensor) -> Tensor:
    """Return the cross-entropy of logits of who it is, by the voice and by the face, 0-dim.

    Hinton et al., Distilling the Knowledge in a Neural Network, 2015. Unlike `contrastive_loss` it knows
    all people at every step, however few of them are in the batch.
    """
    wanted_NP = teacher_NP.detach().softmax(1)
    return -(wanted_NP * student_NP.log_softmax(1)).sum(1).mean()


def emotion_loss(student_N8: Tensor, teacher_NT8: Tensor) -> Tensor:
    """Return the cross-entropy at `EMOTION_TEMPERATURE` of logits and the frames' largest logits, 0-dim."""
    wanted_N8 = (teacher_NT8.detach().amax(1) / EMOTION_TEMPERATURE).softmax(1)
    return -(wanted_N8 * (student_N8 / EMOTION_TEMPERATURE).log_softmax(1)).sum(1).mean()


def masked_cross_entropy(logits_NC: Tensor, label_N: Tensor) -> Tensor:
    """Return the cross-entropy, 0-dim; labels below 0 are not known and count as zero."""
    known_N = (label_N >= 0).to(logits_NC.dtype)
    return (F.cross_entropy(logits_NC, label_N.clamp(min=0), reduction="none") * known_N).mean()


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        return -gradient


def reverse_gradient(x: Tensor) -> Tensor:
    """Return x as it is; its gradient comes back with the other sign.

    Ganin and Lempitsky, Unsupervised Domain Adaptation by Backpropagation, 2015.
    """
    return _Reverse.apply(x)


def cross_covariance(one_NA: Tensor, other_NB: Tensor) -> Tensor:
    """Return the sum of squared covariances between two codes' numbers, 0-dim.

    Cheung et al., Discovering Hidden Factors of Variation in Deep Networks, 2015.
    """
    one_NA, other_NB = gather_processes(one_NA), gather_processes(other_NB)
    covariance_AB = (one_NA - one_NA.mean(0)).T @ (other_NB - other_NB.mean(0)) / len(one_NA)
    return covariance_AB.square().sum()


def energy_distance(made_NTM: Tensor, real_NTM: Tensor) -> Tensor:
    """Return how far made motion's statistics are from real motion's, 0-dim; 0 where alike.

    The mean of energy distances (Székely and Rizzo 2013) of single numbers, of each number over
    `WINDOW` frames, and of all numbers over the whole stretch. No made stretch has a real one of
    its own to be like, as in a squared error whose best answer is to hold still.
    """
    made, real = gather_processes(made_NTM), gather_processes(real_NTM)
    count = made.shape[1] // WINDOW * WINDOW
    views = (
        lambda x: x.flatten(0, 1).T[..., None],
        lambda x: x[:, :count].unflatten(1, (-1, WINDOW)).permute(3, 0, 1, 2).flatten(1, 2),
        lambda x: x.flatten(1)[None],
    )
    return torch.stack([_energy(view(made), view(real)) for view in views]).mean()


def masked_mse(made_NTL: Tensor, real_NTL: Tensor, seen_NT: Tensor) -> Tensor:
    """Return the mean squared error of frames that count, 0-dim; others count as zero."""
    return ((made_NTL - real_NTL).square().mean(2) * seen_NT).mean()


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


def _energy(one_VNC: Tensor, other_VMC: Tensor) -> Tensor:
    across, within, beyond = (
        _distances(a, b)
        for a, b in ((one_VNC, other_VMC), (one_VNC, one_VNC), (other_VMC, other_VMC))
    )
    return 2 * across - within - beyond


def _distances(one_VNC: Tensor, other_VMC: Tensor) -> Tensor:
    """Return the mean distance of all pairs, a root of the channels' number the unit."""
    squares = (one_VNC[:, :, None] - other_VMC[:, None]).square().mean(3)
    return (squares + EPSILON).sqrt().mean()


# What reads a voice's codes while students learn, and is not needed in use.

HIDDEN = 128


class DistillationHeads(nn.Module):
    """What reads codes in training only: lips out of content, and what ought not to be in them."""

    def __init__(self, *, speakers: int, lips: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(
            {
                "lips": nn.Linear(CONTENT, lips),
                "speaker_in_emotion": _head(EMOTIONS, speakers),
                "emotion_in_identity": _head(IDENTITY, EMOTIONS),
                "speaker_in_content": _head(CONTENT, speakers),
            }
        )

    def forward(self, codes: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return what each of the named heads reads."""
        return {name: self.heads[name](code) for name, code in codes.items()}


def _head(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))


# What students hear in a batch, and the losses by which teachers who see its faces teach it.

TEACHER_FRAMES = 3  # frames of a stretch that teachers look at
IDENTITY_TERMS = ("identity_distance", "contrast", "posterior")
EMOTION_TERMS = ("emotion_distance",)

Losses = dict[str, Tensor]


class DistillationBatch:
    """What is heard in a batch of `FaceMotionDataset`.

    Students go on learning while there is painting; but those without a teacher learn by it then,
    and are not heard here.

    Args:
        model: whose students, teachers and weights of losses these are.
        batch: N items.
        painting: whether there is painting.

    Attributes:
        terms: losses, each to be computed when it is asked for.
        identity_ND: by masked voices; None where nobody listens for it.
        felt_N8: what the teacher sees of emotions, 1 together; None where nobody listens for them.
    """

    identity_ND: Tensor | None = None
    felt_N8: Tensor | None = None

    def __init__(
        self, model: "Speech2FaceModel", batch: Mapping[str, Tensor], *, painting: bool = False
    ) -> None:
        self.model, self.batch = model, batch
        self.terms: dict[str, Callable[[], Tensor]] = {}
        self._codes: dict[str, Tensor] = {}  # what the heads read
        who, how = model.uses(*IDENTITY_TERMS), model.uses(*EMOTION_TERMS)
        if not painting:
            who = who or model.uses("emotion_in_identity", "covariance")
            how = how or model.uses("speaker_in_emotion", "covariance")
        if who or how:
            self._hear(who=who, how=how)

    def content(self) -> Tensor:
        """Return what is said (N, T − look-ahead, 256), each at its own frame."""
        content_NTC, _ = self.model.net("content").train()(self.batch["masked_mel"])
        content_NTC = content_NTC[:, self.model.networks["content"].look_ahead :]
        self._codes["lips"] = content_NTC
        self._codes["speaker_in_content"] = reverse_gradient(content_NTC.mean(1))
        return content_NTC

    def losses(self) -> Losses:
        """Return the losses that count, of all that was heard by now."""
        return self.model.only_used(self.terms) | self._read()

    def _hear(self, *, who: bool, how: bool) -> None:
        model, voice_NBL = self.model, self.batch["masked_voice"]
        seen_ND, felt_NT8 = self._seen()
        if who:
            identity_ND = self.identity_ND = model.net("identity").train()(voice_NBL)
            self._codes["emotion_in_identity"] = reverse_gradient(identity_ND)
            self.terms["identity_distance"] = lambda: identity_loss(identity_ND, seen_ND)
            self.terms["contrast"] = lambda: contrastive_loss(identity_ND, seen_ND)
            if "identity" not in model.given:  # a network of the user's own knows no such people
                tell = model.teachers.classify_speakers
                self.terms["posterior"] = lambda: posterior_loss(tell(identity_ND), tell(seen_ND))
        if how:
            logits_N8 = model.net("emotion").train()(voice_NBL)
            emotion_N8 = logits_N8.softmax(1)
            self.felt_N8 = felt_NT8.mean(1).softmax(1)
            self._codes["speaker_in_emotion"] = reverse_gradient(emotion_N8)
            self.terms["emotion_distance"] = lambda: emotion_loss(logits_N8, felt_NT8)
        if who and how:
            self.terms["covariance"] = lambda: cross_covariance(identity_ND, emotion_N8)

    @torch.no_grad()
    def _seen(self) -> tuple[Tensor, Tensor]:
        """Return what teachers see: identities (N, 128), and emotions' logits (N, 3, 8)."""
        frames = to_floats(self.batch["frames"][:, teacher_frames(self.batch["frames"])]).flatten(
            0, 1
        )
        identity_ND = self.model.recognise(frames).unflatten(0, (-1, TEACHER_FRAMES)).mean(1)
        felt_NT8 = self.model.feel(frames).unflatten(0, (-1, TEACHER_FRAMES))
        return nn.functional.normalize(identity_ND, dim=1), felt_NT8

    def _read(self) -> Losses:
        """Return the losses of the heads."""
        codes = {name: code for name, code in self._codes.items() if self.model.uses(name)}
        read = self.model.net("heads")(codes) if codes else {}
        losses = {}
        for name, guess in read.items():
            if name == "lips":
                lips, seen = (self.batch[k][:, : guess.shape[1]] for k in ("lips", "lips_seen"))
                losses[name] = masked_mse(guess, lips, seen)
            else:
                losses[name] = masked_cross_entropy(guess, self.batch[name.partition("_")[0]])
        return losses


def teacher_frames(frames_NT3HW: Tensor) -> Tensor:
    """Return the numbers of the frames that teachers look at."""
    return torch.linspace(0, frames_NT3HW.shape[1] - 1, TEACHER_FRAMES).long()
