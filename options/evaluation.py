"""Options of `scripts/evaluate.py`, one class for each kind, and of `scripts/benchmark.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base import BODY_HELP, REQUIRED, Options, inherit, option
from speech2video.options.inference import BodyVideoOptions
from speech2video.util.errors import OptionError


@dataclass(frozen=True)
class EvaluationOptions(Options):
    """Evaluate something; the base of all kinds."""

    output: Path = option(
        REQUIRED, "folder for metrics.json, report.html, videos and plots", group="files"
    )


@dataclass(frozen=True)
class RunEvaluationOptions(EvaluationOptions):
    """Evaluate a trained run on held-out data."""

    name: str = option(REQUIRED, "run to evaluate", group="files")
    checkpoints: Path = option(Path("checkpoints"), "folder of all runs", group="files")
    dataset: Path | None = option(
        None, "dataset folder; by default the one of training", group="files"
    )
    seed: int = option(0, "random seed", group="data", minimum=0)


@dataclass(frozen=True)
class _Intervals(Options):
    bootstrap_samples: int = option(
        1000, "bootstrap samples of confidence intervals", group="data", minimum=10, maximum=100000
    )


@dataclass(frozen=True)
class _BodyMotion(Options):
    body: Path | None = option(None, BODY_HELP, group="files")
    smooth: int = inherit(BodyVideoOptions, "smooth", 1)
    face_motion_scale: float | None = inherit(BodyVideoOptions, "face_motion_scale", None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smooth % 2 == 0:
            raise OptionError(f"--smooth {self.smooth}: an odd number of frames is needed")


@dataclass(frozen=True)
class _Machine(Options):
    device: str = option("cpu", "where to compute", group="machine", choices=("cpu", "cuda"))
    threads: int | None = option(
        None, "processor cores to use; by default torch's choice", group="machine", minimum=1
    )


@dataclass(frozen=True)
class _Images(_Machine):
    networks: Path | None = option(
        None,
        "folder with the networks of LPIPS, FID, KID, IS and FVD; their file names are listed in "
        "models/evaluators/image_metrics.py; by default torch's download folder",
        group="files",
    )
    face_network: Path | None = option(
        None,
        "TorchScript of a face recognition network for identity similarity: images (N, 3, S, S) in "
        "-1..1 to vectors (N, D)",
        group="files",
    )
    face_size: int = option(
        112, "S, the input size of --face_network", group="files", minimum=16, maximum=1024
    )
    landmarks: bool = option(True, "detect landmarks in the videos with MediaPipe", group="data")


@dataclass(frozen=True)
class EvaluateMotionOptions(_BodyMotion, _Intervals, RunEvaluationOptions):
    """Evaluate audio2pose on held-out clips against simple baselines."""

    ground_truth: Path | None = option(
        None,
        "folder of true motion by clip name, used instead of the fitted poses",
        group="files",
    )
    gestures: Path | None = option(
        None, "gesture dictionary, inserted as in test.py", group="files"
    )
    held_out: tuple[str, ...] = option(
        (), "clips to evaluate; by default those held out in training", group="data"
    )


@dataclass(frozen=True)
class EvaluatePreprocessOptions(EvaluationOptions):
    """Compare a preprocessed dataset with the demo speaker's ground truth."""

    dataset: Path = option(REQUIRED, "dataset: clips named like the recordings", group="files")
    ground_truth: Path = option(
        REQUIRED, "the demo speaker's ground truth: a folder per recording", group="files"
    )
    body: Path | None = option(None, BODY_HELP, group="files")


@dataclass(frozen=True)
class EvaluateVideoOptions(_Images, _Intervals, RunEvaluationOptions):
    """Evaluate pose2video on held-out clips in free rollout against baselines."""

    body: Path | None = option(None, BODY_HELP, group="files")
    held_out: tuple[str, ...] = option(
        (), "clips to evaluate; by default those held out in training", group="data"
    )
    size: tuple[int, ...] = option(
        (256, 256),
        "WIDTH HEIGHT of the frames, for a generator of any size",
        group="data",
        minimum=32,
        maximum=4096,
    )
    frames: int | None = option(None, "most frames of each clip", group="data", minimum=2)
    minutes: float = option(
        0.0,
        "also generate a loop of held-out poses of this length and compare its last minute with "
        "its first",
        group="data",
        minimum=0,
    )
    precision: str = option("fp32", "of the generator", group="machine", choices=("fp32", "bf16"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.size) != 2:
            raise OptionError(f"--size {' '.join(map(str, self.size))}: WIDTH HEIGHT is needed")


@dataclass(frozen=True)
class EvaluateSpeechOptions(_BodyMotion, _Machine, RunEvaluationOptions):
    """Evaluate a speaker end to end: speech in, video out, compared with the recording."""

    dataset: Path | None = option(
        None,
        "folder of clips of any speaker; without this and --audio the dataset of the renderer's "
        "training",
        group="files",
    )
    audio: tuple[Path, ...] = option((), "audio files without a recording", group="files")
    ground_truth: Path | None = option(
        None,
        "folder with NAME/pose.npz, the true motion of each clip, as written by "
        "make_demo_speaker.py",
        group="files",
    )
    held_out: tuple[str, ...] = option(
        (),
        "clips to evaluate; by default those held out in training, or all of another dataset",
        group="data",
    )
    frames: int | None = option(
        None, "most frames of each clip and audio file", group="data", minimum=25
    )
    gestures: str | None = inherit(BodyVideoOptions, "gestures", None)
    landmarks: bool = option(
        True,
        "detect lips and hands in the videos with MediaPipe; without, lips are those of the poses",
        group="data",
    )
    precision: str = inherit(BodyVideoOptions, "precision", "auto")


@dataclass(frozen=True)
class EvaluateFaceOptions(_Images, _Intervals, RunEvaluationOptions):
    """Evaluate speech2face on held-out clips against baselines and controls."""

    baseline: str | None = option(None, "run of the baseline with a reference image", group="files")
    without_distillation: str | None = option(
        None, "run trained without distillation", group="files"
    )
    without_disentangling: str | None = option(
        None, "run trained without the disentangling terms", group="files"
    )
    classifiers: Path | None = option(
        None,
        "folder of the identity and emotion classifiers, trained there on real clips of the "
        "training split if missing; by default OUTPUT/classifiers",
        group="files",
    )
    held_out_sentences: tuple[str, ...] = option(
        (), "sentences to evaluate; by default those held out in training", group="data"
    )
    held_out_speakers: tuple[str, ...] = option(
        (), "unseen speakers to evaluate; by default those held out in training", group="data"
    )
    clips: int | None = option(
        72,
        "most held-out clips for video metrics, balanced over speakers; voice metrics use all",
        group="data",
        minimum=1,
    )
    frames: int | None = option(None, "most frames of each clip", group="data", minimum=25)
    seeds: int = option(
        3, "videos of each clip, with different blinks and head motion", group="data", minimum=1
    )
    classifier_steps: int = option(
        1500, "training steps of each classifier", group="data", minimum=1
    )
    emotion_clips: int = option(
        24, "clips generated again with every named emotion", group="data", minimum=0
    )
    emotion_pairs: int = option(
        24, "pairs of clips: identity of one, emotion of the other", group="data", minimum=0
    )
    video_clips: int = option(
        12, "clips written as video next to their recording", group="data", minimum=0
    )
    study_clips: int = option(
        20, "clips of the user study's page; 0: no page", group="data", minimum=0
    )


@dataclass(frozen=True)
class BenchmarkOptions(Options):
    """Benchmark one part of the project on this machine."""

    kind: str = option(
        REQUIRED,
        "part to benchmark",
        group="benchmark",
        choices=("body", "preprocess", "audio2pose", "pose2video", "pipeline", "speech2face"),
        positional=True,
    )
    threads: int = option(1, "processor cores to use", group="benchmark", minimum=1)
    minutes: float = option(
        0.4, "length of the recording or speech", group="benchmark", minimum=0.04
    )
    size: int = option(256, "frame size of the pipeline in pixels", group="benchmark", minimum=64)
    precision: str = option(
        "fp32", "of the pipeline's renderer", group="benchmark", choices=("fp32", "bf16")
    )
    json: Path | None = option(None, "also write the metrics to this file", group="benchmark")
