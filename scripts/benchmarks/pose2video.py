"""Maps to frames: our generator at its sizes, vid2vid's beside it, and what the machine can do."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.audio2pose import speech_noise
from benchmarks.machine import peak_memory_mb
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.models.pose2video.generators.base import MAPS_PER_STEP, PAST_FRAMES, Generator
from speech2video.models.pose2video.generators.vid2vid import Vid2VidGenerator
from speech2video.models.pose2video.renderer import build_generator, load_renderer
from speech2video.options.evaluation import BenchmarkOptions
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.util.metrics.image import psnr
from speech2video.util.timing import FPS

SIZES = (256, 512)  # pixels a side
GPU_SIZES = (512, 1024)
VID2VID_SIZE, VID2VID_WIDTH = 256, 64
ROUNDS, FRAMES, SLOW = (
    8,
    12,
    1,
)  # runs of each, the slow one's last, in turns: others on the machine then slow all of them alike
PEAK_CHANNELS, PEAK_SIZE, PEAK_TIMES = 128, 64, 4  # of the convolution that says what is possible
CAPTURED_AFTER = 3  # runs
COMPARED = 25  # frames painted in 16 and in 32 bits
SHIPPED = Path("checkpoints/demo")  # trained weights, for what 16 bits lose


def benchmark(options: BenchmarkOptions) -> dict[str, Any]:
    """Return frames a second of each generator, and of which rate that is.

    Networks have the usual size and have learned nothing, which takes as long.
    """
    works: dict[str, Callable[[], Any]] = {"peak": _convolution()}
    works |= {f"fast_{size}": _stepper(_fast(size), size) for size in SIZES}
    vid2vid = Vid2VidGenerator(ngf=VID2VID_WIDTH).eval()
    works["vid2vid_256"] = _stepper(vid2vid, VID2VID_SIZE)
    seconds, gflop = _fastest(works), {name: _gflop(work) for name, work in works.items()}
    peak = gflop["peak"] / seconds["peak"]
    figures: dict[str, Any] = {"peak_gflop_per_second": peak}
    for name in list(works)[1:]:
        figures |= {
            f"{name}_frames_per_second": 1 / seconds[name],
            f"{name}_gflop_per_frame": gflop[name],
            f"{name}_share_of_peak": gflop[name] / seconds[name] / peak,
        }
    figures["vid2vid_times_slower"] = seconds["vid2vid_256"] / seconds["fast_256"]
    figures |= _bf16() | {"peak_memory_mb": peak_memory_mb()}
    return figures | (_gpu() if torch.cuda.is_available() else {})


def _fast(size: int) -> Generator:
    options = TrainPose2VideoOptions(
        name="benchmark", dataset=Path("none"), width=size, height=size
    )
    return build_generator(options).eval().to(memory_format=torch.channels_last)


def _stepper(generator: Generator, size: int) -> Callable[[], Any]:
    maps = torch.rand(1, MAPS_PER_STEP * generator.map_channels, size, size) * 2 - 1
    past = torch.rand(1, 3 * PAST_FRAMES, size, size) * 2 - 1
    return lambda: generator.step(maps, past)


def _convolution() -> Callable[[], Any]:
    layers = [nn.Conv2d(PEAK_CHANNELS, PEAK_CHANNELS, 3, padding=1) for _ in range(PEAK_TIMES)]
    network = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    x = torch.rand(1, PEAK_CHANNELS, PEAK_SIZE, PEAK_SIZE)
    x = x.contiguous(memory_format=torch.channels_last)
    return lambda: network(x)


@torch.inference_mode()
def _fastest(works: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the seconds of each work's fastest run, all of them done in turns."""
    fastest = dict.fromkeys(works, float("inf"))
    for _ in range(ROUNDS):
        for name, work in works.items():
            for _ in range(SLOW if name.startswith("vid2vid") else FRAMES):
                start = time.perf_counter()
                work()
                fastest[name] = min(fastest[name], time.perf_counter() - start)
    return fastest


@torch.inference_mode()
def _gflop(work: Callable[[], Any]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9


def _bf16() -> dict[str, Any]:
    """Return what painting in 16 bits changes, by the shipped speaker's weights and poses."""
    if not (SHIPPED / "pose2video").is_dir():
        return {"bf16_psnr_db": "no trained checkpoint"}
    dtypes = (torch.float32, torch.bfloat16)
    painters = [load_renderer(SHIPPED / "pose2video", dtype=dtype) for dtype in dtypes]
    mover = PosePredictor.load(SHIPPED / "audio2pose")
    poses = mover.predict_from_audio(next(speech_noise(COMPARED / FPS)))
    points_TK2 = painters[0].camera.project(mover.body.points(poses)).numpy()
    exact, rounded = (np.stack(list(one.render(one.draw_maps(points_TK2)))) for one in painters)
    return {"bf16_psnr_db": float(psnr(rounded, exact).mean())}


def _gpu() -> dict[str, Any]:
    figures = {}
    for size in GPU_SIZES:
        generator = _fast(size).to("cuda", torch.bfloat16)
        with _graph(generator, size) as replay:
            replay()
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(ROUNDS * FRAMES):
                replay()
            torch.cuda.synchronize()
            taken = time.perf_counter() - start
        figures[f"gpu_fast_{size}_frames_per_second"] = ROUNDS * FRAMES / taken
    return figures


@contextmanager
@torch.inference_mode()
def _graph(generator: Generator, size: int) -> Iterator[Callable[[], None]]:
    """Give a step as one CUDA graph."""
    maps = torch.rand(1, MAPS_PER_STEP * generator.map_channels, size, size, device="cuda")
    past = torch.rand(1, 3 * PAST_FRAMES, size, size, device="cuda")
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):  # what is captured must have run before
        for _ in range(CAPTURED_AFTER):
            generator.step(maps, past)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        generator.step(maps, past)
    yield graph.replay
