"""Options that all trainers share, and their values in a resumed run.

@dataclass(frozen=True)
class TrainAudio2PoseOptions(TrainingOptions):
    KIND = "audio2pose"
    lr: float = inherit(TrainingOptions, "lr", 2e-3)
    hidden_size: int = grouped.architecture(1024, "width of the LSTM")

Options of the group "architecture" belong to the weights: a resumed run must keep them.
"""

import argparse
import contextlib
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from speech2video.options.base import (
    ARCHITECTURE,
    FOLDER,
    MACHINE,
    REQUIRED,
    Options,
    check_name,
    grouped,
)
from speech2video.util.checkpoint_folder import OPTIONS_FILE, list_checkpoints, newest_checkpoint
from speech2video.util.errors import DataError, OptionError, UserError, one_line
from speech2video.util.files import NamedPath

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11 on

_NOT_GIVEN = object()


@dataclass(frozen=True)
class TrainingOptions(Options):
    """Train a model."""

    KIND: ClassVar[str] = ""  # audio2pose, pose2video, ...: the folder of its checkpoints
    FIXED: ClassVar[tuple[str, ...]] = ("precision", "ema")  # as fixed as the architecture
    TRAINING_ONLY: ClassVar[tuple[str, ...]] = ()  # networks left out of shipped checkpoints
    MACHINE_FILES: ClassVar[tuple[str, ...]] = ()  # options whose values are not shipped

    name: str = grouped.files(REQUIRED, "name of the run, a folder in --checkpoints")
    dataset: Path = grouped.files(REQUIRED, "dataset folder: datasets/NAME")
    checkpoints: Path = grouped.files(Path("checkpoints"), "folder of all runs")
    pretrained: str | None = grouped.files(
        None, "run whose weights are the initial ones, of the same architecture"
    )

    steps: int | None = grouped.training(10000, "stop after this many steps", min=1)
    epochs: int | None = grouped.training(None, "stop after this many epochs", min=1)
    hours: float | None = grouped.training(
        None, "stop after this many hours of training in all", min=0
    )
    batch_size: int = grouped.training(16, "samples per step, over all processes together", min=1)
    lr: float = grouped.training(1e-3, "initial learning rate", min=0)
    grad_clip: float = grouped.training(1.0, "largest norm of a gradient; 0: no clipping", min=0)
    ema: float = grouped.training(
        0.999,
        "decay of the moving average of weights (EMA), used at inference; 0: none",
        min=0,
        max=0.999999,
    )
    precision: str = grouped.training(
        "fp32",
        "32 bits, autocast to bf16, or bf16 weights with 32-bit masters",
        choices=("fp32", "autocast", "bf16"),
    )
    seed: int = grouped.training(0, "random seed of weights, order and augmentation", min=0)

    resume: str = grouped.checkpoints(
        "auto",
        "continue the run of this name: if there is one, always, never, or from the last good "
        "checkpoint, where newer ones are damaged",
        choices=("auto", "always", "never", "last_good"),
    )
    save_every: int = grouped.checkpoints(1000, "steps between checkpoints", min=1)
    keep: int = grouped.checkpoints(2, "checkpoints to keep in addition to the best", min=1)
    validate_every: int = grouped.checkpoints(1000, "steps between validations", min=1)
    best_metric: str | None = grouped.checkpoints(
        None,
        "validation metric of the best checkpoint: NAME where less is better, +NAME where more is",
    )
    patience: int | None = grouped.checkpoints(
        None, "stop after this many validations without a better --best_metric", min=1
    )

    use_all_frames: bool = grouped.data(
        False, "train on frames without the person or with a bad fit, too"
    )

    device: str = grouped.machine("auto", "where to compute", choices=("auto", "cpu", "cuda"))
    workers: int = grouped.machine(0, "processes that load data", min=0, max=256)
    tf32: bool = grouped.machine(
        False, "on a GPU, round the factors of 32-bit products to 10 bits: faster, less exact"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name(self.name)
        if self.steps is None and self.epochs is None and self.hours is None:
            raise OptionError("one of --steps, --epochs and --hours is needed")
        if self.patience is not None and self.best_metric is None:
            raise OptionError("--patience: --best_metric is needed")

    @property
    def folder(self) -> Path:
        """The run's folder of checkpoints, curves and images."""
        return self.checkpoints / self.name / self.KIND

    def paths(self, output: str = "") -> list[NamedPath]:
        return super().paths(output) + ([("name", self.folder)] if output == FOLDER else [])

    @property
    def is_resumed(self) -> bool:
        """Whether the run has a checkpoint."""
        return newest_checkpoint(self.folder) is not None

    def for_shipping(self) -> "Self":
        """Return the options without those of one machine: folders, device, processes."""
        names = ("checkpoints", "pretrained", "resume", *self.MACHINE_FILES)
        defaults = {
            field.name: field.default
            for field in dataclasses.fields(self)
            if field.name in names or field.metadata["group"] == MACHINE
        }
        return dataclasses.replace(self, dataset=Path(self.dataset.name), **defaults)

    @classmethod
    def parse(cls, arguments: Sequence[str] | None = None) -> "Self":
        """Return a command line's options; exits with 2 on bad ones.

        Options that the command line leaves out keep their values in a resumed run (except those
        of the group "machine").
        """
        options = super().parse(arguments)
        saved = None if options.resume == "never" else newest_checkpoint(options.folder)
        if saved is None:
            return options
        fields = dataclasses.fields(options)
        untouched = argparse.Namespace(**{field.name: _NOT_GIVEN for field in fields})
        given = cls.parser().parse_args(arguments, untouched)
        kept = [
            field.name
            for field in fields
            if getattr(given, field.name) is _NOT_GIVEN
            and field.name not in ("name", "checkpoints", "resume")
            and field.metadata["group"] != MACHINE
        ]
        try:
            then = cls._load_past(options.folder, go_back=options.resume == "last_good")
            return dataclasses.replace(options, **{name: getattr(then, name) for name in kept})
        except UserError as error:
            cls.parser().exit(2, f"error: {one_line(str(error))}\n")

    @classmethod
    def _load_past(cls, folder: Path, *, go_back: bool) -> "Self":
        """Return the options of the newest checkpoint, or of the newest whose options load."""
        newest, *older = [path / OPTIONS_FILE for path in list_checkpoints(folder)]
        try:
            return cls.load(newest)
        except OptionError as error:
            for path in older:
                with contextlib.suppress(OptionError):
                    past = cls.load(path)
                    if go_back:
                        return past
                    advice = f"--resume last_good goes back to {path.parent}"
                    raise DataError(f"{error}; {advice}") from None
            raise

    def pretrained_folder(self) -> Path | None:
        """Return the folder of --pretrained; None without it, or for a resumed run."""
        if self.pretrained is None or newest_checkpoint(self.folder) is not None:
            return None
        return self.checkpoints / self.pretrained / self.KIND

    def checkpoint_to_resume(self) -> Path | None:
        """Return the checkpoint to resume from, None for a new run.

        Raises:
            OptionError: --resume forbids it, or the architecture differs.
        """
        saved = newest_checkpoint(self.folder)
        if saved is None:
            if self.resume == "always":
                raise OptionError(f"--resume always: no checkpoint in {self.folder}")
            return None
        other = "choose another --name"
        if self.resume == "never":
            raise OptionError(f"--resume never: {self.folder} holds a run already; {other}")
        trained = type(self).load(saved / OPTIONS_FILE)
        for field in dataclasses.fields(self):
            fixed = field.metadata["group"] == ARCHITECTURE or field.name in self.FIXED
            now, then = getattr(self, field.name), getattr(trained, field.name)
            if fixed and now != then:
                conflict = f"--{field.name} {now}: {self.folder} was trained with {then}"
                raise OptionError(f"{conflict}; leave it out, or {other}")
        return saved


def parse_loss_weights(pairs: Sequence[str], known: Sequence[str]) -> dict[str, float]:
    """Return the loss weights of NAME=NUMBER pairs.

    Raises:
        OptionError: an unknown loss, or a weight that is not a number of 0 or more.
    """
    weights: dict[str, float] = {}
    for name, _, text in (pair.partition("=") for pair in pairs):
        if name not in known:
            raise OptionError(f"--weights {name}: no such loss; {', '.join(known)} are known")
        try:
            weights[name] = float(text)
        except ValueError:
            weights[name] = math.nan
        if not 0 <= weights[name] < math.inf:
            raise OptionError(f"--weights {name}={text}: a number, 0 or more, is needed")
    return weights
