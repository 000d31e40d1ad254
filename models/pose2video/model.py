"""Training of pose to video: generator, discriminators and losses.

A step generates sequences from their first frame on, so that the generator is fed its own frames,
as at inference.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from speech2video.models.base_model import BaseModel
from speech2video.models.gan import GANDiscriminator
from speech2video.models.optim import AnyOptimizer, Precision, cosine_decay
from speech2video.models.pose2video import discriminators
from speech2video.models.pose2video.generators.base import MAPS_PER_STEP, Generator, GeneratorOutput
from speech2video.models.pose2video.losses import (
    LOSSES,
    flow_loss,
    loss_weights,
    matte_loss,
    reconstruction_loss,
    region_weight_map,
    ssim_loss,
    warp_loss,
)
from speech2video.models.pose2video.pretrained import PerceptualLoss, RaftFlowEstimator
from speech2video.models.pose2video.renderer import (
    NETWORK,
    Pose2VideoRenderer,
    ValidationClip,
    to_floats,
)
from speech2video.options.pose2video import Curriculum
from speech2video.util.body.skeleton import REGIONS
from speech2video.util.errors import OptionError
from speech2video.util.training_log import TrainingLog

ADVERSARIAL = [name for name, term in LOSSES.items() if term.adversarial]
EPSILON = 1e-6  # of Adam: hinge's gradient of a score's bias cancels but for rounding errors
WARM_UP = 100  # steps over which the learning rate rises at first


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Optimizers: two Adams (Heusel et al., Two Time-Scale Update Rule, 2017), EMA, precision."""

    lr: float  # learning rate of the generator
    lr_d: float = 0.0  # that of the discriminators, which does not change
    steps: int | None = None  # over which lr falls, as half a cosine; None: it stays
    ema: float | None = 0.998  # decay of the generator's averaged weights; None: no average
    grad_clip: float | None = 1.0  # largest norm of the generator's gradient; None: no clipping
    precision: str = "fp32"  # one of `optim.PRECISIONS`


@dataclass(frozen=True, kw_only=True)
class GanConfig:
    """Discriminators and the GAN's loss."""

    discriminators: Sequence[str] = ()  # their names
    gan_mode: str = "hinge"  # one of `gan.GAN_LOSSES`
    gan_start: float = 0.0  # share of the steps before the GAN starts
    ndf: int = 32  # channels of the discriminators' first layer
    part_size: int = 64  # pixels a side of the crops of regions


class Pose2VideoModel(BaseModel):
    """Generator, discriminators and losses.

    Args:
        generator: the network to train.
        weights: of the losses in `losses.LOSSES`.
        curriculum: the generator's scales in each epoch; None: all.
        perceptual: None leaves out its loss.
        raft: estimates the flow of batches without flow; None: no loss of flow for them.
        compiled: whether torch.compile makes kernels of the generator's training step.

    Raises:
        OptionError: `compiled` without a C++ compiler.
    """

    unused_parameters = True  # a sequence of one frame does not use flow and mask

    def __init__(
        self,
        generator: Generator,
        optim: OptimConfig,
        gan: GanConfig | None = None,
        *,
        weights: Mapping[str, float] | None = None,
        curriculum: Curriculum | None = None,
        perceptual: PerceptualLoss | None = None,
        raft: RaftFlowEstimator | None = None,
        compiled: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(device=device, grad_clip=optim.grad_clip)
        self.optim, self.gan, self.curriculum = optim, gan or GanConfig(), curriculum
        self.weights = loss_weights() if weights is None else weights
        self.perceptual = None if perceptual is None else perceptual.to(self.device)
        self.raft = None if raft is None else raft.to(self.device)
        self.gan_start = round(self.gan.gan_start * (optim.steps or 0))  # steps
        self.precision = Precision(optim.precision)
        self.generator: Generator = self.precision.to_dtype(generator)
        self.generator.to(memory_format=torch.channels_last)
        self.add_network(NETWORK, self.generator, ema_decay=optim.ema)
        if compiled:
            compile_step(self.generator)
        optimizer = self._adam(self.generator, optim.lr, (0.9, 0.99))
        self.add_optimizer(NETWORK, optimizer, self._generator_lr)
        for name in self.gan.discriminators:
            channels = discriminators.input_channels(name, generator.map_channels)
            network = discriminators.PatchDiscriminator(channels, width=self.gan.ndf)
            network = self.precision.to_dtype(network)
            network.to(self.device, memory_format=torch.channels_last)
            optimizer = self._adam(network, optim.lr_d, (0.0, 0.99))
            discriminator = GANDiscriminator(network, optimizer, gan_mode=self.gan.gan_mode)
            self.add_discriminator(name, discriminator)

    def on_epoch(self, epoch: int) -> None:
        """Set how many scales of a coarse-to-fine generator are in use."""
        count = self.curriculum.scale_count(epoch) if self.curriculum else None
        if count is not None:
            self.generator.use_scales(count)

    def training_step(self, batch: Mapping[str, Tensor]) -> dict[str, float | Tensor]:
        """Do one step on a batch of `Pose2VideoDataset` and return its losses by name."""
        sequences = self._generate(batch)
        losses = self._image_losses(sequences) | self._flow_losses(sequences, batch)
        discriminator_losses: dict[str, Tensor] = {}
        if self.step >= self.gan_start:
            discriminator_losses, gan_losses = self._gan_step(sequences)
            losses |= gan_losses
        zero = torch.zeros((), device=self.device)
        total = sum((self.weights[name] * loss for name, loss in losses.items()), zero)
        self.backward_and_step(NETWORK, total)
        return {"loss": total, **losses, **discriminator_losses}

    def validate(
        self, batches: Iterable[ValidationClip], log: TrainingLog | None
    ) -> dict[str, float]:
        """Return metrics of generated validation clips; show the first in the log."""
        metrics: list[dict[str, float]] = []
        for number, clip in enumerate(batches):
            dtype = self.precision.dtype
            rollout = clip.generate(
                Pose2VideoRenderer(self.generator, clip.map_style, device=self.device, dtype=dtype)
            )
            metrics.append(rollout.metrics())
            if log is not None and number == 0:
                rollout.show(log, self.step)
        names = dict.fromkeys(name for found in metrics for name in found)
        return {n: float(np.nanmean([m[n] for m in metrics if n in m])) for n in names}

    def _adam(self, network: nn.Module, lr: float, betas: tuple[float, float]) -> AnyOptimizer:
        return self.precision.optimizer(
            network.parameters(), lambda p: torch.optim.Adam(p, lr=lr, betas=betas, eps=EPSILON)
        )

    def _generator_lr(self, step: int) -> float:
        """Return the generator's rate; the discriminators' stays, since they may start late."""
        share = cosine_decay(step, self.optim.steps) * min(1.0, (step + 1) / WARM_UP)
        return self.optim.lr * share

    def _generate(self, batch: Mapping[str, Tensor]) -> "Sequences":
        maps_NTCHW, real_NT3HW = to_floats(batch["maps"]), to_floats(batch["frames"])
        with self.precision.autocast(self.device):
            outputs = self.net(NETWORK)(maps_NTCHW.to(self.precision.dtype), batch.get("view"))
        fake_NT3HW = torch.stack([output.frame for output in outputs], 1)
        size = fake_NT3HW.shape[-2:]
        scale = size[-1] / real_NT3HW.shape[-1]
        return Sequences(
            maps=_resize_sequences(maps_NTCHW[:, MAPS_PER_STEP - 1 :], size),
            real=_resize_sequences(real_NT3HW, size),
            fake=fake_NT3HW,
            outputs=outputs,
            boxes_MR4=scale * batch["boxes"].flatten(0, 1),
            present_MR=batch["present"].flatten(0, 1),
        )

    def _image_losses(self, sequences: "Sequences") -> dict[str, Tensor]:
        real, fake = sequences.real.flatten(0, 1), sequences.fake.flatten(0, 1)
        boxes_MR4, present_MR = sequences.boxes_MR4, sequences.present_MR
        weight_map = region_weight_map(boxes_MR4, present_MR, real.shape[-2:])
        losses = {
            "reconstruction": reconstruction_loss(fake, real, weight_map),
            "structural": ssim_loss(fake, real, weight_map),
        }
        if self.perceptual is not None:
            losses["perceptual"] = self.perceptual(fake, real)
        mattes = [
            matte_loss(output.alpha, output.background, sequences.real[:, t])
            for t, output in enumerate(sequences.outputs)
            if output.alpha is not None and output.background is not None
        ]
        return losses | ({"matte": torch.stack(mattes).mean()} if mattes else {})

    def _flow_losses(
        self, sequences: "Sequences", batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        flows = {t: out.flow for t, out in enumerate(sequences.outputs) if out.flow is not None}
        if not flows:
            return {}
        times, flow = list(flows), torch.cat(list(flows.values()))
        frames = batch["frames"]
        before, real = (to_floats(torch.cat([frames[:, t - k] for t in times])) for k in (1, 0))
        if "flow" in batch:
            ground_truth = torch.cat([batch["flow"][:, t] for t in times])
            trust = torch.cat([batch["flow_trust"][:, t] for t in times])
        elif self.raft is not None:
            ground_truth, trust = self.raft(real, before)
        else:
            return {}
        return {
            "flow": flow_loss(flow, ground_truth, trust),
            "warp": warp_loss(flow, before, real, trust),
        }

    def _gan_step(self, sequences: "Sequences") -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Train the discriminators; return their losses, then the generator's."""
        losses: dict[str, Tensor] = {}
        by_kind: dict[str, list[Tensor]] = {}
        for name, discriminator in self.discriminators.items():
            inputs = sequences.discriminator_inputs(name, self.gan.part_size)
            if inputs is None:
                continue
            real, fake, present_N = inputs
            losses[f"d_{name}"] = discriminator.update(real, fake, present_N=present_N)
            of_generator = discriminator.generator_losses(real, fake, present_N=present_N)
            kind = discriminators.discriminator_kind(name)
            by_kind.setdefault(kind, []).append(torch.stack(of_generator))
        if not by_kind:
            return losses, {}
        of_kinds = [torch.stack(of_kind).mean(0) for of_kind in by_kind.values()]
        return losses, dict(zip(ADVERSARIAL, torch.stack(of_kinds).sum(0), strict=True))


def has_compiler() -> bool:
    """Return whether there is a C++ compiler, which torch.compile needs."""
    return any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++", "cl")))


def compile_step(generator: Generator) -> None:
    """Compile a generator's steps with gradients; those without are computed as before.

    Raises:
        OptionError: there is no C++ compiler.
    """
    if not has_compiler():
        raise OptionError("--compile: no C++ compiler (c++, g++, clang++ or cl) is installed")
    step = generator.step
    compiled = torch.compile(step, dynamic=False)

    def choose(*arguments: Any) -> GeneratorOutput:
        return (compiled if torch.is_grad_enabled() else step)(*arguments)

    object.__setattr__(generator, "step", choose)  # neither weight nor network of the module


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """Maps, real and generated frames of a batch, (N, T, C, H, W) each, -1..1."""

    maps: Tensor
    real: Tensor
    fake: Tensor
    outputs: list[GeneratorOutput]  # for each of the T frames
    boxes_MR4: Tensor  # regions of the M = N·T frames, pixels
    present_MR: Tensor  # 1 where present

    def discriminator_inputs(
        self, name: str, part_size: int
    ) -> tuple[Tensor, Tensor, Tensor | None] | None:
        """Return real and fake inputs (M, C, h, w) and which count; None if T is too short."""
        if stride := discriminators.temporal_stride(name):
            real = discriminators.frame_windows(self.real, stride)
            fake = discriminators.frame_windows(self.fake, stride)
            return None if real is None or fake is None else (real, fake, None)
        real, fake = (
            torch.cat((self.maps.flatten(0, 1), frames.flatten(0, 1)), 1)
            for frames in (self.real, self.fake)
        )
        if name not in REGIONS:
            return real, fake, None
        region = REGIONS.index(name)
        boxes_M4 = self.boxes_MR4[:, region]
        real, fake = (discriminators.crop(images, boxes_M4, part_size) for images in (real, fake))
        return real, fake, self.present_MR[:, region]


def _resize_sequences(images_NTCHW: Tensor, size: Sequence[int]) -> Tensor:
    """Return images at the size of frames, which is smaller while not all scales are in use."""
    if images_NTCHW.shape[-2:] == tuple(size):
        return images_NTCHW
    height, width = size
    small = nn.functional.adaptive_avg_pool2d(images_NTCHW.flatten(0, 1), (height, width))
    return small.unflatten(0, images_NTCHW.shape[:2])
