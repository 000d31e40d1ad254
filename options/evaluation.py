"""Options of `scripts/evaluate.py`, one class for each kind, and of `scripts/benchmark.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base import (
    BODY_HELP,
    FILE,
    FOLDER,
    REQUIRED,
    TRUST_HELP,
    Options,
    grouped,
    inherit,
    option,
)
from speech2video.options.inference import BodyVideoOptions, MotionOptions
from speech2video.options.pose2video import TrainPose2VideoOptions
from speech2video.util.errors import OptionError

BENCHMARKS = ("body", "preprocess", "audio2pose", "pose2video", "pipeline", "speech2face", "live")
GPU_CHECKS = ("renderer", "pose2video", "audio2pose", "speech2face", "training", "processes")


@dataclass(frozen=True)
class EvaluationOptions(Options):
    """Evaluate something; the base of all kinds."""

    output: Path = grouped.files(
        REQUIRED, "folder for metrics.json, report.html, videos and plots", output=FOLDER
    )


@dataclass(frozen=True)
class RunEvaluationOptions(EvaluationOptions):
    """Evaluate a trained run on held-out data."""

    name: str = grouped.files(REQUIRED, "run to evaluate")
    checkpoints: Path = grouped.files(Path("checkpoints"), "folder of all runs")
    dataset: Path | None = grouped.files(None, "dataset folder; by default the one of training")
    seed: int = grouped.data(0, "random seed", min=0)


@dataclass(frozen=True)
class _BodyEvaluation(RunEvaluationOptions):
    body: Path | None = grouped.files(None, BODY_HELP)
    held_out: tuple[str, ...] = grouped.data(
        (), "clips to evaluate; by default those held out in training"
    )


@dataclass(frozen=True)
class _Intervals(Options):
    bootstrap_samples: int = grouped.data(
        1000, "bootstrap samples of confidence intervals", min=10, max=100000
    )


@dataclass(frozen=True)
class _Machine(Options):
    device: str = grouped.machine("cpu", "where to compute", choices=("cpu", "cuda"))
    threads: int | None = grouped.machine(
        None, "processor cores to use; by default torch's choice", min=1
    )


@dataclass(frozen=True)
class _Images(_Machine):
    networks: Path | None = grouped.files(
        None,
        "folder with the networks of LPIPS, FID, KID, IS and FVD; their file names are listed in "
        "models/evaluators/image_metrics.py; by default torch's download folder",
    )
    face_network: Path | None = grouped.files(
        None,
        "face recognition network, ONNX or TorchScript, for identity similarity: images "
        "(N, 3, S, S) in -1..1 to vectors (N, D)",
    )
    trust_torchscript: bool = grouped.files(False, TRUST_HELP)
    face_size: int = grouped.files(112, "S, the input size of --face_network", min=16, max=1024)
    landmarks: bool = grouped.data(True, "detect landmarks in the videos with MediaPipe")


@dataclass(frozen=True)
class EvaluateMotionOptions(MotionOptions, _Intervals, _BodyEvaluation):
    """Evaluate audio2pose on held-out clips against simple baselines."""

    ground_truth: Path | None = grouped.files(
        None, "folder of true motion by clip name, used instead of the fitted poses"
    )
    gestures: Path | None = grouped.files(None, "gesture dictionary, inserted as in test.py")


@dataclass(frozen=True)
class EvaluatePreprocessOptions(EvaluationOptions):
    """Compare a preprocessed dataset with the demo speaker's ground truth."""

    dataset: Path = grouped.files(REQUIRED, "dataset: clips named like the recordings")
    ground_truth: Path = grouped.files(
        REQUIRED, "the demo speaker's ground truth: a folder per recording"
    )
    body: Path | None = grouped.files(None, BODY_HELP)


@dataclass(frozen=True)
class EvaluateVideoOptions(_Images, _Intervals, _BodyEvaluation):
    """Evaluate pose2video on held-out clips in free rollout against baselines."""

    size: tuple[int, ...] = grouped.data(
        (256, 256), "WIDTH HEIGHT of the frames, for a generator of any size", min=32, max=4096
    )
    frames: int | None = grouped.data(None, "most frames of each clip", min=2)
    minutes: float = grouped.data(
        0.0,
        "also generate a loop of held-out poses of this length and compare its last minute with "
        "its first",
        min=0,
    )
    precision: str = grouped.machine("fp32", "of the generator", choices=("fp32", "bf16"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.size) != 2:
            raise OptionError(f"--size {' '.join(map(str, self.size))}: WIDTH HEIGHT is needed")


@dataclass(frozen=True)
class EvaluateSpeechOptions(MotionOptions, _Machine, _BodyEvaluation):
    """Evaluate a speaker end to end: speech in, video out, compared with the recording."""

    dataset: Path | None = grouped.files(
        None,
        "folder of clips of any speaker; without this and --audio the dataset of the renderer's "
        "training",
    )
    audio: tuple[Path, ...] = grouped.files((), "audio files without a recording")
    words: tuple[Path, ...] = grouped.files(
        (), "words of --audio, a file for each: with times, or text to align"
    )
    phones: tuple[Path, ...] = grouped.files(
        (),
        "phones said in --audio, a file for each, TextGrid or csv: lips are compared with what the "
        "viseme rules of the synthetic speaker make of them",
    )
    ground_truth: Path | None = grouped.files(
        None,
        "folder with NAME/pose.npz, the true motion of each clip, as written by "
        "make_demo_speaker.py",
    )
    held_out: tuple[str, ...] = grouped.data(
        (), "clips to evaluate; by default those held out in training, or all of another dataset"
    )
    frames: int | None = grouped.data(None, "most frames of each clip and audio file", min=25)
    gestures: str | None = inherit(BodyVideoOptions, "gestures", None)
    landmarks: bool = grouped.data(
        True,
        "detect lips and hands in the videos with MediaPipe; without, lips are those of the poses",
    )
    render: bool = grouped.data(
        True, "generate the videos; without, the poses alone are measured, in seconds"
    )
    precision: str = inherit(BodyVideoOptions, "precision", "auto")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("words", "phones"):
            files = len(getattr(self, name))
            if files not in (0, len(self.audio)):
                raise OptionError(f"--{name}: {files} files for {len(self.audio)} of --audio")


@dataclass(frozen=True)
class EvaluateFaceOptions(_Images, _Intervals, RunEvaluationOptions):
    """Evaluate speech2face on held-out clips against baselines and controls."""

    baseline: str | None = grouped.files(None, "run of the baseline with a reference image")
    without_distillation: str | None = grouped.files(None, "run trained without distillation")
    without_disentangling: str | None = grouped.files(
        None, "run trained without the disentangling terms"
    )
    audio: tuple[Path, ...] = grouped.files(
        (), "instead of held-out clips: other voices, whose lips are compared with the viseme rules"
    )
    phones: tuple[Path, ...] = grouped.files(
        (), "phones said in --audio, a file for each, TextGrid or csv"
    )
    classifiers: Path | None = grouped.files(
        None,
        "folder of the identity and emotion classifiers, trained there on real clips of the "
        "training split if missing; by default OUTPUT/classifiers",
        output=FOLDER,
    )
    held_out_sentences: tuple[str, ...] = grouped.data(
        (), "sentences to evaluate; by default those held out in training"
    )
    held_out_speakers: tuple[str, ...] = grouped.data(
        (), "unseen speakers to evaluate; by default those held out in training"
    )
    clips: int | None = grouped.data(
        72,
        "most held-out clips for video metrics, balanced over speakers; voice metrics use all",
        min=1,
    )
    loaded_clips: int = grouped.data(
        2000,
        "most clips in memory of the training and of the held-out ones, balanced over speakers",
        min=2,
    )
    frames: int | None = grouped.data(None, "most frames of each held-out clip", min=25)
    seeds: int = grouped.data(
        3, "videos of each clip, with different blinks and head motion", min=1
    )
    classifier_steps: int = grouped.data(1500, "training steps of each classifier", min=1)
    emotion_clips: int = grouped.data(24, "clips generated again with every named emotion", min=0)
    emotion_pairs: int = grouped.data(
        24, "pairs of clips: identity of one, emotion of the other", min=0
    )
    video_clips: int = grouped.data(12, "clips written as video next to their recording", min=0)
    study_clips: int = grouped.data(20, "clips of the user study's page; 0: no page", min=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.phones) != len(self.audio):
            raise OptionError(
                f"--phones: {len(self.phones)} files for {len(self.audio)} of --audio"
            )
        if self.audio and not self.landmarks:
            raise OptionError("--no-landmarks: lips of --audio are found by landmarks")


@dataclass(frozen=True)
class BenchmarkOptions(Options):
    """Benchmark one part of the project on this machine."""

    kind: str = option(
        REQUIRED,
        "part to benchmark",
        choices=BENCHMARKS,
        positional=True,
    )
    threads: int = option(1, "processor cores to use", min=1)
    minutes: float = option(0.4, "length of the recording or speech", min=0.04)
    size: int = option(256, "frame size of the pipeline or the training in pixels", min=64)
    precision: str = option(
        "fp32", "of the pipeline's renderer or the training", choices=("fp32", "bf16")
    )
    name: str | None = option(
        None, "trained speaker of audio2pose (by default an untrained one) and live (demo)"
    )
    checkpoints: Path = option(Path("checkpoints"), "folder of all runs")
    train: bool = option(
        False,
        "measure training in place of inference: steps of pose2video; memory and start-up of "
        "speech2face with few and many clips",
    )
    clips: tuple[int, ...] = option(
        (200, 20_000), "speech2face: numbers of clips to train on", min=12
    )
    index_lines: int = option(1_000_000, "speech2face: clips of a simulated index", min=1000)
    device: str = option("cpu", "where to train", choices=("cpu", "cuda"))
    steps: int = option(20, "training steps to measure", min=1)
    batch_size: int = inherit(TrainPose2VideoOptions, "batch_size", 4)
    architecture: tuple[str, ...] = inherit(TrainPose2VideoOptions, "architecture", ())
    workers: int = inherit(TrainPose2VideoOptions, "workers", 0)
    tf32: bool = inherit(TrainPose2VideoOptions, "tf32", False)
    compile: bool = inherit(TrainPose2VideoOptions, "compile", False)
    json: Path | None = option(None, "also write the metrics to this file", output=FILE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train and self.kind not in ("pose2video", "speech2face"):
            needed = "pose2video or speech2face is needed"
            raise OptionError(f"--train: {self.kind} has no such benchmark; {needed}")


@dataclass(frozen=True)
class CheckGpuOptions(Options):
    """Check training and rendering on this machine's GPU, and measure them."""

    device: str = option(
        "cuda", "GPU to check; cpu runs the same checks at tiny size", choices=("cuda", "cpu")
    )
    checks: tuple[str, ...] = option(GPU_CHECKS, "checks to run", choices=GPU_CHECKS)
    seconds: float = option(450.0, "time limit of all checks together", min=1)
    json: Path | None = option(None, "also write the metrics to this file", output=FILE)
