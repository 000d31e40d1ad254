"""Trained runs as the measuring sees them, and the clips that they held out."""

from dataclasses import replace

import numpy as np

from evaluation.face_speakers import SPEECH_AND_STILL, Codes
from speech2video.data.face_recording import FaceSplit, divide_faces, load_face_recordings
from speech2video.models import speech2face
from speech2video.models.speech2face import Heard, Speech2Face
from speech2video.options.evaluate_face_options import EvaluateFaceOptions
from speech2video.options.train_speech2face_options import TrainSpeech2FaceOptions
from speech2video.util.checkpoint_folder import OPTIONS, for_use
from speech2video.util.errors import DataError
from speech2video.util.log_mels import log_mels


class Run:
    """A trained model as a `face_speakers.FaceSpeaker`."""

    def __init__(self, face: Speech2Face) -> None:
        self._face, self.size, self.emotions = face, face.size, face.emotions
        self.takes_still = face.takes_still

    def codes(self, wave_S: np.ndarray) -> Codes:
        """Return what is heard of speech as a whole."""
        heard = self._hear(wave_S)
        parts = (heard.identity_D, heard.code_E, heard.emotion_8)
        return Codes(*(part.cpu().double().numpy() for part in parts))

    def render(
        self,
        wave_S: np.ndarray,
        *,
        emotion: str | None = None,
        feeling_S: np.ndarray | None = None,
        still_3HW: np.ndarray | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """Return frames (T, 3, H, W) uint8, heard as a whole as test.py does with files."""
        heard = self._hear(wave_S)
        if feeling_S is not None:
            other = self._hear(feeling_S)
            heard = replace(heard, emotion_8=other.emotion_8, code_E=other.code_E)
        how = {"heard": heard, "emotion": emotion, "seed": seed, "still": still_3HW}
        return self._face.of_wave(wave_S, **how)

    def _hear(self, wave_S: np.ndarray) -> Heard:
        return self._face.hear([log_mels(wave_S)])


def load_runs(options: EvaluateFaceOptions) -> tuple[Run, dict[str, Run]]:
    """Return the run to judge, and the others by the name of their row.

    Raises:
        DataError: no such run, one of another size, or a still where none is taken, or none.
    """
    run = _load(options, options.name)
    if run.takes_still:
        raise DataError(f"--name {options.name}: takes a still picture; that is for --baseline")
    names = {
        SPEECH_AND_STILL: options.baseline,
        "without_distillation": options.without_distillation,
        "without_disentangling": options.without_disentangling,
    }
    others = {row: _load(options, name) for row, name in names.items() if name is not None}
    for row, other in others.items():
        if other.size != run.size:
            raise DataError(f"{names[row]}: {other.size} pixels; {run.size} are needed")
        if other.takes_still != (row == SPEECH_AND_STILL):
            what = "takes no" if row == SPEECH_AND_STILL else "takes a"
            raise DataError(f"{names[row]}: {what} still picture; another run is needed")
    return run, others


def load_split(options: EvaluateFaceOptions, size: int) -> FaceSplit:
    """Return what the run was trained on and what it held out, pictures of a size.

    Raises:
        DataError: no such data set, or nothing held out.
    """
    folder = options.checkpoints / options.name / TrainSpeech2FaceOptions.KIND
    trained = TrainSpeech2FaceOptions.load(for_use(folder) / OPTIONS)
    recordings = load_face_recordings(options.dataset or trained.dataset, size=size)
    given = options.held_out_sentences or options.held_out_speakers
    held = options if given else trained
    return divide_faces(
        recordings,
        held_out_sentences=held.held_out_sentences,
        held_out_speakers=held.held_out_speakers,
    )


def _load(options: EvaluateFaceOptions, name: str) -> Run:
    folder = options.checkpoints / name / TrainSpeech2FaceOptions.KIND
    return Run(speech2face.load(folder, device=options.device))
