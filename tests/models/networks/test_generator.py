"""The contract of the generators: what a stream of maps gives."""

import torch
from torch import Tensor

from speech2video.models.networks.generator import Generator, Past, Step


class Toy(Generator):
    """Paints numbers that tell which maps and which frames it saw."""

    def step(self, maps: Tensor, past: Past | None = None) -> Step:
        seen = maps.new_zeros(len(maps), 6, *maps.shape[2:]) if past is None else past
        return Step(maps[:, :3] + 10 * maps[:, 3:6] + 100 * maps[:, 6:] + seen[:, :3] + seen[:, 3:])


def maps(frames: int) -> list[Tensor]:
    return list(torch.rand(frames, 2, 3, 4, 5, generator=torch.Generator().manual_seed(0)))


def test_a_stream_is_repeated_steps_on_its_own_past() -> None:
    generator, given = Toy(), maps(6)
    painted: list[Tensor] = []
    for i in range(2, 6):
        before = [torch.zeros(2, 3, 4, 5)] * 2 + painted
        past = torch.cat(before[-2:], 1) if painted else None
        painted.append(generator.step(torch.cat(given[i - 2 : i + 1], 1), past).frame)
    streamed = list(generator.frames(given[2:], before=given[:2]))
    assert torch.equal(torch.stack(streamed), torch.stack(painted))


def test_the_first_map_stands_for_its_own_past() -> None:
    generator, given = Toy(), maps(3)
    padded = generator.frames(given, before=[given[0], given[0]])
    assert torch.equal(torch.stack(list(generator.frames(given))), torch.stack(list(padded)))


def test_a_stream_reads_no_further_than_it_paints() -> None:
    read = []
    stream = Toy().frames(read.append(i) or m for i, m in enumerate(maps(5)))
    next(stream)
    next(stream)
    assert read == [0, 1]
    assert list(Toy().frames([])) == []


def test_a_stream_keeps_no_gradients() -> None:
    given = [m.requires_grad_() for m in maps(2)]
    assert not any(frame.requires_grad for frame in Toy().frames(given))
    assert torch.is_grad_enabled()
