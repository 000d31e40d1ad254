"""A network's weights averaged over the steps: steadier than any single step's."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Ema:
    """Exponential moving average of a network's weights, kept in 32 bits.

    The decay warms up as min(decay, (1 + n) / (10 + n)) after n updates, so that the random
    weights of the beginning are soon forgotten (as TensorFlow's ExponentialMovingAverage does).
    Buffers and whole numbers are copied, not averaged.
    """

    def __init__(self, network: nn.Module, *, decay: float = 0.999) -> None:
        self.network = network
        self.decay = decay
        self.updates = 0
        self.weights = {
            name: tensor.detach().to(_kept(tensor), copy=True)
            for name, tensor in network.state_dict().items()
        }

    @torch.no_grad()
    def update(self) -> None:
        """Take the network's present weights into the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averaged = {name for name, _ in self.network.named_parameters()}
        for name, tensor in self.network.state_dict().items():
            average = self.weights[name]
            if name in averaged and average.is_floating_point():
                average.lerp_(tensor.to(average.dtype), 1 - decay)
            else:
                average.copy_(tensor)
        self.updates += 1

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """Hold the average in the network for a while; its own weights come back bit for bit."""
        own = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self._put(self.weights)
        try:
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, weights: dict[str, Tensor]) -> None:
        for name, tensor in self.network.state_dict().items():
            tensor.copy_(weights[name])


def _kept(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.is_floating_point() else tensor.dtype
