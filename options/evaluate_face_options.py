"""What a person may choose for `scripts/evaluate.py face`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import REQUIRED, Options, option


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
        "folder with the networks of LPIPS and FID (models/image_networks.py names the files); "
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
