"""Systematic errors of a detector, and their calibration on rendered speakers.

A detector's "shoulder" lies on top of the skin, its "hip" below the centre of the hip, its knuckles
on the back of the hand. Each offset is relative to one or several joints, and turns with them.
`scripts/calibrate_detector.py` measures them on rendered bodies, whose ground truth is known.

T frames of one speaker, N detections of one point, H joints of its offset, U unknowns.
"""

import json
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speech2video.data.keypoints import MIN_CONFIDENCE, Keypoints
from speech2video.data.motion import Motion
from speech2video.data.preprocessing.fitting.jacobian import global_rotations
from speech2video.util.body import skeleton
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import NUM_EXPRESSIONS
from speech2video.util.body.rotations import axis_angle_to_matrix
from speech2video.util.body.skeleton import JOINTS, POINT_INDEX, POINTS, mirrored
from speech2video.util.errors import DataError
from speech2video.util.rendering.camera import FACING, Camera

TABLES = {"mediapipe": Path(__file__).parent / "mediapipe_offsets.json"}
MIRROR = (-1.0, 1.0, 1.0)  # of an offset to the other side's; x is to the body's left
# Bones whose guessed direction is corrected, each side by itself: detectors are not symmetric.
ARM_BONES = {
    f"{side}_{name}": (f"{side}_{start}", f"{side}_{end}")
    for side in ("left", "right")
    for name, start, end in (("upper_arm", "shoulder", "elbow"), ("forearm", "elbow", "wrist"))
}
MIN_BORDER_DISTANCE = 5.0  # pixels, of points used
OUTLIER = 0.02  # metres; larger errors lose weight
ITERATIONS = 4  # of reweighting
MIN_DETECTIONS = 100  # of a point
# Ridge penalties relative to the weight of all detections.
RIDGE = 0.02  # on offsets, and on corrections of directions
EXPRESSION_RIDGE = 0.003  # on offsets by expression
JAW_LANDMARKS = (*range(5, 12), *range(55, 60), *range(65, 68))  # iBUG's of lower lip and chin


@dataclass(frozen=True, eq=False)
class DetectorModel:
    """Systematic errors of a detector.

    Attributes:
        points_E, joints_E: (E,) point of each offset, and the joint that it is relative to; a point
            may have several.
        offsets_E3: (E, 3) metres, in the joint's axes.
        face_K3E: (144, 3, 10) metres in the head's axes, added to the open body's expressions: lips
            that pucker are detected as more closed, for example.
        sigma_K: (144,) metres, remaining error of points, NaN where not measured.
        bones: for each of `ARM_BONES` a (3, 4) matrix that corrects the detector's own guess of
            its direction (x to the body's left, y up, z to the viewer, 1).
    """

    points_E: Tensor
    joints_E: Tensor
    offsets_E3: Tensor
    face_K3E: Tensor
    sigma_K: Tensor
    bones: dict[str, Tensor]


@cache
def load_detector_model(source: str) -> DetectorModel:
    """Return the model of a detector; without a table, as for manual annotation, no errors."""
    table = TABLES.get(source)
    values = json.loads(table.read_text(encoding="utf-8")) if table else {"points": {}, "bones": {}}
    offsets: dict[tuple[int, int], Tensor] = {}
    face_K3E = torch.zeros(len(POINTS), 3, NUM_EXPRESSIONS)
    sigma_K = torch.full((len(POINTS),), torch.nan)
    for name, measured in values["points"].items():
        for mirror in (True, False):
            sign = torch.tensor(MIRROR if mirror else (1.0, 1.0, 1.0))
            point = POINT_INDEX[mirrored(name) if mirror else name]
            sigma_K[point] = measured["sigma_mm"] / 1000
            for joint, millimetres in measured["offset_mm"].items():
                on = JOINTS.index(mirrored(joint) if mirror else joint)
                offsets[point, on] = sign * torch.tensor(millimetres) / 1000
            if "expression_mm" in measured:
                face_K3E[point] = sign[:, None] * torch.tensor(measured["expression_mm"]) / 1000
    points_E, joints_E = torch.tensor(list(offsets), dtype=torch.long).reshape(-1, 2).unbind(1)
    offsets_E3 = torch.stack(list(offsets.values())) if offsets else torch.zeros(0, 3)
    bones = {name: torch.tensor(matrix) for name, matrix in values["bones"].items()}
    return DetectorModel(points_E, joints_E, offsets_E3, face_K3E, sigma_K, bones)


@dataclass(frozen=True, eq=False)
class CalibrationClip:
    """Keypoints of a rendered speaker with their ground truth.

    Attributes:
        keypoints: the detector's.
        camera: of the image.
        points_TK3: true points in camera axes, metres.
        pixels_TK2: true points in the image.
        rotations_TJ33: true rotations of the joints into camera axes.
        expression_TE: (T, 10) true expressions.
    """

    keypoints: Keypoints
    camera: Camera
    points_TK3: np.ndarray
    pixels_TK2: np.ndarray
    rotations_TJ33: np.ndarray
    expression_TE: np.ndarray

    @classmethod
    def of(cls, keypoints: Keypoints, ground_truth: Motion) -> "CalibrationClip":
        """Return keypoints with their true motion and its camera; raises `DataError`."""
        camera, count = ground_truth.camera, len(ground_truth)
        if camera is None or count != len(keypoints):
            lengths = f"{len(keypoints)} frames of keypoints, {count} of ground truth"
            raise DataError(f"{lengths}; as many, and a camera, are needed")
        body = Body.load(betas=ground_truth.betas)
        points_TK3 = body.points(ground_truth.pose_vector(Body.load()))
        rotations_TJ33 = global_rotations(axis_angle_to_matrix(ground_truth.smplx.rotations))
        return cls(
            keypoints,
            camera,
            camera.to_camera(points_TK3).numpy(),
            camera.project(points_TK3).numpy(),
            (torch.tensor(camera.rotation) @ rotations_TJ33).numpy(),
            ground_truth.smplx.expression.numpy(),
        )


def calibrate(clips: list[CalibrationClip]) -> dict[str, Any]:
    """Return the table of `load_detector_model`: offsets and remaining errors, millimetres."""
    found = {name: _fit_offset(clips, name, joints) for name, joints in offset_joints().items()}
    bones = {name: _fit_direction(clips, *ends) for name, ends in ARM_BONES.items()}
    return {
        "points": {name: measured for name, measured in found.items() if measured},
        "bones": {name: matrix_34.round(3).tolist() for name, matrix_34 in bones.items()},
    }


def _millimetres(metres: np.ndarray) -> Any:
    return (1000 * metres).round(1).tolist()


def offset_joints() -> dict[str, tuple[str, ...]]:
    """Return the joints that each point's offset is relative to.

    Contains points of the left side and the right half of the face. Where sleeves hide a joint,
    detectors depend on the bones on both its sides.
    """
    found = {
        "left_hip": ("pelvis",),
        "left_shoulder": ("left_collar", "left_shoulder"),
        "left_elbow": ("left_collar", "left_shoulder", "left_elbow"),
        "left_wrist": ("left_elbow", "left_wrist"),
        "left_ear": ("head",),
    }
    for finger in skeleton.FINGER_TIPS:
        chain = skeleton.finger_chain("left", finger)
        found |= {end: (start,) for start, end in pairwise(chain)}
    for number, mirror in enumerate(skeleton.IBUG_MIRROR):
        if number <= mirror:
            found[f"face_{number}"] = ("jaw" if number in JAW_LANDMARKS else "head",)
    return found


def _fit_offset(
    clips: list[CalibrationClip], name: str, joints: tuple[str, ...]
) -> dict[str, Any] | None:
    """Return a point's offsets, those by expression (3, 10) and its remaining error, millimetres.

    There are offsets by expression for points of the face only. None for too few detections.
    """
    found = [_linearise(clip, name, joints, mirror) for clip in clips for mirror in (False, True)]
    change_N2U, error_N2 = (np.concatenate(part) for part in zip(*found, strict=True))
    if len(error_N2) < MIN_DETECTIONS:
        return None
    ridge_U = np.full(change_N2U.shape[2], EXPRESSION_RIDGE)
    ridge_U[: 3 * len(joints)] = RIDGE
    left_N2 = error_N2 - np.median(error_N2, axis=0)
    weight_N, offset_U = np.ones(len(error_N2)), np.zeros(len(ridge_U))
    for _ in range(ITERATIONS):
        weight_N = 1 / np.sqrt(1 + np.square(left_N2 / OUTLIER).sum(1))
        weighted_U2N = (change_N2U * weight_N[:, None, None]).transpose(2, 1, 0)
        normal = np.tensordot(weighted_U2N, change_N2U, ((2, 1), (0, 1)))
        normal += np.diag(ridge_U * weight_N.sum())
        offset_U = np.linalg.solve(normal, np.tensordot(weighted_U2N, error_N2, ((2, 1), (0, 1))))
        left_N2 = error_N2 - change_N2U @ offset_U
    variance = np.average(np.square(left_N2).mean(1), weights=weight_N)
    offset_H3, expression_3E = np.split(offset_U, [3 * len(joints)])
    offsets = dict(zip(joints, _millimetres(offset_H3.reshape(-1, 3)), strict=True))
    measured = {"offset_mm": offsets, "sigma_mm": _millimetres(np.sqrt(variance))}
    if expression_3E.size:
        measured["expression_mm"] = _millimetres(expression_3E.reshape(3, -1))
    return measured


def _linearise(
    clip: CalibrationClip, name: str, joints: tuple[str, ...], mirror: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return a point's derivatives (N, 2, U) by its offsets, and its errors (N, 2).

    Both are in the image plane, metres at the point's depth, of the frames with a detection. The
    unknowns are 3 for each joint and, for the face, 3 for each expression. `mirror` takes the
    point of the other side, as if it were of this side.
    """
    sign_3 = np.array(MIRROR if mirror else (1.0, 1.0, 1.0))
    if mirror:
        name, joints = mirrored(name), tuple(mirrored(joint) for joint in joints)
    point = POINT_INDEX[name]
    detected_T3, true_T2 = clip.keypoints.points_TK3[:, point], clip.pixels_TK2[:, point]
    size_2 = np.array((clip.keypoints.width, clip.keypoints.height))
    inside_T2 = (true_T2 > MIN_BORDER_DISTANCE) & (true_T2 < size_2 - MIN_BORDER_DISTANCE)
    used_T = (detected_T3[:, 2] >= MIN_CONFIDENCE) & inside_T2.all(1)
    axes = [clip.rotations_TJ33[used_T, JOINTS.index(joint)] * sign_3 for joint in joints]
    if name.startswith("face"):
        head_N33 = clip.rotations_TJ33[used_T, JOINTS.index("head")] * sign_3
        by_expression = head_N33[..., None] * clip.expression_TE[used_T, None, None]
        axes.append(by_expression.reshape(len(head_N33), 3, -1))
    axes_N3U = np.concatenate(axes, 2)
    slope_N2 = (true_T2[used_T] - np.array(clip.camera.center)) / clip.camera.focal
    metres_N1 = clip.points_TK3[used_T, point, 2:] / clip.camera.focal
    change_N2U = axes_N3U[:, :2] - slope_N2[..., None] * axes_N3U[:, 2:]
    return change_N2U, (detected_T3[used_T, :2] - true_T2[used_T]) * metres_N1


def _fit_direction(clips: list[CalibrationClip], start: str, end: str) -> np.ndarray:
    """Return the matrix (3, 4) that corrects the detector's direction of a bone."""
    directions = [_directions(clip, POINT_INDEX[start], POINT_INDEX[end]) for clip in clips]
    guess_N3, true_N3 = (np.concatenate(part) for part in zip(*directions, strict=True))
    guess_N4 = np.pad(guess_N3, ((0, 0), (0, 1)), constant_values=1.0)
    normal = guess_N4.T @ guess_N4 + RIDGE * len(guess_N4) * np.eye(4)
    identity = np.eye(4, 3)
    change = np.linalg.solve(normal, guess_N4.T @ (true_N3 - guess_N4 @ identity))
    return (identity + change).T


def _directions(clip: CalibrationClip, start: int, end: int) -> list[np.ndarray]:
    """Return guessed and true directions (N, 3), unit vectors, x to the body's left, y up."""
    points = clip.keypoints.world_TK3, clip.points_TK3
    vectors = [(at_TK3[:, end] - at_TK3[:, start]) @ np.array(FACING) for at_TK3 in points]
    vectors = [vector_T3[np.isfinite(vectors[0]).all(1)] for vector_T3 in vectors]
    return [vector_N3 / np.linalg.norm(vector_N3, axis=1, keepdims=True) for vector_N3 in vectors]
