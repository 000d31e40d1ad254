"""Options of train_audio2pose.py."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from speech2video.options.base import BODY_HELP, grouped, inherit
from speech2video.options.training import TrainingOptions
from speech2video.util.audio.encoders import ARCHITECTURES
from speech2video.util.audio.features import FEATURE_SETS, check_features
from speech2video.util.errors import DataError, OptionError


@dataclass(frozen=True)
class TrainAudio2PoseOptions(TrainingOptions):
    """Train speech to pose on clips of one person."""

    KIND: ClassVar[str] = "audio2pose"
    FIXED: ClassVar[tuple[str, ...]] = (*TrainingOptions.FIXED, "face_motion_scale")
    MACHINE_FILES: ClassVar[tuple[str, ...]] = ("body", "gestures", "poses_like")

    steps: int | None = inherit(TrainingOptions, "steps", 4000)
    lr: float = inherit(TrainingOptions, "lr", 2e-3)
    pretrained_lr_share: float = grouped.training(
        0.2,
        "with --pretrained, share of --lr of all but the last layers: they keep what they learned "
        "of voices",
        min=0,
        max=1,
    )
    lr_d: float = grouped.training(
        5e-5, "learning rate of the motion discriminator; 0: none", min=0
    )
    ema: float = inherit(TrainingOptions, "ema", 0.995)
    dropout: float = grouped.training(0.15, "share of the LSTMs' units dropped", min=0, max=0.9)

    body: Path | None = grouped.files(None, BODY_HELP)
    gestures: Path | None = grouped.files(
        None, "the person's gesture dictionary; its gestures are inserted at inference, not learned"
    )

    poses_like: Path | None = grouped.data(
        None,
        "dataset of fitted clips, which the renderer is trained on, or a checkpoint trained on "
        "such: their mean and deviation of body and hands replace those of exact poses",
    )
    held_out: tuple[str, ...] = grouped.data((), "clips to validate on, not to train on")
    held_out_seconds: float = grouped.data(
        8.0, "without --held_out: seconds at each clip's end to validate on", min=0.4
    )
    smooth: int = grouped.data(
        7,
        "odd number of frames to smooth the clips' bodies and hands over, against jitter of the "
        "fit; 1: none, for motion capture",
        min=1,
        max=51,
        odd=True,
    )
    seq_len: int = grouped.data(100, "frames of a training window", min=8, max=10000)
    num_augmentations: int = grouped.data(
        16,
        "copies of each clip with changed voice, acoustics, noise and speed; 1: the clip alone",
        min=1,
        max=1000,
    )

    features: str = grouped.architecture(
        "phonetic",
        f"speech features: {', '.join(FEATURE_SETS)}; or a pretrained encoder, KIND:FOLDER[@LAYER] "
        f"or KIND:NAME_ON_THE_HUB[@LAYER] with a KIND of {', '.join(ARCHITECTURES)}",
    )
    known_phones: float = grouped.data(
        0.3,
        "share of training windows whose phonetic features have the clips' known phones "
        "(phones.csv), so that lips can follow a text at inference",
        min=0,
        max=1,
    )
    hidden_size: int = grouped.architecture(256, "width of the LSTMs", min=1, max=4096)
    layers: int = grouped.architecture(2, "layers of each LSTM", min=1, max=8)
    look_ahead: int = grouped.architecture(
        4,
        "frames (0.04 s) of speech past each pose that the network receives before it",
        min=0,
        max=250,
    )
    bidirectional: bool = grouped.architecture(
        False, "bidirectional LSTMs; they need the whole file, so no live audio"
    )
    noise: int = grouped.architecture(
        12, "random numbers per frame, which vary the motion from seed to seed", min=0, max=1000
    )

    face_motion_scale: float | None = grouped.result(
        None,
        "at inference, scale of facial motion relative to rest; by default that with which the "
        "lips of held-out clips move as far as the person's",
        min=0,
        max=4,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            check_features(self.features)
        except DataError as error:
            raise OptionError(f"--{error}") from None
        if self.bidirectional and self.look_ahead:
            raise OptionError("--bidirectional needs the whole file: --look_ahead 0 is needed")
