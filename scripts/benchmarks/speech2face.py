"""Speech to a talking face: the generator alone, and all of test.py's walk beside it."""

import tempfile
import time
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import peak_memory_mb
from benchmarks.pipeline import processor_cores, write_speech
from speech2video.data.speech2face.dataset import MOTION
from speech2video.models.pipelines.talking_face import TalkingFace
from speech2video.models.speech2face.encoders import CONTENT_DIM, IDENTITY_DIM, NUM_EMOTIONS
from speech2video.models.speech2face.predictor import (
    FRAMES_PER_STEP,
    Speech2FacePredictor,
    build_networks,
)
from speech2video.options.evaluation import BenchmarkOptions
from speech2video.options.inference import TalkingFaceOptions
from speech2video.options.speech2face import TrainSpeech2FaceOptions
from speech2video.util.text.speech_source import Speech

SIZES = (64, 128)  # pixels a side
FRAMES = 200  # painted by the generator alone
FIRST = 5  # frames that pay for what loads lazily


def benchmark(options: BenchmarkOptions) -> dict[str, Any]:
    """Return frames a second of generator and walk at both sizes.

    Networks have the usual sizes and have learned nothing, which takes as long.
    """
    with processor_cores(options.threads):
        figures: dict[str, Any] = {}
        for size in SIZES:
            figures |= {f"{name}_{size}": value for name, value in _measured(size, options).items()}
    return figures | {"peak_memory_mb": peak_memory_mb()}


def _measured(size: int, options: BenchmarkOptions) -> dict[str, float]:
    training = TrainSpeech2FaceOptions(name="benchmark", dataset=Path("none"), size=size)
    networks = build_networks(training).eval().requires_grad_(False)
    face = TalkingFace("benchmark", "benchmark: untrained", Speech2FacePredictor(networks), None)
    with tempfile.TemporaryDirectory() as folder:
        audio, video = Path(folder) / "speech.wav", Path(folder) / "speech.mp4"
        write_speech(audio, 60 * options.minutes)
        asked = TalkingFaceOptions(name="benchmark", audio=audio, output=video)
        face.make_video(Speech("speech", audio), asked, bar=False)  # pays for what loads lazily
        start, spent = time.perf_counter(), time.process_time()
        frames = face.make_video(Speech("speech", audio), asked, bar=False)
        whole, spent = time.perf_counter() - start, time.process_time() - spent
    alone, one_by_one = _alone(networks["generator"]), _alone(networks["generator"], 1)
    return {
        "frames_per_second": frames / whole,
        "processor_ms_per_frame": 1000 * spent / frames,
        "generator_frames_per_second": 1 / alone,
        "times_one_by_one": one_by_one / alone,
        "gflop_per_frame": _gflop(networks["generator"]),
        "shipped_mb": 2 * sum(p.numel() for p in networks.parameters()) / 1e6,  # 16 bits
    }


def _step(generator: torch.nn.Module, at_once: int) -> Any:
    """Return what paints so many frames together."""
    person = generator.encode_appearance(torch.zeros(1, IDENTITY_DIM))
    emotion, motion = torch.eye(NUM_EMOTIONS)[:1], torch.zeros(1, at_once, len(MOTION))
    content = torch.zeros(1, at_once, CONTENT_DIM)
    return lambda: generator.generate(person, content, emotion, motion)


@torch.inference_mode()
def _alone(generator: torch.nn.Module, at_once: int = FRAMES_PER_STEP) -> float:
    """Return the seconds a frame takes when nothing else is done."""
    step = _step(generator, at_once)
    for _ in repeat(None, FIRST):
        step()
    start = time.perf_counter()
    for _ in repeat(None, FRAMES // at_once):
        step()
    return (time.perf_counter() - start) / FRAMES


@torch.inference_mode()
def _gflop(generator: torch.nn.Module) -> float:
    step = _step(generator, FRAMES_PER_STEP)
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / FRAMES_PER_STEP / 1e9
