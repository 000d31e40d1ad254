"""What a person may choose for `train_speech2face.py`."""

import dataclasses
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import ClassVar

from speech2video.options.base import option
from speech2video.options.training import ARCHITECTURE, TrainingOptions
from speech2video.util.errors import OptionError

NONE, REFERENCE_IMAGE = "none", "reference_image"
STAGES = ("teachers", "students", "generator", "adversaries")
SHARES = (8.0, 17.0, 50.0, 25.0)  # of the steps, per cent
# what --without takes, and which losses go with it
ABLATIONS: dict[str, tuple[str, ...]] = {
    "identity_distillation": ("identity_distance", "contrast", "posterior"),
    "emotion_distillation": ("emotion_distance",),
    "lip_distillation": ("lips",),
    "gradient_reversal": ("speaker_in_emotion", "emotion_in_identity", "speaker_in_content"),
    "covariance": ("covariance",),
    "teachers_eyes": ("seen_identity", "seen_emotion", "seen_lips"),
    "frame": ("frame", "matching"),
    "sequence": ("sequence",),
    "sync": ("sync",),
    "emotion": ("emotion",),
}
ABLATIONS |= {
    name: tuple(loss for part in parts for loss in ABLATIONS[part])
    for name, parts in (
        ("distillation", ("identity_distillation", "emotion_distillation", "lip_distillation")),
        ("disentangling", ("gradient_reversal", "covariance")),
        ("adversaries", ("frame", "sequence", "sync", "emotion")),
    )
}


@dataclass(frozen=True)
class TrainSpeech2FaceOptions(TrainingOptions):
    """Train speech to a talking face: many people's faces and voices, from clips of them."""

    KIND: ClassVar[str] = "speech2face"
    TRAINING_ONLY: ClassVar[tuple[str, ...]] = ("teachers", "heads")

    pretrained: str | None = option(
        None,
        "begin with the weights of the run of this name, of the same architecture: with what it "
        "knows of speech, not with its people",
        group="files",
    )
    steps: int | None = option(4000, "stop after so many steps", group="training", minimum=1)
    batch_size: int = option(
        16, "clips of one step, over all processes together", group="training", minimum=1
    )
    painted: int = option(
        4,
        "of them that faces are painted of, over all processes together: that takes the time",
        group="training",
        minimum=1,
    )
    lr: float = option(1e-3, "size of a step", group="training", minimum=0)
    ema: float = option(
        0.998,
        "decay of the averaged weights, which are those that are used; 0: no average",
        group="training",
        minimum=0,
        maximum=0.999999,
    )
    precision: str = option("fp32", "32 bits", group="training", choices=("fp32",))
    stage_shares: tuple[float, ...] = option(
        SHARES,
        f"per cent of the steps for each stage: {', '.join(STAGES)}",
        group="training",
        minimum=0,
    )
    stage_steps: tuple[int, ...] = option(
        (), "instead: steps of each stage, --steps together", group="training", minimum=0
    )

    size: int = option(128, "pixels a side of the face", group=ARCHITECTURE, choices=(64, 128))
    people: int = option(
        1, "that it knows; training counts those of its data set", group=ARCHITECTURE, minimum=1
    )
    baseline: str = option(
        NONE,
        "still: the paper's baseline, whose generator is given a picture of the person",
        group=ARCHITECTURE,
        choices=(NONE, REFERENCE_IMAGE),
    )
    look_ahead: int = option(
        5,
        "frames of 0.04 s that are heard before a picture is given",
        group=ARCHITECTURE,
        minimum=0,
        maximum=15,
    )
    noise: int = option(
        16,
        "random numbers a frame, from which head and lids move",
        group=ARCHITECTURE,
        minimum=1,
        maximum=1000,
    )

    identity_teacher: Path | None = option(
        None,
        "face-recognition network, TorchScript or ONNX; a small one is trained if left out",
        group="teachers",
    )
    emotion_teacher: Path | None = option(
        None,
        "expression network, TorchScript or ONNX; a small one is trained if left out",
        group="teachers",
    )
    emotion_classes: tuple[str, ...] = option(
        (),
        "the emotion of each of its outputs; data/speech2face/clip.py's if left out",
        group="teachers",
    )
    teacher_size: int = option(
        112, "pixels a side that these take", group="teachers", minimum=16, maximum=1024
    )

    held_out_sentences: tuple[str, ...] = option(
        (), "to validate on; the last fifth of each speaker's if left out", group="data"
    )
    held_out_speakers: tuple[str, ...] = option((), "not to train on", group="data")
    frames: int = option(25, "of a clip's stretch that is heard", group="data", minimum=16)
    pictures: int = option(5, "of these that are painted", group="data", minimum=5, maximum=100)
    num_augmentations: int = option(
        4,
        "ways each clip is heard: other noise, room, colour; 1: as it is",
        group="data",
        minimum=1,
        maximum=100,
    )
    epoch_items: int | None = option(
        None, "stretches that make an epoch; all frames once if left out", group="data", minimum=1
    )

    dropout: float = option(
        0.2,
        "share of what is known of a voice that is left out, so that no single detail tells",
        group="training",
        minimum=0,
        maximum=0.9,
    )
    without: tuple[str, ...] = option(
        (), "leave terms out, for ablation", group="losses", choices=tuple(ABLATIONS)
    )
    weights: tuple[str, ...] = option(
        (), "NAME=NUMBER, for other than models/speech2face/losses.py's: sync=0.1", group="losses"
    )
    lr_d: float = option(2e-4, "learning rate of the discriminators", group="losses", minimum=0)
    validate_clips: int = option(8, "held-out clips to validate on", group="checkpoints", minimum=1)
    validate_frames: int = option(75, "of each of them, painted", group="checkpoints", minimum=10)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("stage_shares", "stage_steps"):
            given = getattr(self, name)
            if given and len(given) != len(STAGES):
                raise OptionError(f"--{name}: {len(STAGES)} numbers are needed, not {len(given)}")
        if self.stage_steps and sum(self.stage_steps) != self.steps:
            total = sum(self.stage_steps)
            raise OptionError(f"--stage_steps: {total} together; --steps {total} is needed")
        if self.steps is None:
            raise OptionError("--steps is needed: the stages are shares of it")
        if not self.stage_steps and sum(self.stage_shares) <= 0:
            raise OptionError("--stage_shares: at least one above 0 is needed")
        if self.painted > self.batch_size:
            raise OptionError(f"--painted {self.painted}: --batch_size has {self.batch_size}")
        room = self.frames - self.look_ahead - self.pictures
        if room < 1:
            needed = self.look_ahead + self.pictures + 1
            raise OptionError(
                f"--frames {self.frames}: with --look_ahead and --pictures {needed} are needed"
            )
        if self.emotion_classes and self.emotion_teacher is None:
            raise OptionError("--emotion_classes: makes sense with --emotion_teacher only")
        for pair in self.weights:
            if "=" not in pair:
                raise OptionError(f"--weights {pair}: NAME=VALUE is needed")

    def stage_ends(self) -> tuple[int, ...]:
        """Return the step before which each stage ends."""
        shares = self.stage_steps or self.stage_shares
        return tuple(round(done / sum(shares) * self.steps) for done in accumulate(shares))

    def for_shipping(self) -> "TrainSpeech2FaceOptions":
        """Return the options without this machine's folders and files."""
        return dataclasses.replace(
            super().for_shipping(),
            identity_teacher=None,
            emotion_teacher=None,
            emotion_classes=(),
        )
