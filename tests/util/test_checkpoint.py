"""Weights and states come back bit for bit; what does not fit is one clear line."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from speech2video.util.checkpoint import (
    load_state,
    load_weights,
    read_tensors,
    save_state,
    save_weights,
)
from speech2video.util.errors import DataError


def network(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.LSTM(width, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_round_trip_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    saved, loaded = network().to(dtype), network().to(dtype)
    saved.to(memory_format=torch.channels_last)
    save_weights(tmp_path / "w.safetensors", saved)
    load_weights(tmp_path / "w.safetensors", loaded)
    for name, tensor in saved.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    save_weights(tmp_path / "w", tied)
    load_weights(tmp_path / "w", tied)


def test_export_in_16_bits_is_half_as_large_and_loads_into_32(tmp_path: Path) -> None:
    saved, loaded = nn.Linear(100, 100), nn.Linear(100, 100)
    save_weights(tmp_path / "full", saved)
    save_weights(tmp_path / "half", saved, dtype=torch.float16)
    assert (tmp_path / "half").stat().st_size < 0.55 * (tmp_path / "full").stat().st_size
    load_weights(tmp_path / "half", loaded)
    torch.testing.assert_close(loaded.weight, saved.weight, atol=1e-4, rtol=0)


def test_export_refuses_what_16_bits_cannot_hold(tmp_path: Path) -> None:
    large = nn.Linear(2, 2)
    large.weight.data[0, 0] = 1e5
    with pytest.raises(DataError, match=r"weight reaches 1e\+05"):
        save_weights(tmp_path / "w", large, dtype=torch.float16)


def test_what_does_not_fit_is_named_and_nothing_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "w"
    save_weights(path, nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(2, 2)}))
    wanted = nn.ModuleDict({"a": nn.Linear(2, 4), "c": nn.LSTM(2, 2, num_layers=2)})
    before = {name: tensor.clone() for name, tensor in wanted.state_dict().items()}
    with pytest.raises(DataError) as error:
        load_weights(path, wanted)
    line = str(error.value)
    assert line.startswith(f"{path}: weights of another network: lacks c.weight_ih_l0, ")
    assert " and 5 more" in line and "has also b.bias, b.weight" in line
    assert "a.weight (3, 2) where (4, 2) is needed" in line and "\n" not in line
    assert all(torch.equal(before[k], v) for k, v in wanted.state_dict().items())


def foreign(path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, path)


def newer(path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, path, metadata={"checkpoint_version": "2"})


def truncated(path: Path) -> None:
    save_weights(path, nn.Linear(50, 50))
    os.truncate(path, 500)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (foreign, "not a checkpoint of this project"),
        (newer, "checkpoint of version 2; version 1 is needed"),
        (truncated, "not a readable safetensors file"),
        (lambda path: path.write_bytes(b"hello"), "not a readable safetensors file"),
        (lambda path: path.write_bytes(b""), "not a readable safetensors file"),
        (lambda path: path.mkdir(), "not a readable safetensors file"),
        (lambda path: None, "no such file"),
    ],
)
def test_broken_weights_are_one_line(
    tmp_path: Path, write: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "w.safetensors"
    write(path)
    with pytest.raises(DataError, match=said) as error:
        read_tensors(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_state_round_trip(tmp_path: Path) -> None:
    state = {"step": 3, "nested": {"a": [1.5, None, True]}, "t": torch.arange(3).bfloat16()}
    save_state(tmp_path / "s", state)
    loaded = load_state(tmp_path / "s")
    assert loaded["nested"] == state["nested"] and torch.equal(loaded["t"], state["t"])


class Payload:
    """What a pickle must not be allowed to run."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: torch.save({"x": Payload()}, path), "plain data"),
        (lambda path: path.write_bytes(pickle.dumps(Payload(), protocol=2)), "plain data"),
        (lambda path: path.write_bytes(b"PK\x03\x04 broken"), "plain data"),
        (lambda path: path.write_bytes(b""), "plain data"),
        (lambda path: torch.save({"step": 1}, path), "not a checkpoint of this project"),
        (lambda path: torch.save(torch.zeros(2), path), "not a checkpoint of this project"),
        (lambda path: torch.save({"checkpoint_version": 9}, path), "version 9"),
        (lambda path: None, "no such file"),
    ],
)
def test_broken_or_hostile_states_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "training.pt"
    write(path)
    with pytest.raises(DataError, match=said):
        load_state(path)
    assert not (tmp_path / "ran").exists()
