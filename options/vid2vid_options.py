"""What a checkpoint of vid2vid's generator has to say of itself, in our words and in vid2vid's."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speech2video.options.base_options import Options, option
from speech2video.options.training_options import ARCHITECTURE
from speech2video.util.errors import DataError, OptionError
from speech2video.util.json_fields import read_json, typed_fields

SUPPORTED = {  # of vid2vid's options that change what a generator is given
    "no_first_img": True,
    "n_frames_G": 3,
    "output_nc": 3,
    "label_nc": 0,
    "use_instance": False,
    "fg": False,
    "netG": "composite",
}
THEIRS = {  # our name of an option and vid2vid's
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
    style: str = option(
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
            if name not in ("generator", "style")
        }


@dataclass(frozen=True)
class TheirOptions:
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
    path: Path, *, statistics: str = "picture", style: str = "vid2vid_authors"
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
        found = {k: v for k, v in found.items() if k in TheirOptions.__dataclass_fields__}
    theirs = TheirOptions(**typed_fields(found, TheirOptions, where=str(path)))
    for name, needed in SUPPORTED.items():
        if getattr(theirs, name) != needed:
            seen = f"{name} is {getattr(theirs, name)}"
            raise DataError(f"{path}: {seen}; only generators of {name} {needed} can be run here")
    ours = {name: getattr(theirs, their_name) for name, their_name in THEIRS.items()}
    flow = not (theirs.openpose_only if theirs.no_flow is None else theirs.no_flow)
    try:
        return Vid2VidOptions(**ours, flow=flow, statistics=statistics, style=style)
    except OptionError as error:
        named = re.sub(r"--(\w+)", lambda match: THEIRS.get(match[1], match[0]), str(error))
        raise DataError(f"{path}: {named}") from None


def in_vid2vid_words(options: Vid2VidOptions) -> str:
    """Return an architecture as vid2vid's options would say it."""
    said = {theirs: dataclasses.asdict(options)[ours] for ours, theirs in THEIRS.items()}
    return ", ".join(f"{name} {value}" for name, value in said.items()) + (
        "" if options.flow else ", no_flow"
    )
