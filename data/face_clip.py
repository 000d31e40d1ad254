"""One clip of a face on disk: what its folder holds, and under which names.

video.mp4 is square and steady: one similarity transform a clip, so that head motion remains, puts
the eyes' middle at `EYES_AT` and the eyes `EYE_DISTANCE` apart, as medians over time. A clip's
folder appears whole or not at all.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from speech2video.util.errors import DataError
from speech2video.util.files import replacing, writing
from speech2video.util.json_fields import read_json, typed_fields

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
LANDMARKS = 68  # iBUG 300-W's (Sagonas et al. 2013)
EYES_AT = (0.5, 0.38)  # of the picture's width and height: the middle between the eyes
EYE_DISTANCE = 0.30  # of the picture's width: chins stay inside as mouths open
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)  # of the landmarks; the person's own sides


@dataclass(frozen=True)
class FaceInfo:
    """What face.json says.

    Attributes:
        source: file name of the recording.
        frames: how many, at 25 a second; the sound has 640 samples for each.
        size: height and width of the picture, pixels.
        speaker: who speaks.
        emotion: one of `EMOTIONS`, "" where it is not known.
        sentence: what is said, by any name that tells sentences apart; "" where it is not known.
        notes: what a person should know: damage, frames without a face, sound cut or padded.
    """

    source: str
    frames: int
    size: int
    speaker: str
    emotion: str = ""
    sentence: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FaceClip:
    """A face clip's folder. Each property is where the clip keeps that part."""

    folder: Path

    @property
    def json(self) -> Path:
        """What the clip is: `FaceInfo`."""
        return self.folder / "face.json"

    @property
    def video(self) -> Path:
        """The picture, square, at 25 frames a second, H.264."""
        return self.folder / "video.mp4"

    @property
    def audio(self) -> Path:
        """The sound: 16 kHz mono PCM, 640 samples a frame."""
        return self.folder / "audio.wav"

    @property
    def landmarks(self) -> Path:
        """points_TK2 (T, 68, 2) float32: iBUG's order, pixels from the corner, NaN: not found."""
        return self.folder / "landmarks.npz"

    def info(self) -> FaceInfo:
        """Return what face.json says; raises `DataError` if it is missing or broken."""
        row = read_json(self.json, what="a face clip's folder")
        info = FaceInfo(**typed_fields(row, FaceInfo, where=str(self.json)))
        if info.emotion not in ("", *EMOTIONS):
            known = ", ".join(EMOTIONS)
            raise DataError(f"{self.json}: emotion {info.emotion!r}; known are {known}")
        return info

    def write_info(self, info: FaceInfo) -> None:
        """Write face.json."""
        text = json.dumps(asdict(info), indent=2, ensure_ascii=False) + "\n"
        with replacing(self.json) as partial:
            partial.write_text(text, encoding="utf-8")

    def points(self) -> np.ndarray:
        """Return the landmarks (T, 68, 2) float32; raises `DataError` if missing or broken."""
        try:
            with np.load(self.landmarks, allow_pickle=False) as file:
                points_TK2 = file["points_TK2"]
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"{self.landmarks}: cannot be read ({reason})") from None
        except (ValueError, KeyError, EOFError) as error:
            raise DataError(f"{self.landmarks}: no points_TK2 in it ({error})") from None
        if points_TK2.shape[1:] != (LANDMARKS, 2) or points_TK2.dtype.kind != "f":
            seen = f"points_TK2 is {points_TK2.dtype} {points_TK2.shape}"
            raise DataError(f"{self.landmarks}: {seen}; floats (T, {LANDMARKS}, 2) are needed")
        return points_TK2.astype(np.float32)

    def write_points(self, points_TK2: np.ndarray) -> None:
        """Write the landmarks (T, 68, 2), pixels of the picture."""
        with replacing(self.landmarks) as partial, writing(self.landmarks):
            np.savez_compressed(partial, points_TK2=points_TK2.astype(np.float32))


@contextlib.contextmanager
def new_face_clip(folder: Path) -> Iterator[FaceClip]:
    """Give a clip to fill beside `folder`; it becomes `folder` on success, else it goes.

    Raises:
        DataError: something else is there, or it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: in the way; it is no face clip, and not empty")
    partial = FaceClip(folder.with_name(f".{folder.name}.partial"))
    shutil.rmtree(partial.folder, ignore_errors=True)  # a killed run's
    try:
        with writing(folder):
            partial.folder.mkdir(parents=True)
        yield partial
        with writing(folder):
            os.replace(partial.folder, folder)
    finally:
        shutil.rmtree(partial.folder, ignore_errors=True)


def face_clips_of(dataset: Path) -> list[FaceClip]:
    """Return a data set's face clips in name order; raises `DataError` where there are none."""
    found = [FaceClip(path.parent) for path in sorted(dataset.glob("*/face.json"))]
    found = [clip for clip in found if not clip.folder.name.startswith(".")]
    if not found:
        made = "scripts/preprocess.py --faces or scripts/make_demo_faces.py makes them"
        raise DataError(f"{dataset}: no face clips in it; {made}")
    return found


def eye_middles(points_TK2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the middles (T, 2) of the right and of the left eye's six points (T, 68, 2)."""
    return points_TK2[:, RIGHT_EYE].mean(1), points_TK2[:, LEFT_EYE].mean(1)


def steady_transform(points_TK2: np.ndarray, size: int) -> np.ndarray:
    """Return the similarity (2, 3) that brings a clip's pixels into its square picture.

    Pixels count from the pictures' corners, as everywhere; a pixel's middle is at a half.

    Args:
        points_TK2: landmarks (T, 68, 2) in the recording; NaN where not found.
        size: of the picture, pixels.

    Raises:
        DataError: no frame with both eyes, or eyes that coincide.
    """
    right_T2, left_T2 = eye_middles(points_TK2)
    seen_T = np.isfinite(right_T2).all(1) & np.isfinite(left_T2).all(1)
    if not seen_T.any():
        raise DataError("no frame with both eyes found; a face seen from the front is needed")
    right_2, left_2 = np.median(right_T2[seen_T], 0), np.median(left_T2[seen_T], 0)
    across_2 = left_2 - right_2
    length = float(np.hypot(*across_2))
    if not length > 0:
        raise DataError("both eyes at one place; a face seen from the front is needed")
    cos, sin = across_2 / length * (EYE_DISTANCE * size / length)
    turn_22 = np.array([[cos, sin], [-sin, cos]])
    middle_2 = turn_22 @ ((right_2 + left_2) / 2)
    return np.column_stack((turn_22, np.array(EYES_AT) * size - middle_2))


def transformed(points: np.ndarray, transform_23: np.ndarray) -> np.ndarray:
    """Return points (..., 2) moved by a transform (2, 3)."""
    return points @ transform_23[:, :2].T + transform_23[:, 2]
