"""Evaluation of fitted poses and detected points against the demo speaker's ground truth.

Pixels are those of the clips. The fit is pose.npz with its own shape and camera; against the
detector it is projected.npz, the fitted points at the detector's landmarks.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from evaluation.tables import Metrics
from speech2video.data.clip import Clip, list_clips
from speech2video.data.motion_io import read_motion
from speech2video.data.preprocessing.clip_metrics import EVALUATED_POINTS, ClipSignals
from speech2video.options.evaluation import EvaluatePreprocessOptions
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import split_pose
from speech2video.util.body.skeleton import IBUG68, POINT_INDEX, indices
from speech2video.util.errors import DataError
from speech2video.util.metrics import motion as points
from speech2video.util.metrics.motion import distances
from speech2video.util.metrics.statistics import correlation, percentile

JOINTS = tuple(
    f"{side}_{at}" for at in ("shoulder", "elbow", "wrist") for side in ("left", "right")
)
PIXEL_PARTS = {
    "body": EVALUATED_POINTS["body"],
    "hands": EVALUATED_POINTS["hands"],
    "face_51": list(IBUG68[17:]),
    "face_68": list(IBUG68),
} | {joint: [POINT_INDEX[joint]] for joint in JOINTS}
NECK = POINT_INDEX["neck"]
WRISTS = indices(("left_wrist", "right_wrist"))
ARM_BONES = {
    f"{side} {name}": (POINT_INDEX[f"{side}_{a}"], POINT_INDEX[f"{side}_{b}"])
    for side in ("left", "right")
    for name, a, b in (("upper arm", "shoulder", "elbow"), ("forearm", "elbow", "wrist"))
}


class Comparison(NamedTuple):
    """Fitted, detected and true points of one or several clips; pixels, metres and degrees.

    Attributes:
        detected_TK2: NaN where missing.
        projected_TK2: the fit at the detector's landmarks.
        fitted_TK2, true_TK2: points of the bodies; true ones outside the image are NaN.
        fitted_TK3, true_TK3: the same in camera coordinates.
        fitted_jaw_T, true_jaw_T: jaw opening.
    """

    detected_TK2: np.ndarray
    projected_TK2: np.ndarray
    fitted_TK2: np.ndarray
    true_TK2: np.ndarray
    fitted_TK3: np.ndarray
    true_TK3: np.ndarray
    fitted_jaw_T: np.ndarray
    true_jaw_T: np.ndarray


def evaluate(options: EvaluatePreprocessOptions) -> Metrics:
    """Return metrics over all frames, and a summary of each clip.

    Raises:
        DataError: no clips, none with ground truth of its name, or different lengths.
    """
    clips = {}
    for clip in list_clips(options.dataset):
        true_path = options.ground_truth / clip.folder.name / "pose.npz"
        if true_path.is_file():
            clips[clip.folder.name] = compare(clip, true_path, options.body)
    if not clips:
        raise DataError(
            f"{options.ground_truth}: no clip of {options.dataset} has a NAME/pose.npz in it"
        )
    whole = Comparison(*map(np.concatenate, zip(*clips.values(), strict=True)))
    return {
        "summary": _summary(whole),
        "pixels": {part: _pixel_errors(whole, chosen) for part, chosen in PIXEL_PARTS.items()},
        "millimetres_aligned_at_the_neck": _space_errors(whole),
        "degrees_of_arm_bones": _bone_errors(whole),
        "correlation_with_ground_truth": _correlations(whole),
        "clips": {name: _summary(clip) for name, clip in clips.items()},
    }


def compare(clip: Clip, true_path: Path, body_path: Path | None) -> Comparison:
    """Compare a clip with the motion file of its ground truth."""
    fitted, true = read_motion(clip.pose), read_motion(true_path)
    if len(fitted) != len(true):
        raise DataError(
            f"{true_path}: {len(true)} frames; {len(fitted)}, as {clip.pose} has, needed"
        )
    signals = ClipSignals.read(clip, Body.load(body_path))
    info = clip.info()
    metres, pixels, jaws = [], [], []
    for path, motion in ((clip.pose, fitted), (true_path, true)):
        if motion.camera is None:
            raise DataError(f"{path}: no camera in it; one is needed to compare pixels")
        body = Body.load(body_path, betas=motion.betas)
        camera = motion.camera.resized(info.width, info.height)
        with torch.inference_mode():
            pose_TP = motion.pose_vector(body)
            world_TK3 = body.points(pose_TP)
            metres.append(camera.to_camera(world_TK3).numpy())
            pixels.append(camera.project(world_TK3).numpy())
        jaws.append(split_pose(pose_TP)["jaw"][:, 0].rad2deg().numpy())
    inside = ((pixels[1] >= 0) & (pixels[1] < (info.width, info.height))).all(2, keepdims=True)
    pixels[1] = np.where(inside, pixels[1], np.nan)
    return Comparison(signals.detected_TK3[..., :2], signals.fitted_TK2, *pixels, *metres, *jaws)


def _summary(clip: Comparison) -> Metrics:
    """Return the metrics that have targets."""
    errors = {part: _pixel_errors(clip, chosen) for part, chosen in PIXEL_PARTS.items()}
    pixels = {part: errors[part]["fit"] for part in ("body", "face_51", "face_68")}
    pixels["hands_detected"] = errors["hands"]["fit_where_detected"]
    aligned_TK = 1000 * points.aligned_distances(clip.fitted_TK3, clip.true_TK3, at=NECK)
    correlations = _correlations(clip)
    angles_TB = points.bone_angles(clip.fitted_TK3, clip.true_TK3, list(ARM_BONES.values()))
    return {
        "frames": len(clip.true_jaw_T),
        **{f"{part}_px": value for part, value in pixels.items()},
        "wrists_mm": percentile(aligned_TK[:, WRISTS], 50),
        "flipped_frames": int((angles_TB > points.FLIPPED).any(1).sum()),
        "lip_opening": correlations["lip_opening"]["fit"],
        "jaw": correlations["jaw"]["fit"],
    }


def _pixel_errors(clip: Comparison, chosen: list[int]) -> Metrics:
    """Return median errors of fit and detector for some points."""
    detected, projected, fitted, true = (points_TK2[:, chosen] for points_TK2 in clip[:4])
    error_TN, detected_TN = distances(fitted, true), np.isfinite(detected).all(2)
    return {
        "fit": percentile(error_TN, 50),
        "fit_p90": percentile(error_TN, 90),
        "fit_where_detected": percentile(np.where(detected_TN, error_TN, np.nan), 50),
        "detector": percentile(distances(detected, true), 50),
        "fit_to_detector": percentile(distances(projected, detected), 50),
        "detected": float(detected_TN.mean()),
    }


def _space_errors(clip: Comparison) -> Metrics:
    aligned_TK = 1000 * points.aligned_distances(clip.fitted_TK3, clip.true_TK3, at=NECK)
    error_TK3 = 1000 * (clip.fitted_TK3 - clip.true_TK3)
    depth_TK = error_TK3[..., 2] - error_TK3[:, NECK : NECK + 1, 2]
    return {
        joint: {
            "median": percentile(aligned_TK[:, index], 50),
            "p90": percentile(aligned_TK[:, index], 90),
            "median_depth": percentile(np.abs(depth_TK[:, index]), 50),
            "mean_depth": float(depth_TK[:, index].mean()),
        }
        for joint, index in ((joint, POINT_INDEX[joint]) for joint in JOINTS[2:])
    }


def _bone_errors(clip: Comparison) -> Metrics:
    angles_TB = points.bone_angles(clip.fitted_TK3, clip.true_TK3, list(ARM_BONES.values()))
    return {
        bone: {
            "median": percentile(angles_T, 50),
            "p90": percentile(angles_T, 90),
            "flipped_frames": int((angles_T > points.FLIPPED).sum()),
        }
        for bone, angles_T in zip(ARM_BONES, angles_TB.T, strict=True)
    }


def _correlations(clip: Comparison) -> Metrics:
    def opening(points_TKC: np.ndarray) -> np.ndarray:
        upper, lower = points.INNER_LIPS
        return distances(points_TKC[:, upper], points_TKC[:, lower])

    return {
        "lip_opening": {
            "fit": correlation(opening(clip.fitted_TK3), opening(clip.true_TK3)),
            "detector": correlation(opening(clip.detected_TK2), opening(clip.true_TK2)),
        },
        "jaw": {"fit": correlation(clip.fitted_jaw_T, clip.true_jaw_T)},
    }
