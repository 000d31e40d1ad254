"""What a person may choose for `scripts/evaluate.py video`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import REQUIRED, Options, option
from speech2video.util.errors import OptionError


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
        "folder with the networks of LPIPS, FID, KID, IS and FVD (models/image_networks.py names "
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
