"""Options of scripts/train_phonetic.py."""

from dataclasses import dataclass
from typing import ClassVar

from speech2video.options.base import grouped, inherit
from speech2video.options.training import TrainingOptions


@dataclass(frozen=True)
class TrainPhoneticOptions(TrainingOptions):
    """Train the network of the phonetic features on clips with phones."""

    KIND: ClassVar[str] = "phonetic"

    steps: int | None = inherit(TrainingOptions, "steps", 3000)
    batch_size: int = inherit(TrainingOptions, "batch_size", 24)
    lr: float = inherit(TrainingOptions, "lr", 2e-3)
    ema: float = inherit(TrainingOptions, "ema", 0.998)
    dropout: float = grouped.training(0.2, "share of units dropped", min=0, max=0.9)

    held_out: tuple[str, ...] = grouped.data((), "clips to validate on, not to train on")
    held_out_voices: tuple[str, ...] = grouped.data(
        (), "voices, as in voices.csv of the dataset, to validate on, not to train on"
    )
    seq_len: int = grouped.data(200, "steps of 20 ms of a training window", min=20, max=10000)
    num_augmentations: int = grouped.data(
        3, "copies of each clip with changed voice, acoustics, noise and speed", min=1, max=1000
    )
    hidden_size: int = grouped.architecture(256, "width of all layers", min=8, max=4096)
    layers: int = grouped.architecture(2, "layers of the GRU", min=1, max=8)
    jobs: int = grouped.machine(2, "processes that prepare the copies", min=1, max=256)
