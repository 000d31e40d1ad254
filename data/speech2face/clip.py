"""One clip of a face on disk: what its folder holds, and under which names.

video.mp4 is square and steady: one similarity transform a clip, so that head motion remains, puts
the eyes' middle at `EYES_AT` and the eyes `EYE_DISTANCE` apart, as medians over time. A clip's
folder appears whole or not at all.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from speech2video.util.audio.audio_io import load_audio
from speech2video.util.errors import DataError
from speech2video.util.files import atomic_write, read_json, typed_fields, write_errors
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME
from speech2video.util.video.reader import read_frames

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
LANDMARKS = 68  # iBUG 300-W's (Sagonas et al. 2013)
EYES_AT = (0.5, 0.38)  # of the picture's width and height: the middle between the eyes
EYE_DISTANCE = 0.30  # of the picture's width: chins stay inside as mouths open
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)  # of the landmarks; the person's own sides


@dataclass(frozen=True)
class FaceInfo:
    """What face.json says.

    Attributes:
        source: file name of the recording.
        frames: how many, at 25 a second; the sound has 640 samples for each.
        size: height and width of the picture, pixels.
        speaker: who speaks.
        emotion: one of `EMOTIONS`, "" where it is not known.
        sentence: what is said, by any name that tells sentences apart; "" where it is not known.
        notes: what a person should know: damage, frames without a face, sound cut or padded.
    """

    source: str
    frames: int
    size: int
    speaker: str
    emotion: str = ""
    sentence: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FaceClip:
    """A face clip's folder. Each property is where the clip keeps that part."""

    folder: Path

    @property
    def json(self) -> Path:
        """What the clip is: `FaceInfo`."""
        return self.folder / "face.json"

    @property
    def video(self) -> Path:
        """The picture, square, at 25 frames a second, H.264."""
        return self.folder / "video.mp4"

    @property
    def audio(self) -> Path:
        """The sound: 16 kHz mono PCM, 640 samples a frame."""
        return self.folder / "audio.wav"

    @property
    def landmarks(self) -> Path:
        """points_TK2 (T, 68, 2) float32: iBUG's order, pixels from the corner, NaN: not found."""
        return self.folder / "landmarks.npz"

    def info(self) -> FaceInfo:
        """Return what face.json says; raises `DataError` if it is missing or broken."""
        row = read_json(self.json, what="a face clip's folder")
        info = FaceInfo(**typed_fields(row, FaceInfo, where=str(self.json)))
        if info.emotion not in ("", *EMOTIONS):
            known = ", ".join(EMOTIONS)
            raise DataError(f"{self.json}: emotion {info.emotion!r}; known are {known}")
        return info

    def write_info(self, info: FaceInfo) -> None:
        """Write face.json."""
        text = json.dumps(asdict(info), indent=2, ensure_ascii=False) + "\n"
        with atomic_write(self.json) as partial:
            partial.write_text(text, encoding="utf-8")

    def points(self) -> np.ndarray:
        """Return the landmarks (T, 68, 2) float32; raises `DataError` if missing or broken."""
        try:
            with np.load(self.landmarks, allow_pickle=False) as file:
                points_TK2 = file["points_TK2"]
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"{self.landmarks}: cannot be read ({reason})") from None
        except (ValueError, KeyError, EOFError) as error:
            raise DataError(f"{self.landmarks}: no points_TK2 in it ({error})") from None
        if points_TK2.shape[1:] != (LANDMARKS, 2) or points_TK2.dtype.kind != "f":
            seen = f"points_TK2 is {points_TK2.dtype} {points_TK2.shape}"
            raise DataError(f"{self.landmarks}: {seen}; floats (T, {LANDMARKS}, 2) are needed")
        return points_TK2.astype(np.float32)

    def write_points(self, points_TK2: np.ndarray) -> None:
        """Write the landmarks (T, 68, 2), pixels of the picture."""
        with atomic_write(self.landmarks) as partial, write_errors(self.landmarks):
            np.savez_compressed(partial, points_TK2=points_TK2.astype(np.float32))


@contextlib.contextmanager
def new_face_clip(folder: Path) -> Iterator[FaceClip]:
    """Give a clip to fill beside `folder`; it becomes `folder` on success, else it goes.

    Raises:
        DataError: something else is there, or it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: in the way; it is no face clip, and not empty")
    partial = FaceClip(folder.with_name(f".{folder.name}.partial"))
    shutil.rmtree(partial.folder, ignore_errors=True)  # a killed run's
    try:
        with write_errors(folder):
            partial.folder.mkdir(parents=True)
        yield partial
        with write_errors(folder):
            os.replace(partial.folder, folder)
    finally:
        shutil.rmtree(partial.folder, ignore_errors=True)


def list_face_clips(dataset: Path) -> list[FaceClip]:
    """Return a data set's face clips in name order; raises `DataError` where there are none."""
    found = [FaceClip(path.parent) for path in sorted(dataset.glob("*/face.json"))]
    found = [clip for clip in found if not clip.folder.name.startswith(".")]
    if not found:
        made = "scripts/preprocess.py --faces or scripts/make_demo_faces.py makes them"
        raise DataError(f"{dataset}: no face clips in it; {made}")
    return found


def eye_centres(points_TK2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the middles (T, 2) of the right and of the left eye's six points (T, 68, 2)."""
    return points_TK2[:, RIGHT_EYE].mean(1), points_TK2[:, LEFT_EYE].mean(1)


def alignment_transform(points_TK2: np.ndarray, size: int) -> np.ndarray:
    """Return the similarity (2, 3) that brings a clip's pixels into its square picture.

    Pixels count from the pictures' corners, as everywhere; a pixel's middle is at a half.

    Args:
        points_TK2: landmarks (T, 68, 2) in the recording; NaN where not found.
        size: of the picture, pixels.

    Raises:
        DataError: no frame with both eyes, or eyes that coincide.
    """
    right_T2, left_T2 = eye_centres(points_TK2)
    seen_T = np.isfinite(right_T2).all(1) & np.isfinite(left_T2).all(1)
    if not seen_T.any():
        raise DataError("no frame with both eyes found; a face seen from the front is needed")
    right_2, left_2 = np.median(right_T2[seen_T], 0), np.median(left_T2[seen_T], 0)
    across_2 = left_2 - right_2
    length = float(np.hypot(*across_2))
    if not length > 0:
        raise DataError("both eyes at one place; a face seen from the front is needed")
    cos, sin = across_2 / length * (EYE_DISTANCE * size / length)
    turn_22 = np.array([[cos, sin], [-sin, cos]])
    middle_2 = turn_22 @ ((right_2 + left_2) / 2)
    return np.column_stack((turn_22, np.array(EYES_AT) * size - middle_2))


def transform_points(points: np.ndarray, transform_23: np.ndarray) -> np.ndarray:
    """Return points (..., 2) moved by a transform (2, 3)."""
    return points @ transform_23[:, :2].T + transform_23[:, 2]


# Face clips in memory, and their division: trained on, observed people, unseen people.

HELD_OUT = 0.2  # of a speaker's sentences, where none are named
NAMED = 8  # names, in a message


@dataclass(frozen=True, eq=False)
class FaceRecording:
    """A face clip in memory.

    Attributes:
        name: of the clip.
        speaker: who speaks.
        emotion: one of `EMOTIONS`, or "".
        sentence: what is said; the clip's name where that is not known.
        frames_T3HW: uint8 RGB.
        audio_S: float32 at 16 kHz, 640 samples a frame.
        points_TK2: iBUG landmarks (T, 68, 2) float32 in these pictures' pixels, NaN: not found.
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

    def part(self, begin: int, end: int) -> "FaceRecording":
        """Return frames `begin` to `end` with their sound, as a recording of its own."""
        return replace(
            self,
            frames_T3HW=self.frames_T3HW[begin:end],
            audio_S=self.audio_S[SAMPLES_PER_FRAME * begin : SAMPLES_PER_FRAME * end],
            points_TK2=self.points_TK2[begin:end],
        )


@dataclass(frozen=True)
class FaceSplit:
    """Recordings to train on, and those to judge by.

    Attributes:
        training: what is trained on.
        observed: people trained on, who say sentences that nobody in training says.
        unseen: people who are not trained on at all.
    """

    training: list[FaceRecording]
    observed: list[FaceRecording]
    unseen: list[FaceRecording]


def load_face_recordings(dataset: Path, *, size: int) -> list[FaceRecording]:
    """Return a data set's clips, pictures of `size` pixels, in name order.

    Raises:
        DataError: no clips, or one whose parts are missing, broken or of different lengths.
    """
    return [load_face_recording(clip, size=size) for clip in list_face_clips(Path(dataset))]


def load_face_recording(clip: FaceClip, *, size: int) -> FaceRecording:
    """Return one clip, its pictures of `size` pixels; raises `DataError`."""
    info = clip.info()
    frames_T3HW = _read_frames(clip, info, size)
    audio_S, points_TK2 = load_audio(clip.audio), clip.points()
    if len(audio_S) != SAMPLES_PER_FRAME * info.frames:
        needed = f"{SAMPLES_PER_FRAME * info.frames} for {info.frames} frames are needed"
        raise DataError(f"{clip.audio}: {len(audio_S)} samples; {needed}")
    if len(points_TK2) != info.frames:
        raise DataError(f"{clip.landmarks}: {len(points_TK2)} frames; {info.frames} are needed")
    if not info.speaker:
        raise DataError(f"{clip.json}: no speaker; a name is needed")
    name = clip.folder.name
    sentence = info.sentence or name
    scale = size / info.size
    points_TK2 = points_TK2 * np.float32(scale)
    return FaceRecording(
        name, info.speaker, info.emotion, sentence, frames_T3HW, audio_S, points_TK2
    )


def _read_frames(clip: FaceClip, info: FaceInfo, size: int) -> np.ndarray:
    """Return the video's frames (T, 3, size, size)."""
    frames = []
    for frame in read_frames(clip.video, fps=FPS):
        if frame.shape[1:] != (info.size, info.size):
            seen = f"{frame.shape[2]} × {frame.shape[1]} pixels"
            raise DataError(f"{clip.video}: {seen}; face.json says {info.size} × {info.size}")
        frames.append(_resize(frame, size))
    if len(frames) != info.frames:
        raise DataError(f"{clip.video}: {len(frames)} frames; face.json says {info.frames}")
    return np.stack(frames)


def _resize(frame_3HW: np.ndarray, size: int) -> np.ndarray:
    if frame_3HW.shape[1] == size:
        return frame_3HW
    way = cv2.INTER_AREA if size < frame_3HW.shape[1] else cv2.INTER_CUBIC
    picture_HW3 = np.ascontiguousarray(frame_3HW.transpose(1, 2, 0))
    return cv2.resize(picture_HW3, (size, size), interpolation=way).transpose(2, 0, 1)


def split_faces(
    recordings: Sequence[FaceRecording],
    *,
    held_out_sentences: Sequence[str] = (),
    held_out_speakers: Sequence[str] = (),
) -> FaceSplit:
    """Return what is trained on, and what is judged by.

    Args:
        held_out_sentences: said by nobody in training. Without names, each speaker's last fifth
            of sentences in name order is held out, of those who say more than one.
        held_out_speakers: people who are not trained on.

    Raises:
        DataError: a name that is nobody's, or nothing left on either side.
    """
    _check_names("sentence", held_out_sentences, {r.sentence for r in recordings})
    _check_names("speaker", held_out_speakers, {r.speaker for r in recordings})
    unseen = [r for r in recordings if r.speaker in held_out_speakers]
    known = [r for r in recordings if r.speaker not in held_out_speakers]
    if held_out_sentences:
        held = {(r.speaker, r.sentence) for r in known if r.sentence in held_out_sentences}
    else:
        held = _last_sentences(known)
    observed = [r for r in known if (r.speaker, r.sentence) in held]
    training = [r for r in known if (r.speaker, r.sentence) not in held]
    trained = {r.speaker for r in training}
    lost = sorted({r.speaker for r in observed} - trained)
    if not training or lost:
        who = f" of {lost[0]}" if lost and training else ""
        raise DataError(f"nothing{who} left to train on of {len(recordings)} recordings of faces")
    if not observed and not unseen:
        count = len(recordings)
        raise DataError(f"nothing held out to judge by: {count} recordings, one sentence a speaker")
    return FaceSplit(training, observed, unseen)


def _last_sentences(recordings: Sequence[FaceRecording]) -> set[tuple[str, str]]:
    """Return (speaker, sentence) of each speaker's last fifth, at least one of two and more."""
    held = set()
    for speaker in {r.speaker for r in recordings}:
        sentences = sorted({r.sentence for r in recordings if r.speaker == speaker})
        count = max(1, int(HELD_OUT * len(sentences))) if len(sentences) > 1 else 0
        held |= {(speaker, sentence) for sentence in sentences[len(sentences) - count :]}
    return held


def _check_names(kind: str, names: Sequence[str], known: set[str]) -> None:
    unknown = sorted(set(names) - known)
    if unknown:
        few = ", ".join(sorted(known)[:NAMED]) + (", …" if len(known) > NAMED else "")
        raise DataError(f"--held_out_{kind}s {unknown[0]}: no such {kind}; there are {few}")
