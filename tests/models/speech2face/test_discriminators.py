"""Discriminators of faces fit `GANDiscriminator` and depend on their conditions."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2video.models.gan import GAN_LOSSES, GANDiscriminator
from speech2video.models.speech2face.discriminators import (
    EmotionDiscriminator,
    FrameDiscriminator,
    LipSyncDiscriminator,
    RegionDiscriminator,
    SequenceDiscriminator,
    join_sync_inputs,
)

MAKERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[Tensor, ...]]] = {
    "frame": (lambda: FrameDiscriminator(width=4), (4, 3, 64, 64), (torch.randn(4, 128),)),
    "region": (lambda: RegionDiscriminator(width=4), (4, 3, 64, 64), ()),
    "sequence": (
        lambda: SequenceDiscriminator(width=4), (4, 5, 3, 32, 32), (torch.randn(4, 80, 20),)
    ),
    "sync": (lambda: LipSyncDiscriminator(width=4), (4, 15 * 32 * 32 + 80 * 20), ()),
    "emotion": (lambda: EmotionDiscriminator(width=4), (4, 3, 64, 64), (torch.arange(4),)),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_a_gan_discriminator_learns_and_gives_gradients(name: str) -> None:
    torch.manual_seed(0)
    make, shape, condition = MAKERS[name]
    network = make()
    discriminator = GANDiscriminator(
        network, torch.optim.Adam(network.parameters(), lr=1e-2), gan_mode="hinge"
    )
    real, fake = torch.randn(shape), torch.randn(shape, requires_grad=True)
    losses = [float(discriminator.update(real, fake, condition=condition)) for _ in range(5)]
    assert losses[-1] < losses[0]
    gan, matching = discriminator.generator_losses(real, fake, condition=condition)
    (gan + matching).backward()
    assert float(fake.grad.abs().sum()) > 0


@pytest.mark.parametrize("name", MAKERS)
def test_a_gradient_penalty_trains_what_the_scores_depend_on(name: str) -> None:
    torch.manual_seed(0)
    make, shape, condition = MAKERS[name]
    real, fake = torch.randn(shape), torch.randn(shape)
    weights = []
    for r1 in (0.0, 1.0):
        torch.manual_seed(0)
        network = make()
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
        discriminator = GANDiscriminator(network, optimizer, gan_mode="hinge")
        loss = discriminator.update(real, fake, condition=condition, r1=r1)
        weights.append([parameter.detach() for parameter in network.parameters()])
        assert loss.isfinite() and all(weight.isfinite().all() for weight in weights[-1])
    assert any(not torch.equal(one, other) for one, other in zip(*weights, strict=True))


@pytest.mark.parametrize("name", [name for name in MAKERS if MAKERS[name][2]])
def test_conditions_change_the_scores(name: str) -> None:
    torch.manual_seed(0)
    make, shape, condition = MAKERS[name]
    network, inputs = make(), torch.randn(shape)
    before, after = (network(inputs, c)[0][-1] for c in (condition[0], condition[0].flip(0)))
    assert not torch.allclose(before, after)


def test_log_odds_are_a_classifiers_cross_entropy() -> None:
    torch.manual_seed(0)
    network, images = EmotionDiscriminator(width=4), torch.randn(5, 3, 64, 64)
    emotion = torch.tensor([0, 3, 7, 1, 1])
    scores = network(images, emotion)[0][-1][:, 0]
    logits = network.classifier(network.image_encoder(images).flatten(1))
    real, _, generator = GAN_LOSSES["vanilla"]
    expected = F.cross_entropy(logits, emotion, reduction="none")
    torch.testing.assert_close(real(scores), expected)
    torch.testing.assert_close(generator(scores), expected)


def test_an_unknown_emotion_has_a_finite_score() -> None:
    scores = EmotionDiscriminator(width=4)(torch.randn(1, 3, 64, 64), torch.tensor([-1]))[0][-1]
    assert scores.isfinite().all()


def test_mouths_and_speech_share_a_row() -> None:
    mouths, mel = torch.randn(2, 5, 3, 32, 32), torch.randn(2, 80, 20)
    row = join_sync_inputs(mouths, mel)
    assert torch.equal(row[:, : mouths[0].numel()].view_as(mouths), mouths)
    assert torch.equal(row[:, mouths[0].numel() :].view_as(mel), mel)
    assert LipSyncDiscriminator(width=4)(row)[0][-1].shape == (2, 1)
