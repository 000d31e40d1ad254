"""What a person may choose for `scripts/evaluate.py motion`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import REQUIRED, Options, option
from speech2video.util.errors import OptionError


@dataclass(frozen=True)
class EvaluateMotionOptions(Options):
    """Judge speech to pose on the clips that a run held out, beside three simple baselines."""

    name: str = option(REQUIRED, "the run to judge", group="files")
    output: Path = option(REQUIRED, "folder for metrics.json and report.html", group="files")
    checkpoints: Path = option(Path("checkpoints"), "where all runs' folders are", group="files")
    dataset: Path | None = option(
        None, "the data set's folder; the one it was trained on if left out", group="files"
    )
    truth: Path | None = option(
        None,
        "a folder of truth by clip name, to compare with instead of the fitted poses",
        group="files",
    )
    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz of your own; the open body if left out", group="files"
    )
    gestures: Path | None = option(
        None, "the person's gesture dictionary, put in as test.py does", group="files"
    )
    held_out: tuple[str, ...] = option(
        (), "clips to judge on; those that the run held out if left out", group="data"
    )
    seed: int = option(0, "draws the motion's noise and the gestures", group="data", minimum=0)
    smooth: int = option(
        1,
        "odd number of frames over which body and hands are smoothed; 1: none",
        group="data",
        minimum=1,
        maximum=51,
    )
    articulation: float | None = option(
        None,
        "how many times as far from rest as was learned the face moves, in place of the speaker's "
        "own",
        group="data",
        minimum=0,
        maximum=4,
    )
    draws: int = option(
        1000, "of the bootstrap, for the intervals", group="data", minimum=10, maximum=100000
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smooth % 2 == 0:
            raise OptionError(f"--smooth {self.smooth}: an odd number of frames is needed")
