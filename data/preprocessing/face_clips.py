"""One recording of a face becomes one face clip: aligned, steady, in step with its sound."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from speech2video.data.face_clip import (
    EYES_AT,
    FaceClip,
    FaceInfo,
    eye_middles,
    new_face_clip,
    steady_transform,
    transformed,
)
from speech2video.data.face_labels import FaceLabels, labels_of
from speech2video.data.motion import FPS
from speech2video.data.preprocessing.clip_copy import CLIP_QUALITY, OFF_SECONDS, told
from speech2video.data.preprocessing.face_landmarks import find_faces
from speech2video.util.audio import SPEECH_RATE, load_wave, write_wave
from speech2video.util.errors import DataError
from speech2video.util.log_mels import FRAME
from speech2video.util.video import write_video
from speech2video.util.video_reader import ReadReport, probe, read_frames

LEAST_FRAMES = 15  # of a clip
LEAST_FOUND = 0.5  # share of a clip's frames in which the face must be found
LEAST_EYES = 8.0  # pixels between the eyes in the recording
STRAYING = 0.2  # of the picture's width: eyes farther off than that are worth a note
STRAYING_SHARE = 0.1  # of the frames
SOUNDS = (".wav", ".flac", ".m4a", ".mp3", ".aac", ".ogg")  # beside a picture without sound
SEEN = 0.8  # share of the work that is done when the face is found

Tell = Callable[[float], None]


@dataclass(frozen=True)
class FaceRecipe:
    """How recordings are made into face clips.

    Attributes:
        size: of the picture, pixels.
        scheme: of the labels, as `face_labels.labels_of` takes it.
        root: the folder under which speakers' folders lie.
        table: labels by file, for the scheme "csv".
    """

    size: int
    scheme: str
    root: Path
    table: dict[str, FaceLabels] | None = None


def make_face_clip(recording: Path, folder: Path, recipe: FaceRecipe, tell: Tell) -> FaceClip:
    """Make a recording's face clip; `tell` hears the share done. A finished one is left as it is.

    The recording is read twice, first for the landmarks, and takes the memory of a few frames.

    Raises:
        DataError: not a video, no sound, no face, a face too small or seldom seen, too short, a
            name that does not fit the scheme of labels, or a folder that cannot be written.
        UserError: MediaPipe is not installed.
    """
    clip = FaceClip(folder)
    if clip.json.is_file():
        return clip
    labels = labels_of(recording, recipe.scheme, root=recipe.root, table=recipe.table)
    wave_S = _sound(recording)
    report = ReadReport()
    frames = read_frames(recording, fps=FPS, report=report)
    count = probe(recording).duration * FPS
    pictures = told(frames, count, lambda share: tell(SEEN * share))
    points_TK2, people = find_faces(pictures, fps=FPS)
    found_T = _check_found(recording, points_TK2)
    damage = () if report.is_complete else (f"damaged: {report}",)
    transform_23 = steady_transform(points_TK2, recipe.size)
    points_TK2 = transformed(points_TK2, transform_23)
    with new_face_clip(folder) as clip:
        aligned = aligned_frames(read_frames(recording, fps=FPS), transform_23, recipe.size)
        pictures = told(aligned, len(points_TK2), lambda share: tell(SEEN + (1 - SEEN) * share))
        write_video(clip.video, pictures, fps=FPS, quality=CLIP_QUALITY, synthetic=False)
        write_wave(clip.audio, _as_long(wave_S, len(points_TK2)))
        clip.write_points(points_TK2)
        notes = damage + _lengths(wave_S, len(points_TK2)) + _seen(points_TK2, found_T, recipe)
        several = (f"{people} people; the one in front was taken",) if people > 1 else ()
        clip.write_info(
            FaceInfo(
                source=recording.name,
                frames=len(points_TK2),
                size=recipe.size,
                speaker=labels.speaker,
                emotion=labels.emotion,
                sentence=labels.sentence,
                notes=notes + several,
            )
        )
    tell(1.0)
    return clip


def aligned_frames(
    frames: Iterable[np.ndarray], transform_23: np.ndarray, size: int
) -> Iterator[np.ndarray]:
    """Yield frames (3, H, W) uint8 moved by a similarity (2, 3) into (3, size, size).

    Pixels count from corners. Borders are replicated. Pictures to be made smaller are made so by
    areas first, so that nothing flickers.
    """
    scale = float(np.hypot(*transform_23[:, 0]))
    for frame_3HW in frames:
        image_HW3 = np.ascontiguousarray(frame_3HW.transpose(1, 2, 0))
        height, width = image_HW3.shape[:2]
        matrix_23 = transform_23.astype(np.float64).copy()
        if scale < 1:
            small = (max(1, round(width * scale)), max(1, round(height * scale)))
            image_HW3 = cv2.resize(image_HW3, small, interpolation=cv2.INTER_AREA)
            matrix_23[:, :2] /= np.array(small) / (width, height)
        # OpenCV counts from pixels' middles
        matrix_23[:, 2] += matrix_23[:, :2] @ (0.5, 0.5) - 0.5
        picture_HW3 = cv2.warpAffine(
            image_HW3,
            matrix_23,
            (size, size),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        yield picture_HW3.transpose(2, 0, 1)


def _sound(recording: Path) -> np.ndarray:
    """Return the recording's sound, or that of the file beside it; raises `DataError`."""
    if probe(recording).has_audio:
        return load_wave(recording)
    beside = [path for ending in SOUNDS if (path := recording.with_suffix(ending)).is_file()]
    if not beside:
        name = recording.with_suffix(SOUNDS[0]).name
        raise DataError(f"{recording}: no sound track, and no {name} beside it")
    return load_wave(beside[0])


def _as_long(wave_S: np.ndarray, frames: int) -> np.ndarray:
    wanted = FRAME * frames
    return np.pad(wave_S[:wanted], (0, max(0, wanted - len(wave_S))))


def _lengths(wave_S: np.ndarray, frames: int) -> tuple[str, ...]:
    """Return a note where sound and picture are not equally long."""
    heard, seen = len(wave_S) / SPEECH_RATE, frames / FPS
    off = f"sound of {heard:.2f} s made as long as the picture, {seen:.2f} s"
    return (off,) if abs(heard - seen) > OFF_SECONDS else ()


def _check_found(recording: Path, points_TK2: np.ndarray) -> np.ndarray:
    """Return where (T,) the face was found; raises `DataError` where that is not enough."""
    count = len(points_TK2)
    found_T = np.isfinite(points_TK2).all((1, 2))
    if count < LEAST_FRAMES:
        raise DataError(f"{recording}: {count} frames; at least {LEAST_FRAMES} are needed")
    if found_T.mean() < LEAST_FOUND:
        seen = f"a face in {found_T.sum()} of {count} frames" if found_T.any() else "no face in it"
        raise DataError(f"{recording}: {seen}; one, from the front, is needed in most")
    right_T2, left_T2 = eye_middles(points_TK2[found_T])
    apart = float(np.median(np.hypot(*(left_T2 - right_T2).T)))
    if apart < LEAST_EYES:
        needed = f"at least {LEAST_EYES:.0f} are needed"
        raise DataError(f"{recording}: eyes {apart:.1f} pixels apart; {needed}")
    return found_T


def _seen(points_TK2: np.ndarray, found_T: np.ndarray, recipe: FaceRecipe) -> tuple[str, ...]:
    """Return notes on frames without the face, and on heads that leave their place."""
    notes = []
    if not found_T.all():
        notes.append(f"no face found in {(~found_T).sum()} of {len(found_T)} frames")
    right_T2, left_T2 = eye_middles(points_TK2[found_T])
    place_2 = np.array(EYES_AT) * recipe.size
    off_T = np.hypot(*((right_T2 + left_T2) / 2 - place_2).T) / recipe.size
    if (off_T > STRAYING).mean() > STRAYING_SHARE:
        notes.append(f"the head moves by up to {off_T.max():.2f} of the picture's width")
    return tuple(notes)
