"""A patch discriminator: the adversary's contract at every size, in any type, saved and wrapped."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from speech2video.models import gan as adversary_module
from speech2video.models.checkpointing import load_weights, save_weights
from speech2video.models.gan import GANDiscriminator
from speech2video.models.pose2video.discriminators import NORMS, PatchDiscriminator


def discriminator(norm: str = "spectral", channels: int = 6) -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(channels, width=8, norm=norm)


def pictures(count: int = 2, size: tuple[int, int] = (64, 64), seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 6, *size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def adversary(norm: str = "spectral") -> GANDiscriminator:
    network = discriminator(norm)
    return GANDiscriminator(
        network, torch.optim.Adam(network.parameters(), lr=2e-3), gan_mode="hinge"
    )


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("size", [(32, 32), (45, 70), (64, 96)])
def test_each_scale_gives_features_and_then_scores(norm: str, size: tuple[int, int]) -> None:
    scales = discriminator(norm)(pictures(3, size))
    assert len(scales) == 2
    for number, features in enumerate(scales):
        height, width = (side >> number for side in size)
        assert [f.shape[1] for f in features] == [8, 16, 32, 32, 1]
        assert features[-1].shape == (3, 1, height // 8, width // 8)
        assert all(f.isfinite().all() for f in features)


@pytest.mark.parametrize("norm", NORMS)
def test_no_picture_sees_the_one_beside_it(norm: str) -> None:
    network, x, y = discriminator(norm).eval(), pictures(seed=1), pictures(seed=2)
    both = network(torch.cat((x, y)))
    for whole, *halves in zip(both, network(x), network(y), strict=True):
        for features, *parts in zip(whole, *halves, strict=True):
            torch.testing.assert_close(features, torch.cat(parts), atol=1e-4, rtol=1e-4)


def test_a_score_is_about_its_patch() -> None:
    network, x = discriminator().eval(), pictures(1, (128, 128))
    changed = x.clone()
    changed[..., :16, :16] = 0
    before, after = (network(one)[0][-1] for one in (x, changed))
    moved = (before - after).abs()[0, 0]
    assert moved[:2, :2].min() > 0 and moved[8:, 8:].max() == 0


def test_spectral_norm_makes_every_layer_one() -> None:
    network = discriminator()
    for _ in range(30):
        network(pictures(1))
    weights = [m.weight for m in network.eval().modules() if isinstance(m, nn.Conv2d)]
    assert len(weights) == 10
    for weight in weights:
        norm = torch.linalg.matrix_norm(weight.detach().flatten(1), 2)
        assert float(norm) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("norm", NORMS)
def test_it_learns_to_tell_and_teaches_the_fake_alone(norm: str) -> None:
    judge = adversary(norm)
    real, fake = pictures(4, (32, 32)), pictures(4, (32, 32), seed=2)
    real = nn.functional.avg_pool2d(real, 3, 1, 1)
    losses = [float(judge.update(real, fake)) for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]
    judge.optimizer.zero_grad()
    fake.requires_grad_()
    gan, matching = judge.generator_losses(real, fake)
    (gan + matching).backward()
    assert fake.grad.abs().sum() > 0
    assert all(p.grad is None for p in judge.network.parameters())


@pytest.mark.parametrize("norm", NORMS)
def test_saved_and_loaded_it_judges_alike_and_learns_alike(norm: str, tmp_path: Path) -> None:
    judge, other = adversary(norm), adversary(norm)
    judge.network.to(memory_format=torch.channels_last)
    judge.update(pictures(), pictures(seed=2))
    save_weights(tmp_path / "d.safetensors", judge.network)
    load_weights(tmp_path / "d.safetensors", other.network)
    other.optimizer.load_state_dict(copy.deepcopy(judge.optimizer.state_dict()))
    scores = []
    for one in (judge, other):
        one.update(pictures(seed=3), pictures(seed=4))
        scores.append(one.network.eval()(pictures(seed=5))[0][-1])
    torch.testing.assert_close(*scores, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("norm", NORMS)
def test_sixteen_bits_judge_about_alike(norm: str) -> None:
    x = pictures()
    plain = discriminator(norm).eval()(x)
    short = discriminator(norm).bfloat16().eval()(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = discriminator(norm)(x)
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
        monkeypatch.setattr(adversary_module.distributed, "wrap", wrap)
        judge = adversary()
        for seed in range(3):
            judge.update(pictures(seed=seed), pictures(seed=seed + 9))
            judge.generator_losses(pictures(seed=seed), pictures(seed=seed + 9))
        weights.append(judge.network.state_dict())
    assert list(weights[0]) == list(weights[1])
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], atol=1e-5, rtol=1e-3)


def test_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="spectral, instance, none"):
        PatchDiscriminator(3, norm="batch")
