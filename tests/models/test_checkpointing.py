"""Checkpoints: resuming, inference, shipping, broken files."""

import os
import pickle
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from speech2video.models.checkpointing import (
    export_checkpoint,
    load_checkpoint,
    load_networks,
    load_state,
    load_weights,
    read_tensors,
    save_checkpoint,
    save_state,
    save_weights,
    write_tensors,
)
from speech2video.models.trainer import training_session
from speech2video.util.checkpoint_folder import list_checkpoints, newest_checkpoint
from speech2video.util.errors import DataError, UserError
from tests.models.toy import ToyModel, ToyOptions, toy_options, train


@pytest.fixture
def run(tmp_path: Path) -> tuple[ToyOptions, ToyModel]:
    options = toy_options(tmp_path, steps=8)  # checkpoints after 7 and 8
    return options, train(options)


def networks_of(model: ToyModel) -> nn.ModuleDict:
    """Return new networks of the architecture of a model's inference networks."""
    return nn.ModuleDict({"network": ToyModel(model.options).networks["network"]})


def test_networks_for_inference_hold_the_average(run: tuple) -> None:
    options, model = run
    networks = networks_of(model)
    assert load_networks(networks, options.folder) == newest_checkpoint(options.folder)
    average = model.averages["network"].weights
    assert all(torch.equal(average[k], v) for k, v in networks["network"].state_dict().items())


def test_shipped_checkpoint_is_small_and_loads(run: tuple, tmp_path: Path) -> None:
    options, model = run
    before = {k: v.clone() for k, v in model.networks.state_dict().items()}
    export_checkpoint(options.folder, tmp_path / "shipped", options=ToyOptions)
    names = sorted(path.name for path in (tmp_path / "shipped").iterdir())
    assert names == ["model.safetensors", "options.json"]
    shipped = read_tensors(tmp_path / "shipped/model.safetensors")
    assert {t.dtype for t in shipped.values()} == {torch.float16}
    assert not any("discriminator" in name or "module." in name for name in shipped)
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
    path = newest_checkpoint(options.folder) / name
    if wound == "cut":
        os.truncate(path, path.stat().st_size // 2)
    else:
        path.unlink()
    with pytest.raises(DataError) as error:
        train(options)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_state_without_its_entries_is_one_line(run: tuple) -> None:
    options, _ = run
    path = newest_checkpoint(options.folder) / "training.pt"
    save_state(path, {"step": 3})
    with pytest.raises(DataError, match="no entry 'epoch'"):
        load_checkpoint(ToyModel(options), path.parent)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": [1]},
        {"optimizers": None},
        {"step": "3"},
        {"state": {}},
        {"optimizers": {"network": {"state": 3}, "discriminator_toy": []}},
    ],
)
def test_state_of_other_types_is_one_line(run: tuple, changes: dict) -> None:
    options, _ = run
    path = newest_checkpoint(options.folder) / "training.pt"
    state = load_state(path)
    save_state(path, {k: v for k, v in state.items() if k != "checkpoint_version"} | changes)
    with pytest.raises(DataError, match=r"step_.*(training state|does not fit|no entry)"):
        train(options)


@pytest.mark.parametrize("name", ["options.json", "model.safetensors", "training.pt"])
def test_damaged_checkpoint_names_the_one_to_go_back_to(
    run: tuple, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options, _ = run
    newest, older = list_checkpoints(options.folder)[:2]
    os.truncate(newest / name, (newest / name).stat().st_size // 2)
    with pytest.raises(UserError, match=f"--resume last_good goes back to {older}"):
        type(options)._load_past(options.folder, go_back=False)
        train(options)
    past = type(options)._load_past(options.folder, go_back=True)
    with training_session(replace(past, resume="last_good")):
        pass
    assert "damaged; set aside" in capsys.readouterr().err
    assert newest_checkpoint(options.folder) == older
    assert (options.folder / f"damaged_{newest.name}" / name).is_file()
    train(replace(past, resume="last_good"))
    assert newest_checkpoint(options.folder) == newest


def test_nan_weights_are_refused(run: tuple) -> None:
    options, _ = run
    path = newest_checkpoint(options.folder)
    tensors = read_tensors(path / "ema.safetensors")
    next(iter(tensors.values())).flatten()[0] = torch.nan
    write_tensors(path / "ema.safetensors", tensors)
    with pytest.raises(DataError, match="NaN or infinite"):
        load_networks(ToyModel(options).networks, path)


@pytest.mark.skipif(os.name != "posix", reason="a limit of a file's size is POSIX'")
@pytest.mark.parametrize("size", [0, 1000, 3000])
def test_full_disk_names_the_checkpoint_that_is_kept(run: tuple, size: int) -> None:
    import resource  # not on Windows

    options, model = run
    kept, model.step = newest_checkpoint(options.folder), 99
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(DataError) as error:
            save_checkpoint(model, options.folder, options=options, state={})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "step_00000099: not saved (" in str(error.value)
    assert f"{kept} is the last good one, and kept" in str(error.value)
    assert "enforce" not in str(error.value) and len(str(error.value).splitlines()) == 1
    assert newest_checkpoint(options.folder) == kept


def test_optimizers_of_another_model_are_named(run: tuple) -> None:
    options, _ = run
    other = ToyModel(options)
    del other.optimizers["discriminator_toy"]
    with pytest.raises(DataError, match="discriminator_toy, network; network are needed"):
        load_checkpoint(other, newest_checkpoint(options.folder))


def test_evaluating_leaves_no_trace(run: tuple) -> None:
    _, model = run
    model.networks["network"][1].eval()
    own = {k: v.clone() for k, v in model.networks.state_dict().items()}
    with pytest.raises(RuntimeError), model.evaluating():
        assert not any(m.training for m in model.networks.modules())
        raise RuntimeError
    assert all(torch.equal(own[k], v) for k, v in model.networks.state_dict().items())
    assert torch.is_grad_enabled()
    assert not model.networks["network"][1].training and model.networks["network"][0].training


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


def test_export_refuses_what_16_bits_cannot_hold(run: tuple, tmp_path: Path) -> None:
    options, model = run
    model.averages["network"].weights["0.weight"][0, 0] = 1e5
    model.step += 1
    save_checkpoint(model, options.folder, options=options, state={})
    with pytest.raises(DataError, match=r"0\.weight reaches 1e\+05"):
        export_checkpoint(options.folder, tmp_path / "shipped", options=ToyOptions)


def test_other_weights_are_named_and_nothing_is_loaded(tmp_path: Path) -> None:
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
    ("write", "message"),
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
    tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "w.safetensors"
    write(path)
    with pytest.raises(DataError, match=message) as error:
        read_tensors(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_state_round_trip(tmp_path: Path) -> None:
    state = {"step": 3, "nested": {"a": [1.5, None, True]}, "t": torch.arange(3).bfloat16()}
    save_state(tmp_path / "s", state)
    loaded = load_state(tmp_path / "s")
    assert loaded["nested"] == state["nested"] and torch.equal(loaded["t"], state["t"])


class Payload:
    """A pickle that runs code."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize(
    ("write", "message"),
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "training.pt"
    write(path)
    with pytest.raises(DataError, match=message):
        load_state(path)
    assert not (tmp_path / "ran").exists()
