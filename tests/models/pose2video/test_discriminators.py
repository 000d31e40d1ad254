"""Patch discriminators: features and scores at every size and type; training, saved and wrapped."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from speech2video.models import gan as gan
from speech2video.models.checkpointing import load_weights, save_weights
from speech2video.models.gan import GANDiscriminator
from speech2video.models.pose2video.discriminators import PatchDiscriminator


def network_of() -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(6, width=8)


def images(count: int = 2, size: tuple[int, int] = (64, 64), seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 6, *size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def discriminator() -> GANDiscriminator:
    network = network_of()
    return GANDiscriminator(
        network, torch.optim.Adam(network.parameters(), lr=2e-3), gan_mode="hinge"
    )


@pytest.mark.parametrize("size", [(32, 32), (45, 70), (64, 96)])
def test_each_scale_gives_features_and_then_scores(size: tuple[int, int]) -> None:
    scales = network_of()(images(3, size))
    assert len(scales) == 2
    for number, features in enumerate(scales):
        height, width = (side >> number for side in size)
        assert [f.shape[1] for f in features] == [8, 16, 32, 32, 1]
        assert features[-1].shape == (3, 1, height // 8, width // 8)
        assert all(f.isfinite().all() for f in features)


def test_images_of_a_batch_are_independent() -> None:
    network, x, y = network_of().eval(), images(seed=1), images(seed=2)
    both = network(torch.cat((x, y)))
    for whole, *halves in zip(both, network(x), network(y), strict=True):
        for features, *parts in zip(whole, *halves, strict=True):
            torch.testing.assert_close(features, torch.cat(parts), atol=1e-4, rtol=1e-4)


def test_a_score_is_about_its_patch() -> None:
    network, x = network_of().eval(), images(1, (128, 128))
    changed = x.clone()
    changed[..., :16, :16] = 0
    before, after = (network(one)[0][-1] for one in (x, changed))
    moved = (before - after).abs()[0, 0]
    assert moved[:2, :2].min() > 3 * moved[8:, 8:].max()  # instance norm sees all


def test_it_learns_and_trains_the_fake_alone() -> None:
    trained = discriminator()
    real, fake = images(4, (32, 32)), images(4, (32, 32), seed=2)
    real = nn.functional.avg_pool2d(real, 3, 1, 1)
    losses = [float(trained.update(real, fake)) for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]
    trained.optimizer.zero_grad()
    fake.requires_grad_()
    gan, matching = trained.generator_losses(real, fake)
    (gan + matching).backward()
    assert fake.grad.abs().sum() > 0
    assert all(p.grad is None for p in trained.network.parameters())


def test_saved_and_loaded_it_gives_the_same_scores_and_trains_the_same(
    tmp_path: Path,
) -> None:
    trained, other = discriminator(), discriminator()
    trained.network.to(memory_format=torch.channels_last)
    trained.update(images(), images(seed=2))
    save_weights(tmp_path / "d.safetensors", trained.network)
    load_weights(tmp_path / "d.safetensors", other.network)
    other.optimizer.load_state_dict(copy.deepcopy(trained.optimizer.state_dict()))
    scores = []
    for one in (trained, other):
        one.update(images(seed=3), images(seed=4))
        scores.append(one.network.eval()(images(seed=5))[0][-1])
    torch.testing.assert_close(*scores, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_sixteen_bits_give_about_the_same_scores() -> None:
    x = images()
    plain = network_of().eval()(x)
    short = network_of().bfloat16().eval()(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network_of()(x)
    for one in (short, mixed):
        for features, approximate in zip(plain, one, strict=True):
            assert approximate[-1].dtype == torch.bfloat16
            for exact, rough in zip(features[:2], approximate[:2], strict=True):
                assert float((exact - rough.float()).abs().mean() / exact.abs().mean()) < 0.05


@pytest.fixture
def lone_process() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_wrapped_for_several_processes_it_learns_the_same(
    lone_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = []
    for wrap in (lambda network: network, DistributedDataParallel):
        monkeypatch.setattr(gan.distributed, "wrap", wrap)
        trained = discriminator()
        for seed in range(3):
            trained.update(images(seed=seed), images(seed=seed + 9))
            trained.generator_losses(images(seed=seed), images(seed=seed + 9))
        weights.append(trained.network.state_dict())
    assert list(weights[0]) == list(weights[1])
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], atol=1e-5, rtol=1e-3)
