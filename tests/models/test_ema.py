import pytest
import torch
from torch import nn

from speech2video.models.ema import Ema


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


def test_own_weights_come_back_bit_for_bit() -> None:
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
