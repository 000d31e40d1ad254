"""torchrun: joining processes, DistributedDataParallel, values shared between processes.

Without torchrun every function works for the single process. NCCL transfers tensors on GPUs and
gloo those on the CPU.
"""

import contextlib
import datetime
import inspect
import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from speech2video.util.errors import OptionError

TIMEOUT = datetime.timedelta(hours=2)  # the others wait while the main process validates
_ENVIRONMENT = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")

Value = TypeVar("Value")


def is_launched() -> bool:
    """Return whether torchrun started this process."""
    return all(name in os.environ for name in _ENVIRONMENT)


def start(device: str = "auto", *, threads: int | None = None) -> torch.device:
    """Join torchrun's other processes, if there are any; return this one's device.

    `device` is "auto" (a GPU where there is one), "cpu" or "cuda". torch uses `threads` processor
    cores, by default all. Raises `OptionError` for "cuda" without a GPU for each process of this
    machine.
    """
    chosen = _device(device)
    if threads is not None:
        torch.set_num_threads(threads)
    if is_launched() and not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=TIMEOUT)
    return chosen


def stop() -> None:
    """Leave the other processes; may be called without `start`."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted != "cuda":
        return torch.device(wanted)
    local = int(os.environ["LOCAL_RANK"]) if is_launched() else 0
    count = torch.cuda.device_count()
    if local >= count:
        raise OptionError(f"--device cuda: GPU number {local} is needed, this machine has {count}")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def rank() -> int:
    """Return this process's number; 0 is the main process."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Return whether this is the main process, which prints and writes."""
    return rank() == 0


def barrier() -> None:
    """Wait until every process is here."""
    if world_size() > 1:
        dist.barrier()


def wrap(network: nn.Module, *, unused_parameters: bool = False) -> nn.Module:
    """Return a network in DistributedDataParallel: its gradients are means over the processes.

    Every process must call it, for the same networks in the same order. A network without
    trainable parameters, and any network of a single process, is returned as it is. The network's
    own `state_dict` stays free of the wrapper's names. `unused_parameters`: whether a step may
    leave parameters without a gradient.
    """
    if world_size() == 1 or not any(p.requires_grad for p in network.parameters()):
        return network
    # broadcasting buffers at each forward pass would break several passes before one backward
    parameters = inspect.signature(DistributedDataParallel).parameters
    new_name, old_name = "forward_sync_buffers", "broadcast_buffers"  # older torch has the old
    buffers: dict[str, Any] = {new_name if new_name in parameters else old_name: False}
    return DistributedDataParallel(network, find_unused_parameters=unused_parameters, **buffers)


def mean_over_ranks(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return each metric's mean over the processes, which must have the same names."""
    if world_size() == 1 or not metrics:
        return dict(metrics)
    names = sorted(metrics)
    values = torch.tensor([metrics[name] for name in names], dtype=torch.float64)
    dist.all_reduce(values)
    means = dict(zip(names, (values / world_size()).tolist(), strict=True))
    return {name: means[name] for name in metrics}


def largest(value: int) -> int:
    """Return the largest of the processes' values."""
    if world_size() == 1:
        return value
    found = torch.tensor(value, dtype=torch.int64)
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return int(found)


def from_main(value: Value) -> Value:
    """Return the main process's value."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


@contextlib.contextmanager
def main_process_first() -> Iterator[None]:
    """Run the context in the main process alone, then in the others (to fill a cache once)."""
    if not is_main():
        barrier()
    try:
        yield
    finally:
        if is_main():
            barrier()
