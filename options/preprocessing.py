"""What a person may choose for `scripts/preprocess.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base import REQUIRED, Options, option

# as `data.face_labels.SCHEMES`, which options cannot import
LABEL_SCHEMES = ("auto", "folders", "cremad", "ravdess", "grid", "mead", "voxceleb", "csv")


@dataclass(frozen=True)
class PreprocessOptions(Options):
    """Make recordings into clips that can be trained on: of one person's body, or of faces."""

    input: Path = option(REQUIRED, "a recording, or a folder of them", group="files")
    output: Path = option(REQUIRED, "the data set's folder: datasets/NAME", group="files")
    transcripts: Path | None = option(
        None,
        "words: TextGrid, csv or text to align; a file, or a folder of files named as recordings",
        group="files",
    )
    keypoints: str = option(
        "mediapipe", "mediapipe, or openpose:FOLDER with a folder for each recording", group="fit"
    )
    motion: Path | None = option(
        None,
        "motion fitted elsewhere: npz, or a folder of npz named as the recordings",
        group="fit",
    )
    body: Path | None = option(
        None, "SMPLX_NEUTRAL.npz of your own; the open body if left out", group="fit"
    )
    size: int = option(
        1024, "larger side of the clips' pictures at most", group="picture", minimum=64
    )
    fps: int = option(
        25,
        "frame rate of the clips: recordings of any rate, even or uneven, are resampled to it; "
        "always 25, as a frame is 640 samples of sound everywhere",
        group="picture",
        choices=(25,),
    )
    recognise: bool = option(
        False, "recognise the words of recordings without a transcript", group="words"
    )
    faces: bool = option(
        False,
        "make aligned clips of faces, for speech to a face; folders are searched",
        group="faces",
    )
    face_size: int = option(
        128, "height and width of the pictures of faces", group="faces", minimum=32, maximum=1024
    )
    label_scheme: str = option(
        "auto",
        "where speaker and emotion are from: SPEAKER/EMOTION/name, a published set's names, csv",
        group="faces",
        choices=LABEL_SCHEMES,
    )
    labels: Path | None = option(
        None, "csv with the columns file, speaker, emotion, sentence", group="faces"
    )
    jobs: int = option(1, "recordings to work on side by side", group="machine", minimum=1)
