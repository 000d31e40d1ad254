"""All of test.py beside its painter alone."""

import contextlib
import os
import tempfile
import time
import wave
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.audio2pose import EVERY, raised_arms, speech_noise
from benchmarks.machine import peak_memory_mb
from speech2video.data.gestures.dictionary import GestureDictionary
from speech2video.data.gestures.insertion import GestureInserter
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.models.pipelines.body_video import BodySpeaker
from speech2video.models.pose2video.renderer import Pose2VideoRenderer, build_generator
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.options.evaluation import BenchmarkOptions
from speech2video.options.inference import BodyVideoOptions
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.util.body.body_model import Body
from speech2video.util.rendering.camera import Camera
from speech2video.util.text.speech_source import Speech
from speech2video.util.text.transcript import Word
from speech2video.util.timing import SAMPLE_RATE

ALONE = 100  # frames painted alone, before and after
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def benchmark(options: BenchmarkOptions) -> dict[str, Any]:
    """Return how fast speech becomes a video, which share of the painter's own rate that is.

    Networks have the usual size and have learned nothing, which takes as long. What others do on
    the machine touches both rates; processor time hardly.
    """
    with processor_cores(options.threads):
        return _measured(options)


def _measured(options: BenchmarkOptions) -> dict[str, Any]:
    seconds = 60 * options.minutes
    speaker = _speaker(options)
    with tempfile.TemporaryDirectory() as folder:
        audio, video = Path(folder) / "speech.wav", Path(folder) / "speech.mp4"
        write_speech(audio, seconds)
        words = [Word("up", at, at + 0.3) for at in np.arange(1.0, seconds - 1, EVERY)]
        asked = BodyVideoOptions(name=speaker.name, audio=audio, output=video)
        before = _alone(speaker.pose2video)
        held = peak_memory_mb()
        start, spent = time.perf_counter(), time.process_time()
        frames = speaker.make_video(Speech("speech", audio, words), asked)
        whole, spent = time.perf_counter() - start, time.process_time() - spent
        after = _alone(speaker.pose2video)
    painter, painter_spent = ((a + b) / 2 for a, b in zip(before, after, strict=True))
    return {
        "size": f"{options.size}x{options.size}",
        "precision": options.precision,
        "frames": frames,
        "frames_per_second": frames / whole,
        "painter_frames_per_second": 1 / painter,
        "share_of_painters_rate": painter / (whole / frames),
        "processor_ms_per_frame": 1000 * spent / frames,
        "painter_processor_ms_per_frame": 1000 * painter_spent,
        "memory_mb_before": held,
        "peak_memory_mb": peak_memory_mb(),
    }


@contextlib.contextmanager
def processor_cores(count: int) -> Iterator[None]:
    """Keep all threads of this process on so many cores, where the system lets one ask for it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(all_of_them)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)


def _speaker(options: BenchmarkOptions) -> BodySpeaker:
    body = Body.load()
    training = TrainAudio2PoseOptions(name="benchmark", dataset=Path("none"))
    mover = PosePredictor.from_options(training, body)
    mover.network.eval()
    inserter = GestureInserter(GestureDictionary((raised_arms(),)), body)
    stance = body.points(mover.network.pose_mean[None])
    size = (options.size, options.size)
    camera = Camera.framing(stance, width=size[0], height=size[1])
    painting = TrainPose2VideoOptions(
        name="benchmark", dataset=Path("none"), width=options.size, height=options.size
    )
    generator = build_generator(painting).eval().requires_grad_(False)
    dtype = DTYPES[options.precision]
    generator = generator.to(dtype).to(memory_format=torch.channels_last)
    painter = Pose2VideoRenderer(generator, painting.map_style, *size, camera, dtype=dtype)
    return BodySpeaker("benchmark", "benchmark: untrained", body, mover, inserter, painter, size)


def write_speech(path: Path, seconds: float) -> None:
    """Write noise that comes and goes as syllables do, as a wav file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        for audio_S in speech_noise(seconds):
            file.writeframes((audio_S * 32767).clip(-32768, 32767).astype("<i2").tobytes())


def _alone(painter: Pose2VideoRenderer) -> tuple[float, float]:
    """Return the seconds, and those of the processor, that a frame takes when nothing else is."""
    picture = np.random.default_rng(0).integers(0, 256, (3, painter.height, painter.width))
    frames = painter.render(_endless(picture.astype(np.uint8)))
    next(frames), next(frames)  # the first ones pay for what loads lazily
    start, spent = time.perf_counter(), time.process_time()
    for _ in islice(frames, ALONE):
        pass
    return (time.perf_counter() - start) / ALONE, (time.process_time() - spent) / ALONE


def _endless(picture: np.ndarray) -> Iterator[np.ndarray]:
    while True:
        yield picture
