"""Options of scripts/studio.py, the web page and the HTTP API, and of scripts/live.py."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base import (
    CERTIFICATE_HELP,
    FILE,
    FOLDER,
    KEY_HELP,
    REQUIRED,
    Options,
    check_credentials,
    check_name,
    grouped,
    option,
)
from speech2video.util.errors import OptionError
from speech2video.util.files import NamedPath
from speech2video.util.video.formats import TRANSPARENT, background_path, check_video_path

ALL_ADDRESSES = ("0.0.0.0", "::")  # a host that listens on each of the machine's addresses
TOKEN_VARIABLE = "SPEECH2VIDEO_TOKEN"  # of the environment: the default of --token
AUTO_TOKEN = "auto"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MIN_TOKEN = 16  # characters
PIPE = "-"  # --input -


@dataclass(frozen=True)
class StudioOptions(Options):
    """Serve a web page and an HTTP API that make videos of the speakers in a folder."""

    host: str = option("127.0.0.1", "address to listen on; any but this machine's needs --token")
    port: int = option(7860, "port to listen on; 0 for any that is free", min=0, max=65535)
    token: str | None = option(
        None,
        f"secret of {MIN_TOKEN} characters or more that page and API then ask for; "
        f"{AUTO_TOKEN}: a new one, which is printed; by default that of the environment's "
        f"{TOKEN_VARIABLE}",
    )
    origin: str | None = option(
        None, "address of the page where a proxy stands before it: https://studio.example.org"
    )
    checkpoints: Path = option(Path("checkpoints"), "folder of all speakers")
    output: Path = option(Path("results/studio"), "folder of uploads and results", output=FOLDER)
    recordings: Path | None = option(
        None, "folder whose folders of recordings may be trained on; by default uploads only"
    )
    keep_gb: float = option(
        4.0, "size of the results that are kept, in GB; the oldest are removed", min=0.01
    )
    max_upload_mb: int = option(200, "size of an upload, in MB, at most", min=1, max=100_000)
    max_recordings_mb: int = option(
        4000, "size of the recordings of a new speaker, in MB, at most", min=1, max=1_000_000
    )
    max_minutes: float = option(60.0, "length of a speech, in minutes, at most", min=0.01)
    workers: int = option(1, "videos that are made at the same time", min=1, max=64)
    max_waiting: int = option(1000, "jobs that wait, at most", min=1, max=100_000)
    viewers: int = option(2, "live sessions at the same time, at most", min=0, max=64)
    c2pa_certificate: Path | None = option(None, CERTIFICATE_HELP)
    c2pa_key: Path | None = option(None, KEY_HELP)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_credentials(self.c2pa_certificate, self.c2pa_key)
        if self.token not in (None, AUTO_TOKEN) and len(self.token) < MIN_TOKEN:
            raise OptionError(f"--token: {MIN_TOKEN} characters or more are needed")
        if self.token is None and self.host not in LOOPBACK:
            raise OptionError(
                f"--host {self.host}: others can reach it; --token with a secret is needed"
            )
        if self.origin is not None and not self.origin.startswith(("http://", "https://")):
            raise OptionError(f"--origin {self.origin}: http://… or https://… is needed")

    @classmethod
    def parser(cls) -> argparse.ArgumentParser:
        parser = super().parser()
        parser.set_defaults(token=os.environ.get(TOKEN_VARIABLE) or None)
        return parser


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
