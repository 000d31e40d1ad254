"""The contract of all trained models: networks, optimizers with their schedules, a training step.

class Autoencoder(BaseModel):
    def __init__(self, *, width: int, lr: float, device: torch.device) -> None:
        super().__init__(device=device, grad_clip=1.0)
        network = self.add_network("network", nn.Linear(width, width), ema_decay=0.999)
        self.add_optimizer("network", torch.optim.Adam(network.parameters(), lr=lr))

    def training_step(self, batch):
        loss = (self.net("network")(batch["x"]) - batch["x"]).square().mean()
        self.backward_and_step("network", loss)
        return {"loss": loss}

Constructors take numbers and tensors, never options. Frozen networks (VGG, a teacher) are plain
attributes: all of `networks` is saved.
"""

import abc
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from speech2video.models.gan import GANDiscriminator
from speech2video.models.optim import AnyOptimizer, Ema, backward_and_step, set_lr
from speech2video.util import distributed
from speech2video.util.training_log import TrainingLog

DISCRIMINATOR_PREFIX = "discriminator_"  # of a discriminator's network and optimizer

Schedule = Callable[[int], float]  # training step -> learning rate


class BaseModel(abc.ABC):
    """Networks, optimizers and moving averages; trained by `models.trainer.fit`.

    Attributes:
        networks: saved networks by name. Filled by `add_network` and `add_discriminator`.
        optimizers: resumed optimizers by name. Filled by `add_optimizer` and `add_discriminator`.
        schedules: learning rate at each step, by the optimizer's name.
        averages: exponential moving averages, by the network's name.
        discriminators: discriminators by name.
        device: device of the networks and of the batches of `training_step`.
        grad_clip: largest gradient norm of one optimizer's parameters; None disables clipping.
        step: finished training steps. `epoch`: the epoch of the latest `on_epoch`, -1 before.
    """

    unused_parameters = False  # True where a step may leave weights without gradient (for DDP)

    def __init__(
        self, *, device: torch.device | str = "cpu", grad_clip: float | None = None
    ) -> None:
        self.networks = nn.ModuleDict()
        self.optimizers: dict[str, AnyOptimizer] = {}
        self.schedules: dict[str, Schedule] = {}
        self.averages: dict[str, Ema] = {}
        self.discriminators: dict[str, GANDiscriminator] = {}
        self.device = torch.device(device)
        self.grad_clip = grad_clip
        self.step = 0
        self.epoch = -1
        self._wrapped: dict[str, tuple[nn.Module, nn.Module]] = {}  # network, its DDP wrapper

    @abc.abstractmethod
    def training_step(self, batch: Any) -> dict[str, float | Tensor]:
        """Do one step (forward, backward, optimizers) and return its losses by name.

        The batch is on `device`. Losses are numbers or 0-dim tensors; they need not be detached.
        """

    def validate(self, batches: Iterable[Any], log: TrainingLog) -> dict[str, float]:
        """Return metrics by name; images and videos may be added to the log.

        Called on the main process only, in evaluation mode, without gradients, with the averaged
        weights in the networks. Batches are those passed to `fit`, not moved to a device.
        """
        return {}

    def after_validation(self, metrics: Mapping[str, float]) -> None:  # noqa: B027
        """Take over what a validation has measured, on all processes; it may set buffers only."""

    def on_epoch(self, epoch: int) -> None:  # noqa: B027 (most models need no preparation)
        """Prepare for an epoch, such as growing the networks.

        Must depend on the epoch only: a resumed run calls it once for the epoch it was saved in,
        on a new model and before anything is loaded.
        """

    def add_network(
        self, name: str, network: nn.Module, *, ema_decay: float | None = None
    ) -> nn.Module:
        """Register a network (replacing one of that name), on the model's device; return it."""
        self.networks[name] = network.to(self.device)
        self.averages.pop(name, None)
        if ema_decay:
            self.averages[name] = Ema(network, decay=ema_decay)
        return network

    def add_optimizer(
        self, name: str, optimizer: AnyOptimizer, schedule: Schedule | None = None
    ) -> AnyOptimizer:
        """Register an optimizer and its learning rate at each step; return the optimizer.

        Args:
            schedule: maps a step to a learning rate; by default the optimizer's present rate.
        """
        rate = optimizer.param_groups[0]["lr"]
        self.optimizers[name] = optimizer
        self.schedules[name] = schedule or (lambda step: rate)
        return optimizer

    def add_discriminator(
        self, name: str, discriminator: GANDiscriminator, schedule: Schedule | None = None
    ) -> GANDiscriminator:
        """Register a discriminator: its network and optimizer as `discriminator_NAME`; return it.

        Its network must be on the model's device before its optimizer is made.
        """
        self.discriminators[name] = discriminator
        self.networks[DISCRIMINATOR_PREFIX + name] = discriminator.network
        self.add_optimizer(DISCRIMINATOR_PREFIX + name, discriminator.optimizer, schedule)
        return discriminator

    def set_learning_rates(self) -> None:
        """Set the rate of each optimizer to its schedule's at this step; `fit` does so each step.

        Rates follow from the step and the model's arguments alone, so that a resumed run with
        other rates continues as a new run with these rates would at that step.
        """
        for name, optimizer in self.optimizers.items():
            set_lr(optimizer, self.schedules[name](self.step))

    def net(self, name: str) -> nn.Module:
        """Return a network to call in `training_step`: under torchrun, its DDP wrapper."""
        network = self.networks[name]
        if not torch.is_grad_enabled():
            return network
        wrapped = self._wrapped.get(name)
        if wrapped is None or wrapped[0] is not network:
            parallel = distributed.wrap(network, unused_parameters=self.unused_parameters)
            wrapped = self._wrapped[name] = network, parallel
        return wrapped[1]

    def backward_and_step(self, name: str, loss: Tensor) -> Tensor:
        """Do one step of the named optimizer; return the gradient's norm before clipping."""
        return backward_and_step(self.optimizers[name], loss, grad_clip=self.grad_clip)

    def update_ema(self) -> None:
        """Update the moving averages; `fit` does so after each step."""
        for average in self.averages.values():
            average.update()

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Switch to evaluation mode, no gradients and averaged weights; restore all on exit."""
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
