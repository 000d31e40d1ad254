"""One recording of a face becomes one face clip: aligned, steady, in step with its sound."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from speech2video.data.preprocessing.detection.mediapipe_keypoints import (
    BystanderMonitor,
    find_jumps,
)
from speech2video.data.preprocessing.detection.mediapipe_networks import (
    FACEMESH_IBUG68,
    FaceDetector,
    import_mediapipe,
    silenced,
)
from speech2video.data.preprocessing.recording import CLIP_CRF, MAX_LENGTH_DIFFERENCE, with_progress
from speech2video.data.speech2face.clip import (
    EYES_AT,
    LANDMARKS,
    FaceClip,
    FaceInfo,
    alignment_transform,
    eye_centres,
    transform_points,
)
from speech2video.data.speech2face.labels import FaceLabels, parse_labels
from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.errors import DataError
from speech2video.util.timing import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from speech2video.util.video.reader import ReadReport, probe, read_frames
from speech2video.util.video.writer import write_video

# iBUG landmarks of one face over a video, by MediaPipe's face mesh, each picture by itself.
#
# The mesh looks into a window around where the face was, so that small faces are found as well as
# large ones; where there is none, the face detector looks through the whole picture. The mesh's own
# following from frame to frame is not used: it lags, and lips open too late and too little (their
# opening's correlation with the truth of rendered faces falls from 0.94 to 0.88).

SIDE = 256  # pixels of the window that the mesh sees
WINDOW = 2.0  # its side, in sides of the face's box
FACE_CONFIDENCE = 0.3  # of the mesh's own detector: that it is a face is known
LOOK_AGAIN = 5  # frames between two searches while nobody is found


class FaceMesh:
    """MediaPipe's face mesh in a square window of a picture.

    Raises:
        UserError: MediaPipe is not installed.
    """

    def __init__(self) -> None:
        solutions = import_mediapipe().solutions
        with silenced():
            self._mesh = solutions.face_mesh.FaceMesh(
                static_image_mode=True,
                max_num_faces=1,
                refine_landmarks=True,
                min_detection_confidence=FACE_CONFIDENCE,
            )
            self._mesh.process(np.zeros((SIDE, SIDE, 3), np.uint8))

    def __call__(
        self, image_HW3: np.ndarray, centre_2: np.ndarray, side: float
    ) -> np.ndarray | None:
        """Return landmarks (68, 2), pixels of the picture, or None; the window may pass it."""
        scale = SIDE / side
        shift_2 = SIDE / 2 - scale * np.asarray(centre_2)
        # OpenCV counts from pixels' middles, we from corners
        matrix_23 = np.array([[scale, 0, shift_2[0]], [0, scale, shift_2[1]]])
        matrix_23[:, 2] += (scale - 1) / 2
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        window_HW3 = cv2.warpAffine(
            image_HW3, matrix_23, (SIDE, SIDE), flags=way, borderMode=cv2.BORDER_REPLICATE
        )
        faces = self._mesh.process(window_HW3).multi_face_landmarks
        if not faces:
            return None
        found = np.array(
            [(faces[0].landmark[i].x, faces[0].landmark[i].y) for i in FACEMESH_IBUG68]
        )
        return (found * SIDE - shift_2) / scale


class FaceTracker:
    """Follows one face, the widest where several are, from picture to picture."""

    def __init__(self) -> None:
        self._mesh, self._detector = FaceMesh(), FaceDetector()
        self._centre_2: np.ndarray | None = None
        self._side = 0.0
        self._wait = 0

    def __call__(self, image_HW3: np.ndarray) -> np.ndarray | None:
        """Return the landmarks (68, 2) in the next picture (RGB, contiguous), or None."""
        found = None
        if self._centre_2 is not None:
            found = self._mesh(image_HW3, self._centre_2, self._side)
        elif self._wait > 0:
            self._wait -= 1
            return None
        if found is None:
            found = self._search(image_HW3)
        if found is None:
            self._centre_2, self._wait = None, LOOK_AGAIN - 1
            return None
        low, high = found.min(0), found.max(0)
        self._centre_2, self._side = (low + high) / 2, WINDOW * float((high - low).max())
        return found

    def _search(self, image_HW3: np.ndarray) -> np.ndarray | None:
        """Return the landmarks of the widest face; in crops of a face the mesh looks for itself."""
        boxes_N4 = self._detector(image_HW3)
        height, width = image_HW3.shape[:2]
        windows = [(box[:2] + box[2:] / 2, WINDOW * float(box[2:].max())) for box in boxes_N4[:1]]
        windows.append((np.array((width, height)) / 2, 1.5 * max(width, height)))
        for centre_2, side in windows:
            found = self._mesh(image_HW3, centre_2, side)
            if found is not None:
                return found
        return None


def track_face(frames: Iterable[np.ndarray], *, fps: float) -> tuple[np.ndarray, int]:
    """Return one face's landmarks (T, 68, 2) float32, and how many people are to be seen.

    Args:
        frames: RGB uint8 (3, H, W), as `read_frames` yields them.
        fps: of the frames.

    Landmarks are pixels from the picture's corner, NaN where no face is found.
    """
    finder, onlookers, found = FaceTracker(), BystanderMonitor(round(fps)), []
    for frame_3HW in frames:
        image_HW3 = np.ascontiguousarray(frame_3HW.transpose(1, 2, 0))
        onlookers.look(image_HW3, None)
        points_K2 = finder(image_HW3)
        found.append(np.full((LANDMARKS, 2), np.nan) if points_K2 is None else points_K2)
    points_TK2 = np.array(found, np.float32).reshape(-1, LANDMARKS, 2)
    points_TK2[find_jumps(points_TK2)] = np.nan
    return points_TK2, onlookers.people


LEAST_FRAMES = 15  # of a clip
LEAST_FOUND = 0.5  # share of a clip's frames in which the face must be found
LEAST_EYES = 8.0  # pixels between the eyes in the recording
STRAYING = 0.2  # of the picture's width: eyes farther off than that are worth a note
STRAYING_SHARE = 0.1  # of the frames
SOUNDS = (".wav", ".flac", ".m4a", ".mp3", ".aac", ".ogg")  # beside a picture without sound
SEEN = 0.8  # share of the work that is done when the face is found

Tell = Callable[[float], None]


@dataclass(frozen=True)
class FaceClipConfig:
    """How recordings are made into face clips.

    Attributes:
        size: of the picture, pixels.
        scheme: of the labels, as `face_labels.parse_labels` takes it.
        root: the folder under which speakers' folders lie.
        table: labels by file, for the scheme "csv".
    """

    size: int
    scheme: str
    root: Path
    table: dict[str, FaceLabels] | None = None


def preprocess_face(recording: Path, folder: Path, recipe: FaceClipConfig, tell: Tell) -> FaceClip:
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
    labels = parse_labels(recording, recipe.scheme, root=recipe.root, table=recipe.table)
    audio_S = _sound(recording)
    report = ReadReport()
    frames = read_frames(recording, fps=FPS, report=report)
    count = probe(recording).duration * FPS
    pictures = with_progress(frames, count, lambda share: tell(SEEN * share))
    points_TK2, people = track_face(pictures, fps=FPS)
    found_T = _check_found(recording, points_TK2)
    damage = () if report.is_complete else (f"damaged: {report}",)
    transform_23 = alignment_transform(points_TK2, recipe.size)
    points_TK2 = transform_points(points_TK2, transform_23)
    with FaceClip.create(folder) as clip:
        aligned = align_frames(read_frames(recording, fps=FPS), transform_23, recipe.size)
        pictures = with_progress(
            aligned, len(points_TK2), lambda share: tell(SEEN + (1 - SEEN) * share)
        )
        write_video(clip.video, pictures, fps=FPS, quality=CLIP_CRF, synthetic=False)
        write_audio(clip.audio, _as_long(audio_S, len(points_TK2)))
        clip.write_points(points_TK2)
        notes = damage + _lengths(audio_S, len(points_TK2)) + _seen(points_TK2, found_T, recipe)
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


def align_frames(
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
        return load_audio(recording)
    beside = [path for ending in SOUNDS if (path := recording.with_suffix(ending)).is_file()]
    if not beside:
        name = recording.with_suffix(SOUNDS[0]).name
        raise DataError(f"{recording}: no audio track, and no {name} beside it")
    return load_audio(beside[0])


def _as_long(audio_S: np.ndarray, frames: int) -> np.ndarray:
    wanted = SAMPLES_PER_FRAME * frames
    return np.pad(audio_S[:wanted], (0, max(0, wanted - len(audio_S))))


def _lengths(audio_S: np.ndarray, frames: int) -> tuple[str, ...]:
    """Return a note where sound and picture are not equally long."""
    heard, seen = len(audio_S) / SAMPLE_RATE, frames / FPS
    off = f"sound of {heard:.2f} s made as long as the picture, {seen:.2f} s"
    return (off,) if abs(heard - seen) > MAX_LENGTH_DIFFERENCE else ()


def _check_found(recording: Path, points_TK2: np.ndarray) -> np.ndarray:
    """Return where (T,) the face was found; raises `DataError` where that is not enough."""
    count = len(points_TK2)
    found_T = np.isfinite(points_TK2).all((1, 2))
    if count < LEAST_FRAMES:
        raise DataError(f"{recording}: {count} frames; at least {LEAST_FRAMES} are needed")
    if found_T.mean() < LEAST_FOUND:
        seen = f"a face in {found_T.sum()} of {count} frames" if found_T.any() else "no face in it"
        raise DataError(f"{recording}: {seen}; one, from the front, is needed in most")
    right_T2, left_T2 = eye_centres(points_TK2[found_T])
    apart = float(np.median(np.hypot(*(left_T2 - right_T2).T)))
    if apart < LEAST_EYES:
        needed = f"at least {LEAST_EYES:.0f} are needed"
        raise DataError(f"{recording}: eyes {apart:.1f} pixels apart; {needed}")
    return found_T


def _seen(points_TK2: np.ndarray, found_T: np.ndarray, recipe: FaceClipConfig) -> tuple[str, ...]:
    """Return notes on frames without the face, and on heads that leave their place."""
    notes = []
    if not found_T.all():
        notes.append(f"no face found in {(~found_T).sum()} of {len(found_T)} frames")
    right_T2, left_T2 = eye_centres(points_TK2[found_T])
    place_2 = np.array(EYES_AT) * recipe.size
    off_T = np.hypot(*((right_T2 + left_T2) / 2 - place_2).T) / recipe.size
    if (off_T > STRAYING).mean() > STRAYING_SHARE:
        notes.append(f"the head moves by up to {off_T.max():.2f} of the picture's width")
    return tuple(notes)
