"""Mixed precision and moving averages of weights."""

import copy

import pytest
import torch
from torch import nn

from speech2video.models.optim import Ema, MasterWeights, Precision, backward_and_step


def adam(parameters: list) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-2)


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))


def train(
    network: nn.Module, optimizer: object, steps: range, grad_clip: float | None = 1.0
) -> float:
    for step in steps:
        x = torch.randn(64, 8, generator=torch.Generator().manual_seed(step))
        target = x.square().sum(1, keepdim=True) / 8
        output = network(x.to(next(network.parameters()).dtype)).float()
        loss = (output - target).square().mean()
        backward_and_step(optimizer, loss, grad_clip=grad_clip)
    return float(loss.detach())


def test_32_bit_weights_train_as_without_masters() -> None:
    plain, mastered = small(), small()
    train(plain, adam(list(plain.parameters())), range(30))
    train(mastered, MasterWeights(mastered.parameters(), adam), range(30))
    for one, other in zip(plain.parameters(), mastered.parameters(), strict=True):
        assert torch.equal(one, other)


def test_16_bit_weights_follow_32_bit_masters() -> None:
    full, half = small(), small().bfloat16()
    optimizer = MasterWeights(half.parameters(), adam)
    full_loss = train(full, adam(list(full.parameters())), range(300))
    half_loss = train(half, optimizer, range(300))
    assert half_loss < 1.2 * full_loss < 0.3
    masters = optimizer.state_dict()["masters"]
    for parameter, master in zip(half.parameters(), masters, strict=True):
        assert parameter.dtype == torch.bfloat16 and master.dtype == torch.float32
        assert torch.equal(parameter, master.bfloat16())


def test_steps_below_16_bit_resolution_add_up() -> None:
    weight = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    optimizer = MasterWeights([weight], lambda p: torch.optim.SGD(p, lr=1e-4))
    for _ in range(1000):
        backward_and_step(optimizer, weight.sum())
    assert weight.item() == pytest.approx(0.9, abs=0.004)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_resumed_training_equals_straight_training(dtype: torch.dtype) -> None:
    straight, first, second = (small().to(dtype) for _ in range(3))
    train(straight, MasterWeights(straight.parameters(), adam), range(20))
    optimizer = MasterWeights(first.parameters(), adam)
    train(first, optimizer, range(9))
    resumed = MasterWeights(second.parameters(), adam)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(second, resumed, range(9, 20))
    for one, other in zip(straight.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_groups_keep_their_own_settings() -> None:
    network = small().bfloat16()
    groups = [
        {"params": network[0].parameters(), "lr": 0.0},
        {"params": network[2].parameters(), "lr": 0.1},
    ]
    before = [p.clone() for p in network.parameters()]
    train(network, MasterWeights(groups, adam), range(3))
    changed = [not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True)]
    assert changed == [False, False, True, True]


def test_state_of_another_network_is_refused() -> None:
    half_loss = MasterWeights(small().bfloat16().parameters(), adam).state_dict()
    with pytest.raises(ValueError, match="not those of these networks"):
        MasterWeights(small().parameters(), adam).load_state_dict(half_loss)


def test_clipping_bounds_the_norm_of_the_masters() -> None:
    weights = [nn.Parameter(torch.zeros(n, dtype=torch.bfloat16)) for n in (3, 4)]
    optimizer = MasterWeights(weights, lambda p: torch.optim.SGD(p, lr=1.0))
    norm = backward_and_step(optimizer, 100 * sum(w.sum() for w in weights), grad_clip=0.5)
    assert float(norm) == pytest.approx(100 * 7**0.5, rel=1e-3)
    moved = torch.cat(optimizer.state_dict()["masters"])
    assert float(moved.norm()) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("name", ["fp32", "autocast", "bf16"])
def test_precision_of_weights_and_outputs(name: str) -> None:
    precision, network = Precision(name), small()
    precision.to_dtype(network)
    optimizer = precision.optimizer(network.parameters(), adam)
    assert isinstance(optimizer, MasterWeights) == (name == "bf16")
    with precision.autocast("cpu"):
        output = network(precision.to_dtype(torch.randn(2, 8)))
    assert output.dtype == (torch.float32 if name == "fp32" else torch.bfloat16)
    assert precision.to_dtype(torch.arange(3)).dtype == torch.int64


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="fp32, autocast, bf16"):
        Precision("int3")


def test_constant_weights_are_their_own_average() -> None:
    network = nn.BatchNorm1d(3)
    average = Ema(network)
    for _ in range(50):
        average.update()
    assert all(torch.equal(average.weights[k], v) for k, v in network.state_dict().items())


def test_average_is_the_recursion_of_its_definition() -> None:
    network = nn.Linear(1, 1, bias=False)
    average, expected = Ema(network, decay=0.5), network.weight.item()
    for n in range(30):
        network.weight.data.fill_(n)
        average.update()
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * n
    assert average.weights["weight"].item() == pytest.approx(expected)


def test_average_of_16_bit_weights_is_kept_in_32() -> None:
    network = nn.Linear(1, 1, bias=False).bfloat16()
    network.weight.data.fill_(1.0)
    average = Ema(network, decay=0.9999)
    average.updates = 10**6
    network.weight.data.fill_(2.0)
    for _ in range(100):
        average.update()
    assert float(average.weights["weight"]) == pytest.approx(2 - 0.9999**100, abs=1e-5)


def test_own_weights_are_restored_bit_for_bit() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    average = Ema(network)
    network(torch.randn(8, 4)).sum().backward()
    with torch.no_grad():
        network[0].weight.add_(0.1)
    own = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(RuntimeError), average.swapped():
        assert all(torch.equal(average.weights[k], v) for k, v in network.state_dict().items())
        raise RuntimeError
    assert all(torch.equal(own[k], v) for k, v in network.state_dict().items())
