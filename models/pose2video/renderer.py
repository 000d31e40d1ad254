"""Pose to video, for use: maps in, frames out.

renderer = load_renderer(Path("checkpoints/demo/pose2video"))
for frame in renderer.render(renderer.draw_maps(renderer.camera.project(points_TK3).numpy())):
    ...                                                     # (3, H, W) uint8, one at a time
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from speech2video.data.pose2video.clip import PoseVideo
from speech2video.data.pose2video.frame_cache import FrameCache
from speech2video.models.checkpointing import load_networks
from speech2video.models.pose2video.generators.base import COLOURS, MAPS_PER_STEP, Generator
from speech2video.models.registry import GENERATORS, load_class
from speech2video.options.pose2video import TrainPose2VideoOptions, Vid2VidOptions
from speech2video.util.body.skeleton import REGIONS, boxes_visible, region_boxes
from speech2video.util.checkpoint_folder import OPTIONS_FILE, resolve_checkpoint
from speech2video.util.errors import DataError, OptionError, UserError
from speech2video.util.metrics.image import mean_in_boxes, psnr, ssim_map
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.skeleton_maps import draw_map
from speech2video.util.training_log import TrainingLog
from speech2video.util.video.writer import write_video

NETWORK = "generator"  # its name in checkpoints
LEVELS = 127.5  # of 0..255 that are 1 in -1..1
CPU = torch.device("cpu")

RendererOptions = TrainPose2VideoOptions | Vid2VidOptions


@dataclass(frozen=True)
class Pose2VideoRenderer:
    """A trained generator, and how the maps it knows are drawn.

    Attributes:
        generator: in evaluation mode, on `device`.
        style: of the maps, as `util.maps.draw_map` knows it.
        width, height: of its pictures; 0 where it takes any size.
        camera: that its maps are drawn through; None where that is not known (vid2vid's).
        device, dtype: where and in which numbers it computes.
    """

    generator: Generator
    map_style: str
    width: int = 0
    height: int = 0
    camera: Camera | None = None
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32

    def draw_maps(
        self, points_TK2: Iterable[np.ndarray], *, size: tuple[int, int] | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the map (3, H, W) uint8 of each frame of points (144, 2) in pixels.

        Args:
            size: (width, height), for a generator of any size.
        """
        width, height = size or (self.width, self.height)
        for points_K2 in points_TK2:
            yield draw_map(points_K2, map_style=self.map_style, width=width, height=height)

    @torch.inference_mode()
    def render(self, maps: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield a frame (3, H, W) uint8 for each map (3, H, W) uint8, as the maps come.

        Raises:
            DataError: a map is not of the generator's size.
        """
        for frame in self.generator.generate_frames(map(self._tensor, maps)):
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


def build_generator(options: RendererOptions) -> Generator:
    """Return an untrained generator of the options' architecture.

    Raises:
        OptionError: an unknown generator, or arguments of which none can be built.
        DataError: a size it cannot paint.
    """
    kind = load_class(GENERATORS, options.generator)
    if isinstance(options, Vid2VidOptions):
        return kind(**options.architecture())
    known = generator_arguments(options)
    try:
        with torch.device("meta"):  # no numbers, hence no time: does it paint such maps at all?
            kind(**known).step(
                torch.zeros(1, MAPS_PER_STEP * COLOURS, options.height, options.width)
            )
        return kind(**known)
    except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
        given = " ".join(options.architecture)
        raise OptionError(f"--architecture {given}: no such network ({error})") from None


def generator_arguments(options: TrainPose2VideoOptions) -> dict[str, Any]:
    """Return the generator's constructor's arguments: its defaults, changed by --architecture.

    Raises:
        OptionError: an unknown generator, or a name or value it does not take.
    """
    defaults = load_class(GENERATORS, options.generator).defaults(
        size=(options.height, options.width)
    )
    given = dict(pair.split("=", 1) for pair in options.architecture)
    for name, text in given.items():
        if name not in defaults or name == "size":
            known = ", ".join(key for key in defaults if key != "size")
            raise OptionError(f"--architecture {name}: {options.generator} knows {known}")
        defaults[name] = _value(name, text, defaults[name])
    return defaults


def complete_options(options: TrainPose2VideoOptions, camera: Camera) -> TrainPose2VideoOptions:
    """Return the options with all that a checkpoint must say of itself: no default left open."""
    known = {name: value for name, value in generator_arguments(options).items() if name != "size"}
    return dataclasses.replace(
        options,
        architecture=tuple(f"{name}={_text(value)}" for name, value in known.items()),
        camera=options.camera or camera.numbers(),
    )


def load_pretrained(generator: nn.Module, folder: Path) -> None:
    """Take the weights of another run, or of a shipped checkpoint, to begin with.

    Its maps may be of another style: what is drawn otherwise is learned anew. What is behind its
    person comes with them.

    Raises:
        DataError: no checkpoint there, broken, or of another architecture.
    """
    load_networks(nn.ModuleDict({NETWORK: generator}), folder)


def load_renderer(
    folder: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Pose2VideoRenderer:
    """Return the painter of a run's folder or a shipped checkpoint.

    Raises:
        DataError: no checkpoint there, broken, of another version or another kind.
    """
    options = read_renderer_options(resolve_checkpoint(folder) / OPTIONS_FILE)
    try:
        camera = (
            None if isinstance(options, Vid2VidOptions) else Camera.from_numbers(options.camera)
        )
        with torch.device("meta"):  # wrong options may ask for more than there is of memory
            generator = build_generator(options)
    except UserError as error:
        raise DataError(f"{resolve_checkpoint(folder) / OPTIONS_FILE}: {error}") from None
    load_networks(nn.ModuleDict({NETWORK: generator}), folder)
    generator = generator.eval().requires_grad_(False).to(device, dtype)
    if camera is None:  # vid2vid's: exact only contiguous; see vid2vid_generator.py
        return Pose2VideoRenderer(
            generator, options.map_style, device=torch.device(device), dtype=dtype
        )
    return Pose2VideoRenderer(
        generator.to(memory_format=torch.channels_last),
        options.map_style,
        options.width,
        options.height,
        camera,
        torch.device(device),
        dtype,
    )


def read_renderer_options(path: Path) -> RendererOptions:
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


# Held-out clips painted from no past, as in use: figures, pictures, a video.

SHOWN = 4  # frames of the page's table
SHOWN_PARTS = ("head", "left_hand", "right_hand")
PART_SIDE = 128  # pixels, of a part on the page
SIDES = (PART_SIDE, PART_SIDE)
CHUNK = 10  # frames compared at once: SSIM takes a hundred times their bytes


@dataclass(frozen=True, eq=False)
class ValidationClip:
    """A clip to paint and compare with; the maps are drawn in a style."""

    video: PoseVideo
    map_style: str
    store: FrameCache
    frames: int

    @classmethod
    def of(
        cls, video: PoseVideo, *, map_style: str, frames: int, cache_bytes: int
    ) -> "ValidationClip":
        """Return the first frames of a clip, to be painted."""
        store = FrameCache([video], limit_bytes=cache_bytes)
        return cls(video, map_style, store, min(frames, len(video)))

    def paint(self, painter: Pose2VideoRenderer) -> "Rollout":
        """Paint it."""
        points_TK2 = self.video.points_TK2[: self.frames]
        size = self.video.framing.width, self.video.framing.height
        maps = np.stack(list(painter.draw_maps(points_TK2, size=size)))
        real = self.store.frames(0, np.arange(self.frames)).transpose(0, 3, 1, 2)
        # frames are smaller while not all scales of a generator have joined
        fake = np.stack([resize_image(frame, size) for frame in painter.render(maps)])
        return Rollout(points_TK2, maps, real, fake)


@dataclass(frozen=True, eq=False)
class Rollout:
    """What was asked for, what was, and what was painted: (T, 3, H, W) uint8 each."""

    points_TK2: np.ndarray
    maps: np.ndarray
    real: np.ndarray
    fake: np.ndarray

    def figures(self) -> dict[str, float]:
        """Return PSNR (dB) and SSIM of the whole frame and of its parts, means over frames."""
        height, width = self.real.shape[2:]
        similar_THW = self._similarity()
        found = {"psnr": psnr(self.fake, self.real), "ssim": mean_in_boxes(similar_THW)}
        for region in REGIONS:
            boxes_T4 = region_boxes(self.points_TK2, region)
            seen_T = boxes_visible(boxes_T4, width=width, height=height)
            if seen_T.any():
                real, fake, boxes = self.real[seen_T], self.fake[seen_T], boxes_T4[seen_T]
                found[f"{region}_psnr"] = psnr(fake, real, boxes)
                found[f"{region}_ssim"] = mean_in_boxes(similar_THW[seen_T], boxes)
        return {name: float(np.nanmean(values)) for name, values in found.items()}

    def _similarity(self) -> np.ndarray:
        """Return SSIM (T, H, W) about each pixel."""
        starts = range(0, len(self.real), CHUNK)
        parts = (slice(start, start + CHUNK) for start in starts)
        return np.concatenate([ssim_map(self.fake[part], self.real[part]) for part in parts])

    def show(self, page: TrainingLog, step: int) -> None:
        """Put pictures and a video on a training's page."""
        numbers = np.linspace(0, len(self.real) - 1, SHOWN).round().astype(int)
        columns = {"map": self.maps, "painted": self.fake, "real": self.real}
        page.images(step, {name: images[numbers] for name, images in columns.items()})
        page.images(step, self._parts(numbers), title="parts, painted and real")
        path = page.video_path(step, "map_painted_real")
        write_video(path, (np.concatenate(row, 2) for row in zip(*columns.values(), strict=True)))
        page.video(step, "map_painted_real", path)

    def _parts(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Return each part, enlarged, painted above real; black where it is out of the picture."""
        return {region: np.stack(list(self._enlarged(region, numbers))) for region in SHOWN_PARTS}

    def _enlarged(self, region: str, numbers: np.ndarray) -> Iterator[np.ndarray]:
        height, width = self.real.shape[2:]
        for t in numbers:
            box_4 = region_boxes(self.points_TK2[t : t + 1], region)[0]
            if not boxes_visible(box_4[None], width=width, height=height)[0]:
                yield np.zeros((3, PART_SIDE, 2 * PART_SIDE), np.uint8)
                continue
            cut = visible_slices(box_4, width=width, height=height)
            yield np.concatenate(
                [resize_image(one[t][cut], SIDES) for one in (self.fake, self.real)], 2
            )


def visible_slices(box_4: np.ndarray, *, width: int, height: int) -> tuple[slice, slice, slice]:
    """Return where in (3, H, W) the part of a box lies that is in the picture, whole pixels."""
    x0, y0, x1, y1 = np.round(box_4).astype(int)
    return slice(None), slice(max(y0, 0), min(y1, height)), slice(max(x0, 0), min(x1, width))


def resize_image(picture_3HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a picture (3, H, W) uint8 at another size (width, height)."""
    if picture_3HW.shape[:0:-1] == size:
        return picture_3HW
    shown_HW3 = cv2.resize(picture_3HW.transpose(1, 2, 0), size, interpolation=cv2.INTER_CUBIC)
    return shown_HW3.transpose(2, 0, 1)
