"""Optimizers: gradient steps, learning rates, mixed precision, moving averages of weights."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

PRECISIONS = ("fp32", "autocast", "bf16")
FINAL_LR_SHARE = 0.02  # share of the learning rate that is left at the end of a cosine decay

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]]
OptimizerFactory = Callable[[Any], Optimizer]


class MasterWeights:
    """Optimizer of 32-bit copies of parameters, copied back into the parameters after each step.

    On processors with bf16 matrix units 16-bit weights are about four times faster than autocast,
    which converts every weight at every call. Steps smaller than a 16-bit weight's resolution add
    up in the 32-bit masters (Micikevicius et al., Mixed Precision Training, 2018). Parameters that
    are 32-bit already are their own masters.

    Args:
        parameters: tensors, or groups as torch's optimizers take them.
        make: returns the optimizer of the masters: `lambda p: torch.optim.Adam(p, lr=1e-4)`.
    """

    def __init__(self, parameters: Parameters, make: OptimizerFactory) -> None:
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self.inner = make([self._master(item) for item in parameters])

    def _master(self, item: Any) -> Any:
        if isinstance(item, dict):
            return item | {"params": [self._master(p) for p in item["params"]]}
        if item.dtype == torch.float32 or not item.requires_grad:
            return item
        master = item.detach().float().clone()
        self._pairs.append((item, master))
        return master

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of the inner optimizer; their "params" are the masters."""
        return self.inner.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of parameters and masters."""
        self.inner.zero_grad(set_to_none=set_to_none)
        for parameter, master in self._pairs:
            parameter.grad = master.grad = None

    def take_gradients(self) -> None:
        """Move the parameters' gradients to their masters, in 32 bits; `step` does so itself."""
        for parameter, master in self._pairs:
            if parameter.grad is not None:
                master.grad = parameter.grad.to(master.dtype)
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Step the masters and round the parameters to them."""
        self.take_gradients()
        self.inner.step()
        for parameter, master in self._pairs:
            parameter.copy_(master)

    def state_dict(self) -> dict[str, Any]:
        """Return the state that exact resuming needs."""
        return {"inner": self.inner.state_dict(), "masters": [m for _, m in self._pairs]}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state; raises `ValueError` for the state of another network."""
        masters = state.get("masters")
        if masters is None or [m.shape for m in masters] != [m.shape for _, m in self._pairs]:
            raise ValueError("its 32-bit weights are not those of these networks")
        self.inner.load_state_dict(state["inner"])
        for (parameter, master), saved in zip(self._pairs, masters, strict=True):
            master.copy_(saved)
            parameter.copy_(master)


AnyOptimizer = Optimizer | MasterWeights


@dataclass(frozen=True)
class Precision:
    """Numeric precision of training; `name` is one of `PRECISIONS`.

    precision = Precision("bf16")
    network = precision.to_dtype(network)
    optimizer = precision.optimizer(network.parameters(), lambda p: torch.optim.Adam(p, lr=1e-4))
    with precision.autocast(device):
        loss = criterion(network(precision.to_dtype(x)).float(), target)
    """

    name: str = "fp32"

    def __post_init__(self) -> None:
        if self.name not in PRECISIONS:
            raise ValueError(f"precision {self.name!r}; one of {', '.join(PRECISIONS)} is needed")

    @property
    def dtype(self) -> torch.dtype:
        """The type of weights and of the networks' inputs."""
        return torch.bfloat16 if self.name == "bf16" else torch.float32

    def to_dtype(self, item: Any) -> Any:
        """Return a network (changed in place) or a floating-point tensor in `dtype`."""
        if isinstance(item, nn.Module) or item.is_floating_point():
            return item.to(self.dtype)
        return item

    def autocast(self, device: torch.device | str) -> contextlib.AbstractContextManager[Any]:
        """Return the context of the forward pass."""
        if self.name != "autocast":
            return contextlib.nullcontext()
        return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)

    def optimizer(self, parameters: Parameters, make: OptimizerFactory) -> AnyOptimizer:
        """Return the optimizer that `make` returns, with masters where weights are 16-bit."""
        return MasterWeights(parameters, make) if self.name == "bf16" else make(list(parameters))


class Ema:
    """Exponential moving average of a network's weights, kept in 32 bits.

    The decay warms up as min(decay, (1 + n) / (10 + n)) after n updates, so that the random
    initial weights fade quickly (as in TensorFlow's ExponentialMovingAverage). Buffers and whole
    numbers are copied, not averaged.
    """

    def __init__(self, network: nn.Module, *, decay: float = 0.999) -> None:
        self.network = network
        self.decay = decay
        self.updates = 0
        self.weights = {
            name: tensor.detach().to(
                torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True
            )
            for name, tensor in network.state_dict().items()
        }

    @torch.no_grad()
    def update(self) -> None:
        """Add the network's present weights to the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        parameters = {name for name, _ in self.network.named_parameters()}
        for name, tensor in self.network.state_dict().items():
            average = self.weights[name]
            if name in parameters and average.is_floating_point():
                average.lerp_(tensor.to(average.dtype), 1 - decay)
            else:
                average.copy_(tensor)
        self.updates += 1

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """Put the average into the network; restore the network's weights bit for bit on exit."""
        own = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.network.load_state_dict(self.weights)
        try:
            yield
        finally:
            self.network.load_state_dict(own)


def backward_and_step(
    optimizer: AnyOptimizer, loss: Tensor, *, grad_clip: float | None = None
) -> Tensor:
    """Clear gradients, go backward, clip gradients to a norm of `grad_clip`, step.

    Returns:
        The norm of the gradient before clipping, 0-dim; 0 without clipping (not computed).
    """
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.zeros((), device=loss.device)
    if grad_clip:
        if isinstance(optimizer, MasterWeights):
            optimizer.take_gradients()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, grad_clip)
    optimizer.step()
    return norm


def cosine_decay(step: int, steps: int | None) -> float:
    """Return the share of the learning rate at a step: half a cosine from 1 to `FINAL_LR_SHARE`.

    Without an end (`steps` None) it stays at 1.
    """
    done = min(step / steps, 1.0) if steps else 0.0
    return FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * 0.5 * (1 + math.cos(math.pi * done))


def set_lr(optimizer: AnyOptimizer, lr: float) -> None:
    """Set the learning rate of an optimizer's parameters: of each group, its "lr_share" of it."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_share", 1.0)
