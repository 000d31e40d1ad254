"""Options of train_audio2pose.py."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from speech2video.options.base import BODY_HELP, inherit, option
from speech2video.options.training import ARCHITECTURE, TrainingOptions
from speech2video.util.audio.features import FEATURE_SETS
from speech2video.util.errors import OptionError


@dataclass(frozen=True)
class TrainAudio2PoseOptions(TrainingOptions):
    """Train speech to pose on clips of one person."""

    KIND: ClassVar[str] = "audio2pose"

    steps: int | None = inherit(TrainingOptions, "steps", 4000)
    lr: float = inherit(TrainingOptions, "lr", 2e-3)
    lr_d: float = option(
        5e-5, "learning rate of the motion discriminator; 0: none", group="training", minimum=0
    )
    ema: float = inherit(TrainingOptions, "ema", 0.995)
    dropout: float = option(
        0.15, "share of the LSTMs' units dropped", group="training", minimum=0, maximum=0.9
    )

    body: Path | None = option(None, BODY_HELP, group="files")
    gestures: Path | None = option(
        None,
        "the person's gesture dictionary; its gestures are inserted at inference, not learned",
        group="files",
    )

    held_out: tuple[str, ...] = option((), "clips to validate on, not to train on", group="data")
    held_out_seconds: float = option(
        8.0,
        "without --held_out: seconds at each clip's end to validate on",
        group="data",
        minimum=0.4,
    )
    smooth: int = option(
        7,
        "odd number of frames to smooth the clips' bodies and hands over, against jitter of the "
        "fit; 1: none, for motion capture",
        group="data",
        minimum=1,
        maximum=51,
    )
    seq_len: int = option(
        100, "frames of a training window", group="data", minimum=8, maximum=10000
    )
    num_augmentations: int = option(
        16,
        "copies of each clip with changed voice, acoustics, noise and speed; 1: the clip alone",
        group="data",
        minimum=1,
        maximum=1000,
    )

    features: str = option(
        "mfcc", "speech features", group=ARCHITECTURE, choices=tuple(FEATURE_SETS)
    )
    hidden_size: int = option(
        256, "width of the LSTMs", group=ARCHITECTURE, minimum=1, maximum=8192
    )
    layers: int = option(2, "layers of each LSTM", group=ARCHITECTURE, minimum=1, maximum=16)
    look_ahead: int = option(
        6,
        "frames (0.04 s) of speech past each pose that the network receives before it",
        group=ARCHITECTURE,
        minimum=0,
        maximum=250,
    )
    bidirectional: bool = option(
        False, "bidirectional LSTMs; they need the whole file, so no live audio", group=ARCHITECTURE
    )
    noise: int = option(
        12,
        "random numbers per frame, which vary the motion from seed to seed",
        group=ARCHITECTURE,
        minimum=0,
        maximum=1000,
    )

    face_motion_scale: float = option(
        1.0,
        "at inference, scale of facial motion relative to rest; predictions move too little",
        group="result",
        minimum=0,
        maximum=4,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smooth % 2 == 0:
            raise OptionError(f"--smooth {self.smooth}: an odd number of frames is needed")
        if self.bidirectional and self.look_ahead:
            raise OptionError("--bidirectional needs the whole file: --look_ahead 0 is needed")

    def for_shipping(self) -> "TrainAudio2PoseOptions":
        """Return the options without the paths of this machine."""
        return dataclasses.replace(super().for_shipping(), body=None, gestures=None)
