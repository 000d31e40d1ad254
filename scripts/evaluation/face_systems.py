"""Systems evaluated by `face`: the model, further runs, baselines and controls, and their clips."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from evaluation.tables import MODEL, REAL
from speech2video.data.speech2face.clip import FaceRecording, FaceSplit, split_numbers
from speech2video.data.speech2face.index import FaceIndex
from speech2video.models.speech2face.predictor import Speech2FacePredictor, load_speech2face
from speech2video.options.evaluation import EvaluateFaceOptions
from speech2video.options.speech2face import TrainSpeech2FaceOptions
from speech2video.util.audio.mel import log_mels
from speech2video.util.checkpoint_folder import OPTIONS_FILE, resolve_checkpoint
from speech2video.util.errors import DataError
from speech2video.util.metrics.recognition import centroids, cosines
from speech2video.util.timing import SAMPLES_PER_FRAME

SPEECH_AND_REFERENCE = "speech_and_reference"  # the baseline with a reference image
REFERENCE_IMAGE, MEAN_FACE = "reference_image", "mean_face"  # static baselines
OTHER_SPEECH, LATE_SPEECH = "other_speech", "late_speech"  # controls
LATE = 10  # frames by which speech is delayed in `LATE_SPEECH`
MAX_LENGTH_ERROR = 2  # frames between a video and its speech
AVERAGED_FRAMES = 20  # of each clip, for a mean face


class SpeechCodes(NamedTuple):
    """Encoded speech: identity (D,), emotion code (E,), emotion logits (C,)."""

    identity_D: np.ndarray
    emotion_E: np.ndarray
    logits_C: np.ndarray


class Run:
    """A trained run.

    Attributes:
        size: pixels of its frames.
        emotions: names of the emotions it can generate.
        uses_reference_image: whether it is the baseline that needs one.
    """

    def __init__(self, face: Speech2FacePredictor) -> None:
        self._face, self.size, self.emotions = face, face.size, face.emotions
        self.uses_reference_image = face.uses_reference_image

    def encode(self, audio_S: np.ndarray) -> SpeechCodes:
        """Encode 16 kHz speech as a whole."""
        embedding = self._face.embed_speech([log_mels(audio_S)])
        with torch.no_grad():
            emotion_E = (embedding.emotion_8[None] @ self._face.generator.emotion_codes)[0]
        parts = (embedding.identity_D, emotion_E, embedding.emotion_8)
        return SpeechCodes(*(part.cpu().double().numpy() for part in parts))

    def generate(
        self, audio_S: np.ndarray, *, emotion_audio_S: np.ndarray | None = None, **options: Any
    ) -> np.ndarray:
        """Generate frames (T, 3, H, W) uint8 like test.py.

        Args:
            audio_S: speech: content and identity.
            emotion_audio_S: other speech for the emotion.
            options: emotion, reference_image and seed of `Speech2FacePredictor.generate_frames`.
        """
        if emotion_audio_S is not None:
            own, other = (
                self._face.embed_speech([log_mels(a)]) for a in (audio_S, emotion_audio_S)
            )
            options["embedding"] = replace(own, emotion_8=other.emotion_8)
        return self._face.generate_frames(audio_S, **options)


class Systems:
    """All systems evaluated, and the speakers of the training split.

    Args:
        training: clips of the training split.
        model: the evaluated run.
        others: further runs by name.
        seeds: of the model's videos; other systems use the first.

    Attributes:
        speakers: names of the training speakers.
        codes: the model's codes of the training clips.
    """

    def __init__(
        self,
        training: Sequence[FaceRecording],
        model: Run,
        others: dict[str, Run],
        seeds: Sequence[int],
    ) -> None:
        self._model, self._others, self._seeds = model, others, seeds
        self.speakers = sorted({clip.speaker for clip in training})
        numbers_N = np.array([self.speakers.index(clip.speaker) for clip in training])
        self.codes = [model.encode(clip.audio_S) for clip in training]
        identities_ND = np.stack([codes.identity_D for codes in self.codes])
        self._voices_CD = centroids(identities_ND, numbers_N, len(self.speakers))
        self._mean_faces = {name: mean_face(training, name) for name in self.speakers}
        self._references = {name: reference_image_of(training, name) for name in self.speakers}

    def voice_scores(self, codes: Sequence[SpeechCodes]) -> np.ndarray:
        """Return the similarities (N, C) of voices with those of the training speakers."""
        return cosines(np.stack([one.identity_D for one in codes]), self._voices_CD)

    def generate(
        self, clip: FaceRecording, other: FaceRecording
    ) -> Iterator[tuple[str, list[np.ndarray]]]:
        """Yield every system and its videos of a clip's speech, the recording first.

        Videos are (T, 3, H, W) uint8, one for each seed.

        Args:
            clip: the speech and recording.
            other: the speech of the control `OTHER_SPEECH`.
        """
        count, audio_S, seed = len(clip), clip.audio_S, self._seeds[0]
        yield REAL, [clip.frames_T3HW]
        videos = [self._model.generate(audio_S, seed=seed) for seed in self._seeds]
        yield MODEL, [fit_length(video, count) for video in videos]
        reference = self._references.get(clip.speaker, clip.frames_T3HW[0])
        for name, system in self._others.items():
            given = reference if name == SPEECH_AND_REFERENCE else None
            video = system.generate(audio_S, reference_image=given, seed=seed)
            yield name, [fit_length(video, count)]
        speaker = self.speakers[int(self.voice_scores([self._model.encode(audio_S)]).argmax())]
        static = {REFERENCE_IMAGE: reference, MEAN_FACE: self._mean_faces[speaker]}
        for name, image in static.items():
            yield name, [np.broadcast_to(image, (count, *image.shape))]
        controls = {
            OTHER_SPEECH: np.resize(other.audio_S, audio_S.shape),
            LATE_SPEECH: np.roll(audio_S, LATE * SAMPLES_PER_FRAME),
        }
        for name, control_S in controls.items():
            yield name, [fit_length(self._model.generate(control_S, seed=seed), count)]


def load_runs(options: EvaluateFaceOptions) -> tuple[Run, dict[str, Run]]:
    """Load the evaluated run, and further runs by name.

    Raises:
        DataError: no such run, another image size, or a reference image where none is used.
    """
    run = _load_run(options, options.name)
    if run.uses_reference_image:
        raise DataError(f"--name {options.name}: uses a reference image; that is for --baseline")
    names = {
        SPEECH_AND_REFERENCE: options.baseline,
        "without_distillation": options.without_distillation,
        "without_disentangling": options.without_disentangling,
    }
    others = {row: _load_run(options, name) for row, name in names.items() if name is not None}
    for row, other in others.items():
        if other.size != run.size:
            raise DataError(f"{names[row]}: {other.size} pixels; {run.size} are needed")
        if other.uses_reference_image != (row == SPEECH_AND_REFERENCE):
            what = "no" if row == SPEECH_AND_REFERENCE else "a"
            raise DataError(f"{names[row]}: uses {what} reference image; another run is needed")
    return run, others


def load_split(options: EvaluateFaceOptions, size: int) -> FaceSplit:
    """Load the run's training clips, and held-out clips cut to --frames, with frames of a size.

    At most --loaded_clips of each. Clips of unknown speakers are left out.

    Raises:
        DataError: no such dataset, or nothing held out.
    """
    folder = options.checkpoints / options.name / TrainSpeech2FaceOptions.KIND
    trained = TrainSpeech2FaceOptions.load(resolve_checkpoint(folder) / OPTIONS_FILE)
    index = FaceIndex.update(options.dataset or trained.dataset)
    held = options if options.held_out_sentences or options.held_out_speakers else trained
    training, *held_out = split_numbers(
        index.speaker_names,
        index.sentences,
        held_out_sentences=held.held_out_sentences,
        held_out_speakers=held.held_out_speakers,
    )
    known = [number for number in training if index.speaker_C[number] >= 0]

    def load(numbers: Sequence[int], frames: int | None = None) -> list[FaceRecording]:
        places = balanced_places([index.speaker_names[n] for n in numbers], options.loaded_clips)
        chosen = [numbers[place] for place in places]
        return [clip.load(frames) for clip in index.recordings(chosen, size=size, cache_bytes=0)]

    return FaceSplit(load(known), *(load(numbers, options.frames) for numbers in held_out))


def fit_length(frames_T3HW: np.ndarray, count: int) -> np.ndarray:
    """Return frames cut to a number, or with the last one repeated.

    Raises:
        DataError: the lengths differ by more than `MAX_LENGTH_ERROR`.
    """
    if abs(len(frames_T3HW) - count) > MAX_LENGTH_ERROR or not len(frames_T3HW):
        raise DataError(f"{len(frames_T3HW)} frames generated from speech for {count}")
    return frames_T3HW[np.minimum(np.arange(count), len(frames_T3HW) - 1)]


def mean_face(training: Sequence[FaceRecording], speaker: str) -> np.ndarray:
    """Return the mean image (3, H, W) uint8 of a speaker's clips."""
    chosen = [
        clip.frames_T3HW[:: max(1, len(clip) // AVERAGED_FRAMES)]
        for clip in training
        if clip.speaker == speaker
    ]
    total = sum(frames.sum(0, dtype=np.int64) for frames in chosen)
    return np.round(total / sum(map(len, chosen))).astype(np.uint8)


def reference_image_of(training: Sequence[FaceRecording], speaker: str) -> np.ndarray:
    """Return the middle frame (3, H, W) of a speaker's clip, of a neutral one if possible."""
    clips = [clip for clip in training if clip.speaker == speaker]
    clip = next((clip for clip in clips if clip.emotion == "neutral"), clips[0])
    return clip.frames_T3HW[len(clip) // 2]


def contrasting_clip(clips: Sequence[FaceRecording], index: int) -> FaceRecording:
    """Return the next clip with another speaker and emotion, or the best match."""
    own = clips[index]
    following = [clips[(index + step) % len(clips)] for step in range(1, len(clips))] or [own]
    return max(  # the first of equals
        following, key=lambda r: 2 * (r.speaker != own.speaker) + (r.emotion != own.emotion)
    )


def balanced_subset(clips: Sequence[FaceRecording], count: int | None) -> list[FaceRecording]:
    """Return a random subset of clips with equally many of each speaker, in their order."""
    return [clips[place] for place in balanced_places([one.speaker for one in clips], count)]


def balanced_places(speakers: Sequence[str], count: int | None) -> list[int]:
    """Return random places in a list of speakers, equally many of each, in order; None: all."""
    if count is None or count >= len(speakers):
        return list(range(len(speakers)))
    taken: Counter[str] = Counter()
    turns = []
    for place in map(int, np.random.default_rng(0).permutation(len(speakers))):
        turns.append((taken[speakers[place]], place))
        taken[speakers[place]] += 1
    return sorted(place for _, place in sorted(turns, key=lambda turn: turn[0])[:count])


def _load_run(options: EvaluateFaceOptions, name: str) -> Run:
    folder = options.checkpoints / name / TrainSpeech2FaceOptions.KIND
    return Run(load_speech2face(folder, device=options.device))
