"""Training items of face clips: frames, speech, landmark-based motion and lips, labels.

Head and lids move by chance: the generator gets their ground truth in training, and motion from
noise at inference (`HeadMotionGenerator`). Lips follow speech: their shapes are distilled into the
content encoder.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from speech2video.data.loader import SampleIndex
from speech2video.data.pose2video.frames import MemoryCache
from speech2video.data.speech2face.clip import (
    EMOTIONS,
    EYE_CORNERS,
    EYE_DISTANCE,
    LANDMARKS,
    LIPS,
    MIN_RUN,
    FaceRecording,
    face_runs,
    faceless_frames,
    lip_shapes,
    pair_distance,
)
from speech2video.data.speech2face.index import StoredRecording, StoredRecordings
from speech2video.data.speech2face.speech import (
    LipClips,
    augment_mels,
    mel_frames,
    min_deviations,
    spec_augment,
    speech_parts,
)
from speech2video.data.speech2face.statistics import (
    EXTREME_QUANTILE,
    MIN_STD,
    SAMPLED_FRAMES,
    SAMPLED_MEL_FRAMES,
    FaceStatistics,
    column_statistics,
    every_nth,
    repeated_quantile,
    row_statistics,
)
from speech2video.data.splits import note_left_out
from speech2video.options.speech2face import MEL
from speech2video.util.audio import mel
from speech2video.util.audio.augmentation import AudioAugmentation
from speech2video.util.audio.features import feature_set
from speech2video.util.audio.normalisation import speech_features
from speech2video.util.errors import DataError, note
from speech2video.util.process_pool import Progress, iterate_tasks
from speech2video.util.smoothing import SmoothNoise

SYNC_SHIFTS = (5, 15)  # frames by which out-of-sync speech is shifted, at least and at most
# Head relative to its median in the clip: right and down (image widths), roll (radians), zoom
# (logarithm); relative to the speaker's median: turn and nod (of the nose's tip, eye distances);
# relative to the clip's median: opening of the lids (share).
MOTION = ("right", "down", "roll", "zoom", "turn", "nod", "lids")
PER_CLIP, PER_SPEAKER = slice(0, 4), slice(4, 6)
LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))
NOSE_TIP = 30
NOISE_WARM_UP = 15  # frames of noise before an item begins
MANY = 200  # versions of recordings, from which other processes compute their statistics
SAMPLED_SPEECH = 200  # recordings that speech is standardised by
LIP_FRAMES = 60  # of a sample of other speech
AUGMENTATION = AudioAugmentation(pitch=None, formants=None)  # voice and timing stay
MEL_BYTES = 4 * mel.N_MELS * mel.HOPS_PER_FRAME  # of a frame
TRACK_BYTES = 8 * LANDMARKS + 4 * (len(MOTION) + len(LIPS))  # of a frame


class FacePart(NamedTuple):
    """A part of the face.

    Attributes:
        landmarks: whose mean is its centre.
        sides: width and height of its box, in image widths.
        centre: x and y in image widths, where no landmarks are found.
    """

    landmarks: tuple[int, ...]
    sides: tuple[float, float]
    centre: tuple[float, float]


MOUTH = FacePart(tuple(range(48, 68)), sides=(0.40, 0.40), centre=(0.5, 0.71))
EYES = FacePart((*range(17, 27), *range(36, 48)), sides=(0.56, 0.26), centre=(0.5, 0.36))


class FaceTrack(NamedTuple):
    """A clip's landmarks, `head_motion` and `lip_shapes`."""

    points_TK2: np.ndarray
    motion_TM: np.ndarray
    lips_TL: np.ndarray


class FaceDataset(Dataset):
    """Items of T frames of face clips; which one depends on its `SampleIndex`'s seed alone.

    An item is a dict of tensors:
        mel: log-mels (80, 4 T) normalised per utterance.
        speech: (T, F), that content is encoded from, see `speech`; its mels augmented.
        other_speech, other_lips: (`LIP_FRAMES`, F) and (`LIP_FRAMES`, 4) of `lip_clips`.
        voice, masked_voice: log-mels (80, 4 T) that keep the timbre (`normalise_global`); masked.
        shifted_mel: mel of the same clip 5 to 15 frames earlier or later.
        frames: (T, 3, H, W) uint8.
        mouth_boxes, eye_boxes: (T, 4), x0 y0 x1 y1 in pixels, inside the image.
        present: (T,), 0 after a shorter clip's end, where its last frame is repeated.
        motion, lips: (T, 7), see `MOTION`; (T, 4), see `LIPS`, standardised over all clips.
        lips_seen: (T,), 1 where landmarks were found.
        noise: (`NOISE_WARM_UP` + T, Z) for `HeadMotionGenerator`.
        reference_image: (3, H, W) uint8 of the speaker, from another clip if there is one.
        speaker, emotion: index in `speakers`, in `EMOTIONS` (-1 where unknown).
        clip, begin: of the version of the recording, and the item's first frame in it.

    Each recording has versions, one after the other: version v of C recordings' number n is clip
    v C + n. All but the first have augmented audio: noise, echo, colour and level change, the voice
    and its timing do not. Audio is augmented when it is asked for, always in the same way.

    Args:
        recordings: in memory, or on disk; then memory does not grow with their number.
        frames: T.
        noise_dim: Z.
        item_count: of an epoch; by default each frame is seen about once.
        use_all_frames: whether to take items and reference images of frames without a face, too.
        num_augmentations: versions of each recording.
        seed: of their audio.
        reference_images: whether items have one, which takes reading another clip.
        features: name of the speech that content is encoded from.
        lip_clips: other speech with lips.
        kept_bytes: limit of the log-mels and landmarks that stay in memory once they are made, in
            each process that loads.
        workers: processes that compute the statistics of recordings on disk; 0: this one.

    Attributes:
        speakers: of the recordings, by name.
        speaker_C, emotion_C: index in `speakers` and `EMOTIONS` of each recording, or -1.
        statistics: of all versions.
        use_all_frames: as given, or since there are hardly any frames with a face.

    Raises:
        DataError: no recordings.
    """

    def __init__(
        self,
        recordings: Sequence[FaceRecording] | StoredRecordings,
        *,
        frames: int = 25,
        noise_dim: int = 16,
        item_count: int | None = None,
        use_all_frames: bool = False,
        num_augmentations: int = 1,
        seed: int = 0,
        reference_images: bool = True,
        features: str = MEL,
        lip_clips: LipClips | None = None,
        kept_bytes: int = 1 << 29,
        workers: int = 0,
    ) -> None:
        if not len(recordings):
            raise DataError("no recordings of faces; at least one is needed")
        self.recordings: Sequence[FaceRecording | StoredRecording] = recordings
        self.frames, self.noise_dim = frames, noise_dim
        self.num_augmentations, self.seed = num_augmentations, seed
        self.reference_images = reference_images
        self.features, self.lip_clips = features, lip_clips
        self.size = recordings[0].frames_T3HW.shape[-1]
        columns = recordings if isinstance(recordings, StoredRecordings) else _Columns(recordings)
        self.speakers, self.speaker_C = columns.speakers, columns.speaker_C
        self.emotion_C, self._frames_C = columns.emotion_C, columns.frames_C
        self.use_all_frames = use_all_frames
        self._run_R3 = _whole_runs(self._frames_C) if use_all_frames else columns.run_R3
        if not len(self._run_R3):
            note(f"no clip has {MIN_RUN} frames in a row with a face: all frames are trained on")
            self.use_all_frames, self._run_R3 = True, _whole_runs(self._frames_C)
        run_lengths = self._run_R3[:, 2] - self._run_R3[:, 1]
        self._place_ends = np.maximum(run_lengths - frames, 0).astype(np.int64).cumsum()
        self._place_ends += np.arange(1, len(run_lengths) + 1)
        total, used = int(self._frames_C.sum(dtype=np.int64)), int(run_lengths.sum(dtype=np.int64))
        note_left_out(total - used, total)
        shown_once = max(num_augmentations * used // frames, 1)
        self._items = shown_once if item_count is None else item_count
        order = np.argsort(self.speaker_C, kind="stable")
        ends_P = self.speaker_C[order].searchsorted(np.arange(-1, len(self.speakers)), "right")
        self._by_speaker, self._speaker_ends = order, ends_P
        self._kept = MemoryCache(kept_bytes)
        self.statistics = self._statistics(workers)

    def __len__(self) -> int:
        """The number of items in an epoch."""
        return self._items

    def __getitem__(self, item: SampleIndex) -> dict[str, Tensor]:
        """Return an item; raises `DataError` where a clip on disk cannot be read."""
        rng = item.rng()
        places = int(self._place_ends[-1])
        version, place = divmod(int(rng.integers(self.num_augmentations * places)), places)
        number = int(np.searchsorted(self._place_ends, place, side="right"))
        index, run_begin, run_end = self._run_R3[number].tolist()
        begin = run_begin + place - (int(self._place_ends[number - 1]) if number else 0)
        clip, recording = version * len(self.recordings) + index, self.recordings[index]
        numbers = np.arange(begin, begin + self.frames)
        inside = numbers.clip(max=run_end - 1)
        present_T = numbers < run_end
        log_mel_BN, track = self.log_mels(clip), self._track(index)
        mel_BN = mel.normalise_utterance(log_mel_BN)
        stats = self.statistics.mel_mean_B, self.statistics.mel_std_B
        mel_BL = self._columns(mel_BN, begin)
        shifted_BL = self._columns(mel_BN, self._shifted_begin(index, begin, rng))
        voice_BL = mel.normalise_global(self._columns(log_mel_BN, begin), *stats)
        content_rng = np.random.default_rng((item.seed, 2))
        lips_TL = self.lips[index][inside]
        seen_T = np.isfinite(lips_TL).all(1) & present_T
        points_TK2 = track.points_TK2[inside]
        arrays = {
            "mel": mel_BL,
            "shifted_mel": shifted_BL,
            "voice": voice_BL,
            "frames": recording.frames_T3HW[inside],
            "mouth_boxes": part_boxes(points_TK2, self.size, MOUTH),
            "eye_boxes": part_boxes(points_TK2, self.size, EYES),
            "present": present_T.astype(np.float32),
            "motion": self.motions[index][inside].astype(np.float32),
            "lips": np.where(seen_T[:, None], lips_TL, 0).astype(np.float32),
            "lips_seen": seen_T.astype(np.float32),
            "noise": SmoothNoise(self.noise_dim, seed=item.seed).next(NOISE_WARM_UP + self.frames),
            "masked_voice": spec_augment(voice_BL, np.random.default_rng((item.seed, 1))),
        }
        arrays["speech"] = self._augmented_speech(clip, mel_BL, numbers, content_rng)
        if self.lip_clips is not None:
            sampled = self.lip_clips.sample(np.random.default_rng((item.seed, 3)), LIP_FRAMES)
            arrays["other_speech"], arrays["other_lips"] = sampled
        if self.reference_images:
            arrays["reference_image"] = self._reference_image(clip, rng)
        tensors = {
            "speaker": torch.tensor(int(self.speaker_C[index])),
            "emotion": torch.tensor(int(self.emotion_C[index])),
            "clip": torch.tensor(clip),
            "begin": torch.tensor(begin),
        }
        for name, array in arrays.items():
            tensors[name] = torch.from_numpy(np.ascontiguousarray(array))
        return tensors

    @property
    def emotions(self) -> set[str]:
        """The emotions that the recordings are labelled with."""
        return {EMOTIONS[number] for number in np.unique(self.emotion_C) if number >= 0}

    @property
    def motions(self) -> "Each":
        """The motion (T, 7) of each recording, see `MOTION`."""
        return Each(len(self.recordings), self._motion)

    @property
    def lips(self) -> "Each":
        """The lips (T, 4) of each recording, see `LIPS`, standardised; NaN without landmarks."""
        return Each(len(self.recordings), lambda n: self._track(n).lips_TL / self._lips_std_L)

    def clips_of(self, speaker: int) -> np.ndarray:
        """Return the numbers of a speaker's recordings, in order; -1 is the unknown speakers'."""
        begin = self._speaker_ends[speaker] if speaker >= 0 else 0
        return self._by_speaker[begin : self._speaker_ends[speaker + 1]]

    def good_rows(self, index: int) -> np.ndarray:
        """Return the numbers of a recording's frames with a face, or of all if all are used."""
        points_TK2 = self._track(index).points_TK2
        mask_T = None if self.use_all_frames else faceless_frames(points_TK2)
        return np.arange(len(points_TK2)) if mask_T is None else np.flatnonzero(~mask_T)

    def log_mels(self, clip: int) -> np.ndarray:
        """Return the log-mels (80, 4 T) of a version of a recording."""
        version, index = divmod(clip, len(self.recordings))
        task = _SpeechTask(self.recordings[index], index, version, self.seed)
        return self._kept.get(("mel", clip), MEL_BYTES * int(self._frames_C[index]), task.log_mels)

    def speech_features(self, clip: int, kind: str) -> np.ndarray:
        """Return features (T, F) float16 of a version of a recording, of one kind."""
        version, index = divmod(clip, len(self.recordings))
        task = _SpeechTask(self.recordings[index], index, version, self.seed)
        size = 2 * feature_set(kind).size * int(self._frames_C[index])
        return self._kept.get((kind, clip), size, lambda: task.features(kind))

    def speech_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation (F,) of the speech, of some recordings if there are many."""
        count = len(self.recordings)
        chosen = np.unique(np.linspace(0, count - 1, SAMPLED_SPEECH).round().astype(int))
        speech = [self._speech(int(number), self.mel(int(number))) for number in chosen]
        speech_NF = np.concatenate(speech).astype(np.float64)
        std_F = speech_NF.std(0).clip(min=min_deviations(self.features))
        return speech_NF.mean(0).astype(np.float32), std_F.astype(np.float32)

    def _speech(self, clip: int, mel_BL: np.ndarray, frames: Any = slice(None)) -> np.ndarray:
        """Return the speech (n, F) of frames of a version of a recording, given their mels."""
        parts = []
        for part in speech_parts(self.features):
            if part == MEL:
                parts.append(mel_frames(mel_BL))
            else:
                parts.append(self.speech_features(clip, part)[frames].astype(np.float32))
        return np.concatenate(parts, 1)

    def _augmented_speech(
        self, clip: int, mel_BL: np.ndarray, frames: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        mel_BL = augment_mels(mel_BL, rng, droppable=self.features != MEL)
        last = int(self._frames_C[clip % len(self.recordings)]) - 1
        return self._speech(clip, mel_BL, frames.clip(max=last))

    def mel(self, clip: int) -> np.ndarray:
        """Return the log-mels (80, 4 T) of a version of a recording, normalised over it."""
        return mel.normalise_utterance(self.log_mels(clip))

    def motion_statistics(self) -> dict[str, Tensor]:
        """Return mean, std, lowest and highest (7,) of the clips' motion."""
        found = self.statistics._asdict()
        names = "mean", "std", "lowest", "highest"
        return {name: torch.from_numpy(found[f"motion_{name}_M"]) for name in names}

    def _track(self, index: int) -> FaceTrack:
        recording = self.recordings[index]
        size = TRACK_BYTES * len(recording)
        return self._kept.get(("track", index), size, lambda: _track_of(recording, self.size))

    def _motion(self, index: int) -> np.ndarray:
        speaker, motion_TM = int(self.speaker_C[index]), self._track(index).motion_TM
        known = speaker >= 0
        turn_2 = self.statistics.turn_P2[speaker] if known else median_turn([motion_TM])
        return relative_motion(motion_TM, turn_2)

    @property
    def _lips_std_L(self) -> np.ndarray:
        return self.statistics.lips_std_L

    def _columns(self, mel_BN: np.ndarray, begin: int) -> np.ndarray:
        columns = np.arange(mel.HOPS_PER_FRAME * self.frames) + mel.HOPS_PER_FRAME * begin
        return mel_BN[:, columns.clip(0, mel_BN.shape[1] - 1)]

    def _shifted_begin(self, index: int, begin: int, rng: np.random.Generator) -> int:
        """Return where out-of-sync speech begins; inside the clip if possible."""
        shortest, longest = SYNC_SHIFTS
        shift = int(rng.integers(shortest, longest + 1))
        sign = 1 if rng.random() < 0.5 else -1
        last = max(int(self._frames_C[index]) - self.frames, 0)
        offsets = sign * shift, -sign * shift, -sign * shortest
        inside = [begin + offset for offset in offsets if 0 <= begin + offset <= last]
        return (inside or [begin + (shortest if last - begin >= begin else -shortest)])[0]

    def _reference_image(self, clip: int, rng: np.random.Generator) -> np.ndarray:
        version, index = divmod(clip, len(self.recordings))
        speaker = int(self.speaker_C[index])
        # whether another clip is of the same person is unknown
        own = self.clips_of(speaker) if speaker >= 0 else np.array([index])
        place = version * len(own) + int(own.searchsorted(index))
        others = self.num_augmentations * len(own) - 1
        drawn = int(rng.integers(max(others, 1)))
        number = int(own[(drawn + (drawn >= place)) % len(own)])
        rows = self.good_rows(number)
        return self.recordings[number].frames_T3HW[int(rows[int(rng.integers(len(rows)))])]

    def _statistics(self, workers: int) -> FaceStatistics:
        if not isinstance(self.recordings, StoredRecordings):
            return self._compute_statistics(0)
        bands, motion, lips = (mel.N_MELS,), (len(MOTION),), (len(LIPS),)
        shapes = (bands, bands, (len(self.speakers), 2), motion, motion, motion, motion, lips)
        found = self.recordings.cached(
            "statistics",
            (self.num_augmentations, self.seed if self.num_augmentations > 1 else 0),
            dict(zip(FaceStatistics._fields, shapes, strict=True)),
            lambda: self._compute_statistics(workers)._asdict(),
        )
        return FaceStatistics(**found)

    def _compute_statistics(self, workers: int) -> FaceStatistics:
        """Compute the statistics in bounded memory, of some clips where there are very many."""
        count, versions = len(self.recordings), self.num_augmentations
        workers = workers if versions * count >= MANY else 0
        total = int(self._frames_C.sum(dtype=np.int64))
        step = every_nth(versions * total, SAMPLED_MEL_FRAMES)
        tasks = (
            _SpeechTask(_elsewhere(self.recordings[index]), index, version, self.seed)
            for version, index in product(range(versions), range(count))
            if (version * count + index) % step == 0
        )
        log_mels = iterate_tasks(_start_log_mels, tasks, jobs=workers)
        mel_mean_B, mel_std_B = column_statistics(log_mels)
        step = every_nth(total, SAMPLED_FRAMES)
        every = (self.clips_of(speaker)[::step] for speaker in range(-1, len(self.speakers)))
        chosen = np.sort(np.concatenate(list(every)))
        found = iterate_tasks(
            _start_tracks,
            ((_elsewhere(self.recordings[int(n)]), self.size) for n in chosen),
            jobs=workers,
        )
        motions, lips = zip(*((track.motion_TM, track.lips_TL) for track in found), strict=True)
        motion_NM, turn_P2 = self._relative_motions(chosen, motions)
        seen_NL = np.concatenate([lips_TL[np.isfinite(lips_TL).all(1)] for lips_TL in lips])
        lips_std_L = np.ones(len(LIPS), np.float32)
        if len(seen_NL):
            lips_std_L = row_statistics(seen_NL, versions)[1].clip(min=MIN_STD)
        mean_M, std_M = row_statistics(motion_NM, versions)
        lowest_M, highest_M = (
            repeated_quantile(motion_NM, quantile, versions)
            for quantile in (EXTREME_QUANTILE, 1 - EXTREME_QUANTILE)
        )
        return FaceStatistics(
            mel_mean_B,
            mel_std_B.clip(min=mel.MIN_DEVIATION),
            turn_P2,
            mean_M,
            std_M.clip(min=MIN_STD * 0.1),
            lowest_M.astype(np.float32),
            highest_M.astype(np.float32),
            lips_std_L,
        )

    def _relative_motions(
        self, chosen: np.ndarray, motions: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the relative motion of chosen clips in a row, and each speaker's median turn."""
        own: dict[int, list[np.ndarray]] = {}
        for speaker, motion_TM in zip(self.speaker_C[chosen].tolist(), motions, strict=True):
            own.setdefault(speaker, []).append(motion_TM)
        turns = [median_turn(own[speaker]) for speaker in range(len(self.speakers))]
        turn_P2 = np.array(turns, np.float32).reshape(-1, 2)
        relative = [
            relative_motion(motion_TM, turn_P2[p] if p >= 0 else median_turn([motion_TM]))
            for p, motion_TM in zip(self.speaker_C[chosen], motions, strict=True)
        ]
        return np.concatenate(relative), turn_P2


class Each(Sequence[np.ndarray]):
    """An array of each recording, which is made when it is asked for."""

    def __init__(self, count: int, make: Callable[[int], np.ndarray]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        """The number of recordings."""
        return self._count

    def __getitem__(self, number: Any) -> Any:
        """Return the array of a recording."""
        if not 0 <= number < self._count:
            raise IndexError(number)
        return self._make(number)


class _Columns:
    """What `StoredRecordings` knows of its clips, of recordings in memory."""

    def __init__(self, recordings: Sequence[FaceRecording]) -> None:
        self.speakers = tuple(sorted({one.speaker for one in recordings} - {""}))
        places = {name: place for place, name in enumerate(self.speakers)}
        self.speaker_C = np.array([places.get(one.speaker, -1) for one in recordings])
        emotions = [EMOTIONS.index(one.emotion) if one.emotion else -1 for one in recordings]
        self.emotion_C = np.array(emotions)
        self.frames_C = np.array([len(one) for one in recordings])
        self.run_R3 = np.array(
            [
                (number, run.start, run.stop)
                for number, one in enumerate(recordings)
                for run in face_runs(one.points_TK2)
            ]
        ).reshape(-1, 3)


def _whole_runs(frames_C: np.ndarray) -> np.ndarray:
    return np.column_stack((np.arange(len(frames_C)), np.zeros_like(frames_C), frames_C))


class _SpeechTask(NamedTuple):
    """The speech of a version of a recording."""

    recording: FaceRecording | StoredRecording
    number: int
    version: int
    seed: int

    def log_mels(self) -> np.ndarray:
        return mel.log_mels(self._audio())

    def features(self, kind: str) -> np.ndarray:
        return speech_features(self._audio(), kind).astype(np.float16)

    def _audio(self) -> np.ndarray:
        audio_S = self.recording.audio_S
        if self.version:
            rng = np.random.default_rng((self.seed, self.number, self.version))
            audio_S = AUGMENTATION.augment(audio_S, rng)
        return audio_S


def _start_log_mels() -> Callable[[_SpeechTask, Progress], np.ndarray]:
    return lambda task, _: task.log_mels()


def _start_tracks() -> Callable[[tuple[Any, int], Progress], FaceTrack]:
    return lambda task, _: _track_of(*task)


def _track_of(recording: FaceRecording | StoredRecording, size: int) -> FaceTrack:
    points_TK2 = recording.points_TK2
    return FaceTrack(points_TK2, head_motion(points_TK2, size), lip_shapes(points_TK2))


def _elsewhere(recording: FaceRecording | StoredRecording) -> FaceRecording | StoredRecording:
    """Return a recording as other processes take it."""
    return recording.elsewhere() if isinstance(recording, StoredRecording) else recording


def part_boxes(points_TK2: np.ndarray, size: int, part: FacePart) -> np.ndarray:
    """Return boxes (T, 4) float32, x0 y0 x1 y1 in pixels, around a part of the face.

    All have one size and lie inside the image of `size` pixels. Without landmarks of a frame the
    box is at the clip's median, without any at the part's usual place.
    """
    centre_T2 = points_TK2[:, list(part.landmarks)].mean(1)
    seen_T = np.isfinite(centre_T2).all(1)
    median_2 = np.median(centre_T2[seen_T], 0) if seen_T.any() else np.array(part.centre) * size
    half_2 = np.array(part.sides) * size / 2
    centre_T2 = np.where(seen_T[:, None], centre_T2, median_2).clip(half_2, size - half_2)
    return np.concatenate((centre_T2 - half_2, centre_T2 + half_2), 1).astype(np.float32)


def head_motion(points_TK2: np.ndarray, size: int) -> np.ndarray:
    """Return head and lids (T, 7) float32, see `MOTION`, of landmarks (T, 68, 2) in pixels.

    Turn and nod are absolute; `relative_motion` follows. Frames without landmarks take
    their neighbours' values, clips without any NaN.
    """
    seen = np.flatnonzero(np.isfinite(points_TK2).all((1, 2)))
    if not len(seen):
        return np.full((len(points_TK2), len(MOTION)), np.nan, np.float32)
    frames_T = np.arange(len(points_TK2))
    after_T = seen.searchsorted(frames_T).clip(max=len(seen) - 1)
    before_T = (after_T - 1).clip(min=0)
    nearer_T = np.abs(frames_T - seen[before_T]) <= np.abs(seen[after_T] - frames_T)
    nearest_T = seen[np.where(nearer_T, before_T, after_T)]
    points = points_TK2[nearest_T].astype(np.float64)
    right_T2, left_T2 = (points[:, pair].mean(1) for pair in EYE_CORNERS)
    middle_T2, across_T2 = (right_T2 + left_T2) / 2, left_T2 - right_T2
    distance_T = np.hypot(*across_T2.T)
    roll_T = np.arctan2(across_T2[:, 1], across_T2[:, 0])
    cos_T, sin_T = np.cos(roll_T), np.sin(roll_T)
    x_T, y_T = (points[:, NOSE_TIP] - middle_T2).T
    nose_2T = np.stack((cos_T * x_T + sin_T * y_T, cos_T * y_T - sin_T * x_T)) / distance_T
    open_T = sum(pair_distance(points, pair) for pair in LIDS) / distance_T
    zoom_T = np.log(distance_T / (EYE_DISTANCE * size))
    motion_TM = np.column_stack((middle_T2 / size, roll_T, zoom_T, *nose_2T, open_T))
    median_M = np.median(motion_TM, 0)
    motion_TM[:, PER_CLIP] -= median_M[PER_CLIP]
    motion_TM[:, -1] = motion_TM[:, -1] / max(median_M[-1], 1e-6) - 1
    return motion_TM.astype(np.float32)


def median_turn(motions: Iterable[np.ndarray]) -> np.ndarray:
    """Return the median turn and nod (2,) of a speaker's clips' motion (T, 7); 0 where unknown.

    A head may be turned all through a clip, so that the clip's own median means nothing.
    """
    own_NM = np.concatenate(list(motions))
    seen_NM = own_NM[np.isfinite(own_NM).all(1)]
    return np.median(seen_NM[:, PER_SPEAKER], 0) if len(seen_NM) else np.zeros(2, np.float32)


def relative_motion(motion_TM: np.ndarray, turn_2: np.ndarray) -> np.ndarray:
    """Return motion (T, 7) with turn and nod relative to a median; unknown motion becomes 0."""
    median_M = np.zeros(len(MOTION), np.float32)
    median_M[PER_SPEAKER] = turn_2
    return np.nan_to_num(motion_TM - median_M)
