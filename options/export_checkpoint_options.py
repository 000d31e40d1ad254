"""What a person may choose for `scripts/export_checkpoint.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import REQUIRED, Options, option


@dataclass(frozen=True)
class ExportCheckpointOptions(Options):
    """Make a checkpoint to ship of a run: averaged weights in 16 bits, nothing of the machine."""

    name: str = option(REQUIRED, "the run's name", group="files")
    kind: str = option(
        REQUIRED,
        "which of its models",
        group="files",
        choices=("audio2pose", "pose2video", "speech2face"),
    )
    output: Path = option(
        REQUIRED, "folder of the shipped speaker; the model's goes into it", group="files"
    )
    checkpoints: Path = option(Path("checkpoints"), "where all runs' folders are", group="files")
