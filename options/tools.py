"""What a person may choose for `scripts/build_dictionary.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base import REQUIRED, Options, option


@dataclass(frozen=True)
class BuildDictionaryOptions(Options):
    """Make the gesture dictionary of one person: proposed from their clips, listed, or both."""

    dataset: Path = option(REQUIRED, "the data set's folder of clips", group="files")
    output: Path = option(REQUIRED, "the dictionary's folder", group="files")
    list: Path | None = option(
        None,
        "csv of gestures chosen by hand: word,clip,start,end,probability (seconds in that clip)",
        group="files",
    )
    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz of your own; the open body if left out", group="files"
    )
    overwrite: bool = option(
        False, "replace a dictionary that is there, with all that was edited", group="files"
    )
    name: str | None = option(
        None,
        "a trained run: gestures are what departs from the motion it gives to the same speech; "
        "from the clip's median pose if left out",
        group="search",
    )
    checkpoints: Path = option(Path("checkpoints"), "where all runs' folders are", group="search")
    propose: bool = option(True, "search the clips for gestures", group="search")
    least: int = option(
        3, "how often a word must be said to be considered", group="search", minimum=2
    )
    most: int = option(60, "entries proposed at most", group="search", minimum=1)
    false_share: float = option(
        0.05,
        "about the share of proposals that may be chance",
        group="search",
        minimum=0.0001,
        maximum=0.5,
    )
    seed: int = option(
        0, "draws the moments that words are compared with", group="search", minimum=0
    )


# What a person may choose for `scripts/import_motion.py`.


@dataclass(frozen=True)
class ImportMotionOptions(Options):
    """Make a clip without pictures of motion and sound that were recorded elsewhere."""

    motion: Path = option(REQUIRED, "npz as BEAT2, AMASS, SHOW or we write it", group="files")
    audio: Path = option(REQUIRED, "the sound that belongs to it, any format", group="files")
    output: Path = option(REQUIRED, "the data set's folder: datasets/NAME", group="files")
    words: Path | None = option(
        None, "words with times: TextGrid, csv, …; or plain text to align", group="files"
    )
    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz of your own; the open body if left out", group="files"
    )


# What a person may choose for `scripts/draw_pose.py`.


@dataclass(frozen=True)
class DrawPoseOptions(Options):
    """Draw a file of SMPL-X motion as a skeleton video, or as the shaded body, with sound."""

    pose: Path = option(
        REQUIRED, "motion: npz of BEAT2, AMASS, SHOW or ours, or a clip's folder", group="files"
    )
    audio: Path | None = option(
        None, "sound to put in, any format; a clip's folder brings its own", group="files"
    )
    output: Path = option(REQUIRED, "the mp4 to write", group="files")
    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz of your own; the open body if left out", group="files"
    )
    size: int = option(
        512, "larger side of the picture in pixels", group="image", minimum=64, maximum=4096
    )
    map_style: str = option(
        "speech2video",
        "how the skeleton is drawn; vid2vid_authors is what the paper authors' checkpoints expect",
        group="image",
        choices=("speech2video", "filled_mouth", "vid2vid_authors"),
    )
    mesh: bool = option(False, "render the shaded body instead of its skeleton", group="image")
    clamp: bool = option(False, "hold every joint inside its anatomical range", group="motion")
    fps: float | None = option(
        None, "the motion's frame rate, if its file does not say it", group="motion", minimum=1
    )


# What a person may choose for `scripts/check_video.py`.


@dataclass(frozen=True)
class CheckVideoOptions(Options):
    """Check a video that test.py made: its length, sound and face, and that its mouth moves."""

    video: Path = option(REQUIRED, "the video", positional=True)
    audio: Path = option(REQUIRED, "the sound that it was made from", positional=True)


# What a person may choose for `scripts/export_checkpoint.py`.


@dataclass(frozen=True)
class ExportCheckpointOptions(Options):
    """Make a checkpoint to ship of a run: averaged weights in 16 bits, nothing of the machine."""

    name: str = option(REQUIRED, "the run's name", group="files")
    kind: str = option(
        REQUIRED,
        "which of its models",
        group="files",
        choices=("audio2pose", "pose2video", "speech2face"),
    )
    output: Path = option(
        REQUIRED, "folder of the shipped speaker; the model's goes into it", group="files"
    )
    checkpoints: Path = option(Path("checkpoints"), "where all runs' folders are", group="files")


# What a person may choose for `scripts/make_demo_speaker.py`.


@dataclass(frozen=True)
class MakeDemoSpeakerOptions(Options):
    """Record a synthetic speaker: videos with voice, and the truth behind them."""

    output: Path = option(
        REQUIRED, "the data set's folder; recordings/ and truth/ go into it", group="files"
    )
    minutes: float = option(
        4.0, "how much is said in all", group="speech", minimum=0.01, maximum=6000
    )
    seconds: float = option(
        40.0, "how much is said in one recording", group="speech", minimum=0.5, maximum=600
    )
    seed: int = option(0, "draws sentences, voices and motion", group="speech", minimum=0)
    size: int = option(
        512, "height and width of the pictures in pixels", group="image", minimum=64, maximum=2048
    )
    jobs: int = option(1, "recordings made at a time", group="running", minimum=1, maximum=256)


# What a person may choose for `scripts/make_demo_faces.py`.


@dataclass(frozen=True)
class MakeDemoFacesOptions(Options):
    """Make clips of synthetic talking faces: many people, eight emotions, and the truth."""

    output: Path = option(
        REQUIRED,
        "the data set's folder; a folder for each clip, and truth/, go into it",
        group="files",
    )
    people: int = option(24, "how many there are", group="speech", minimum=1, maximum=99)
    sentences: int = option(
        10,
        "how many each person says; from 10 on each shows all emotions, in those trained on, too",
        group="speech",
        minimum=1,
        maximum=99,
    )
    seconds: float = option(
        2.5, "how long a clip is at most", group="speech", minimum=1.2, maximum=10
    )
    seed: int = option(0, "draws people, voices and motion", group="speech", minimum=0)
    size: int = option(
        128, "height and width of the pictures in pixels", group="image", minimum=32, maximum=1024
    )
    jobs: int = option(1, "clips made at a time", group="running", minimum=1, maximum=256)


# What a person may choose for `scripts/calibrate_detector.py`.


@dataclass(frozen=True)
class CalibrateDetectorOptions(Options):
    """Measure where MediaPipe sees the body's points, on rendered speakers of many shapes."""

    output: Path = option(REQUIRED, "the table to write, json", group="files")
    strips: Path = option(
        REQUIRED,
        "folder for the speakers' keypoints and truth; what is there is kept",
        group="files",
    )
    speakers: int = option(30, "how many shapes and looks", group="speakers", minimum=4)
    frames: int = option(50, "of each speaker", group="speakers", minimum=25)
    shape_spread: float = option(
        0.7, "standard deviation of the shape coefficients", group="speakers", minimum=0, maximum=2
    )
    seed: int = option(
        1000, "of the first speaker; measure on recordings of others", group="speakers", minimum=0
    )
    size: int = option(512, "height and width of the pictures", group="image", minimum=256)


# What a person may choose for `scripts/train_motion_autoencoder.py`.


@dataclass(frozen=True)
class TrainMotionAutoencoderOptions(Options):
    """Train what the Fréchet gesture distance sees motion with, on the synthetic speaker."""

    output: Path = option(
        Path("checkpoints/motion_autoencoder"), "the checkpoint's folder", group="files"
    )
    recordings: int = option(
        120, "how many the synthetic speaker performs", group="motion", minimum=2, maximum=10000
    )
    seconds: float = option(40.0, "how long each one is", group="motion", minimum=5, maximum=600)
    frames: int = option(
        32, "of a window at 25 a second", group="architecture", minimum=8, maximum=256
    )
    width: int = option(64, "channels", group="architecture", minimum=8, maximum=1024)
    code: int = option(32, "numbers a window becomes", group="architecture", minimum=2, maximum=512)
    depth: int = option(3, "how often time is halved", group="architecture", minimum=1, maximum=8)
    steps: int = option(3000, "of the optimiser", group="training", minimum=1)
    batch: int = option(64, "windows a step", group="training", minimum=2, maximum=4096)
    lr: float = option(3e-3, "highest of the schedule", group="training", minimum=1e-7)
    seed: int = option(0, "draws motion, weights and batches", group="training", minimum=0)
