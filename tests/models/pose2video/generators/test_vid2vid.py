"""vid2vid's generator: scales, past, flow and mask, and both kinds of statistics."""

import itertools

import pytest
import torch
from torch import Tensor

from speech2video.models.pose2video.generators.base import append_frame, warp
from speech2video.models.pose2video.generators.vid2vid import Norm, Vid2VidGenerator, image_pyramid
from speech2video.util.errors import DataError

KINDS = [
    {"n_scales_spatial": scales, "norm": norm, "flow": flow, "statistics": statistics}
    for scales, norm, flow, statistics in itertools.product(
        (1, 2, 3), ("batch", "instance"), (True, False), ("batch", "stored")
    )
    if (norm, statistics) != ("instance", "stored")
]
each_kind = pytest.mark.parametrize(
    "kind", KINDS, ids=lambda kind: "-".join(str(v) for v in kind.values())
)


def build(**kind: object) -> Vid2VidGenerator:
    """Return a small generator with statistics that are not those it began with."""
    torch.manual_seed(0)
    sizes = {"input_nc": 2, "ngf": 8, "n_downsample_G": 2, "n_blocks": 3, "n_blocks_local": 2}
    generator = Vid2VidGenerator(**(sizes | kind))
    for module in generator.modules():
        if isinstance(module, Norm) and module.affine:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return generator.eval()


def images(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@each_kind
def test_a_stream_is_repeated_steps(kind: dict) -> None:
    generator, maps = build(**kind), list(images(5, 1, 2, 32, 48))
    streamed = list(generator.generate_frames(maps[2:], before=maps[:2]))
    past = None
    with torch.no_grad():
        for i, frame in enumerate(streamed):
            step = generator.step(torch.cat(maps[i : i + 3], 1), past)
            past = generator.update_past(past, step)
            assert torch.equal(step.frame, frame)
            assert frame.shape == (1, 3, 32, 48)
            assert frame.abs().max() <= 1
            assert [c.shape[-1] for c in step.coarse] == [12, 24][3 - kind["n_scales_spatial"] :]


@each_kind
def test_frames_of_a_batch_know_nothing_of_each_other(kind: dict) -> None:
    generator, maps, past = build(**kind), images(2, 6, 32, 32), images(2, 6, 32, 32)
    with torch.no_grad():
        together = generator.step(maps, past).frame
        alone = [generator.step(maps[i : i + 1], past[i : i + 1]).frame for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


@each_kind
def test_every_weight_learns_from_the_frames_of_all_scales(kind: dict) -> None:
    generator = build(**kind).train()
    step = generator.step(images(2, 6, 32, 32), images(2, 6, 32, 32))
    wanted = image_pyramid(images(2, 3, 32, 32, seed=2), kind["n_scales_spatial"])
    frames = (*step.coarse, step.frame)
    errors = [((f - w) ** 2).mean() for f, w in zip(frames, wanted, strict=True)]
    torch.stack(errors).sum().backward()
    for name, weight in generator.named_parameters():
        assert weight.grad is not None, name
        # what an affine layer adds before a normalisation is taken away again
        assert weight.grad.any() or name.endswith("conv.bias"), name


def test_the_mask_blends_what_is_generated_with_the_last_frame_moved() -> None:
    generator, maps, past = build(), images(1, 6, 16, 16), images(1, 6, 16, 16)
    with torch.no_grad():
        generated = build(flow=False)
        own = generator.state_dict()
        generated.load_state_dict({name: own[name] for name in generated.state_dict()})
        step = generator.step(maps, past)
        blend = step.mask * generated.step(maps, past).frame
        blend += (1 - step.mask) * warp(past[:, 3:], step.flow)
    torch.testing.assert_close(step.frame, blend)
    assert step.flow.shape == (1, 2, 16, 16)
    assert 0 <= step.mask.min() <= step.mask.max() <= 1


def test_the_first_frame_is_generated_only() -> None:
    step = build().step(images(1, 6, 16, 16))
    assert step.flow is None
    assert step.mask is None


def test_batch_statistics_are_those_of_training_mode() -> None:
    generator, maps, past = (
        build(statistics="batch"),
        images(1, 6, 16, 16),
        images(1, 6, 16, 16),
    )
    with torch.no_grad():
        used = generator.step(maps, past).frame
        assert torch.equal(used, generator.train().step(maps, past).frame)
        stored = build(statistics="stored").step(maps, past).frame
    assert (used - stored).abs().max() > 1e-3


def test_one_past_of_full_size_is_halved_for_coarser_scales() -> None:
    generator, maps, past = build(n_scales_spatial=2), images(1, 6, 32, 32), images(1, 6, 32, 32)
    with torch.no_grad():
        one = generator.step(maps, past)
        each = generator.step(maps, tuple(image_pyramid(past, 2)))
    assert torch.equal(one.frame, each.frame)
    coarse, fine = generator.update_past(past, one)
    assert torch.equal(fine, append_frame(past, one.frame))
    assert coarse.shape == (1, 6, 16, 16)


def test_halving_leaves_a_plain_image_plain() -> None:
    coarse, middle, full = image_pyramid(torch.full((1, 3, 16, 24), 0.3), 3)
    assert (coarse.shape[-2:], middle.shape[-2:], full.shape[-2:]) == ((4, 6), (8, 12), (16, 24))
    torch.testing.assert_close(coarse, torch.full_like(coarse, 0.3))


@pytest.mark.parametrize("flow", [True, False])
def test_16_bits_and_channels_last_give_nearly_the_same(flow: bool) -> None:
    generator = build(statistics="stored", flow=flow, n_scales_spatial=2)
    maps, past = images(1, 6, 32, 32), images(1, 6, 32, 32)
    with torch.no_grad():
        exact = generator.step(maps, past).frame
        generator.to(memory_format=torch.channels_last)
        torch.testing.assert_close(generator.step(maps, past).frame, exact, atol=1e-5, rtol=0)
        rounded = generator.bfloat16().step(maps, past).frame
    assert rounded.dtype == torch.float32
    assert (rounded - exact).square().mean().sqrt() < 0.02


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 6, 30, 32), "32x30 pixels.*multiples of 8, 16 and more"),
        ((1, 6, 8, 32), "32x8 pixels.*multiples of 8, 16 and more"),
        ((1, 9, 32, 32), "9 channels in all.*3 maps of 2"),
    ],
)
def test_maps_that_do_not_fit_are_named(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build(n_scales_spatial=2).step(torch.zeros(shape))
