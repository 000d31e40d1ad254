"""What a person may choose for `scripts/make_demo_speaker.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import REQUIRED, Options, option


@dataclass(frozen=True)
class MakeDemoSpeakerOptions(Options):
    """Record a synthetic speaker: videos with voice, and the truth behind them."""

    output: Path = option(
        REQUIRED, "the data set's folder; recordings/ and truth/ go into it", group="files"
    )
    minutes: float = option(
        4.0, "how much is said in all", group="speech", minimum=0.01, maximum=6000
    )
    seconds: float = option(
        40.0, "how much is said in one recording", group="speech", minimum=0.5, maximum=600
    )
    seed: int = option(0, "draws sentences, voices and motion", group="speech", minimum=0)
    size: int = option(
        512, "height and width of the pictures in pixels", group="picture", minimum=64, maximum=2048
    )
    jobs: int = option(1, "recordings made at a time", group="running", minimum=1, maximum=256)
