"""Checkpoints: saving, resuming, loading for inference, exporting. Reading one never runs code.

checkpoints/NAME/KIND/step_00001000/
    options.json          options of the run; its architecture
    model.safetensors     networks' weights, "network.parameter"
    ema.safetensors       averaged weights of the networks that have an average, in 32 bits
    training.pt           optimizers and counters: plain tensors and numbers, no pickled classes
A shipped checkpoint is options.json and model.safetensors (averaged, 16-bit, no discriminators).
"""

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from speech2video.models.base_model import DISCRIMINATOR_PREFIX, BaseModel
from speech2video.options.base import Options
from speech2video.options.training import TrainingOptions
from speech2video.util import checkpoint_folder
from speech2video.util.checkpoint_folder import OPTIONS_FILE, WEIGHTS_FILE, resolve_checkpoint
from speech2video.util.errors import DataError, UserError
from speech2video.util.files import atomic_write, write_errors

EMA_FILE, TRAINING_STATE_FILE = "ema.safetensors", "training.pt"
CHECKPOINT_VERSION = 1
_VERSION = "checkpoint_version"
_TRAINING_TYPES = {"epoch": int, "step": int, "optimizers": dict, "averages": dict, "state": dict}
HASH_DIGITS = 12  # enough to identify a checkpoint
_MAX_NAMES = 3  # listed of the weights that do not fit


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
        state: further state to resume: plain numbers and tensors.
        best: whether this checkpoint is the best so far.
    """
    with checkpoint_folder.new_checkpoint(folder, model.step) as partial:
        options.save(partial / OPTIONS_FILE)
        save_weights(partial / WEIGHTS_FILE, model.networks)
        if model.averages:
            write_tensors(partial / EMA_FILE, _averages(model))
        training = {
            "step": model.step,
            "epoch": model.epoch,
            "optimizers": {name: one.state_dict() for name, one in model.optimizers.items()},
            "averages": {name: average.updates for name, average in model.averages.items()},
            "state": state,
        }
        save_state(partial / TRAINING_STATE_FILE, training)
    if best:
        checkpoint_folder.mark_best(folder, model.step)
    checkpoint_folder.prune_checkpoints(folder, keep=keep)
    return checkpoint_folder.step_folder(folder, model.step)


def load_checkpoint(model: BaseModel, checkpoint: Path) -> dict[str, Any]:
    """Restore a new model to the state of a checkpoint; return `save_checkpoint`'s `state`.

    Raises:
        DataError: a file is missing, broken, of another version or of another network.
    """
    path = checkpoint / TRAINING_STATE_FILE
    training = load_state(path)
    try:
        for name, kind in _TRAINING_TYPES.items():
            if not isinstance(training[name], kind):
                raise DataError(f"{path}: {name} is {training[name]!r:.60}; not a training state")
        model.epoch, model.step = training["epoch"], training["step"]
        if model.epoch >= 0:
            model.on_epoch(model.epoch)
        load_weights(checkpoint / WEIGHTS_FILE, model.networks)
        _check_names(path, "optimizers", model.optimizers, training["optimizers"])
        for name, optimizer in model.optimizers.items():
            try:
                optimizer.load_state_dict(training["optimizers"][name])
            except Exception as error:  # torch raises anything on another structure
                raise DataError(f"{path}: the optimizer {name} does not fit ({error})") from None
        if model.averages:
            ema = checkpoint / EMA_FILE
            copy_tensors(ema, _averages(model), read_tensors(ema))
        _check_names(path, "averages", model.averages, training["averages"])
        for name, average in model.averages.items():
            average.updates = training["averages"][name]
        return training["state"]
    except KeyError as error:
        raise DataError(f"{path}: no entry {error}; not a training state") from None


def check_checkpoint(checkpoint: Path, options: type[TrainingOptions]) -> None:
    """Raise `UserError` if a file of a run's checkpoint cannot be read."""
    saved = options.load(checkpoint / OPTIONS_FILE)
    training = load_state(checkpoint / TRAINING_STATE_FILE)
    if missing := [name for name in _TRAINING_TYPES if name not in training]:
        raise DataError(f"{checkpoint / TRAINING_STATE_FILE}: no entry {missing[0]!r}")
    for file in (WEIGHTS_FILE, EMA_FILE) if saved.ema else (WEIGHTS_FILE,):
        read_tensors(checkpoint / file)


def last_good_checkpoint(folder: Path, options: type[TrainingOptions]) -> Path | None:
    """Return the newest checkpoint of a run that can be read, None where there is none."""
    for checkpoint in checkpoint_folder.list_checkpoints(folder):
        with contextlib.suppress(UserError):
            check_checkpoint(checkpoint, options)
            return checkpoint
    return None


def load_networks(networks: nn.ModuleDict, folder: Path) -> Path:
    """Load networks for inference from a run's folder or a shipped checkpoint.

    Args:
        networks: the networks to fill, by the names they were trained under; others are not read.
            A network on the meta device takes over the tensors that are read.
        folder: the run's folder, one of its step_N, or a shipped checkpoint.

    Returns:
        The checkpoint that was read.

    Raises:
        DataError: no checkpoint there, broken, of another version, of other networks, or with
            weights that are NaN or infinite.
    """
    checkpoint = resolve_checkpoint(folder)
    tensors = _read_weights(checkpoint)
    found = {k: v for k, v in tensors.items() if k.split(".")[0] in networks}
    if bad := next((name for name, tensor in found.items() if not tensor.isfinite().all()), ""):
        wrong = f"the weights {bad} are NaN or infinite"
        raise DataError(f"{checkpoint}: {wrong}; another checkpoint is needed")
    state = networks.state_dict()
    copy_tensors(checkpoint / WEIGHTS_FILE, state, found)
    if any(tensor.is_meta for tensor in state.values()):
        given = {name: found[name].to(tensor.dtype) for name, tensor in state.items()}
        networks.load_state_dict(given, assign=True)
    return checkpoint


def export_checkpoint(run: Path, folder: Path, *, options: type[TrainingOptions]) -> Path:
    """Write a checkpoint to ship: averaged weights in 16 bits, no discriminators.

    Networks that `options.TRAINING_ONLY` names (teachers) are left out as well.

    Args:
        run: the run's folder, or one of its step_N.
        folder: for options.json and model.safetensors.
        options: the class of the run's options.

    Returns:
        The run's checkpoint that was exported.

    Raises:
        DataError: no checkpoint there, a weight too large for 16 bits, or an unwritable folder.
    """
    checkpoint = resolve_checkpoint(run)
    left_out = (DISCRIMINATOR_PREFIX, *(f"{name}." for name in options.TRAINING_ONLY))
    saved = options.load(checkpoint / OPTIONS_FILE)
    path = folder / WEIGHTS_FILE
    tensors = {
        name: _to_half(path, name, tensor)
        for name, tensor in _read_weights(checkpoint).items()
        if not name.startswith(left_out)
    }
    write_tensors(path, tensors)
    saved.for_shipping().save(folder / OPTIONS_FILE)
    return checkpoint


def weights_id(folder: Path) -> str:
    """Return the step, if any, and the hash of the weights that a checkpoint's folder holds."""
    checkpoint = resolve_checkpoint(folder)
    step = f"{checkpoint.name} " if checkpoint != folder else ""
    return step + files_id(sorted(checkpoint.glob("*.safetensors")))


def files_id(paths: Iterable[Path]) -> str:
    """Return the first digits of the SHA-256 of some files' bytes."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:HASH_DIGITS]


def find_nonfinite(model: BaseModel) -> str:
    """Return the name of the first weights with NaN or infinity, "" where all are finite."""
    weights = model.networks.state_dict().items()
    return next((name for name, tensor in weights if not tensor.isfinite().all()), "")


def save_weights(path: Path, module: nn.Module) -> None:
    """Write a module's parameters and buffers as safetensors; raises `DataError` on failure."""
    write_tensors(path, module.state_dict())


def load_weights(path: Path, module: nn.Module) -> None:
    """Load all weights of a module from a file, in the module's own types.

    Raises:
        DataError: unreadable, another version, or not exactly this module's names and shapes.
    """
    copy_tensors(path, module.state_dict(), read_tensors(path))


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as safetensors; raises `DataError` on failure."""
    plain = {  # copies: neither views, nor one memory under two names, nor channels-last
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    with atomic_write(path) as partial, write_errors(path, SafetensorError):
        save_file(plain, partial, metadata={_VERSION: str(CHECKPOINT_VERSION)})


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return a safetensors file's tensors by name, on the CPU.

    Raises:
        DataError: missing, broken, not written by this project, or of another version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            _check_version(path, (file.metadata() or {}).get(_VERSION))
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: not a readable safetensors file ({error})") from None


@torch.no_grad()
def copy_tensors(path: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Copy found tensors into the wanted ones, all or none.

    Args:
        path: the file that error messages name.

    Raises:
        DataError: names or shapes differ.
    """
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    shapes = [
        f"{name} {tuple(found[name].shape)} where {tuple(tensor.shape)} is needed"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    wrong = []
    for what, names in (("lacks", missing), ("has also", unexpected), ("has", shapes)):
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        wrong += [f"{what} {', '.join(names[:_MAX_NAMES])}{more}"] if names else []
    if wrong:
        raise DataError(f"{path}: weights of another network: " + "; ".join(wrong))
    for name, tensor in wanted.items():
        tensor.copy_(found[name])


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write training state: numbers, strings, lists, dicts and tensors only."""
    # through a stream of Python's, whose errors say why, unlike those of torch
    with (
        atomic_write(path) as partial,
        write_errors(path, RuntimeError),
        partial.open("wb") as stream,
    ):
        torch.save({_VERSION: CHECKPOINT_VERSION, **state}, stream)


def load_state(path: Path) -> dict[str, Any]:
    """Return training state, its tensors on the CPU.

    Raises:
        DataError: missing, broken, of another version, or not plain data.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except Exception:  # unpicklers raise anything on damaged data
        raise DataError(f"{path}: not a readable training state of plain data") from None
    _check_version(path, state.get(_VERSION) if isinstance(state, dict) else None)
    return state


def _read_weights(checkpoint: Path) -> dict[str, Tensor]:
    """Return a checkpoint's weights, averaged where it has averages."""
    tensors = read_tensors(checkpoint / WEIGHTS_FILE)
    if (checkpoint / EMA_FILE).is_file():
        tensors |= read_tensors(checkpoint / EMA_FILE)
    return tensors


def _to_half(path: Path, name: str, tensor: Tensor) -> Tensor:
    """Return floating-point weights in 16 bits; raises `DataError` where a value overflows."""
    if not tensor.is_floating_point():
        return tensor
    largest = float(tensor.abs().max()) if tensor.numel() else 0.0
    if not largest <= torch.finfo(torch.float16).max:
        raise DataError(f"{path}: {name} reaches {largest:.3g}, which 16 bits cannot hold")
    return tensor.half()


def _averages(model: BaseModel) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": tensor
        for name, average in model.averages.items()
        for key, tensor in average.weights.items()
    }


def _check_names(path: Path, what: str, needed: dict[str, Any], found: dict[str, Any]) -> None:
    if set(needed) != set(found):
        seen, wanted = (", ".join(sorted(names)) or "none" for names in (found, needed))
        raise DataError(f"{path}: it holds the {what} {seen}; {wanted} are needed")


def _check_version(path: Path, found: object) -> None:
    if found is None:
        raise DataError(f"{path}: not a checkpoint of this project (no {_VERSION} in it)")
    if str(found) != str(CHECKPOINT_VERSION):
        needed = f"version {CHECKPOINT_VERSION} is needed"
        raise DataError(f"{path}: checkpoint of version {found}; {needed}")
