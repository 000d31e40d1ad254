"""Checkpoints for going on, for use and for shipping; what is broken is one line."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from speech2video.models.saving import export, load_checkpoint, load_networks, save_checkpoint
from speech2video.util.checkpoint import read_tensors, save_state
from speech2video.util.checkpoint_folder import newest
from speech2video.util.errors import DataError
from tests.models.toy import ToyModel, ToyOptions, toy_options, train


@pytest.fixture
def run(tmp_path: Path) -> tuple[ToyOptions, ToyModel]:
    options = toy_options(tmp_path, steps=8)
    return options, train(options)


def networks_of(model: ToyModel) -> nn.ModuleDict:
    """Return new networks like a model's inference networks."""
    return nn.ModuleDict({"network": ToyModel(model.options).networks["network"]})


def test_networks_for_use_hold_the_average(run: tuple) -> None:
    options, model = run
    networks = networks_of(model)
    assert load_networks(networks, options.folder) == newest(options.folder)
    average = model.averages["network"].weights
    assert all(torch.equal(average[k], v) for k, v in networks["network"].state_dict().items())
    load_networks(networks, options.folder, average=False)
    own = model.networks["network"].state_dict()
    assert all(torch.equal(own[k], v) for k, v in networks["network"].state_dict().items())


def test_shipped_checkpoint_is_small_and_loads(run: tuple, tmp_path: Path) -> None:
    options, model = run
    before = {k: v.clone() for k, v in model.networks.state_dict().items()}
    export(options.folder, tmp_path / "shipped", options=ToyOptions)
    names = sorted(path.name for path in (tmp_path / "shipped").iterdir())
    assert names == ["model.safetensors", "options.json"]
    shipped = read_tensors(tmp_path / "shipped/model.safetensors")
    assert {t.dtype for t in shipped.values()} == {torch.float16}
    assert not any("adversary" in name or "module." in name for name in shipped)
    networks = networks_of(model)
    load_networks(networks, tmp_path / "shipped")
    for name, tensor in model.averages["network"].weights.items():
        torch.testing.assert_close(
            networks["network"].state_dict()[name], tensor, atol=1e-3, rtol=1e-3
        )
    assert all(torch.equal(before[k], v) for k, v in model.networks.state_dict().items())
    written = (tmp_path / "shipped/options.json").read_text()
    assert str(tmp_path) not in written  # nothing of the machine it was trained on
    assert ToyOptions.load(tmp_path / "shipped/options.json").width == options.width


@pytest.mark.parametrize("name", ["model.safetensors", "ema.safetensors", "training.pt"])
@pytest.mark.parametrize("wound", ["cut", "gone"])
def test_broken_checkpoint_is_one_line(run: tuple, name: str, wound: str) -> None:
    options, _ = run
    path = newest(options.folder) / name
    if wound == "cut":
        os.truncate(path, path.stat().st_size // 2)
    else:
        path.unlink()
    with pytest.raises(DataError) as error:
        train(options)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_state_without_its_entries_is_one_line(run: tuple) -> None:
    options, _ = run
    path = newest(options.folder) / "training.pt"
    save_state(path, {"step": 3})
    with pytest.raises(DataError, match="no entry 'epoch'"):
        load_checkpoint(ToyModel(options), path.parent)


def test_optimisers_of_another_model_are_named(run: tuple) -> None:
    options, _ = run
    other = ToyModel(options)
    del other.optimizers["adversary_toy"]
    with pytest.raises(DataError, match=r"optimisers adversary_toy, network; network are needed"):
        load_checkpoint(other, newest(options.folder))


def test_evaluating_leaves_no_trace(run: tuple) -> None:
    _, model = run
    model.networks["network"][1].eval()  # one part was not training
    own = {k: v.clone() for k, v in model.networks.state_dict().items()}
    with pytest.raises(RuntimeError), model.evaluating():
        assert not any(m.training for m in model.networks.modules())
        raise RuntimeError
    assert all(torch.equal(own[k], v) for k, v in model.networks.state_dict().items())
    assert torch.is_grad_enabled()
    assert not model.networks["network"][1].training and model.networks["network"][0].training


def test_extra_state_comes_back(tmp_path: Path) -> None:
    class Counting(ToyModel):
        counted = 0

        def extra_state(self) -> dict:
            return {"counted": self.counted, "t": torch.ones(2)}

        def load_extra_state(self, state: dict) -> None:
            self.counted = state["counted"] + int(state["t"].sum())

    options = toy_options(tmp_path)
    model = Counting(options)
    model.counted, model.step = 5, 12
    save_checkpoint(model, tmp_path, options=options, state={"best": 0.5})
    other = Counting(options)
    assert load_checkpoint(other, newest(tmp_path)) == {"best": 0.5}
    assert (other.counted, other.step, other.epoch) == (7, 12, -1)
