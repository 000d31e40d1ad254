"""A detector's habits, measured where the truth is known: least squares over rendered speakers.

T frames of one speaker, N sightings of one point by all, H joints that its offset hangs on.
"""

import json
from collections.abc import Iterator
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
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import NUM_EXPRESSIONS
from speech2video.util.body.rotations import axis_angle_to_matrix
from speech2video.util.body.skeleton import (
    FINGER_TIPS,
    JOINTS,
    POINT_INDEX,
    POINTS,
    finger_chain,
    mirrored,
)
from speech2video.util.errors import DataError
from speech2video.util.rendering.camera import FACING

# Where a detector sees a point, and where the body has it: what differs, whoever is seen.
#
# A detector's "shoulder" lies on the skin's top, its "hip" below the hip's centre, its knuckles on
# the back of the hand. Each difference hangs on a joint or on several, and turns with them. The
# numbers are measured by `scripts/calibrate_detector.py` on rendered bodies, whose truth is known.

TABLES = {"mediapipe": Path(__file__).parent / "mediapipe_offsets.json"}
MIRROR = (-1.0, 1.0, 1.0)  # the other side's offset; x is to the body's left
# Bones whose guessed direction is corrected. The two sides apart: detectors are not symmetric.
ARM_BONES = {
    f"{side}_{name}": (f"{side}_{start}", f"{side}_{end}")
    for side in ("left", "right")
    for name, start, end in (("upper_arm", "shoulder", "elbow"), ("forearm", "elbow", "wrist"))
}
# iBUG landmarks of the face's right half, each with the number its mirror image adds up to.
_FACE_SUMS = (
    (range(17), 16),
    (range(17, 27), 43),
    (range(27, 31), None),
    (range(31, 36), 66),
    ((36, 37, 38, 39, 42, 43, 44, 45), 81),
    ((40, 41, 46, 47), 87),
    (range(48, 55), 102),
    (range(55, 60), 114),
    (range(60, 65), 124),
    (range(65, 68), 132),
)
FACE_MIRROR = {
    f"face_{i}": f"face_{i if total is None else total - i}"
    for numbers, total in _FACE_SUMS
    for i in numbers
}


@dataclass(frozen=True, eq=False)
class DetectorModel:
    """What is known of a detector's habits.

    Attributes:
        points_E, joints_E: (E,) which point is off, and the joint that this offset hangs on; a
            point may have several.
        offsets_E3: (E, 3) metres, in the joint's axes.
        face_K3E: (144, 3, 10) metres in the head's axes by which it sees the open body's
            expressions otherwise than they are: lips that pucker look more closed, for example.
        sigma_K: (144,) metres by which points are still off, NaN where not measured.
        bones: for each of `ARM_BONES` a (3, 4) matrix that corrects the detector's own guess of
            its direction (x to the body's left, y up, z to the viewer, 1).
    """

    points_E: Tensor
    joints_E: Tensor
    offsets_E3: Tensor
    face_K3E: Tensor
    sigma_K: Tensor
    bones: dict[str, Tensor]


def mirrored_name(name: str) -> str:
    """Return the name of the same point or joint on the other side."""
    return FACE_MIRROR.get(name, mirrored(name))


@cache
def load_detector_model(source: str) -> DetectorModel:
    """Return what is known of a detector, "mediapipe" or another.

    One without a table, such as a person's own annotation, sees points where they are.
    """
    table = TABLES.get(source)
    values = json.loads(table.read_text(encoding="utf-8")) if table else {"points": {}, "bones": {}}
    offsets: dict[tuple[int, int], Tensor] = {}
    face_K3E = torch.zeros(len(POINTS), 3, NUM_EXPRESSIONS)
    sigma_K = torch.full((len(POINTS),), torch.nan)
    for name, measured in values["points"].items():
        for mirror in (True, False):
            sign = torch.tensor(MIRROR if mirror else (1.0, 1.0, 1.0))
            point = POINT_INDEX[mirrored_name(name) if mirror else name]
            sigma_K[point] = measured["sigma_mm"] / 1000
            for joint, millimetres in measured["offset_mm"].items():
                on = JOINTS.index(mirrored_name(joint) if mirror else joint)
                offsets[point, on] = sign * torch.tensor(millimetres) / 1000
            if "expression_mm" in measured:
                face_K3E[point] = sign[:, None] * torch.tensor(measured["expression_mm"]) / 1000
    points_E, joints_E = torch.tensor(list(offsets), dtype=torch.long).reshape(-1, 2).unbind(1)
    offsets_E3 = torch.stack(list(offsets.values())) if offsets else torch.zeros(0, 3)
    bones = {name: torch.tensor(matrix) for name, matrix in values["bones"].items()}
    return DetectorModel(points_E, joints_E, offsets_E3, face_K3E, sigma_K, bones)


WELL_INSIDE = 5.0  # pixels from the border
BLUNDER = 0.02  # metres; beyond it an error's weight falls
ROUNDS = 4  # of weighing blunders down
LEAST_SEEN = 100  # sightings that a point needs
STIFFNESS = 0.02  # of all sightings' weight: what holds offsets at zero and directions as seen
FACE_STIFFNESS = 0.003  # the same for what comes with an expression
LIP_AND_CHIN = (*range(5, 12), *range(55, 60), *range(65, 68))  # iBUG landmarks that the jaw moves


@dataclass(frozen=True, eq=False)
class CalibrationClip:
    """A rendered speaker's frames: what was seen, and what was to be seen.

    Attributes:
        seen: the detector's keypoints.
        points_TK3: true points in camera axes, metres.
        pixels_TK2: the same in the picture.
        turned_TJ33: the joints' true rotations into camera axes.
        expression_TE: (T, 10) true expressions.
        focal, center_2: of the camera, pixels.
    """

    seen: Keypoints
    points_TK3: np.ndarray
    pixels_TK2: np.ndarray
    turned_TJ33: np.ndarray
    expression_TE: np.ndarray
    focal: float
    center_2: np.ndarray

    @classmethod
    def of(cls, seen: Keypoints, truth: Motion) -> "CalibrationClip":
        """Return keypoints beside the true motion, with its camera; raises `DataError`."""
        if truth.camera is None or len(truth) != len(seen):
            raise DataError(f"{len(seen)} frames seen, {len(truth)} true; a camera is needed, too")
        points_TK3 = Body.load(betas=truth.betas).points(truth.pose_vector(Body.load()))
        camera = truth.camera
        turned_TJ33 = global_rotations(axis_angle_to_matrix(truth.smplx.rotations))
        return cls(
            seen=seen,
            points_TK3=camera.to_camera(points_TK3).numpy(),
            pixels_TK2=camera.project(points_TK3).numpy(),
            turned_TJ33=(torch.tensor(camera.rotation) @ turned_TJ33).numpy(),
            expression_TE=truth.smplx.expression.numpy(),
            focal=camera.focal,
            center_2=np.array(camera.center),
        )


def calibrate(strips: list[CalibrationClip]) -> dict[str, Any]:
    """Return the table that `detector_offsets` reads: offsets and what is left, millimetres."""
    points = {}
    for name, joints in offset_joints().items():
        measured = _offset(strips, name, joints)
        if measured is not None:
            offset_H3, expression_3E, sigma = measured
            places = zip(joints, _millimetres(offset_H3), strict=True)
            points[name] = {"offset_mm": dict(places), "sigma_mm": _millimetres(sigma)}
            if expression_3E.size:
                points[name]["expression_mm"] = _millimetres(expression_3E)
    bones = {name: _direction(strips, *ends).round(3).tolist() for name, ends in ARM_BONES.items()}
    return {"points": points, "bones": bones}


def _millimetres(metres: np.ndarray) -> Any:
    return (1000 * metres).round(1).tolist()


def offset_joints() -> dict[str, tuple[str, ...]]:
    """Return the joints that each point's offset hangs on: the left side's, the face's right half.

    Where sleeves hide a joint, detectors go by the bones on both its sides.
    """
    found = {
        "left_hip": ("pelvis",),
        "left_shoulder": ("left_collar", "left_shoulder"),
        "left_elbow": ("left_collar", "left_shoulder", "left_elbow"),
        "left_wrist": ("left_elbow", "left_wrist"),
        "left_ear": ("head",),
    }
    for finger in FINGER_TIPS:
        chain = finger_chain("left", finger)
        found |= {end: (start,) for start, end in pairwise(chain)}
    for number in range(68):
        name = f"face_{number}"
        if number <= int(mirrored_name(name).removeprefix("face_")):
            found[name] = ("jaw" if number in LIP_AND_CHIN else "head",)
    return found


def _offset(
    strips: list[CalibrationClip], name: str, joints: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return a point's offsets (H, 3), what expressions add to them (3, 10; of the face) and what
    is left of its error in each direction, metres.
    """
    found = [
        _sightings(strip, name, joints, mirror) for strip in strips for mirror in (False, True)
    ]
    change_N2U, error_N2 = (np.concatenate(part) for part in zip(*found, strict=True))
    if len(error_N2) < LEAST_SEEN:
        return None
    stiffness_U = np.full(change_N2U.shape[2], FACE_STIFFNESS)
    stiffness_U[: 3 * len(joints)] = STIFFNESS
    left_N2 = error_N2 - np.median(error_N2, axis=0)
    for _ in range(ROUNDS):
        weight_N = 1 / np.sqrt(1 + np.square(left_N2 / BLUNDER).sum(1))
        weighed_U2N = (change_N2U * weight_N[:, None, None]).transpose(2, 1, 0)
        normal = np.tensordot(weighed_U2N, change_N2U, ((2, 1), (0, 1)))
        normal += np.diag(stiffness_U * weight_N.sum())
        offset_U = np.linalg.solve(normal, np.tensordot(weighed_U2N, error_N2, ((2, 1), (0, 1))))
        left_N2 = error_N2 - change_N2U @ offset_U
    spread = np.average(np.square(left_N2).mean(1), weights=weight_N)
    offset_H3, expression_U = np.split(offset_U, [3 * len(joints)])
    return offset_H3.reshape(-1, 3), expression_U.reshape(3, -1), np.sqrt(spread)


def _sightings(
    strip: CalibrationClip, name: str, joints: tuple[str, ...], mirror: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return how a point moves across the picture with its offsets (N, 2, U), and its error.

    Both in metres at the point's depth; errors (N, 2) of the frames in which it was seen. The
    unknowns are 3 for each joint and, of the face, 3 for each expression. With `mirror`, it is the
    other side's point, as if it were of this side.
    """
    if mirror:
        name, joints = mirrored_name(name), tuple(mirrored_name(joint) for joint in joints)
    point = POINT_INDEX[name]
    seen_T3, true_T2 = strip.seen.points_TK3[:, point], strip.pixels_TK2[:, point]
    size_2 = np.array((strip.seen.width, strip.seen.height))
    inside_T = ((true_T2 > WELL_INSIDE) & (true_T2 < size_2 - WELL_INSIDE)).all(1)
    which = (seen_T3[:, 2] >= MIN_CONFIDENCE) & inside_T
    axes_NH33 = strip.turned_TJ33[which][:, [JOINTS.index(joint) for joint in joints]]
    axes_NH33 = axes_NH33 * np.array(MIRROR if mirror else (1.0, 1.0, 1.0))
    axes_N3U = np.concatenate([axes_NH33[:, number] for number in range(len(joints))], 2)
    if name.startswith("face"):
        head_N33 = strip.turned_TJ33[which, JOINTS.index("head")]
        head_N33 = head_N33 * np.array(MIRROR if mirror else (1.0, 1.0, 1.0))
        by_expression = head_N33[..., None] * strip.expression_TE[which, None, None]
        axes_N3U = np.concatenate([axes_N3U, by_expression.reshape(len(axes_N3U), 3, -1)], 2)
    slope_N2 = (true_T2[which] - strip.center_2) / strip.focal
    metres_N1 = strip.points_TK3[which, point, 2:] / strip.focal
    change_N2U = axes_N3U[:, :2] - slope_N2[..., None] * axes_N3U[:, 2:]
    return change_N2U, (seen_T3[which, :2] - true_T2[which]) * metres_N1


def _direction(strips: list[CalibrationClip], start: str, end: str) -> np.ndarray:
    """Return the matrix (3, 4) that best turns the detector's direction of a bone into the true."""
    guesses, truths = zip(*_directions(strips, start, end), strict=True)
    guess_N4 = np.pad(np.concatenate(guesses), ((0, 0), (0, 1)), constant_values=1.0)
    truth_N3 = np.concatenate(truths)
    normal = guess_N4.T @ guess_N4 + STIFFNESS * len(guess_N4) * np.eye(4)
    as_seen = np.eye(4, 3)
    change = np.linalg.solve(normal, guess_N4.T @ (truth_N3 - guess_N4 @ as_seen))
    return (as_seen + change).T


def _directions(
    strips: list[CalibrationClip], start: str, end: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield guessed and true directions (N, 3), unit vectors, x to the body's left, y up."""
    a, b = POINT_INDEX[start], POINT_INDEX[end]
    for strip in strips:
        vectors = [
            (points[:, b] - points[:, a]) @ np.array(FACING)
            for points in (strip.seen.world_TK3, strip.points_TK3)
        ]
        known = np.isfinite(vectors[0]).all(1)
        guess_N3, truth_N3 = (
            found[known] / np.linalg.norm(found[known], axis=1, keepdims=True) for found in vectors
        )
        yield guess_N3, truth_N3
