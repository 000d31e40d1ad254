"""Pose to video, for use: maps in, frames out.

painter = load(Path("checkpoints/demo/pose2video"))
for frame in painter.frames(painter.maps(painter.camera.project(points_TK3).numpy())):
    ...                                                     # (3, H, W) uint8, one at a time
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from speech2video.models.networks.generator import COLOURS, MAPS, Generator
from speech2video.models.registry import GENERATORS, find
from speech2video.models.saving import load_networks
from speech2video.options.train_pose2video_options import TrainPose2VideoOptions
from speech2video.options.vid2vid_options import Vid2VidOptions
from speech2video.util.camera import Camera
from speech2video.util.checkpoint_folder import OPTIONS, for_use
from speech2video.util.errors import DataError, OptionError, UserError
from speech2video.util.maps import draw_map

NETWORK = "generator"  # its name in checkpoints
LEVELS = 127.5  # of 0..255 that are 1 in -1..1
CPU = torch.device("cpu")

PaintingOptions = TrainPose2VideoOptions | Vid2VidOptions


@dataclass(frozen=True)
class Pose2Video:
    """A trained generator, and how the maps it knows are drawn.

    Attributes:
        generator: in evaluation mode, on `device`.
        style: of the maps, as `util.maps.draw_map` knows it.
        width, height: of its pictures; 0 where it takes any size.
        camera: that its maps are drawn through; None where that is not known (vid2vid's).
        device, dtype: where and in which numbers it computes.
    """

    generator: Generator
    style: str
    width: int = 0
    height: int = 0
    camera: Camera | None = None
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32

    def maps(
        self, points_TK2: Iterable[np.ndarray], *, size: tuple[int, int] | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the map (3, H, W) uint8 of each frame of points (144, 2) in pixels.

        Args:
            size: (width, height), for a generator of any size.
        """
        width, height = size or (self.width, self.height)
        for points_K2 in points_TK2:
            yield draw_map(points_K2, style=self.style, width=width, height=height)

    @torch.inference_mode()
    def frames(self, maps: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield a frame (3, H, W) uint8 for each map (3, H, W) uint8, as the maps come.

        Raises:
            DataError: a map is not of the generator's size.
        """
        for frame in self.generator.frames(map(self._tensor, maps)):
            yield to_bytes(frame[0])

    def _tensor(self, map_CHW: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(map_CHW))[None].to(self.device)
        return to_floats(tensor).to(self.dtype)


def to_floats(pictures: Tensor) -> Tensor:
    """Return pictures of bytes as floats, -1..1."""
    return pictures.float() / LEVELS - 1


def to_bytes(picture: Tensor) -> np.ndarray:
    """Return a picture -1..1 as bytes on the processor, what is beyond cut off."""
    levels = ((picture.float() + 1) * LEVELS).round_().clamp_(0, 255)
    return levels.to(torch.uint8).cpu().numpy()


def build(options: PaintingOptions) -> Generator:
    """Return an untrained generator of the options' architecture.

    Raises:
        OptionError: an unknown generator, or arguments of which none can be built.
        DataError: a size it cannot paint.
    """
    kind = find(GENERATORS, options.generator)
    if isinstance(options, Vid2VidOptions):
        return kind(**options.architecture())
    known = arguments(options)
    try:
        with torch.device("meta"):  # no numbers, hence no time: does it paint such maps at all?
            kind(**known).step(torch.zeros(1, MAPS * COLOURS, options.height, options.width))
        return kind(**known)
    except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
        given = " ".join(options.architecture)
        raise OptionError(f"--architecture {given}: no such network ({error})") from None


def arguments(options: TrainPose2VideoOptions) -> dict[str, Any]:
    """Return the generator's constructor's arguments: its defaults, changed by --architecture.

    Raises:
        OptionError: an unknown generator, or a name or value it does not take.
    """
    defaults = find(GENERATORS, options.generator).defaults(size=(options.height, options.width))
    given = dict(pair.split("=", 1) for pair in options.architecture)
    for name, text in given.items():
        if name not in defaults or name == "size":
            known = ", ".join(key for key in defaults if key != "size")
            raise OptionError(f"--architecture {name}: {options.generator} knows {known}")
        defaults[name] = _value(name, text, defaults[name])
    return defaults


def complete(options: TrainPose2VideoOptions, camera: Camera) -> TrainPose2VideoOptions:
    """Return the options with all that a checkpoint must say of itself: no default left open."""
    known = {name: value for name, value in arguments(options).items() if name != "size"}
    return dataclasses.replace(
        options,
        architecture=tuple(f"{name}={_text(value)}" for name, value in known.items()),
        camera=options.camera or camera.numbers(),
    )


def begin_with(generator: nn.Module, folder: Path) -> None:
    """Take the weights of another run, or of a shipped checkpoint, to begin with.

    Its maps may be of another style: what is drawn otherwise is learned anew. What is behind its
    person comes with them.

    Raises:
        DataError: no checkpoint there, broken, or of another architecture.
    """
    load_networks(nn.ModuleDict({NETWORK: generator}), folder)


def load(
    folder: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Pose2Video:
    """Return the painter of a run's folder or a shipped checkpoint.

    Raises:
        DataError: no checkpoint there, broken, of another version or another kind.
    """
    options = read_options(for_use(folder) / OPTIONS)
    try:
        camera = None if isinstance(options, Vid2VidOptions) else Camera.of_numbers(options.camera)
        with torch.device("meta"):  # wrong options may ask for more than there is of memory
            generator = build(options)
    except UserError as error:
        raise DataError(f"{for_use(folder) / OPTIONS}: {error}") from None
    load_networks(nn.ModuleDict({NETWORK: generator}), folder)
    generator = generator.eval().requires_grad_(False).to(device, dtype)
    if camera is None:  # vid2vid's: exact only contiguous; see vid2vid_generator.py
        return Pose2Video(generator, options.style, device=torch.device(device), dtype=dtype)
    return Pose2Video(
        generator.to(memory_format=torch.channels_last),
        options.style,
        options.width,
        options.height,
        camera,
        torch.device(device),
        dtype,
    )


def read_options(path: Path) -> PaintingOptions:
    """Return what a checkpoint says of itself: trained here, or imported; raises `DataError`."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as options ({error})") from None
    trained = isinstance(said, Mapping) and "dataset" in said
    try:
        return (TrainPose2VideoOptions if trained else Vid2VidOptions).load(path)
    except OptionError as error:
        raise DataError(str(error)) from None


def _value(name: str, text: str, like: Any) -> Any:
    """Return what a text says, as the kind of value that the default is."""
    try:
        if isinstance(like, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(like, tuple):
            return tuple(_count(part) for part in text.split(","))
        return _count(text) if isinstance(like, int) else type(like)(text)
    except (ValueError, KeyError):
        said = f"--architecture {name}={text}"
        raise OptionError(f"{said}: a value like {_text(like)} is needed") from None


def _count(text: str) -> int:
    if int(text) < 0:
        raise ValueError(f"{text} of something")
    return int(text)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
