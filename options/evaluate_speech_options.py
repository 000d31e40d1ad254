"""What a person may choose for `scripts/evaluate.py speech`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import REQUIRED, Options, option


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
    articulation: float | None = option(
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
