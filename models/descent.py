"""One step downhill, the same for every optimiser."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from speech2video.models.mixed_precision import MasterWeights

AnyOptimizer = Optimizer | MasterWeights


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
