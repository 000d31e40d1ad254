"""What students of speech learn from teachers of faces, and what they are kept from learning.

Losses that compare the items of a batch with each other take those of all processes in, so that two
processes with half the batch each learn what one with all of it does.
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from speech2video.util import distributed

CONTRAST = 0.07  # temperature of InfoNCE (van den Oord et al. 2018)
SOFTNESS = 2.0  # temperature of the emotion's soft targets (Albanie et al. 2018)
WINDOW = 5  # frames of motion that are compared as one
EPSILON = 1e-6  # under a root, whose slope at 0 is infinite


def identity_distance(student_ND: Tensor, teacher_ND: Tensor) -> Tensor:
    """Return the mean squared distance of unit vectors, 0-dim."""
    return (student_ND - teacher_ND).square().sum(1).mean()


def contrast(student_ND: Tensor, teacher_ND: Tensor) -> Tensor:
    """Return InfoNCE from voices to the faces of the whole batch, 0-dim.

    Clips of one person are no negatives of each other: the targets are as sure of each face as the
    teacher is that it is the same one. With faces all different this is InfoNCE.
    """
    faces_MD = everyone(teacher_ND.detach())
    wanted_NM = (teacher_ND.detach() @ faces_MD.T / CONTRAST).softmax(1)
    heard_NM = (student_ND @ faces_MD.T / CONTRAST).log_softmax(1)
    return -(wanted_NM * heard_NM).sum(1).mean()


def posterior_distance(student_NP: Tensor, teacher_NP: Tensor) -> Tensor:
    """Return the cross-entropy of logits of who it is, by the voice and by the face, 0-dim.

    Hinton et al., Distilling the Knowledge in a Neural Network, 2015. Unlike `contrast` it knows
    all people at every step, however few of them are in the batch.
    """
    wanted_NP = teacher_NP.detach().softmax(1)
    return -(wanted_NP * student_NP.log_softmax(1)).sum(1).mean()


def emotion_distance(student_N8: Tensor, teacher_NT8: Tensor) -> Tensor:
    """Return the cross-entropy at `SOFTNESS` of logits and the frames' largest logits, 0-dim."""
    wanted_N8 = (teacher_NT8.detach().amax(1) / SOFTNESS).softmax(1)
    return -(wanted_N8 * (student_N8 / SOFTNESS).log_softmax(1)).sum(1).mean()


def labelled_error(logits_NC: Tensor, label_N: Tensor) -> Tensor:
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


def reversed_gradient(x: Tensor) -> Tensor:
    """Return x as it is; its gradient comes back with the other sign.

    Ganin and Lempitsky, Unsupervised Domain Adaptation by Backpropagation, 2015.
    """
    return _Reverse.apply(x)


def cross_covariance(one_NA: Tensor, other_NB: Tensor) -> Tensor:
    """Return the sum of squared covariances between two codes' numbers, 0-dim.

    Cheung et al., Discovering Hidden Factors of Variation in Deep Networks, 2015.
    """
    one_NA, other_NB = everyone(one_NA), everyone(other_NB)
    covariance_AB = (one_NA - one_NA.mean(0)).T @ (other_NB - other_NB.mean(0)) / len(one_NA)
    return covariance_AB.square().sum()


def energy_distance(made_NTM: Tensor, real_NTM: Tensor) -> Tensor:
    """Return how far made motion's statistics are from real motion's, 0-dim; 0 where alike.

    The mean of energy distances (Székely and Rizzo 2013) of single numbers, of each number over
    `WINDOW` frames, and of all numbers over the whole stretch. No made stretch has a real one of
    its own to be like, as in a squared error whose best answer is to hold still.
    """
    made, real = everyone(made_NTM), everyone(real_NTM)
    count = made.shape[1] // WINDOW * WINDOW
    views = (
        lambda x: x.flatten(0, 1).T[..., None],
        lambda x: x[:, :count].unflatten(1, (-1, WINDOW)).permute(3, 0, 1, 2).flatten(1, 2),
        lambda x: x.flatten(1)[None],
    )
    return torch.stack([_energy(view(made), view(real)) for view in views]).mean()


def masked_error(made_NTL: Tensor, real_NTL: Tensor, seen_NT: Tensor) -> Tensor:
    """Return the mean squared error of frames that count, 0-dim; others count as zero."""
    return ((made_NTL - real_NTL).square().mean(2) * seen_NT).mean()


def everyone(x: Tensor) -> Tensor:
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
