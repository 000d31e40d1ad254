"""Pose to video: how it is trained.

A step paints sequences from no past, so that the network sees its own frames only, as in use; the
adversaries learn to tell them from real ones, and the generator learns from them and from the
frames that were asked for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import torch
from torch import Tensor

from speech2video.models.base_model import BaseModel
from speech2video.models.gan import GANDiscriminator
from speech2video.models.optim import AnyOptimizer, Precision, cosine_decay
from speech2video.models.pose2video.discriminators import PatchDiscriminator, crop
from speech2video.models.pose2video.generators.base import (
    COLOURS,
    MAPS_PER_STEP,
    Generator,
    GeneratorOutput,
)
from speech2video.models.pose2video.losses import (
    flow_loss,
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
from speech2video.options.training import parse_loss_weights
from speech2video.util.body.skeleton import REGIONS
from speech2video.util.training_log import TrainingLog

REGION_WEIGHTS = (6.0, 4.0, 4.0, 24.0, 16.0)  # of `REGIONS`: how much more an error counts there
TEMPORAL_SIZE = 2  # how much smaller than the frame the windows are that are judged over time
DISCRIMINATOR_NORM = "instance"  # spectral norm keeps scores near 0 for thousands of steps
WINDOW = 3  # frames that a temporal discriminator sees
EPSILON = 1e-6  # of Adam: hinge's gradient of a score's bias cancels, and the rest is rounding
WARM_UP = 100  # steps over which the learning rate rises at first


@dataclass(frozen=True)
class LossWeights:
    """What each loss counts.

    Those of adversaries are means over each kind (frame, times, parts), and those of pixels have
    weight maps of mean 1, so one more of either needs no other numbers.
    """

    reconstruction: float = 1.0
    structural: float = 0.2
    perceptual: float = 0.1
    gan: float = 0.02
    matching: float = 0.1
    flow: float = 0.002  # a pixel
    warp: float = 0.2

    @classmethod
    def of(cls, pairs: Sequence[str]) -> "LossWeights":
        """Return the weights that pairs NAME=NUMBER say, and the usual ones for the others.

        Raises:
            OptionError: no such loss, or no number that is 0 or more.
        """
        return cls(**parse_loss_weights(pairs, [field.name for field in fields(cls)]))


class Pose2VideoModel(BaseModel):
    """Generator, losses and adversaries.

    Args:
        generator: what is trained.
        learning_rate, adversary_rate: of the two Adams (Heusel et al., GANs Trained by a Two
            Time-Scale Update Rule, 2017).
        steps: over which the generator's rate falls, as half a cosine; None: it stays.
        discriminators: their names: "frame", "temporal_K" for frames K apart, and any of `REGIONS`.
        adversary_after: share of the steps that are done before the adversaries come.
        perceptual: features to compare in; None: that loss is left out.
        raft: says how pixels moved where a batch does not; None: no loss of flow for such batches.
        part_size: pixels a side, of a part zoomed in.
        scale_epochs: after which each further scale of the generator joins; 0: all from the start.
    """

    unused_parameters = True  # a sequence of one frame has no use for flow and mask

    def __init__(
        self,
        generator: Generator,
        *,
        lr: float,
        lr_d: float = 0.0,
        steps: int | None = None,
        discriminators: Sequence[str] = (),
        gan_start: float = 0.0,
        ndf: int = 32,
        gan: str = "hinge",
        perceptual: PerceptualLoss | None = None,
        raft: RaftFlowEstimator | None = None,
        part_size: int = 64,
        scale_epochs: int = 0,
        ema: float | None = 0.998,
        precision: str = "fp32",
        grad_clip: float | None = 1.0,
        weights: LossWeights | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(device=device, grad_clip=grad_clip)
        self.lr, self.lr_d, self.steps = lr, lr_d, steps
        self.weights, self.part_size = weights or LossWeights(), part_size
        self.perceptual = None if perceptual is None else perceptual.to(self.device)
        self.raft = None if raft is None else raft.to(self.device)
        self.scale_epochs = scale_epochs
        self.adversary_from = round(gan_start * (steps or 0))
        self.precision = Precision(precision)
        generator = self.precision.to_dtype(generator).to(memory_format=torch.channels_last)
        self.add_network(NETWORK, generator, ema_decay=ema)
        self.add_optimizer(NETWORK, self._adam(generator, lr, (0.9, 0.99)), self._generator_lr)
        for name in discriminators:
            self._add_discriminator(name, generator.map_channels, ndf, gan)

    def on_epoch(self, epoch: int) -> None:
        """Let the next scale of a coarse-to-fine generator join, when it is its time."""
        if self.scale_epochs:
            self.networks[NETWORK].use_scales(1 + epoch // self.scale_epochs)

    def training_step(self, batch: Mapping[str, Tensor]) -> dict[str, float | Tensor]:
        """Do one step on a batch of `Pose2VideoDataset`; return its losses."""
        scene = self._paint(batch)
        losses = self._picture_losses(scene, batch) | self._motion_losses(scene, batch)
        judged = self._judge(scene, batch) if self.step >= self.adversary_from else {}
        losses |= {name: loss for name, loss in judged.items() if not name.startswith("d_")}
        weights = asdict(self.weights)
        total = sum(weights[name] * loss for name, loss in losses.items())
        self.backward_and_step(NETWORK, total)
        return {"loss": total, **losses, **judged}

    def validate(
        self, batches: Iterable[ValidationClip], page: TrainingLog | None
    ) -> dict[str, float]:
        """Return how well held-out clips are painted from no past; show the first of them."""
        figures = []
        for number, held_out in enumerate(batches):
            painter = Pose2VideoRenderer(
                self.networks[NETWORK],
                held_out.map_style,
                device=self.device,
                dtype=self.precision.dtype,
            )
            rollout = held_out.paint(painter)
            figures.append(rollout.figures())
            if page is not None and number == 0:
                rollout.show(page, self.step)
        names = dict.fromkeys(name for found in figures for name in found)
        return {n: float(np.nanmean([f[n] for f in figures if n in f])) for n in names}

    def _add_discriminator(self, name: str, map_channels: int, width: int, gan: str) -> None:
        channels = WINDOW * COLOURS if is_temporal(name) else map_channels + COLOURS
        network = PatchDiscriminator(channels, width=width, norm=DISCRIMINATOR_NORM)
        network = self.precision.to_dtype(network).to(
            self.device, memory_format=torch.channels_last
        )
        optimizer = self._adam(network, self.lr_d, (0.0, 0.99))
        self.add_discriminator(name, GANDiscriminator(network, optimizer, gan_mode=gan))

    def _adam(
        self, network: torch.nn.Module, rate: float, betas: tuple[float, float]
    ) -> AnyOptimizer:
        return self.precision.optimizer(
            network.parameters(), lambda p: torch.optim.Adam(p, lr=rate, betas=betas, eps=EPSILON)
        )

    def _generator_lr(self, step: int) -> float:
        """Return the generator's rate; the discriminators' stays, since they may start late."""
        return self.lr * (cosine_decay(step, self.steps) * min(1.0, (step + 1) / WARM_UP))

    def _paint(self, batch: Mapping[str, Tensor]) -> "Scene":
        maps_NTCHW = to_floats(batch["maps"])
        real_NT3HW = to_floats(batch["frames"])
        with self.precision.autocast(self.device):
            steps = self.net(NETWORK)(maps_NTCHW.to(self.precision.dtype), batch.get("view"))
        fake_NT3HW = torch.stack([step.frame for step in steps], 1)
        size = fake_NT3HW.shape[-2:]
        maps_NTCHW = maps_NTCHW[:, MAPS_PER_STEP - 1 :]
        return Scene(shrunk(maps_NTCHW, size), shrunk(real_NT3HW, size), fake_NT3HW, steps)

    def _picture_losses(self, scene: "Scene", batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        real, fake = scene.real.flatten(0, 1), scene.fake.flatten(0, 1)
        boxes_MR4, present_MR = scene.boxes(batch), batch["present"].flatten(0, 1)
        count = region_weight_map(boxes_MR4, present_MR, real.shape[-2:], REGION_WEIGHTS)
        losses = {
            "reconstruction": reconstruction_loss(fake, real, count),
            "structural": ssim_loss(fake, real, count),
        }
        if self.perceptual is not None:
            losses["perceptual"] = self.perceptual(fake, real)
        return losses

    def _motion_losses(self, scene: "Scene", batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        flows = [(t, step.flow) for t, step in enumerate(scene.steps) if step.flow is not None]
        if not flows or ("flow" not in batch and self.raft is None):
            return {}
        rows = [t for t, _ in flows]
        flow = torch.cat([flow for _, flow in flows])
        frames = batch["frames"]
        before, real = (to_floats(torch.cat([frames[:, t - k] for t in rows])) for k in (1, 0))
        if "flow" in batch:
            names = "flow", "flow_trust"
            truth, trust = (torch.cat([batch[name][:, t] for t in rows]) for name in names)
        else:
            truth, trust = self.raft(real, before)
        return {
            "flow": flow_loss(flow, truth, trust),
            "warp": warp_loss(flow, before, real, trust),
        }

    def _judge(self, scene: "Scene", batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Let the adversaries learn from the scene; return their losses, and the generator's."""
        losses, kinds = {}, {}
        for name, adversary in self.discriminators.items():
            seen = self._view(name, scene, batch)
            if seen is None:  # the sequence is too short
                continue
            real, fake, present_N = seen
            losses[f"d_{name}"] = adversary.update(real, fake, present_N=present_N)
            both = adversary.generator_losses(real, fake, present_N=present_N)
            kinds.setdefault(kind_of(name), []).append(torch.stack(both))
        if kinds:
            both = [torch.stack(of_kind).mean(0) for of_kind in kinds.values()]
            losses["gan"], losses["matching"] = torch.stack(both).sum(0)
        return losses

    def _view(
        self, name: str, scene: "Scene", batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor | None] | None:
        """Return what a discriminator sees, real and fake (M, C, h, w), and which rows count."""
        if is_temporal(name):
            stride = int(name.rpartition("_")[2])
            if scene.real.shape[1] <= (WINDOW - 1) * stride:
                return None
            return windows(scene.real, stride), windows(scene.fake, stride), None
        maps = scene.maps.flatten(0, 1)
        both = [torch.cat((maps, one.flatten(0, 1)), 1) for one in (scene.real, scene.fake)]
        if name not in REGIONS:
            return *both, None
        region = REGIONS.index(name)
        boxes_M4 = scene.boxes(batch)[:, region]
        present_M = batch["present"].flatten(0, 1)[:, region]
        return *(crop(one, boxes_M4, self.part_size) for one in both), present_M


@dataclass(frozen=True)
class Scene:
    """Sequences as asked for, as they were, and as painted: (N, T, C, H, W), -1..1."""

    maps: Tensor
    real: Tensor
    fake: Tensor
    steps: list[GeneratorOutput]

    def boxes(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the boxes of the parts (N·T, R, 4) in pixels of the frames as painted."""
        share = self.fake.shape[-1] / batch["frames"].shape[-1]
        return share * batch["boxes"].flatten(0, 1)


def shrunk(pictures_NTCHW: Tensor, size: Sequence[int]) -> Tensor:
    """Return pictures at the size of frames that not all scales of a generator have painted."""
    if pictures_NTCHW.shape[-2:] == tuple(size):
        return pictures_NTCHW
    small = torch.nn.functional.adaptive_avg_pool2d(pictures_NTCHW.flatten(0, 1), tuple(size))
    return small.unflatten(0, pictures_NTCHW.shape[:2])


def windows(frames_NT3HW: Tensor, stride: int) -> Tensor:
    """Return all windows of frames `stride` apart, smaller: (N·W, 9, H/2, W/2)."""
    reach = (WINDOW - 1) * stride
    count = frames_NT3HW.shape[1] - reach
    frames = [frames_NT3HW[:, k * stride : k * stride + count] for k in range(WINDOW)]
    windows_MCHW = torch.cat(frames, 2).flatten(0, 1)
    return torch.nn.functional.avg_pool2d(windows_MCHW, TEMPORAL_SIZE)


def is_temporal(name: str) -> bool:
    """Return whether a discriminator judges frames over time."""
    return name.startswith("temporal_")


def kind_of(name: str) -> str:
    """Return which kind a discriminator is of; those of one kind count as much as one."""
    return "time" if is_temporal(name) else "part" if name in REGIONS else name
