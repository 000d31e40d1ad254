"""The fast generator: stable for any past, equal as a stream, learned by position."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from speech2video.data.pose2video.augmentation import ImageTransform
from speech2video.models.pose2video.generators.base import GeneratorOutput
from speech2video.models.pose2video.generators.fast import MIN_MASK, PACK, FastGenerator
from speech2video.util.errors import DataError

SIZE = HEIGHT, WIDTH = 32, 48
KEPT = 1 - MIN_MASK  # of what is wrong in the past, at most


def build(**kind: object) -> FastGenerator:
    """Return a small generator none of whose weights is as it began."""
    torch.manual_seed(0)
    generator = FastGenerator(**{"size": SIZE, "channels": (8, 16), "blocks": (1, 2)} | kind)
    with torch.no_grad():
        for weight in generator.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
        generator.background.uniform_(-1, 1)
    return generator.eval()


def empty() -> FastGenerator:
    """Return a generator that generates no foreground."""
    generator = FastGenerator(size=SIZE, channels=(8, 16), blocks=(1, 1))
    torch.nn.init.constant_(generator.to_rgb.bias[-(PACK**2) :], -50)
    return generator.requires_grad_(False)


def images(*shape: int, seed: int = 1, size: tuple[int, int] = SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((*shape, *size), generator=generator) * 2 - 1


@pytest.mark.parametrize("apart", [1e-3, 1.0, 100.0])
@torch.no_grad()
def test_what_is_wrong_in_the_past_fades(apart: float) -> None:
    generator = build()
    generator.flow_head.weight.mul_(40)  # flows of many pixels, masks from nothing to all
    past = images(2, 4, seed=2)
    wrong = past + apart * images(2, 4, seed=3)
    masks = []
    for frame in range(8):
        maps = images(2, 9, seed=4 + frame)
        right, other = generator.step(maps, past), generator.step(maps, wrong)
        for one, two, before in (
            (right.frame, other.frame, (past - wrong)[:, :3]),
            (right.alpha, other.alpha, (past - wrong)[:, 3:]),
        ):
            assert (one - two).abs().max() <= KEPT * before.abs().max() + 1e-5
        past, wrong = generator.update_past(past, right), generator.update_past(wrong, other)
        masks.append(right.mask)
    assert (past - wrong).abs().max() <= apart * KEPT**7 + 1e-4
    assert min(mask.min() for mask in masks) < 0.3 and max(mask.max() for mask in masks) > 0.9


@torch.no_grad()
def test_a_stream_is_a_rollout() -> None:
    generator, maps = build(), images(2, 7, 3)
    rollout = [step.frame for step in generator(maps)]
    streamed = list(generator.generate_frames(maps[:, 2:].unbind(1), before=maps[:, :2].unbind(1)))
    assert torch.equal(torch.stack(streamed), torch.stack(rollout))
    assert len(streamed) == 5 and streamed[0].shape == (2, 3, *SIZE)


@torch.no_grad()
def test_frames_of_a_batch_know_nothing_of_each_other() -> None:
    generator, maps = build(), images(3, 4, 3)
    together = generator(maps)[-1].frame
    alone = [generator(maps[i : i + 1])[-1].frame for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


def test_every_weight_learns() -> None:
    generator = build().train()
    for step in generator(images(2, 4, 3), torch.eye(2, 3).expand(2, 2, 3)):
        (step.frame - images(2, 3)).square().mean().backward()
    for name, weight in generator.named_parameters():
        assert weight.grad is not None and weight.grad.any(), name


def test_no_gradient_goes_into_the_frames_before() -> None:
    generator = build().train()
    maps = images(1, 5, 3).requires_grad_()
    generator(maps)[-1].frame.sum().backward()
    assert not maps.grad[:, :2].any() and maps.grad[:, 2:].any()


@torch.no_grad()
def test_without_a_person_it_generates_the_background() -> None:
    generator, background = empty(), images(3)
    generator.init_background(background)
    torch.testing.assert_close(generator.step(images(1, 9)).frame[0], background)


def person(output: GeneratorOutput) -> Tensor:
    return output.frame - (1 - output.alpha) * output.background


@torch.no_grad()
def test_the_person_of_a_first_frame_does_not_depend_on_the_background() -> None:
    generator, maps = build(), images(2, 9)
    before = generator.step(maps)
    shown = person(before)
    generator.init_background(images(3, seed=9))
    after = generator.step(maps)
    assert (before.frame - after.frame).abs().max() > 0.1
    assert torch.equal(before.alpha, after.alpha)
    torch.testing.assert_close(shown, person(after), atol=1e-6, rtol=0)
    assert before.alpha.min() >= 0 and before.alpha.max() <= 1


@torch.no_grad()
def test_the_person_of_a_rollout_does_not_depend_on_a_plain_background() -> None:
    generator, maps = build(), images(2, 7, 3)
    generator.flow_head.weight.mul_(40)
    rollouts = []
    for level in (-1.0, 0.5):
        generator.init_background(torch.full((3, *SIZE), level))
        steps = generator(maps)
        rollouts.append([(person(step), step.alpha) for step in steps])
    for (one, alpha), (other, same) in zip(*rollouts, strict=True):
        assert torch.equal(alpha, same)
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert min(step.mask.min() for step in steps[1:]) < 0.5, "the past is blended in"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("right", "down"), [(0, 0), (5, 0), (-3, 7)])
@torch.no_grad()
def test_what_stands_still_is_moved_as_images_are(
    right: int, down: int, dtype: torch.dtype
) -> None:
    generator = empty()
    background_HW3 = images(3).permute(1, 2, 0).add(1).mul(127.5).byte().numpy()
    generator.init_background(torch.from_numpy(background_HW3).permute(2, 0, 1).float() / 127.5 - 1)
    change = ImageTransform(WIDTH, HEIGHT, box=(right, down, WIDTH, HEIGHT))
    moved = torch.from_numpy(change.image(background_HW3).copy()).permute(2, 0, 1) / 127.5 - 1
    view = torch.from_numpy(change.view())[None]
    frame = generator.to(dtype).step(images(1, 9), view=view).frame[0]
    tolerance = 1e-4 if dtype == torch.float32 else 1 / 127.5
    torch.testing.assert_close(frame, moved, atol=tolerance, rtol=0)


@torch.no_grad()
def test_channels_last_is_the_same() -> None:
    generator, maps = build(), images(2, 6, 3)
    plain = generator(maps)
    last = generator.to(memory_format=torch.channels_last)(maps)
    for one, other in zip(plain, last, strict=True):
        torch.testing.assert_close(one.frame, other.frame, atol=1e-4, rtol=0)


@torch.no_grad()
def test_16_bits_lose_little() -> None:
    size = 128, 128
    torch.manual_seed(0)
    generator = FastGenerator(size=size).eval().to(memory_format=torch.channels_last)
    for name, weight in generator.named_parameters():
        if weight.ndim == 4 and not weight.any():  # what begins as nothing, but would not end so
            weight.normal_(0, 0.02 if name.startswith("to_rgb") else 0.03)
    calm = F.avg_pool2d(images(3, size=(136, 136)), 9, stride=1)
    generator.init_background(calm / calm.abs().max())
    maps = (images(1, 7, 3, size=size) > 0.9).float() * 2 - 1
    exact = torch.stack([step.frame for step in generator(maps)]).clamp(-1, 1)
    generator.bfloat16()
    rounded = torch.stack([step.frame for step in generator(maps.bfloat16())])
    assert rounded.dtype == torch.float32
    assert (
        exact - generator.background.float()
    ).abs().mean() > 0.05  # there is something generated
    assert 10 * torch.log10(4 / (exact - rounded.clamp(-1, 1)).square().mean()) >= 40  # dB


@torch.no_grad()
def test_without_flow_nothing_comes_from_the_past() -> None:
    generator, maps = build(flow=False), images(1, 9)
    step = generator.step(maps, images(1, 4))
    assert step.flow is None and step.mask is None
    assert torch.equal(step.frame, generator.step(maps, images(1, 4, seed=7)).frame)


def test_larger_images_have_one_more_level() -> None:
    small, large = (FastGenerator.defaults(size=(side, side)) for side in (256, 512))
    assert len(large["channels"]) == len(small["channels"]) + 1
    assert large["size"] == (512, 512)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ({"size": (30, 48)}, "images of 48x30; this generator needs multiples of 8"),
        ({"size": (0, 48)}, "images of 48x0"),
        ({"channels": (8, 16, 24)}, "3 channels, 2 blocks; one a level is needed"),
    ],
)
def test_what_cannot_be_built_is_named(kind: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        build(**kind)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 9, 32, 32), "maps of 32x32 pixels, 9 channels; 48x32, 9 are needed"),
        ((1, 6, 32, 48), "maps of 48x32 pixels, 6 channels; 48x32, 9 are needed"),
    ],
)
def test_maps_that_do_not_fit_are_named(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build().step(torch.zeros(shape))
