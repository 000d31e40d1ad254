"""Benchmark of training pose to video: steps per second, and what takes the time."""

import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

import benchmarks
from benchmarks import Metrics, Stopwatch, synchronise
from benchmarks.clips import write_body_clips
from speech2video.data.loader import iterate_batches, training_loader
from speech2video.data.pose2video.clip import load_pose_videos
from speech2video.data.pose2video.dataset import collate
from speech2video.models.pose2video.losses import loss_weights
from speech2video.models.pose2video.model import GanConfig, OptimConfig, Pose2VideoModel
from speech2video.models.pose2video.renderer import build_generator
from speech2video.models.trainer import prepare_gpu
from speech2video.options.evaluation import BenchmarkOptions
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.util import distributed
from speech2video.util.body.body_model import Body
from train_pose2video import build_dataset

FRAMES = 4  # of a sequence, as at the end of a training
WARM_UP = 3  # steps that do not count: kernels are chosen, memory is taken


def benchmark_training(options: BenchmarkOptions) -> Metrics:
    """Measure steps of the default generator, with and without its discriminators.

    The perceptual loss is left out: it needs weights that are downloaded.
    """
    device = distributed.start(options.device)
    prepare_gpu(device, tf32=options.tf32)
    with tempfile.TemporaryDirectory() as folder:
        training = TrainPose2VideoOptions(
            name="benchmark",
            dataset=Path(folder) / "clips",
            width=options.size,
            height=options.size,
            steps=10**6,
            seq_len=FRAMES,
            max_seq_len=FRAMES,
            precision=options.precision,
            batch_size=options.batch_size,
            architecture=options.architecture,
        )
        body = Body.load()
        write_body_clips(training.dataset, body, size=options.size)
        videos = load_pose_videos(
            training.dataset, body, width=options.size, height=options.size, names=()
        )
        loader = training_loader(
            build_dataset(videos, training),
            batch_size=training.batch_size,
            workers=options.workers,
            collate=collate,
        )
        generator = build_generator(training)
        gan = training.fill(GanConfig, discriminators=training.discriminator_names, gan_start=0.0)
        model = Pose2VideoModel(
            generator,
            training.fill(OptimConfig),
            gan,
            weights=loss_weights(("perceptual=0",)),
            compiled=options.compile,
            device=device,
        )
        batches = iterate_batches(loader, step=0, device=device)
        return measure_steps(model, batches, options.steps) | {
            "size": options.size,
            "batch_size": options.batch_size,
            "precision": options.precision + ("+tf32" if options.tf32 else ""),
            "device": _device_name(device),
        }


def measure_steps(
    model: Pose2VideoModel, batches: Iterator[dict[str, Tensor]], steps: int
) -> Metrics:
    """Return steps per second, shares of loading and discriminators, and peak memory."""
    first = list(itertools.islice(batches, 2))
    _run_steps(model, itertools.cycle(first), WARM_UP)
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
    seconds, loading = _run_steps(model, batches, steps)
    computing, _ = _run_steps(model, itertools.cycle(first), steps)
    model.gan_start = model.step + steps + WARM_UP + 1
    _run_steps(model, itertools.cycle(first), WARM_UP)
    without, _ = _run_steps(model, itertools.cycle(first), steps)
    metrics: Metrics = {
        "steps_per_second": steps / seconds,
        "steps_per_second_without_loading": steps / computing,
        "loading_share": loading / seconds,
        "discriminators_share": max(0.0, 1 - without / computing),
        "peak_memory_mb": benchmarks.peak_memory_mb(),
    }
    if model.device.type == "cuda":
        metrics["gpu_memory_mb"] = torch.cuda.max_memory_allocated(model.device) / 2**20
    return metrics


def _run_steps(
    model: Pose2VideoModel, batches: Iterator[dict[str, Tensor]], steps: int
) -> tuple[float, float]:
    """Return the seconds of a number of steps, and those of them spent waiting for batches."""
    loading = 0.0
    synchronise(model.device)
    watch = Stopwatch()
    for _ in range(steps):
        before = time.perf_counter()
        batch = next(batches)
        loading += time.perf_counter() - before
        model.set_learning_rates()
        model.training_step(batch)
        model.update_ema()
        model.step += 1
    synchronise(model.device)
    return watch.seconds()[0], loading


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
