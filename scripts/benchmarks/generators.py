"""Benchmarks of the generators: pose2video compared with vid2vid, and speech2face.

Networks have their default size and random weights, which does not change the time.
"""

import tempfile
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import benchmarks
from benchmarks import Metrics, fastest, gflop
from benchmarks.engines import benchmark_engines
from speech2video.data.speech2face.dataset import MOTION
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.models.pipelines.talking_face import TalkingFace
from speech2video.models.pose2video.generators.base import MAPS_PER_STEP, PAST_FRAMES, Generator
from speech2video.models.pose2video.generators.vid2vid import Vid2VidGenerator
from speech2video.models.pose2video.renderer import build_generator, load_renderer
from speech2video.models.speech2face import predictor as speech2face
from speech2video.models.speech2face.encoders import CONTENT_DIM, IDENTITY_DIM, NUM_EMOTIONS
from speech2video.models.speech2face.generator import FaceGenerator
from speech2video.models.speech2face.predictor import FRAMES_PER_STEP
from speech2video.options.evaluation import BenchmarkOptions
from speech2video.options.inference import TalkingFaceOptions
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.options.speech2face import TrainSpeech2FaceOptions
from speech2video.util.metrics.image import psnr
from speech2video.util.text.speech_source import Speech
from speech2video.util.timing import FPS

SIZES = (256, 512)  # pixels
GPU_SIZES = (512, 1024)
VID2VID_SIZE, VID2VID_WIDTH = 256, 64
# Rounds over all generators, so that other processes slow all of them alike; calls per round.
ROUNDS, CALLS, VID2VID_CALLS = 8, 12, 1
PEAK_CHANNELS, PEAK_SIZE, PEAK_LAYERS = 128, 64, 4  # convolutions that give the attainable rate
CAPTURED_AFTER = 3  # calls before a CUDA graph is captured
PRECISION_FRAMES = 25  # rendered in 16 and in 32 bits
SHIPPED = Path(__file__).resolve().parents[2] / "checkpoints" / "demo"  # trained weights

FACE_SIZES = (64, 128, 256)  # pixels
FACE_FRAMES, FACE_WARM_UP = 200, 5


def benchmark_pose2video(options: BenchmarkOptions) -> Metrics:
    """Measure frames per second of each generator, and their share of the attainable rate."""
    calls: dict[str, Callable[[], Any]] = {"peak": _convolutions()}
    calls |= {f"fast_{size}": generator_step(fast_generator(size), size) for size in SIZES}
    vid2vid = Vid2VidGenerator(ngf=VID2VID_WIDTH).eval()
    calls["vid2vid_256"] = generator_step(vid2vid, VID2VID_SIZE)
    seconds = dict.fromkeys(calls, float("inf"))
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for name, call in calls.items():
                repeat = VID2VID_CALLS if name.startswith("vid2vid") else CALLS
                seconds[name] = min(seconds[name], fastest(call, repeat=repeat))
    operations = {name: gflop(call) for name, call in calls.items()}
    peak = operations["peak"] / seconds["peak"]
    metrics: Metrics = {"peak_gflop_per_second": peak}
    for name in list(calls)[1:]:
        metrics |= {
            f"{name}_frames_per_second": 1 / seconds[name],
            f"{name}_gflop_per_frame": operations[name],
            f"{name}_share_of_peak": operations[name] / seconds[name] / peak,
        }
    metrics["vid2vid_times_slower"] = seconds["vid2vid_256"] / seconds["fast_256"]
    for size in SIZES if find_spec("openvino") and find_spec("nncf") else ():
        metrics |= benchmark_engines(size, threads=options.threads)
    metrics |= _bf16_metrics() | {"peak_memory_mb": benchmarks.peak_memory_mb()}
    return metrics | (_gpu_metrics() if torch.cuda.is_available() else {})


def benchmark_speech2face(options: BenchmarkOptions) -> Metrics:
    """Measure frames per second of generator and pipeline at both sizes."""
    metrics: Metrics = {}
    with benchmarks.processor_cores(options.threads):
        for size in FACE_SIZES:
            found = _face_metrics(size, options)
            metrics |= {f"{name}_{size}": value for name, value in found.items()}
    return metrics | {"peak_memory_mb": benchmarks.peak_memory_mb()}


def fast_generator(size: int) -> Generator:
    """Return an untrained default generator of images of a size."""
    name, dataset = "benchmark", Path("none")
    options = TrainPose2VideoOptions(name=name, dataset=dataset, width=size, height=size)
    return build_generator(options).eval().to(memory_format=torch.channels_last)


@torch.no_grad()
def generator_step(
    generator: Generator, size: int, device: torch.device | str = "cpu"
) -> Callable[[], Any]:
    """Return a step from random maps and a frame before them."""
    maps = torch.rand(1, MAPS_PER_STEP * generator.map_channels, size, size, device=device) * 2 - 1
    past = None
    for _ in range(PAST_FRAMES):
        past = generator.update_past(past, generator.step(maps, past))
    return lambda: generator.step(maps, past)


def _convolutions() -> Callable[[], Any]:
    layers = [nn.Conv2d(PEAK_CHANNELS, PEAK_CHANNELS, 3, padding=1) for _ in range(PEAK_LAYERS)]
    network = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    x = torch.rand(1, PEAK_CHANNELS, PEAK_SIZE, PEAK_SIZE)
    x = x.contiguous(memory_format=torch.channels_last)
    return lambda: network(x)


def _bf16_metrics() -> Metrics:
    """Return the PSNR of frames in 16 bits compared with 32, for the shipped speaker."""
    if not (SHIPPED / "pose2video").is_dir():
        return {"bf16_psnr_db": "no trained checkpoint"}
    exact, rounded = (shipped_frames(dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    return {"bf16_psnr_db": float(psnr(rounded, exact).mean())}


def shipped_frames(
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    count: int = PRECISION_FRAMES,
) -> np.ndarray:
    """Return frames (T, 3, H, W) uint8 of the shipped speaker, whose poses the CPU predicts."""
    renderer = load_renderer(SHIPPED / "pose2video", device=device, dtype=dtype)
    predictor = PosePredictor.load(SHIPPED / "audio2pose")
    pose_TP = predictor.predict_from_audio(next(benchmarks.speech_noise(count / FPS)))
    assert renderer.camera is not None
    points_TK2 = renderer.camera.project(predictor.body.points(pose_TP)).numpy()
    return np.stack(list(renderer.render(renderer.draw_maps(points_TK2))))


def _gpu_metrics() -> Metrics:
    metrics = {}
    for size in GPU_SIZES:
        generator = fast_generator(size).to("cuda", torch.bfloat16)
        with cuda_graph(generator_step(generator, size, "cuda")) as replay:
            rate = benchmarks.calls_per_second(replay, ROUNDS * CALLS, torch.device("cuda"))
        metrics[f"gpu_fast_{size}_frames_per_second"] = rate
    return metrics


@contextmanager
@torch.inference_mode()
def cuda_graph(step: Callable[[], Any]) -> Iterator[Callable[[], None]]:
    """Capture a step as one CUDA graph, and give its replay."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())  # which makes the inputs
    with torch.cuda.stream(stream):  # required before capturing
        for _ in range(CAPTURED_AFTER):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    yield graph.replay


def _face_metrics(size: int, options: BenchmarkOptions) -> dict[str, float]:
    training = TrainSpeech2FaceOptions(name="benchmark", dataset=Path("none"), size=size)
    networks = speech2face.build_networks(training).eval().requires_grad_(False)
    untrained = speech2face.Speech2FacePredictor(networks)
    face = TalkingFace("benchmark", "benchmark: untrained", untrained, None)
    with tempfile.TemporaryDirectory() as folder:
        audio, video = Path(folder) / "speech.wav", Path(folder) / "speech.mp4"
        benchmarks.write_speech_noise(audio, 60 * options.minutes)
        inference = TalkingFaceOptions(name="benchmark", audio=audio, output=video)
        face.make_video(Speech("speech", audio), inference, bar=False)  # loads libraries
        watch = benchmarks.Stopwatch()
        frames = face.make_video(Speech("speech", audio), inference, bar=False)
        wall, processor = watch.seconds()
    generator = networks["generator"]
    assert isinstance(generator, FaceGenerator)
    alone, one_by_one = _face_seconds(generator, FRAMES_PER_STEP), _face_seconds(generator, 1)
    return {
        "frames_per_second": frames / wall,
        "processor_ms_per_frame": 1000 * processor / frames,
        "generator_frames_per_second": 1 / alone,
        "times_one_by_one": one_by_one / alone,
        "gflop_per_frame": gflop(_face_step(generator, FRAMES_PER_STEP)) / FRAMES_PER_STEP,
        "shipped_mb": 2 * sum(p.numel() for p in networks.parameters()) / 1e6,  # 16 bits
    }


@torch.inference_mode()
def _face_seconds(generator: FaceGenerator, frames: int) -> float:
    """Return the seconds per frame of the generator alone, a number of frames per step."""
    step = _face_step(generator, frames)
    timeit.timeit(step, number=FACE_WARM_UP)
    return timeit.timeit(step, number=FACE_FRAMES // frames) / FACE_FRAMES


@torch.inference_mode()
def _face_step(generator: FaceGenerator, frames: int) -> Callable[[], Any]:
    appearance = generator.encode_appearance(torch.zeros(1, IDENTITY_DIM))
    emotion, motion = torch.eye(NUM_EMOTIONS)[:1], torch.zeros(1, frames, len(MOTION))
    content = torch.zeros(1, frames, CONTENT_DIM)
    return lambda: generator.generate(appearance, content, emotion, motion)
