"""One step downhill, the same for every optimiser; and how long steps are, and get."""

import math

import torch
from torch import Tensor
from torch.optim import Optimizer

from speech2video.models.mixed_precision import MasterWeights

AnyOptimizer = Optimizer | MasterWeights

LAST_RATE = 0.02  # share of the learning rate that is left at the end


def descend(optimizer: AnyOptimizer, loss: Tensor, *, clip: float | None = None) -> Tensor:
    """Clear gradients, go backward, clip to a norm of `clip`, step.

    Returns:
        The norm of the gradient before clipping, 0-dim; 0 where nothing is clipped (not computed).
    """
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.zeros((), device=loss.device)
    if clip:
        if isinstance(optimizer, MasterWeights):
            optimizer.take_gradients()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()
    return norm


def cosine_share(step: int, steps: int | None) -> float:
    """Return the share of the learning rate at a step: half a cosine from 1 to `LAST_RATE`.

    It follows from the step's number alone, so that a resumed run has the same. Without an end,
    `steps` None, it stays at 1.
    """
    done = min(step / steps, 1.0) if steps else 0.0
    return LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))


def set_rate(optimizer: AnyOptimizer, rate: float) -> None:
    """Set the learning rate of all of an optimiser's parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate
