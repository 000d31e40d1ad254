"""Benchmark of the renderer's engines: PyTorch and OpenVINO in processes that take turns.

In one process their threads would wait for each other in busy loops. Networks have their default
size and random weights, which does not change the time.
"""

import multiprocessing
import tempfile
import time
from itertools import islice, repeat
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks import Metrics
from speech2video.models.checkpointing import save_weights, weights_id
from speech2video.models.pose2video.engine import calibration_steps, export_engine
from speech2video.models.pose2video.renderer import (
    NETWORK,
    build_generator,
    complete_options,
    load_renderer,
    to_floats,
)
from speech2video.options.inference import OPENVINO, TORCH
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.util.checkpoint_folder import OPTIONS_FILE, WEIGHTS_FILE
from speech2video.util.rendering.camera import FACING, Camera

ROUNDS, FRAMES = 8, 25  # turns of each engine, frames of a turn
CALIBRATION_MAPS = 4
SEED, NOISE = 0, 0.02


def benchmark_engines(size: int, *, threads: int, rounds: int = ROUNDS) -> Metrics:
    """Measure frames per second of both engines, maps to images in bytes; medians of the turns."""
    context = multiprocessing.get_context("spawn")
    seconds: dict[str, list[float]] = {TORCH: [], OPENVINO: []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_checkpoint(Path(scratch), size)
        workers = {}
        for engine in seconds:
            ours, theirs = context.Pipe()
            given = theirs, folder, engine, threads
            workers[engine] = ours, context.Process(target=_render, args=given, daemon=True)
            workers[engine][1].start()
        try:
            for _ in range(rounds):
                for engine, (connection, _) in workers.items():
                    connection.send(FRAMES)
                    seconds[engine].append(connection.recv())
        finally:
            for connection, process in workers.values():
                connection.close()
                process.join()
    torch_seconds, openvino_seconds = (float(np.median(seconds[e])) for e in (TORCH, OPENVINO))
    return {
        f"torch_{size}_frames_per_second": 1 / torch_seconds,
        f"openvino_{size}_frames_per_second": 1 / openvino_seconds,
        f"openvino_{size}_fastest_frames_per_second": 1 / min(seconds[OPENVINO]),
        f"openvino_{size}_times_torch": torch_seconds / openvino_seconds,
    }


def write_checkpoint(folder: Path, size: int) -> Path:
    """Write a checkpoint of an untrained generator with its graph; return its folder."""
    options = TrainPose2VideoOptions(
        name="benchmark", dataset=Path("none"), width=size, height=size
    )
    camera = Camera(size, (size / 2, size / 2), size, size, FACING, (0.0, 0.0, 1.0))
    torch.manual_seed(SEED)
    generator = build_generator(options).eval().requires_grad_(False)
    for weight in generator.parameters():  # some are zero at first, which costs no time
        weight.add_(NOISE * torch.randn_like(weight))
    save_weights(folder / WEIGHTS_FILE, nn.ModuleDict({NETWORK: generator}))
    complete_options(options, camera).save(folder / OPTIONS_FILE)
    maps = [to_floats(torch.from_numpy(_random_map(size))[None])] * CALIBRATION_MAPS
    steps = calibration_steps(generator, [maps])
    export_engine(generator, steps, folder, weights_id=weights_id(folder))
    return folder


def _random_map(size: int) -> np.ndarray:
    random = np.random.default_rng(SEED)
    return random.integers(0, 256, (3, size, size)).astype(np.uint8)


def _render(connection: Connection, folder: Path, engine: str, threads: int) -> None:
    """Render as many frames as are asked for and answer with the seconds of each, to the end."""
    torch.set_num_threads(threads)
    renderer = load_renderer(folder, engine=engine)
    frames = renderer.render(repeat(_random_map(renderer.width)))
    list(islice(frames, 3))  # loads libraries
    while True:
        try:
            count = connection.recv()
        except EOFError:
            return
        begin = time.perf_counter()
        list(islice(frames, count))
        connection.send((time.perf_counter() - begin) / count)
