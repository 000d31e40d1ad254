"""Options of the commands in scripts/ that prepare data, checkpoints and demos."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base import (
    BODY_HELP,
    FILE,
    FOLDER,
    MOTION_ENDINGS,
    MOTION_HELP,
    REQUIRED,
    Options,
    check_ending,
    option,
)
from speech2video.util.errors import OptionError
from speech2video.util.files import NamedPath
from speech2video.util.video.formats import check_video_path


@dataclass(frozen=True)
class BuildDictionaryOptions(Options):
    """Build the gesture dictionary of one speaker: mined from clips, listed by hand, or both."""

    dataset: Path = option(REQUIRED, "dataset folder of clips")
    output: Path = option(REQUIRED, "folder of the dictionary", output=FOLDER)
    list: Path | None = option(
        None,
        "csv of gestures chosen by hand: word,clip,start,end,probability (seconds in that clip)",
    )
    body: Path | None = option(None, BODY_HELP)
    overwrite: bool = option(False, "replace an existing dictionary, including manual edits")
    name: str | None = option(
        None,
        "trained run: gestures are departures from its prediction for the same speech; "
        "from the clip's median pose if left out",
    )
    checkpoints: Path = option(Path("checkpoints"), "folder of all runs")
    propose: bool = option(True, "search the clips for gestures")
    min_count: int = option(3, "minimum number of occurrences of a word", min=2)
    max_entries: int = option(60, "maximum number of proposed entries", min=1)
    false_discovery_rate: float = option(
        0.05, "expected share of proposals that are due to chance", min=0.0001, max=0.5
    )
    seed: int = option(0, "random seed of the comparison moments", min=0)


@dataclass(frozen=True)
class ImportMotionOptions(Options):
    """Make a clip without video from motion and audio recorded elsewhere."""

    motion: Path = option(REQUIRED, MOTION_HELP)
    audio: Path = option(REQUIRED, "audio of the motion, any format")
    output: Path = option(REQUIRED, "dataset folder: datasets/NAME", output=FOLDER)
    words: Path | None = option(None, "words with times: TextGrid, csv, SRT …; or text to align")
    language: str = option("en", "language of the text to align, such as de or pt-BR")
    body: Path | None = option(None, BODY_HELP)
    fps: float | None = option(None, "frame rate of the motion, if its file has none", min=1)


@dataclass(frozen=True)
class ConvertMotionOptions(Options):
    """Convert motion for other programs: BVH, glTF of the skinned body, ARKit's coefficients."""

    motion: Path = option(REQUIRED, MOTION_HELP)
    output: Path = option(REQUIRED, f"file to write: {', '.join(MOTION_ENDINGS)}", output=FILE)
    body: Path | None = option(None, BODY_HELP)
    fps: float | None = option(None, "frame rate of the motion, if its file has none", min=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ending("output", self.output, MOTION_ENDINGS)


@dataclass(frozen=True)
class DrawPoseOptions(Options):
    """Draw SMPL-X motion as a skeleton video, or as the shaded body, with audio."""

    pose: Path = option(REQUIRED, MOTION_HELP)
    audio: Path | None = option(None, "audio of the video, any format; a clip's folder has its own")
    output: Path = option(
        REQUIRED, "video to write: mp4, mov, mkv, webm, gif, apng, or a new folder", output=FILE
    )
    body: Path | None = option(None, BODY_HELP)
    size: int = option(512, "larger side of the image in pixels", min=64, max=4096)
    map_style: str = option(
        "speech2video",
        "style of the skeleton; the vid2vid authors' checkpoints expect vid2vid_authors",
        choices=("speech2video", "filled_mouth", "vid2vid_authors"),
    )
    mesh: bool = option(False, "render the shaded body instead of its skeleton")
    clamp: bool = option(False, "limit every joint to its anatomical range")
    fps: float | None = option(None, "frame rate of the motion, if its file has none", min=1)

    def check_paths(self) -> None:
        super().check_paths()
        check_video_path(self.output)


@dataclass(frozen=True)
class CheckVideoOptions(Options):
    """Check a video of test.py: its length, audio and face, and that its mouth moves."""

    video: Path = option(REQUIRED, "video to check", positional=True)
    audio: Path = option(REQUIRED, "audio that the video was made from", positional=True)


@dataclass(frozen=True)
class ExportCheckpointOptions(Options):
    """Export a run's checkpoint to ship: averaged weights in 16 bits, no machine's paths."""

    name: str = option(REQUIRED, "name of the run")
    kind: str = option(
        REQUIRED,
        "model of the run to export",
        choices=("audio2pose", "pose2video", "speech2face", "phonetic"),
    )
    output: Path = option(
        REQUIRED, "folder of the speaker; the model gets a folder in it", output=FOLDER
    )
    checkpoints: Path = option(Path("checkpoints"), "folder of all runs")
    engine: bool = option(
        False, "of pose2video, also write a graph in 8 bits, which OpenVINO computes twice as fast"
    )
    dataset: Path | None = option(
        None, "clips that --engine measures ranges on; by default those of the run"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.engine and self.kind != "pose2video":
            raise OptionError(f"--engine: of pose2video only, not of {self.kind}")
        if self.dataset is not None and not self.engine:
            raise OptionError("--dataset: makes sense with --engine only")

    def paths(self, output: str = "") -> list[NamedPath]:
        folders = {"": self.checkpoints / self.name, FOLDER: self.output}
        folder = folders.get(output)
        return [("output" if output else "name", folder / self.kind)] if folder else []


@dataclass(frozen=True)
class MakeDemoSpeakerOptions(Options):
    """Record the synthetic speaker: videos with voice, and their ground truth."""

    output: Path = option(
        REQUIRED, "dataset folder of the recordings and their ground truth", output=FOLDER
    )
    minutes: float = option(4.0, "total length of the recordings", min=0.01, max=6000)
    seconds: float = option(40.0, "length of one recording", min=0.5, max=600)
    seed: int = option(0, "random seed of sentences, voices and motion", min=0)
    size: int = option(512, "height and width of the images in pixels", min=64, max=2048)
    presenter: str = option("woman", "who speaks", choices=("woman", "man"))
    jobs: int = option(1, "number of processes", min=1, max=256)


@dataclass(frozen=True)
class MakeDemoSpeechOptions(Options):
    """Make speech of many voices with exact poses, words and phones, without video."""

    output: Path = option(REQUIRED, "dataset folder of the clips", output=FOLDER)
    minutes: float = option(90.0, "total length of the clips", min=0.01, max=6000)
    seconds: float = option(30.0, "length of one clip", min=1, max=600)
    engines: tuple[str, ...] = option(
        ("espeak", "flite", "festival", "piper", "kokoro"),
        "what speaks, of what is installed",
        choices=("espeak", "flite", "festival", "piper", "kokoro"),
    )
    seed: int = option(0, "random seed of sentences, voices and motion", min=0)
    jobs: int = option(1, "number of processes", min=1, max=256)


@dataclass(frozen=True)
class MakeDemoFacesOptions(Options):
    """Make clips of synthetic talking faces: many people, eight emotions, ground truth."""

    output: Path = option(
        REQUIRED, "dataset folder of the clips and their ground truth", output=FOLDER
    )
    people: int = option(24, "number of people", min=1, max=99)
    sentences: int = option(
        10,
        "sentences per person; from 10 on every person has all emotions, in training too",
        min=1,
        max=99,
    )
    seconds: float = option(2.5, "maximum length of a clip", min=1.2, max=10)
    seed: int = option(0, "random seed of people, voices and motion", min=0)
    size: int = option(128, "height and width of the images in pixels", min=32, max=1024)
    jobs: int = option(1, "number of processes", min=1, max=256)


@dataclass(frozen=True)
class CalibrateDetectorOptions(Options):
    """Measure the offsets of MediaPipe's body points on rendered speakers of many shapes."""

    output: Path = option(REQUIRED, "json table to write", output=FILE)
    strips: Path = option(
        REQUIRED, "folder of the speakers' keypoints and ground truth; reused", output=FOLDER
    )
    speakers: int = option(30, "number of shapes and appearances", min=4)
    frames: int = option(50, "frames per speaker", min=25)
    shape_spread: float = option(0.7, "standard deviation of the shape coefficients", min=0, max=2)
    seed: int = option(1000, "seed of the first speaker; evaluate on other seeds", min=0)
    size: int = option(512, "height and width of the images", min=256)


@dataclass(frozen=True)
class TrainMotionAutoencoderOptions(Options):
    """Train the motion autoencoder of the Fréchet gesture distance on the synthetic speaker."""

    output: Path = option(
        Path("checkpoints/motion_autoencoder"), "folder of the checkpoint", output=FOLDER
    )
    recordings: int = option(120, "recordings of the synthetic speaker", min=2, max=10000)
    seconds: float = option(40.0, "length of one recording", min=5, max=600)
    frames: int = option(32, "frames of a window, at 25 a second", min=8, max=256)
    width: int = option(64, "channels", min=8, max=1024)
    code: int = option(32, "size of a window's code", min=2, max=512)
    depth: int = option(3, "number of temporal halvings", min=1, max=8)
    steps: int = option(3000, "training steps", min=1)
    batch_size: int = option(64, "windows per step", min=2, max=4096)
    lr: float = option(3e-3, "peak learning rate", min=1e-7)
    seed: int = option(0, "random seed of motion, weights and batches", min=0)
