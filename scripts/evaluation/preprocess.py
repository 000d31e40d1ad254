"""A data set's fitted poses beside the demo speaker's truth, and the detector's points beside both.

Pixels are those of the clips. The fit is pose.npz as anybody reads it: its own shape and camera,
no offsets. Against the detection it is projected.npz, which says where the detector should see it.
"""

from dataclasses import dataclass, fields
from pathlib import Path

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
from speech2video.util.metrics.points import (
    FLIPPED,
    INNER_LIPS,
    aligned_distances,
    bone_angles,
    distances,
)
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
SPACE_JOINTS = JOINTS[2:]
ARM_BONES = {
    f"{side} {name}": tuple(indices((f"{side}_{a}", f"{side}_{b}")))
    for side in ("left", "right")
    for name, a, b in (("upper arm", "shoulder", "elbow"), ("forearm", "elbow", "wrist"))
}


@dataclass(frozen=True, eq=False)
class Compared:
    """One clip or several in a row: points in pixels and metres, jaw in degrees.

    Attributes:
        seen_TK2: what the detector saw, NaN where it did not.
        expected_TK2: the fit, as the detector should see it.
        fitted_TK2, true_TK2: the bodies' points; the true ones NaN outside the picture.
        fitted_TK3, true_TK3: the same in space, in their cameras' axes.
        fitted_jaw_T, true_jaw_T: how far the jaw is open.
    """

    seen_TK2: np.ndarray
    expected_TK2: np.ndarray
    fitted_TK2: np.ndarray
    true_TK2: np.ndarray
    fitted_TK3: np.ndarray
    true_TK3: np.ndarray
    fitted_jaw_T: np.ndarray
    true_jaw_T: np.ndarray

    def __len__(self) -> int:
        return len(self.true_jaw_T)


def evaluate(options: EvaluatePreprocessOptions) -> Metrics:
    """Return figures over all frames, and those of each clip.

    Raises:
        DataError: no clips, none with a truth of its name, or lengths that differ.
    """
    clips = {}
    for clip in list_clips(options.dataset):
        truth = options.truth / clip.folder.name / "pose.npz"
        if truth.is_file():
            clips[clip.folder.name] = compare(clip, truth, options.body)
    if not clips:
        raise DataError(f"{options.truth}: no clip of {options.dataset} has a NAME/pose.npz in it")
    together = Compared(
        *(
            np.concatenate([getattr(clip, field.name) for clip in clips.values()])
            for field in fields(Compared)
        )
    )
    return figures_of(together) | {"clips": {name: summary(clip) for name, clip in clips.items()}}


def compare(clip: Clip, truth: Path, body_path: Path | None) -> Compared:
    """Return a clip beside its truth."""
    fitted, true = read_motion(clip.pose), read_motion(truth)
    if len(fitted) != len(true):
        raise DataError(f"{truth}: {len(true)} frames; {len(fitted)}, as {clip.pose} has, needed")
    series = ClipSignals.read(clip, Body.load(body_path))
    points, pixels, jaws = [], [], []
    for path, motion in ((clip.pose, fitted), (truth, true)):
        if motion.camera is None:
            raise DataError(f"{path}: no camera in it; one is needed to compare pictures")
        body = Body.load(body_path, betas=motion.betas)
        info = clip.info()
        camera = motion.camera.resized(info.width, info.height)
        with torch.inference_mode():
            pose_TP = motion.pose_vector(body)
            world_TK3 = body.points(pose_TP)
            points.append(camera.to_camera(world_TK3).numpy())
            pixels.append(camera.project(world_TK3).numpy())
        jaws.append(split_pose(pose_TP)["jaw"][:, 0].rad2deg().numpy())
    inside = ((pixels[1] >= 0) & (pixels[1] < (info.width, info.height))).all(2, keepdims=True)
    pixels[1] = np.where(inside, pixels[1], np.nan)
    return Compared(series.detected_TK3[..., :2], series.fitted_TK2, *pixels, *points, *jaws)


def figures_of(clip: Compared) -> Metrics:
    """Return all figures, in groups."""
    return {
        "summary": summary(clip),
        "pixels": {part: _pixels(clip, which) for part, which in PIXEL_PARTS.items()},
        "millimetres_aligned_at_the_neck": _space(clip),
        "degrees_of_arm_bones": _bones(clip),
        "correlation_with_the_truth": _correlations(clip),
    }


def summary(clip: Compared) -> Metrics:
    """Return the few figures that have targets."""
    pixels = {
        part: percentile(_errors(clip.fitted_TK2, clip.true_TK2, PIXEL_PARTS[part]), 50)
        for part in ("body", "face_51", "face_68")
    }
    pixels["hands_seen"] = _pixels(clip, PIXEL_PARTS["hands"])["fit_where_seen"]
    aligned_TK = 1000 * aligned_distances(clip.fitted_TK3, clip.true_TK3, at=NECK)
    wrists = indices(("left_wrist", "right_wrist"))
    correlations = _correlations(clip)
    flipped = bone_angles(clip.fitted_TK3, clip.true_TK3, list(ARM_BONES.values()))
    return {
        "frames": len(clip),
        **{f"{part}_px": value for part, value in pixels.items()},
        "wrists_mm": percentile(aligned_TK[:, wrists], 50),
        "flipped_frames": int((flipped > FLIPPED).any(1).sum()),
        "lip_gap": correlations["lip_gap"]["fit"],
        "jaw": correlations["jaw"]["fit"],
    }


def _errors(points_TK2: np.ndarray, other_TK2: np.ndarray, which: list[int]) -> np.ndarray:
    return distances(points_TK2[:, which], other_TK2[:, which])


def _pixels(clip: Compared, which: list[int]) -> Metrics:
    """Return median errors against the truth: the fit's, where the part is seen too, and so on."""
    off_TN = _errors(clip.fitted_TK2, clip.true_TK2, which)
    seen_TN = np.isfinite(clip.seen_TK2[:, which]).all(2)
    return {
        "fit": percentile(off_TN, 50),
        "fit_p90": percentile(off_TN, 90),
        "fit_where_seen": percentile(np.where(seen_TN, off_TN, np.nan), 50),
        "detector": percentile(_errors(clip.seen_TK2, clip.true_TK2, which), 50),
        "fit_to_detector": percentile(_errors(clip.expected_TK2, clip.seen_TK2, which), 50),
        "seen": float(seen_TN.mean()),
    }


def _space(clip: Compared) -> Metrics:
    aligned_TK = 1000 * aligned_distances(clip.fitted_TK3, clip.true_TK3, at=NECK)
    off_TK3 = 1000 * (clip.fitted_TK3 - clip.true_TK3)
    depth_TK = off_TK3[..., 2] - off_TK3[:, NECK : NECK + 1, 2]
    return {
        joint: {
            "median": percentile(aligned_TK[:, POINT_INDEX[joint]], 50),
            "p90": percentile(aligned_TK[:, POINT_INDEX[joint]], 90),
            "median_depth": percentile(np.abs(depth_TK[:, POINT_INDEX[joint]]), 50),
            "mean_depth": float(depth_TK[:, POINT_INDEX[joint]].mean()),
        }
        for joint in SPACE_JOINTS
    }


def _bones(clip: Compared) -> Metrics:
    angles_TB = bone_angles(clip.fitted_TK3, clip.true_TK3, list(ARM_BONES.values()))
    return {
        bone: {
            "median": percentile(angles_T, 50),
            "p90": percentile(angles_T, 90),
            "flipped_frames": int((angles_T > FLIPPED).sum()),
        }
        for bone, angles_T in zip(ARM_BONES, angles_TB.T, strict=True)
    }


def _correlations(clip: Compared) -> Metrics:
    def gap(points_TKC: np.ndarray) -> np.ndarray:
        upper, lower = INNER_LIPS
        return np.linalg.norm(points_TKC[:, upper] - points_TKC[:, lower], axis=1)

    true_gap_T = gap(clip.true_TK3)
    return {
        "lip_gap": {
            "fit": correlation(gap(clip.fitted_TK3), true_gap_T),
            "detector": correlation(gap(clip.seen_TK2), gap(clip.true_TK2)),
        },
        "jaw": {"fit": correlation(clip.fitted_jaw_T, clip.true_jaw_T)},
    }
