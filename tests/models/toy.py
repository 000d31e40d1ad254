"""A model, a dataset and a training command so small that runs can be killed and compared."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from speech2video.data.loader import SampleIndex, training_loader
from speech2video.models.base_model import BaseModel
from speech2video.models.gan import GANDiscriminator
from speech2video.models.optim import AnyOptimizer, Precision
from speech2video.models.trainer import fit, training_session
from speech2video.options.base import option
from speech2video.options.training import TrainingOptions
from speech2video.util.distributed import main_process_first
from speech2video.util.errors import DataError, run_command
from speech2video.util.training_log import TrainingLog

INPUTS, OUTPUTS = 6, 4


@dataclass(frozen=True)
class ToyOptions(TrainingOptions):
    """Train the toy."""

    KIND = "toy"
    width: int = option(8, "hidden units", group="architecture", min=1)
    dropout: float = option(0.2, "dropout rate", group="architecture")
    gan: bool = option(True, "train against a discriminator", group="architecture")
    lr_d: float = option(0.01, "learning rate of the discriminator", group="training")
    pause: float = option(0.0, "seconds added to each step", group="toy")
    terminated: int = option(-1, "step of a SIGTERM", group="toy")
    nan_step: int = option(-1, "step with a loss of NaN", group="toy")


class ToyDataset(Dataset):
    """Noisy points of a fixed map, with new noise each time a sample comes up."""

    def __init__(self, length: int = 22, *, noise: float = 0.1) -> None:
        rng = np.random.default_rng(1)
        self.x = rng.normal(size=(length, INPUTS)).astype(np.float32)
        self.y = np.tanh(self.x @ rng.normal(size=(INPUTS, OUTPUTS))).astype(np.float32)
        self.noise = noise

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, item: SampleIndex) -> dict[str, np.ndarray]:
        noise = self.noise * item.rng().normal(size=INPUTS).astype(np.float32)
        return {"x": self.x[item.index] + noise, "y": self.y[item.index]}


class BrokenDataset(ToyDataset):
    """A dataset of broken files."""

    def __getitem__(self, item: SampleIndex) -> dict[str, np.ndarray]:
        raise DataError("clip_7/pose.npz: broken")


class ToyDiscriminator(nn.Module):
    """A discriminator of two scales with one layer of features each."""

    def __init__(self, inputs: int = INPUTS + OUTPUTS) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(inputs, 5) for _ in range(2))
        self.score = nn.ModuleList(nn.Linear(5, 1) for _ in range(2))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        features = [torch.tanh(hidden(x)) for hidden in self.hidden]
        return [[f, score(f)] for f, score in zip(features, self.score, strict=True)]


class ToyModel(BaseModel):
    """Two layers with dropout, a moving average, and a discriminator."""

    def __init__(self, options: ToyOptions, device: torch.device | str = "cpu") -> None:
        super().__init__(device=device, grad_clip=options.grad_clip)
        self.options, self.precision = options, Precision(options.precision)
        network = nn.Sequential(
            nn.Linear(INPUTS, options.width), nn.Dropout(options.dropout), nn.Tanh()
        ).append(nn.Linear(options.width, OUTPUTS))
        self.add_network("network", self.precision.to_dtype(network), ema_decay=options.ema)
        self.add_optimizer("network", self._adam(network), decay(options.lr))
        if options.gan:
            network = self.precision.to_dtype(ToyDiscriminator().to(device))
            optimizer, lr_d = self._adam(network), options.lr_d
            discriminator = GANDiscriminator(network, optimizer, grad_clip=options.grad_clip)
            self.add_discriminator("toy", discriminator, lambda step: lr_d)
        self.epochs: list[int] = []

    def _adam(self, network: nn.Module) -> AnyOptimizer:
        return self.precision.optimizer(
            network.parameters(), lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.5, 0.99))
        )

    def on_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)

    def training_step(self, batch: dict[str, Tensor]) -> dict[str, float | Tensor]:
        time.sleep(self.options.pause)
        if self.step == self.options.terminated:
            signal.raise_signal(signal.SIGTERM)
        x, y = (self.precision.to_dtype(batch[name]) for name in ("x", "y"))
        with self.precision.autocast(self.device):
            output = self.net("network")(x)
        loss = (output.float() - y.float()).square().mean()
        losses: dict[str, float | Tensor] = {"squared": loss}
        for name, discriminator in self.discriminators.items():
            real, fake = torch.cat([x, y], 1), torch.cat([x, output], 1)
            losses[f"d_{name}"] = discriminator.update(real, fake)
            gan, matching = discriminator.generator_losses(real, fake)
            loss = loss + 0.1 * gan + 0.1 * matching
        if self.step == self.options.nan_step:
            loss = losses["squared"] = loss * float("nan")
        self.backward_and_step("network", loss)
        return losses

    def validate(self, batches: list, log: TrainingLog) -> dict[str, float]:
        torch.rand(3)  # random numbers of a validation must not matter
        errors = [
            (self.net("network")(self.precision.to_dtype(b["x"])).float() - b["y"]).square().mean()
            for b in batches
        ]
        log.images(self.step, {"noise": torch.rand(2, 3, 8, 8)})
        return {"error": float(torch.stack(errors).mean())}


def decay(lr: float) -> Callable[[int], float]:
    """Return a learning rate that falls by a tenth every five steps."""
    return lambda step: lr * 0.9 ** (step // 5)


def validation_batches() -> list[dict[str, Tensor]]:
    """Return one batch without noise."""
    data = ToyDataset(noise=0.0)
    return [{"x": torch.from_numpy(data.x), "y": torch.from_numpy(data.y)}]


def train(options: ToyOptions, data: ToyDataset | None = None) -> ToyModel:
    """Train the toy by its options; return it."""
    torch.set_num_threads(1)
    with training_session(options) as device:
        with main_process_first():
            data = data or ToyDataset()
        model = ToyModel(options, device)
        loader = training_loader(
            data, batch_size=options.batch_size, seed=options.seed, workers=options.workers
        )
        fit(model, loader, options=options, validation=validation_batches())
    return model


def toy_options(checkpoints: Path, **values: object) -> ToyOptions:
    """Return options of a short run."""
    given = {"steps": 30, "batch_size": 4, "save_every": 7, "validate_every": 10, "device": "cpu"}
    given |= {"name": "toy", "dataset": Path("nowhere"), "lr": 0.01}
    return ToyOptions(checkpoints=checkpoints, **(given | values))


def main() -> None:
    train(ToyOptions.parse())


if __name__ == "__main__":
    run_command(main)
