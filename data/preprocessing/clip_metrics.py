"""How good one clip is, in numbers: what was found, how well the fit follows it, sound in step."""

import zipfile
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from speech2video.data.clip import Clip
from speech2video.data.keypoints import PART_POINTS, Keypoints
from speech2video.data.motion import Motion
from speech2video.data.motion_io import read_motion
from speech2video.util.audio.audio_io import load_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import split_pose
from speech2video.util.body.skeleton import IBUG68, POINTS, indices
from speech2video.util.errors import DataError
from speech2video.util.timing import FPS, SAMPLES_PER_FRAME

# A clip's parts side by side: seen points, fitted points, jaw and sound, frame by frame.


EVALUATED_POINTS = {
    "body": indices(
        tuple(f"{side}_{at}" for at in ("shoulder", "elbow", "wrist") for side in ("left", "right"))
    ),
    "face": list(IBUG68),
    "hands": PART_POINTS["left_hand"] + PART_POINTS["right_hand"],
}
EYES = IBUG68[36], IBUG68[45]  # their outer corners
INNER_LIPS = IBUG68[62], IBUG68[66]  # the middles of the upper and the lower one


@dataclass(frozen=True, eq=False)
class ClipSignals:
    """What a clip's figures are computed from.

    Attributes:
        seen_TK3: (T, 144, 3) pixels and confidence, NaN where not found.
        fitted_TK2: (T, 144, 2) pixels, NaN where the motion has no camera.
        jaw_T: opening of the fitted jaw, degrees.
        audio_S: the sound, 640 samples a frame.
        detected: whether a detector looked at all.
    """

    seen_TK3: np.ndarray
    fitted_TK2: np.ndarray
    jaw_T: np.ndarray
    audio_S: np.ndarray
    detected: bool

    @classmethod
    def read(cls, clip: Clip, body: Body, *, pixels_TK2: np.ndarray | None = None) -> "ClipSignals":
        """Return a clip's series; see `clip_figures`."""
        motion = read_motion(clip.pose)
        count, detected = len(motion), clip.keypoints.is_file()
        seen_TK3 = np.full((count, len(POINTS), 3), np.nan, np.float32)
        if detected:
            keypoints = Keypoints.load(clip.keypoints)
            _check_length(clip, "frames of keypoints", len(keypoints), count)
            seen_TK3 = np.where(keypoints.found_TK[..., None], keypoints.points_TK3, np.nan)
        if pixels_TK2 is None:
            pixels_TK2 = _fitted_pixels(clip, motion, body)
        _check_length(clip, "frames of fitted points", len(pixels_TK2), count)
        jaw_T = split_pose(motion.pose_vector(body))["jaw"][:, 0].rad2deg().numpy()
        return cls(seen_TK3, pixels_TK2, jaw_T, load_audio(clip.audio), detected)

    @cached_property
    def eyes_T(self) -> np.ndarray:
        """Seen distance of the eyes' outer corners (T,), pixels."""
        return _distance(self.seen_TK3[..., :2], *EYES)

    @cached_property
    def loudness_T(self) -> np.ndarray:
        """Root mean square of each frame's sound (T,); 0 after its end."""
        audio_S = np.zeros(len(self.jaw_T) * SAMPLES_PER_FRAME)
        length = min(len(audio_S), len(self.audio_S))
        audio_S[:length] = self.audio_S[:length]
        return np.sqrt(np.square(audio_S).reshape(-1, SAMPLES_PER_FRAME).mean(1))

    def errors_TN(self, part: str) -> np.ndarray:
        """Return the distances (T, N) of a part's seen and fitted points, pixels, NaN if unseen."""
        which = EVALUATED_POINTS[part]
        return np.linalg.norm(self.seen_TK3[:, which, :2] - self.fitted_TK2[:, which], axis=2)


def lip_opening(points_TK2: np.ndarray) -> np.ndarray:
    """Return the distance (T,) of the inner lips' middles, as a share of the eye distance."""
    eyes_T = _distance(points_TK2, *EYES)
    return _distance(points_TK2, *INNER_LIPS) / np.where(eyes_T > 0, eyes_T, np.nan)


def _fitted_pixels(clip: Clip, motion: Motion, body: Body) -> np.ndarray:
    """Return (T, 144, 2) of the clip's projected.npz or else of the body in the picture."""
    path = clip.folder / "projected.npz"
    if path.is_file():
        try:
            with np.load(path, allow_pickle=False) as file:
                pixels_TK2 = file["projected"]
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: no fitted points can be read from it ({error})") from None
        if pixels_TK2.shape[1:] != (len(POINTS), 2):
            needed = f"(frames, {len(POINTS)}, 2)"
            raise DataError(f"{path}: 'projected' is {pixels_TK2.shape}; {needed} is needed")
        return pixels_TK2
    if motion.camera is None:
        return np.full((len(motion), len(POINTS), 2), np.nan, np.float32)
    betas = motion.betas if motion.body == body.name else None
    with torch.inference_mode():
        points_TK3 = body.points(motion.pose_vector(body), betas=betas)
        return motion.camera.project(points_TK3).numpy()


def _check_length(clip: Clip, what: str, count: int, needed: int) -> None:
    if count != needed:
        raise DataError(f"{clip.folder}: {count} {what}; {needed}, as its motion has, are needed")


def _distance(points_TK2: np.ndarray, a: int, b: int) -> np.ndarray:
    return np.linalg.norm(points_TK2[:, a] - points_TK2[:, b], axis=1)


MAX_LAG = 12  # frames, about half a second
LAGS = range(-MAX_LAG, MAX_LAG + 1)
MIN_OVERLAP = 25  # frames; a correlation over fewer says nothing
WILD = 3.0  # times the clip's median error: a frame the fit has lost
WILD_LEAST = {"body": 0.15, "face": 0.05, "hands": 0.15}  # eye distances; less is never wild


@dataclass(frozen=True)
class PartError:
    """Distance between seen and fitted points; None where nothing was seen.

    Attributes:
        median, p90: pixels.
        of_eye_distance: the median, as a share of the eye distance.
    """

    median: float | None
    p90: float | None
    of_eye_distance: float | None


@dataclass(frozen=True)
class BadFrames:
    """Frames from `first` to `last`, both among them, that are better not trained on."""

    first: int
    last: int
    why: str


@dataclass(frozen=True)
class ClipMetrics:
    """What a clip is worth; None is what could not be told.

    Attributes:
        name: of the clip's folder.
        seconds: `frames` at 25 a second.
        found: share of frames with body (both shoulders), face and each hand; empty where no
            detector looked.
        eye_distance: median distance of the eyes' outer corners, pixels.
        errors: reprojection error of "body" (shoulders, elbows, wrists), "face" and "hands".
        lips_correlation: of the seen and the fitted lip opening.
        lag: frames by which the sound is later than the lips, where both go together best.
        lag_correlation: of the lips' movement and loudness at that lag.
        lag_correlations: the same at every lag from −12 to 12 frames.
        throw_away: runs of frames without a face or that the fit has lost.
        notes: those of clip.json.
    """

    name: str
    frames: int
    seconds: float
    found: dict[str, float]
    eye_distance: float | None
    errors: dict[str, PartError]
    lip_correlation: float | None
    lag: int | None
    lag_correlation: float | None
    lag_correlations: tuple[float | None, ...]
    bad_frames: tuple[BadFrames, ...]
    notes: tuple[str, ...]

    @property
    def num_bad_frames(self) -> int:
        """How many frames `bad_frames` holds."""
        return sum(run.last + 1 - run.first for run in self.bad_frames)


def read_clip_metrics(
    clip: Clip, body: Body, *, pixels_TK2: np.ndarray | None = None
) -> ClipMetrics:
    """Return the figures of a clip's folder.

    Args:
        clip: with keypoints or, where the motion was fitted elsewhere, without.
        body: the body the motion is for.
        pixels_TK2: (T, 144, 2) the fitted points as the detector should see them; by default those
            of projected.npz in the clip's folder and, without it, the body's own in the picture.

    Raises:
        DataError: a part of the clip is missing or broken, or they are not of one length.
    """
    return compute_clip_metrics(clip, ClipSignals.read(clip, body, pixels_TK2=pixels_TK2))


def compute_clip_metrics(clip: Clip, series: ClipSignals) -> ClipMetrics:
    """Return a clip's figures from series already read."""
    eyes, seen_TK3 = _median(series.eyes_T), series.seen_TK3
    seen_lips_T = lip_opening(seen_TK3[..., :2])
    fitted_lips_T = lip_opening(series.fitted_TK2)
    lips_T = seen_lips_T if series.detected else fitted_lips_T
    correlations_L = audio_lag_correlations(lips_T, series.loudness_T)
    lag, lag_correlation = best_lag(correlations_L)
    found_TK = np.isfinite(seen_TK3).all(2)
    found = {part: float(found_TK[:, which].all(1).mean()) for part, which in PART_POINTS.items()}
    return ClipMetrics(
        name=clip.folder.name,
        frames=len(seen_TK3),
        seconds=len(seen_TK3) / FPS,
        found=found if series.detected else {},
        eye_distance=eyes,
        errors={part: _part_error(series.errors_TN(part), eyes) for part in EVALUATED_POINTS},
        lip_correlation=correlation(seen_lips_T, fitted_lips_T),
        lag=lag,
        lag_correlation=lag_correlation,
        lag_correlations=tuple(None if np.isnan(c) else float(c) for c in correlations_L),
        bad_frames=_throw_away(series, eyes) if series.detected else (),
        notes=clip.info().notes,
    )


def audio_lag_correlations(opening_T: np.ndarray, loudness_T: np.ndarray) -> np.ndarray:
    """Return the correlation of the lips' movement and loudness at each of `LAGS`, NaN if unknown.

    Lips move while a person speaks and may rest open while they do not, so that how fast the
    opening changes says when they speak, where the opening itself does not.
    """
    count = len(opening_T)
    if count < MIN_OVERLAP:
        return np.full(len(LAGS), np.nan)
    moving_T = np.abs(np.gradient(opening_T))
    found = []
    for lag in LAGS:
        begin, end = max(0, -lag), max(0, min(count, count - lag))
        at_lag = correlation(moving_T[begin:end], loudness_T[begin + lag : end + lag])
        found.append(np.nan if at_lag is None else at_lag)
    return np.array(found)


def best_lag(correlations_L: np.ndarray) -> tuple[int | None, float | None]:
    """Return the lag of `LAGS` with the highest correlation, and that; None if none is known."""
    if not np.isfinite(correlations_L).any():
        return None, None
    best = int(np.nanargmax(correlations_L))
    return LAGS[best], float(correlations_L[best])


def correlation(a_T: np.ndarray, b_T: np.ndarray) -> float | None:
    """Return Pearson's correlation where both are known; None if too few are or one is constant."""
    known = np.isfinite(a_T) & np.isfinite(b_T)
    if known.sum() < MIN_OVERLAP or not (np.ptp(a_T[known]) and np.ptp(b_T[known])):
        return None
    return float(np.corrcoef(a_T[known], b_T[known])[0, 1])


def _throw_away(series: ClipSignals, eyes: float | None) -> tuple[BadFrames, ...]:
    """Return the runs of frames without a face, or whose mean error is wild, in order."""
    reasons = {"no face": ~np.isfinite(series.seen_TK3[:, EVALUATED_POINTS["face"]]).all((1, 2))}
    for part in EVALUATED_POINTS:
        error_T = _row_means(series.errors_TN(part))
        usual = _median(error_T)
        if usual is not None and eyes is not None:
            reasons[f"{part} far off"] = error_T > max(WILD * usual, WILD_LEAST[part] * eyes)
    runs = [BadFrames(*run, why) for run, why in _runs(reasons)]
    return tuple(sorted(runs, key=lambda run: run.first))


def _runs(reasons: dict[str, np.ndarray]) -> list[tuple[tuple[int, int], str]]:
    """Return ((first, last), why) of each run of frames; a frame counts for its first reason."""
    free_T = np.ones_like(next(iter(reasons.values())))
    found = []
    for why, bad_T in reasons.items():
        edges = np.diff(np.concatenate(([0], bad_T & free_T, [0])).astype(int))
        ends = zip(np.flatnonzero(edges > 0), np.flatnonzero(edges < 0) - 1, strict=True)
        found += [((int(first), int(last)), why) for first, last in ends]
        free_T &= ~bad_T
    return found


def _part_error(errors_TN: np.ndarray, eyes: float | None) -> PartError:
    known = errors_TN[np.isfinite(errors_TN)]
    if not len(known):
        return PartError(None, None, None)
    median, p90 = (float(value) for value in np.percentile(known, (50, 90)))
    return PartError(median, p90, median / eyes if eyes else None)


def _row_means(values_TN: np.ndarray) -> np.ndarray:
    """Return the mean (T,) of what is known in each row, NaN where nothing is."""
    known_TN = np.isfinite(values_TN)
    count_T = known_TN.sum(1)
    sums_T = np.where(known_TN, values_TN, 0).sum(1)
    return np.where(count_T > 0, sums_T / np.maximum(count_T, 1), np.nan)


def _median(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None
