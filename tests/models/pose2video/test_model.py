"""Training steps: what each loss trains, discriminators, absent regions, schedules."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from speech2video.models.pose2video.discriminators import frame_windows
from speech2video.models.pose2video.generators.fast import FastGenerator
from speech2video.models.pose2video.generators.vid2vid import Vid2VidGenerator
from speech2video.models.pose2video.losses import LOSSES, loss_weights
from speech2video.models.pose2video.model import (
    REGIONS,
    GanConfig,
    OptimConfig,
    Pose2VideoModel,
    _resize_sequences,
)
from speech2video.models.pose2video.renderer import NETWORK
from speech2video.options.pose2video import DISCRIMINATORS, Curriculum
from speech2video.util.errors import OptionError

SIZE, FRAMES = 32, 5
NO_LOSS = dict.fromkeys(LOSSES, 0.0)


def batch(items: int = 2, frames: int = FRAMES, *, size: int = SIZE, flow: bool = True) -> dict:
    """Return a batch as `Pose2VideoDataset` makes them, of noise."""
    seeded = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> Tensor:
        return torch.randint(0, 256, shape, generator=seeded, dtype=torch.uint8)

    boxes_R4 = torch.tensor(
        [[4, 2, 20, 18], [2, 16, 14, 28], [18, 16, 30, 28], [8, 10, 16, 18], [6, 4, 18, 10]]
    )
    found = {
        "maps": noise(items, frames + 2, 3, size, size),
        "frames": noise(items, frames, 3, size, size),
        "boxes": (boxes_R4 * size / SIZE).expand(items, frames, -1, 4).clone(),
        "present": torch.ones(items, frames, len(REGIONS)),
        "view": torch.eye(2, 3).repeat(items, 1, 1),
    }
    if flow:
        found["flow"] = torch.ones(items, frames, 2, size, size, dtype=torch.float16)
        found["flow_trust"] = torch.full((items, frames, size, size), 255, dtype=torch.uint8)
    return found


def fast() -> FastGenerator:
    generator = FastGenerator(size=(SIZE, SIZE), channels=(8, 16), blocks=(1, 1))
    torch.nn.init.normal_(generator.to_rgb.weight, std=0.02)  # else nothing moves, at first
    return generator


def vid2vid(**kind: object) -> Vid2VidGenerator:
    sizes = {"ngf": 8, "n_downsample_G": 1, "n_blocks": 2, "n_blocks_local": 1}
    return Vid2VidGenerator(**sizes | {"norm": "instance"} | kind)


def model(make: Callable = fast, **changes: object) -> Pose2VideoModel:
    torch.manual_seed(0)
    optim = {"lr": 1e-2, "lr_d": 1e-2} | _fields(OptimConfig, changes)
    gan = {"ndf": 4, "part_size": 16} | _fields(GanConfig, changes)
    return Pose2VideoModel(make(), OptimConfig(**optim), GanConfig(**gan), **changes)


def _fields(config: type, changes: dict) -> dict:
    """Take a config's fields out of changes."""
    names = [name for name in config.__dataclass_fields__ if name in changes]
    return {name: changes.pop(name) for name in names}


def state(made: Pose2VideoModel, name: str) -> dict[str, Tensor]:
    parameters = made.networks[name].named_parameters()
    return {key: weight.detach().clone() for key, weight in parameters}


def learned(made: Pose2VideoModel, name: str, shown: dict) -> set[str]:
    """Return which weights of a network one step changes."""
    before = state(made, name)
    made.training_step(shown)
    after = state(made, name)
    return {key for key in after if not torch.equal(before[key], after[key])}


def numbers(losses: dict) -> dict[str, float]:
    return {name: float(torch.as_tensor(value).detach()) for name, value in losses.items()}


class SquaredError(torch.nn.Module):
    """A stand-in for VGG19."""

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        return (generated - real).square().mean()


@pytest.mark.parametrize("name", ["reconstruction", "structural", "perceptual", "flow", "warp"])
def test_every_loss_trains_the_generator(name: str) -> None:
    weights = NO_LOSS | {name: 1.0}
    made = model(weights=weights, perceptual=SquaredError())
    moved = learned(made, NETWORK, batch())
    assert "flow_head.weight" in moved
    assert ("to_rgb.weight" in moved) == (name in ("reconstruction", "structural", "perceptual"))


@pytest.mark.parametrize("loss", ["gan", "feature_matching"])
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_every_discriminator_learns_and_trains_the_generator(name: str, loss: str) -> None:
    weights = NO_LOSS | {loss: 1.0}
    made = model(weights=weights, discriminators=(name,))
    before = state(made, f"discriminator_{name}")
    assert "to_rgb.weight" in learned(made, NETWORK, batch())
    after = state(made, f"discriminator_{name}")
    layers = [key for key in after if not key.endswith("bias")]
    assert [key for key in layers if torch.equal(before[key], after[key])] == []


def test_without_weight_nothing_is_learned() -> None:
    assert learned(model(weights=NO_LOSS, discriminators=DISCRIMINATORS), NETWORK, batch()) == set()


def test_losses_are_named_and_their_sum_is_the_loss() -> None:
    made = model(discriminators=DISCRIMINATORS, perceptual=SquaredError())
    losses = made.training_step(batch())
    weights = made.weights
    discriminators = {f"d_{name}" for name in DISCRIMINATORS}
    assert set(losses) == {"loss", *weights} | discriminators
    total = sum(losses[name].detach() * weight for name, weight in weights.items())
    assert float(losses["loss"].detach()) == pytest.approx(float(total), rel=1e-5)


@pytest.mark.parametrize("name", REGIONS)
def test_an_absent_region_trains_nothing(name: str) -> None:
    weights = NO_LOSS | {"gan": 1.0, "feature_matching": 1.0}
    made, shown = model(weights=weights, discriminators=(name,)), batch()
    shown["present"][..., REGIONS.index(name)] = 0
    shown["boxes"][..., REGIONS.index(name), :] = 0
    before = state(made, f"discriminator_{name}")
    assert learned(made, NETWORK, shown) == set()
    after = state(made, f"discriminator_{name}")
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_what_is_at_an_absent_parts_place_does_not_matter() -> None:
    made, others = (model(discriminators=("left_hand",)) for _ in range(2))
    shown = batch()
    shown["present"][1, :, 1] = 0
    elsewhere = shown | {"boxes": shown["boxes"].clone()}
    elsewhere["boxes"][1, :, 1] = 0
    one, other = made.training_step(shown), others.training_step(elsewhere)
    assert numbers(one) == numbers(other)
    for name in ("discriminator_left_hand", NETWORK):
        ours, theirs = state(made, name), state(others, name)
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_half_of_the_hands_absent_counts_half() -> None:
    config = {"discriminators": ("left_hand",), "lr_d": 0.0}
    shown, without = batch(4), batch(4)
    for name in ("maps", "frames"):
        shown[name] = without[name] = shown[name][:1].repeat(4, 1, 1, 1, 1)
    without["present"][2:, :, 1] = 0
    whole, half = (model(**config).training_step(one) for one in (shown, without))
    for name in ("gan", "feature_matching", "d_left_hand"):
        assert numbers(half)[name] == pytest.approx(numbers(whole)[name] / 2, rel=1e-4)


def test_one_more_part_changes_no_other_loss() -> None:
    few = model(discriminators=("frame", "temporal_1", "head"))
    many = model(discriminators=("frame", "temporal_1", "temporal_2", "head", "left_hand", "mouth"))
    shown = batch()
    shown["boxes"][:] = shown["boxes"][:, :, :1]  # equal regions count as one
    many.networks[NETWORK].load_state_dict(few.networks[NETWORK].state_dict())
    for name in many.discriminators:
        like = name if name in few.discriminators else f"{name.partition('_')[0]}_1"
        like = like if like in few.discriminators else "head"
        weights = few.networks[f"discriminator_{like}"].state_dict()
        many.networks[f"discriminator_{name}"].load_state_dict(weights)
    one, other = few.training_step(shown), many.training_step(shown)
    for name in ("reconstruction", "structural", "flow", "warp"):
        assert float(one[name]) == float(other[name])
    assert float(other["d_mouth"]) == pytest.approx(float(one["d_head"]), rel=1e-5)
    # the second stride sees other windows: about the same
    assert float(other["gan"]) == pytest.approx(float(one["gan"]), abs=0.3)
    assert float(other["feature_matching"]) == pytest.approx(
        float(one["feature_matching"]), rel=0.1
    )


@pytest.mark.parametrize(
    ("frames", "expected"),
    [(1, set()), (2, set()), (3, {"d_temporal_1"}), (5, {"d_temporal_1", "d_temporal_2"})],
)
def test_short_sequences_have_no_temporal_discriminator(frames: int, expected: set[str]) -> None:
    made = model(discriminators=("temporal_1", "temporal_2"))
    losses = made.training_step(batch(frames=frames))
    assert {name for name in losses if name.startswith("d_")} == expected
    assert ("gan" in losses) == bool(expected) and ("flow" in losses) == (frames > 1)


def test_windows_are_of_frames_a_stride_apart() -> None:
    frames = torch.arange(6.0).view(1, 6, 1, 1, 1).expand(2, 6, 3, 4, 4)
    seen = frame_windows(frames, 2)
    assert seen.shape == (4, 9, 2, 2)
    assert seen[:2, ::3, 0, 0].tolist() == [[0, 2, 4], [1, 3, 5]]


def test_the_gan_starts_at_its_step() -> None:
    made = model(discriminators=("frame",), gan_start=0.5, steps=4)
    active = []
    for made.step in range(4):
        active.append("d_frame" in made.training_step(batch(frames=1)))
    assert active == [False, False, True, True]


def test_scales_join_one_after_another() -> None:
    made = model(
        lambda: vid2vid(n_scales_spatial=2),
        discriminators=("frame", "head"),
        curriculum=Curriculum(scale_epochs=2),
    )
    fine = {key for key in state(made, NETWORK) if key.startswith("scales.1")}
    for epoch, side in ((0, SIZE // 2), (1, SIZE // 2), (2, SIZE), (7, SIZE)):
        made.on_epoch(epoch)
        maps = batch(1, 1)["maps"] / 127.5 - 1
        assert made.networks[NETWORK](maps)[0].frame.shape[-1] == side
        assert bool(learned(made, NETWORK, batch(1)) & fine) == (side == SIZE)


def test_boxes_shrink_with_the_frames() -> None:
    shown = batch(1, 1)
    made = model(lambda: vid2vid(n_scales_spatial=2), curriculum=Curriculum(scale_epochs=2))
    made.on_epoch(0)
    assert torch.equal(made._generate(shown).boxes_MR4, shown["boxes"][0] / 2)


def test_resizing_keeps_plain_images_plain() -> None:
    small = _resize_sequences(torch.full((2, 3, 3, 32, 32), 0.25), (16, 16))
    assert small.shape == (2, 3, 3, 16, 16) and torch.equal(small, torch.full_like(small, 0.25))


@pytest.mark.parametrize("make", [fast, vid2vid])
def test_gradient_checkpointing_changes_no_gradient(make: Callable) -> None:
    gradients = []
    for checkpointing in (False, True):
        made = model(make, discriminators=("frame",))
        made.networks[NETWORK].gradient_checkpointing = checkpointing
        made.training_step(batch())
        gradients.append({k: p.grad for k, p in made.networks[NETWORK].named_parameters()})
    for key, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], gradient, msg=key)


class ConstantFlow(torch.nn.Module):
    """A stand-in for RAFT with the flow of `batch`."""

    def forward(self, frames: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        self.seen = frames, before
        return torch.ones_like(frames[:, :2]), torch.ones_like(frames[:, 0])


def test_raft_estimates_the_flow_of_batches_without() -> None:
    given, raft = model().training_step(batch()), ConstantFlow()
    estimated = model(raft=raft).training_step(batch(flow=False))
    assert numbers(given) == numbers(estimated)
    frames = batch()["frames"].float() / 127.5 - 1
    for seen, wanted in zip(raft.seen, (frames[:, 1:], frames[:, :-1]), strict=True):
        torch.testing.assert_close(seen, wanted.transpose(0, 1).flatten(0, 1))


def test_without_ground_truth_there_is_no_loss_of_flow() -> None:
    assert not {"flow", "warp"} & set(model().training_step(batch(flow=False)))


@pytest.mark.parametrize("precision", ["fp32", "autocast", "bf16"])
def test_losses_fall_in_every_precision(precision: str) -> None:
    made, shown = model(precision=precision, discriminators=("frame", "head")), batch(1, 2)
    shown["frames"][:] = 200
    losses = []
    for made.step in range(100, 108):
        losses.append(made.training_step(shown))
    assert all(torch.isfinite(value) for one in losses for value in one.values())
    assert losses[-1]["reconstruction"] < 0.9 * losses[0]["reconstruction"]


def test_rates_follow_the_step_alone() -> None:
    made = model(steps=1000, discriminators=("frame",))

    def rates(step: int) -> list[float]:
        made.step = step
        made.set_learning_rates()
        made.training_step(batch(1, 1))
        return [one.param_groups[0]["lr"] for one in made.optimizers.values()]

    begin, full, end, again = rates(0), rates(100), rates(1000), rates(0)
    assert begin == again and begin[0] < 0.02 * full[0] and end[0] < 0.03 * full[0]
    assert begin[1] == full[1] == end[1]  # discriminators may start late


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("gam=1", "--weights gam: no such loss; reconstruction"),
        ("gan=-1", "--weights gan=-1: a number, 0 or more"),
        ("gan=nan", "a number, 0 or more"),
        ("gan=much", "a number, 0 or more"),
    ],
)
def test_weights_that_cannot_be_are_named(pair: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        loss_weights([pair])
    assert loss_weights(["gan=0.5"]) == loss_weights() | {"gan": 0.5}
