"""The landmarks that MediaPipe finds in aligned faces, beside those that a clip brings along."""

import numpy as np

from evaluation.speech_lips import lag_curve, mouth_figures, mouth_range, silences
from evaluation.video_landmarks import landmark_scores
from speech2video.data.preprocessing.face_landmarks import FaceMesh
from speech2video.data.preprocessing.mediapipe_tables import FACEMESH_IBUG68
from speech2video.util.body.skeleton import IBUG68, POINTS
from speech2video.util.metrics.lips import MIN_OVERLAP, lip_opening

WINDOWS = (1.0, 1.5)  # sides of the picture that the mesh looks into: all of it, then more around
FACE = len(FACEMESH_IBUG68)


class LipReader:
    """MediaPipe's face mesh on aligned faces, each picture by itself.

    Raises:
        UserError: MediaPipe is not installed.
    """

    def __init__(self) -> None:
        self._mesh = FaceMesh()

    def points(self, frames_T3HW: np.ndarray) -> np.ndarray:
        """Return iBUG landmarks (T, 68, 2) in pixels of square frames, NaN where no face is found.

        A picture equal to the one before it is not looked at again.
        """
        found = np.full((len(frames_T3HW), FACE, 2), np.nan)
        for t, frame_3HW in enumerate(frames_T3HW):
            if t and np.array_equal(frame_3HW, frames_T3HW[t - 1]):
                found[t] = found[t - 1]
            else:
                found[t] = self._find(np.ascontiguousarray(frame_3HW.transpose(1, 2, 0)))
        return found

    def _find(self, picture_HW3: np.ndarray) -> np.ndarray | float:
        side = picture_HW3.shape[0]
        for window in WINDOWS:
            points_K2 = self._mesh(picture_HW3, np.full(2, side / 2), window * side)
            if points_K2 is not None:
                return points_K2 - 0.5  # whole numbers are pixels' middles
        return np.nan


def opening(points_TK2: np.ndarray) -> np.ndarray:
    """Return how far the inner lips are apart (T,), as a share of the eyes' outer distance."""
    return lip_opening(among_all(points_TK2))


def among_all(points_TK2: np.ndarray) -> np.ndarray:
    """Return iBUG landmarks (T, 68, 2) as the points (T, 144, 2) of a whole body, the rest NaN."""
    whole = np.full((len(points_TK2), len(POINTS), 2), np.nan)
    whole[:, list(IBUG68)] = points_TK2
    return whole


def lip_figures(
    found_TK2: np.ndarray, real_TK2: np.ndarray, loudness_T: np.ndarray
) -> dict[str, float]:
    """Return what one clip's lips say beside those of the recording, NaN where nothing is known.

    found  share of frames in which a face is found
    mouth_distance  of the lips' 20 points, centred, in shares of the eyes' outer distance
    opening_correlation, _within_1  with the recording's opening, at lag 0, and at best 1 off
    opening_range  5th to 95th percentile, as a share of the recording's
    open_in_silence  mean opening in silence, 0 the clip's own most closed, 1 its most open
    steps_in_silence  mean step from frame to frame in silence, as a share of that in speech

    A mouth that does not move, or is not found, correlates with nothing: 0.
    """
    own_T, real_T = opening(found_TK2), opening(real_TK2)
    curve_L = lip_curve(found_TK2, real_TK2)
    if mouth_range(real_T) is not None and np.isfinite(real_T).sum() >= MIN_OVERLAP:
        curve_L = np.nan_to_num(curve_L)
    middle = len(curve_L) // 2
    silent_T = silences(loudness_T)
    limits, real_limits = mouth_range(own_T), mouth_range(real_T)
    silence = mouth_figures(own_T, silent_T)["in_silence"]
    wide = np.nan
    if real_limits is not None:
        wide = (limits[1] - limits[0] if limits else 0.0) / (real_limits[1] - real_limits[0])
    return {
        "found": float(np.isfinite(own_T).mean()),
        "mouth_distance": _mean(
            landmark_scores(*map(among_all, (found_TK2, real_TK2, real_TK2)))["mouth_error"]
        ),
        "opening_correlation": float(curve_L[middle]),
        "opening_within_1": float(curve_L[middle - 1 : middle + 2].max()),
        "opening_range": wide,
        "open_in_silence": np.nan if silence is None else silence,
        "steps_in_silence": _steps_in_silence(own_T, silent_T),
    }


def lip_curve(found_TK2: np.ndarray, real_TK2: np.ndarray) -> np.ndarray:
    """Return the correlation of the openings at each lag of the found lips, −12 to 12 frames.

    NaN where it cannot be known, or where lips do not move.
    """
    return lag_curve(opening(real_TK2), opening(found_TK2))


def _steps_in_silence(own_T: np.ndarray, silent_T: np.ndarray) -> float:
    step_T = np.abs(np.diff(own_T))
    both_T = silent_T[1:] & silent_T[:-1]
    speaking = _mean(step_T[~silent_T[1:]])
    return _mean(step_T[both_T]) / speaking if speaking else np.nan


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
