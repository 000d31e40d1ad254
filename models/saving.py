"""Models to and from checkpoints: for going on, for use, for shipping.

checkpoints/NAME/KIND/step_00001000/
    options.json          what the run was asked for; its architecture
    model.safetensors     networks' weights, "network.parameter"
    ema.safetensors       averaged weights of the networks that have an average, in 32 bits
    training.pt           optimisers, counters: plain tensors and numbers, no pickled classes
A shipped checkpoint is options.json and model.safetensors (averaged, 16-bit, no adversaries).
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from speech2video.models.base_model import ADVERSARY, BaseModel
from speech2video.options.base_options import Options
from speech2video.options.training_options import TrainingOptions
from speech2video.util.checkpoint import (
    fill,
    load_state,
    load_weights,
    read_tensors,
    rounded,
    save_state,
    save_weights,
    write_tensors,
)
from speech2video.util.checkpoint_folder import (
    OPTIONS,
    WEIGHTS,
    for_use,
    prune,
    set_best,
    step_folder,
    writing,
)
from speech2video.util.errors import DataError

AVERAGES, TRAINING = "ema.safetensors", "training.pt"


def save_checkpoint(
    model: BaseModel,
    folder: Path,
    *,
    options: Options,
    state: dict[str, Any],
    keep: int = 2,
    best: bool = False,
) -> Path:
    """Write folder/step_N as a whole, then remove all but the `keep` newest and the best.

    Args:
        state: what else is to be resumed: plain numbers and tensors.
        best: whether this checkpoint is the best so far.
    """
    with writing(folder, model.step) as partial:
        options.save(partial / OPTIONS)
        save_weights(partial / WEIGHTS, model.networks, metadata={"step": str(model.step)})
        if model.averages:
            write_tensors(partial / AVERAGES, _averages(model))
        save_state(partial / TRAINING, _training_state(model, state))
    if best:
        set_best(folder, model.step)
    prune(folder, keep=keep)
    return step_folder(folder, model.step)


def load_checkpoint(model: BaseModel, checkpoint: Path) -> dict[str, Any]:
    """Bring a newly made model to where a checkpoint was; return `save_checkpoint`'s `state`.

    Raises:
        DataError: a file is missing, broken, of another version or of another network.
    """
    path = checkpoint / TRAINING
    training = load_state(path)
    try:
        model.epoch, model.step = training["epoch"], training["step"]
        if model.epoch >= 0:
            model.on_epoch(model.epoch)
        model.load_extra_state(training["extra"])
        load_weights(checkpoint / WEIGHTS, model.networks)
        _load_named(path, "optimisers", model.optimizers, training["optimizers"])
        if model.averages:
            fill(checkpoint / AVERAGES, _averages(model), read_tensors(checkpoint / AVERAGES))
        _check_names(path, "averages", model.averages, training["averages"])
        for name, average in model.averages.items():
            average.updates = training["averages"][name]
        return training["state"]
    except KeyError as error:
        raise DataError(f"{path}: no entry {error}; not a training state") from None


def load_networks(
    networks: nn.ModuleDict, folder: Path, *, best: bool = True, average: bool = True
) -> Path:
    """Fill networks from a run's folder or a shipped checkpoint, for use; return where from.

    Args:
        networks: those wanted, by the names they were trained under; others are left on disk.
            What is on the meta device takes the weights that are read for its own.
        folder: the run's folder, one of its step_N, or a shipped checkpoint.
        best: of a run, the checkpoint marked best where there is one, else the newest.
        average: averaged weights, where the checkpoint has them.

    Raises:
        DataError: no checkpoint there, broken, of another version or of other networks.
    """
    checkpoint = for_use(folder, best=best)
    tensors = read_tensors(checkpoint / WEIGHTS)
    if average and (checkpoint / AVERAGES).is_file():
        tensors |= read_tensors(checkpoint / AVERAGES)
    wanted = {k: v for k, v in tensors.items() if k.split(".")[0] in networks}
    state = networks.state_dict()
    fill(checkpoint / WEIGHTS, state, wanted)
    if any(tensor.is_meta for tensor in state.values()):
        given = {name: wanted[name].to(tensor.dtype) for name, tensor in state.items()}
        networks.load_state_dict(given, assign=True)
    return checkpoint


def export(
    run: Path,
    folder: Path,
    *,
    options: type[TrainingOptions],
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Write a checkpoint to ship from a run's: averaged where it is, 16 bits, no adversaries.

    What `options.TRAINING_ONLY` names (teachers, say) stays behind as well.

    Args:
        run: the run's folder, or one of its step_N.
        folder: to write options.json and model.safetensors into.
        options: the class of the run's options.

    Returns:
        The checkpoint that was taken.

    Raises:
        DataError: no checkpoint there, a weight too large for `dtype`, or an unwritable folder.
    """
    checkpoint = for_use(run)
    tensors = read_tensors(checkpoint / WEIGHTS)
    if (checkpoint / AVERAGES).is_file():
        tensors |= read_tensors(checkpoint / AVERAGES)
    left = (ADVERSARY, *(f"{name}." for name in options.TRAINING_ONLY))
    networks = {k: v for k, v in tensors.items() if not k.startswith(left)}
    saved = options.load(checkpoint / OPTIONS)
    write_tensors(
        folder / WEIGHTS, {k: rounded(folder / WEIGHTS, k, v, dtype) for k, v in networks.items()}
    )
    saved.for_shipping().save(folder / OPTIONS)
    return checkpoint


def check_finite(model: BaseModel) -> str:
    """Return the name of the first weights that hold NaN or infinity, "" where none do."""
    for name, tensor in model.networks.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            return name
    return ""


def _averages(model: BaseModel) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": tensor
        for name, average in model.averages.items()
        for key, tensor in average.weights.items()
    }


def _training_state(model: BaseModel, state: dict[str, Any]) -> dict[str, Any]:
    return {
        "step": model.step,
        "epoch": model.epoch,
        "optimizers": {name: one.state_dict() for name, one in model.optimizers.items()},
        "averages": {name: average.updates for name, average in model.averages.items()},
        "extra": model.extra_state(),
        "state": state,
    }


def _load_named(path: Path, what: str, items: dict[str, Any], states: dict[str, Any]) -> None:
    _check_names(path, what, items, states)
    for name, item in items.items():
        try:
            item.load_state_dict(states[name])
        except (ValueError, RuntimeError) as error:
            raise DataError(f"{path}: the optimiser {name} does not fit ({error})") from None


def _check_names(path: Path, what: str, needed: dict[str, Any], found: dict[str, Any]) -> None:
    if set(needed) != set(found):
        seen, wanted = (", ".join(sorted(names)) or "none" for names in (found, needed))
        raise DataError(f"{path}: it holds the {what} {seen}; {wanted} are needed")
