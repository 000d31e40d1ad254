"""Training stages of speech to face: what each trains, its losses, and ablations."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from speech2video.models.speech2face.discriminators import DISCRIMINATORS
from speech2video.models.speech2face.losses import (
    WARM_UP,
    FrameWindow,
    SynthesisBatch,
    TrainingConfig,
)
from speech2video.models.speech2face.model import MAIN, Speech2FaceModel
from speech2video.options.speech2face import (
    ABLATIONS,
    ADVERSARIAL,
    GENERATOR,
    LOSSES,
    STAGES,
    STUDENTS,
    TEACHERS,
    TrainSpeech2FaceOptions,
)
from speech2video.util.errors import OptionError
from tests.face_clips import ITEM_FRAMES, LOOK_AHEAD, recordings, small_batch, small_networks

STEP = dict(zip(STAGES, range(4), strict=True))  # of a schedule with a step for each stage
ENCODERS = {"identity", "emotion", "content", "heads"}
TRAINED = {
    TEACHERS: {"teachers"},
    STUDENTS: ENCODERS | {"head_motion", "generator"},
    GENERATOR: ENCODERS | {"generator"},
    ADVERSARIAL: ENCODERS | {"generator"} | {f"discriminator_{name}" for name in DISCRIMINATORS},
}
GONE_WITH = {  # losses that need the codes of an encoder which is distilled
    "identity_distance": {"emotion_in_identity", "covariance", "identity_bank"},
    "emotion_distance": {"speaker_in_emotion", "covariance"},
}


def names(stage: str) -> set[str]:
    """Return the losses of a stage without other speech."""
    return {name for name, loss in LOSSES.items() if stage in loss.stages} - {"other_lips"}


def weights(*pairs: str, ablate: tuple[str, ...] = ()) -> dict[str, float]:
    """Return the weights that options give."""
    options = TrainSpeech2FaceOptions(name="x", dataset=Path("x"), weights=pairs, ablate=ablate)
    return options.loss_weights()


def model(stage: str, *, baseline: bool = False, external=None, **changes) -> Speech2FaceModel:
    """Return a small model at a stage's step."""
    config = TrainingConfig((1, 2, 3, 4), 1e-2, 1e-2, weights(), generator_share=0.5, ema=None)
    networks = small_networks(baseline=baseline)
    made = Speech2FaceModel(networks, replace(config, **changes), speakers=2, external=external)
    made.step = STEP[stage]
    return made


def state(made: Speech2FaceModel) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in made.networks.state_dict().items()}


def changed(made: Speech2FaceModel, batch: dict) -> set[str]:
    """Return the keys of the weights that one step changes."""
    before = state(made)
    made.training_step(batch)
    return {key for key, tensor in state(made).items() if not torch.equal(before[key], tensor)}


def trained(made: Speech2FaceModel, batch: dict) -> set[str]:
    """Return the networks that one step changes."""
    return {key.split(".")[0] for key in changed(made, batch)}


def step(made: Speech2FaceModel, batch: dict) -> dict[str, float]:
    """Do a step and return its losses."""
    losses = made.training_step(batch)
    return {name: float(torch.as_tensor(value).detach()) for name, value in losses.items()}


def window(batch: dict, *, spacing: int = 1) -> FrameWindow:
    return FrameWindow(batch, frames=5, length=ITEM_FRAMES - LOOK_AHEAD, spacing=spacing)


@pytest.fixture(scope="module")
def batch() -> dict:
    return small_batch()


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_has_its_networks_and_losses(stage: str, batch: dict) -> None:
    made = model(stage)
    assert trained(made, batch) == TRAINED[stage]
    losses = step(made, batch)
    of_discriminators = {f"d_{name}" for name in DISCRIMINATORS} if stage == ADVERSARIAL else set()
    assert set(losses) == {"loss"} | names(stage) | of_discriminators
    total = sum(LOSSES[name].weight * losses[name] for name in names(stage))
    assert losses["loss"] == pytest.approx(total, rel=1e-4)


def test_large_faces_are_trained_coarse_to_fine(batch: dict) -> None:
    begin, last = 10, "generator.levels.2."
    config = replace(model(GENERATOR).config, stage_ends=(0, begin, 2 * begin, 3 * begin))
    networks = small_networks(coarse_to_fine=True)
    made = Speech2FaceModel(networks, config, speakers=2)
    for step_number, is_coarse in ((begin, True), (begin + 4, True), (begin + 5, False)):
        made.step = step_number
        keys = changed(made, batch)
        assert any(key.startswith("generator.levels.1.") for key in keys)
        assert any(key.startswith(last) for key in keys) != is_coarse
        assert any(key.startswith("generator.to_coarse_rgb") for key in keys)
    made.step = 2 * begin
    assert any(key.startswith(last) for key in changed(made, batch))


def test_smaller_real_frames_keep_their_regions(batch: dict) -> None:
    whole = window(batch)
    half = FrameWindow(batch, frames=5, length=ITEM_FRAMES - LOOK_AHEAD, shrink=2)
    assert torch.equal(half.real[0], torch.nn.functional.avg_pool2d(whole.real[0], 2))
    assert torch.equal(half.mouth_boxes, whole.mouth_boxes / 2)
    assert torch.equal(half.present, whole.present)


def test_other_speech_teaches_the_content_encoder_alone(batch: dict) -> None:
    count, frames = len(batch["speech"]), ITEM_FRAMES + 9
    torch.manual_seed(3)
    other = {
        "other_speech": torch.randn(count, frames, batch["speech"].shape[2]),
        "other_lips": torch.randn(count, frames, 4),
    }
    torch.manual_seed(0)
    plain = step(model(STUDENTS, weights=weights(ablate=("gan",))), batch)
    torch.manual_seed(0)
    both = step(model(STUDENTS, weights=weights(ablate=("gan",))), batch | other)
    assert set(both) - set(plain) == {"other_lips"}
    for name in set(plain) - {"loss"}:  # the same but for the sum, and for dropout's numbers
        assert both[name] == pytest.approx(plain[name], rel=1e-4, abs=1e-5), name
    alone = model(STUDENTS, weights={"other_lips": 1.0})
    keys = changed(alone, batch | other)
    assert {key.split(".")[0] for key in keys} == {"content", "heads"}
    assert all("lips" in key for key in keys if key.startswith("heads"))


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_an_ablation_changes_its_own_losses_only(ablation: str, batch: dict) -> None:
    own = {name for name, loss in LOSSES.items() if ablation in loss.ablations}
    for stage in (STUDENTS, ADVERSARIAL):
        if not own & names(stage):
            continue
        whole = step(model(stage), batch)
        left = step(model(stage, weights=weights(ablate=(ablation,))), batch)
        gone = own & names(stage)
        gone |= {f"d_{name[4:]}" for name in own if name.startswith("gan_")} & set(whole)
        # once frames are generated, an encoder without a teacher learns from them
        not_distilled = set(GONE_WITH) & own if stage == ADVERSARIAL else set()
        assert set(whole) - set(left) == gone.union(*(GONE_WITH[name] for name in not_distilled))
        if not_distilled:
            continue  # frames of the encoder's codes in place of the teacher's: all are others
        for name in set(left) - {"loss"}:
            assert left[name] == pytest.approx(whole[name], rel=1e-5, abs=1e-7), name


def test_the_identity_bank_is_trained_before_the_generator(batch: dict) -> None:
    made, plain = model(STUDENTS), model(STUDENTS, weights=weights("identity_bank=0"))
    moved = changed(made, batch)
    assert {key for key in moved if key.startswith("generator")} == {
        "generator.identity_bank.identities"
    }
    first, other = (step(one, batch) for one in (model(STUDENTS), plain))
    assert set(first) == {"identity_bank"} | set(other)
    for name in set(other) - {"loss"}:
        assert first[name] == other[name], name
    for _ in range(40):
        made.step = STEP[STUDENTS]
        last = step(made, batch)
    assert last["identity_bank"] < 0.7 * first["identity_bank"]


def test_an_encoder_without_a_teacher_learns_from_frames(batch: dict) -> None:
    for name in ("identity", "emotion"):
        made = model(GENERATOR, weights=weights(ablate=(f"{name}_distillation",)))
        assert trained(made, batch) == TRAINED[GENERATOR] | {name}


def test_the_baseline_learns_from_reference_images(batch: dict) -> None:
    assert trained(model(ADVERSARIAL, baseline=True), batch) == TRAINED[ADVERSARIAL]


def test_without_any_weight_nothing_is_trained(batch: dict) -> None:
    for stage in STAGES:
        assert trained(model(stage, weights={}), batch) == set()


def test_external_teachers_replace_ours(batch: dict) -> None:
    seen = []

    def recognise(frames: Tensor) -> Tensor:
        seen.append(len(frames))
        return torch.eye(128)[: len(frames)]

    own = step(model(STUDENTS), batch)
    other = step(model(STUDENTS, external={"identity": recognise}), batch)
    assert seen == [3 * len(batch["mel"])]
    assert other["identity_distance"] != own["identity_distance"]
    assert other["emotion_distance"] == own["emotion_distance"]
    assert "posterior" in own and "posterior" not in other


def test_the_schedule_follows_the_step() -> None:
    schedule = TrainingConfig((100, 300, 700, 1000), lr=1, lr_d=1, weights={})
    stages = [schedule.stage(n) for n in (0, 99, 100, 299, 300, 699, 700, 999, 5000)]
    assert stages == [TEACHERS] * 2 + [STUDENTS] * 2 + [GENERATOR] * 2 + [ADVERSARIAL] * 3
    share = schedule.lr_share
    for begin in (0, 100, 300):  # each part warms up anew
        assert share(begin) == pytest.approx(1 / WARM_UP, rel=0.01)
    assert share(299) < 0.05 and share(999) < 0.05 and share(400) > 0.9
    assert share(699) == pytest.approx(share(700), rel=0.02)  # both last stages are one part
    assert replace(schedule, stage_ends=(0, 0, 0, 10)).stage(0) == ADVERSARIAL


@pytest.mark.parametrize(("stage", "share"), [(GENERATOR, 0.05), (ADVERSARIAL, 0.3)])
def test_portraits_learn_more_slowly(batch: dict, stage: str, share: float) -> None:
    made = model(stage)
    before = state(made)
    made.set_learning_rates()
    made.training_step(batch)
    rate = made.schedules[MAIN](made.step)
    moved = {key: (one - before[key]).abs().max() for key, one in state(made).items()}
    # Adam's first steps are as large as the rate
    assert float(moved["generator.to_rgb.bias"]) == pytest.approx(rate, rel=0.01)
    portraits = [value for key, value in moved.items() if key.startswith("generator.eigenfaces.")]
    assert float(max(portraits)) == pytest.approx(share * rate, rel=0.1)
    everything = {id(parameter) for parameter in made.networks.parameters()}
    groups = [group for one in made.optimizers.values() for group in one.param_groups]
    optimized = [parameter for group in groups for parameter in group["params"]]
    assert len(optimized) == len(everything) and {id(one) for one in optimized} == everything


def test_the_gradient_penalty_is_lazy() -> None:
    schedule = TrainingConfig((0, 0, 0, 100), lr=1, lr_d=1, weights={}, r1=0.5, r1_every=4)
    weights = [schedule.r1_weight(n) for n in range(100)]
    assert weights[:5] == [2.0, 0, 0, 0, 2.0]
    assert sum(weights) == pytest.approx(100 * 0.5)


def test_the_gradient_penalty_reaches_every_discriminator(batch: dict) -> None:
    states = []
    for every in (STEP[ADVERSARIAL], STEP[ADVERSARIAL] + 1):  # in this step, or not
        made = model(ADVERSARIAL, r1=1.0, r1_every=every)
        made.training_step(batch)
        states.append(state(made))
    differing = {k.split(".")[0] for k in states[0] if not torch.equal(states[0][k], states[1][k])}
    assert {f"discriminator_{name}" for name in DISCRIMINATORS} <= differing


def test_adversarial_losses_stay_bounded(batch: dict) -> None:
    made = model(ADVERSARIAL, lr=1e-3, lr_d=1e-3, r1=0.1, r1_every=4)
    for _ in range(12):
        found = step(made, batch)
    assert all(np.isfinite(value) for value in found.values())
    for name in DISCRIMINATORS:
        assert 0 <= found[f"d_{name}"] < 2 and abs(found[f"gan_{name}"]) < 20, name


@pytest.mark.parametrize(("name", "boxes"), [("mouth", "mouth_boxes"), ("eyes", "eye_boxes")])
def test_regions_are_crops_of_present_frames(batch: dict, name: str, boxes: str) -> None:
    made = window(batch)
    synthesis = SynthesisBatch(made, made.real.flip(0), torch.zeros(len(made.real), 128))
    real, fake, others = synthesis.discriminator_inputs(name)
    count = 3 * len(batch["mel"])  # every second of five frames
    assert real.shape == fake.shape == (count, 3, 64, 64) and others["present_N"].shape == (count,)
    x0, y0, x1, y1 = getattr(made, boxes)[0, 2].round().int().tolist()
    own = made.real[0, 2, :, y0:y1, x0:x1].mean((1, 2))
    torch.testing.assert_close(real[1].mean((1, 2)), own, atol=0.1, rtol=0)
    assert not torch.equal(real, fake)


def test_weights_can_be_given_and_losses_ablated() -> None:
    assert weights() == {name: loss.weight for name, loss in LOSSES.items()}
    assert weights("gan_sync=2")["gan_sync"] == 2
    left = weights("gan_sync=2", "lips=3", ablate=("gan", "covariance"))
    assert not {"gan_sync", "gan_frame", "covariance"} & set(left) and left["lips"] == 3
    with pytest.raises(OptionError, match="--weights gan: no such loss"):
        weights("gan=1")


@pytest.mark.parametrize(
    ("spacing", "expected"), [(1, 1), (2, 2), (100, (ITEM_FRAMES - LOOK_AHEAD - 5) // 4)]
)
def test_a_window_is_of_frames_and_their_own_speech(
    batch: dict, spacing: int, expected: int
) -> None:
    made = window(batch, spacing=spacing)
    indices = made.select(torch.arange(ITEM_FRAMES).expand(len(batch["mel"]), -1))
    assert (indices[:, 1:] - indices[:, :-1] == expected).all()
    assert int(indices.min()) >= 4 and int(indices.max()) < ITEM_FRAMES - LOOK_AHEAD
    for item, frames in enumerate(indices):
        mels = [batch["mel"][item][:, 4 * t : 4 * t + 4] for t in frames.tolist()]
        assert torch.equal(made.mel[item], torch.cat(mels, 1))
        real = batch["frames"][item][frames].float() / 127.5 - 1
        torch.testing.assert_close(made.real[item], real)


def test_a_static_face_has_a_temporal_loss(batch: dict) -> None:
    made = window(batch)
    identity = torch.zeros(len(made.real), 128)
    for fake, is_zero in ((made.real, True), (made.real[:, :1].expand_as(made.real), False)):
        loss = SynthesisBatch(made, fake, identity).image_terms()["temporal"]()
        assert (float(loss) == 0) == is_zero


def test_real_mouths_with_shifted_speech_are_fakes(batch: dict) -> None:
    made = window(batch)
    synthesis = SynthesisBatch(made, torch.zeros_like(made.real), torch.zeros(len(made.real), 128))
    real, fake, _ = synthesis.discriminator_inputs("sync")
    count, mouths = len(batch["mel"]), 15 * 32 * 32
    assert len(real) == len(fake) == 2 * count
    assert torch.equal(fake[count:, :mouths], real[:count, :mouths])
    assert not torch.equal(fake[count:, mouths:], real[:count, mouths:])
    assert len(synthesis.discriminator_inputs("sync", generated_only=True)[1]) == count


def test_absent_frames_have_no_loss() -> None:
    shown = small_batch(2)
    shown["present"][1] = shown["lips_seen"][1] = 0
    other = {**shown, "frames": shown["frames"].clone()}
    other["frames"][1] = 255 - other["frames"][1]
    used = dict.fromkeys(
        ("reconstruction", "perceptual_lips", "gan_frame", "gan_sync", "temporal"), 1.0
    )
    first, second = (
        step(model(ADVERSARIAL, weights=used, generator_share=1.0), one) for one in (shown, other)
    )
    for name in used:
        assert first[name] == pytest.approx(second[name], rel=1e-4), name


def test_validation_metrics() -> None:
    made, clips = model(GENERATOR), recordings()[::4]
    with made.evaluating():
        metrics = made.validate(clips, None)
        unlabelled = made.validate([replace(one, emotion="") for one in clips], None)
    assert set(metrics) == {
        *("voice_identity", "identity", "voice_emotion", "emotion", "voice_lips", "lips"),
        *("psnr", "mouth_ssim"),
    }
    assert 0 <= metrics["voice_identity"] <= 1 and metrics["psnr"] > 0
    assert set(metrics) - set(unlabelled) == {"voice_emotion", "emotion"}
    assert all(unlabelled[name] == metrics[name] for name in unlabelled)
