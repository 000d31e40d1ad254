"""Talking face: from speech alone to the video of a face that fits the voice.

audio      16 kHz, second by second                      util/audio/audio_io.py
speech     (n, F), phones and mels normalised over it    data/speech2face/speech.py
embedding  identity and emotion of the voice             models/speech2face/predictor.py
frames     (3, H, W) of embedding and speech             models/speech2face/predictor.py
mp4        H.264, with the audio                         util/video/writer.py

The mels' statistics and the embedding need the whole speech, so the file is read three times; each
time as a stream, so that an hour of speech needs the memory of a minute.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from speech2video.data.speech2face.speech import stream_speech
from speech2video.models.checkpointing import weights_id
from speech2video.models.pipelines import speaker
from speech2video.models.speech2face.predictor import Speech2FacePredictor, load_speech2face
from speech2video.options.inference import SPEECH2FACE, TalkingFaceOptions
from speech2video.util.audio import mel
from speech2video.util.audio.audio_io import read_audio
from speech2video.util.errors import DataError, note
from speech2video.util.iteration import PrefetchStack
from speech2video.util.text.speech_source import Speech


@dataclass(frozen=True, eq=False)
class TalkingFace(speaker.Speaker[TalkingFaceOptions]):
    """The face of checkpoints/NAME/speech2face.

    Attributes:
        speech2face: encoders and generator.
        reference_image: (3, H, W) uint8 of the person, for the baseline.
    """

    OPTIONS = TalkingFaceOptions

    name: str
    provenance: str
    speech2face: Speech2FacePredictor
    reference_image: np.ndarray | None = None

    @classmethod
    def load(cls, options: TalkingFaceOptions, device: torch.device) -> "TalkingFace":
        folder = options.checkpoints / options.name / SPEECH2FACE
        if not folder.is_dir():
            known = speaker.list_speakers(options.checkpoints, SPEECH2FACE)
            raise DataError(f"{folder.parent}: no {SPEECH2FACE} in it; {known}")
        predictor = load_speech2face(folder, device=device)
        if options.emotion is not None and options.emotion not in predictor.emotions:
            known = ", ".join(predictor.emotions)
            raise DataError(f"--emotion {options.emotion}: {options.name} was trained with {known}")
        path, needed = options.reference_image, predictor.uses_reference_image
        if (path is not None) != needed:
            message = "its baseline needs" if needed else "it takes no"
            raise DataError(f"{options.name}: {message} --reference_image")
        image = None if path is None else read_reference_image(path, predictor.size)
        if options.lip_scale is not None:
            predictor.lip_scale = options.lip_scale
        provenance = f"{options.name}: {SPEECH2FACE} {weights_id(folder)}"
        return cls(options.name, provenance, predictor, image)

    def make_video(
        self,
        speech: Speech,
        options: TalkingFaceOptions,
        *,
        bar: bool = True,
        on_progress: speaker.OnProgress | None = None,
        fragmented: bool = False,
    ) -> int:
        path, outputs = speech.audio, options.outputs(speech.stem)
        assert path is not None
        if options.has_words and options.text is None and not self.speech2face.follows_phones:
            note(f"{self.name}: its lips follow the audio alone, not words")
        options.check_outputs({speech.stem: path})
        total, *stats = measure_mels(stream_mels(read_audio(path, whole=True)))
        if not total:
            raise DataError(f"{path}: the audio is empty")
        embedding = self.speech2face.embed_speech(stream_mels(read_audio(path, whole=True)))
        emotion = options.emotion or embedding.emotion
        with PrefetchStack() as stages:
            features, audio = self.speech2face.features, read_audio(path, whole=True)
            spoken = stages.prefetch(stream_speech(audio, features, *stats, phones=speech.phones))
            frames = self.speech2face.stream(
                spoken,
                embedding=embedding,
                emotion=options.emotion,
                seed=options.seed,
                reference_image=self.reference_image,
            )
            frames = stages.prefetch(frames)
            name = outputs.video.name if bar else ""
            frames = speaker.show_progress(frames, total, bar=name, on_progress=on_progress)
            comment = f"{emotion}; seed {options.seed}"
            return self._write_video(
                outputs.video, frames, path, comment, options, fragmented=fragmented
            )

    def stream(
        self, chunks: Iterable[np.ndarray], *, seed: int = 0, background: str | None = None
    ) -> Iterator[np.ndarray]:
        if background is not None:
            raise DataError(f"{self.name}: a talking face has no other background")
        lead_S, chunks = speaker.read_lead(chunks)
        lead_BL = mel.log_mels(lead_S)
        _, *stats = measure_mels([lead_BL])
        frames = self.speech2face.stream(
            stream_speech(chunks, self.speech2face.features, *stats),
            embedding=self.speech2face.embed_speech([lead_BL]),
            seed=seed,
            reference_image=self.reference_image,
        )
        for frame_3HW in frames:
            yield frame_3HW.transpose(1, 2, 0)


def measure_mels(mels: Iterable[np.ndarray]) -> tuple[int, np.ndarray, np.ndarray]:
    """Return the frames of log-mels (80, 4 n) in chunks, and the bands' mean and deviation."""
    sum_B1, squares_B1, count = np.zeros((mel.N_MELS, 1)), np.zeros((mel.N_MELS, 1)), 0
    for mel_BL in mels:
        sum_B1 += mel_BL.sum(1, dtype=np.float64, keepdims=True)
        squares_B1 += np.square(mel_BL, dtype=np.float64).sum(1, keepdims=True)
        count += mel_BL.shape[1]
    mean_B1, mean_square_B1 = sum_B1 / max(count, 1), squares_B1 / max(count, 1)
    variance_B1 = (mean_square_B1 - np.square(mean_B1)).clip(min=mel.MIN_DEVIATION**2)
    return count // mel.HOPS_PER_FRAME, mean_B1, np.sqrt(variance_B1)


def stream_mels(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield log-mels (80, 4 n) of audio chunks (S,)."""
    stream = mel.LogMelStream()
    yield from map(stream.push, chunks)
    yield stream.finish()


def read_reference_image(path: Path, size: int) -> np.ndarray:
    """Return an image as (3, size, size) uint8 RGB.

    Raises:
        DataError: not readable as an image, or not square.
    """
    image_HW3 = cv2.imread(str(path)) if path.is_file() else None
    if image_HW3 is None:
        raise DataError(f"{path}: not readable as an image")
    height, width = image_HW3.shape[:2]
    if height != width:
        raise DataError(f"{path}: {width}x{height}; a square, aligned face is needed")
    image_HW3 = cv2.resize(image_HW3, (size, size), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image_HW3[..., ::-1].transpose(2, 0, 1))
