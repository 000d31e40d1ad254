"""What a person may choose for `train_audio2pose.py`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from speech2video.options.base import option
from speech2video.options.training import ARCHITECTURE, TrainingOptions
from speech2video.util.errors import OptionError


@dataclass(frozen=True)
class TrainAudio2PoseOptions(TrainingOptions):
    """Train speech to pose: one person's motion, from clips of them."""

    KIND: ClassVar[str] = "audio2pose"

    steps: int | None = option(4000, "stop after so many steps", group="training", minimum=1)
    lr: float = option(2e-3, "size of a step", group="training", minimum=0)
    ema: float = option(
        0.995,
        "decay of the averaged weights, which are those that are used; 0: no average",
        group="training",
        minimum=0,
        maximum=0.999999,
    )
    best_metric: str | None = option(
        None,
        "figure of the validation that says which checkpoint is best: NAME where less is better, "
        "+NAME where more is",
        group="checkpoints",
    )

    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz of your own; the open body if left out", group="files"
    )
    gestures: Path | None = option(
        None,
        "the person's gesture dictionary: what it holds is not learned, it is put in afterwards",
        group="files",
    )

    held_out: tuple[str, ...] = option((), "clips to validate on, not to train on", group="data")
    held_out_seconds: float = option(
        8.0,
        "without --held_out: so many seconds at each clip's end are validated on",
        group="data",
        minimum=0.4,
    )
    smooth: int = option(
        7,
        "odd number of frames over which the clips' bodies and hands are smoothed: fits tremble; "
        "1: none, for motion capture",
        group="data",
        minimum=1,
        maximum=51,
    )
    window: int = option(100, "frames of an item", group="data", minimum=8, maximum=10000)
    num_augmentations: int = option(
        16,
        "ways each clip is heard: other pitch, room, noise, speed; 1: as it is",
        group="data",
        minimum=1,
        maximum=1000,
    )

    features: str = option(
        "mfcc", "what the network hears", group=ARCHITECTURE, choices=("mfcc", "logmel", "snr")
    )
    hidden_size: int = option(
        256, "width of the LSTMs", group=ARCHITECTURE, minimum=1, maximum=8192
    )
    layers: int = option(2, "LSTMs on top of each other", group=ARCHITECTURE, minimum=1, maximum=16)
    look_ahead: int = option(
        6,
        "frames of 0.04 s that are heard before a pose is given",
        group=ARCHITECTURE,
        minimum=0,
        maximum=250,
    )
    bidirectional: bool = option(
        False, "hear the whole file before the first pose; not for live sound", group=ARCHITECTURE
    )
    noise: int = option(
        12,
        "random numbers a frame, from which gesturing varies",
        group=ARCHITECTURE,
        minimum=0,
        maximum=1000,
    )
    dropout: float = option(
        0.15, "share of the LSTMs' numbers left out", group="training", minimum=0, maximum=0.9
    )
    lr_d: float = option(
        5e-5, "learning rate of the motion's discriminator; 0: none", group="training", minimum=0
    )

    face_motion_scale: float = option(
        1.0,
        "in use, how many times as far from rest as was learned the face moves: what is guessed "
        "moves too little",
        group="result",
        minimum=0,
        maximum=4,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smooth % 2 == 0:
            raise OptionError(f"--smooth {self.smooth}: an odd number of frames is needed")
        if self.bidirectional and self.look_ahead:
            raise OptionError("--bidirectional hears the whole file: --look_ahead 0 is needed")

    def for_shipping(self) -> "TrainAudio2PoseOptions":
        """Return the options without what belongs to one machine."""
        return dataclasses.replace(super().for_shipping(), body=None, gestures=None)
