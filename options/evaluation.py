"""What a person may choose for `scripts/evaluate.py face`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base import REQUIRED, Options, option
from speech2video.util.errors import OptionError


@dataclass(frozen=True)
class EvaluateFaceOptions(Options):
    """Judge speech to face on what a run held out, beside what it must beat."""

    name: str = option(REQUIRED, "the run to judge", group="files")
    output: Path = option(
        REQUIRED, "folder for metrics.json, report.html, videos and the user study", group="files"
    )
    checkpoints: Path = option(Path("checkpoints"), "where all runs' folders are", group="files")
    dataset: Path | None = option(
        None, "the data set's folder; the one it was trained on if left out", group="files"
    )
    baseline: str | None = option(
        None, "run of the baseline that is given a still picture, too", group="files"
    )
    without_distillation: str | None = option(
        None, "run trained without distillation", group="files"
    )
    without_disentangling: str | None = option(
        None, "run trained without the disentangling terms", group="files"
    )
    judges: Path | None = option(
        None,
        "folder that keeps the judges of identity and emotion, which are trained on the training "
        "split's real clips; OUTPUT/judges if left out",
        group="files",
    )
    networks: Path | None = option(
        None,
        "folder with the networks of LPIPS and FID (models/evaluators/image_metrics.py names the files); "
        "torch's own folder of downloads if left out",
        group="files",
    )
    face_network: Path | None = option(
        None,
        "TorchScript of a face recognition network, for one more similarity of identity: pictures "
        "(N, 3, S, S) in -1..1 to vectors (N, D)",
        group="files",
    )
    face_size: int = option(
        112, "S, the pixels a side that it takes", group="files", minimum=16, maximum=1024
    )

    held_out_sentences: tuple[str, ...] = option(
        (), "to judge on; those that the run held out if left out", group="data"
    )
    held_out_speakers: tuple[str, ...] = option(
        (), "likewise: people it was not trained on", group="data"
    )
    clips: int | None = option(
        72,
        "judge videos of no more held-out clips, spread over all people; voices of all",
        group="data",
        minimum=1,
    )
    frames: int | None = option(None, "judge no more of each clip", group="data", minimum=25)
    landmarks: bool = option(
        True, "look for the lips in the pictures again, by MediaPipe", group="data"
    )
    seeds: int = option(
        3, "runs of the model, each with other blinks and head motion", group="data", minimum=1
    )
    seed: int = option(0, "the first of them; also draws the bootstrap", group="data", minimum=0)
    draws: int = option(
        1000, "of the bootstrap, for the intervals", group="data", minimum=10, maximum=100000
    )
    judge_steps: int = option(1500, "of each judge's training", group="data", minimum=1)
    named: int = option(
        24, "clips that are made again for every named emotion", group="data", minimum=0
    )
    swaps: int = option(
        24, "pairs of clips: who one says it is, how the other feels", group="data", minimum=0
    )
    shown: int = option(12, "clips shown as video beside their recording", group="data", minimum=0)
    study: int = option(
        20, "clips in the page of the user study; 0: no page", group="data", minimum=0
    )

    device: str = option("cpu", "where to compute", group="machine", choices=("cpu", "cuda"))
    threads: int | None = option(
        None, "processor cores to use; as torch likes if left out", group="machine", minimum=1
    )


# What a person may choose for `scripts/evaluate.py motion`.


@dataclass(frozen=True)
class EvaluateMotionOptions(Options):
    """Judge speech to pose on the clips that a run held out, beside three simple baselines."""

    name: str = option(REQUIRED, "the run to judge", group="files")
    output: Path = option(REQUIRED, "folder for metrics.json and report.html", group="files")
    checkpoints: Path = option(Path("checkpoints"), "where all runs' folders are", group="files")
    dataset: Path | None = option(
        None, "the data set's folder; the one it was trained on if left out", group="files"
    )
    truth: Path | None = option(
        None,
        "a folder of truth by clip name, to compare with instead of the fitted poses",
        group="files",
    )
    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz of your own; the open body if left out", group="files"
    )
    gestures: Path | None = option(
        None, "the person's gesture dictionary, put in as test.py does", group="files"
    )
    held_out: tuple[str, ...] = option(
        (), "clips to judge on; those that the run held out if left out", group="data"
    )
    seed: int = option(0, "draws the motion's noise and the gestures", group="data", minimum=0)
    smooth: int = option(
        1,
        "odd number of frames over which body and hands are smoothed; 1: none",
        group="data",
        minimum=1,
        maximum=51,
    )
    face_motion_scale: float | None = option(
        None,
        "how many times as far from rest as was learned the face moves, in place of the speaker's "
        "own",
        group="data",
        minimum=0,
        maximum=4,
    )
    draws: int = option(
        1000, "of the bootstrap, for the intervals", group="data", minimum=10, maximum=100000
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smooth % 2 == 0:
            raise OptionError(f"--smooth {self.smooth}: an odd number of frames is needed")


# What a person may choose for `scripts/evaluate.py preprocess`.


@dataclass(frozen=True)
class EvaluatePreprocessOptions(Options):
    """Compare a data set made by `preprocess` with the demo speaker's truth."""

    dataset: Path = option(REQUIRED, "the data set: clips named as the recordings", group="files")
    truth: Path = option(
        REQUIRED, "the demo speaker's truth: a folder for each recording", group="files"
    )
    output: Path = option(
        REQUIRED, "folder to write metrics.json and report.html into", group="files"
    )
    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz that both were made with; the open body if left out", group="files"
    )


# What a person may choose for `scripts/evaluate.py speech`.


@dataclass(frozen=True)
class EvaluateSpeechOptions(Options):
    """Judge a speaker as a whole: speech in, video out, beside the recording of that speech."""

    name: str = option(
        REQUIRED, "the speaker: checkpoints/NAME/{audio2pose,gestures,pose2video}", group="files"
    )
    output: Path = option(
        REQUIRED, "folder for metrics.json, report.html, plots and videos", group="files"
    )
    checkpoints: Path = option(Path("checkpoints"), "where all speakers are", group="files")
    dataset: Path | None = option(
        None,
        "folder of clips to say again, of this speaker or of anybody; the one that the pictures "
        "were trained on if this and --audio are left out",
        group="files",
    )
    audio: tuple[Path, ...] = option(
        (), "sounds of which there is no picture, to be judged, too", group="files"
    )
    truth: Path | None = option(
        None,
        "folder with NAME/pose.npz, the true motion of each clip, as make_demo_speaker.py writes "
        "it",
        group="files",
    )
    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz, for a speaker that was trained with it", group="files"
    )

    held_out: tuple[str, ...] = option(
        (),
        "clips to say; if left out those that the run held out, of another data set all",
        group="data",
    )
    frames: int | None = option(
        None, "say no more of each clip and sound", group="data", minimum=25
    )
    gestures: str | None = option(
        None,
        "folder of a gesture dictionary, or off; the speaker's own where words are known",
        group="data",
    )
    landmarks: bool = option(
        True,
        "look for lips and hands in the videos, by MediaPipe; without, lips are those of the poses",
        group="data",
    )
    seed: int = option(0, "another one is another performance", group="data", minimum=0)
    smooth: int = option(
        1,
        "odd number of frames over which body and hands, never the face, are smoothed; 1: none",
        group="data",
        minimum=1,
        maximum=51,
    )
    face_motion_scale: float | None = option(
        None,
        "how many times as far from rest as was learned the face moves, in place of the speaker's "
        "own",
        group="data",
        minimum=0,
        maximum=4,
    )

    device: str = option("cpu", "where to compute", group="machine", choices=("cpu", "cuda"))
    precision: str = option(
        "auto",
        "of painting; auto: bf16 where the machine has units for it",
        group="machine",
        choices=("auto", "fp32", "bf16"),
    )
    threads: int | None = option(
        None, "processor cores for painting; all if left out", group="machine", minimum=1
    )


# What a person may choose for `scripts/evaluate.py video`.


@dataclass(frozen=True)
class EvaluateVideoOptions(Options):
    """Judge pose to video on the clips that a run held out, from free rollout, beside baselines."""

    name: str = option(REQUIRED, "the run to judge", group="files")
    output: Path = option(
        REQUIRED, "folder for metrics.json, report.html and the videos", group="files"
    )
    checkpoints: Path = option(Path("checkpoints"), "where all runs' folders are", group="files")
    dataset: Path | None = option(
        None, "the data set's folder; the one it was trained on if left out", group="files"
    )
    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz of your own; the open body if left out", group="files"
    )
    networks: Path | None = option(
        None,
        "folder with the networks of LPIPS, FID, KID, IS and FVD (models/evaluators/image_metrics.py names "
        "the files); torch's own folder of downloads if left out",
        group="files",
    )
    face_network: Path | None = option(
        None,
        "TorchScript of a face recognition network, for the similarity of identity: pictures "
        "(N, 3, S, S) in -1..1 to vectors (N, D)",
        group="files",
    )
    face_size: int = option(
        112, "S, the pixels a side that it takes", group="files", minimum=16, maximum=1024
    )

    held_out: tuple[str, ...] = option(
        (), "clips to judge on; those that the run held out if left out", group="data"
    )
    size: tuple[int, ...] = option(
        (256, 256),
        "WIDTH HEIGHT of the pictures, for a generator of any size; others have one",
        group="data",
        minimum=32,
        maximum=4096,
    )
    frames: int | None = option(
        None, "judge no more of each held-out clip", group="data", minimum=2
    )
    landmarks: bool = option(
        True, "look for face, body and hands in the pictures again, by MediaPipe", group="data"
    )
    minutes: float = option(
        0.0,
        "paint so long a loop of held-out poses, too, and compare its last minute with its first",
        group="data",
        minimum=0,
    )
    seed: int = option(0, "draws KID's subsets and the bootstrap", group="data", minimum=0)
    draws: int = option(
        1000, "of the bootstrap, for the intervals", group="data", minimum=10, maximum=100000
    )

    device: str = option("cpu", "where to compute", group="machine", choices=("cpu", "cuda"))
    precision: str = option("fp32", "of the generator", group="machine", choices=("fp32", "bf16"))
    threads: int | None = option(
        None, "processor cores to use; as torch likes if left out", group="machine", minimum=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.size) != 2:
            raise OptionError(f"--size {' '.join(map(str, self.size))}: WIDTH HEIGHT is needed")


# What a person may choose for `scripts/benchmark.py`.


@dataclass(frozen=True)
class BenchmarkOptions(Options):
    """Measure one part of the project on this machine."""

    kind: str = option(
        REQUIRED,
        "what to measure",
        group="benchmark",
        choices=("body", "preprocess", "audio2pose", "pose2video", "pipeline", "speech2face"),
        positional=True,
    )
    threads: int = option(1, "processor cores to use", group="benchmark", minimum=1)
    minutes: float = option(
        0.4,
        "length of the recording that is preprocessed, of the speech that is moved to",
        group="benchmark",
        minimum=0.04,
    )
    size: int = option(256, "pixels, of the pipeline's picture", group="benchmark", minimum=64)
    precision: str = option(
        "fp32", "of the pipeline's painter", group="benchmark", choices=("fp32", "bf16")
    )
    json: Path | None = option(None, "also write the figures to this file", group="benchmark")
