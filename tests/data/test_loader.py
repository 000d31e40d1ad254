"""The order of data follows from (seed, step), for any number of workers and processes."""

from itertools import chain, islice

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from speech2video.data.loader import ResumableSampler, SampleIndex, iterate_batches, training_loader
from speech2video.util.errors import DataError, OptionError


class Echo(Dataset):
    """Dataset of its own indices, with a random number each."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, item: SampleIndex) -> dict[str, float]:
        return {"index": item.index, "random": item.rng().random(), "epoch": item.epoch}


def batches_at(sampler: ResumableSampler, step: int, count: int) -> list[list[SampleIndex]]:
    sampler.first_step = step
    return list(islice(sampler, count))


@pytest.mark.parametrize(("length", "batch_size"), [(10, 3), (12, 4), (3, 8), (1, 1)])
def test_beginning_at_any_step_gives_the_same_batches(length: int, batch_size: int) -> None:
    sampler = ResumableSampler(length, batch_size, 5)
    whole = batches_at(sampler, 0, 20)
    for step in range(15):
        assert batches_at(sampler, step, 5) == whole[step : step + 5]
    assert all(len(batch) == batch_size for batch in whole)


def test_each_epoch_is_a_new_permutation_with_new_seeds() -> None:
    sampler = ResumableSampler(12, 4, 0)
    epochs = [list(chain(*batches_at(sampler, 3 * epoch, 3))) for epoch in range(4)]
    assert all({item.index for item in samples} == set(range(12)) for samples in epochs)
    assert [item.epoch for item in epochs[2]] == [2] * 12
    orders = {tuple(item.index for item in samples) for samples in epochs}
    seeds = {item.seed for samples in epochs for item in samples}
    assert len(orders) == 4 and len(seeds) == 48
    assert batches_at(ResumableSampler(12, 4, 1), 0, 3) != batches_at(sampler, 0, 3)


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_a_batch(world_size: int) -> None:
    parts = [
        batches_at(ResumableSampler(20, 6, 0, rank=rank, world_size=world_size), 2, 5)
        for rank in range(world_size)
    ]
    for step, batch in enumerate(batches_at(ResumableSampler(20, 6, 0), 2, 5)):
        assert sorted(chain(*(part[step] for part in parts))) == sorted(batch)
        assert {len(part[step]) for part in parts} == {6 // world_size}


def test_samples_of_a_data_set_smaller_than_a_batch_differ() -> None:
    (batch,) = batches_at(ResumableSampler(3, 8, 0), 4, 1)
    assert {item.index for item in batch} == {0, 1, 2} and len({i.seed for i in batch}) == 8


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(OptionError, match="--batch_size 5: 2 processes"):
        ResumableSampler(20, 5, 0, world_size=2)
    with pytest.raises(DataError, match="no samples"):
        ResumableSampler(0, 5, 0)


def test_workers_and_the_global_generators_do_not_matter() -> None:
    def batches(workers: int) -> list[dict[str, torch.Tensor]]:
        loader = training_loader(Echo(), batch_size=4, seed=3, workers=workers)
        return list(islice(iterate_batches(loader, step=7), 4))

    alone, state = batches(0), torch.get_rng_state()
    np.random.seed(8)
    for one, other in zip(alone, batches(2), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(state, torch.get_rng_state())
