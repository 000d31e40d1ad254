"""The contract of all models: what is saved, what is resumed, and one step of training.

class Copy(BaseModel):
    def __init__(self, *, width: int, device: torch.device) -> None:
        super().__init__(device=device, clip=1.0)
        network = self.add_network("network", nn.Linear(width, width), ema_decay=0.999)
        self.optimizers["network"] = torch.optim.Adam(network.parameters(), lr=1e-3)

    def training_step(self, batch):
        loss = (self.net("network")(batch["x"]) - batch["x"]).square().mean()
        self.descend("network", loss)
        return {"loss": loss}

Networks take numbers and tensors, never options. Frozen helpers (VGG, a teacher) are plain
attributes: what is in `networks` is saved.
"""

import abc
import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from speech2video.models.gan import GANDiscriminator
from speech2video.models.optim import AnyOptimizer, Ema, backward_and_step
from speech2video.util import distributed
from speech2video.util.training_log import TrainingLog

DISCRIMINATOR_PREFIX = "discriminator_"  # before the name of each adversary's network and optimiser


class BaseModel(abc.ABC):
    """Networks, their optimisers and their averages; `models.training.fit` trains it.

    Attributes:
        networks: what is saved, by name. Changed by `add_network` and `add_discriminator`.
        optimizers: what is resumed, by name. An adversary brings its own.
        averages: moving averages of networks, by the network's name.
        adversaries: discriminators by name.
        device: where the networks and the batches of `training_step` are.
        clip: largest norm of the gradient of one optimiser's parameters; None clips nothing.
        step: finished training steps. `epoch`: the epoch of the latest `on_epoch`, -1 before.
    """

    unused_parameters = False  # True where a step may leave weights out (DDP must then look)

    def __init__(
        self, *, device: torch.device | str = "cpu", grad_clip: float | None = None
    ) -> None:
        self.networks = nn.ModuleDict()
        self.optimizers: dict[str, AnyOptimizer] = {}
        self.averages: dict[str, Ema] = {}
        self.discriminators: dict[str, GANDiscriminator] = {}
        self.device = torch.device(device)
        self.grad_clip = grad_clip
        self.step = 0
        self.epoch = -1
        self._parallel: dict[str, tuple[nn.Module, nn.Module]] = {}

    @abc.abstractmethod
    def training_step(self, batch: Any) -> dict[str, float | Tensor]:
        """Do one step (forward, backward, optimisers) and return its losses by name.

        The batch is on `device`. Losses are numbers or 0-dim tensors; they need not be detached.
        """

    def validate(self, batches: Iterable[Any], page: TrainingLog) -> dict[str, float]:
        """Return figures by name; may hand pictures and videos to the page (`page.images(...)`).

        Called on the main process only, in evaluation mode, without gradients, with the averaged
        weights in the networks. Batches are as the caller of `fit` gave them, not moved.
        """
        return {}

    def on_epoch(self, epoch: int) -> None:  # noqa: B027 (most models have no schedule)
        """Prepare for an epoch: learning rates, growth.

        Must depend on the epoch only: a resumed run calls it once for the epoch it was saved in,
        on a new model and before anything is loaded.
        """

    def extra_state(self) -> dict[str, Any]:
        """Return whatever else a resumed run needs: plain numbers, strings, lists and tensors."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take back what `extra_state` returned."""

    @property
    def inference_networks(self) -> tuple[str, ...]:
        """The networks that a shipped checkpoint holds: all but the adversaries'."""
        return tuple(name for name in self.networks if not name.startswith(DISCRIMINATOR_PREFIX))

    def add_network(
        self, name: str, network: nn.Module, *, ema_decay: float | None = None
    ) -> nn.Module:
        """Register a network (in place of one of that name), on the model's device; return it."""
        self.networks[name] = network.to(self.device)
        self.averages.pop(name, None)
        if ema_decay:
            self.averages[name] = Ema(network, decay=ema_decay)
        return network

    def add_discriminator(self, name: str, adversary: GANDiscriminator) -> GANDiscriminator:
        """Register a discriminator: its network and optimiser as `adversary_NAME`; return it.

        Its network must be on the model's device before its optimiser is made.
        """
        self.discriminators[name] = adversary
        self.networks[DISCRIMINATOR_PREFIX + name] = adversary.network
        self.optimizers[DISCRIMINATOR_PREFIX + name] = adversary.optimizer
        return adversary

    def net(self, name: str) -> nn.Module:
        """Return a network to call in `training_step`: under torchrun, its DDP wrapper."""
        network = self.networks[name]
        if not torch.is_grad_enabled():
            return network
        known, parallel = self._parallel.get(name, (None, None))
        if known is not network:
            parallel = distributed.wrap(network, unused_parameters=self.unused_parameters)
            self._parallel[name] = network, parallel
        return parallel

    def backward_and_step(self, name: str, loss: Tensor) -> Tensor:
        """Do one step of the optimiser of that name; return the gradient's norm before clipping."""
        return backward_and_step(self.optimizers[name], loss, grad_clip=self.grad_clip)

    def update_ema(self) -> None:
        """Take the networks' weights into their averages; `fit` does it after each step."""
        for average in self.averages.values():
            average.update()

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode, no gradients, averaged weights in the networks; all undone after."""
        training = {name: module.training for name, module in self.networks.named_modules()}
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            for average in self.averages.values():
                stack.enter_context(average.swapped())
            self.networks.eval()
            try:
                yield
            finally:
                for name, module in self.networks.named_modules():
                    module.training = training.get(name, True)
