"""Talking face: from speech alone to the video of a face that fits the voice.

audio      16 kHz, second by second                      util/audio/audio_io.py
mels       (80, 4 n), normalised over the whole speech   util/audio/mel.py
embedding  identity and emotion of the voice             models/speech2face/predictor.py
frames     (3, H, W) of embedding and mels               models/speech2face/predictor.py
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

from speech2video.models.pipelines import speaker
from speech2video.models.speech2face.predictor import Speech2FacePredictor, load_speech2face
from speech2video.options.inference import SPEECH2FACE, TalkingFaceOptions
from speech2video.util.audio import mel
from speech2video.util.audio.audio_io import read_audio
from speech2video.util.audio.normalisation import check_audio
from speech2video.util.errors import DataError
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
        provenance = f"{options.name}: {SPEECH2FACE} {speaker.weights_id(folder)}"
        return cls(options.name, provenance, predictor, image)

    def make_video(self, speech: Speech, options: TalkingFaceOptions, *, bar: bool = True) -> int:
        path, outputs = speech.audio, options.outputs(speech.stem)
        assert path is not None
        speaker.check_output_paths(outputs, path)
        check_audio(path)
        stats = MelStats.measure(stream_columns(read_audio(path)))
        if not stats.frames:
            raise DataError(f"{path}: the audio is empty")
        embedding = self.speech2face.embed_speech(stream_mels(read_audio(path)))
        emotion = options.emotion or embedding.emotion
        with PrefetchStack() as stages:
            mels = stages.prefetch(stats.normalise(stream_mels(read_audio(path))))
            frames = self.speech2face.stream(
                mels,
                embedding=embedding,
                emotion=options.emotion,
                seed=options.seed,
                reference_image=self.reference_image,
            )
            return self._write_video(
                outputs.video,
                stages.prefetch(frames),
                total=stats.frames,
                audio=path,
                comment=f"{emotion}; seed {options.seed}",
                bar=bar,
            )

    def stream(self, chunks: Iterable[np.ndarray], *, seed: int = 0) -> Iterator[np.ndarray]:
        lead_S, chunks = speaker.read_lead(chunks)
        lead_BL = mel.log_mels(lead_S)
        stats = MelStats.measure([lead_BL])
        frames = self.speech2face.stream(
            stats.normalise(stream_mels(chunks)),
            embedding=self.speech2face.embed_speech([lead_BL]),
            seed=seed,
            reference_image=self.reference_image,
        )
        for frame_3HW in frames:
            yield frame_3HW.transpose(1, 2, 0)


@dataclass(frozen=True, eq=False)
class MelStats:
    """Statistics of a speech's log-mels.

    Attributes:
        frames: number of video frames, 25 a second; the last one may be half filled.
        mean_B, deviation_B: (80,) of its log-mels.
    """

    frames: int
    mean_B: np.ndarray
    deviation_B: np.ndarray

    @classmethod
    def measure(cls, mels: Iterable[np.ndarray]) -> "MelStats":
        """Return the statistics of log-mels (80, n) in chunks."""
        sum_B, squares_B, count = np.zeros(mel.N_MELS), np.zeros(mel.N_MELS), 0
        for mel_BL in mels:
            sum_B += mel_BL.sum(1, dtype=np.float64)
            squares_B += np.square(mel_BL, dtype=np.float64).sum(1)
            count += mel_BL.shape[1]
        mean_B, mean_square_B = sum_B / max(count, 1), squares_B / max(count, 1)
        variance_B = (mean_square_B - np.square(mean_B)).clip(min=mel.MIN_DEVIATION**2)
        return cls(count // mel.HOPS_PER_FRAME, mean_B, np.sqrt(variance_B))

    def normalise(self, mels: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield log-mels (80, 4 n) with mean 0 and deviation 1 in each band."""
        for mel_BL in mels:
            mel_BL = (mel_BL - self.mean_B[:, None]) / self.deviation_B[:, None]
            yield mel_BL.astype(np.float32)


def stream_mels(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield log-mels (80, 4 n), whole frames each, of audio chunks (S,)."""
    rest_BL = np.zeros((mel.N_MELS, 0), np.float32)
    for mel_BL in stream_columns(chunks):
        mel_BL = np.concatenate((rest_BL, mel_BL), 1)
        whole = mel_BL.shape[1] // mel.HOPS_PER_FRAME * mel.HOPS_PER_FRAME
        yield mel_BL[:, :whole]
        rest_BL = mel_BL[:, whole:]


def stream_columns(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield log-mels (80, n) of audio chunks (S,); together whole frames."""
    stream, has_audio = mel.LogMelStream(), False
    for audio_S in chunks:
        has_audio = True
        yield stream.push(audio_S)
    if has_audio:
        yield stream.finish()


def read_reference_image(path: Path, size: int) -> np.ndarray:
    """Return an image as (3, size, size) uint8 RGB.

    Raises:
        DataError: not readable as an image, or not square.
    """
    image_HW3 = cv2.imread(str(path)) if path.is_file() else None
    if image_HW3 is None:
        raise DataError(f"{path}: not readable as an image")
    if image_HW3.shape[0] != image_HW3.shape[1]:
        height, width = image_HW3.shape[:2]
        raise DataError(f"{path}: {width}x{height}; a square, aligned face is needed")
    image_HW3 = cv2.resize(image_HW3, (size, size), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image_HW3[..., ::-1].transpose(2, 0, 1))
