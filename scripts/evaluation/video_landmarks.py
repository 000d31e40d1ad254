"""Face, body and hands that MediaPipe finds again in painted frames, beside the real ones."""

import numpy as np

from evaluation.tables import mean_of_known
from speech2video.data.keypoints import MIN_CONFIDENCE, PART_POINTS
from speech2video.data.preprocessing.detection.mediapipe_keypoints import detect_keypoints
from speech2video.util.body.skeleton import POINTS, indices
from speech2video.util.errors import DataError
from speech2video.util.metrics.points import EYE_CORNERS, LIPS, lip_opening
from speech2video.util.metrics.statistics import correlation
from speech2video.util.timing import FPS

BODY = indices(("left_shoulder", "right_shoulder", "left_elbow", "right_elbow"))
HANDS = (PART_POINTS["left_hand"], PART_POINTS["right_hand"])


def found_points(frames_T3HW: np.ndarray) -> np.ndarray:
    """Return the points (T, 144, 2) that MediaPipe finds, pixels, NaN where it finds none."""
    _, _, height, width = frames_T3HW.shape
    try:
        keypoints = detect_keypoints(frames_T3HW, width=width, height=height, fps=FPS)
    except DataError:  # nobody in any frame
        return np.full((len(frames_T3HW), len(POINTS), 2), np.nan, np.float32)
    sure_TK1 = keypoints.points_TK3[..., 2:] >= MIN_CONFIDENCE
    return np.where(sure_TK1, keypoints.points_TK3[..., :2], np.nan)


def landmark_scores(
    found_TK2: np.ndarray, real_TK2: np.ndarray, asked_TK2: np.ndarray
) -> dict[str, np.ndarray]:
    """Return each frame's figures (T,), NaN where what they compare is not seen in both.

    Distances are shares of the distance of the real eyes' outer corners (the clip's median), means
    over points. Of the mouth only its shape counts: it is centred first. `_again` is 1 where a part
    that is found in the real frame is found in this one and 0 where it is not; hands count both,
    so it may be between.

    Args:
        found_TK2: points found in the frames that are judged.
        real_TK2: points found in the real ones.
        asked_TK2: points that the frames were to show.
    """
    eye = _eye_distance(real_TK2, asked_TK2)
    hands_T = [_again(found_TK2[:, hand], real_TK2[:, hand]) for hand in HANDS]
    apart_T = [_distance(found_TK2[:, hand], real_TK2[:, hand]) / eye for hand in HANDS]
    mouths = [_centred(points_TK2[:, LIPS]) for points_TK2 in (found_TK2, real_TK2, asked_TK2)]
    return {
        "mouth_error": _distance(mouths[0], mouths[1]) / eye,
        "mouth_error_to_asked": _distance(mouths[0], mouths[2]) / eye,
        "body_error": _distance(found_TK2[:, BODY], real_TK2[:, BODY]) / eye,
        "hands_error": mean_of_known(apart_T),
        "face_again": _again(found_TK2[:, PART_POINTS["face"]], real_TK2[:, PART_POINTS["face"]]),
        "body_again": _again(found_TK2[:, PART_POINTS["body"]], real_TK2[:, PART_POINTS["body"]]),
        "hands_again": mean_of_known(hands_T),
    }


def lip_correlations(
    found_TK2: np.ndarray, real_TK2: np.ndarray, asked_TK2: np.ndarray
) -> dict[str, float]:
    """Return how well a clip's lip opening goes with the real and with that asked for."""
    gap_T, real_T, asked_T = map(lip_opening, (found_TK2, real_TK2, asked_TK2))
    return {
        "lip_correlation": correlation(gap_T, real_T),
        "lip_correlation_to_asked": correlation(gap_T, asked_T),
    }


def hands_seen(real_TK2: np.ndarray) -> int:
    """Return how many hands, left and right counted apart, are found in the real frames."""
    return sum(int(_seen(real_TK2[:, hand]).sum()) for hand in HANDS)


def _eye_distance(real_TK2: np.ndarray, asked_TK2: np.ndarray) -> float:
    for points_TK2 in (real_TK2, asked_TK2):
        distance_T = np.linalg.norm(np.diff(points_TK2[:, EYE_CORNERS], axis=1)[:, 0], axis=1)
        if np.isfinite(distance_T).any():
            return max(float(np.nanmedian(distance_T)), 1e-6)
    return float("nan")


def _centred(points_TK2: np.ndarray) -> np.ndarray:
    return points_TK2 - points_TK2.mean(1, keepdims=True)


def _distance(a_TK2: np.ndarray, b_TK2: np.ndarray) -> np.ndarray:
    """Return the mean distance (T,) of the points that are in both; NaN where none is."""
    apart_TK = np.linalg.norm(a_TK2 - b_TK2, axis=2)
    known_TK = np.isfinite(apart_TK)
    total_T, count_T = np.where(known_TK, apart_TK, 0).sum(1), known_TK.sum(1)
    return np.where(count_T > 0, total_T / np.maximum(count_T, 1), np.nan)


def _again(found_TK2: np.ndarray, real_TK2: np.ndarray) -> np.ndarray:
    return np.where(_seen(real_TK2), _seen(found_TK2).astype(float), np.nan)


def _seen(points_TK2: np.ndarray) -> np.ndarray:
    return np.isfinite(points_TK2).all((1, 2))
