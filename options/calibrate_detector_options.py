"""What a person may choose for `scripts/calibrate_detector.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import REQUIRED, Options, option


@dataclass(frozen=True)
class CalibrateDetectorOptions(Options):
    """Measure where MediaPipe sees the body's points, on rendered speakers of many shapes."""

    output: Path = option(REQUIRED, "the table to write, json", group="files")
    strips: Path = option(
        REQUIRED,
        "folder for the speakers' keypoints and truth; what is there is kept",
        group="files",
    )
    speakers: int = option(30, "how many shapes and looks", group="speakers", minimum=4)
    frames: int = option(50, "of each speaker", group="speakers", minimum=25)
    shape_spread: float = option(
        0.7, "standard deviation of the shape coefficients", group="speakers", minimum=0, maximum=2
    )
    seed: int = option(
        1000, "of the first speaker; measure on recordings of others", group="speakers", minimum=0
    )
    size: int = option(512, "height and width of the pictures", group="picture", minimum=256)
