"""Options of `scripts/preprocess.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base import REQUIRED, Options, option

# those of `data.speech2face.labels`, which options cannot import
LABEL_SCHEMES = ("auto", "folders", "cremad", "ravdess", "grid", "mead", "voxceleb", "csv")


@dataclass(frozen=True)
class PreprocessOptions(Options):
    """Convert recordings into clips for training: of one person's body, or of faces."""

    input: Path = option(REQUIRED, "a recording, or a folder of recordings", group="files")
    output: Path = option(REQUIRED, "the dataset's folder: datasets/NAME", group="files")
    transcripts: Path | None = option(
        None,
        "words: TextGrid, csv or text to align; one file, or a folder of files named as recordings",
        group="files",
    )
    keypoints: str = option(
        "mediapipe", "mediapipe, or openpose:FOLDER with one folder for each recording", group="fit"
    )
    motion: Path | None = option(
        None,
        "motion fitted elsewhere: npz, or a folder of npz named as the recordings",
        group="fit",
    )
    body: Path | None = option(None, "SMPLX_NEUTRAL.npz; the open body by default", group="fit")
    size: int = option(1024, "maximum of width and height, pixels", group="frames", minimum=64)
    fps: int = option(
        25,
        "frame rate of the clips; always 25, to which recordings of any rate are resampled",
        group="frames",
        choices=(25,),
    )
    recognise: bool = option(
        False, "recognise the words of recordings without a transcript", group="words"
    )
    faces: bool = option(
        False,
        "make aligned clips of faces, for speech2face; folders are searched recursively",
        group="faces",
    )
    face_size: int = option(
        128, "height and width of face clips, pixels", group="faces", minimum=32, maximum=1024
    )
    label_scheme: str = option(
        "auto",
        "source of speaker and emotion: SPEAKER/EMOTION/name, file names of a public dataset, csv",
        group="faces",
        choices=LABEL_SCHEMES,
    )
    labels: Path | None = option(
        None, "csv with the columns file, speaker, emotion, sentence", group="faces"
    )
    jobs: int = option(1, "number of recordings processed in parallel", group="machine", minimum=1)
