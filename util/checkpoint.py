"""Weights and training state on disk; nothing that is read can run code.

Weights are safetensors with a version in their metadata; training state is `torch.save` of plain
numbers, strings, containers and tensors, read with `weights_only=True`.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from speech2video.util.errors import DataError
from speech2video.util.files import replacing, writing

CHECKPOINT_VERSION = 1
_VERSION = "checkpoint_version"
_NAMED = 3  # so many names are listed of what does not fit


def save_weights(
    path: Path,
    module: nn.Module,
    *,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a module's parameters and buffers as safetensors.

    Args:
        dtype: what floating-point weights are rounded to (torch.float16 to ship); None: as they
            are.
        metadata: what else the file's head should say.

    Raises:
        DataError: a weight is too large for `dtype`, or the file cannot be written.
    """
    if isinstance(module, DistributedDataParallel):
        module = module.module  # its wrapper's name must not end up in the file
    tensors = {name: rounded(path, name, t, dtype) for name, t in module.state_dict().items()}
    write_tensors(path, tensors, metadata=metadata)


def load_weights(path: Path, module: nn.Module) -> None:
    """Fill a module with the weights of a file, all of them, in the module's own types.

    Raises:
        DataError: unreadable, another version, or not exactly this module's names and shapes.
    """
    fill(path, module.state_dict(), read_tensors(path))


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors as safetensors; raises `DataError` where that is not possible."""
    head = {_VERSION: str(CHECKPOINT_VERSION)} | dict(metadata or {})
    plain = {  # copies: neither views, nor one memory under two names, nor channels-last
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    with replacing(path) as partial, writing(path, SafetensorError):
        save_file(plain, partial, metadata=head)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return a file's tensors by name, on the CPU.

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
def fill(path: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Copy found tensors into the wanted ones, all or none.

    Raises:
        DataError: names or shapes differ; `path` is what the message names.
    """
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    shapes = [
        f"{name} {tuple(found[name].shape)} where {tuple(tensor.shape)} is needed"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    wrong = [
        f"{what} {_listed(names)}"
        for what, names in (("lacks", missing), ("has also", unexpected), ("has", shapes))
        if names
    ]
    if wrong:
        raise DataError(f"{path}: weights of another network: " + "; ".join(wrong))
    for name, tensor in wanted.items():
        tensor.copy_(found[name])


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write training state: numbers, strings, lists, dicts and tensors, nothing else."""
    with replacing(path) as partial, writing(path, RuntimeError):
        torch.save({_VERSION: CHECKPOINT_VERSION, **state}, partial)


def load_state(path: Path) -> dict[str, Any]:
    """Return training state, its tensors on the CPU.

    Raises:
        DataError: missing, broken, of another version, or with anything but plain data in it.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
        raise DataError(f"{path}: not a readable training state of plain data") from None
    _check_version(path, state.get(_VERSION) if isinstance(state, dict) else None)
    return state


def _check_version(path: Path, found: object) -> None:
    if found is None:
        raise DataError(f"{path}: not a checkpoint of this project (no {_VERSION} in it)")
    if str(found) != str(CHECKPOINT_VERSION):
        raise DataError(
            f"{path}: checkpoint of version {found}; version {CHECKPOINT_VERSION} is needed"
        )


def rounded(path: Path, name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Return a tensor in a floating-point type; raises `DataError` where it cannot hold it."""
    if dtype is None or not tensor.is_floating_point():
        return tensor
    largest = float(tensor.abs().max()) if tensor.numel() else 0.0
    if not largest <= torch.finfo(dtype).max:
        raise DataError(f"{path}: {name} reaches {largest:.3g}, which {dtype} cannot hold")
    return tensor.to(dtype)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
