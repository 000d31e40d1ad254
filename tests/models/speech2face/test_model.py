"""What a step of training teaches whom, stage by stage, and what leaving out a term leaves."""

from dataclasses import asdict, replace

import pytest
import torch
from torch import Tensor

from speech2video.models.speech2face.losses import (
    ADVERSARIAL,
    GENERATOR,
    STUDENTS,
    TEACHERS,
    WARM_UP,
    FaceLossWeights,
    Schedule,
    SynthesisBatch,
)
from speech2video.models.speech2face.model import FACE_DISCRIMINATORS, Speech2FaceModel
from speech2video.options.speech2face import ABLATIONS, STAGES
from speech2video.util.errors import OptionError
from tests.face_clips import ITEM_FRAMES, LOOK_AHEAD, recordings, small_batch, small_networks

STEP = dict(zip(STAGES, range(4), strict=True))  # of a schedule with a step for each stage
LEARNS = {
    TEACHERS: {"teachers"},
    STUDENTS: {"identity", "emotion", "content", "noise", "heads", "generator"},
    GENERATOR: {"identity", "emotion", "content", "heads", "generator"},
    ADVERSARIAL: {
        *("identity", "emotion", "content", "heads", "generator"),
        *(f"discriminator_{name}" for name in FACE_DISCRIMINATORS),
    },
}
HEARD = {
    "looks",
    "identity_distance",
    "contrast",
    "posterior",
    "emotion_distance",
    "covariance",
} | {*("speaker_in_emotion", "emotion_in_identity", "speaker_in_content", "lips")}
GO_WITH = {
    "identity_distance": ("emotion_in_identity", "covariance", "looks"),
    "emotion_distance": ("speaker_in_emotion", "covariance"),
}
PAINTED = (
    HEARD
    | {"reconstruction", "structural", "movement"}
    | {f"seen_{name}" for name in ("identity", "emotion", "lips")}
)
LOSSES = {
    TEACHERS: {"taught_speaker", "taught_emotion", "taught_lips"},
    STUDENTS: HEARD | {"motion_statistics"},
    GENERATOR: PAINTED,
    ADVERSARIAL: {*PAINTED, *FACE_DISCRIMINATORS, "matching"},
}


def model(stage: str, *, reference_image: bool = False, **changes: object) -> Speech2FaceModel:
    usual = {"lr": 1e-2, "lr_d": 1e-2, "painted": 0.5, "ema": None}
    made = Speech2FaceModel(
        small_networks(reference_image=reference_image),
        speakers=2,
        schedule=Schedule((1, 2, 3, 4)),
        **usual | changes,
    )
    made.step = STEP[stage]
    return made


def state(made: Speech2FaceModel) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in made.networks.state_dict().items()}


def learned(made: Speech2FaceModel, batch: dict) -> set[str]:
    """Return which networks one step changes."""
    before = state(made)
    made.training_step(batch)
    after = state(made)
    return {key.split(".")[0] for key in after if not torch.equal(before[key], after[key])}


def numbers(losses: dict) -> dict[str, float]:
    return {name: float(torch.as_tensor(value).detach()) for name, value in losses.items()}


@pytest.fixture(scope="module")
def batch() -> dict:
    return small_batch()


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_has_its_pupils_and_losses(stage: str, batch: dict) -> None:
    made = model(stage)
    assert learned(made, batch) == LEARNS[stage]
    losses = numbers(made.training_step(batch))
    judges = {f"d_{name}" for name in FACE_DISCRIMINATORS} if stage == ADVERSARIAL else set()
    assert set(losses) == {"loss"} | LOSSES[stage] | judges
    weights = asdict(made.weights)
    total = sum(weights[name] * losses[name] for name in LOSSES[stage])
    assert losses["loss"] == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("term", ABLATIONS)
def test_a_term_left_out_changes_its_own_loss_alone(term: str, batch: dict) -> None:
    assert set(ABLATIONS[term]) <= set(asdict(FaceLossWeights()))
    for stage in (STUDENTS, ADVERSARIAL):
        if not set(ABLATIONS[term]) & LOSSES[stage]:
            continue
        without = FaceLossWeights.of((), without=(term,))
        whole, left = (
            numbers(model(stage, **given).training_step(batch))
            for given in ({}, {"weights": without})
        )
        gone = set(whole) - set(left)
        judges = {f"d_{name}" for name in ABLATIONS[term]} & set(whole)
        # once there is painting, a student without a teacher learns by it
        alone = ABLATIONS[term] if stage == ADVERSARIAL else ()
        untaught = {other for loss in alone for other in GO_WITH.get(loss, ())}
        assert gone == (set(ABLATIONS[term]) & LOSSES[stage]) | judges | untaught
        if set(GO_WITH) & set(alone):
            continue  # painted as it is heard, not as it is: all pictures are others
        for name in set(left) - {"loss"}:
            assert left[name] == pytest.approx(whole[name], rel=1e-5, abs=1e-7), name


def test_the_gallery_learns_whom_a_code_means_before_any_is_painted(batch: dict) -> None:
    made, plain = model(STUDENTS), model(STUDENTS, weights=FaceLossWeights.of(("looks=0",)))
    before = state(made)
    first, usual = (numbers(one.training_step(batch)) for one in (made, plain))
    moved = {key for key, weight in state(made).items() if not torch.equal(before[key], weight)}
    assert {key for key in moved if key.startswith("generator")} == {"generator.gallery.voices"}
    assert set(first) == {"looks"} | set(usual)
    for name in set(usual) - {"loss"}:
        assert first[name] == usual[name], name
    for _ in range(40):
        made.step = STEP[STUDENTS]
        last = numbers(made.training_step(batch))
    assert last["looks"] < 0.7 * first["looks"]


def test_a_student_without_a_teacher_learns_by_painting(batch: dict) -> None:
    for terms, name in (("identity_distillation", "identity"), ("emotion_distillation", "emotion")):
        made = model(GENERATOR, weights=FaceLossWeights.of((), without=(terms,)))
        assert learned(made, batch) == LEARNS[GENERATOR] | {name}


def test_the_baseline_learns_from_stills(batch: dict) -> None:
    made = model(ADVERSARIAL, reference_image=True)
    assert learned(made, batch) == LEARNS[ADVERSARIAL]


def test_without_any_weight_nothing_is_learned(batch: dict) -> None:
    nothing = FaceLossWeights(**dict.fromkeys(asdict(FaceLossWeights()), 0.0))
    for stage in STAGES:
        assert learned(model(stage, weights=nothing), batch) == set()


def test_a_users_teachers_take_the_places_of_ours(batch: dict) -> None:
    seen = []

    def look(frames: Tensor) -> Tensor:
        seen.append(len(frames))
        return torch.eye(128)[: len(frames)]

    told = numbers(model(STUDENTS).training_step(batch))
    other = numbers(model(STUDENTS, given={"identity": look}).training_step(batch))
    assert seen == [3 * len(batch["mel"])]
    assert other["identity_distance"] != told["identity_distance"]
    assert other["emotion_distance"] == told["emotion_distance"]
    assert "posterior" in told and "posterior" not in other


def test_the_schedule_goes_by_the_step() -> None:
    schedule = Schedule((100, 300, 700, 1000))
    stages = [schedule.stage(step) for step in (0, 99, 100, 299, 300, 699, 700, 999, 5000)]
    assert stages == [TEACHERS] * 2 + [STUDENTS] * 2 + [GENERATOR] * 2 + [ADVERSARIAL] * 3
    rate = schedule.rate_share
    for begin in (0, 100, 300):  # each part begins anew, and softly
        assert rate(begin) == pytest.approx(1 / WARM_UP, rel=0.01)
    assert rate(299) < 0.05 and rate(999) < 0.05 and rate(400) > 0.9
    assert rate(699) == pytest.approx(rate(700), rel=0.02)  # adversaries interrupt nothing
    assert Schedule((0, 0, 0, 10)).stage(0) == ADVERSARIAL


def test_weights_can_be_said_and_terms_left_out() -> None:
    assert FaceLossWeights.of(()) == FaceLossWeights()
    assert FaceLossWeights.of(("sync=2",)).sync == 2
    left = FaceLossWeights.of(("sync=2", "lips=3"), without=("adversaries", "covariance"))
    assert (left.sync, left.frame, left.covariance, left.lips) == (0, 0, 0, 3)
    assert "sync" not in left.used and "lips" in left.used
    with pytest.raises(OptionError, match="--weights gan: no such loss"):
        FaceLossWeights.of(("gan=1",))


def test_a_painting_is_of_frames_and_their_own_speech(batch: dict) -> None:
    length = ITEM_FRAMES - LOOK_AHEAD
    painting = SynthesisBatch(batch, pictures=5, length=length)
    places = torch.arange(ITEM_FRAMES).expand(len(batch["mel"]), -1)
    picked = painting.picked(places)
    assert (picked[:, 1:] - picked[:, :-1] == 1).all()
    assert int(picked.min()) >= 4 and int(picked.max()) < length
    for item, frames in enumerate(picked):
        columns = slice(4 * int(frames[0]), 4 * int(frames[-1]) + 4)
        assert torch.equal(painting.mel[item], batch["mel"][item][:, columns])
        real = batch["frames"][item][frames].float() / 127.5 - 1
        torch.testing.assert_close(painting.real[item], real)


def test_frames_of_a_painting_may_be_apart(batch: dict) -> None:
    length = ITEM_FRAMES - LOOK_AHEAD
    places = torch.arange(ITEM_FRAMES).expand(len(batch["mel"]), -1)
    for asked, found in ((2, 2), (100, (length - 5) // 4)):
        painting = SynthesisBatch(batch, pictures=5, length=length, apart=asked)
        picked = painting.picked(places)
        assert (picked[:, 1:] - picked[:, :-1] == found).all()
        assert int(picked.min()) >= 4 and int(picked.max()) < length
        last = batch["mel"][0][:, 4 * int(picked[0, -1]) :][:, :4]
        assert torch.equal(painting.mel[0][:, -4:], last)


def test_stillness_costs(batch: dict) -> None:
    painting = SynthesisBatch(batch, pictures=5, length=ITEM_FRAMES - LOOK_AHEAD)
    painting.fake = painting.real.clone()
    assert float(painting.picture_terms()["movement"]()) == 0
    painting.fake = painting.real[:, :1].expand_as(painting.real)
    assert float(painting.picture_terms()["movement"]()) > 0


def test_real_mouths_with_other_speech_are_fakes(batch: dict) -> None:
    painting = SynthesisBatch(batch, pictures=5, length=ITEM_FRAMES - LOOK_AHEAD)
    painting.fake = torch.zeros_like(painting.real)
    real, fake, _ = painting.view("sync")
    count = len(batch["mel"])
    assert len(real) == len(fake) == 2 * count
    mouths = 15 * 32 * 32
    assert torch.equal(fake[count:, :mouths], real[:count, :mouths])
    assert not torch.equal(fake[count:, mouths:], real[:count, mouths:])
    assert len(painting.view("sync", painted_only=True)[1]) == count


def test_absent_frames_teach_nobody() -> None:
    shown = small_batch(2)
    shown["present"][1] = shown["lips_seen"][1] = 0
    other = {**shown, "frames": shown["frames"].clone()}
    other["frames"][1] = 255 - other["frames"][1]
    used = {"reconstruction": 1.0, "seen_lips": 1.0, "frame": 1.0, "sync": 1.0, "movement": 1.0}
    nothing = FaceLossWeights(**dict.fromkeys(asdict(FaceLossWeights()), 0.0))
    losses = []
    for one in (shown, other):
        made = model(ADVERSARIAL, weights=replace(nothing, **used), painted=1.0)
        losses.append(numbers(made.training_step(one)))
    for name in used:
        assert losses[0][name] == pytest.approx(losses[1][name], rel=1e-4), name


def test_validation_says_what_it_should() -> None:
    made = model(GENERATOR)
    shown = recordings()[::4]
    with made.evaluating():
        figures = made.validate(shown, None)
    assert set(figures) == {
        *("voice_identity", "identity", "voice_emotion", "emotion", "voice_lips", "lips"),
        *("psnr", "mouth_ssim"),
    }
    assert 0 <= figures["voice_identity"] <= 1 and figures["psnr"] > 0
    with made.evaluating():
        unlabelled = made.validate([replace(one, emotion="") for one in shown], None)
    assert set(figures) - set(unlabelled) == {"voice_emotion", "emotion"}
    assert all(unlabelled[name] == figures[name] for name in unlabelled)
