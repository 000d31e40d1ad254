"""Quality metrics of one clip: detection rates, errors of the fit, and audio-video synchrony."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from speech2video.data.clip import BadFrames, Clip
from speech2video.data.keypoints import MAX_GAP, PART_POINTS, Keypoints, find_runs
from speech2video.data.motion import Motion
from speech2video.data.motion_io import read_motion
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import split_pose
from speech2video.util.body.skeleton import IBUG68, POINTS, indices
from speech2video.util.errors import DataError
from speech2video.util.files import read_npz
from speech2video.util.metrics import statistics
from speech2video.util.metrics.motion import EYE_CORNERS, distances, lip_opening
from speech2video.util.metrics.statistics import percentile
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME

EVALUATED_POINTS = {
    "body": indices(
        tuple(f"{side}_{at}" for at in ("shoulder", "elbow", "wrist") for side in ("left", "right"))
    ),
    "face": list(IBUG68),
    "hands": PART_POINTS["left_hand"] + PART_POINTS["right_hand"],
}
EYE_POINTS, MOUTH_POINTS = list(IBUG68[36:48]), list(IBUG68[48:68])
MAX_LAG = 12  # frames, about half a second
OUTLIER_FACTOR = 3.0  # times the clip's median error: the fit has lost the part
MIN_OUTLIER = {"body": 0.15, "face": 0.05, "hands": 0.15}  # eye distances; less is no outlier


@dataclass(frozen=True, eq=False)
class ClipSignals:
    """Signals of a clip, frame by frame.

    Attributes:
        detected_TK3: (T, 144, 3) pixels and confidence, NaN where not found.
        fitted_TK2: (T, 144, 2) pixels, NaN where the motion has no camera.
        jaw_T: opening of the fitted jaw, degrees.
        audio_S: 640 samples a frame.
        found: share of frames with body, face and each hand; empty without keypoints.
    """

    detected_TK3: np.ndarray
    fitted_TK2: np.ndarray
    jaw_T: np.ndarray
    audio_S: np.ndarray
    found: dict[str, float]

    @classmethod
    def read(cls, clip: Clip, body: Body) -> "ClipSignals":
        """Return the signals of a clip for a body model.

        Raises:
            DataError: a file is missing or broken, or lengths differ.
        """
        motion = read_motion(clip.pose)
        detected_TK3, found = np.full((len(motion), len(POINTS), 3), np.nan, np.float32), {}
        if clip.keypoints.is_file():
            keypoints = Keypoints.load(clip.keypoints)
            detected_TK3, found = keypoints.found_points(), keypoints.detection_rates()
        fitted_TK2 = _fitted_pixels(clip, motion, body)
        for what, points_TK in (("keypoints", detected_TK3), ("fitted points", fitted_TK2)):
            if len(points_TK) != len(motion):
                needed = f"{len(motion)}, as its motion has, are needed"
                raise DataError(f"{clip.folder}: {len(points_TK)} frames of {what}; {needed}")
        jaw_T = split_pose(motion.pose_vector(body))["jaw"][:, 0].rad2deg().numpy()
        return cls(detected_TK3, fitted_TK2, jaw_T, load_audio(clip.audio), found)

    @cached_property
    def eye_distance(self) -> float:
        """Median detected distance of the outer eye corners, pixels; NaN if unknown."""
        return _eye_distance(self.detected_TK3)

    @cached_property
    def loudness_T(self) -> np.ndarray:
        """Root mean square of each frame's audio (T,); 0 after its end."""
        audio_S = np.zeros(len(self.jaw_T) * SAMPLES_PER_FRAME)
        length = min(len(audio_S), len(self.audio_S))
        audio_S[:length] = self.audio_S[:length]
        return np.sqrt(np.square(audio_S).reshape(-1, SAMPLES_PER_FRAME).mean(1))

    def errors_TN(self, part: str) -> np.ndarray:
        """Return the distances (T, N) of detected and fitted points of a part, pixels, or NaN."""
        return _errors_TN(self.detected_TK3, self.fitted_TK2, part)


@dataclass(frozen=True)
class PartError:
    """Distance of detected and fitted points; None where nothing was detected.

    Attributes:
        median, p90: pixels.
        of_eye_distance: the median as a share of the eye distance.
    """

    median: float | None
    p90: float | None
    of_eye_distance: float | None


@dataclass(frozen=True)
class ClipMetrics:
    """Quality metrics of a clip; None where unknown.

    Attributes:
        name: of the clip's folder.
        seconds: `frames` at 25 fps.
        found: share of frames with body (both shoulders), face and each hand; empty without
            keypoints.
        eye_distance: median distance of the outer eye corners, pixels.
        tilt: median angle of the face in the image, degrees clockwise; 0 is upright.
        errors: reprojection error of "body" (shoulders, elbows, wrists), "face" and "hands".
        lip_correlation: of the detected and the fitted lip opening.
        lag: frames by which the audio is late, at the highest of `lag_correlations`.
        lag_correlation: correlation of lip motion and loudness at that lag.
        lag_correlations: the same at each lag from −12 to 12 frames.
        bad_frames: frames without a face, or that the fit has lost.
        notes: those of clip.json.
    """

    name: str
    frames: int
    seconds: float
    found: dict[str, float]
    eye_distance: float | None
    tilt: float | None
    errors: dict[str, PartError]
    lip_correlation: float | None
    lag: int | None
    lag_correlation: float | None
    lag_correlations: tuple[float | None, ...]
    bad_frames: tuple[BadFrames, ...]
    notes: tuple[str, ...]

    @property
    def num_bad_frames(self) -> int:
        """Number of frames in `bad_frames`."""
        return sum(run.last + 1 - run.first for run in self.bad_frames)


def compute_clip_metrics(clip: Clip, signals: ClipSignals) -> ClipMetrics:
    """Return the metrics of a clip, whose signals are read already."""
    frames = len(signals.jaw_T)
    detected_lips_T = lip_opening(signals.detected_TK3[..., :2])
    fitted_lips_T = lip_opening(signals.fitted_TK2)
    lips_T = detected_lips_T if signals.found else fitted_lips_T
    # Lips may rest open, so that their speed indicates speech and their opening does not.
    speed_T = np.abs(np.gradient(lips_T)) if frames > 1 else lips_T
    correlations_L = statistics.lag_correlations(speed_T, signals.loudness_T, MAX_LAG)
    lag, lag_correlation = statistics.best_lag(correlations_L)
    return ClipMetrics(
        name=clip.folder.name,
        frames=frames,
        seconds=frames / FPS,
        found=signals.found,
        eye_distance=_known(signals.eye_distance),
        tilt=_known(face_tilt(signals.detected_TK3)),
        errors={part: _part_error(signals, part) for part in EVALUATED_POINTS},
        lip_correlation=_known(statistics.correlation(detected_lips_T, fitted_lips_T)),
        lag=lag,
        lag_correlation=_known(lag_correlation),
        lag_correlations=tuple(map(_known, correlations_L.tolist())),
        bad_frames=find_bad_frames(signals.detected_TK3, signals.fitted_TK2)
        if signals.found
        else (),
        notes=clip.info().notes,
    )


def face_tilt(detected_TK3: np.ndarray) -> float:
    """Return the median angle of faces (T, 144, 3), degrees clockwise; NaN without any.

    Without face landmarks it is that of the nose above the shoulders.
    """
    chains = (EYE_POINTS, MOUTH_POINTS), (indices(("nose",)), EVALUATED_POINTS["body"][:2])
    for upper, lower in chains:
        up_T2 = detected_TK3[:, upper, :2].mean(1) - detected_TK3[:, lower, :2].mean(1)
        up_T2 = up_T2[np.isfinite(up_T2).all(1)]
        if len(up_T2):
            right, down = np.median(up_T2 / np.linalg.norm(up_T2, axis=1, keepdims=True), 0)
            return float(np.degrees(np.arctan2(right, -down)))
    return np.nan


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _part_error(signals: ClipSignals, part: str) -> PartError:
    errors_TN = signals.errors_TN(part)
    median = percentile(errors_TN, 50)
    relative = median / signals.eye_distance if signals.eye_distance else np.nan
    return PartError(_known(median), _known(percentile(errors_TN, 90)), _known(relative))


def _eye_distance(detected_TK3: np.ndarray) -> float:
    right_T2, left_T2 = (detected_TK3[:, corner, :2] for corner in EYE_CORNERS)
    return percentile(distances(right_T2, left_T2), 50)


def _errors_TN(detected_TK3: np.ndarray, fitted_TK2: np.ndarray, part: str) -> np.ndarray:
    points = EVALUATED_POINTS[part]
    return distances(detected_TK3[:, points, :2], fitted_TK2[:, points])


def find_bad_frames(detected_TK3: np.ndarray, fitted_TK2: np.ndarray) -> tuple[BadFrames, ...]:
    """Return the runs of frames without a face or with an outlying error, in order.

    A frame counts for its first reason. Hands count from a fifth of a second on.

    Args:
        detected_TK3: (T, 144, 3) pixels and confidence, NaN where not found.
        fitted_TK2: (T, 144, 2) pixels, NaN where unknown.
    """
    face_TN3 = detected_TK3[:, EVALUATED_POINTS["face"]]
    reasons, eyes = {"no face": ~np.isfinite(face_TN3).all((1, 2))}, _eye_distance(detected_TK3)
    for part in EVALUATED_POINTS:
        errors_TN = _errors_TN(detected_TK3, fitted_TK2, part)
        error_T = np.array([statistics.finite_mean(row) for row in errors_TN])
        limits = OUTLIER_FACTOR * percentile(error_T, 50), MIN_OUTLIER[part] * eyes
        reasons[f"{part} far off"] = error_T > np.max(limits)  # false for NaN
    free_T = np.ones(len(detected_TK3), bool)
    found = []
    for reason, bad_T in reasons.items():
        runs = find_runs(bad_T & free_T)
        if reason.startswith("hands"):  # fast hands blur for a few frames, which the fit bridges
            runs = [run for run in runs if run.stop - run.start > MAX_GAP]
        found += [BadFrames(run.start, run.stop - 1, reason) for run in runs]
        free_T &= ~bad_T
    return tuple(sorted(found, key=lambda run: run.first))


def _fitted_pixels(clip: Clip, motion: Motion, body: Body) -> np.ndarray:
    """Return the fit's points (T, 144, 2) as saved, or else those of the motion."""
    if clip.projection.is_file():
        arrays = read_npz(clip.projection, what="a file of fitted points")
        pixels_TK2 = arrays.get("projected", np.empty(0))
        if pixels_TK2.shape[1:] != (len(POINTS), 2):
            found = f"'projected' is {pixels_TK2.shape}"
            raise DataError(f"{clip.projection}: {found}; (frames, {len(POINTS)}, 2) needed")
        return pixels_TK2
    return motion_pixels(motion, body)


def motion_pixels(motion: Motion, body: Body) -> np.ndarray:
    """Return the body's points in the image (T, 144, 2); NaN without a camera."""
    if motion.camera is None:
        return np.full((len(motion), len(POINTS), 2), np.nan, np.float32)
    betas = motion.betas if motion.body == body.name else None
    with torch.inference_mode():
        points_TK3 = body.points(motion.pose_vector(body), betas=betas)
        return motion.camera.project(points_TK3).numpy()
