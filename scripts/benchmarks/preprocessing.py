"""Benchmarks of preprocessing a recording, and of body model and skeleton maps."""

import multiprocessing
import tempfile
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch

from benchmarks import Metrics, Stopwatch, fastest, peak_memory_mb, processor_cores
from speech2video.data.keypoints import Keypoints
from speech2video.data.preprocessing import recording as preprocessing
from speech2video.data.preprocessing.recording import CONVERTED, DETECTED
from speech2video.options.evaluation import BenchmarkOptions
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import JOINTS
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.renderer import MeshRenderer
from speech2video.util.rendering.skeleton_maps import draw_skeleton_maps
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME
from speech2video.util.video.writer import write_video

POINT_FRAMES, MAP_FRAMES, MAP_SIZE = 10_000, 1_000, 512
RENDERED_FRAMES = 250  # a longer recording repeats them back and forth
WIDTH, HEIGHT = 512, 384


@torch.inference_mode()
def benchmark_body(options: BenchmarkOptions) -> Metrics:
    """Measure poses to points, and points to maps."""
    body = Body.load()
    torch.manual_seed(0)
    pose_TP = torch.randn(POINT_FRAMES, POSE_SIZE) * 0.1
    body.points(pose_TP[:100])  # loads libraries
    points_seconds = fastest(lambda: body.points(pose_TP), repeat=3)
    points_TK3 = body.points(pose_TP[:MAP_FRAMES])
    camera = Camera.framing(points_TK3, width=MAP_SIZE, height=MAP_SIZE)
    points_TK2 = camera.project(points_TK3).numpy()

    def draw_all() -> None:
        deque(draw_skeleton_maps(points_TK2, width=MAP_SIZE, height=MAP_SIZE), maxlen=0)

    return {
        "points_frames": POINT_FRAMES,
        "points_seconds": points_seconds,
        "points_frames_per_second": POINT_FRAMES / points_seconds,
        "map_size": MAP_SIZE,
        "maps_per_second": MAP_FRAMES / fastest(draw_all, repeat=3),
    }


def benchmark_preprocess(options: BenchmarkOptions) -> Metrics:
    """Measure a recording to a clip from end to end."""
    context = multiprocessing.get_context("spawn")
    with processor_cores(options.threads), tempfile.TemporaryDirectory() as folder:
        recording = _write_recording(Path(folder), round(60 * options.minutes * FPS))
        # In its own process, because rendering the recording takes memory too.
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(_preprocess, recording).result()


def _write_recording(folder: Path, frames: int) -> Path:
    """Write a recording of a talking body with a hum as audio."""
    camera = Camera(700.0, (WIDTH / 2, HEIGHT / 2), WIDTH, HEIGHT, translation=(0.0, 0.1, 1.6))
    with MeshRenderer(Body.load(), camera) as renderer:
        rendered = list(renderer.frames(_talking_pose(min(frames, RENDERED_FRAMES))))
    audio_S = np.sin(np.arange(frames * SAMPLES_PER_FRAME) / 20, dtype=np.float32) / 2
    write_audio(folder / "hum.wav", audio_S)
    repeated = islice(cycle(rendered + rendered[::-1]), frames)
    write_video(folder / "speaker.mp4", repeated, audio=folder / "hum.wav")
    return folder / "speaker.mp4"


def _preprocess(recording: Path) -> Metrics:
    """Preprocess a recording like `scripts/preprocess.py` and measure each step."""
    torch.set_num_threads(1)
    words = preprocessing.WordSource()
    config = preprocessing.ClipConfig(
        body=None, size=1024, keypoints="mediapipe", motion=None, words=words
    )
    times: dict[float, float] = {}  # when a share of the work was done

    def progress(share: float) -> None:
        for mark in (CONVERTED, DETECTED):
            if share >= mark:
                times.setdefault(mark, time.perf_counter())

    watch, start = Stopwatch(), time.perf_counter()
    folder = recording.parent / "clip"
    clip = preprocessing.preprocess_recording(recording, folder, config, progress)[0]
    done = time.perf_counter()
    seconds, processor_seconds = watch.seconds()
    keypoints = Keypoints.load(clip.keypoints)
    rates, frames = keypoints.detection_rates(), len(keypoints)
    return {
        "size": f"{keypoints.width}x{keypoints.height}",
        "frames": frames,
        "hands_detected": (rates["left_hand"] + rates["right_hand"]) / 2,
        "convert_ms_per_frame": 1000 * (times[CONVERTED] - start) / frames,
        "keypoints_ms_per_frame": 1000 * (times[DETECTED] - times[CONVERTED]) / frames,
        "fit_ms_per_frame": 1000 * (done - times[DETECTED]) / frames,
        "processor_ms_per_frame": 1000 * processor_seconds / frames,  # of all cores
        "frames_per_second": frames / seconds,
        "peak_memory_mb": peak_memory_mb(),
    }


def _talking_pose(frames: int) -> torch.Tensor:
    """Return poses (T, 106) with beating forearms, turning head and moving mouth."""
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
