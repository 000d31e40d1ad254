"""The walk from speech to a talking face, without any picture.

sound      16 kHz, second by second                          util/audio/audio_io.py
mels       (80, 4 n), and normalised over the whole speech   util/audio/mel.py
heard      who speaks and how they feel                      models/speech2face/predictor.py
frames     (3, H, W), of what is heard and what is said      models/speech2face/predictor.py
mp4        H.264, with the sound                             util/video/writer.py

Mean and deviation show at a sound's end only, and so do voice and mood, so the file is read three
times; each time as a stream, so that an hour of speech takes the memory of a minute.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from speech2video.models.pipelines.body_video import check_output_paths
from speech2video.models.pipelines.speaker import weights_id
from speech2video.models.speech2face.predictor import (
    Speech2FacePredictor,
    SpeechEmbedding,
    load_speech2face,
)
from speech2video.options.inference import SPEECH2FACE, InferenceOptions
from speech2video.util.audio.audio_io import read_audio
from speech2video.util.audio.mel import HOPS_PER_FRAME, LEAST_DEVIATION, N_MELS, LogMelStream
from speech2video.util.audio.normalisation import check_audio
from speech2video.util.errors import DataError
from speech2video.util.iteration import PrefetchStack, progress_bar
from speech2video.util.text.speech_source import Speech
from speech2video.util.timing import FPS
from speech2video.util.video.writer import GENERATED, write_video


@dataclass(frozen=True, eq=False)
class TalkingFace:
    """All that checkpoints/NAME/speech2face holds, ready to speak.

    Attributes:
        made_of: which checkpoint it is, to be written into videos.
        speech2face: the networks.
        still: (3, H, W) uint8 of the person, for the baseline.
    """

    provenance: str
    speech2face: Speech2FacePredictor
    reference_image: np.ndarray | None


@dataclass(frozen=True, eq=False)
class MelStats:
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
        rest_BL = np.zeros((N_MELS, 0), np.float32)
        for mel_BL in _log_mels(self.path):
            mel_BL = np.concatenate((rest_BL, mel_BL), 1)
            whole = mel_BL.shape[1] // HOPS_PER_FRAME * HOPS_PER_FRAME
            yield mel_BL[:, :whole]
            rest_BL = mel_BL[:, whole:]


def load(options: InferenceOptions, device: torch.device) -> TalkingFace:
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
    face = load_speech2face(folder / SPEECH2FACE, device=device)
    if options.emotion is not None and options.emotion not in face.emotions:
        known = ", ".join(face.emotions)
        raise DataError(f"--emotion {options.emotion}: {options.name} was trained with {known}")
    if (options.reference_image is not None) != face.uses_reference_image:
        needed = (
            "its baseline needs --reference_image"
            if face.uses_reference_image
            else "it takes no --reference_image"
        )
        raise DataError(f"{options.name}: {needed}")
    reference_image = (
        None
        if options.reference_image is None
        else read_reference_image(options.reference_image, face.size)
    )
    provenance = f"{options.name}: {SPEECH2FACE} {weights_id(folder / SPEECH2FACE)}"
    return TalkingFace(provenance, face, reference_image)


def make_video(
    face: TalkingFace, speech: Speech, options: InferenceOptions, *, bar: bool = True
) -> int:
    """Write `options.outputs(speech.stem).video`; return its number of frames.

    It is there whole or not at all: what goes wrong in any thread stops all and is raised here.

    Raises:
        DataError: a sound that is not right, or a file that cannot be written.
    """
    outputs = options.outputs(speech.stem)
    check_output_paths(outputs, speech.audio)
    hearing = hear(speech.audio)
    heard = face.speech2face.embed_speech(hearing.log_mels())
    shown = options.emotion or heard.emotion
    with PrefetchStack() as stages:
        frames = stages.prefetch(painted(face, stages.prefetch(hearing.mels()), heard, options))
        return write_video(
            outputs.video,
            progress_bar(frames, total=hearing.frames, name=outputs.video.name) if bar else frames,
            fps=FPS,
            audio=speech.audio,
            metadata={"comment": f"{face.provenance}; {shown}; seed {options.seed}"},
            **GENERATED,
        )


def painted(
    face: TalkingFace, mels: Iterator[np.ndarray], heard: SpeechEmbedding, options: InferenceOptions
) -> Iterator[np.ndarray]:
    """Yield the frames (3, H, W) uint8 of mels as they come."""
    return face.speech2face.stream(
        mels,
        embedding=heard,
        emotion=options.emotion,
        seed=options.seed,
        reference_image=face.reference_image,
    )


def hear(path: Path) -> MelStats:
    """Listen to all of a file once; raises `DataError` for what is no sound, or an empty one."""
    check_audio(path)
    sum_B, squares_B, count = np.zeros(N_MELS), np.zeros(N_MELS), 0
    for mel_BL in _log_mels(path):
        sum_B += mel_BL.sum(1, dtype=np.float64)
        squares_B += np.square(mel_BL, dtype=np.float64).sum(1)
        count += mel_BL.shape[1]
    if not count:
        raise DataError(f"{path}: the audio is empty")
    mean_B = sum_B / count
    variance_B = (squares_B / count - np.square(mean_B)).clip(min=LEAST_DEVIATION**2)
    return MelStats(path, count // HOPS_PER_FRAME, mean_B, np.sqrt(variance_B))


def read_reference_image(path: Path, size: int) -> np.ndarray:
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
    for audio_S in read_audio(path):
        heard = True
        yield stream.push(audio_S)
    if heard:
        yield stream.finish()
