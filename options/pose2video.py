"""What a person may choose for `train_pose2video.py`."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from speech2video.options.base import REQUIRED, Options, option
from speech2video.options.training import ARCHITECTURE, TrainingOptions
from speech2video.util.body.skeleton import REGIONS
from speech2video.util.errors import DataError, OptionError
from speech2video.util.files import read_json, typed_fields

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
    lr: float = option(1e-3, "size of a step", group="training", minimum=0)
    ema: float = option(
        0.998,
        "decay of the averaged weights, which are those that are used; 0: no average",
        group="training",
        minimum=0,
        maximum=0.999999,
    )
    gradient_checkpointing: bool = option(
        False,
        "forget activations and compute them again: less memory, a third more time",
        group="training",
    )

    generator: str = option(
        "fast", "which of models/registry.py: fast, vid2vid", group=ARCHITECTURE
    )
    width: int = option(256, "of the picture", group=ARCHITECTURE, minimum=32, maximum=4096)
    height: int = option(256, "of the picture", group=ARCHITECTURE, minimum=32, maximum=4096)
    map_style: str = option(
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
        "that the maps are drawn through, as util/rendering/camera.py counts it; the clips' if left out",
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
    max_seq_len: int = option(
        4, "frames of a sequence at last", group="data", minimum=1, maximum=256
    )
    seq_grow_start: int = option(20, "epochs until sequences grow", group="data", minimum=0)
    seq_grow_epochs: int = option(
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
        "how wrong the maps are made, against data/pose2video/augmentation.py's usual",
        group="data",
        minimum=0,
    )
    cache: float = option(4.0, "gigabytes of decoded frames to keep", group="machine", minimum=0.01)

    discriminators: tuple[str, ...] = option(
        ("frame", *TEMPORAL, *REGIONS[:3]), "adversaries; none: no GAN", group="losses",
        choices=(*DISCRIMINATORS, "none"),
    )  # fmt: skip
    gan: str = option("hinge", "kind of loss", group="losses", choices=("hinge", "lsgan"))
    lr_d: float = option(2e-4, "learning rate of the discriminators", group="losses", minimum=0)
    ndf: int = option(32, "channels of the discriminators' first layer", group="losses", minimum=1)
    gan_start: float = option(
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
    flow_ground_truth: str = option(
        "dis", "what says how pixels move", group="losses", choices=("dis", "raft", "none")
    )
    weights: tuple[str, ...] = option(
        (), "NAME=NUMBER, for other than models/pose2video/model.py's: gan=0.1", group="losses"
    )
    validate_frames: int = option(
        100, "of each held-out clip, painted by itself", group="checkpoints", minimum=2
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_seq_len < self.frames:
            raise OptionError(
                f"--max_seq_len {self.max_seq_len}: at least --frames, {self.frames}, is needed"
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
        doublings = max(0, 1 + (epoch - self.seq_grow_start) // self.seq_grow_epochs)
        return min(self.frames * 2**doublings, self.max_seq_len)

    def for_shipping(self) -> "TrainPose2VideoOptions":
        """Return the options without this machine's folders and files."""
        return dataclasses.replace(super().for_shipping(), body=None, vgg=None, raft=None)


# What a checkpoint of vid2vid's generator has to say of itself, in our words and in vid2vid's.

SUPPORTED = {  # of vid2vid's options that change what a generator is given
    "no_first_img": True,
    "n_frames_G": 3,
    "output_nc": 3,
    "label_nc": 0,
    "use_instance": False,
    "fg": False,
    "netG": "composite",
}
NVIDIA_NAMES = {  # our name of an option and vid2vid's
    "map_channels": "input_nc",
    "width": "ngf",
    "scales": "n_scales_spatial",
    "halvings": "n_downsample_G",
    "blocks": "n_blocks",
    "fine_blocks": "n_blocks_local",
    "norm": "norm",
}


@dataclass(frozen=True)
class Vid2VidOptions(Options):
    """The architecture of vid2vid's generator. The defaults are vid2vid's own."""

    generator: str = option("vid2vid", "its name", group=ARCHITECTURE, choices=("vid2vid",))
    map_style: str = option(
        "speech2video",
        "how the maps it was trained on are drawn",
        group=ARCHITECTURE,
        choices=("speech2video", "filled_mouth", "vid2vid_authors"),
    )
    map_channels: int = option(3, "of one map", group=ARCHITECTURE, minimum=1, maximum=256)
    width: int = option(
        128, "channels of the coarsest scale at full size", group=ARCHITECTURE, minimum=1,
        maximum=1024,
    )  # fmt: skip
    scales: int = option(
        1, "each doubles the size and halves the width", group=ARCHITECTURE, minimum=1, maximum=8
    )
    halvings: int = option(
        3, "how often the coarsest scale halves its picture", group=ARCHITECTURE, minimum=1,
        maximum=8,
    )  # fmt: skip
    blocks: int = option(
        9, "residual blocks of the coarsest scale", group=ARCHITECTURE, minimum=0, maximum=64
    )
    fine_blocks: int = option(
        3, "residual blocks of each finer scale", group=ARCHITECTURE, minimum=0, maximum=64
    )
    norm: str = option("batch", "normalisation", group=ARCHITECTURE, choices=("batch", "instance"))
    statistics: str = option(
        "picture",
        "what batch norm goes by in use: each picture by itself, as vid2vid's own test script "
        "does, or what it stored in training",
        group=ARCHITECTURE,
        choices=("picture", "stored"),
    )
    flow: bool = option(
        True, "warp the last frame and blend it in under a mask", group=ARCHITECTURE
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % 2 ** (self.scales - 1):
            raise OptionError(
                f"--width {self.width}: it is halved {self.scales - 1} times for {self.scales} "
                "scales; what is left over has no place"
            )

    def architecture(self) -> dict[str, Any]:
        """Return the arguments of `Vid2VidGenerator`."""
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name not in ("generator", "map_style")
        }


@dataclass(frozen=True)
class NvidiaOptions:
    """The options of vid2vid that say how a generator is built; the defaults are vid2vid's."""

    input_nc: int = 3
    ngf: int = 128
    n_scales_spatial: int = 1
    n_downsample_G: int = 3
    n_blocks: int = 9
    n_blocks_local: int = 3
    norm: str = "batch"
    no_flow: bool | None = None  # None: with openpose_only, as vid2vid sets it then
    openpose_only: bool = False

    no_first_img: bool = False
    n_frames_G: int = 3
    output_nc: int = 3
    label_nc: int = 0
    use_instance: bool = False
    fg: bool = False
    netG: str = "composite"


def read_vid2vid_options(
    path: Path, *, statistics: str = "picture", map_style: str = "vid2vid_authors"
) -> Vid2VidOptions:
    """Return the architecture that a json file of vid2vid's options describes.

    Options of no effect on the generator are passed over.

    Args:
        statistics: what batch norm goes by, see `Vid2VidGenerator`.
        style: how the maps are drawn.

    Raises:
        DataError: not json, values of a wrong type or range, or a kind of generator that needs
            more than maps: a first picture, labels, instances, a foreground.
    """
    found = read_json(path, what="a json object of vid2vid's options")
    if isinstance(found, dict):
        found = {k: v for k, v in found.items() if k in NvidiaOptions.__dataclass_fields__}
    theirs = NvidiaOptions(**typed_fields(found, NvidiaOptions, where=str(path)))
    for name, needed in SUPPORTED.items():
        if getattr(theirs, name) != needed:
            seen = f"{name} is {getattr(theirs, name)}"
            raise DataError(f"{path}: {seen}; only generators of {name} {needed} can be run here")
    ours = {name: getattr(theirs, their_name) for name, their_name in NVIDIA_NAMES.items()}
    flow = not (theirs.openpose_only if theirs.no_flow is None else theirs.no_flow)
    try:
        return Vid2VidOptions(**ours, flow=flow, statistics=statistics, map_style=map_style)
    except OptionError as error:
        named = re.sub(r"--(\w+)", lambda match: NVIDIA_NAMES.get(match[1], match[0]), str(error))
        raise DataError(f"{path}: {named}") from None


def describe_as_vid2vid(options: Vid2VidOptions) -> str:
    """Return an architecture as vid2vid's options would say it."""
    said = {theirs: dataclasses.asdict(options)[ours] for ours, theirs in NVIDIA_NAMES.items()}
    return ", ".join(f"{name} {value}" for name, value in said.items()) + (
        "" if options.flow else ", no_flow"
    )


# What a person may choose for `scripts/import_vid2vid_checkpoint.py`.


@dataclass(frozen=True)
class ImportVid2VidOptions(Options):
    """Take over the generator of a checkpoint that vid2vid, or a fork of it, has saved."""

    checkpoint: Path = option(
        REQUIRED, "the folder with latest_net_G0.pth and so on", group="checkpoint"
    )
    options: Path = option(
        REQUIRED,
        "json of the vid2vid options it was trained with: ngf, n_blocks, no_flow, ... under the "
        "names they have there; those left out are vid2vid's defaults",
        group="checkpoint",
    )
    label: str = option(
        "latest", "which of the folder's checkpoints: LABEL_net_G0.pth", group="checkpoint"
    )
    statistics: str = option(
        "picture",
        "what batch norm goes by: each picture by itself, as vid2vid's own test script runs, or "
        "the statistics stored in training",
        group="checkpoint",
        choices=("picture", "stored"),
    )
    map_style: str = option(
        "vid2vid_authors",
        "how the maps it was trained on are drawn",
        group="checkpoint",
        choices=("vid2vid_authors", "speech2video", "filled_mouth"),
    )
    name: str = option(
        REQUIRED, "its name from now on; its folder in --checkpoints", group="result"
    )
    checkpoints: Path = option(Path("checkpoints"), "where all runs' folders are", group="result")

    def __post_init__(self) -> None:
        super().__post_init__()
        for option_name in ("name", "label"):
            value = getattr(self, option_name)
            if Path(value).name != value or value.startswith(".") or not value:
                raise OptionError(f"--{option_name} {value}: a plain name is needed, not a path")

    @property
    def folder(self) -> Path:
        """Where the checkpoint is written to."""
        return self.checkpoints / self.name / "pose2video"
