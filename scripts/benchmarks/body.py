"""Poses to points, and points to maps."""

from typing import Any

import torch

from benchmarks.machine import best_of
from speech2video.options.evaluation import BenchmarkOptions
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.skeleton_maps import draw_skeleton_maps

BODY_FRAMES = 10_000
MAP_FRAMES = 1_000
MAP_SIZE = 512


@torch.inference_mode()
def benchmark(options: BenchmarkOptions) -> dict[str, Any]:
    """Return how fast poses become points, and points maps."""
    body = Body.load()
    torch.manual_seed(0)
    pose_TP = torch.randn(BODY_FRAMES, POSE_SIZE) * 0.1
    body.points(pose_TP[:100])  # the first call pays for libraries that load lazily
    points_seconds = best_of(3, lambda: body.points(pose_TP))

    points_TK3 = body.points(pose_TP[:MAP_FRAMES])
    camera = Camera.framing(points_TK3, width=MAP_SIZE, height=MAP_SIZE)
    points_TK2 = camera.project(points_TK3).numpy()
    draw = draw_skeleton_maps
    map_seconds = best_of(
        3, lambda: sum(1 for _ in draw(points_TK2, width=MAP_SIZE, height=MAP_SIZE))
    )
    return {
        "points_frames": BODY_FRAMES,
        "points_seconds": points_seconds,
        "points_frames_per_second": BODY_FRAMES / points_seconds,
        "map_size": MAP_SIZE,
        "maps_per_second": MAP_FRAMES / map_seconds,
    }
