"""What a person may choose for `train_pose2video.py`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from speech2video.options.base_options import option
from speech2video.options.training_options import ARCHITECTURE, TrainingOptions
from speech2video.util.errors import OptionError
from speech2video.util.regions import REGIONS

TEMPORAL = ("temporal_1", "temporal_2")  # the number is the stride between the frames judged
DISCRIMINATORS = ("frame", *TEMPORAL, *REGIONS)


@dataclass(frozen=True)
class TrainPose2VideoOptions(TrainingOptions):
    """Train pose to video: one person's look, from clips of them."""

    KIND: ClassVar[str] = "pose2video"

    steps: int | None = option(4000, "stop after so many steps", group="training", minimum=1)
    batch_size: int = option(
        4, "sequences of one step, over all processes together", group="training", minimum=1
    )
    learning_rate: float = option(1e-3, "size of a step", group="training", minimum=0)
    ema: float = option(
        0.998,
        "decay of the averaged weights, which are those that are used; 0: no average",
        group="training",
        minimum=0,
        maximum=0.999999,
    )
    checkpointing: bool = option(
        False,
        "forget activations and compute them again: less memory, a third more time",
        group="training",
    )

    generator: str = option(
        "fast", "which of models/registry.py: fast, vid2vid", group=ARCHITECTURE
    )
    width: int = option(256, "of the picture", group=ARCHITECTURE, minimum=32, maximum=4096)
    height: int = option(256, "of the picture", group=ARCHITECTURE, minimum=32, maximum=4096)
    style: str = option(
        "filled_mouth",
        "how the maps are drawn: lips as two lines (speech2video, vid2vid_authors), or the open "
        "mouth filled, which small pictures need",
        group=ARCHITECTURE,
        choices=("speech2video", "filled_mouth", "vid2vid_authors"),
    )
    architecture: tuple[str, ...] = option(
        (),
        "NAME=VALUE, for other than the generator's own defaults: channels=48,96,192 flow=false",
        group=ARCHITECTURE,
    )
    camera: tuple[float, ...] = option(
        (),
        "that the maps are drawn through, as util/camera.py counts it; the clips' if left out",
        group=ARCHITECTURE,
    )

    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz of your own; the open body if left out", group="files"
    )
    vgg: Path | None = option(
        None, "weights of torchvision's VGG19; fetched if left out", group="files"
    )
    raft: Path | None = option(
        None, "weights of torchvision's RAFT, small; fetched if left out", group="files"
    )

    clips: tuple[str, ...] = option(
        (),
        "clips to use, of one outfit and one camera; all of them if left out",
        group="data",
    )
    held_out: tuple[str, ...] = option(
        (), "clips of these to validate on, not to train on", group="data"
    )
    held_out_seconds: float = option(
        10.0, "of each clip's end, where no clips are held out", group="data", minimum=0
    )
    frames: int = option(1, "of a sequence at first", group="data", minimum=1, maximum=256)
    longest: int = option(4, "frames of a sequence at last", group="data", minimum=1, maximum=256)
    grow_after: int = option(20, "epochs until sequences grow", group="data", minimum=0)
    grow_epochs: int = option(
        10, "epochs after which they grow again, to twice the frames", group="data", minimum=1
    )
    window: int = option(
        96,
        "pixels a side of the windows around head and hands that training begins with",
        group="data",
        minimum=32,
        maximum=4096,
    )
    window_epochs: int = option(
        0, "epochs on such windows before whole pictures; 0: none", group="data", minimum=0
    )
    scale_epochs: int = option(
        10,
        "that each scale of a coarse-to-fine generator trains before the next joins it",
        group="data",
        minimum=0,
    )
    epoch_items: int = option(400, "sequences that make an epoch", group="data", minimum=1)
    shift: float = option(
        0.02, "at random, share of the picture", group="data", minimum=0, maximum=0.5
    )
    scale: float = option(0.02, "at random, share", group="data", minimum=0, maximum=0.5)
    colour: float = option(
        0.0,
        "at random, share of brightness, contrast and saturation",
        group="data",
        minimum=0,
        maximum=0.5,
    )
    map_noise: float = option(
        1.0,
        "how wrong the maps are made, against data/map_noise.py's usual",
        group="data",
        minimum=0,
    )
    cache: float = option(4.0, "gigabytes of decoded frames to keep", group="machine", minimum=0.01)

    discriminators: tuple[str, ...] = option(
        ("frame", *TEMPORAL, *REGIONS[:3]), "adversaries; none: no GAN", group="losses",
        choices=(*DISCRIMINATORS, "none"),
    )  # fmt: skip
    gan: str = option("hinge", "kind of loss", group="losses", choices=("hinge", "least_squares"))
    adversary_rate: float = option(
        2e-4, "learning rate of the discriminators", group="losses", minimum=0
    )
    adversary_width: int = option(
        32, "channels of the discriminators' first layer", group="losses", minimum=1
    )
    adversary_after: float = option(
        0.7,
        "share of the steps that are done without adversaries",
        group="losses",
        minimum=0,
        maximum=1,
    )
    part_size: int = option(
        64,
        "pixels of a part zoomed in for its discriminator",
        group="losses",
        minimum=16,
        maximum=1024,
    )
    flow_truth: str = option(
        "dis", "what says how pixels move", group="losses", choices=("dis", "raft", "none")
    )
    weights: tuple[str, ...] = option(
        (), "NAME=NUMBER, for other than models/pose2video_model.py's: gan=0.1", group="losses"
    )
    validate_frames: int = option(
        100, "of each held-out clip, painted by itself", group="checkpoints", minimum=2
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.longest < self.frames:
            raise OptionError(
                f"--longest {self.longest}: at least --frames, {self.frames}, is needed"
            )
        if self.window_epochs and (self.window % 32 or self.window > min(self.width, self.height)):
            needed = "a multiple of 32, no more than the picture's shorter side, is needed"
            raise OptionError(f"--window {self.window}: {needed}")
        if "none" in self.discriminators and len(self.discriminators) > 1:
            raise OptionError("--discriminators none: others beside it make no sense")
        for name in ("architecture", "weights"):
            for pair in getattr(self, name):
                if "=" not in pair:
                    raise OptionError(f"--{name} {pair}: NAME=VALUE is needed")

    def window_side(self, epoch: int) -> int:
        """Return the side of the windows that an epoch trains on, 0 where it does on pictures."""
        return self.window if epoch < self.window_epochs else 0

    @property
    def adversaries(self) -> tuple[str, ...]:
        """The discriminators' names; none for "none"."""
        return () if self.discriminators == ("none",) else self.discriminators

    def sequence_length(self, epoch: int) -> int:
        """Return how many frames a sequence has in an epoch."""
        doublings = max(0, 1 + (epoch - self.grow_after) // self.grow_epochs)
        return min(self.frames * 2**doublings, self.longest)

    def for_shipping(self) -> "TrainPose2VideoOptions":
        """Return the options without this machine's folders and files."""
        return dataclasses.replace(super().for_shipping(), body=None, vgg=None, raft=None)
