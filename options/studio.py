"""Options of scripts/live.py: audio as it arrives to a window, a file or a camera."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base import FILE, REQUIRED, Options, check_name, grouped
from speech2video.util.errors import OptionError
from speech2video.util.files import NamedPath
from speech2video.util.video.formats import TRANSPARENT, background_path, check_video_path

PIPE = "-"  # --input -


@dataclass(frozen=True)
class LiveOptions(Options):
    """Let a speaker say what a microphone records, as it records it."""

    name: str = grouped.speaker(REQUIRED, "the speaker, a folder in --checkpoints")
    checkpoints: Path = grouped.speaker(Path("checkpoints"), "folder of all speakers")

    input: str | None = grouped.speech(
        None,
        "a file with audio, played at its own pace; or - for raw PCM on standard input, 16 bits, "
        "little-endian, mono; by default the microphone",
    )
    rate: int = grouped.speech(16_000, "Hz of the samples of --input -", min=8000, max=192_000)
    seconds: float | None = grouped.speech(
        None, "stop after so much audio; by default at its end, or Ctrl-C", min=0.04
    )

    seed: int = grouped.motion(0, "random seed of the motion", min=0)
    max_delay: float = grouped.motion(
        0.4, "seconds of delay by rendering from which on frames are left out", min=0.04, max=3600
    )

    output: Path | None = grouped.result(
        None, "video to write: mp4, mov, mkv, webm, gif, apng, or a new folder", output=FILE
    )
    camera: bool = grouped.result(
        False, "show the video as a camera that other programs can use (v4l2loopback, OBS)"
    )
    window: bool = grouped.result(
        False, "show the video in a window, as without --output and --camera"
    )
    background: str | None = grouped.result(
        None, f"as of test.py: an image, a video, #rrggbb, or {TRANSPARENT} for --output"
    )

    device: str = grouped.machine("auto", "where to compute", choices=("auto", "cpu", "cuda"))
    threads: int | None = grouped.machine(None, "processor cores; by default all", min=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name(self.name)
        if self.rate != 16_000 and self.input != PIPE:
            raise OptionError("--rate: makes sense with --input - only")
        if self.background is not None:
            background_path(self.background)  # refuses colours that are none
        if self.has_alpha and (self.output is None or self.camera or self.window):
            raise OptionError(f"--background {TRANSPARENT}: makes sense for --output only")

    @property
    def has_alpha(self) -> bool:
        """Whether the frames of the video have an alpha channel."""
        return self.background == TRANSPARENT

    @property
    def shows_window(self) -> bool:
        """Whether the video is shown in a window."""
        return self.window or not (self.output or self.camera)

    @property
    def input_file(self) -> Path | None:
        """The file that audio is read from, if it is."""
        return Path(self.input) if self.input not in (None, PIPE) else None

    def check_paths(self) -> None:
        super().check_paths()
        if self.output is not None:
            check_video_path(self.output, alpha=self.has_alpha)

    def paths(self, output: str = "") -> list[NamedPath]:
        found = super().paths(output)
        if not output:
            background = self.background and background_path(self.background)
            read = ("input", self.input_file), ("background", background)
            found += [(name, Path(path)) for name, path in read if path]
        return found
