"""iBUG landmarks of one face over a video, by MediaPipe's face mesh, each picture by itself.

The mesh looks into a window around where the face was, so that small faces are found as well as
large ones; where there is none, the face detector looks through the whole picture. The mesh's own
following from frame to frame is not used: it lags, and lips open too late and too little (their
opening's correlation with the truth of rendered faces falls from 0.94 to 0.88).
"""

from collections.abc import Iterable

import cv2
import numpy as np

from speech2video.data.face_clip import LANDMARKS
from speech2video.data.preprocessing.mediapipe_graphs import (
    FaceCounter,
    import_mediapipe,
    silenced,
)
from speech2video.data.preprocessing.mediapipe_tables import FACEMESH_IBUG68
from speech2video.data.preprocessing.onlookers import Onlookers
from speech2video.data.preprocessing.tracks import jumped

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


class FaceFinder:
    """Follows one face, the widest where several are, from picture to picture."""

    def __init__(self) -> None:
        self._mesh, self._detector = FaceMesh(), FaceCounter()
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


def find_faces(frames: Iterable[np.ndarray], *, fps: float) -> tuple[np.ndarray, int]:
    """Return one face's landmarks (T, 68, 2) float32, and how many people are to be seen.

    Args:
        frames: RGB uint8 (3, H, W), as `read_frames` yields them.
        fps: of the frames.

    Landmarks are pixels from the picture's corner, NaN where no face is found.
    """
    finder, onlookers, found = FaceFinder(), Onlookers(round(fps)), []
    for frame_3HW in frames:
        image_HW3 = np.ascontiguousarray(frame_3HW.transpose(1, 2, 0))
        onlookers.look(image_HW3, None)
        points_K2 = finder(image_HW3)
        found.append(np.full((LANDMARKS, 2), np.nan) if points_K2 is None else points_K2)
    points_TK2 = np.array(found, np.float32).reshape(-1, LANDMARKS, 2)
    points_TK2[jumped(points_TK2)] = np.nan
    return points_TK2, onlookers.people
