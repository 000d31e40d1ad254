"""Residuals of the body fit: observed keypoints with their uncertainty, and the rows they give.

A block of rows holds, for every frame, errors (T, N) in standard deviations and their derivatives
by the solver's unknowns (T, N, 82). Lengths are in metres on the person, independent of the image
size. Rows with large errors lose weight: Charbonnier's penalty, by iteratively reweighted least
squares.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from speech2video.data.keypoints import PART_POINTS, Keypoints
from speech2video.data.preprocessing.fitting import calibration
from speech2video.data.preprocessing.fitting.jacobian import (
    COLUMNS,
    POSE_STARTS,
    TURNED,
    UNKNOWNS,
    turn_column,
)
from speech2video.util.body import skeleton
from speech2video.util.body.pose_vector import POSE_SLICES
from speech2video.util.body.skeleton import IBUG68, JOINTS, POINT_INDEX, POINTS, indices
from speech2video.util.rendering.camera import Camera

# Standard deviations of a detector's error, metres on the person.
BODY_SIGMA = 0.006
HIP_SIGMA = 0.015  # guessed under clothes and often at the image border
HAND_SIGMA = 0.008
FACE_SIGMA = 0.004
LIP_SIGMA = 0.002
CONTOUR_SIGMA = 0.012  # points of the silhouette slide along the cheek
SKIN_SIGMA = 0.02  # ears, toes, heels
HAND_NOISE_SCALE = 0.6  # of a hand's error, which changes from frame to frame and averages out
MIN_SIGMA = 0.002  # faces of people differ more from the body model than renderings do
# Sleeves double the detector's error, for seconds on end. The rest pose and the guessed directions,
# which would take over with a wider sigma, are farther off.
ARM_SIGMA = 0.004
ARM_JOINTS = indices(("left_elbow", "left_wrist", "right_elbow", "right_wrist"))
LIP_GAP_SIGMA = 0.001

MIN_CONFIDENCE = 0.3  # from which a body joint counts as visible
_BODY_JOINTS = [
    i
    for name, i in POINT_INDEX.items()
    if name.endswith(("shoulder", "elbow", "wrist", "hip", "knee", "ankle")) and i < len(JOINTS)
]
# Pairs across the mouth, whose distances give the lip shape for a face of any shape.
_INNER_LIPS = ((61, 67), (62, 66), (63, 65), (60, 64))
_OUTER_LIPS = ((50, 58), (51, 57), (52, 56), (48, 54))
LIP_PAIRS = tuple((IBUG68[a], IBUG68[b]) for a, b in _INNER_LIPS + _OUTER_LIPS)

# Bones whose direction in space a detector may guess, as (from, to); fingers from the wrist on.
_FINGER_BONES = [
    bone
    for side in ("left", "right")
    for finger in skeleton.FINGER_TIPS
    for bone in pairwise(indices(skeleton.finger_chain(side, finger)))
]
BONES = [
    *(tuple(indices(ends)) for ends in calibration.ARM_BONES.values()),
    (POINT_INDEX["right_shoulder"], POINT_INDEX["left_shoulder"]),
    (POINT_INDEX["right_hip"], POINT_INDEX["left_hip"]),
    *_FINGER_BONES,
]
FINGER_WEIGHT = 0.15  # relative to an arm bone: fingers are well visible, and many
IN_PLANE_WEIGHT = 0.3  # of a guessed direction in the image plane, relative to depth

# Rest pose (radians): arms hang at the sides, slightly bent.
REST_POSE = {
    "left_shoulder": (0.1, -0.1, -1.15),
    "right_shoulder": (0.1, 0.1, 1.15),
    "left_elbow": (0.0, -0.5, 0.1),
    "right_elbow": (0.0, 0.5, -0.1),
}
# Standard deviation from the rest pose, radians; small where images are hardly informative.
PRIOR_SIGMA: dict[str, tuple[float, float, float]] = {
    "pelvis": (0.2, 0.5, 0.15),
    "spine1": (0.15, 0.15, 0.1),
    "spine2": (0.1, 0.15, 0.08),
    "spine3": (0.1, 0.15, 0.08),
    "neck": (0.25, 0.3, 0.15),
    "head": (0.3, 0.4, 0.2),
    "collar": (0.15, 0.3, 0.3),
    "shoulder": (0.6, 0.8, 0.8),
    "elbow": (0.5, 1.5, 0.5),
    "wrist": (0.7, 0.5, 0.7),
    "jaw": (0.25, 0.02, 0.02),
}
HIDDEN_SCALE = 0.3  # of these deviations, for an invisible arm or hand
EXPRESSION_SIGMA = 0.3
FINGER_SIGMA = 1.0
TRANSLATION_SIGMA = 10.0  # metres: free


@dataclass(frozen=True)
class Observations:
    """Detected points of one clip.

    Attributes:
        pixels: (T, 144, 2), zeros where missing.
        weight: (T, 144), confidence over the detector's error, 1/metres, 0 where missing.
        directions: (T, B, 3) unit vectors of `BONES` in world axes, zeros where unknown.
        arm_visible: (T, 2) whether an elbow or wrist is visible, left and right.
        hand_visible: (T, 2) whether all points of a hand are visible.
        width, height: of the frames, pixels.
    """

    pixels: Tensor
    weight: Tensor
    directions: Tensor
    arm_visible: Tensor
    hand_visible: Tensor
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.pixels)

    def frames(self, chunk: slice) -> "Observations":
        """Return the observations of some frames."""
        parts = {name: part[chunk] for name, part in vars(self).items() if isinstance(part, Tensor)}
        return replace(self, **parts)

    def without_face(self) -> "Observations":
        """Return the observations with zero weight on the landmarks of the face."""
        weight = self.weight.clone()
        weight[:, list(IBUG68)] = 0.0
        return replace(self, weight=weight)


def observe(keypoints: Keypoints) -> Observations:
    """Return the observations of one clip's keypoints."""
    points_TK3 = keypoints.points_TK3
    confidence = np.where(np.isfinite(points_TK3).all(2), points_TK3[..., 2], 0.0)
    pixels = np.where(confidence[..., None] > 0, points_TK3[..., :2], 0.0)
    inside = ((pixels >= 0) & (pixels < (keypoints.width, keypoints.height))).all(2)
    confidence = np.where(inside, confidence, 0.0)  # detectors only guess outside the image
    visible = confidence > MIN_CONFIDENCE
    sides = ("left", "right")
    hands = [confidence[:, PART_POINTS[f"{side}_hand"]].min(1) > 0 for side in sides]
    arms = [visible[:, indices((f"{side}_elbow", f"{side}_wrist"))].any(1) for side in sides]
    confidence[:, _BODY_JOINTS] *= visible[:, _BODY_JOINTS]
    detector = calibration.load_detector_model(keypoints.source)
    return Observations(
        torch.from_numpy(pixels).float(),
        torch.from_numpy(confidence / _sigmas(detector)).float(),
        _directions(keypoints, detector),
        torch.from_numpy(np.stack(arms, 1)),
        torch.from_numpy(np.stack(hands, 1)),
        keypoints.width,
        keypoints.height,
    )


def _sigmas(detector: calibration.DetectorModel) -> np.ndarray:
    """Return the error (144,) of each point, metres: measured, or a default."""
    hands = PART_POINTS["left_hand"] + PART_POINTS["right_hand"]
    sigma = np.full(len(POINTS), SKIN_SIGMA)
    sigma[: len(JOINTS)] = BODY_SIGMA
    sigma[indices(("left_hip", "right_hip"))] = HIP_SIGMA
    sigma[hands] = HAND_SIGMA
    sigma[list(IBUG68)] = FACE_SIGMA
    sigma[[*IBUG68[:6], *IBUG68[11:17]]] = CONTOUR_SIGMA
    sigma[list(IBUG68[48:68])] = LIP_SIGMA
    measured = detector.sigma_K.numpy()
    sigma = np.where(np.isfinite(measured), measured.clip(min=MIN_SIGMA), sigma)
    sigma[hands] *= HAND_NOISE_SCALE
    sigma[ARM_JOINTS] = ARM_SIGMA
    return sigma


def _directions(keypoints: Keypoints, detector: calibration.DetectorModel) -> Tensor:
    """Return the detector's corrected directions of `BONES` (T, B, 3) in world axes."""
    world = keypoints.world_TK3 * np.array([1.0, -1.0, -1.0])  # from camera axes
    ends = np.array(BONES)
    vectors = world[:, ends[:, 1]] - world[:, ends[:, 0]]
    known = np.asarray(np.isfinite(vectors).all(2))
    units = normalize(torch.from_numpy(np.where(known[..., None], vectors, 0.0)).float(), dim=-1)
    for number, name in enumerate(calibration.ARM_BONES):
        if name in detector.bones:
            matrix_34 = detector.bones[name]
            corrected = units[:, number] @ matrix_34[:, :3].T + matrix_34[:, 3]
            units[:, number] = normalize(corrected, dim=-1)
    return units * torch.from_numpy(known).unsqueeze(-1)


@dataclass(frozen=True)
class Residuals:
    """Errors (T, N) in standard deviations, and their derivatives by the unknowns (T, N, 82)."""

    errors: Tensor
    change: Tensor


def reprojection(
    pixels: Tensor, depth: Tensor, change: Tensor, seen: Observations, camera: Camera, scale: float
) -> Residuals:
    """Return the distances of projected and observed points, in the image plane.

    Args:
        pixels: projected points (T, 144, 2).
        depth: of the points (T, 144), metres.
        change: derivatives of the points (T, 144, 3, U), metres.
        seen: the observed points.
        camera: the camera of the projection.
        scale: factor on the detector's error, above 1 in early stages.
    """
    metres = depth / camera.focal  # of a pixel at the point's depth
    error = (pixels - seen.pixels) * metres.unsqueeze(-1)
    return _robust(error, _in_image_plane(pixels, change, camera), seen.weight / scale)


def lip_gaps(
    pixels: Tensor, depth: Tensor, change: Tensor, seen: Observations, camera: Camera
) -> Residuals:
    """Return the errors of the mouth's height and width; arguments as in `reprojection`."""
    a, b = (list(ends) for ends in zip(*LIP_PAIRS, strict=True))
    metres = (depth / camera.focal)[:, a].unsqueeze(-1)
    error = ((pixels[:, a] - pixels[:, b]) - (seen.pixels[:, a] - seen.pixels[:, b])) * metres
    moves = _in_image_plane(pixels, change, camera)
    known = (seen.weight[:, a] > 0) & (seen.weight[:, b] > 0)
    return _robust(error, moves[:, a] - moves[:, b], known / LIP_GAP_SIGMA)


def bone_directions(
    points: Tensor, change: Tensor, seen: Observations, strength: float
) -> Residuals:
    """Return the errors of bone directions against the detector's coarse 3D guess.

    Depth counts most, as the image itself gives the direction in its plane.

    Args:
        points: of the body (T, 144, 3), world axes.
        change: their derivatives (T, 144, 3, U).
        seen: the observed directions.
        strength: 1 / standard deviation.
    """
    a, b = (list(ends) for ends in zip(*BONES, strict=True))
    bones = points[:, b] - points[:, a]
    length = bones.norm(dim=-1, keepdim=True).clamp(min=1e-4)
    unit = bones / length
    known = (seen.directions.abs().sum(-1, keepdim=True) > 0) * strength
    known = known * unit.new_tensor([IN_PLANE_WEIGHT, IN_PLANE_WEIGHT, 1.0])
    known[:, -len(_FINGER_BONES) :] *= FINGER_WEIGHT
    moves = (change[:, b] - change[:, a]) / length.unsqueeze(-1)
    moves = moves - unit.unsqueeze(-1) * (unit.unsqueeze(-2) @ moves)
    return _flat((unit - seen.directions) * known, moves * known.unsqueeze(-1))


def pose_prior(pose: Tensor, seen: Observations) -> Residuals:
    """Return the deviation of poses (T, 106) from rest, narrower for invisible arms and hands."""
    current = select_unknowns(pose)
    target = torch.zeros_like(current)
    sigma = torch.full_like(current, TRANSLATION_SIGMA)
    for joint in TURNED:
        columns = turn_column(joint)
        kind = joint.removeprefix("left_").removeprefix("right_")
        target[:, columns] = pose.new_tensor(REST_POSE.get(joint, (0.0, 0.0, 0.0)))
        sigma[:, columns] = pose.new_tensor(PRIOR_SIGMA[kind])
        if kind in ("shoulder", "elbow", "wrist"):
            visible = seen.hand_visible if kind == "wrist" else seen.arm_visible
            sigma[~visible[:, int(joint.startswith("right_"))], columns] *= HIDDEN_SCALE
    for side, name in enumerate(("left_hand", "right_hand")):
        sigma[:, COLUMNS[name]] = FINGER_SIGMA
        sigma[~seen.hand_visible[:, side], COLUMNS[name]] *= HIDDEN_SCALE
    sigma[:, COLUMNS["expression"]] = EXPRESSION_SIGMA
    change = torch.eye(UNKNOWNS).to(pose) / sigma.unsqueeze(-1)
    return Residuals((current - target) / sigma, change)


def smoothness(pose: Tensor, sigma: Tensor, frames: slice) -> Residuals:
    """Return the deviation of some frames from the mean of their neighbours, taken as constant.

    Args:
        pose: (T, 106) of all frames.
        sigma: (82,) standard deviation of each unknown.
        frames: those of the result.
    """
    current = select_unknowns(pose)
    middle = current.clone()
    middle[1:-1] = (current[2:] + current[:-2]) / 2
    error = ((current - middle) / sigma)[frames]
    change = torch.eye(UNKNOWNS).to(pose) / sigma.unsqueeze(-1)
    return Residuals(error, change.expand(len(error), -1, -1))


def select_unknowns(pose: Tensor) -> Tensor:
    """Return the entries (T, 82) of pose vectors (T, 106) that the solver changes."""
    turns = [pose[:, start : start + 3] for start in POSE_STARTS.values()]
    rest = [pose[:, POSE_SLICES[name]] for name in ("left_hand", "right_hand", "expression")]
    return torch.cat((pose[:, POSE_SLICES["translation"]], *turns, *rest), 1)


def _in_image_plane(pixels: Tensor, change: Tensor, camera: Camera) -> Tensor:
    """Return point derivatives (T, K, 2, U) in the image plane, metres at the point's depth."""
    moves = torch.einsum("ij,tkju->tkiu", torch.tensor(camera.rotation).to(change), change)
    slope = (pixels - torch.tensor(camera.center).to(pixels)) / camera.focal
    return moves[:, :, :2] - slope.unsqueeze(-1) * moves[:, :, 2:]


def _robust(error: Tensor, moves: Tensor, weight: Tensor) -> Residuals:
    """Return weighted errors (T, K, 2), multiplied by the square root of Charbonnier's weight."""
    weight = weight * (1 + (error * weight.unsqueeze(-1)).norm(dim=-1).square()).pow(-0.25)
    return _flat(error * weight.unsqueeze(-1), moves * weight[..., None, None])


def _flat(errors: Tensor, change: Tensor) -> Residuals:
    return Residuals(errors.flatten(1), change.flatten(1, -2))
