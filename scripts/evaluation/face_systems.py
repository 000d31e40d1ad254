"""Talking faces that are judged, as the measuring sees them, and what they must beat."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from evaluation.tables import MODEL, REAL
from speech2video.data.speech2face.clip import (
    FaceRecording,
    FaceSplit,
    load_face_recordings,
    split_faces,
)
from speech2video.models.speech2face.predictor import (
    Speech2FacePredictor,
    SpeechEmbedding,
    load_speech2face,
)
from speech2video.options.evaluation import EvaluateFaceOptions
from speech2video.options.speech2face import TrainSpeech2FaceOptions
from speech2video.util.audio.mel import log_mels
from speech2video.util.checkpoint_folder import OPTIONS_FILE, resolve_checkpoint
from speech2video.util.errors import DataError
from speech2video.util.metrics.recognition import centroids, cosines
from speech2video.util.timing import SAMPLES_PER_FRAME

SPEECH_AND_REFERENCE, REFERENCE_IMAGE, MEAN_FACE = "speech_and_still", "still", "mean_face"
OTHER_SPEECH, LATE_SPEECH = "other_speech", "late_speech"
BASELINES = (SPEECH_AND_REFERENCE, REFERENCE_IMAGE, MEAN_FACE)
CONTROLS = (OTHER_SPEECH, LATE_SPEECH)
LATE = 10  # frames by which speech comes too late, as a control
SLACK = 2  # frames that a video may be shorter or longer than its speech
AVERAGED = 20  # frames of each clip that a mean face is made of


class Codes(NamedTuple):
    """What is heard of a voice: who (D,), how they feel (E,), and emotions' logits (C,)."""

    identity_D: np.ndarray
    emotion_E: np.ndarray
    logits_C: np.ndarray


class FaceSpeaker(Protocol):
    """Makes a face of speech.

    Attributes:
        size: pixels a side of its pictures.
        emotions: that it can be asked for.
    """

    size: int
    emotions: tuple[str, ...]

    def codes(self, audio_S: np.ndarray) -> Codes:
        """Return what is heard of 16 kHz speech."""
        ...

    def render(
        self,
        audio_S: np.ndarray,
        *,
        emotion: str | None = None,
        feeling_S: np.ndarray | None = None,
        still_3HW: np.ndarray | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """Return frames (T, 3, H, W) uint8, one for each 640 samples.

        Args:
            audio_S: what is said, and by whom.
            emotion: a name, in place of the emotion heard.
            feeling_S: other speech whose emotion is taken.
            still_3HW: a picture of the person, for the baseline that takes one.
            seed: draws what speech does not say: blinks, the head's motion.
        """
        ...


class SystemVideos(NamedTuple):
    """The videos of one clip by one system: one each seed, where there are several."""

    system: str
    videos: list[np.ndarray]


class Systems:
    """The people of the training split, and every system that is judged beside the model.

    Args:
        training: recordings that were trained on.
        speaker: the model.
        others: further runs, by the name of their row.
        seeds: of the model's videos; the first one is all others'.
    """

    def __init__(
        self,
        training: Sequence[FaceRecording],
        speaker: FaceSpeaker,
        others: dict[str, FaceSpeaker],
        seeds: Sequence[int],
    ) -> None:
        self._speaker, self._others, self._seeds = speaker, others, tuple(seeds)
        self.speakers = sorted({r.speaker for r in training})
        self.numbers_N = np.array([self.speakers.index(r.speaker) for r in training])
        self.codes = [speaker.codes(r.audio_S) for r in training]
        identities_ND = np.stack([codes.identity_D for codes in self.codes])
        self._voices_CD = centroids(identities_ND, self.numbers_N, len(self.speakers))
        self._faces = {name: mean_face(training, name) for name in self.speakers}
        self._stills = {name: reference_image_of(training, name) for name in self.speakers}

    def codes_of(self, clip: FaceRecording) -> Codes:
        """Return what the model hears of a clip."""
        return self._speaker.codes(clip.audio_S)

    def voice_scores(self, codes: Sequence[Codes]) -> np.ndarray:
        """Return how much each voice (N, C) is like that of each person trained on."""
        return cosines(np.stack([one.identity_D for one in codes]), self._voices_CD)

    def perform(self, clip: FaceRecording, other: FaceRecording) -> Iterator[SystemVideos]:
        """Yield every system's videos of a clip's speech, the recording first.

        Args:
            clip: what is to be said.
            other: whose speech takes its place in the control `OTHER_SPEECH`.
        """
        count, audio_S, first = len(clip), clip.audio_S, self._seeds[0]
        yield SystemVideos(REAL, [clip.frames_T3HW])
        videos = [fitted(self._speaker.render(audio_S, seed=seed), count) for seed in self._seeds]
        yield SystemVideos(MODEL, videos)
        still_3HW = self._still(clip)
        for name, speaker in self._others.items():
            given = still_3HW if name == SPEECH_AND_REFERENCE else None
            yield SystemVideos(
                name, [fitted(speaker.render(audio_S, still_3HW=given, seed=first), count)]
            )
        heard = self.speakers[int(self.voice_scores([self._speaker.codes(audio_S)]).argmax())]
        for name, picture in ((REFERENCE_IMAGE, still_3HW), (MEAN_FACE, self._faces[heard])):
            yield SystemVideos(name, [np.broadcast_to(picture, (count, *picture.shape))])
        waves = {
            OTHER_SPEECH: np.resize(other.audio_S, audio_S.shape),
            LATE_SPEECH: np.roll(audio_S, LATE * SAMPLES_PER_FRAME),
        }
        for name, control_S in waves.items():
            yield SystemVideos(name, [fitted(self._speaker.render(control_S, seed=first), count)])

    def _still(self, clip: FaceRecording) -> np.ndarray:
        """Return a picture of a clip's person: of another clip, for those who were trained on."""
        known = self._stills.get(clip.speaker)
        return clip.frames_T3HW[0] if known is None else known


def fitted(frames_T3HW: np.ndarray, count: int) -> np.ndarray:
    """Return frames cut to a number, the last one repeated where a few are missing.

    Raises:
        DataError: they differ from it by more than `SLACK`.
    """
    if abs(len(frames_T3HW) - count) > SLACK or not len(frames_T3HW):
        raise DataError(f"{len(frames_T3HW)} frames made of speech for {count}")
    return frames_T3HW[np.minimum(np.arange(count), len(frames_T3HW) - 1)]


def mean_face(training: Sequence[FaceRecording], speaker: str) -> np.ndarray:
    """Return the mean picture (3, H, W) uint8 of a person's recordings."""
    clips = [r.frames_T3HW for r in training if r.speaker == speaker]
    chosen = [frames[:: max(1, len(frames) // AVERAGED)] for frames in clips]
    total = sum(frames.sum(0, dtype=np.int64) for frames in chosen)
    return np.round(total / sum(map(len, chosen))).astype(np.uint8)


def reference_image_of(training: Sequence[FaceRecording], speaker: str) -> np.ndarray:
    """Return a picture (3, H, W) of a person, the middle of a neutral clip if there is one."""
    clips = [r for r in training if r.speaker == speaker]
    clip = next((r for r in clips if r.emotion == "neutral"), clips[0])
    return clip.frames_T3HW[len(clip) // 2]


def contrasting_clip(clips: Sequence[FaceRecording], index: int) -> FaceRecording:
    """Return the next clip of another person in another mood, or what comes nearest to that."""
    own = clips[index]
    following = [clips[(index + step) % len(clips)] for step in range(1, len(clips))] or [own]
    return max(  # of equals the first
        following, key=lambda r: 2 * (r.speaker != own.speaker) + (r.emotion != own.emotion)
    )


def spread(clips: Sequence[FaceRecording], count: int | None) -> list[FaceRecording]:
    """Return so many clips, everybody's first before anybody's second; which ones is drawn."""
    if count is None or count >= len(clips):
        return list(clips)
    taken: Counter[str] = Counter()
    turns = []
    for index in np.random.default_rng(0).permutation(len(clips)).tolist():
        turns.append((taken[clips[index].speaker], index))
        taken[clips[index].speaker] += 1
    chosen = [index for _, index in sorted(turns, key=lambda turn: turn[0])[:count]]
    return [clips[index] for index in sorted(chosen)]


# Trained runs as the measuring sees them, and the clips that they held out.


class Run:
    """A trained model as a `face_speakers.FaceSpeaker`."""

    def __init__(self, face: Speech2FacePredictor) -> None:
        self._face, self.size, self.emotions = face, face.size, face.emotions
        self.uses_reference_image = face.uses_reference_image

    def codes(self, audio_S: np.ndarray) -> Codes:
        """Return what is heard of speech as a whole."""
        heard = self._hear(audio_S)
        parts = (heard.identity_D, heard.emotion_code_E, heard.emotion_8)
        return Codes(*(part.cpu().double().numpy() for part in parts))

    def render(
        self,
        audio_S: np.ndarray,
        *,
        emotion: str | None = None,
        feeling_S: np.ndarray | None = None,
        still_3HW: np.ndarray | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """Return frames (T, 3, H, W) uint8, heard as a whole as test.py does with files."""
        heard = self._hear(audio_S)
        if feeling_S is not None:
            other = self._hear(feeling_S)
            heard = replace(heard, emotion_8=other.emotion_8, emotion_code_E=other.emotion_code_E)
        how = {"embedding": heard, "emotion": emotion, "seed": seed, "reference_image": still_3HW}
        return self._face.generate_frames(audio_S, **how)

    def _hear(self, audio_S: np.ndarray) -> SpeechEmbedding:
        return self._face.embed_speech([log_mels(audio_S)])


def load_runs(options: EvaluateFaceOptions) -> tuple[Run, dict[str, Run]]:
    """Return the run to judge, and the others by the name of their row.

    Raises:
        DataError: no such run, one of another size, or a still where none is taken, or none.
    """
    run = _load(options, options.name)
    if run.uses_reference_image:
        raise DataError(f"--name {options.name}: takes a still picture; that is for --baseline")
    names = {
        SPEECH_AND_REFERENCE: options.baseline,
        "without_distillation": options.without_distillation,
        "without_disentangling": options.without_disentangling,
    }
    others = {row: _load(options, name) for row, name in names.items() if name is not None}
    for row, other in others.items():
        if other.size != run.size:
            raise DataError(f"{names[row]}: {other.size} pixels; {run.size} are needed")
        if other.uses_reference_image != (row == SPEECH_AND_REFERENCE):
            what = "takes no" if row == SPEECH_AND_REFERENCE else "takes a"
            raise DataError(f"{names[row]}: {what} still picture; another run is needed")
    return run, others


def load_split(options: EvaluateFaceOptions, size: int) -> FaceSplit:
    """Return what the run was trained on and what it held out, pictures of a size.

    Raises:
        DataError: no such data set, or nothing held out.
    """
    folder = options.checkpoints / options.name / TrainSpeech2FaceOptions.KIND
    trained = TrainSpeech2FaceOptions.load(resolve_checkpoint(folder) / OPTIONS_FILE)
    recordings = load_face_recordings(options.dataset or trained.dataset, size=size)
    given = options.held_out_sentences or options.held_out_speakers
    held = options if given else trained
    return split_faces(
        recordings,
        held_out_sentences=held.held_out_sentences,
        held_out_speakers=held.held_out_speakers,
    )


def _load(options: EvaluateFaceOptions, name: str) -> Run:
    folder = options.checkpoints / name / TrainSpeech2FaceOptions.KIND
    return Run(load_speech2face(folder, device=options.device))
