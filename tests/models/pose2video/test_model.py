"""What a step of training teaches whom: losses, adversaries, parts that are not there."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from speech2video.models.pose2video.generators.fast import FastGenerator
from speech2video.models.pose2video.generators.vid2vid import Vid2VidGenerator
from speech2video.models.pose2video.model import (
    REGIONS,
    LossWeights,
    Pose2VideoModel,
    Scene,
    shrunk,
    windows,
)
from speech2video.models.pose2video.renderer import NETWORK
from speech2video.options.pose2video import DISCRIMINATORS
from speech2video.util.errors import OptionError

SIZE, FRAMES = 32, 5
NOTHING = LossWeights(**dict.fromkeys(dataclasses.asdict(LossWeights()), 0.0))


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
    sizes = {"width": 8, "halvings": 1, "blocks": 2, "fine_blocks": 1, "norm": "instance"}
    return Vid2VidGenerator(**sizes | kind)


def model(make: Callable = fast, **changes: object) -> Pose2VideoModel:
    torch.manual_seed(0)
    usual = {"lr": 1e-2, "lr_d": 1e-2, "ndf": 4, "part_size": 16}
    return Pose2VideoModel(make(), **usual | changes)


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


class Looks(torch.nn.Module):
    """Stands for VGG19."""

    def forward(self, painted: Tensor, real: Tensor) -> Tensor:
        return (painted - real).square().mean()


@pytest.mark.parametrize("name", ["reconstruction", "structural", "perceptual", "flow", "warp"])
def test_every_loss_teaches_the_generator(name: str) -> None:
    weights = dataclasses.replace(NOTHING, **{name: 1.0})
    made = model(weights=weights, perceptual=Looks())
    moved = learned(made, NETWORK, batch())
    assert "flow_head.weight" in moved
    assert ("to_rgb.weight" in moved) == (name in ("reconstruction", "structural", "perceptual"))


@pytest.mark.parametrize("loss", ["gan", "matching"])
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_every_adversary_learns_and_teaches(name: str, loss: str) -> None:
    weights = dataclasses.replace(NOTHING, **{loss: 1.0})
    made = model(weights=weights, discriminators=(name,))
    before = state(made, f"discriminator_{name}")
    assert "to_rgb.weight" in learned(made, NETWORK, batch())
    after = state(made, f"discriminator_{name}")
    layers = [key for key in after if not key.endswith("bias")]
    assert [key for key in layers if torch.equal(before[key], after[key])] == []


def test_without_weight_nothing_is_learned() -> None:
    assert learned(model(weights=NOTHING, discriminators=DISCRIMINATORS), NETWORK, batch()) == set()


def test_losses_are_named_and_their_sum_is_the_loss() -> None:
    made = model(discriminators=DISCRIMINATORS, perceptual=Looks())
    losses = made.training_step(batch())
    weights = dataclasses.asdict(made.weights)
    judges = {f"d_{name}" for name in DISCRIMINATORS}
    assert set(losses) == {"loss", *weights} | judges
    total = sum(losses[name].detach() * weight for name, weight in weights.items())
    assert float(losses["loss"].detach()) == pytest.approx(float(total), rel=1e-5)


@pytest.mark.parametrize("name", REGIONS)
def test_a_part_that_is_never_seen_teaches_nobody(name: str) -> None:
    weights = dataclasses.replace(NOTHING, gan=1.0, matching=1.0)
    made, shown = model(weights=weights, discriminators=(name,)), batch()
    shown["present"][..., REGIONS.index(name)] = 0
    shown["boxes"][..., REGIONS.index(name), :] = 0
    judge = state(made, f"discriminator_{name}")
    assert learned(made, NETWORK, shown) == set()
    after = state(made, f"discriminator_{name}")
    assert all(torch.equal(judge[key], after[key]) for key in judge)


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
    still = {"discriminators": ("left_hand",), "lr_d": 0.0}
    shown, without = batch(4), batch(4)
    for name in ("maps", "frames"):
        shown[name] = without[name] = shown[name][:1].repeat(4, 1, 1, 1, 1)
    without["present"][2:, :, 1] = 0
    whole, half = (model(**still).training_step(one) for one in (shown, without))
    for name in ("gan", "matching", "d_left_hand"):
        assert numbers(half)[name] == pytest.approx(numbers(whole)[name] / 2, rel=1e-4)


def test_one_more_part_changes_no_other_loss() -> None:
    few = model(discriminators=("frame", "temporal_1", "head"))
    many = model(discriminators=("frame", "temporal_1", "temporal_2", "head", "left_hand", "mouth"))
    shown = batch()
    shown["boxes"][:] = shown["boxes"][:, :, :1]  # parts alike, judged alike, count as one
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
    assert float(other["matching"]) == pytest.approx(float(one["matching"]), rel=0.1)


@pytest.mark.parametrize(
    ("frames", "judges"),
    [(1, set()), (2, set()), (3, {"d_temporal_1"}), (5, {"d_temporal_1", "d_temporal_2"})],
)
def test_sequences_too_short_are_not_judged_over_time(frames: int, judges: set[str]) -> None:
    made = model(discriminators=("temporal_1", "temporal_2"))
    losses = made.training_step(batch(frames=frames))
    assert {name for name in losses if name.startswith("d_")} == judges
    assert ("gan" in losses) == bool(judges) and ("flow" in losses) == (frames > 1)


def test_windows_are_of_frames_a_stride_apart() -> None:
    frames = torch.arange(6.0).view(1, 6, 1, 1, 1).expand(2, 6, 3, 4, 4)
    seen = windows(frames, 2)
    assert seen.shape == (4, 9, 2, 2)
    assert seen[:2, ::3, 0, 0].tolist() == [[0, 2, 4], [1, 3, 5]]


def test_adversaries_come_when_it_is_their_time() -> None:
    made = model(discriminators=("frame",), gan_start=0.5, steps=4)
    came = []
    for made.step in range(4):
        came.append("d_frame" in made.training_step(batch(frames=1)))
    assert came == [False, False, True, True]


def test_scales_join_one_after_another() -> None:
    made = model(lambda: vid2vid(scales=2), discriminators=("frame", "head"), scale_epochs=2)
    fine = {key for key in state(made, NETWORK) if key.startswith("scales.1")}
    for epoch, side in ((0, SIZE // 2), (1, SIZE // 2), (2, SIZE), (7, SIZE)):
        made.on_epoch(epoch)
        maps = batch(1, 1)["maps"] / 127.5 - 1
        assert made.networks[NETWORK](maps)[0].frame.shape[-1] == side
        assert bool(learned(made, NETWORK, batch(1)) & fine) == (side == SIZE)


def test_boxes_shrink_with_the_frames() -> None:
    shown = batch(1, 1)
    small = torch.zeros(1, 1, 3, SIZE // 2, SIZE // 2)
    halved = Scene(small, small, small, []).boxes(shown)
    assert torch.equal(halved, shown["boxes"][0] / 2)


def test_shrunk_keeps_plain_pictures_plain() -> None:
    small = shrunk(torch.full((2, 3, 3, 32, 32), 0.25), (16, 16))
    assert small.shape == (2, 3, 3, 16, 16) and torch.equal(small, torch.full_like(small, 0.25))


@pytest.mark.parametrize("make", [fast, vid2vid])
def test_forgetting_activations_changes_no_gradient(make: Callable) -> None:
    gradients = []
    for checkpointing in (False, True):
        made = model(make, discriminators=("frame",))
        made.networks[NETWORK].checkpointing = checkpointing
        made.training_step(batch())
        gradients.append({k: p.grad for k, p in made.networks[NETWORK].named_parameters()})
    for key, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], gradient, msg=key)


class Resting(torch.nn.Module):
    """Says that everything moves as `batch` says, as RAFT would."""

    def forward(self, frames: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        self.seen = frames, before
        return torch.ones_like(frames[:, :2]), torch.ones_like(frames[:, 0])


def test_raft_says_how_pixels_moved_where_the_batch_does_not() -> None:
    told, raft = model().training_step(batch()), Resting()
    asked = model(raft=raft).training_step(batch(flow=False))
    assert numbers(told) == numbers(asked)
    frames = batch()["frames"].float() / 127.5 - 1
    for seen, wanted in zip(raft.seen, (frames[:, 1:], frames[:, :-1]), strict=True):
        torch.testing.assert_close(seen, wanted.transpose(0, 1).flatten(0, 1))


def test_without_a_truth_there_is_no_loss_of_flow() -> None:
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
    assert begin[1] == full[1] == end[1]  # an adversary that comes late has all to learn then


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("gam=1", "--weights gam: no such loss; reconstruction"),
        ("gan=-1", "--weights gan=-1: a number, 0 or more"),
        ("gan=nan", "a number, 0 or more"),
        ("gan=much", "a number, 0 or more"),
    ],
)
def test_weights_that_cannot_be_are_named(pair: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        LossWeights.of([pair])
    assert LossWeights.of(["gan=0.5"]) == dataclasses.replace(LossWeights(), gan=0.5)
