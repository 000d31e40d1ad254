"""Inference of a trained generator in 8 bits by OpenVINO, for processors without a GPU.

The graph and its quantised weights lie next to a checkpoint's weights, engine.xml and engine.bin;
`scripts/export_checkpoint.py --engine` makes them. Needs the extra `engine`.
"""

import logging
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from speech2video.models.pose2video.generators.base import (
    MAPS_PER_STEP,
    RGB,
    Generator,
    GeneratorOutput,
    Past,
)
from speech2video.util.errors import DataError, UserError
from speech2video.util.files import atomic_write

ENGINE_FILE = "engine.xml"
MAX_GRAPH_BYTES, MAX_WEIGHT_BYTES = 20_000_000, 2_000_000_000
CALIBRATION_FRAMES = 99
# Operations that stay in floats. In 8 bits sums, norms and blending cost 14 dB, and save no time.
EXACT = ["Add", "Divide", "GridSample", "Interpolate", "MVN", "Multiply", "Sigmoid", "Subtract"]
EXACT_LAYERS = [".*to_rgb.*"]  # patterns of names; its rounding would draw a grid over the image
WEIGHTS_ID = "speech2video_weights"  # of the graph's meta data
NEEDED = "pip install 'speech2video[engine,export-engine]'"

Step = tuple[Tensor, Tensor]  # maps (1, 3·C, H, W) and past (1, 4, H, W)


class OpenVinoGenerator(Generator):
    """A generator whose steps OpenVINO computes, but for a sequence's first one.

    Args:
        generator: the trained one, in evaluation mode, of the size of the graph.
        folder: of the graph.
        weights_id: of the generator's weights; a graph of other weights is refused.
        threads: of OpenVINO; None for all.

    Raises:
        DataError: no graph there, or of other weights or another size.
        UserError: OpenVINO is not installed.
    """

    def __init__(
        self, generator: Generator, folder: Path, *, weights_id: str, threads: int | None = None
    ) -> None:
        super().__init__()
        self.inner, self.map_channels = generator, generator.map_channels
        self.multiple = generator.multiple
        openvino = _import("openvino")
        model = _read_graph(openvino, folder / ENGINE_FILE)
        found = str(model.get_rt_info(WEIGHTS_ID).value) if model.has_rt_info(WEIGHTS_ID) else ""
        if found != weights_id:
            raise DataError(
                f"{folder / ENGINE_FILE}: made of the weights {found or '?'}, not {weights_id}; "
                "scripts/export_checkpoint.py --engine makes it again"
            )
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        settings |= {"INFERENCE_NUM_THREADS": threads or torch.get_num_threads()}
        try:
            self._request = openvino.Core().compile_model(model, "CPU", settings)
            self._request = self._request.create_infer_request()
            self._lock = threading.Lock()  # of the request, which holds one step's tensors
        except RuntimeError as error:
            raise DataError(f"{folder / ENGINE_FILE}: not usable ({_first_line(error)})") from None

    def step(
        self, maps: Tensor, past: Past | None = None, view: Tensor | None = None
    ) -> GeneratorOutput:
        """Generate the next frame; see `Generator.step`. Without a past PyTorch computes it."""
        if past is None or view is not None:
            return self.inner.step(maps, past, view)
        assert isinstance(past, Tensor)
        inputs = [tensor.float().contiguous().numpy() for tensor in (maps, past)]
        try:
            with self._lock:
                found = self._request.infer(inputs, share_inputs=True, share_outputs=True)
                layers = torch.from_numpy(next(iter(found.values())).copy())
        except RuntimeError as error:
            raise DataError(f"maps of {tuple(maps.shape)}: {_first_line(error)}") from None
        background = self.inner.get_buffer("background")[None]
        return GeneratorOutput(layers[:, :RGB], alpha=layers[:, RGB:], background=background)

    def update_past(self, past: Past | None, output: GeneratorOutput) -> Past:
        """Return the `past` of the step after `output`."""
        return self.inner.update_past(past, output)


def has_engine(folder: Path) -> bool:
    """Return whether a checkpoint's folder has a graph and this machine OpenVINO."""
    return (folder / ENGINE_FILE).is_file() and find_spec("openvino") is not None


def export_engine(
    generator: Generator, steps: Iterable[Step], folder: Path, *, weights_id: str
) -> None:
    """Write a generator's graph, with weights and activations in 8 bits.

    Args:
        generator: in evaluation mode, on the CPU, in 32 bits.
        steps: inputs from which the ranges of the activations are found.
        weights_id: of the generator's weights.

    Raises:
        DataError: a generator that does not separate person and background, or an unwritable
            folder.
        UserError: OpenVINO or NNCF is not installed.
    """
    openvino, nncf = _import("openvino"), _import("nncf")
    nncf.set_log_level(logging.ERROR)
    inputs = [[tensor.numpy() for tensor in step] for step in steps]
    example = tuple(torch.from_numpy(array) for array in inputs[0])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, but what OpenVINO does
        if generator.step(*example).alpha is None:
            raise DataError("a generator without alpha; engines are made of the fast one only")
        shapes = [list(tensor.shape) for tensor in example]
        model = openvino.convert_model(_Layers(generator), example_input=example, input=shapes)
    quantised = nncf.quantize(
        model,
        nncf.Dataset(inputs),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(inputs),
        ignored_scope=nncf.IgnoredScope(types=EXACT, patterns=EXACT_LAYERS, validate=False),
    )
    quantised.set_rt_info(weights_id, WEIGHTS_ID)
    path = folder / ENGINE_FILE
    with tempfile.TemporaryDirectory() as scratch:  # OpenVINO chooses the weights' name itself
        made = Path(scratch) / ENGINE_FILE
        openvino.save_model(quantised, made)
        for file in (path.with_suffix(".bin"), path):
            with atomic_write(file) as partial:
                shutil.copyfile(made.with_suffix(file.suffix), partial)


def calibration_steps(
    generator: Generator, clips: Iterable[Iterable[Tensor]], *, frames: int = CALIBRATION_FRAMES
) -> list[Step]:
    """Return inputs of steps, generated from clips, each an iterable of maps (1, C, H, W)."""
    steps: list[Step] = []
    with torch.inference_mode():
        for maps in clips:
            steps += _steps_of_clip(generator, maps)
    picked = np.linspace(0, len(steps) - 1, min(frames, len(steps))).round().astype(int)
    return [steps[index] for index in picked]


def _steps_of_clip(generator: Generator, maps: Iterable[Tensor]) -> Iterator[Step]:
    window: list[Tensor] = []
    past = None
    for map_1CHW in maps:
        window = [*(window or [map_1CHW] * MAPS_PER_STEP), map_1CHW][-MAPS_PER_STEP:]
        joined = torch.cat(window, 1)
        if past is not None:
            assert isinstance(past, Tensor)
            yield joined, past
        past = generator.update_past(past, generator.step(joined, past))


class _Layers(nn.Module):
    """A step's frame and alpha as one tensor (1, 4, H, W)."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, maps: Tensor, past: Tensor) -> Tensor:
        output = self.generator.step(maps, past)
        assert output.alpha is not None
        return torch.cat((output.frame, output.alpha), 1)


def _read_graph(openvino: Any, path: Path) -> Any:
    weights = path.with_suffix(".bin")
    for file, limit in ((path, MAX_GRAPH_BYTES), (weights, MAX_WEIGHT_BYTES)):
        if not file.is_file():
            raise DataError(f"{file}: no such file; scripts/export_checkpoint.py --engine makes it")
        if file.stat().st_size > limit:
            raise DataError(f"{file}: {file.stat().st_size} bytes; at most {limit} are read")
    try:
        return openvino.Core().read_model(path, weights)
    except RuntimeError as error:
        raise DataError(f"{path}: not a graph of OpenVINO ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__


def _import(name: str) -> Any:
    """Return OpenVINO or NNCF, without what would report each use of theirs to their makers."""
    sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType]
    try:
        return __import__(name)
    except ImportError:
        raise UserError(f"this engine needs {name}: {NEEDED}") from None
