"""What a person may choose for `scripts/import_motion.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import REQUIRED, Options, option


@dataclass(frozen=True)
class ImportMotionOptions(Options):
    """Make a clip without pictures of motion and sound that were recorded elsewhere."""

    motion: Path = option(REQUIRED, "npz as BEAT2, AMASS, SHOW or we write it", group="files")
    audio: Path = option(REQUIRED, "the sound that belongs to it, any format", group="files")
    output: Path = option(REQUIRED, "the data set's folder: datasets/NAME", group="files")
    words: Path | None = option(
        None, "words with times: TextGrid, csv, …; or plain text to align", group="files"
    )
    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz of your own; the open body if left out", group="files"
    )
