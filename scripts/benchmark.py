"""Measure this machine: throughput and peak memory of one part, printed and, if asked, as json.

python scripts/benchmark.py body [--json results/benchmark_body.json]
python scripts/benchmark.py preprocess --threads 2
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import _checkout  # noqa: F401
import torch

from speech2video.data.motion import FPS
from speech2video.data.preprocessing.fit import fit_body
from speech2video.data.preprocessing.mediapipe_keypoints import detect_keypoints
from speech2video.options.benchmark_options import BenchmarkOptions
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import JOINTS
from speech2video.util.camera import Camera
from speech2video.util.drawing import draw_skeleton
from speech2video.util.errors import run_command
from speech2video.util.files import replacing
from speech2video.util.render import MeshRenderer

BODY_FRAMES = 10_000
MAP_FRAMES = 1_000
MAP_SIZE = 512
SPEAKER_FRAMES, SPEAKER_WIDTH, SPEAKER_HEIGHT = 250, 512, 384


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


def benchmark_preprocess() -> dict[str, Any]:
    """Return how fast a recording of a speaker becomes keypoints, and keypoints a fitted body."""
    body = Body.load()
    pose_TP = _talking_pose(SPEAKER_FRAMES)
    camera = Camera(700.0, (SPEAKER_WIDTH / 2, SPEAKER_HEIGHT / 2), SPEAKER_WIDTH, SPEAKER_HEIGHT,
                    translation=(0.0, 0.1, 1.6))  # fmt: skip
    with MeshRenderer(body, camera) as renderer:
        frames = list(renderer.frames(pose_TP))
    size = {"width": SPEAKER_WIDTH, "height": SPEAKER_HEIGHT, "fps": FPS}
    detect_keypoints(frames[:5], **size)  # the first call pays for libraries that load lazily
    start = time.perf_counter()
    keypoints = detect_keypoints(frames, **size)
    seen = time.perf_counter()
    for _ in fit_body(keypoints, body):
        pass
    done = time.perf_counter()
    return {
        "size": f"{SPEAKER_WIDTH}x{SPEAKER_HEIGHT}",
        "frames": SPEAKER_FRAMES,
        "hands_found": (
            keypoints.found_share()["left_hand"] + keypoints.found_share()["right_hand"]
        )
        / 2,
        "keypoints_ms_per_frame": 1000 * (seen - start) / SPEAKER_FRAMES,
        "fit_ms_per_frame": 1000 * (done - seen) / SPEAKER_FRAMES,
        "frames_per_second": SPEAKER_FRAMES / (done - start),
    }


def _talking_pose(frames: int) -> torch.Tensor:
    """Return poses (T, 106) of somebody whose forearms beat, head turns and mouth moves."""
    seconds = torch.arange(frames) / FPS
    pose_TP = torch.zeros(frames, POSE_SIZE)
    body = pose_TP[:, POSE_SLICES["body"]].unflatten(1, (-1, 3))
    for side, sign in (("left", -1.0), ("right", 1.0)):
        body[:, JOINTS.index(f"{side}_shoulder") - 1, 2] = sign * 1.1
        beat = 1.9 + 0.3 * torch.sin(5 * seconds + sign)
        body[:, JOINTS.index(f"{side}_elbow") - 1, 1] = sign * beat
    body[:, JOINTS.index("head") - 1, 1] = 0.15 * torch.sin(2 * seconds)
    pose_TP[:, POSE_SLICES["jaw"].start] = 0.12 * (1 + torch.sin(11 * seconds))
    return pose_TP


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


BENCHMARKS: dict[str, Callable[[], dict[str, Any]]] = {
    "body": benchmark_body,
    "preprocess": benchmark_preprocess,
}

if __name__ == "__main__":
    run_command(main)
