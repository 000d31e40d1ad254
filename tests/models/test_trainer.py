"""fit(): a run stopped anywhere and resumed equals one never stopped."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from speech2video.models.checkpointing import load_state, read_tensors
from speech2video.models.trainer import DivergedError, training_session
from speech2video.util.checkpoint_folder import best_checkpoint, newest_checkpoint
from speech2video.util.errors import DataError, OptionError
from speech2video.util.files import folder_lock
from tests.models.toy import BrokenDataset, ToyModel, toy_options, train

ROOT = Path(__file__).parents[2]
COMMON = "--dataset nowhere --device cpu --batch_size 4 --lr 0.01 --save_every 3 --validate_every 5"


def start(checkpoints: Path, *arguments: object, launcher: tuple = ()) -> subprocess.Popen:
    """Start the toy's command in a process of its own."""
    command = [sys.executable, *launcher, "-m", "tests.models.toy", *COMMON.split()]
    command += ["--checkpoints", str(checkpoints), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen) -> str:
    """Wait for a process that must succeed; return its standard error."""
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 0, errors
    return errors


def wait_for_checkpoint(folder: Path, process: subprocess.Popen) -> None:
    """Wait until a run has saved a checkpoint."""
    while newest_checkpoint(folder) is None:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


def assert_equal_weights(one: Path, other: Path) -> None:
    """Check that two checkpoints are equal bit for bit: weights, averages, optimizers."""
    for name in ("model.safetensors", "ema.safetensors"):
        first, second = read_tensors(one / name), read_tensors(other / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name
    first, second = (load_state(path / "training.pt")["optimizers"] for path in (one, other))
    assert_equal_nested(first, second)


def assert_equal_nested(one: object, other: object) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal_nested(one[key], other[key])
    elif isinstance(one, list | tuple):
        for a, b in zip(one, other, strict=True):
            assert_equal_nested(a, b)
    else:
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_killed_and_resumed_run_equals_straight_run(tmp_path: Path) -> None:
    killed = start(tmp_path, "--name", "killed", "--steps", 90, "--pause", 0.02, "--workers", 2)
    wait_for_checkpoint(tmp_path / "killed/toy", killed)
    time.sleep(random.uniform(0, 1))  # at an arbitrary step
    killed.kill()
    killed.wait()
    straight = toy_options(tmp_path, name="straight", steps=90, save_every=50)
    train(straight)
    resumed = toy_options(tmp_path, name="killed", steps=90)
    assert newest_checkpoint(resumed.folder).name < "step_00000090"
    train(resumed)
    assert_equal_weights(newest_checkpoint(straight.folder), newest_checkpoint(resumed.folder))


@pytest.mark.parametrize("precision", ["fp32", "autocast", "bf16"])
def test_resuming_at_any_step_changes_nothing(tmp_path: Path, precision: str) -> None:
    straight = toy_options(tmp_path, name="straight", precision=precision)
    train(straight)
    for steps in (1, 5, 10, 11, 30):  # 5: between two epochs
        parts = toy_options(tmp_path, name="parts", precision=precision, steps=steps)
        model = train(parts)
    assert model.step == 30
    assert_equal_weights(newest_checkpoint(straight.folder), newest_checkpoint(parts.folder))


def test_validating_saving_and_workers_change_nothing(tmp_path: Path) -> None:
    plain = toy_options(tmp_path, name="plain", validate_every=1000, save_every=1000)
    often = toy_options(tmp_path, name="often", validate_every=1, save_every=2, workers=2)
    train(plain)
    train(often)
    assert_equal_weights(newest_checkpoint(plain.folder), newest_checkpoint(often.folder))


def test_epochs_are_announced_once_and_again_to_a_resumed_model(tmp_path: Path) -> None:
    # 22 items in batches of 4: five steps an epoch
    assert train(toy_options(tmp_path, steps=15)).epochs == [0, 1, 2]
    assert train(toy_options(tmp_path, steps=16)).epochs == [2, 3]
    assert train(toy_options(tmp_path, epochs=4)).step == 20


def test_interrupt_of_all_processes_saves_and_exits(tmp_path: Path) -> None:
    process = start(tmp_path, "--name", "a", "--pause", 0.05, "--workers", 1)
    folder = tmp_path / "a/toy"
    wait_for_checkpoint(folder, process)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: workers get it too
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in errors
    last = errors.strip().splitlines()[-1]
    assert last.startswith("stopped by SIGINT after step "), errors
    assert newest_checkpoint(folder).name == f"step_{int(last.split()[5].rstrip(';')):08d}"


def test_termination_saves_and_restores_the_handlers(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    options = toy_options(tmp_path, terminated=12)
    with pytest.raises(SystemExit) as stop:
        train(options)
    assert stop.value.code == 143
    assert newest_checkpoint(options.folder).name == "step_00000013"
    assert signal.getsignal(signal.SIGTERM) is before


def test_nan_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    options = toy_options(tmp_path, nan_step=15)
    with pytest.raises(DivergedError, match=r"squared is nan.*step_00000014 is the last good"):
        train(options)
    assert all(
        t.isfinite().all()
        for t in read_tensors(newest_checkpoint(options.folder) / "ema.safetensors").values()
    )


def test_patience_stops_and_the_best_is_kept(tmp_path: Path) -> None:
    options = toy_options(
        tmp_path, lr=1.0, steps=400, keep=1, best_metric="error", patience=3, validate_every=4
    )
    model = train(options)
    assert model.step < 400
    best, last = best_checkpoint(options.folder), newest_checkpoint(options.folder)
    errors = dict(
        json.loads((options.folder / "log.json").read_text())["curves"]["validation/error"]
    )
    assert errors[int(best.name[5:])] == min(errors.values())
    assert int(last.name[5:]) == model.step == int(best.name[5:]) + 3 * 4
    assert len(list(options.folder.glob("step_*"))) == 2
    assert train(options).step == model.step  # patience was exhausted already


def test_last_validation_marks_a_checkpoint_saved_before_it(tmp_path: Path) -> None:
    options = toy_options(tmp_path, steps=6, save_every=6, validate_every=4, best_metric="error")
    train(options)
    assert best_checkpoint(options.folder) == options.folder / "step_00000006"


@pytest.mark.parametrize("rates", [{}, {"lr": 0.002}, {"lr_d": 0.003}, {"lr": 0.1, "lr_d": 0.2}])
def test_a_resumed_run_has_the_learning_rates_of_a_new_run(tmp_path: Path, rates: dict) -> None:
    def learning_rates(model: ToyModel) -> dict[str, list[float]]:
        return {k: [g["lr"] for g in one.param_groups] for k, one in model.optimizers.items()}

    train(toy_options(tmp_path, name="resumed", steps=3))
    resumed = train(toy_options(tmp_path, name="resumed", steps=12, **rates))
    new = train(toy_options(tmp_path, name="new", steps=12, **rates))
    assert learning_rates(resumed) == learning_rates(new)
    (lr,), (lr_d,) = learning_rates(new).values()
    expected = rates.get("lr", 0.01) * 0.9**2, rates.get("lr_d", 0.01)
    assert (lr, lr_d) == pytest.approx(expected)


def test_second_run_of_a_name_ends_at_once(tmp_path: Path) -> None:
    options = toy_options(tmp_path)
    with (
        folder_lock(options.folder),
        pytest.raises(DataError, match="writes to it"),
        training_session(options),
    ):
        pass


def test_unknown_best_metric_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="validation has error"):
        train(toy_options(tmp_path, best_metric="ssim"))


@pytest.mark.parametrize("workers", [0, 1])
def test_broken_data_is_one_line(tmp_path: Path, workers: int) -> None:
    with pytest.raises(DataError) as error:
        train(toy_options(tmp_path, workers=workers), BrokenDataset())
    assert str(error.value) == "clip_7/pose.npz: broken"


def test_hours_are_a_limit(tmp_path: Path) -> None:
    assert train(toy_options(tmp_path, steps=None, hours=0.0)).step == 0


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Half the batch each, gradients averaged: the weights of one process with all of it."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    plain = ("--dropout", 0, "--steps", 12)
    finish(start(tmp_path, "--name", "two", *plain, launcher=launcher))
    train(toy_options(tmp_path, name="one", dropout=0.0, steps=12))
    one, two = (
        read_tensors(newest_checkpoint(tmp_path / n / "toy") / "model.safetensors")
        for n in ("one", "two")
    )
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-6, rtol=0)


def test_training_learns(tmp_path: Path) -> None:
    options = toy_options(tmp_path, steps=120, dropout=0.0, ema=0.9, lr=0.02, save_every=1000)
    train(options)
    errors = json.loads((options.folder / "log.json").read_text())["curves"]["validation/error"]
    assert errors[-1][1] < 0.05 < errors[0][1]


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    train(toy_options(tmp_path, steps=3))
    with pytest.raises(OptionError, match=r"--width 9: .* was trained with 8"):
        train(toy_options(tmp_path, width=9))
