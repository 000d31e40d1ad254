"""Speech to pose as it streams: loudness, features, LSTM, gestures, limits."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.machine import peak_memory_mb
from speech2video.data.gestures.dictionary import GestureDictionary, GestureEntry
from speech2video.data.gestures.insertion import GestureInserter
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.options.evaluation import BenchmarkOptions
from speech2video.util.audio.audio_io import LoudnessMeter
from speech2video.util.audio.features import FeatureExtractor
from speech2video.util.audio.normalisation import VoiceMeter
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import BODY_JOINTS
from speech2video.util.text.transcript import Word
from speech2video.util.timing import SAMPLE_RATE

CHUNK = 20 * SAMPLE_RATE  # samples read at a time
EVERY = 2.0  # seconds between two words that are gestured at


def benchmark(options: BenchmarkOptions) -> dict[str, Any]:
    """Return how much faster than speech, and in what memory, it becomes poses.

    The network has the usual size and has learned nothing, which takes as long. The sound is read
    twice, as of a file: once for its loudness and voice, once for its poses.
    """
    seconds = 60 * options.minutes
    training = TrainAudio2PoseOptions(name="benchmark", dataset="nowhere")
    body = Body.load()
    predictor = PosePredictor.from_options(training, body)
    predictor.network.eval()
    inserter = GestureInserter(GestureDictionary((raised_arms(),)), body)
    words = [Word("up", at, at + 0.3) for at in np.arange(1.0, seconds - 1, EVERY)]
    frames, start, spent = 0, time.perf_counter(), time.process_time()
    loudness, stream = LoudnessMeter(), FeatureExtractor(training.features)
    for audio_S in speech_noise(seconds):
        loudness.push(audio_S)
    gain, meter = loudness.gain, VoiceMeter(training.features)
    for audio_S in speech_noise(seconds):
        meter.push(stream.push(gain * audio_S))
    meter.push(stream.finish())
    hearing = time.process_time() - spent
    timeline = inserter.plan(words, seed=0)
    for pose_TP in predictor.stream(_features(seconds, gain, stream), meter.mean()):
        inserter.apply(pose_TP, timeline, first_frame=frames)
        frames += len(pose_TP)
    whole, spent = time.perf_counter() - start, time.process_time() - spent
    return {
        "speech_seconds": seconds,
        "frames": frames,
        "gestures": len(timeline.made),
        "hearing_share": hearing / spent,
        "times_real_time": seconds / whole,
        "times_real_time_of_processor": seconds / spent,  # others on the machine hardly change it
        "peak_memory_mb": peak_memory_mb(),
    }


def speech_noise(seconds: float) -> Iterator[np.ndarray]:
    """Yield noise that comes and goes as syllables do, in chunks."""
    random = np.random.default_rng(0)
    loud = np.abs(np.sin(np.arange(CHUNK) * 2 * np.pi * 2 / SAMPLE_RATE)).astype(np.float32)
    chunk_S = 0.1 * loud * random.standard_normal(CHUNK, dtype=np.float32)
    left = round(seconds * SAMPLE_RATE)
    while left > 0:
        yield chunk_S[:left]
        left -= CHUNK


def _features(seconds: float, gain: float, stream: FeatureExtractor) -> Iterator[np.ndarray]:
    for audio_S in speech_noise(seconds):
        yield stream.push(gain * audio_S)
    yield stream.finish()


def raised_arms() -> GestureEntry:
    """Return a gesture of both arms, made at "up"."""
    pose_P = torch.zeros(POSE_SIZE)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        joint = BODY_JOINTS.index(f"{side}_shoulder") - 1
        pose_P[POSE_SLICES["body"].start + 3 * joint + 2] = sign * 0.6
    return GestureEntry("up", ("up",), 0.7, ("left_arm", "right_arm"), pose_P.unsqueeze(0))
