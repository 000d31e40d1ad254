"""Talking faces that are judged, as the measuring sees them, and what they must beat."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from evaluation.video_table import MODEL, REAL
from speech2video.data.face_recording import FaceRecording
from speech2video.util.errors import DataError
from speech2video.util.log_mels import FRAME
from speech2video.util.metrics.identity import centroids, cosines

SPEECH_AND_STILL, STILL, MEAN_FACE = "speech_and_still", "still", "mean_face"
OTHER_SPEECH, LATE_SPEECH = "other_speech", "late_speech"
BASELINES = (SPEECH_AND_STILL, STILL, MEAN_FACE)
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

    def codes(self, wave_S: np.ndarray) -> Codes:
        """Return what is heard of 16 kHz speech."""
        ...

    def render(
        self,
        wave_S: np.ndarray,
        *,
        emotion: str | None = None,
        feeling_S: np.ndarray | None = None,
        still_3HW: np.ndarray | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """Return frames (T, 3, H, W) uint8, one for each 640 samples.

        Args:
            wave_S: what is said, and by whom.
            emotion: a name, in place of the emotion heard.
            feeling_S: other speech whose emotion is taken.
            still_3HW: a picture of the person, for the baseline that takes one.
            seed: draws what speech does not say: blinks, the head's motion.
        """
        ...


class Takes(NamedTuple):
    """The videos of one clip by one system: one each seed, where there are several."""

    system: str
    videos: list[np.ndarray]


class Cast:
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
        self.codes = [speaker.codes(r.wave_S) for r in training]
        identities_ND = np.stack([codes.identity_D for codes in self.codes])
        self._voices_CD = centroids(identities_ND, self.numbers_N, len(self.speakers))
        self._faces = {name: mean_face(training, name) for name in self.speakers}
        self._stills = {name: still_of(training, name) for name in self.speakers}

    def codes_of(self, clip: FaceRecording) -> Codes:
        """Return what the model hears of a clip."""
        return self._speaker.codes(clip.wave_S)

    def voice_scores(self, codes: Sequence[Codes]) -> np.ndarray:
        """Return how much each voice (N, C) is like that of each person trained on."""
        return cosines(np.stack([one.identity_D for one in codes]), self._voices_CD)

    def perform(self, clip: FaceRecording, other: FaceRecording) -> Iterator[Takes]:
        """Yield every system's videos of a clip's speech, the recording first.

        Args:
            clip: what is to be said.
            other: whose speech takes its place in the control `OTHER_SPEECH`.
        """
        count, wave_S, first = len(clip), clip.wave_S, self._seeds[0]
        yield Takes(REAL, [clip.frames_T3HW])
        videos = [fitted(self._speaker.render(wave_S, seed=seed), count) for seed in self._seeds]
        yield Takes(MODEL, videos)
        still_3HW = self._still(clip)
        for name, speaker in self._others.items():
            given = still_3HW if name == SPEECH_AND_STILL else None
            yield Takes(name, [fitted(speaker.render(wave_S, still_3HW=given, seed=first), count)])
        heard = self.speakers[int(self.voice_scores([self._speaker.codes(wave_S)]).argmax())]
        for name, picture in ((STILL, still_3HW), (MEAN_FACE, self._faces[heard])):
            yield Takes(name, [np.broadcast_to(picture, (count, *picture.shape))])
        waves = {
            OTHER_SPEECH: np.resize(other.wave_S, wave_S.shape),
            LATE_SPEECH: np.roll(wave_S, LATE * FRAME),
        }
        for name, control_S in waves.items():
            yield Takes(name, [fitted(self._speaker.render(control_S, seed=first), count)])

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


def still_of(training: Sequence[FaceRecording], speaker: str) -> np.ndarray:
    """Return a picture (3, H, W) of a person, the middle of a neutral clip if there is one."""
    clips = [r for r in training if r.speaker == speaker]
    clip = next((r for r in clips if r.emotion == "neutral"), clips[0])
    return clip.frames_T3HW[len(clip) // 2]


def somebody_else(clips: Sequence[FaceRecording], index: int) -> FaceRecording:
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
