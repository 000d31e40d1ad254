"""Convert one recording of a face into a face clip: aligned frames, audio and landmarks.

Landmarks are iBUG's, from MediaPipe's face mesh on each frame by itself. The mesh runs in a window
at the face's last position, so that faces of any size are found; a lost face is searched by the
face detector in the whole image. The mesh's own tracking is not used: it lags, so that lips open
too late and too little (the correlation of their opening with the ground truth of rendered faces
falls from 0.94 to 0.88).
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np

from speech2video.data.preprocessing import recording as recording_data
from speech2video.data.preprocessing.cuts import CutDetector
from speech2video.data.preprocessing.detection import mediapipe_keypoints, mediapipe_networks
from speech2video.data.preprocessing.listing import Span
from speech2video.data.preprocessing.recording import part_of, with_progress
from speech2video.data.speech2face import clip as face_clip
from speech2video.data.speech2face.clip import EYES_AT, LANDMARKS, FaceClip, FaceInfo
from speech2video.data.speech2face.labels import FaceLabels, parse_labels
from speech2video.util.audio.audio_io import load_audio, write_audio
from speech2video.util.errors import DataError
from speech2video.util.process_pool import Progress
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME
from speech2video.util.video.reader import AUDIO_SUFFIXES, ReadReport, probe, read_frames
from speech2video.util.video.writer import write_video

MESH_SIZE = 256  # pixels, sides of the mesh's window
MESH_WINDOW = 2.0  # its sides in the recording, in sides of the face's box
CENTRAL_WINDOW = 1.5  # sides of the last window tried, around the whole image, in its larger side
MESH_CONFIDENCE = 0.3  # of the mesh's own face detector
SEARCH_INTERVAL = 5  # frames between two searches for a lost face

MIN_FRAMES = 15
MIN_FOUND = 0.5  # share of frames with a face
MIN_EYE_DISTANCE = 8.0  # pixels in the recording
MAX_OFFSET = 0.2  # of the image's width: eyes farther from their place are noted
MAX_OFFSET_SHARE = 0.1  # of frames with eyes so far off, without a note
DETECTED = 0.8  # progress at the end of the detection


class FaceMesh:
    """MediaPipe's face mesh in a square window of an image.

    Raises:
        UserError: MediaPipe is not installed.
    """

    def __init__(self) -> None:
        solutions = mediapipe_networks.import_mediapipe().solutions
        with mediapipe_networks.silenced():
            self._mesh = solutions.face_mesh.FaceMesh(
                static_image_mode=True,
                max_num_faces=1,
                refine_landmarks=True,
                min_detection_confidence=MESH_CONFIDENCE,
            )
            self._mesh.process(np.zeros((MESH_SIZE, MESH_SIZE, 3), np.uint8))

    def __call__(
        self, image_HW3: np.ndarray, centre_2: np.ndarray, side: float
    ) -> np.ndarray | None:
        """Return landmarks (68, 2) in pixels of the image, or None.

        The window may extend beyond the image.
        """
        scale = MESH_SIZE / side
        shift_2 = MESH_SIZE / 2 - scale * np.asarray(centre_2)
        matrix_23 = np.array([[scale, 0, shift_2[0]], [0, scale, shift_2[1]]])
        matrix_23[:, 2] += (scale - 1) / 2  # OpenCV counts from pixel centres
        flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        window_HW3 = _warp(image_HW3, matrix_23, MESH_SIZE, flags)
        faces = self._mesh.process(window_HW3).multi_face_landmarks
        if not faces:
            return None
        landmarks = [faces[0].landmark[i] for i in mediapipe_networks.FACEMESH_IBUG68]
        found_K2 = np.array([(landmark.x, landmark.y) for landmark in landmarks])
        return (found_K2 * MESH_SIZE - shift_2) / scale


class FaceTracker:
    """Tracks one face, the widest of several, from frame to frame."""

    def __init__(self) -> None:
        self._mesh, self._detector = FaceMesh(), mediapipe_networks.FaceDetector()
        self._centre_2: np.ndarray | None = None
        self._side = 0.0
        self._pause = 0

    def __call__(self, image_HW3: np.ndarray) -> np.ndarray | None:
        """Return the landmarks (68, 2) in the next frame (RGB, contiguous), or None."""
        found_K2 = None
        if self._centre_2 is not None:
            found_K2 = self._mesh(image_HW3, self._centre_2, self._side)
        elif self._pause > 0:
            self._pause -= 1
            return None
        if found_K2 is None:
            found_K2 = self._search(image_HW3)
        if found_K2 is None:
            self._centre_2, self._pause = None, SEARCH_INTERVAL - 1
            return None
        low_2, high_2 = found_K2.min(0), found_K2.max(0)
        self._centre_2 = (low_2 + high_2) / 2
        self._side = MESH_WINDOW * float((high_2 - low_2).max())
        return found_K2

    def _search(self, image_HW3: np.ndarray) -> np.ndarray | None:
        """Return the landmarks of the widest face; in images of one face the mesh may detect it."""
        size_2 = np.array(image_HW3.shape[1::-1])
        for box in self._detector(image_HW3)[:1]:
            side = MESH_WINDOW * float(box[2:].max())
            found_K2 = self._mesh(image_HW3, box[:2] + box[2:] / 2, side)
            if found_K2 is not None:
                return found_K2
        return self._mesh(image_HW3, size_2 / 2, CENTRAL_WINDOW * float(size_2.max()))


def track_face(frames: Iterable[np.ndarray], *, fps: float) -> tuple[np.ndarray, int]:
    """Return one face's landmarks (T, 68, 2) float32, and the number of visible people.

    Landmarks are pixels from the image's corner, NaN where no face is found.

    Args:
        frames: RGB uint8 (3, H, W), as from `read_frames`.
        fps: frames a second.
    """
    tracker, monitor = FaceTracker(), mediapipe_keypoints.BystanderMonitor(round(fps))
    found = []
    for frame_3HW in frames:
        image_HW3 = np.ascontiguousarray(frame_3HW.transpose(1, 2, 0))
        monitor.update(image_HW3, None)
        points_K2 = tracker(image_HW3)
        found.append(np.full((LANDMARKS, 2), np.nan) if points_K2 is None else points_K2)
    points_TK2 = np.array(found, np.float32).reshape(-1, LANDMARKS, 2)
    points_TK2[mediapipe_keypoints.find_jumps(points_TK2)] = np.nan
    return points_TK2, monitor.people


@dataclass(frozen=True)
class FaceClipConfig:
    """Settings for converting a recording into a face clip.

    Attributes:
        size: height and width of the clip, pixels.
        scheme: label scheme, as in `labels.parse_labels`.
        root: the folder that contains the speakers' folders.
        table: labels by file, for the scheme "csv".
        span: the part of the recording to convert, seconds; by default all of it.
    """

    size: int
    scheme: str
    root: Path
    table: dict[str, FaceLabels] | None = None
    span: Span | None = None


def preprocess_face(
    recording: Path, folder: Path, config: FaceClipConfig, progress: Progress
) -> list[FaceClip]:
    """Convert a recording into a face clip, unless that exists. Progress goes from 0 to 1.

    The recording is read twice, first for the landmarks, with a few frames in memory. One with cuts
    becomes several clips, `folder` with _1, _2 and so on, without parts that show no face.

    Raises:
        DataError: not a video, no audio, no face, a face too small or seldom visible, too short, a
            name that does not fit the label scheme, or a folder that cannot be written.
        UserError: MediaPipe is not installed.
    """
    if made := recording_data.made_clips(FaceClip(folder), recording):
        return made
    labels = parse_labels(recording, config.scheme, root=config.root, table=config.table)
    audio_S = _load_audio(recording)
    report, detector, span = ReadReport(), CutDetector(), config.span
    wanted = slice(None)
    if span is not None:
        wanted = slice(*(round(time * FPS) for time in span))
        audio_S = audio_S[wanted.start * SAMPLES_PER_FRAME : wanted.stop * SAMPLES_PER_FRAME]
        labels = replace(labels, sentence=f"{labels.sentence or recording.stem}_{span}")
    frames = read_frames(recording, fps=FPS, report=report)
    frames = detector.watch(islice(frames, wanted.start, wanted.stop))
    count = wanted.stop - wanted.start if span else probe(recording).duration * FPS
    frames = with_progress(frames, count, part_of(progress, 0.0, DETECTED))
    points_TK2, people = track_face(frames, fps=FPS)
    count = len(points_TK2)
    audio_S, length_notes = recording_data.fit_audio_length(audio_S, count)
    if span is not None:
        report.seconds = report.stated_seconds  # nothing is missing after its end
    notes = recording_data.damage_notes(report) + length_notes
    parts, left_out = _usable_parts(recording, points_TK2, detector.finish())
    frames = islice(read_frames(recording, fps=FPS), wanted.start, wanted.stop)
    frames = with_progress(frames, count, part_of(progress, DETECTED, 1.0))
    made, done = [], 0
    with contextlib.ExitStack() as renamed_at_the_end:
        for part in parts:
            own = folder
            if len(parts) > 1 or left_out:
                own = recording_data.part_folder(FaceClip(folder), len(made) + 1)
            over = own != folder and recording_data.is_part_of(FaceClip(own), recording)
            creation = FaceClip.create(own, over=over)
            clip = renamed_at_the_end.enter_context(creation)
            transform_23 = face_clip.alignment_transform(points_TK2[part], config.size)
            own_TK2 = face_clip.transform_points(points_TK2[part], transform_23)
            images = islice(frames, part.start - done, part.stop - done)
            done = part.stop
            aligned = align_frames(images, transform_23, config.size)
            quality = recording_data.CLIP_CRF
            write_video(clip.video, aligned, fps=FPS, quality=quality, synthetic=False)
            samples = slice(part.start * SAMPLES_PER_FRAME, part.stop * SAMPLES_PER_FRAME)
            write_audio(clip.audio, audio_S[samples])
            clip.write_points(own_TK2)
            found_T = np.asarray(np.isfinite(own_TK2).all((1, 2)))
            more = notes + _visibility_notes(own_TK2, found_T, config)
            if people > 1:
                more += (f"{people} people; the one in front was taken",)
            if own != folder:
                seconds = recording_data.seconds_of(part.start, part.stop)
                more = (f"cut out of {recording.name}, whose view changes: {seconds}", *more)
            if left_out and not made:
                more += (f"parts left out: {'; '.join(left_out)}",)
            length = part.stop - part.start
            clip.write_info(
                FaceInfo(recording.name, length, config.size, **asdict(labels), notes=more)
            )
            made.append(FaceClip(own))
    progress(1.0)
    return made


def _usable_parts(
    recording: Path, points_TK2: np.ndarray, cuts: list[int]
) -> tuple[list[slice], list[str]]:
    """Return the parts between cuts that show a face long enough, and which others there are.

    Raises:
        DataError: there is no such part.
    """
    edges = (0, *cuts, len(points_TK2))
    parts: list[slice] = []
    left_out: list[str] = []
    reasons: list[DataError] = []
    for begin, end in pairwise(edges):
        try:
            _check_found(recording, points_TK2[begin:end])
            parts.append(slice(begin, end))
        except DataError as error:
            reasons.append(error)
            left_out.append(f"{recording_data.seconds_of(begin, end)}, too short or without a face")
    if not parts:
        raise reasons[0]
    return parts, left_out


def align_frames(
    frames: Iterable[np.ndarray], transform_23: np.ndarray, size: int
) -> Iterator[np.ndarray]:
    """Yield frames (3, H, W) uint8 under a similarity (2, 3), cropped to (3, size, size).

    Pixels count from corners. Borders are replicated. Reduction is by areas, without aliasing that
    would flicker.
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
        matrix_23[:, 2] += matrix_23[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV counts from pixel centres
        yield _warp(image_HW3, matrix_23, size, cv2.INTER_CUBIC).transpose(2, 0, 1)


def _warp(image_HW3: np.ndarray, matrix_23: np.ndarray, size: int, flags: int) -> np.ndarray:
    border = cv2.BORDER_REPLICATE
    return cv2.warpAffine(image_HW3, matrix_23, (size, size), flags=flags, borderMode=border)


def _load_audio(recording: Path) -> np.ndarray:
    """Return the audio of a recording, or of the file next to it; raises `DataError`."""
    if probe(recording).has_audio:
        return load_audio(recording)
    for suffix in AUDIO_SUFFIXES:
        if (path := recording.with_suffix(suffix)).is_file():
            return load_audio(path)
    name = recording.with_suffix(AUDIO_SUFFIXES[0]).name
    raise DataError(f"{recording}: no audio track, and no {name} next to it")


def _check_found(recording: Path, points_TK2: np.ndarray) -> None:
    """Raise `DataError` if a face is too small, or in too few frames."""
    count = len(points_TK2)
    found_T = np.asarray(np.isfinite(points_TK2).all((1, 2)))
    if count < MIN_FRAMES:
        raise DataError(f"{recording}: {count} frames; at least {MIN_FRAMES} are needed")
    if found_T.mean() < MIN_FOUND:
        faces = f"a face in {found_T.sum()} of {count} frames" if found_T.any() else "no face in it"
        raise DataError(f"{recording}: {faces}; one, from the front, is needed in most")
    right_T2, left_T2 = face_clip.eye_centres(points_TK2[found_T])
    distance = float(np.median(np.hypot(*(left_T2 - right_T2).T)))
    if distance < MIN_EYE_DISTANCE:
        needed = f"at least {MIN_EYE_DISTANCE:.0f} are needed"
        raise DataError(f"{recording}: eyes {distance:.1f} pixels apart; {needed}")


def _visibility_notes(
    points_TK2: np.ndarray, found_T: np.ndarray, config: FaceClipConfig
) -> tuple[str, ...]:
    """Return notes on frames without a face, and on a head that leaves its place."""
    notes = ()
    if not found_T.all():
        notes += (f"no face found in {(~found_T).sum()} of {len(found_T)} frames",)
    right_T2, left_T2 = face_clip.eye_centres(points_TK2[found_T])
    place_2 = np.array(EYES_AT) * config.size
    offset_T = np.hypot(*((right_T2 + left_T2) / 2 - place_2).T) / config.size
    if (offset_T > MAX_OFFSET).mean() > MAX_OFFSET_SHARE:
        notes += (f"the head moves by up to {offset_T.max():.2f} of the image's width",)
    return notes
