"""Benchmark one part on this machine: throughput and peak memory, printed and optionally as JSON.

python scripts/benchmark.py body [--json results/benchmark_body.json]
python scripts/benchmark.py preprocess --threads 2 [--minutes 10]
python scripts/benchmark.py audio2pose --minutes 60 [--name demo]
python scripts/benchmark.py pose2video --threads 2
python scripts/benchmark.py pose2video --train [--device cuda] [--size 512] [--threads 2]
python scripts/benchmark.py pipeline --threads 2 --minutes 10 [--size 512] [--precision bf16]
python scripts/benchmark.py speech2face --threads 2 [--minutes 1]
python scripts/benchmark.py live --threads 2 --name demo --minutes 10
python scripts/benchmark.py speech2face --train [--clips 200 20000] [--index_lines 1000000]
"""

from importlib import import_module

import _checkout  # noqa: F401
import torch
from benchmarks import peak_memory_mb

from speech2video.options.evaluation import BenchmarkOptions
from speech2video.util.errors import run_command
from speech2video.util.files import write_json

MODULES = {
    "body": "preprocessing",
    "preprocess": "preprocessing",
    "audio2pose": "body_video",
    "pipeline": "body_video",
    "pose2video": "generators",
    "speech2face": "generators",
    "live": "live",
    "training": "training",
    "face_data": "face_data",
}
TRAINING = {"pose2video": "training", "speech2face": "face_data"}  # with --train


def main() -> None:
    options = BenchmarkOptions.parse()
    torch.set_num_threads(options.threads)
    # Imported late, so that the memory of other parts is not measured.
    kind = TRAINING[options.kind] if options.train else options.kind
    module = import_module(f"benchmarks.{MODULES[kind]}")
    measured = getattr(module, f"benchmark_{kind}")(options)
    metrics = {"benchmark": kind, "threads": options.threads, **measured}
    metrics.setdefault("peak_memory_mb", peak_memory_mb())
    for name, value in metrics.items():
        print(f"{name:32} {value:.4g}" if isinstance(value, float) else f"{name:32} {value}")
    if options.json:
        write_json(options.json, metrics)


if __name__ == "__main__":
    run_command(main)
