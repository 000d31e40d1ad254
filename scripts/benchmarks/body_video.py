"""Benchmarks of audio2pose alone, and of the whole body pipeline compared with its renderer.

Networks have their default size and random weights, which does not change the time, unless --name
is given.
"""

import tempfile
import time
from collections import deque
from collections.abc import Iterator
from itertools import islice, repeat
from pathlib import Path

import numpy as np
import torch

import benchmarks
from benchmarks import Metrics, Stopwatch, peak_memory_mb
from speech2video.data.gestures.dictionary import GestureDictionary, GestureEntry
from speech2video.data.gestures.insertion import GestureInserter
from speech2video.models.audio2pose.predictor import PosePredictor
from speech2video.models.pipelines.body_video import AUDIO2POSE, GESTURES, BodySpeaker
from speech2video.models.pose2video.renderer import Pose2VideoRenderer, build_generator
from speech2video.options.audio2pose import TrainAudio2PoseOptions
from speech2video.options.evaluation import BenchmarkOptions
from speech2video.options.inference import BodyVideoOptions
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, pose_columns
from speech2video.util.rendering.camera import Camera
from speech2video.util.text.speech_source import Speech
from speech2video.util.text.transcript import Word
from speech2video.util.timing import FPS, SAMPLE_RATE

WORD_INTERVAL = 2.0  # seconds between words with a gesture
CHUNK = 160  # samples at once, where the first pose is awaited
MEMORY_MINUTES = 2.0  # after which memory should not grow any more
RENDERER_FRAMES = 100  # rendered without the pipeline, before and after it
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def benchmark_audio2pose(options: BenchmarkOptions) -> Metrics:
    """Measure speech to poses in streaming: loudness, features, network, gestures, limits.

    `memory_growth_mb` is that of the peak after `MEMORY_MINUTES`, or half of less.
    """
    seconds = 60 * options.minutes
    settled, settled_mb = min(60 * MEMORY_MINUTES, seconds / 2), 0.0
    with benchmarks.processor_cores(options.threads):
        predictor, inserter = _trained_motion(options) if options.name else _untrained_motion()
        audio, computation = _first_pose(predictor)
        word = inserter.dictionary.entries[0].words[0]
        watch, frames = Stopwatch(), 0
        timeline = inserter.plan(_words(seconds, word), seed=0)
        for pose_TP in predictor.stream_from_audio(benchmarks.speech_noise(seconds)):
            inserter.apply(pose_TP, timeline, first_frame=frames)
            frames += len(pose_TP)
            if not settled_mb and frames >= settled * FPS:
                settled_mb = peak_memory_mb()
        wall, processor = watch.seconds()
    return {
        "features": predictor.features,
        "speech_seconds": seconds,
        "frames": frames,
        "gestures": len(timeline.inserted),
        "first_pose_after_seconds": audio,
        "first_pose_computation_seconds": computation,
        "times_real_time": seconds / wall,
        "times_real_time_of_processor": seconds / processor,
        "memory_growth_mb": peak_memory_mb() - settled_mb,
        "peak_memory_mb": peak_memory_mb(),
    }


def _first_pose(predictor: PosePredictor) -> tuple[float, float]:
    """Return the seconds of audio that the first pose needs, and those of its computation.

    The audio comes in chunks of 10 ms. What libraries load at their first use is not counted.
    """
    taken = 0

    def chunks() -> Iterator[np.ndarray]:
        nonlocal taken
        for chunk_S in np.split(next(benchmarks.speech_noise(1)), SAMPLE_RATE // CHUNK):
            taken += len(chunk_S)
            yield chunk_S

    computation = 0.0
    for _ in range(2):
        taken, begin = 0, time.process_time()
        next(filter(len, predictor.stream_from_audio(chunks())))
        computation = time.process_time() - begin
    return taken / SAMPLE_RATE, computation


def benchmark_pipeline(options: BenchmarkOptions) -> Metrics:
    """Measure speech to video, and which share of the renderer's own rate it reaches."""
    seconds = 60 * options.minutes
    with benchmarks.processor_cores(options.threads), tempfile.TemporaryDirectory() as folder:
        speaker, renderer = _untrained_speaker(options)
        audio, video = Path(folder) / "speech.wav", Path(folder) / "speech.mp4"
        benchmarks.write_speech_noise(audio, seconds)
        inference = BodyVideoOptions(name=speaker.name, audio=audio, output=video)
        before = _renderer_seconds(renderer)
        memory = peak_memory_mb()
        watch = Stopwatch()
        frames = speaker.make_video(Speech("speech", audio, _words(seconds)), inference)
        wall, processor = watch.seconds()
        after = _renderer_seconds(renderer)
    alone, alone_processor = ((a + b) / 2 for a, b in zip(before, after, strict=True))
    return {
        "size": f"{options.size}x{options.size}",
        "precision": options.precision,
        "frames": frames,
        "frames_per_second": frames / wall,
        "renderer_frames_per_second": 1 / alone,
        "share_of_renderer_rate": alone / (wall / frames),
        "processor_ms_per_frame": 1000 * processor / frames,
        "renderer_processor_ms_per_frame": 1000 * alone_processor,
        "memory_mb_before": memory,
        "peak_memory_mb": peak_memory_mb(),
    }


def _trained_motion(options: BenchmarkOptions) -> tuple[PosePredictor, GestureInserter]:
    """Return a speaker's predictor and gestures; without a dictionary, the untrained one's."""
    folder = options.checkpoints / str(options.name)
    predictor = PosePredictor.load(folder / AUDIO2POSE)
    if not (folder / GESTURES).is_dir():
        return predictor, _untrained_motion()[1]
    return predictor, GestureInserter.load(folder / GESTURES, predictor.body)


def _untrained_motion() -> tuple[PosePredictor, GestureInserter]:
    training = TrainAudio2PoseOptions(name="benchmark", dataset=Path("none"))
    body = Body.load()
    predictor = PosePredictor.from_options(training, body)
    predictor.network.eval()
    pose_P = torch.zeros(POSE_SIZE)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        pose_P[pose_columns(f"{side}_shoulder")[2]] = sign * 0.6
    arms = ("left_arm", "right_arm")
    raised_arms = GestureEntry("up", ("up",), 0.7, arms, pose_P.unsqueeze(0))
    return predictor, GestureInserter(GestureDictionary((raised_arms,)), body)


def _untrained_speaker(options: BenchmarkOptions) -> tuple[BodySpeaker, Pose2VideoRenderer]:
    predictor, inserter = _untrained_motion()
    body, size = predictor.body, (options.size, options.size)
    points_1K3 = body.points(predictor.network.pose_mean[None])
    camera = Camera.framing(points_1K3, width=size[0], height=size[1])
    training = TrainPose2VideoOptions(
        name="benchmark", dataset=Path("none"), width=options.size, height=options.size
    )
    generator = build_generator(training).eval().requires_grad_(False)
    dtype = DTYPES[options.precision]
    generator = generator.to(dtype).to(memory_format=torch.channels_last)
    renderer = Pose2VideoRenderer(generator, training.map_style, *size, camera, dtype=dtype)
    parts = body, predictor, inserter, renderer, size
    return BodySpeaker("benchmark", "benchmark: untrained", *parts), renderer


def _words(seconds: float, word: str = "up") -> list[Word]:
    times = np.arange(1.0, seconds - 1, WORD_INTERVAL).tolist()
    return [Word(word, time, time + 0.3) for time in times]


def _renderer_seconds(renderer: Pose2VideoRenderer) -> tuple[float, float]:
    """Return wall-clock and processor seconds per frame of the renderer alone."""
    random = np.random.default_rng(0)
    map_3HW = random.integers(0, 256, (3, renderer.height, renderer.width)).astype(np.uint8)
    frames = renderer.render(repeat(map_3HW))
    deque(islice(frames, 2), maxlen=0)  # loads libraries
    watch = Stopwatch()
    deque(islice(frames, RENDERER_FRAMES), maxlen=0)
    wall, processor = watch.seconds()
    return wall / RENDERER_FRAMES, processor / RENDERER_FRAMES
