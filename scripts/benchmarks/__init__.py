"""Benchmarks run by `scripts/benchmark.py`: measuring tools and speech-like input."""

import contextlib
import os
import resource
import sys
import time
import timeit
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from speech2video.util.timing import SAMPLE_RATE

CHUNK = 20 * SAMPLE_RATE  # samples

Metrics = dict[str, Any]


class Stopwatch:
    """Wall-clock and processor seconds since its start.

    Other processes on the machine affect wall-clock time much more than processor time.
    """

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def seconds(self) -> tuple[float, float]:
        """Return wall-clock and processor seconds."""
        return time.perf_counter() - self._wall, time.process_time() - self._processor


def fastest(function: Callable[[], Any], *, repeat: int) -> float:
    """Return the seconds of the fastest of several calls, least affected by other processes."""
    return min(timeit.repeat(function, number=1, repeat=repeat))


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def calls_per_second(function: Callable[[], Any], calls: int, device: torch.device) -> float:
    """Return the rate of a number of calls in a row, after one that does not count."""
    function()
    synchronise(device)
    watch = Stopwatch()
    for _ in range(calls):
        function()
    synchronise(device)
    return calls / watch.seconds()[0]


@torch.inference_mode()
def gflop(function: Callable[[], Any]) -> float:
    """Return the floating-point operations of a call, in units of 10^9."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() / 1e9


def peak_memory_mb() -> float:
    """Return the peak memory of this process in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


@contextlib.contextmanager
def processor_cores(count: int) -> Iterator[None]:
    """Restrict this process to a number of cores, where the system supports it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def speech_noise(seconds: float) -> Iterator[np.ndarray]:
    """Yield noise with the rhythm of syllables, in chunks (S,)."""
    noise_S = np.random.default_rng(0).standard_normal(CHUNK, dtype=np.float32)
    envelope_S = np.abs(np.sin(np.arange(CHUNK) * 2 * np.pi * 2 / SAMPLE_RATE)).astype(np.float32)
    chunk_S, samples = 0.1 * envelope_S * noise_S, round(seconds * SAMPLE_RATE)
    for begin in range(0, samples, CHUNK):
        yield chunk_S[: samples - begin]


def write_speech_noise(path: Path, seconds: float) -> None:
    """Write `speech_noise` as a wav file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        for audio_S in speech_noise(seconds):
            file.writeframes((audio_S * 32767).clip(-32768, 32767).astype("<i2").tobytes())
