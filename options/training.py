"""What all trainers let a person choose.

@dataclass(frozen=True)
class Audio2PoseOptions(TrainingOptions):
    KIND = "audio2pose"
    hidden_size: int = option(1024, "width of the LSTM", group="architecture")

Options of the group "architecture" belong to the weights: a run that goes on must keep them.
"""

import argparse
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from speech2video.options.base import REQUIRED, Options, option
from speech2video.util.checkpoint_folder import OPTIONS_FILE, newest_checkpoint
from speech2video.util.errors import OptionError

MACHINE = "machine"  # the group whose options a run that goes on does not take from its past
ARCHITECTURE = "architecture"
_NOT_GIVEN = object()


@dataclass(frozen=True)
class TrainingOptions(Options):
    """Train a model."""

    KIND: ClassVar[str] = ""  # audio2pose, pose2video, ...: the folder of its checkpoints
    FIXED: ClassVar[tuple[str, ...]] = ("precision", "ema")  # as fixed as the architecture
    TRAINING_ONLY: ClassVar[tuple[str, ...]] = ()  # networks that no shipped checkpoint holds

    name: str = option(REQUIRED, "the run's name; its folder in --checkpoints", group="files")
    dataset: Path = option(REQUIRED, "the data set's folder: datasets/NAME", group="files")
    checkpoints: Path = option(Path("checkpoints"), "where all runs' folders are", group="files")
    pretrained: str | None = option(
        None,
        "begin with the weights of the run of this name, of the same architecture",
        group="files",
    )

    steps: int | None = option(10000, "stop after so many steps", group="training", minimum=1)
    epochs: int | None = option(None, "stop after so many epochs", group="training", minimum=1)
    hours: float | None = option(
        None, "stop after so many hours of training in all", group="training", minimum=0
    )
    batch_size: int = option(
        16, "items of one step, over all processes together", group="training", minimum=1
    )
    lr: float = option(1e-3, "size of a step", group="training", minimum=0)
    grad_clip: float = option(
        1.0, "largest norm of a gradient; 0: any", group="training", minimum=0
    )
    ema: float = option(
        0.999,
        "decay of the averaged weights, which are those that are used; 0: no average",
        group="training",
        minimum=0,
        maximum=0.999999,
    )
    precision: str = option(
        "fp32",
        "32 bits, autocast to bf16, or bf16 weights with 32-bit masters",
        group="training",
        choices=("fp32", "autocast", "bf16"),
    )
    seed: int = option(0, "draws weights, order and augmentation", group="training", minimum=0)

    resume: str = option(
        "auto",
        "go on with the run of this name: if there is one, always, or never",
        group="checkpoints",
        choices=("auto", "always", "never"),
    )
    save_every: int = option(1000, "steps between checkpoints", group="checkpoints", minimum=1)
    keep: int = option(2, "checkpoints to keep beside the best", group="checkpoints", minimum=1)
    validate_every: int = option(1000, "steps between validations", group="checkpoints", minimum=1)
    best_metric: str | None = option(
        None,
        "figure of the validation that says which checkpoint is best: NAME where less is better, "
        "+NAME where more is",
        group="checkpoints",
    )
    patience: int | None = option(
        None,
        "stop after so many validations in which --best_metric got no better",
        group="checkpoints",
        minimum=1,
    )

    device: str = option("auto", "where to compute", group=MACHINE, choices=("auto", "cpu", "cuda"))
    workers: int = option(0, "processes that load data", group=MACHINE, minimum=0, maximum=256)

    def __post_init__(self) -> None:
        super().__post_init__()
        if Path(self.name).name != self.name or self.name.startswith(".") or not self.name:
            raise OptionError(f"--name {self.name}: a plain name is needed, not a path")
        if self.steps is None and self.epochs is None and self.hours is None:
            raise OptionError("one of --steps, --epochs and --hours is needed")
        if self.patience is not None and self.best_metric is None:
            raise OptionError("--patience: --best_metric is needed, the figure to go by")

    @property
    def folder(self) -> Path:
        """The run's folder: checkpoints, curves and pictures."""
        return self.checkpoints / self.name / self.KIND

    def for_shipping(self) -> "TrainingOptions":
        """Return the options without what belongs to one machine: folders, device, processes."""
        return dataclasses.replace(
            self,
            dataset=Path(self.dataset.name),
            checkpoints=Path("checkpoints"),
            pretrained=None,
            resume="auto",
            device="auto",
            workers=0,
        )

    @classmethod
    def parse(cls, arguments: Sequence[str] | None = None) -> "TrainingOptions":
        """Return a command line's options; exits with 2 on bad ones.

        Where a run of that name goes on, what is not given on the command line is as it was then
        (but for the group "machine").
        """
        options = super().parse(arguments)
        saved = None if options.resume == "never" else newest_checkpoint(options.folder)
        if saved is None:
            return options
        try:
            return _gone_on(
                options, cls.load(saved / OPTIONS_FILE), _given(cls.parser(), arguments)
            )
        except OptionError as error:
            cls.parser().exit(2, f"error: {error}\n")

    def pretrained_folder(self) -> Path | None:
        """Return the folder of --pretrained; None without it, or where this run goes on."""
        if self.pretrained is None or newest_checkpoint(self.folder) is not None:
            return None
        return self.checkpoints / self.pretrained / self.KIND

    def checkpoint_to_resume(self) -> Path | None:
        """Return the checkpoint that the run goes on from, None where it begins.

        Raises:
            OptionError: --resume forbids it, or the architecture was another one then.
        """
        saved = newest_checkpoint(self.folder)
        if saved is None:
            if self.resume == "always":
                raise OptionError(f"--resume always: no checkpoint in {self.folder}")
            return None
        if self.resume == "never":
            raise OptionError(
                f"--resume never: {self.folder} holds a run already; choose another --name"
            )
        self._check_same_architecture(type(self).load(saved / OPTIONS_FILE))
        return saved

    def _check_same_architecture(self, saved: "TrainingOptions") -> None:
        for field in dataclasses.fields(self):
            fixed = field.metadata["group"] == ARCHITECTURE or field.name in self.FIXED
            now, then = getattr(self, field.name), getattr(saved, field.name)
            if fixed and now != then:
                raise OptionError(
                    f"--{field.name} {now}: {self.folder} was trained with {then}; "
                    "leave it out, or choose another --name"
                )


def _given(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> set[str]:
    """Return the names of the options that a command line gives."""
    names = vars(parser.parse_args(arguments))
    untouched = argparse.Namespace(**dict.fromkeys(names, _NOT_GIVEN))
    parsed = vars(parser.parse_args(arguments, untouched))
    return {name for name, value in parsed.items() if value is not _NOT_GIVEN}


def _gone_on(now: TrainingOptions, then: TrainingOptions, given: set[str]) -> TrainingOptions:
    """Return the options of a run that goes on: those given now, else those of then."""
    taken = {
        field.name: getattr(then, field.name)
        for field in dataclasses.fields(now)
        if field.name not in given | {"name", "checkpoints", "resume"}
        and field.metadata["group"] != MACHINE
    }
    return dataclasses.replace(now, **taken)


# What each loss counts, as a person says it.


def parse_loss_weights(pairs: Sequence[str], known: Sequence[str]) -> dict[str, float]:
    """Return the weights that pairs NAME=NUMBER say.

    Raises:
        OptionError: no such loss, or no number that is 0 or more.
    """
    given: dict[str, float] = {}
    for name, _, text in (pair.partition("=") for pair in pairs):
        if name not in known:
            raise OptionError(f"--weights {name}: no such loss; {', '.join(known)} are known")
        try:
            given[name] = float(text)
        except ValueError:
            given[name] = math.nan
        if not 0 <= given[name] < math.inf:
            raise OptionError(f"--weights {name}={text}: a number, 0 or more, is needed")
    return given
