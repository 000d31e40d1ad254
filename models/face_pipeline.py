"""The walk from speech to a talking face, without any picture.

sound      16 kHz, second by second                          util/audio.py
mels       (80, 4 n), and normalised over the whole speech   util/log_mels.py
heard      who speaks and how they feel                      models/speech2face.py
frames     (3, H, W), of what is heard and what is said      models/speech2face.py
mp4        H.264, with the sound                             util/video.py

Mean and deviation show at a sound's end only, and so do voice and mood, so the file is read three
times; each time as a stream, so that an hour of speech takes the memory of a minute.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from speech2video.models import speech2face
from speech2video.models.pipeline import check_places
from speech2video.models.speaker import identity
from speech2video.models.speech2face import Heard, Speech2Face
from speech2video.options.test_options import SPEECH2FACE, TestOptions
from speech2video.util.audio import read_audio
from speech2video.util.errors import DataError
from speech2video.util.hearing import check_sound
from speech2video.util.log import progress
from speech2video.util.log_mels import BANDS, COLUMNS, LEAST_DEVIATION, LogMelStream
from speech2video.util.speech_source import Speech
from speech2video.util.stages import Stages
from speech2video.util.video import GENERATED, write_video

FPS = 25


@dataclass(frozen=True, eq=False)
class Face:
    """All that checkpoints/NAME/speech2face holds, ready to speak.

    Attributes:
        made_of: which checkpoint it is, to be written into videos.
        speech2face: the networks.
        still: (3, H, W) uint8 of the person, for the baseline.
    """

    made_of: str
    speech2face: Speech2Face
    still: np.ndarray | None


@dataclass(frozen=True, eq=False)
class MelHearing:
    """What has to be known of a whole speech before its mels are normalised.

    Attributes:
        path: the sound's file.
        frames: how many, at 25 a second; the last one may be half filled.
        mean_B, deviation_B: (80,) of its log-mels.
    """

    path: Path
    frames: int
    mean_B: np.ndarray
    deviation_B: np.ndarray

    def mels(self) -> Iterator[np.ndarray]:
        """Yield normalised log-mels (80, 4 n), some for each second of sound."""
        for mel_BL in self.log_mels():
            mel_BL = (mel_BL - self.mean_B[:, None]) / self.deviation_B[:, None]
            yield mel_BL.astype(np.float32)

    def log_mels(self) -> Iterator[np.ndarray]:
        """Yield log-mels (80, 4 n), some for each second of sound."""
        rest_BL = np.zeros((BANDS, 0), np.float32)
        for mel_BL in _log_mels(self.path):
            mel_BL = np.concatenate((rest_BL, mel_BL), 1)
            whole = mel_BL.shape[1] // COLUMNS * COLUMNS
            yield mel_BL[:, :whole]
            rest_BL = mel_BL[:, whole:]


def load(options: TestOptions, device: torch.device) -> Face:
    """Return the face that a command asks for.

    Raises:
        DataError: no such face, or it is broken; or an emotion or a still that do not fit it.
    """
    folder = options.checkpoints / options.name
    if not (folder / SPEECH2FACE).is_dir():
        found = sorted(path.parent.name for path in options.checkpoints.glob(f"*/{SPEECH2FACE}"))
        raise DataError(
            f"{folder}: no {SPEECH2FACE} in it; there are: {', '.join(found) or 'none'}"
        )
    face = speech2face.load(folder / SPEECH2FACE, device=device)
    if options.emotion is not None and options.emotion not in face.emotions:
        known = ", ".join(face.emotions)
        raise DataError(f"--emotion {options.emotion}: {options.name} was trained with {known}")
    if (options.still is not None) != face.takes_still:
        needed = "its baseline needs --still" if face.takes_still else "it takes no --still"
        raise DataError(f"{options.name}: {needed}")
    still = None if options.still is None else read_still(options.still, face.size)
    made_of = f"{options.name}: {SPEECH2FACE} {identity(folder / SPEECH2FACE)}"
    return Face(made_of, face, still)


def make_video(face: Face, speech: Speech, options: TestOptions, *, bar: bool = True) -> int:
    """Write `options.outputs(speech.stem).video`; return its number of frames.

    It is there whole or not at all: what goes wrong in any thread stops all and is raised here.

    Raises:
        DataError: a sound that is not right, or a file that cannot be written.
    """
    outputs = options.outputs(speech.stem)
    check_places(outputs, speech.sound)
    hearing = hear(speech.sound)
    heard = face.speech2face.hear(hearing.log_mels())
    shown = options.emotion or heard.emotion
    with Stages() as stages:
        frames = stages.ahead(painted(face, stages.ahead(hearing.mels()), heard, options))
        return write_video(
            outputs.video,
            progress(frames, total=hearing.frames, name=outputs.video.name) if bar else frames,
            fps=FPS,
            audio=speech.sound,
            metadata={"comment": f"{face.made_of}; {shown}; seed {options.seed}"},
            **GENERATED,
        )


def painted(
    face: Face, mels: Iterator[np.ndarray], heard: Heard, options: TestOptions
) -> Iterator[np.ndarray]:
    """Yield the frames (3, H, W) uint8 of mels as they come."""
    return face.speech2face.stream(
        mels, heard=heard, emotion=options.emotion, seed=options.seed, still=face.still
    )


def hear(path: Path) -> MelHearing:
    """Listen to all of a file once; raises `DataError` for what is no sound, or an empty one."""
    check_sound(path)
    sum_B, squares_B, count = np.zeros(BANDS), np.zeros(BANDS), 0
    for mel_BL in _log_mels(path):
        sum_B += mel_BL.sum(1, dtype=np.float64)
        squares_B += np.square(mel_BL, dtype=np.float64).sum(1)
        count += mel_BL.shape[1]
    if not count:
        raise DataError(f"{path}: the sound is empty")
    mean_B = sum_B / count
    variance_B = (squares_B / count - np.square(mean_B)).clip(min=LEAST_DEVIATION**2)
    return MelHearing(path, count // COLUMNS, mean_B, np.sqrt(variance_B))


def read_still(path: Path, size: int) -> np.ndarray:
    """Return a picture as (3, size, size) uint8 RGB; raises `DataError` where it is none."""
    picture_HW3 = cv2.imread(str(path)) if path.is_file() else None
    if picture_HW3 is None:
        raise DataError(f"{path}: not readable as a picture")
    if picture_HW3.shape[0] != picture_HW3.shape[1]:
        height, width = picture_HW3.shape[:2]
        raise DataError(f"{path}: {width}x{height}; a square, aligned face is needed")
    picture_HW3 = cv2.resize(picture_HW3, (size, size), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(picture_HW3[..., ::-1].transpose(2, 0, 1))


def _log_mels(path: Path) -> Iterator[np.ndarray]:
    """Yield log-mels (80, n) for each second of a sound; together whole frames."""
    stream, heard = LogMelStream(), False
    for wave_S in read_audio(path):
        heard = True
        yield stream.push(wave_S)
    if heard:
        yield stream.finish()
