"""The contract of the generators: what a stream of maps gives."""

import torch
from torch import Tensor

from speech2video.models.pose2video.generators.base import Generator, GeneratorOutput, Past, warp


class Toy(Generator):
    """Generates numbers that encode its maps and past frames."""

    def step(self, maps: Tensor, past: Past | None = None) -> GeneratorOutput:
        seen = maps.new_zeros(len(maps), 6, *maps.shape[2:]) if past is None else past
        return GeneratorOutput(
            maps[:, :3] + 10 * maps[:, 3:6] + 100 * maps[:, 6:] + seen[:, :3] + seen[:, 3:]
        )


def maps(frames: int) -> list[Tensor]:
    return list(torch.rand(frames, 2, 3, 4, 5, generator=torch.Generator().manual_seed(0)))


def test_a_stream_is_repeated_steps_on_its_own_past() -> None:
    generator, given = Toy(), maps(6)
    generated: list[Tensor] = []
    for i in range(2, 6):
        before = [torch.zeros(2, 3, 4, 5)] * 2 + generated
        past = torch.cat(before[-2:], 1) if generated else None
        generated.append(generator.step(torch.cat(given[i - 2 : i + 1], 1), past).frame)
    streamed = list(generator.generate_frames(given[2:], before=given[:2]))
    assert torch.equal(torch.stack(streamed), torch.stack(generated))


def test_the_first_map_stands_for_its_own_past() -> None:
    generator, given = Toy(), maps(3)
    padded = generator.generate_frames(given, before=[given[0], given[0]])
    assert torch.equal(
        torch.stack(list(generator.generate_frames(given))), torch.stack(list(padded))
    )


def test_a_stream_reads_no_further_than_it_generates() -> None:
    read = []
    stream = Toy().generate_frames(read.append(i) or m for i, m in enumerate(maps(5)))
    next(stream)
    next(stream)
    assert read == [0, 1]
    assert list(Toy().generate_frames([])) == []


def test_a_stream_keeps_no_gradients() -> None:
    given = [m.requires_grad_() for m in maps(2)]
    assert not any(frame.requires_grad for frame in Toy().generate_frames(given))
    assert torch.is_grad_enabled()


IMAGE = torch.rand(2, 3, 6, 9, generator=torch.Generator().manual_seed(0))


def flow(right: float, down: float) -> torch.Tensor:
    return torch.tensor([right, down]).view(1, 2, 1, 1).expand(2, 2, 6, 9)


def test_no_flow_moves_nothing() -> None:
    torch.testing.assert_close(warp(IMAGE, flow(0, 0)), IMAGE)


def test_whole_pixels_shift_and_the_border_stays() -> None:
    moved = warp(IMAGE, flow(2, -1))
    torch.testing.assert_close(moved[..., 1:, :-2], IMAGE[..., :-1, 2:])
    torch.testing.assert_close(moved[..., 0, :-2], IMAGE[..., 0, 2:])
    torch.testing.assert_close(moved[..., 1:, -1], IMAGE[..., :-1, -1])


def test_half_a_pixel_is_the_mean_of_two() -> None:
    moved = warp(IMAGE, flow(0, 0.5))
    torch.testing.assert_close(moved[..., :-1, :], (IMAGE[..., :-1, :] + IMAGE[..., 1:, :]) / 2)


def test_positions_are_exact_in_a_wide_image_of_16_bits() -> None:
    image = torch.rand(1, 1, 2, 2000).bfloat16()
    moved = warp(image, torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2000).bfloat16())
    torch.testing.assert_close(moved[..., :-1], image[..., 1:].float(), atol=1e-3, rtol=0)
