"""What a person may choose for `scripts/make_demo_faces.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import REQUIRED, Options, option


@dataclass(frozen=True)
class MakeDemoFacesOptions(Options):
    """Make clips of synthetic talking faces: many people, eight emotions, and the truth."""

    output: Path = option(
        REQUIRED,
        "the data set's folder; a folder for each clip, and truth/, go into it",
        group="files",
    )
    people: int = option(24, "how many there are", group="speech", minimum=1, maximum=99)
    sentences: int = option(
        10,
        "how many each person says; from 10 on each shows all emotions, in those trained on, too",
        group="speech",
        minimum=1,
        maximum=99,
    )
    seconds: float = option(
        2.5, "how long a clip is at most", group="speech", minimum=1.2, maximum=10
    )
    seed: int = option(0, "draws people, voices and motion", group="speech", minimum=0)
    size: int = option(
        128, "height and width of the pictures in pixels", group="picture", minimum=32, maximum=1024
    )
    jobs: int = option(1, "clips made at a time", group="running", minimum=1, maximum=256)
