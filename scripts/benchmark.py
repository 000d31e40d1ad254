"""Measure this machine: throughput and peak memory of one part, printed and, if asked, as json.

python scripts/benchmark.py body [--json results/benchmark_body.json]
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import _checkout  # noqa: F401
import torch

from speech2video.options.benchmark_options import BenchmarkOptions
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.camera import Camera
from speech2video.util.drawing import draw_skeleton
from speech2video.util.errors import run_command
from speech2video.util.files import replacing

BODY_FRAMES = 10_000
MAP_FRAMES = 1_000
MAP_SIZE = 512


def main() -> None:
    options = BenchmarkOptions.parse()
    torch.set_num_threads(options.threads)
    figures = {"benchmark": options.kind, "threads": options.threads, **BENCHMARKS[options.kind]()}
    figures["peak_memory_mb"] = _peak_memory_mb()
    for name, value in figures.items():
        print(f"{name:32} {value:.4g}" if isinstance(value, float) else f"{name:32} {value}")
    if options.json:
        with replacing(options.json) as partial:
            partial.write_text(json.dumps(figures, indent=2) + "\n")


@torch.inference_mode()
def benchmark_body() -> dict[str, Any]:
    """Return how fast poses become points, and points maps."""
    body = Body.load()
    torch.manual_seed(0)
    pose_TP = torch.randn(BODY_FRAMES, POSE_SIZE) * 0.1
    body.points(pose_TP[:100])  # the first call pays for libraries that load lazily
    points_seconds = _best_of(3, lambda: body.points(pose_TP))

    points_TK3 = body.points(pose_TP[:MAP_FRAMES])
    camera = Camera.framing(points_TK3, width=MAP_SIZE, height=MAP_SIZE)
    points_TK2 = camera.project(points_TK3).numpy()
    draw = draw_skeleton
    map_seconds = _best_of(
        3, lambda: sum(1 for _ in draw(points_TK2, width=MAP_SIZE, height=MAP_SIZE))
    )
    return {
        "points_frames": BODY_FRAMES,
        "points_seconds": points_seconds,
        "points_frames_per_second": BODY_FRAMES / points_seconds,
        "map_size": MAP_SIZE,
        "maps_per_second": MAP_FRAMES / map_seconds,
    }


def _best_of(times: int, work: Callable[[], Any]) -> float:
    """Return the seconds of the fastest run: other users of the machine only ever slow one down."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _peak_memory_mb() -> float:
    """Return the most memory this process ever held, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


BENCHMARKS: dict[str, Callable[[], dict[str, Any]]] = {"body": benchmark_body}

if __name__ == "__main__":
    run_command(main)
