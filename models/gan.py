"""An adversary: discriminator, optimiser and loss as one object.

for name, adversary in model.adversaries.items():
    losses[f"d_{name}"] = adversary.update(view(name, real), view(name, fake))
    gan, matching = adversary.generator_losses(view(name, real), view(name, fake))

A discriminator is any module that returns, for each of its scales, the list of its features, the
last of which are the scores: `list[list[Tensor]]`, every tensor (N, ...). What it judges may be
pictures (N, C, H, W), windows of motion (N, C, T) or anything else; conditions are concatenated
to it by the caller or given as `condition`.
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
    # Goodfellow et al., Generative Adversarial Nets, 2014
    "vanilla": (lambda s: F.softplus(-s), F.softplus, lambda s: F.softplus(-s)),
}


class GANDiscriminator:
    """Judges real against fake, and learns to.

    Args:
        network: the discriminator, on its device.
        optimizer: of the network's parameters.
        kind: one of `GAN_LOSSES`.
        clip: largest norm of its gradient; None clips nothing.
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
            raise ValueError(f"GAN loss {gan_mode!r}; one of {', '.join(GAN_LOSSES)} is needed")
        self.network = network
        self.optimizer = optimizer
        self.gan_mode = gan_mode
        self.grad_clip = grad_clip
        self._parallel: nn.Module | None = None

    def update(
        self,
        real: Tensor,
        fake: Tensor,
        *,
        condition: tuple[Tensor, ...] = (),
        present_N: Tensor | None = None,
    ) -> Tensor:
        """Do one step of the discriminator and return its loss, 0-dim and detached.

        Args:
            real, fake: (N, ...) of the same shape; no gradient goes back into either.
            condition: (N, ...) each, handed to the discriminator beside what it judges.
            present_N: 1 where an item counts, 0 where it does not (a hand outside the picture).
        """
        if self._parallel is None:
            self._parallel = distributed.wrap(self.network)
        both = torch.cat([real.detach(), fake.detach()])
        doubled = tuple(torch.cat([c.detach(), c.detach()]) for c in condition)
        of_real, of_fake, _ = GAN_LOSSES[self.gan_mode]
        losses = []
        for *_, scores in self._parallel(both, *doubled):
            score_real, score_fake = scores.float().chunk(2)
            losses.append(_mean(of_real(score_real) + of_fake(score_fake), present_N))
        loss = 0.5 * torch.stack(losses).mean()
        backward_and_step(self.optimizer, loss, grad_clip=self.grad_clip)
        return loss.detach()

    def generator_losses(
        self,
        real: Tensor,
        fake: Tensor,
        *,
        condition: tuple[Tensor, ...] = (),
        present_N: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return (`generator_loss`, `feature_matching`) by one look at the fake."""
        with torch.no_grad():
            features_real = self.network(real, *condition)
        with _frozen(self.network):
            features_fake = self.network(fake, *condition)
        return (
            self._generator_loss(features_fake, present_N),
            _matching(features_real, features_fake, present_N),
        )

    def generator_loss(
        self,
        fake: Tensor,
        *,
        condition: tuple[Tensor, ...] = (),
        present_N: Tensor | None = None,
    ) -> Tensor:
        """Return how far the fake is from passing as real, 0-dim; gradients go to it alone."""
        with _frozen(self.network):
            return self._generator_loss(self.network(fake, *condition), present_N)

    def feature_matching(
        self,
        real: Tensor,
        fake: Tensor,
        *,
        condition: tuple[Tensor, ...] = (),
        present_N: Tensor | None = None,
    ) -> Tensor:
        """Return the mean absolute difference of the features of real and fake, 0-dim.

        Scales and layers count alike, scores do not (Wang et al., High-Resolution Image Synthesis
        with Conditional GANs, 2018).
        """
        return self.generator_losses(real, fake, condition=condition, present_N=present_N)[1]

    def _generator_loss(self, features: list[list[Tensor]], present_N: Tensor | None) -> Tensor:
        passes = GAN_LOSSES[self.gan_mode][2]
        losses = [_mean(passes(scores.float()), present_N) for *_, scores in features]
        return torch.stack(losses).mean()


def _matching(
    features_real: list[list[Tensor]], features_fake: list[list[Tensor]], present_N: Tensor | None
) -> Tensor:
    losses = [
        torch.stack(
            [
                _mean((fake.float() - real.float()).abs(), present_N)
                for real, fake in zip(scale_real[:-1], scale_fake[:-1], strict=True)
            ]
        ).mean()
        for scale_real, scale_fake in zip(features_real, features_fake, strict=True)
    ]
    return torch.stack(losses).mean()


def _mean(values: Tensor, present_N: Tensor | None) -> Tensor:
    """Return the mean over all items, absent ones counting as zero.

    Dividing by all, not by those present, makes two half batches equal to a whole one.
    """
    if present_N is None:
        return values.mean()
    return (values.flatten(1).mean(1) * present_N.to(values.dtype)).mean()


@contextlib.contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Keep the gradient of what is computed inside from reaching the network's weights."""
    learning = [p for p in network.parameters() if p.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
