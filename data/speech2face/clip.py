"""Clips of faces: their folders, their alignment, their content in memory, and train/test splits.

video.mp4 is square and aligned: one similarity transform per clip, which keeps the head's motion,
puts the median of the eyes' midpoint at `EYES_AT`, and the eyes `EYE_DISTANCE` apart.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from speech2video.data.clip import ClipFolder, join_names
from speech2video.data.splits import good_runs
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.errors import DataError
from speech2video.util.files import read_npz, write_npz
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME
from speech2video.util.video.reader import read_frames

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
LANDMARKS = 68  # iBUG 300-W's (Sagonas et al. 2013)
EYES_AT = (0.5, 0.38)  # of the image's width and height
EYE_DISTANCE = 0.30  # of the image's width: chins stay inside as mouths open
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)  # of the landmarks; the person's own sides
# Of a mouth, relative to its rest, in eye distances.
LIPS = ("gap", "height", "width", "chin")
EYE_CORNERS = ((36, 39), (42, 45))  # of the right and left eye: blinks do not move them
INNER_LIPS = ((61, 67), (62, 66), (63, 65))
LIP_PAIRS = ((51, 57), (54, 48), (33, 8))  # upper and lower lip, the corners, nose and chin
REST_QUANTILE = 0.1  # of a clip's mouth shapes: the closed mouth
HELD_OUT_SHARE = 0.2  # of a speaker's sentences, where none are named
MIN_RUN = 15  # frames between two without a face that items are taken of


@dataclass(frozen=True)
class FaceInfo:
    """Content of face.json.

    Attributes:
        source: file name of the recording.
        frames: their number, at 25 fps; the audio has 640 samples for each.
        size: height and width of the frames, pixels.
        speaker: name of the person, "" where unknown.
        emotion: one of `EMOTIONS`, "" where unknown.
        sentence: a name that identifies the sentence, "" where unknown.
        notes: remarks for the user: damage, frames without a face, audio cut or padded.
    """

    source: str
    frames: int
    size: int
    speaker: str
    emotion: str = ""
    sentence: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FaceClip(ClipFolder[FaceInfo]):
    """A clip of a person's face."""

    INFO_TYPE = FaceInfo
    INFO_FILE = "face.json"
    KIND = "face clip"
    MADE_BY = "scripts/preprocess.py --faces or scripts/make_demo_faces.py"

    @property
    def landmarks(self) -> Path:
        """points_TK2 (T, 68, 2) float32: iBUG's order, pixels from the corner, NaN: not found."""
        return self.folder / "landmarks.npz"

    def info(self) -> FaceInfo:
        """Return the clip's description; raises `DataError` if it is missing or broken."""
        info = super().info()
        if info.emotion not in ("", *EMOTIONS):
            known = ", ".join(EMOTIONS)
            raise DataError(f"{self.json}: emotion {info.emotion!r}; known are {known}")
        return info

    def points(self) -> np.ndarray:
        """Return the landmarks (T, 68, 2) float32; raises `DataError` if missing or broken."""
        arrays = read_npz(self.landmarks, what="a file of landmarks")
        points_TK2 = arrays.get("points_TK2", np.empty(0))
        if points_TK2.shape[1:] != (LANDMARKS, 2) or points_TK2.dtype.kind != "f":
            found = f"points_TK2 is {points_TK2.dtype} {points_TK2.shape}"
            raise DataError(f"{self.landmarks}: {found}; floats (T, {LANDMARKS}, 2) are needed")
        return points_TK2.astype(np.float32)

    def write_points(self, points_TK2: np.ndarray) -> None:
        """Write the landmarks (T, 68, 2), pixels of the frames."""
        write_npz(self.landmarks, {"points_TK2": points_TK2.astype(np.float32)})


def eye_centres(points_TK2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres (T, 2) of the right and of the left eye, of landmarks (T, 68, 2)."""
    return points_TK2[:, RIGHT_EYE].mean(1), points_TK2[:, LEFT_EYE].mean(1)


def alignment_transform(points_TK2: np.ndarray, size: int) -> np.ndarray:
    """Return the similarity (2, 3) from a recording's pixels to those of the aligned clip.

    Pixels count from the images' corners, as everywhere; a pixel's centre is at a half.

    Args:
        points_TK2: landmarks (T, 68, 2) in the recording; NaN where not found.
        size: of the clip's frames, pixels.

    Raises:
        DataError: no frame with both eyes, or eyes that coincide.
    """
    right_T2, left_T2 = eye_centres(points_TK2)
    seen_T = np.isfinite(right_T2).all(1) & np.isfinite(left_T2).all(1)
    if not seen_T.any():
        raise DataError("no frame with both eyes found; a frontal face is needed")
    right_2, left_2 = np.median(right_T2[seen_T], 0), np.median(left_T2[seen_T], 0)
    across_2 = left_2 - right_2
    length = float(np.hypot(*across_2))
    if not length > 0:
        raise DataError("both eyes at one place; a frontal face is needed")
    cos, sin = across_2 / length * (EYE_DISTANCE * size / length)
    rotation_22 = np.array([[cos, sin], [-sin, cos]])
    middle_2 = rotation_22 @ ((right_2 + left_2) / 2)
    return np.column_stack((rotation_22, np.array(EYES_AT) * size - middle_2))


def transform_points(points: np.ndarray, transform_23: np.ndarray) -> np.ndarray:
    """Return points (..., 2) under an affine transform (2, 3)."""
    return points @ transform_23[:, :2].T + transform_23[:, 2]


@dataclass(frozen=True, eq=False)
class FaceRecording:
    """A face clip in memory.

    Attributes:
        name: of the clip.
        speaker: name of the person, or "".
        emotion: one of `EMOTIONS`, or "".
        sentence: name of the sentence; the clip's where unknown.
        frames_T3HW: uint8 RGB.
        audio_S: float32 at 16 kHz, 640 samples a frame.
        points_TK2: iBUG landmarks (T, 68, 2) float32, pixels of the frames, NaN: not found.
    """

    name: str
    speaker: str
    emotion: str
    sentence: str
    frames_T3HW: np.ndarray
    audio_S: np.ndarray
    points_TK2: np.ndarray

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.frames_T3HW)

    @property
    def bad_T(self) -> np.ndarray | None:
        """Mask (T,) of frames without a face; see `faceless_frames`."""
        return faceless_frames(self.points_TK2)

    def part(self, begin: int, end: int) -> "FaceRecording":
        """Return frames `begin` to `end` with their audio, as a recording of its own."""
        return replace(
            self,
            frames_T3HW=self.frames_T3HW[begin:end],
            audio_S=self.audio_S[SAMPLES_PER_FRAME * begin : SAMPLES_PER_FRAME * end],
            points_TK2=self.points_TK2[begin:end],
        )


def faceless_frames(points_TK2: np.ndarray) -> np.ndarray | None:
    """Return the mask (T,) of frames without a face; None where all have one, or none has."""
    found_T = np.asarray(np.isfinite(points_TK2).all((1, 2)))
    return None if found_T.all() or not found_T.any() else ~found_T


def face_runs(points_TK2: np.ndarray) -> list[slice]:
    """Return the runs of at least `MIN_RUN` frames with a face; all frames if none is without."""
    return good_runs(faceless_frames(points_TK2), len(points_TK2), shortest=MIN_RUN)


def load_face_recordings(dataset: Path, *, size: int) -> list[FaceRecording]:
    """Return a data set's clips, frames of `size` pixels, in name order.

    Raises:
        DataError: no clips, or one whose parts are missing, broken or of different lengths.
    """
    return [load_face_recording(clip, size=size) for clip in FaceClip.find_all(Path(dataset))]


def load_face_recording(clip: FaceClip, *, size: int, frames: int | None = None) -> FaceRecording:
    """Return one clip, or so many of its frames, `size` pixels large; raises `DataError`."""
    info = clip.info()
    frames_T3HW = _load_frames(clip, info, size, frames)
    audio_S, points_TK2 = load_clip_audio(clip, info.frames), load_clip_points(clip, info, size)
    name = clip.folder.name
    labels = info.speaker, info.emotion, info.sentence or name
    whole = FaceRecording(name, *labels, frames_T3HW, audio_S, points_TK2)
    return whole if frames is None else whole.part(0, frames)


def load_clip_audio(clip: FaceClip, frames: int) -> np.ndarray:
    """Return a clip's audio (640 `frames`,); raises `DataError`."""
    audio_S = load_audio(clip.audio)
    check_samples(clip, len(audio_S), frames)
    return audio_S


def check_samples(clip: FaceClip, samples: int, frames: int) -> None:
    """Raise `DataError` unless the audio has 640 samples for each frame."""
    if samples != SAMPLES_PER_FRAME * frames:
        needed = f"{SAMPLES_PER_FRAME * frames} for {frames} frames are needed"
        raise DataError(f"{clip.audio}: {samples} samples; {needed}")


def load_clip_points(clip: FaceClip, info: FaceInfo, size: int) -> np.ndarray:
    """Return a clip's landmarks (T, 68, 2) in frames of `size` pixels; raises `DataError`."""
    points_TK2 = clip.points()
    if len(points_TK2) != info.frames:
        raise DataError(f"{clip.landmarks}: {len(points_TK2)} frames; {info.frames} are needed")
    return points_TK2 * np.float32(size / info.size)


def check_video_size(clip: FaceClip, info: FaceInfo, width: int, height: int) -> None:
    """Raise `DataError` unless the video has the size that the clip's description says."""
    if (width, height) != (info.size, info.size):
        found = f"{width} × {height} pixels"
        raise DataError(f"{clip.video}: {found}; face.json says {info.size} × {info.size}")


def check_video_frames(clip: FaceClip, info: FaceInfo, count: int) -> None:
    """Raise `DataError` unless the video has as many frames as the clip's description says."""
    if count != info.frames:
        raise DataError(f"{clip.video}: {count} frames; face.json says {info.frames}")


def lip_shapes(points_TK2: np.ndarray) -> np.ndarray:
    """Return lips (T, 4) float32, see `LIPS`, of landmarks (T, 68, 2); NaN without landmarks."""
    right_T2, left_T2 = (points_TK2[:, pair].mean(1) for pair in EYE_CORNERS)
    distance_T = np.hypot(*(left_T2 - right_T2).T)
    gap_T = np.mean([pair_distance(points_TK2, pair) for pair in INNER_LIPS], 0)
    shapes_TL = np.column_stack((gap_T, *(pair_distance(points_TK2, pair) for pair in LIP_PAIRS)))
    shapes_TL /= distance_T[:, None]
    seen_T = np.isfinite(shapes_TL).all(1)
    if not seen_T.any():
        return np.full((len(points_TK2), len(LIPS)), np.nan, np.float32)
    rest_L = np.quantile(shapes_TL[seen_T], REST_QUANTILE, 0)
    rest_L[LIPS.index("width")] = np.median(shapes_TL[seen_T, LIPS.index("width")])
    return np.where(seen_T[:, None], shapes_TL - rest_L, np.nan).astype(np.float32)


def pair_distance(points_TK2: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    """Return the distance (T,) of two landmarks."""
    return np.hypot(*(points_TK2[:, pair[0]] - points_TK2[:, pair[1]]).T)


def _load_frames(clip: FaceClip, info: FaceInfo, size: int, count: int | None) -> np.ndarray:
    """Return the video's frames (T, 3, size, size), the first ones if a number is given."""
    method = cv2.INTER_AREA if size < info.size else cv2.INTER_CUBIC
    frames = []
    for frame in islice(read_frames(clip.video, fps=FPS), count):
        check_video_size(clip, info, frame.shape[2], frame.shape[1])
        if info.size != size:
            image_HW3 = np.ascontiguousarray(frame.transpose(1, 2, 0))
            frame = cv2.resize(image_HW3, (size, size), interpolation=method).transpose(2, 0, 1)
        frames.append(frame)
    if count is None:
        check_video_frames(clip, info, len(frames))
    return np.stack(frames)


class FaceSplit(NamedTuple):
    """Recordings to train on, and to evaluate on.

    `observed` are other sentences of the training speakers, `unseen` are other speakers.
    """

    training: list[FaceRecording]
    observed: list[FaceRecording]
    unseen: list[FaceRecording]


def split_faces(
    recordings: Sequence[FaceRecording],
    *,
    held_out_sentences: Sequence[str] = (),
    held_out_speakers: Sequence[str] = (),
) -> FaceSplit:
    """Return recordings split by sentence and speaker; arguments and errors of `split_numbers`."""
    found = split_numbers(
        [one.speaker for one in recordings],
        [one.sentence for one in recordings],
        held_out_sentences=held_out_sentences,
        held_out_speakers=held_out_speakers,
    )
    return FaceSplit(*([recordings[number] for number in numbers] for numbers in found))


def split_numbers(
    speakers: Sequence[str],
    sentences: Sequence[str],
    *,
    held_out_sentences: Sequence[str] = (),
    held_out_speakers: Sequence[str] = (),
) -> tuple[list[int], list[int], list[int]]:
    """Return the numbers of the clips to train on, and of the observed and the unseen ones.

    Args:
        speakers, sentences: of each clip; clips of unknown speakers, "", are trained on.
        held_out_sentences: of all speakers. Without names, the last fifth of each speaker's
            sentences in name order is held out, at least one of two and more.
        held_out_speakers: with all their clips.

    Raises:
        DataError: an unknown name, or nothing left on either side.
    """
    spoken: dict[str, set[str]] = defaultdict(set)
    for speaker, sentence in zip(speakers, sentences, strict=True):
        spoken[speaker].add(sentence)
    known = set().union(*spoken.values()), set(spoken) - {""}
    for kind, names, there in zip(
        ("sentence", "speaker"), (held_out_sentences, held_out_speakers), known, strict=True
    ):
        if unknown := sorted(set(names) - there):
            option = f"--held_out_{kind}s {unknown[0]}"
            raise DataError(f"{option}: no such {kind}; there are {join_names(sorted(there))}")
    held_out = {"": set[str]()}
    for speaker in known[1]:
        own = sorted(spoken[speaker])
        last = max(1, int(HELD_OUT_SHARE * len(own))) if len(own) > 1 else 0
        held_out[speaker] = set(held_out_sentences or own[len(own) - last :])
    training: list[int] = []
    observed: list[int] = []
    unseen: list[int] = []
    for number, (speaker, sentence) in enumerate(zip(speakers, sentences, strict=True)):
        if speaker in held_out_speakers:
            unseen.append(number)
        else:
            (observed if sentence in held_out[speaker] else training).append(number)
    trained = {speakers[number] for number in training}
    lost = sorted({speakers[number] for number in observed} - trained)
    count = len(speakers)
    if not training or lost:
        of_speaker = f" of {lost[0]}" if lost and training else ""
        raise DataError(f"nothing{of_speaker} left to train on of {count} recordings of faces")
    if not observed and not unseen:
        found = f"{count} recordings, one sentence a speaker"
        raise DataError(f"nothing held out to evaluate on: {found}")
    return training, observed, unseen
