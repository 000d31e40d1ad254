"""Discriminators of images and motion: updates, losses, gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.models.gan import GAN_LOSSES, GANDiscriminator, gradient_penalty


class Patches(nn.Module):
    """Two scales of a small convolutional discriminator in one or two dimensions."""

    def __init__(self, channels: int, dimensions: int) -> None:
        super().__init__()
        convolution = nn.Conv1d if dimensions == 1 else nn.Conv2d
        self.pool = F.avg_pool1d if dimensions == 1 else F.avg_pool2d
        self.layers = nn.ModuleList(
            nn.ModuleList([convolution(channels, 6, 3), convolution(6, 1, 3)]) for _ in range(2)
        )

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        scales = []
        for first, last in self.layers:
            features = F.leaky_relu(first(x), 0.2)
            scales.append([features, last(features)])
            x = self.pool(x, 2)
        return scales


def make_discriminator(gan_mode: str = "lsgan", shape: tuple = (3, 16, 16)) -> GANDiscriminator:
    torch.manual_seed(0)
    network = Patches(shape[0], len(shape) - 1)
    return GANDiscriminator(
        network, torch.optim.Adam(network.parameters(), lr=1e-2), gan_mode=gan_mode
    )


@pytest.mark.parametrize("gan_mode", sorted(GAN_LOSSES))
@pytest.mark.parametrize("shape", [(3, 16, 16), (7, 25)], ids=["images", "motion"])
def test_discriminator_and_fake_both_learn(gan_mode: str, shape: tuple) -> None:
    discriminator = make_discriminator(gan_mode, shape)
    real, fake = torch.randn(8, *shape) + 1, torch.randn(8, *shape) - 1
    losses = [float(discriminator.update(real, fake)) for _ in range(60)]
    assert losses[-1] < 0.3 * losses[0]
    assert discriminator.generator_loss(fake) > discriminator.generator_loss(real)
    fake.requires_grad_()
    optimizer = torch.optim.Adam([fake], lr=0.1)
    before = float(discriminator.generator_loss(fake).detach())
    for _ in range(30):
        optimizer.zero_grad()
        discriminator.generator_loss(fake).backward()
        optimizer.step()
    assert discriminator.generator_loss(fake) < before


def test_gradients_go_where_they_belong() -> None:
    discriminator = make_discriminator()
    real, fake = torch.randn(2, 3, 16, 16), torch.randn(2, 3, 16, 16, requires_grad=True)
    discriminator.update(real, fake)
    assert fake.grad is None
    discriminator.optimizer.zero_grad()
    gan, matching = discriminator.generator_losses(real, fake)
    (gan + matching).backward()
    assert fake.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in discriminator.network.parameters())


def test_both_generator_losses_in_one_pass() -> None:
    discriminator = make_discriminator("hinge")
    real, fake = torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16)
    gan, matching = discriminator.generator_losses(real, fake)
    assert torch.equal(gan, discriminator.generator_loss(fake))
    assert matching > 0 and discriminator.generator_losses(real, real)[1] == 0


@pytest.mark.parametrize("gan_mode", sorted(GAN_LOSSES))
def test_absent_items_have_no_gradient(gan_mode: str) -> None:
    real, fake = torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16, requires_grad=True)
    present = torch.tensor([1.0, 0.0, 1.0, 0.0])
    discriminator = make_discriminator(gan_mode)
    gan, matching = discriminator.generator_losses(real, fake, present_N=present)
    (gan + matching).backward()
    assert (fake.grad.flatten(1).abs().sum(1) > 0).tolist() == [True, False, True, False]
    weights = []
    for other in (0.0, 9.0):
        discriminator = make_discriminator(gan_mode)
        changed = torch.where(present.view(4, 1, 1, 1) > 0, real, torch.tensor(other))
        discriminator.update(changed, fake, present_N=present)
        weights.append(torch.cat([p.flatten() for p in discriminator.network.parameters()]))
    assert torch.allclose(*weights, atol=1e-7)


def test_absent_items_are_not_computed() -> None:
    real, fake = torch.randn(6, 3, 16, 16), torch.randn(6, 3, 16, 16)
    present = torch.tensor([0.0, 1, 0, 1, 0, 0])
    discriminator = make_discriminator()
    some = discriminator.generator_losses(real, fake, present_N=present)
    only = discriminator.generator_losses(real[present > 0], fake[present > 0])
    torch.testing.assert_close(some, tuple(loss / 3 for loss in only))
    none = discriminator.generator_losses(real, fake, present_N=torch.zeros(6))
    assert [float(loss) for loss in none] == [0, 0]
    assert float(discriminator.update(real, fake, present_N=torch.zeros(6))) == 0


def test_all_present_is_the_plain_loss() -> None:
    real, fake = torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16)
    discriminator = make_discriminator()
    plain = discriminator.generator_losses(real, fake)
    torch.testing.assert_close(
        discriminator.generator_losses(real, fake, present_N=torch.ones(4)), plain
    )


def test_conditions_reach_the_discriminator() -> None:
    class Projection(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor, condition: Tensor) -> list[list[Tensor]]:
            hidden = self.layer(x)
            return [[hidden, (hidden * condition).sum(1, keepdim=True)]]

    network = Projection()
    discriminator = GANDiscriminator(network, torch.optim.SGD(network.parameters(), lr=0.1))
    x, condition = torch.randn(3, 4), (torch.randn(3, 4),)
    discriminator.update(x, x + 1, condition=condition)
    assert discriminator.generator_loss(x, condition=condition).ndim == 0


def test_unknown_gan_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="lsgan, hinge, vanilla"):
        make_discriminator("wasserstein")


class Weighted(nn.Module):
    """Scores that are the inputs' product with a vector; its only feature is the input."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def forward(self, x_ND: Tensor) -> list[list[Tensor]]:
        return [[x_ND, x_ND @ self.weight]]


def test_the_gradient_penalty_is_half_the_squared_slope() -> None:
    x_ND = torch.randn(5, 4, requires_grad=True)
    score_N = x_ND[:3].square().sum(1) / 2  # whose gradient is x
    penalty = gradient_penalty(score_N, x_ND)
    torch.testing.assert_close(penalty, 0.5 * x_ND[:3].square().sum(1).mean())
    penalty.backward()
    torch.testing.assert_close(x_ND.grad[:3], x_ND.detach()[:3] / 3)
    assert not x_ND.grad[3:].any()


@pytest.mark.parametrize("present", [None, (1.0, 0.0, 1.0, 1.0)])
def test_an_update_descends_the_gradient_penalty(present: tuple | None) -> None:
    weight_D = torch.tensor([2.0, -1.0, 0.5])
    sure_ND = weight_D.expand(4, -1)  # scores of 5.25 and -5.25: beyond hinge's margin
    shown = None if present is None else torch.tensor(present)
    lr, r1 = 0.1, 0.5
    for given, kept in ((0.0, 1.0), (r1, 1 - lr * r1 * (1 if present is None else 0.75))):
        network = Weighted(weight_D)
        optimizer = torch.optim.SGD(network.parameters(), lr=lr)
        discriminator = GANDiscriminator(network, optimizer, gan_mode="hinge")
        loss = discriminator.update(sure_ND, -sure_ND, present_N=shown, r1=given)
        assert float(loss) == 0
        torch.testing.assert_close(network.weight.detach(), kept * weight_D)


def test_the_gradient_penalty_flattens_a_discriminator() -> None:
    real, fake = torch.randn(8, 3, 16, 16), torch.randn(8, 3, 16, 16)
    slopes = {}
    for r1 in (0.0, 10.0):
        discriminator = make_discriminator("hinge")
        for _ in range(30):
            discriminator.update(real, fake, r1=r1)
        x = real.clone().requires_grad_()
        score_N = torch.stack([s.flatten(1).mean(1) for *_, s in discriminator.network(x)]).mean(0)
        slopes[r1] = float(gradient_penalty(score_N, x).detach())
    assert slopes[10.0] < 0.2 * slopes[0.0]
