"""Options of `train_speech2face.py`, and the table of its losses."""

from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from speech2video.options.base import TRUST_HELP, check_pairs, grouped, inherit
from speech2video.options.training import TrainingOptions, parse_loss_weights
from speech2video.util.audio.features import FEATURE_SETS, check_features
from speech2video.util.errors import DataError, OptionError

NONE, REFERENCE_IMAGE = "none", "reference_image"
MEL = "mel"  # log-mels normalised over the whole utterance; not one of `FEATURE_SETS`
TEACHERS, STUDENTS, GENERATOR, ADVERSARIAL = "teachers", "students", "generator", "adversarial"
STAGES = (TEACHERS, STUDENTS, GENERATOR, ADVERSARIAL)


class Loss(NamedTuple):
    """A training loss: default weight, what it trains, its stages, groups of --ablate it is in."""

    weight: float
    trains: str
    stages: tuple[str, ...]
    ablations: tuple[str, ...] = ()


_SPEECH = STAGES[1:]
_FRAMES = STAGES[2:]
LOSSES: dict[str, Loss] = {
    "teacher_speaker": Loss(1.0, "identity teacher", (TEACHERS,)),
    "teacher_emotion": Loss(1.0, "emotion teacher", (TEACHERS,)),
    "teacher_lips": Loss(1.0, "lip teacher", (TEACHERS,)),
    "identity_distance": Loss(1.0, "identity", _SPEECH, ("identity_distillation", "distillation")),
    "contrastive": Loss(0.5, "identity", _SPEECH, ("identity_distillation", "distillation")),
    "posterior": Loss(1.0, "identity", _SPEECH, ("identity_distillation", "distillation")),
    "emotion_distance": Loss(1.0, "emotion", _SPEECH, ("emotion_distillation", "distillation")),
    "lips": Loss(1.0, "content", _SPEECH, ("lip_distillation", "distillation")),
    # of --lip_dataset only
    "other_lips": Loss(1.0, "content", _SPEECH, ("lip_distillation", "distillation")),
    "identity_bank": Loss(1.0, "identity bank", _SPEECH),
    "speaker_in_emotion": Loss(0.05, "emotion", _SPEECH, ("gradient_reversal", "disentangling")),
    "emotion_in_identity": Loss(0.05, "identity", _SPEECH, ("gradient_reversal", "disentangling")),
    "speaker_in_content": Loss(0.05, "content", _SPEECH, ("gradient_reversal", "disentangling")),
    "covariance": Loss(0.1, "identity, emotion", _SPEECH, ("covariance", "disentangling")),
    "motion_statistics": Loss(1.0, "head motion", (STUDENTS,)),
    "reconstruction": Loss(1.0, "frames", _FRAMES),
    "structural": Loss(0.2, "frames", _FRAMES),
    "temporal": Loss(1.0, "frame differences", _FRAMES),
    # of the teachers' features; larger weights give specks that please the teachers
    "perceptual_identity": Loss(0.02, "frames", _FRAMES, ("perceptual",)),
    "perceptual_emotion": Loss(0.005, "frames", _FRAMES, ("perceptual",)),
    "perceptual_lips": Loss(0.01, "mouths", _FRAMES, ("perceptual",)),
    "gan_frame": Loss(0.08, "frames", (ADVERSARIAL,), ("frame", "gan")),
    "feature_matching": Loss(0.2, "frames", (ADVERSARIAL,), ("frame", "gan")),
    "gan_mouth": Loss(0.04, "mouths", (ADVERSARIAL,), ("regions", "gan")),
    "gan_eyes": Loss(0.04, "eyes and brows", (ADVERSARIAL,), ("regions", "gan")),
    "region_matching": Loss(0.2, "mouths, eyes", (ADVERSARIAL,), ("regions", "gan")),
    "gan_sequence": Loss(0.005, "frames in order", (ADVERSARIAL,), ("sequence", "gan")),
    "gan_sync": Loss(0.01, "mouths with speech", (ADVERSARIAL,), ("sync", "gan")),
    "gan_emotion": Loss(0.005, "frames", (ADVERSARIAL,), ("emotion", "gan")),
}
ABLATIONS = tuple(dict.fromkeys(name for loss in LOSSES.values() for name in loss.ablations))


@dataclass(frozen=True)
class TrainSpeech2FaceOptions(TrainingOptions):
    """Train speech to a talking face on clips of many people's faces and voices."""

    KIND: ClassVar[str] = "speech2face"
    BEFORE: ClassVar[dict[str, Any]] = {"portrait_scale": 1, "features": MEL, "lip_scale": 1.0}
    TRAINING_ONLY: ClassVar[tuple[str, ...]] = ("teachers", "heads")
    MACHINE_FILES: ClassVar[tuple[str, ...]] = (
        "lip_dataset",
        "identity_teacher",
        "emotion_teacher",
        "emotion_classes",
        "trust_torchscript",
    )

    pretrained: str | None = grouped.files(
        None,
        "run of the same architecture whose weights to start from, except those of its speakers",
    )
    steps: int = inherit(TrainingOptions, "steps", 4000)
    generator_batch_size: int = grouped.training(
        4, "samples of the batch to generate frames of, the slow part", min=1
    )
    ema: float = inherit(TrainingOptions, "ema", 0.998)
    precision: str = grouped.training("fp32", "32 bits", choices=("fp32",))
    stage_shares: tuple[float, ...] = grouped.training(
        (8.0, 17.0, 50.0, 25.0), f"per cent of the steps for each stage: {', '.join(STAGES)}", min=0
    )
    stage_steps: tuple[int, ...] = grouped.training(
        (), "instead: steps of each stage, --steps together", min=0
    )

    size: int = grouped.architecture(
        128,
        "pixels a side of the face; 256 are first trained at half the size",
        choices=(64, 128, 256),
    )
    portrait_scale: int = grouped.architecture(
        2,
        "pixels of a portrait for one of a frame, across and down: 2 keeps it sharp",
        choices=(1, 2),
    )
    num_speakers: int = grouped.architecture(
        1, "in the identity bank; set to those of the dataset", min=1, max=100_000
    )
    baseline: str = grouped.architecture(
        NONE,
        "reference_image: the paper's baseline, whose generator is given an image of the person",
        choices=(NONE, REFERENCE_IMAGE),
    )
    features: str = grouped.architecture(
        f"phonetic+{MEL}",
        f"speech that lips follow: {MEL}, or as in audio2pose {', '.join(FEATURE_SETS)}, or a "
        "pretrained encoder; several are joined by +",
    )
    look_ahead: int = grouped.architecture(
        5, "frames of audio after each frame to encode", min=0, max=15
    )
    noise: int = grouped.architecture(
        16,
        "random numbers a frame, from which the motion of head and lids is generated",
        min=1,
        max=1000,
    )

    lip_scale: float = grouped.result(
        1.0, "at inference, scale of lip motion relative to silence", min=0, max=4
    )

    identity_teacher: Path | None = grouped.teachers(
        None, "face-recognition network, ONNX or TorchScript; by default trained"
    )
    emotion_teacher: Path | None = grouped.teachers(
        None, "expression network, ONNX or TorchScript; by default trained"
    )
    emotion_classes: tuple[str, ...] = grouped.teachers(
        (), "emotions of its outputs; by default all eight in order"
    )
    trust_torchscript: bool = grouped.machine(False, TRUST_HELP)
    teacher_size: int = grouped.teachers(112, "pixels a side of their inputs", min=16, max=1024)

    lip_dataset: Path | None = grouped.data(
        None,
        "clips of speech and motion (make_demo_speech.py) whose lips are learned, too: more voices",
    )
    held_out_sentences: tuple[str, ...] = grouped.data(
        (), "to validate on; by default the last fifth of each speaker's"
    )
    held_out_speakers: tuple[str, ...] = grouped.data((), "not to train on")
    seq_len: int = grouped.data(25, "frames of a sample", min=16)
    num_frames: int = grouped.data(5, "frames of a sample to generate", min=5, max=100)
    num_augmentations: int = grouped.data(
        4,
        "audio versions of each clip, with other noise, echo and colour; 1: the recorded one only",
        min=1,
        max=100,
    )
    epoch_items: int | None = grouped.data(
        None, "samples of an epoch; by default all frames once", min=1
    )

    cache: float = grouped.machine(
        4.0, "gigabytes of frames and spectra to keep, in each process that loads", min=0.01
    )

    dropout: float = grouped.training(0.2, "of the speech encoders", min=0, max=0.9)
    ablate: tuple[str, ...] = grouped.losses((), "groups of losses to leave out", choices=ABLATIONS)
    weights: tuple[str, ...] = grouped.losses(
        (), "NAME=NUMBER, weights of losses to change: gan_sync=0.1"
    )
    lr_d: float = grouped.losses(2e-4, "learning rate of the discriminators", min=0)
    ndf: int = grouped.losses(16, "channels of the discriminators' first layer", min=1, max=1024)
    r1: float = grouped.losses(
        0.1, "weight of the discriminators' gradient penalty on real frames (R1); 0: none", min=0
    )
    r1_every: int = grouped.losses(
        16,
        "steps from one gradient penalty to the next, which weighs as much as all of them",
        min=1,
    )
    validate_clips: int = grouped.checkpoints(8, "held-out clips to validate on", min=1)
    validate_frames: int = grouped.checkpoints(75, "frames of each of them to generate", min=10)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("stage_shares", "stage_steps"):
            given = getattr(self, name)
            if given and len(given) != len(STAGES):
                raise OptionError(f"--{name}: {len(STAGES)} numbers are needed, not {len(given)}")
        if self.stage_steps and sum(self.stage_steps) != self.steps:
            total = sum(self.stage_steps)
            raise OptionError(f"--stage_steps: {total} together; --steps {total} is needed")
        if not self.stage_steps and sum(self.stage_shares) <= 0:
            raise OptionError("--stage_shares: at least one above 0 is needed")
        if self.generator_batch_size > self.batch_size:
            raise OptionError(
                f"--generator_batch_size {self.generator_batch_size}: "
                f"--batch_size has {self.batch_size}"
            )
        needed = self.look_ahead + self.num_frames + 1
        if self.seq_len < needed:
            raise OptionError(
                f"--seq_len {self.seq_len}: with --look_ahead and --num_frames {needed} are needed"
            )
        for part in self.features.split("+"):
            try:
                if part != MEL:
                    check_features(part)
            except DataError as error:
                raise OptionError(f"--{error}") from None
        if self.emotion_classes and self.emotion_teacher is None:
            raise OptionError("--emotion_classes: makes sense with --emotion_teacher only")
        check_pairs(self, "weights")

    def stage_ends(self) -> tuple[int, ...]:
        """Return the step before which each stage ends."""
        shares = self.stage_steps or self.stage_shares
        return tuple(round(done / sum(shares) * self.steps) for done in accumulate(shares))

    def loss_weights(self) -> dict[str, float]:
        """Return the weights of the losses in use; raises `OptionError` for unknown ones."""
        given = parse_loss_weights(self.weights, tuple(LOSSES))
        weights = {name: loss.weight for name, loss in LOSSES.items()} | given
        return {
            name: weight
            for name, weight in weights.items()
            if weight and not set(LOSSES[name].ablations) & set(self.ablate)
        }
