"""Options of pose to video: training, vid2vid's architecture, import of vid2vid checkpoints."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from speech2video.options.base import (
    BODY_HELP,
    FOLDER,
    REQUIRED,
    Options,
    check_name,
    check_pairs,
    grouped,
    inherit,
    option,
)
from speech2video.options.training import TrainingOptions
from speech2video.util.body.skeleton import REGIONS
from speech2video.util.errors import DataError, OptionError
from speech2video.util.files import NamedPath, read_json, typed_fields

TEMPORAL = ("temporal_1", "temporal_2")  # the number is the distance of the frames in a window
DISCRIMINATORS = ("frame", *TEMPORAL, *REGIONS)
MAP_STYLES = ("speech2video", "filled_mouth", "vid2vid_authors")
STATISTICS_HELP = (
    "batch norm at inference: batch statistics, as in vid2vid's own test script, or those stored "
    "in training"
)


@dataclass(frozen=True)
class Curriculum:
    """What grows during training, by epoch: sequences, images, scales of the generator."""

    seq_len: int = 1
    max_seq_len: int = 4
    seq_grow_start: int = 20
    seq_grow_epochs: int = 10
    crop_size: int = 96
    crop_epochs: int = 0
    scale_epochs: int = 10

    def sequence_length(self, epoch: int) -> int:
        """Return the number of frames of a sequence."""
        doublings = max(0, 1 + (epoch - self.seq_grow_start) // self.seq_grow_epochs)
        return min(self.seq_len * 2**doublings, self.max_seq_len)

    def crop_size_of(self, epoch: int) -> int:
        """Return the size of crops in pixels, 0 for whole images."""
        return self.crop_size if epoch < self.crop_epochs else 0

    def scale_count(self, epoch: int) -> int | None:
        """Return the number of the generator's scales in use; None for all."""
        return 1 + epoch // self.scale_epochs if self.scale_epochs else None


@dataclass(frozen=True)
class TrainPose2VideoOptions(TrainingOptions):
    """Train the generator of pose to video on clips of one person."""

    KIND: ClassVar[str] = "pose2video"
    MACHINE_FILES: ClassVar[tuple[str, ...]] = ("body", "vgg", "raft")

    steps: int | None = inherit(TrainingOptions, "steps", 4000)
    batch_size: int = inherit(TrainingOptions, "batch_size", 4)
    ema: float = inherit(TrainingOptions, "ema", 0.998)
    gradient_checkpointing: bool = grouped.training(
        False, "recompute activations in the backward pass: less memory, a third more time"
    )

    generator: str = grouped.architecture("fast", "fast, vid2vid: see models/registry.py")
    width: int = grouped.architecture(256, "of the image", min=32, max=4096)
    height: int = grouped.architecture(256, "of the image", min=32, max=4096)
    map_style: str = grouped.architecture(
        "filled_mouth",
        "skeleton maps: lips as two lines (speech2video, vid2vid_authors), or the open mouth "
        "filled, which small images need",
        choices=MAP_STYLES,
    )
    architecture: tuple[str, ...] = grouped.architecture(
        (), "NAME=VALUE, in place of the generator's defaults: channels=48,96,192 flow=false"
    )
    camera: tuple[float, ...] = grouped.architecture(
        (), "camera of the maps, numbers as in util/rendering/camera.py; by default the clips'"
    )
    betas: tuple[float, ...] = grouped.architecture(
        (), "shape of the person's body, ten numbers; by default the clips'"
    )

    body: Path | None = grouped.files(None, BODY_HELP)
    vgg: Path | None = grouped.files(None, "weights of torchvision's VGG19; downloaded if left out")
    raft: Path | None = grouped.files(
        None, "weights of torchvision's small RAFT; downloaded if left out"
    )

    clips: tuple[str, ...] = grouped.data(
        (), "clips to use, of one outfit and one camera; all if left out"
    )
    held_out: tuple[str, ...] = grouped.data((), "clips for validation only")
    held_out_seconds: float = grouped.data(
        10.0, "end of each clip that is for validation, without --held_out", min=0
    )
    seq_len: int = grouped.data(1, "frames of a sequence at first", min=1, max=256)
    max_seq_len: int = grouped.data(4, "frames of a sequence in the end", min=1, max=256)
    seq_grow_start: int = grouped.data(20, "epoch in which sequences first double", min=0)
    seq_grow_epochs: int = grouped.data(10, "epochs between further doublings", min=1)
    crop_size: int = grouped.data(96, "pixels of crops about head and hands", min=32, max=4096)
    crop_epochs: int = grouped.data(0, "epochs on crops, before whole images; 0: none", min=0)
    scale_epochs: int = grouped.data(
        10,
        "epochs of each scale of a coarse-to-fine generator before the next is added; 0: all at "
        "once",
        min=0,
    )
    epoch_items: int = grouped.data(400, "sequences per epoch", min=1)
    shift: float = grouped.data(0.02, "random shift, share of the image", min=0, max=0.5)
    scale: float = grouped.data(0.02, "random scale, share", min=0, max=0.5)
    colour: float = grouped.data(
        0.0, "random brightness, contrast and saturation, share", min=0, max=0.5
    )
    map_noise: float = grouped.data(
        1.0, "factor on the noise of the maps' points, see MapNoise", min=0
    )
    compile: bool = grouped.machine(
        False, "compile the generator's training step: slow to start; needs a C++ compiler"
    )
    cache: float = grouped.machine(4.0, "gigabytes of decoded frames to keep", min=0.01)

    discriminators: tuple[str, ...] = grouped.losses(
        ("frame", *TEMPORAL, *REGIONS[:3]),
        "discriminators; none: no GAN",
        choices=(*DISCRIMINATORS, "none"),
    )
    gan_mode: str = grouped.losses("hinge", "GAN loss", choices=("hinge", "lsgan"))
    lr_d: float = grouped.losses(2e-4, "learning rate of the discriminators", min=0)
    ndf: int = grouped.losses(32, "channels of the discriminators' first layer", min=1, max=1024)
    gan_start: float = grouped.losses(0.7, "share of the steps before the GAN starts", min=0, max=1)
    part_size: int = grouped.losses(
        64, "pixels of a region for its discriminator", min=16, max=1024
    )
    flow_ground_truth: str = grouped.losses(
        "dis", "method that estimates the flow of real frames", choices=("dis", "raft", "none")
    )
    weights: tuple[str, ...] = grouped.losses(
        (), "NAME=NUMBER, in place of models/pose2video/losses.py's: gan=0.1"
    )
    validate_frames: int = grouped.checkpoints(
        100, "frames of each validation clip to generate", min=2
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_seq_len < self.seq_len:
            raise OptionError(
                f"--max_seq_len {self.max_seq_len}: at least --seq_len, {self.seq_len}, is needed"
            )
        if self.crop_epochs and (
            self.crop_size % 32 or self.crop_size > min(self.width, self.height)
        ):
            needed = "a multiple of 32, at most the shorter side of the image, is needed"
            raise OptionError(f"--crop_size {self.crop_size}: {needed}")
        if "none" in self.discriminators and len(self.discriminators) > 1:
            raise OptionError("--discriminators none: no other name can be given with it")
        check_pairs(self, "architecture", "weights")

    @property
    def curriculum(self) -> Curriculum:
        """The options of the same names."""
        return self.fill(Curriculum)

    @property
    def discriminator_names(self) -> tuple[str, ...]:
        """The discriminators; () for "none"."""
        return () if self.discriminators == ("none",) else self.discriminators


@dataclass(frozen=True)
class Vid2VidOptions(Options):
    """The architecture of vid2vid's generator, under vid2vid's names and with its defaults."""

    generator: str = grouped.architecture("vid2vid", "its name", choices=("vid2vid",))
    map_style: str = grouped.architecture(
        "speech2video", "skeleton maps of its training", choices=MAP_STYLES
    )
    input_nc: int = grouped.architecture(3, "channels of a map", min=1, max=256)
    ngf: int = grouped.architecture(
        128, "channels of the coarsest scale at full size", min=1, max=1024
    )
    n_scales_spatial: int = grouped.architecture(
        1, "scales; each doubles the size and halves the channels", min=1, max=8
    )
    n_downsample_G: int = grouped.architecture(
        3, "downsampling layers of the coarsest scale", min=1, max=8
    )
    n_blocks: int = grouped.architecture(9, "residual blocks of the coarsest scale", min=0, max=64)
    n_blocks_local: int = grouped.architecture(
        3, "residual blocks of each finer scale", min=0, max=64
    )
    norm: str = grouped.architecture("batch", "normalisation", choices=("batch", "instance"))
    statistics: str = grouped.architecture("batch", STATISTICS_HELP, choices=("batch", "stored"))
    flow: bool = grouped.architecture(True, "warp the last frame and blend it in with a mask")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ngf % 2 ** (self.n_scales_spatial - 1):
            raise OptionError(
                f"--ngf {self.ngf}: a multiple of {2 ** (self.n_scales_spatial - 1)} is needed for "
                f"n_scales_spatial {self.n_scales_spatial}"
            )

    def architecture(self) -> dict[str, Any]:
        """Return the arguments of `Vid2VidGenerator`."""
        values = dataclasses.asdict(self)
        return {k: v for k, v in values.items() if k not in ("generator", "map_style")}

    def describe(self) -> str:
        """Return the architecture as vid2vid's options, for messages."""
        values = [f"{name} {getattr(self, name)}" for name in VID2VID_NAMES]
        return ", ".join([*values, *([] if self.flow else ["no_flow"])])


SUPPORTED = {  # vid2vid's other options: value needed, vid2vid's default
    "no_first_img": (True, False),
    "n_frames_G": (3, 3),
    "output_nc": (3, 3),
    "label_nc": (0, 0),
    "use_instance": (False, False),
    "fg": (False, False),
    "netG": ("composite", "composite"),
}
VID2VID_NAMES = ("input_nc", "ngf", "n_scales_spatial", "n_downsample_G", "n_blocks")
VID2VID_NAMES += ("n_blocks_local", "norm")  # as in vid2vid's files


@dataclass(frozen=True)
class _Vid2VidFile(Vid2VidOptions):
    """A file of vid2vid's options; without no_flow, openpose_only counts."""

    no_flow: bool | None = None
    openpose_only: bool = False


def read_vid2vid_options(
    path: Path, *, statistics: str = "batch", map_style: str = "vid2vid_authors"
) -> Vid2VidOptions:
    """Return the architecture in a json file of vid2vid's options; others are ignored.

    Raises:
        DataError: no json, values of a wrong type or range, or a generator that needs more than
            maps: a first image, labels, instances, a foreground.
    """
    found = read_json(path, what="a json object of vid2vid's options")

    names = (*VID2VID_NAMES, "no_flow", "openpose_only")
    known = {k: v for k, v in found.items() if k in names} if isinstance(found, dict) else found
    values = typed_fields(known, _Vid2VidFile, where=str(path))
    openpose_only, no_flow = values.pop("openpose_only", False), values.pop("no_flow", None)
    for name, (needed, default) in SUPPORTED.items():
        if (value := found.get(name, default)) != needed:
            needed = f"only generators with {name} {needed} are supported"
            raise DataError(f"{path}: {name} is {value}; {needed}")
    warps = not (openpose_only if no_flow is None else no_flow)
    try:
        return Vid2VidOptions(**values, flow=warps, statistics=statistics, map_style=map_style)
    except OptionError as error:
        raise DataError(f"{path}: {str(error).removeprefix('--')}") from None


@dataclass(frozen=True)
class ImportVid2VidOptions(Options):
    """Import the generator of a checkpoint of vid2vid or of a fork of it."""

    checkpoint: Path = option(REQUIRED, "folder with latest_net_G0.pth and so on")
    options: Path = option(
        REQUIRED,
        "json of its vid2vid options: ngf, n_blocks, no_flow, ...; vid2vid's defaults for others",
    )
    label: str = option("latest", "prefix of the files: LABEL_net_G0.pth")
    statistics: str = option("batch", STATISTICS_HELP, choices=("batch", "stored"))
    map_style: str = option("vid2vid_authors", "skeleton maps of its training", choices=MAP_STYLES)
    name: str = option(REQUIRED, "name of the result, a folder in --checkpoints")
    checkpoints: Path = option(Path("checkpoints"), "folder of all runs")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name(self.name)
        check_name(self.label, "label")

    @property
    def folder(self) -> Path:
        """Folder of the result."""
        return self.checkpoints / self.name / "pose2video"

    def paths(self, output: str = "") -> list[NamedPath]:
        return super().paths(output) + ([("name", self.folder)] if output == FOLDER else [])
