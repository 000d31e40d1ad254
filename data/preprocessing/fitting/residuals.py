"""What pulls at the body: rows of a least-squares problem, one frame beside the other.

Each block gives, for every frame, errors e (T, N) in standard deviations and how they change with
the solver's unknowns (T, N, 82). Lengths are in metres on the person, so that nothing depends on a
picture's size. Blunders are tamed by weighing a row down as its error grows (Charbonnier's penalty
by iteratively reweighted least squares).
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from speech2video.data.keypoints import Keypoints
from speech2video.data.preprocessing.detection.calibration import ARM_BONES as CORRECTED_BONES
from speech2video.data.preprocessing.detection.calibration import DetectorModel, load_detector_model
from speech2video.data.preprocessing.fitting.jacobian import COLUMNS, POSE_STARTS, TURNED, UNKNOWNS
from speech2video.util.body.pose_vector import POSE_SLICES
from speech2video.util.body.skeleton import (
    FINGER_TIPS,
    IBUG68,
    JOINTS,
    LEFT_HAND_JOINTS,
    LEFT_TIPS,
    POINT_INDEX,
    POINTS,
    RIGHT_HAND_JOINTS,
    RIGHT_TIPS,
    finger_chain,
    indices,
)
from speech2video.util.rendering.camera import Camera

# What the fit is to explain: keypoints as tensors, each with how far it may be off.

# How far a detector may be off, metres on the person: the smaller, the more a point counts.
BODY_SIGMA = 0.006
HIP_SIGMA = 0.015  # under clothes, and often at the border, hips are guessed
HAND_SIGMA = 0.008
FACE_SIGMA = 0.004
LIP_SIGMA = 0.002
CONTOUR_SIGMA = 0.012  # the silhouette's places slide along the cheek
SKIN_SIGMA = 0.02  # ears, toes, heels
FAST_NOISE = 0.6  # of a hand's error: it changes from frame to frame, and evens out over some
LEAST_SIGMA = 0.002  # people's faces differ by more from the body than renderings do

SEEN = 0.3  # confidence from which a body joint counts as seen
_BODY = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
CHIN = tuple(IBUG68[i] for i in range(6, 11))
LIPS = IBUG68[48:68]
# Pairs across the mouth: their distance is what lips are read from, whatever the face's shape.
_INNER_LIPS = ((61, 67), (62, 66), (63, 65), (60, 64))
_OUTER_LIPS = ((50, 58), (51, 57), (52, 56), (48, 54))
LIP_PAIRS = tuple((IBUG68[a], IBUG68[b]) for a, b in _INNER_LIPS + _OUTER_LIPS)

# Sleeves hide them, so that a detector is off by twice as much, but for seconds on end: what would
# take its place, the rest pose and guessed directions, is farther off.
ARM_SIGMA = 0.004
ARM_JOINTS = indices(("left_elbow", "left_wrist", "right_elbow", "right_wrist"))

# Bones whose direction in space a detector may guess, as (from, to).
ARM_BONES = tuple(
    (POINT_INDEX[f"{side}_{a}"], POINT_INDEX[f"{side}_{b}"])
    for side in ("left", "right")
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))
)
TRUNK_BONES = (
    (POINT_INDEX["right_shoulder"], POINT_INDEX["left_shoulder"]),
    (POINT_INDEX["right_hip"], POINT_INDEX["left_hip"]),
)
HAND_POINTS = {
    "left": indices(("left_wrist", *LEFT_HAND_JOINTS, *LEFT_TIPS)),
    "right": indices(("right_wrist", *RIGHT_HAND_JOINTS, *RIGHT_TIPS)),
}


def _finger_bones() -> tuple[tuple[int, int], ...]:
    """Return (from, to) of each finger's bones, the wrist's to the first knuckle included."""
    bones = []
    for side in ("left", "right"):
        for finger in FINGER_TIPS:
            chain = indices(finger_chain(side, finger))
            bones += list(pairwise(chain))
    return tuple(bones)


FINGER_BONES = _finger_bones()


@dataclass(frozen=True)
class Observations:
    """One clip's observed points.

    Attributes:
        pixels: (T, 144, 2), zeros where missing.
        weight: (T, 144), confidence over the detector's error, 1/metres, 0 where missing.
        directions: (T, B, 3) unit vectors of `BONES` in world axes, zeros where unknown.
        arm_seen: (T, 2) whether left and right arm are seen at all.
        hand_seen: (T, 2) whether left and right fingers are.
    """

    pixels: Tensor
    weight: Tensor
    directions: Tensor
    arm_seen: Tensor
    hand_seen: Tensor
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.pixels)

    def frames(self, chunk: slice) -> "Observations":
        """Return the observations of some frames."""
        parts = (self.pixels, self.weight, self.directions, self.arm_seen, self.hand_seen)
        return Observations(*(part[chunk] for part in parts), self.width, self.height)

    def with_face(self, share: float) -> "Observations":
        """Return the observations, the face's landmarks with a share of their weight."""
        weight = self.weight.clone()
        weight[:, list(IBUG68)] *= share
        return replace(self, weight=weight)


BONES = ARM_BONES + TRUNK_BONES + FINGER_BONES


def observe(keypoints: Keypoints) -> Observations:
    """Return the observations of one clip's keypoints."""
    points = keypoints.points_TK3
    confidence = np.where(np.isfinite(points).all(2), points[..., 2], 0.0)
    pixels = np.where(confidence[..., None] > 0, points[..., :2], 0.0)
    inside = ((pixels >= 0) & (pixels < (keypoints.width, keypoints.height))).all(2)
    confidence = np.where(inside, confidence, 0.0)  # beyond the border detectors only guess
    seen = confidence > SEEN
    hands = [confidence[:, HAND_POINTS[side][1:]].min(1) > 0 for side in ("left", "right")]
    arms = [
        seen[:, indices((f"{side}_elbow", f"{side}_wrist"))].any(1) for side in ("left", "right")
    ]
    body = [i for name, i in POINT_INDEX.items() if name.endswith(_BODY) and i < len(JOINTS)]
    confidence[:, body] = np.where(seen[:, body], confidence[:, body], 0.0)
    detector = load_detector_model(keypoints.source)
    weight = confidence / _sigmas(detector)
    return Observations(
        pixels=torch.from_numpy(pixels).float(),
        weight=torch.from_numpy(weight).float(),
        directions=_directions(keypoints, detector),
        arm_seen=torch.from_numpy(np.stack(arms, 1)),
        hand_seen=torch.from_numpy(np.stack(hands, 1)),
        width=keypoints.width,
        height=keypoints.height,
    )


def _sigmas(detector: DetectorModel) -> np.ndarray:
    """Return the detector's error (144,) in metres of each point: as measured, or as guessed."""
    sigma = np.full(len(POINTS), SKIN_SIGMA)
    sigma[: len(JOINTS)] = BODY_SIGMA
    sigma[indices(("left_hip", "right_hip"))] = HIP_SIGMA
    for side in ("left", "right"):
        sigma[HAND_POINTS[side][1:]] = HAND_SIGMA
    sigma[list(IBUG68)] = FACE_SIGMA
    sigma[list(IBUG68[:17])] = CONTOUR_SIGMA
    sigma[list(CHIN)] = FACE_SIGMA
    sigma[list(LIPS)] = LIP_SIGMA
    measured = detector.sigma_K.numpy()
    sigma = np.where(np.isfinite(measured), measured.clip(min=LEAST_SIGMA), sigma)
    sigma[HAND_POINTS["left"][1:] + HAND_POINTS["right"][1:]] *= FAST_NOISE
    sigma[ARM_JOINTS] = ARM_SIGMA
    return sigma


def _directions(keypoints: Keypoints, detector: DetectorModel) -> Tensor:
    """Return the detector's guess of the bones' directions in space, corrected, in world axes."""
    world = keypoints.world_TK3 * np.array([1.0, -1.0, -1.0])  # from camera axes
    ends = np.array(BONES)
    vectors = world[:, ends[:, 1]] - world[:, ends[:, 0]]
    known = np.isfinite(vectors).all(2)
    units = normalize(torch.from_numpy(np.where(known[..., None], vectors, 0.0)).float(), dim=-1)
    for name, matrix_34 in detector.bones.items():
        number = BONES.index(tuple(indices(CORRECTED_BONES[name])))
        corrected = units[:, number] @ matrix_34[:, :3].T + matrix_34[:, 3]
        units[:, number] = normalize(corrected, dim=-1)
    return units * torch.from_numpy(known).unsqueeze(-1)


LIP_GAP_SIGMA = 0.001  # metres
FINGER_SHARE = 0.15  # of an arm bone's weight: fingers are well seen, and many
ACROSS = 0.3  # weight of a guessed direction across the picture, beside one in depth

# The pose a person rests in (radians; arms hang at the sides, a little bent) and how far each joint
# strays from it. Joints that a picture tells little about stray little.
REST_POSE = {
    "left_shoulder": (0.1, -0.1, -1.15),
    "right_shoulder": (0.1, 0.1, 1.15),
    "left_elbow": (0.0, -0.5, 0.1),
    "right_elbow": (0.0, 0.5, -0.1),
}
STRAY: dict[str, tuple[float, float, float]] = {
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
HIDDEN_STRAY = 0.3  # of that, for an arm or hand that nobody sees
EXPRESSION_STRAY = 0.3
FINGER_STRAY = 1.0
_ARMS = ("shoulder", "elbow", "wrist")


@dataclass(frozen=True)
class Residuals:
    """Errors (T, N) in standard deviations, and their change with the unknowns (T, N, 82)."""

    errors: Tensor
    change: Tensor


def reprojection(
    pixels: Tensor, depth: Tensor, change: Tensor, seen: Observations, camera: Camera, scale: float
) -> Residuals:
    """Points fall where they were seen. `scale` widens the detector's error early on."""
    metres = depth / camera.focal  # a pixel at the point's depth
    error = (pixels - seen.pixels) * metres.unsqueeze(-1)
    moves = _on_picture(pixels, change, camera)
    weight = seen.weight / scale
    weight = weight * _tame((error * weight.unsqueeze(-1)).norm(dim=-1))
    return _flat(error * weight.unsqueeze(-1), moves * weight[..., None, None])


def lip_gaps(
    pixels: Tensor, depth: Tensor, change: Tensor, seen: Observations, camera: Camera
) -> Residuals:
    """The mouth is as open and as wide as it was seen to be, whatever the face's shape."""
    a, b = (list(ends) for ends in zip(*LIP_PAIRS, strict=True))
    metres = (depth / camera.focal)[:, a].unsqueeze(-1)
    error = ((pixels[:, a] - pixels[:, b]) - (seen.pixels[:, a] - seen.pixels[:, b])) * metres
    moves = _on_picture(pixels, change, camera)
    known = (seen.weight[:, a] > 0) & (seen.weight[:, b] > 0)
    weight = known / LIP_GAP_SIGMA
    weight = weight * _tame((error * weight.unsqueeze(-1)).norm(dim=-1))
    return _flat(
        error * weight.unsqueeze(-1), (moves[:, a] - moves[:, b]) * weight[..., None, None]
    )


def directions(points: Tensor, change: Tensor, seen: Observations, strength: float) -> Residuals:
    """Bones point where the detector's own 3D guess says: coarse, but it tells front from back.

    Depth counts most: how a bone lies across the picture, the picture itself says better.
    """
    a, b = (list(ends) for ends in zip(*BONES, strict=True))
    bones = points[:, b] - points[:, a]
    length = bones.norm(dim=-1, keepdim=True).clamp(min=1e-4)
    unit = bones / length
    known = (seen.directions.abs().sum(-1, keepdim=True) > 0) * strength
    known = known * unit.new_tensor([ACROSS, ACROSS, 1.0])
    known[:, -len(FINGER_BONES) :] *= FINGER_SHARE
    moves = (change[:, b] - change[:, a]) / length.unsqueeze(-1)
    moves = moves - unit.unsqueeze(-1) * (unit.unsqueeze(-2) @ moves)
    return _flat((unit - seen.directions) * known, moves * known.unsqueeze(-1))


def priors(pose: Tensor, seen: Observations) -> Residuals:
    """The body strays from its rest only for a reason, and hidden arms and hands hardly."""
    target, current, stray = _rest(pose, seen)
    change = torch.eye(UNKNOWNS).to(pose) / stray.unsqueeze(-1)
    return Residuals((current - target) / stray, change)


def smoothness(pose: Tensor, reach: Tensor, frames: slice) -> Residuals:
    """Each of some frames lies between its neighbours; `reach` (82,) is how far it may lie off.

    `pose` (T, 106) is of all frames; the neighbours are taken to stay where they are.
    """
    current = unknowns(pose)
    middle = current.clone()
    middle[1:-1] = (current[2:] + current[:-2]) / 2
    error = ((current - middle) / reach)[frames]
    change = torch.eye(UNKNOWNS).to(pose) / reach.unsqueeze(-1)
    return Residuals(error, change.expand(len(error), -1, -1))


def unknowns(pose: Tensor) -> Tensor:
    """Return the pose vectors' numbers (T, 82) that the solver's unknowns change."""
    turns = [pose[:, POSE_STARTS[joint] : POSE_STARTS[joint] + 3] for joint in TURNED]
    parts = {
        name: pose[:, POSE_SLICES[name]]
        for name in ("translation", "left_hand", "right_hand", "expression")
    }
    parts["turns"] = torch.cat(turns, 1)
    return torch.cat([parts[name] for name in COLUMNS], 1)


def _rest(pose: Tensor, seen: Observations) -> tuple[Tensor, Tensor, Tensor]:
    """Return (target, current, stray), each (T, 82)."""
    current = unknowns(pose)
    target = torch.zeros_like(current)
    stray = torch.full_like(current, 10.0)  # metres: the translation is free
    start = COLUMNS["turns"].start
    for number, joint in enumerate(TURNED):
        columns = slice(start + 3 * number, start + 3 * number + 3)
        kind = joint.removeprefix("left_").removeprefix("right_")
        target[:, columns] = pose.new_tensor(REST_POSE.get(joint, (0.0, 0.0, 0.0)))
        stray[:, columns] = pose.new_tensor(STRAY[kind])
        if kind in _ARMS:
            side = int(joint.startswith("right_"))
            hidden = ~(seen.hand_seen if kind == "wrist" else seen.arm_seen)[:, side]
            stray[hidden, columns] *= HIDDEN_STRAY
    for side, name in enumerate(("left_hand", "right_hand")):
        stray[:, COLUMNS[name]] = FINGER_STRAY
        stray[~seen.hand_seen[:, side], COLUMNS[name]] *= HIDDEN_STRAY
    stray[:, COLUMNS["expression"]] = EXPRESSION_STRAY
    return target, current, stray


def _on_picture(pixels: Tensor, change: Tensor, camera: Camera) -> Tensor:
    """Return moves (T, K, 2, U) across the picture, metres at the point's depth."""
    moves = torch.einsum("ij,tkju->tkiu", torch.tensor(camera.rotation).to(change), change)
    slope = (pixels - torch.tensor(camera.center).to(pixels)) / camera.focal
    return moves[:, :, :2] - slope.unsqueeze(-1) * moves[:, :, 2:]


def _tame(error: Tensor) -> Tensor:
    """Return the square root of Charbonnier's weight of an error in standard deviations."""
    return (1 + error.square()).pow(-0.25)


def _flat(errors: Tensor, change: Tensor) -> Residuals:
    return Residuals(errors.flatten(1), change.flatten(1, -2))
