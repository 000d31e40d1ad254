"""Inference of pose to video: skeleton maps in, frames out; and comparison with real frames.

renderer = load_renderer(Path("checkpoints/demo/pose2video"))
for frame in renderer.render(renderer.draw_maps(renderer.camera.project(points_TK3).numpy())):
    ...                                                     # (3, H, W) uint8, one at a time
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from speech2video.data.pose2video.clip import PoseVideo
from speech2video.data.pose2video.frames import FrameCache
from speech2video.models.checkpointing import load_networks, weights_id
from speech2video.models.pose2video.engine import OpenVinoGenerator
from speech2video.models.pose2video.generators.base import (
    MAPS_PER_STEP,
    RGB,
    Generator,
    GeneratorOutput,
)
from speech2video.models.registry import GENERATORS, load_class
from speech2video.options.inference import OPENVINO, TORCH
from speech2video.options.pose2video import TrainPose2VideoOptions, Vid2VidOptions
from speech2video.util.body.skeleton import REGIONS, boxes_visible, region_boxes
from speech2video.util.checkpoint_folder import OPTIONS_FILE, resolve_checkpoint
from speech2video.util.errors import DataError, OptionError, UserError
from speech2video.util.files import read_json
from speech2video.util.metrics.image import mean_in_boxes, psnr, ssim_map
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.skeleton_maps import draw_map
from speech2video.util.torch_compiler import without_compiler
from speech2video.util.training_log import TrainingLog
from speech2video.util.video.compositing import Layers, inner_body, separate
from speech2video.util.video.writer import write_video

MAX_CHANNELS, MAX_BLOCKS, MAX_LEVELS = 4096, 64, 16  # of a generator; absurd sizes take all memory
NETWORK = "generator"  # its name in checkpoints
HALF_RANGE = 127.5  # of 0..255 for 1 of -1..1
CPU = torch.device("cpu")

SHOWN_FRAMES = 4
SHOWN_REGIONS = ("head", "left_hand", "right_hand")
REGION_SIDE = 128  # pixels of a region in the training log
SSIM_CHUNK = 10  # frames compared at once: SSIM takes a hundred times their bytes

RendererOptions = TrainPose2VideoOptions | Vid2VidOptions


@dataclass(frozen=True)
class Pose2VideoRenderer:
    """A trained generator and the style of its maps.

    Attributes:
        generator: in evaluation mode, on `device`.
        map_style: as `draw_map` takes it.
        width, height: of its images; 0 for a generator of any size.
        camera: of its maps; None where it is unknown (vid2vid's checkpoints).
        betas: (10,) shape of the person; () for the body's mean shape.
        device, dtype: of the computation.
    """

    generator: Generator
    map_style: str
    width: int = 0
    height: int = 0
    camera: Camera | None = None
    betas: tuple[float, ...] = ()
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
        """Yield a frame (3, H, W) uint8 for each map (3, H, W) uint8, as the maps arrive.

        Raises:
            DataError: a map is not of the generator's size.
        """
        for output in self._outputs(maps):
            yield to_bytes(output.frame[0])

    @torch.inference_mode()
    def render_layers(
        self, points_TK2: Iterable[np.ndarray], *, size: tuple[int, int] | None = None
    ) -> Iterator[Layers]:
        """Yield the person's colours (3, H, W) and alpha (1, H, W), 0..1, for points (144, 2).

        Args:
            size: as for `draw_maps`.

        Raises:
            DataError: the generator does not separate person and background.
        """
        points_TK2, drawn = itertools.tee(points_TK2)
        size = size or (self.width, self.height)
        outputs = self._outputs(self.draw_maps(drawn, size=size))
        for output, points_K2 in zip(outputs, points_TK2, strict=False):
            frame, alpha, background = output.frame, output.alpha, output.background
            if alpha is None or background is None:
                raise DataError(
                    f"--background: the speaker's {type(self.generator).__name__} does not "
                    "separate person and background; a renderer of --generator fast is needed"
                )
            images = (frame[0] + 1) / 2, alpha[0], (background.expand_as(frame)[0] + 1) / 2
            frame, alpha, background = (image.float().cpu().numpy() for image in images)
            yield separate(frame, alpha, background, inner_body(points_K2, size))

    def _outputs(self, maps: Iterable[np.ndarray]) -> Iterator[GeneratorOutput]:
        tensors = (torch.from_numpy(np.ascontiguousarray(map_CHW))[None] for map_CHW in maps)
        floats = (to_floats(tensor.to(self.device)).to(self.dtype) for tensor in tensors)
        return self.generator.generate_outputs(floats)


def to_floats(images: Tensor) -> Tensor:
    """Return images of bytes as floats, -1..1."""
    return images.float() / HALF_RANGE - 1


def to_bytes(image: Tensor) -> np.ndarray:
    """Return an image of floats, clipped to -1..1, as bytes on the CPU."""
    levels = ((image.float() + 1) * HALF_RANGE).round_().clamp_(0, 255)
    return levels.to(torch.uint8).cpu().numpy()


def build_generator(options: RendererOptions) -> Generator:
    """Return an untrained generator of the options' architecture.

    Raises:
        OptionError: an unknown generator, or arguments it cannot be built with.
        DataError: a size it does not support.
    """
    kind = load_class(GENERATORS, options.generator)
    if isinstance(options, Vid2VidOptions):
        return kind(**options.architecture())
    arguments = generator_arguments(options)
    try:
        with without_compiler(), torch.device("meta"):  # check shapes without computing
            maps = torch.zeros(1, MAPS_PER_STEP * RGB, options.height, options.width)
            kind(**arguments).step(maps)
        return kind(**arguments)
    except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
        given = " ".join(options.architecture)
        raise OptionError(f"--architecture {given}: no such network ({error})") from None


def generator_arguments(options: TrainPose2VideoOptions) -> dict[str, Any]:
    """Return the arguments of the generator: its defaults, changed by --architecture.

    Raises:
        OptionError: an unknown generator, or a name or value it does not take.
    """
    size = (options.height, options.width)
    arguments = load_class(GENERATORS, options.generator).defaults(size=size)
    known = [name for name in arguments if name != "size"]
    for name, text in (pair.split("=", 1) for pair in options.architecture):
        if name not in known:
            taken = ", ".join(known)
            raise OptionError(f"--architecture {name}: {options.generator} takes {taken}")
        arguments[name] = _parse_value(name, text, arguments[name])
    return arguments


def complete_options(
    options: TrainPose2VideoOptions, camera: Camera, betas: tuple[float, ...] = ()
) -> TrainPose2VideoOptions:
    """Return the options with all of the architecture, the camera and the shape filled in."""
    arguments = generator_arguments(options).items()
    pairs = tuple(f"{name}={_format_value(value)}" for name, value in arguments if name != "size")
    filled = {"camera": options.camera or camera.numbers(), "betas": options.betas or betas}
    return replace(options, architecture=pairs, **filled)


def load_renderer(
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    engine: str = TORCH,
) -> Pose2VideoRenderer:
    """Return the renderer of a run's folder or a shipped checkpoint.

    Args:
        engine: "torch" or "openvino"; the latter computes on the CPU, in 8 bits.

    Raises:
        DataError: no checkpoint there, broken, of another version or another kind, or without a
            graph for the engine.
        UserError: the engine is not installed.
    """
    path = resolve_checkpoint(folder) / OPTIONS_FILE
    options = read_renderer_options(path)
    try:
        with (
            without_compiler(),
            torch.device("meta"),
        ):  # wrong options may need more than all memory
            generator = build_generator(options)
        trained = isinstance(options, TrainPose2VideoOptions)
        camera = Camera.from_numbers(options.camera) if trained else None
    except UserError as error:
        raise DataError(f"{path}: {error}") from None
    load_networks(nn.ModuleDict({NETWORK: generator}), folder)
    generator = generator.eval().requires_grad_(False).to(device, dtype)
    size = (options.width, options.height) if trained else (0, 0)
    if trained:  # vid2vid's is exact only if contiguous: see generators/vid2vid.py
        generator = generator.to(memory_format=torch.channels_last)
    if engine == OPENVINO:
        made_of = weights_id(folder)
        generator = OpenVinoGenerator(generator, resolve_checkpoint(folder), weights_id=made_of)
    device = torch.device(device)
    betas = options.betas if trained else ()
    return Pose2VideoRenderer(generator, options.map_style, *size, camera, betas, device, dtype)


def read_renderer_options(path: Path) -> RendererOptions:
    """Return a checkpoint's options, of our training or of vid2vid's; raises `DataError`."""
    found = read_json(path, what="a renderer's options")
    trained = isinstance(found, Mapping) and "dataset" in found
    try:
        return (TrainPose2VideoOptions if trained else Vid2VidOptions).load(path)
    except OptionError as error:
        raise DataError(str(error)) from None


def _parse_value(name: str, text: str, default: Any) -> Any:
    """Return the value of a text, of the same type as the default."""
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        if not isinstance(default, int | tuple):
            return type(default)(text)
        counts = tuple(map(int, text.split(","))) if isinstance(default, tuple) else (int(text),)
        most = MAX_BLOCKS if "blocks" in name else MAX_CHANNELS
        if min(counts) < 0:
            raise ValueError(f"{text} is negative")
        if max(counts) > most or len(counts) > MAX_LEVELS:
            raise OptionError(
                f"--architecture {name}={text:.60}: up to {MAX_LEVELS} numbers from 0 to {most} "
                "are needed"
            )
        return counts if isinstance(default, tuple) else counts[0]
    except (ValueError, KeyError):
        needed = f"a value like {_format_value(default)} is needed"
        raise OptionError(f"--architecture {name}={text}: {needed}") from None


def _format_value(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


class ValidationClip:
    """The first frames of a clip, at most so many, to be generated and compared."""

    def __init__(self, video: PoseVideo, *, map_style: str, frames: int, cache_bytes: int) -> None:
        self.video, self.map_style = video.part(0, min(frames, len(video))), map_style
        self.cache = FrameCache([self.video], limit_bytes=cache_bytes)

    def generate(self, renderer: Pose2VideoRenderer) -> "Rollout":
        """Generate the frames from the first one on, as at inference."""
        points_TK2 = self.video.points_TK2
        size = self.video.framing.width, self.video.framing.height
        maps = np.stack(list(renderer.draw_maps(points_TK2, size=size)))
        real = self.cache.frames(0, range(len(self.video))).transpose(0, 3, 1, 2)
        # frames are smaller while not all scales of a generator are in use
        fake = np.stack([resize_image(frame, size) for frame in renderer.render(maps)])
        return Rollout(points_TK2, maps, real, fake)


@dataclass(frozen=True, eq=False)
class Rollout:
    """Maps, real and generated frames of a clip, (T, 3, H, W) uint8 each."""

    points_TK2: np.ndarray
    maps: np.ndarray
    real: np.ndarray
    fake: np.ndarray

    def metrics(self) -> dict[str, float]:
        """Return PSNR (dB) and SSIM of the whole frame and of regions, means over frames."""
        height, width = self.real.shape[2:]
        starts = range(0, len(self.real), SSIM_CHUNK)
        chunks = (slice(start, start + SSIM_CHUNK) for start in starts)
        ssim_THW = np.concatenate([ssim_map(self.fake[c], self.real[c]) for c in chunks])
        found = {"psnr": psnr(self.fake, self.real), "ssim": mean_in_boxes(ssim_THW)}
        for region in REGIONS:
            boxes_T4 = region_boxes(self.points_TK2, region)
            seen_T = boxes_visible(boxes_T4, width=width, height=height)
            if seen_T.any():
                real, fake, boxes = self.real[seen_T], self.fake[seen_T], boxes_T4[seen_T]
                found[f"{region}_psnr"] = psnr(fake, real, boxes)
                found[f"{region}_ssim"] = mean_in_boxes(ssim_THW[seen_T], boxes)
        return {name: float(np.nanmean(values)) for name, values in found.items()}

    def show(self, log: TrainingLog, step: int) -> None:
        """Add images and a video to a training log."""
        numbers = np.linspace(0, len(self.real) - 1, SHOWN_FRAMES).round().astype(int)
        columns = {"map": self.maps, "generated": self.fake, "real": self.real}
        log.images(step, {name: images[numbers] for name, images in columns.items()})
        regions = {r: np.stack(list(self._region_rows(r, numbers))) for r in SHOWN_REGIONS}
        log.images(step, regions, title="regions, generated and real")
        path = log.video(step, "map_generated_real")
        write_video(path, (np.concatenate(row, 2) for row in zip(*columns.values(), strict=True)))

    def _region_rows(self, region: str, numbers: np.ndarray) -> Iterator[np.ndarray]:
        """Yield a region of frames, enlarged, generated and real; black where it is absent."""
        height, width = self.real.shape[2:]
        for t in numbers:
            box_4 = region_boxes(self.points_TK2[t : t + 1], region)[0]
            if not boxes_visible(box_4[None], width=width, height=height)[0]:
                yield np.zeros((3, REGION_SIDE, 2 * REGION_SIDE), np.uint8)
                continue
            x0, y0, x1, y1 = np.round(box_4).astype(int)
            rows, columns = slice(max(y0, 0), min(y1, height)), slice(max(x0, 0), min(x1, width))
            both = [images[t][:, rows, columns] for images in (self.fake, self.real)]
            size = REGION_SIDE, REGION_SIDE
            yield np.concatenate([resize_image(image, size) for image in both], 2)


def resize_image(image_3HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an image (3, H, W) uint8 at another size (width, height)."""
    if image_3HW.shape[:0:-1] == size:
        return image_3HW
    resized_HW3 = cv2.resize(image_3HW.transpose(1, 2, 0), size, interpolation=cv2.INTER_CUBIC)
    return resized_HW3.transpose(2, 0, 1)
