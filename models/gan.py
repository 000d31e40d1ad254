"""GAN training: a discriminator with its optimizer and losses as one object.

for name, discriminator in model.discriminators.items():
    losses[f"d_{name}"] = discriminator.update(crop(name, real), crop(name, fake))
    gan, matching = discriminator.generator_losses(crop(name, real), crop(name, fake))

A discriminator network is any module that returns, for each of its scales, the list of its
features with the scores last: `list[list[Tensor]]`, every tensor (N, ...). Its input may be images
(N, C, H, W), windows of motion (N, C, T) or anything else; conditions are concatenated to it by
the caller or passed as `condition`.
"""

import contextlib
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.models.optim import AnyOptimizer, backward_and_step
from speech2video.util import distributed

Score = Callable[[Tensor], Tensor]

# (loss of real scores, loss of fake scores, the generator's loss of fake scores)
GAN_LOSSES: dict[str, tuple[Score, Score, Score]] = {
    # Mao et al., Least Squares Generative Adversarial Networks, 2017
    "lsgan": (lambda s: (s - 1).square(), torch.square, lambda s: (s - 1).square()),
    # Lim and Ye, Geometric GAN, 2017
    "hinge": (lambda s: F.relu(1 - s), lambda s: F.relu(1 + s), torch.neg),
    # Goodfellow et al., Generative Adversarial Nets, 2014, non-saturating
    "vanilla": (lambda s: F.softplus(-s), F.softplus, lambda s: F.softplus(-s)),
}


class GANDiscriminator:
    """Discriminator network, its optimizer and its losses.

    Args:
        network: the discriminator, on its device.
        optimizer: of the network's parameters.
        gan_mode: one of `GAN_LOSSES`.
        grad_clip: largest norm of its gradient; None disables clipping.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: AnyOptimizer,
        *,
        gan_mode: str = "lsgan",
        grad_clip: float | None = None,
    ) -> None:
        if gan_mode not in GAN_LOSSES:
            raise ValueError(f"GAN mode {gan_mode!r}; one of {', '.join(GAN_LOSSES)} is needed")
        self.network = network
        self.optimizer = optimizer
        self.grad_clip = grad_clip
        self._real_loss, self._fake_loss, self._adversarial_loss = GAN_LOSSES[gan_mode]
        self._wrapped: nn.Module | None = None

    def update(
        self,
        real: Tensor,
        fake: Tensor,
        *,
        condition: tuple[Tensor, ...] = (),
        present_N: Tensor | None = None,
        r1: float = 0.0,
    ) -> Tensor:
        """Do one step of the discriminator; return its loss without penalty, 0-dim and detached.

        Args:
            real, fake: (N, ...) of the same shape; no gradient goes back into either.
            condition: (N, ...) each, further arguments of the discriminator.
            present_N: 1 where an item counts, 0 where it does not (a hand outside the image).
            r1: weight of `gradient_penalty` of real items in this step. It costs as much as a
                step, so it may be left out of most steps and be larger in the others (lazy
                regularisation; Karras et al., StyleGAN2, 2020).
        """
        if self._wrapped is None:
            self._wrapped = distributed.wrap(self.network)
        share, (real, fake, *conditions) = _present(present_N, real, fake, *condition)
        both = torch.cat([real.detach(), fake.detach()]).requires_grad_(r1 > 0)
        doubled = tuple(torch.cat([c.detach(), c.detach()]) for c in conditions)
        losses, means_N = [], []
        for *_, scores in self._wrapped(both, *doubled):
            score_real, score_fake = scores.float().chunk(2)
            losses.append((self._real_loss(score_real) + self._fake_loss(score_fake)).mean())
            means_N.append(score_real.reshape(len(score_real), -1).mean(1))
        total = loss = 0.5 * share * torch.stack(losses).mean()
        if r1:
            penalty = gradient_penalty(torch.stack(means_N).mean(0), both)
            total = loss + share * r1 * penalty
        backward_and_step(self.optimizer, total, grad_clip=self.grad_clip)
        return loss.detach()

    def generator_losses(
        self,
        real: Tensor,
        fake: Tensor,
        *,
        condition: tuple[Tensor, ...] = (),
        present_N: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return `generator_loss` and the feature matching loss, both 0-dim, from one pass.

        Feature matching is the mean absolute difference of the features of real and fake; scales
        and layers count alike, scores do not (Wang et al., High-Resolution Image Synthesis with
        Conditional GANs, 2018).
        """
        share, (real, fake, *conditions) = _present(present_N, real, fake, *condition)
        with torch.no_grad():
            features_real = self.network(real, *conditions)
        with _frozen(self.network):
            features_fake = self.network(fake, *conditions)
        scales = []
        for scale_real, scale_fake in zip(features_real, features_fake, strict=True):
            layers = zip(scale_real[:-1], scale_fake[:-1], strict=True)
            distances = [(fake.float() - real.float()).abs() for real, fake in layers]
            scales.append(torch.stack([distance.mean() for distance in distances]).mean())
        return share * self._generator_loss(features_fake), share * torch.stack(scales).mean()

    def generator_loss(
        self,
        fake: Tensor,
        *,
        condition: tuple[Tensor, ...] = (),
        present_N: Tensor | None = None,
    ) -> Tensor:
        """Return the adversarial loss of the generator, 0-dim; gradients reach the fake alone."""
        share, (fake, *conditions) = _present(present_N, fake, *condition)
        with _frozen(self.network):
            return share * self._generator_loss(self.network(fake, *conditions))

    def _generator_loss(self, features: list[list[Tensor]]) -> Tensor:
        return torch.stack([self._adversarial_loss(s.float()).mean() for *_, s in features]).mean()


def gradient_penalty(score_N: Tensor, inputs: Tensor) -> Tensor:
    """Return half the mean squared norm of the gradient of scores, 0-dim: R1 for real items.

    It keeps a discriminator from being steep about real data, where the generator's gradient
    would never vanish (Mescheder et al., Which Training Methods for GANs do actually Converge?,
    2018).

    Args:
        score_N: of the first N of the inputs, each item's from that item alone.
        inputs: (N or more, ...), with gradient.
    """
    (gradient,) = torch.autograd.grad(score_N.sum(), inputs, create_graph=True)
    return 0.5 * gradient[: len(score_N)].float().square().flatten(1).sum(1).mean()


def _present(present_N: Tensor | None, *inputs: Tensor) -> tuple[Tensor | float, list[Tensor]]:
    """Return the share of items that are present, and these items of each input.

    Where none is, the first item is returned with a share of zero: in distributed training every
    process has to take part. How many there are decides shapes, so a GPU is waited for once.
    """
    if present_N is None:
        return 1.0, [*inputs]
    share, rows = present_N.float().mean(), (present_N > 0).nonzero()[:, 0]
    if not len(rows):
        rows = rows.new_zeros(1)
    return share, [tensor[rows] for tensor in inputs]


def item_mean(values: Tensor, present_N: Tensor | None) -> Tensor:
    """Return the mean of values (N, ...) over all items, absent ones counting as zero; 0-dim.

    Dividing by all, not by those present, makes two half batches equal to a whole one.
    """
    if present_N is None:
        return values.mean()
    return (values.flatten(1).mean(1) * present_N.to(values.dtype)).mean()


@contextlib.contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Keep gradients computed in the context from reaching the network's weights."""
    trainable = nn.ParameterList(p for p in network.parameters() if p.requires_grad)
    trainable.requires_grad_(False)
    try:
        yield
    finally:
        trainable.requires_grad_(True)
