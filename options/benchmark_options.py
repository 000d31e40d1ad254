"""What a person may choose for `scripts/benchmark.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base_options import REQUIRED, Options, option


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
