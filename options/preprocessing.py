"""Options of `scripts/preprocess.py`."""

from dataclasses import dataclass
from pathlib import Path

from speech2video.options.base import BODY_HELP, FOLDER, REQUIRED, Options, grouped

# those of `data.speech2face.labels`, which options cannot import
LABEL_SCHEMES = (
    *("auto", "folders", "cremad", "ravdess", "grid", "mead", "voxceleb", "hdtf"),
    *("csv", "none"),
)


@dataclass(frozen=True)
class PreprocessOptions(Options):
    """Convert recordings into clips for training: of one person's body, or of faces."""

    input: Path = grouped.files(REQUIRED, "a recording, or a folder of recordings")
    output: Path = grouped.files(REQUIRED, "the dataset's folder: datasets/NAME", output=FOLDER)
    transcripts: Path | None = grouped.files(
        None,
        "words: TextGrid, csv or text to align; one file, or a folder of files named as recordings",
    )
    keypoints: str = grouped.fit(
        "mediapipe", "mediapipe, or openpose:FOLDER with one folder for each recording"
    )
    motion: Path | None = grouped.fit(
        None, "motion fitted elsewhere: npz, BVH, …; or a folder of files named as the recordings"
    )
    body: Path | None = grouped.fit(None, BODY_HELP)
    size: int = grouped.frames(1024, "maximum of width and height, pixels", min=64)
    fps: int = grouped.frames(
        25,
        "frame rate of the clips; always 25, to which recordings of any rate are resampled",
        choices=(25,),
    )
    recognise: bool = grouped.words(False, "recognise the words of recordings without a transcript")
    language: str | None = grouped.words(
        None, "language of the speech, such as de or pt-BR; by default English, or as recognised"
    )
    faces: bool = grouped.face(
        False, "make aligned clips of faces, for speech2face; folders are searched recursively"
    )
    face_size: int = grouped.face(128, "height and width of face clips, pixels", min=32, max=1024)
    label_scheme: str = grouped.face(
        "auto",
        "source of speaker and emotion: SPEAKER/EMOTION/name, file names of a public dataset, csv; "
        "none: both are unknown",
        choices=LABEL_SCHEMES,
    )
    list: Path | None = grouped.face(
        None,
        "text file of the recordings in --input to take, a line for each: NAME, or NAME and the "
        "times of its clips, as in HDTF: NAME.mp4 00:30-01:15 02:11-02:33",
    )
    labels: Path | None = grouped.face(
        None, "csv with the columns file, speaker, emotion, sentence"
    )
    jobs: int = grouped.machine(1, "number of recordings processed in parallel", min=1)
