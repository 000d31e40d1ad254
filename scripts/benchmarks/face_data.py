"""Benchmark of training speech2face: memory and start-up do not depend on the number of clips.

The clips are links to a few files, so that many take no disk.
"""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

import train_speech2face
from benchmarks import Metrics, peak_memory_mb
from benchmarks.clips import write_face_clips
from speech2video.data.speech2face.clip import FaceClip, split_numbers
from speech2video.data.speech2face.index import PARTS, ClipSummary, FaceIndex
from speech2video.models.speech2face.model import Speech2FaceModel
from speech2video.models.trainer import training_session
from speech2video.options.evaluation import BenchmarkOptions
from speech2video.options.speech2face import TrainSpeech2FaceOptions

SIZE, FRAMES = 128, 30
CACHE = 0.06  # gigabytes, which a few clips fill
PEOPLE = 6000  # at most, of the simulated index, about as many as in VoxCeleb2


def benchmark_face_data(options: BenchmarkOptions) -> Metrics:
    """Measure training on few and on many clips, and an index of very many.

    Each training runs in its own process, first with a new data set, whose index takes longer.
    """
    metrics: Metrics = {"size": SIZE, "batch_size": options.batch_size, "steps": options.steps}
    few, many = min(options.clips), max(options.clips)
    with tempfile.TemporaryDirectory() as folder:
        made = write_face_clips(Path(folder) / "made", size=SIZE, frames=FRAMES)
        for count in dict.fromkeys((few, many)):
            dataset = _link_clips(made, Path(folder) / f"{count}", count)
            first = _in_process(_train, _training_options(dataset, options, "first"))
            metrics[f"first_startup_seconds_{count}"] = first["startup_seconds"]
            again = _in_process(_train, _training_options(dataset, options, "again"))
            metrics |= {f"{name}_{count}": value for name, value in again.items()}
        memory = [metrics[f"peak_memory_mb_{count}"] for count in (few, many)]
        metrics["memory_growth"] = memory[1] / memory[0] - 1
        return metrics | _in_process(_simulate_index, Path(folder), options.index_lines)


def _link_clips(made: Path, dataset: Path, count: int) -> Path:
    """Make a data set of so many clips whose files are those of others, in turn."""
    clips = FaceClip.find_all(made)
    for number in range(count):
        source = clips[number % len(clips)].folder
        folder = dataset / f"{source.name}_{number:07}"
        folder.mkdir(parents=True)
        for part in PARTS:
            os.link(source / part, folder / part)
    return dataset


def _training_options(
    dataset: Path, options: BenchmarkOptions, name: str
) -> TrainSpeech2FaceOptions:
    return TrainSpeech2FaceOptions(
        name=f"{dataset.name}_{name}",
        dataset=dataset,
        checkpoints=dataset.parent / "checkpoints",
        size=SIZE,
        steps=options.steps,
        batch_size=options.batch_size,
        generator_batch_size=min(options.batch_size, 2),
        num_augmentations=1,
        cache=CACHE,
        workers=options.workers,
        validate_clips=2,
        validate_frames=FRAMES,
        device="cpu",
    )


def _in_process(function: Callable[..., Metrics], *arguments: Any) -> Metrics:
    """Return what a function measures in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _train(options: TrainSpeech2FaceOptions) -> Metrics:
    """Train; return the seconds until the first step, its rate and the peak memory."""
    torch.set_num_threads(1)
    begun, steps = time.perf_counter(), []
    step = Speech2FaceModel.training_step

    def timed_step(self: Speech2FaceModel, batch: Any) -> Any:
        steps.append(time.perf_counter())
        return step(self, batch)

    Speech2FaceModel.training_step = timed_step
    with training_session(options) as device:
        train_speech2face.train(options, device)
    return {
        "startup_seconds": steps[0] - begun,
        "seconds_per_step": (steps[-1] - steps[0]) / max(len(steps) - 1, 1),
        "peak_memory_mb": peak_memory_mb(),
    }


def _simulate_index(folder: Path, lines: int) -> Metrics:
    """Make, keep, read and split an index of so many clips."""
    before, people = peak_memory_mb(), min(PEOPLE, lines // 10)
    names = [f"id{n * people // lines:05}_21Uxsk56VDQ_{n:07}" for n in range(lines)]
    summaries = (ClipSummary(n[:7], -1, n[8:], 200, SIZE, [slice(0, 200)]) for n in names)
    FaceIndex.of(folder, names, np.arange(lines, dtype=np.uint64), summaries).keep()
    begun = time.perf_counter()
    index = FaceIndex.load(folder)
    assert index is not None
    training, _, _ = split_numbers(index.speaker_names, index.sentences)
    stored = index.recordings(training, size=SIZE, cache_bytes=0)
    assert stored[-1].name == names[training[-1]]
    return {
        "index_lines": lines,
        "index_seconds": time.perf_counter() - begun,
        "index_memory_mb": peak_memory_mb() - before,
        "index_peak_memory_mb": peak_memory_mb(),
    }
