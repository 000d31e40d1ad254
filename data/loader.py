"""Training batches whose order and randomness follow from (seed, step) alone, so that runs resume.

class Windows(torch.utils.data.Dataset):
    def __getitem__(self, item: SampleIndex):
        noise = item.rng().normal(size=...)     # the same in every worker, at every time
        return {"x": self.windows[item.index] + noise}

Batches go on for ever; an epoch is a number of steps, without a pause. Settings that change with
the epoch (such as longer sequences) can depend on `item.epoch`.
"""

import gc
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from speech2video.util import distributed
from speech2video.util.errors import DataError, OptionError, UserError


@dataclass(frozen=True, order=True)
class SampleIndex:
    """Index of a sample in a dataset, with the seed of its augmentation."""

    index: int
    seed: int
    epoch: int = 0

    def rng(self) -> np.random.Generator:
        """Return a new generator; equal samples have equal generators."""
        return np.random.default_rng(self.seed)


class ResumableSampler(Sampler[list[SampleIndex]]):
    """Batches of samples from any step on: in each epoch a permutation, cut into batches.

    The last samples of an epoch that fill no batch are left out (different ones each time). With
    fewer samples than a batch takes, samples come up more than once in it, with different seeds.

    Args:
        length: samples of the dataset.
        batch_size: samples of a step, over all processes together.
        seed: of the order and of the samples.
        rank, world_size: this process and the number of processes; together their parts of a step
            are the batch that a single process would have.

    Raises:
        DataError: no samples.
        OptionError: the batch cannot be shared evenly.
    """

    def __init__(
        self, length: int, batch_size: int, seed: int, *, rank: int = 0, world_size: int = 1
    ) -> None:
        if length < 1:
            raise DataError("the dataset has no samples; at least one is needed")
        if batch_size % world_size:
            problem = f"{world_size} processes cannot share it evenly"
            raise OptionError(f"--batch_size {batch_size}: {problem}")
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.steps_per_epoch = max(1, length // batch_size)
        self.first_step = 0

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        step = self.first_step
        while True:
            epoch, first = divmod(step, self.steps_per_epoch)
            order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
            order = np.resize(order, max(self.length, self.batch_size))
            for number in range(first, self.steps_per_epoch):
                yield self._batch(epoch, order, number * self.batch_size)
            step = (epoch + 1) * self.steps_per_epoch

    def _batch(self, epoch: int, order: np.ndarray, begin: int) -> list[SampleIndex]:
        places = range(begin + self.rank, begin + self.batch_size, self.world_size)
        return [SampleIndex(int(order[place]), self._seed(epoch, place), epoch) for place in places]

    def _seed(self, epoch: int, place: int) -> int:
        sequence = np.random.SeedSequence((self.seed, epoch, place + 1))
        return int(sequence.generate_state(1, np.uint64)[0]) >> 1  # fits torch's signed seeds


def training_loader(
    dataset: Dataset,
    *,
    batch_size: int,
    seed: int = 0,
    workers: int = 0,
    collate: Callable[[list[Any]], Any] | None = None,
) -> DataLoader:
    """Return a loader for `fit`; the dataset is indexed with `SampleIndex`.

    Args:
        batch_size: samples of a step, over all of torchrun's processes together.
        workers: processes that load; 0 loads in this one.
        collate: makes a batch of a list of samples; torch's own by default.
    """
    length = len(dataset)  # pyright: ignore[reportArgumentType] - torch declares no length
    rank, world_size = distributed.rank(), distributed.world_size()
    sampler = ResumableSampler(length, batch_size, seed, rank=rank, world_size=world_size)
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_start_worker,
        generator=torch.Generator().manual_seed(seed),  # else it draws from the model's
    )


def steps_per_epoch(loader: DataLoader) -> int:
    """Return the number of steps of an epoch."""
    return _sampler(loader).steps_per_epoch


def iterate_batches(
    loader: DataLoader, *, step: int, device: torch.device | str = "cpu"
) -> Iterator[Any]:
    """Yield a training loader's batches from a step on, for ever, on a device.

    Raises:
        UserError: raised while loading, in a worker too, with a message of one line.
    """
    _sampler(loader).first_step = step
    if loader.num_workers:
        # decoded frames hold threads of their converters, which do not exist in a forked process:
        # one that collected such garbage would wait for them for ever
        gc.collect()
    try:
        for batch in loader:
            yield to_device(batch, device)
    except UserError as error:
        # a worker's arrives as "Caught ... Original Traceback ... module.DataError: message"
        kind, message = type(error), str(error).strip().rpartition("\n")[2]
        raise kind(message.removeprefix(f"{kind.__module__}.{kind.__name__}: ")) from None


def to_device(batch: Any, device: torch.device | str) -> Any:
    """Return a batch with its tensors on a device; containers keep their form."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(value, device) for value in batch)
    return batch


def _sampler(loader: DataLoader) -> ResumableSampler:
    assert isinstance(loader.batch_sampler, ResumableSampler)
    return loader.batch_sampler


def _start_worker(number: int) -> None:
    gc.freeze()  # what the main process made is not collected here
    # Ctrl-C reaches the whole process group; the main process decides when workers end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
