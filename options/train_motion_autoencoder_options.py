"""What a person may choose for `scripts/train_motion_autoencoder.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import Options, option


@dataclass(frozen=True)
class TrainMotionAutoencoderOptions(Options):
    """Train what the Fréchet gesture distance sees motion with, on the synthetic speaker."""

    output: Path = option(
        Path("checkpoints/motion_autoencoder"), "the checkpoint's folder", group="files"
    )
    recordings: int = option(
        120, "how many the synthetic speaker performs", group="motion", minimum=2, maximum=10000
    )
    seconds: float = option(40.0, "how long each one is", group="motion", minimum=5, maximum=600)
    frames: int = option(
        32, "of a window at 25 a second", group="architecture", minimum=8, maximum=256
    )
    width: int = option(64, "channels", group="architecture", minimum=8, maximum=1024)
    code: int = option(32, "numbers a window becomes", group="architecture", minimum=2, maximum=512)
    depth: int = option(3, "how often time is halved", group="architecture", minimum=1, maximum=8)
    steps: int = option(3000, "of the optimiser", group="training", minimum=1)
    batch: int = option(64, "windows a step", group="training", minimum=2, maximum=4096)
    learning_rate: float = option(3e-3, "highest of the schedule", group="training", minimum=1e-7)
    seed: int = option(0, "draws motion, weights and batches", group="training", minimum=0)
