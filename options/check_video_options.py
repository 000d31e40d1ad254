"""What a person may choose for `scripts/check_video.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import REQUIRED, Options, option


@dataclass(frozen=True)
class CheckVideoOptions(Options):
    """Check a video that test.py made: its length, sound and face, and that its mouth moves."""

    video: Path = option(REQUIRED, "the video", positional=True)
    sound: Path = option(REQUIRED, "the sound that it was made from", positional=True)
