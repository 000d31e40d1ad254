"""What a person may choose for `scripts/evaluate.py preprocess`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import REQUIRED, Options, option


@dataclass(frozen=True)
class EvaluatePreprocessOptions(Options):
    """Compare a data set made by `preprocess` with the demo speaker's truth."""

    dataset: Path = option(REQUIRED, "the data set: clips named as the recordings", group="files")
    truth: Path = option(
        REQUIRED, "the demo speaker's truth: a folder for each recording", group="files"
    )
    output: Path = option(
        REQUIRED, "folder to write metrics.json and report.html into", group="files"
    )
    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz that both were made with; the open body if left out", group="files"
    )
