"""What a person may choose for `scripts/import_vid2vid_checkpoint.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import REQUIRED, Options, option
from speech2video.util.errors import OptionError


@dataclass(frozen=True)
class ImportVid2VidOptions(Options):
    """Take over the generator of a checkpoint that vid2vid, or a fork of it, has saved."""

    checkpoint: Path = option(
        REQUIRED, "the folder with latest_net_G0.pth and so on", group="checkpoint"
    )
    options: Path = option(
        REQUIRED,
        "json of the vid2vid options it was trained with: ngf, n_blocks, no_flow, ... under the "
        "names they have there; those left out are vid2vid's defaults",
        group="checkpoint",
    )
    label: str = option(
        "latest", "which of the folder's checkpoints: LABEL_net_G0.pth", group="checkpoint"
    )
    statistics: str = option(
        "picture",
        "what batch norm goes by: each picture by itself, as vid2vid's own test script runs, or "
        "the statistics stored in training",
        group="checkpoint",
        choices=("picture", "stored"),
    )
    style: str = option(
        "vid2vid_authors",
        "how the maps it was trained on are drawn",
        group="checkpoint",
        choices=("vid2vid_authors", "speech2video", "filled_mouth"),
    )
    name: str = option(
        REQUIRED, "its name from now on; its folder in --checkpoints", group="result"
    )
    checkpoints: Path = option(Path("checkpoints"), "where all runs' folders are", group="result")

    def __post_init__(self) -> None:
        super().__post_init__()
        for option_name in ("name", "label"):
            value = getattr(self, option_name)
            if Path(value).name != value or value.startswith(".") or not value:
                raise OptionError(f"--{option_name} {value}: a plain name is needed, not a path")

    @property
    def folder(self) -> Path:
        """Where the checkpoint is written to."""
        return self.checkpoints / self.name / "pose2video"
