"""A recording to a clip, from end to end."""

import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import peak_memory_mb
from speech2video.data.keypoints import Keypoints
from speech2video.data.preprocessing.recording import (
    CONVERTED,
    DETECTED,
    ClipConfig,
    WordSource,
    preprocess_recording,
)
from speech2video.options.evaluation import BenchmarkOptions
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import JOINTS
from speech2video.util.rendering.camera import Camera
from speech2video.util.rendering.renderer import MeshRenderer
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME
from speech2video.util.video.writer import write_video

SPEAKER_FRAMES = 250  # drawn; a longer recording goes through them there and back
SPEAKER_WIDTH, SPEAKER_HEIGHT = 512, 384


def benchmark(options: BenchmarkOptions) -> dict[str, Any]:
    """Return how fast a speaker's recording becomes a clip from end to end, and its memory."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        recording = _record_speaker(Path(folder), round(60 * options.minutes * FPS))
        # A process of its own, as drawing the speaker takes memory, too.
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(_preprocess, recording).result()


def _record_speaker(folder: Path, frames: int) -> Path:
    """Write a recording of a talking body with a hum for its voice."""
    camera = Camera(700.0, (SPEAKER_WIDTH / 2, SPEAKER_HEIGHT / 2), SPEAKER_WIDTH, SPEAKER_HEIGHT,
                    translation=(0.0, 0.1, 1.6))  # fmt: skip
    with MeshRenderer(Body.load(), camera) as renderer:
        drawn = list(renderer.frames(_talking_pose(min(frames, SPEAKER_FRAMES))))
    write_audio(
        folder / "hum.wav", np.sin(np.arange(frames * SAMPLES_PER_FRAME) / 20, dtype=np.float32) / 2
    )
    pictures = islice(cycle(drawn + drawn[::-1]), frames)
    write_video(folder / "speaker.mp4", pictures, audio=folder / "hum.wav")
    return folder / "speaker.mp4"


def _preprocess(recording: Path) -> dict[str, Any]:
    """Make a clip as `scripts/preprocess.py` does, and return what it took."""
    torch.set_num_threads(1)
    recipe = ClipConfig(
        body=None, size=1024, keypoints="mediapipe", motion=None, words=WordSource()
    )
    seconds: dict[float, float] = {}  # when a share of the work was done

    def tell(share: float) -> None:
        for mark in (CONVERTED, DETECTED):
            if share >= mark:
                seconds.setdefault(mark, time.perf_counter())

    start, spent = time.perf_counter(), time.process_time()
    clip = preprocess_recording(recording, recording.parent / "clip", recipe, tell)
    done, spent = time.perf_counter(), time.process_time() - spent
    keypoints = Keypoints.load(clip.keypoints)
    found, frames = keypoints.detection_rates(), len(keypoints)
    return {
        "size": f"{keypoints.width}x{keypoints.height}",
        "frames": frames,
        "hands_found": (found["left_hand"] + found["right_hand"]) / 2,
        "copy_ms_per_frame": 1000 * (seconds[CONVERTED] - start) / frames,
        "keypoints_ms_per_frame": 1000 * (seconds[DETECTED] - seconds[CONVERTED]) / frames,
        "fit_ms_per_frame": 1000 * (done - seconds[DETECTED]) / frames,
        "processor_ms_per_frame": 1000 * spent / frames,  # of all cores; others hardly change it
        "frames_per_second": frames / (done - start),
        "peak_memory_mb": peak_memory_mb(),
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
