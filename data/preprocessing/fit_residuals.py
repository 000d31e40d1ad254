"""What pulls at the body: rows of a least-squares problem, one frame beside the other.

Each block gives, for every frame, errors e (T, N) in standard deviations and how they change with
the solver's unknowns (T, N, 82). Lengths are in metres on the person, so that nothing depends on a
picture's size. Blunders are tamed by weighing a row down as its error grows (Charbonnier's penalty
by iteratively reweighted least squares).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from speech2video.data.preprocessing.fit_jacobian import COLUMNS, POSE_STARTS, TURNED, UNKNOWNS
from speech2video.data.preprocessing.fit_observations import (
    BONES,
    FINGER_BONES,
    LIP_PAIRS,
    Observations,
)
from speech2video.util.body.pose_vector import POSE_SLICES
from speech2video.util.camera import Camera

LIP_GAP_SIGMA = 0.001  # metres
FINGER_SHARE = 0.15  # of an arm bone's weight: fingers are well seen, and many
ACROSS = 0.3  # weight of a guessed direction across the picture, beside one in depth

# The pose a person rests in (radians; arms hang at the sides, a little bent) and how far each joint
# strays from it. Joints that a picture tells little about stray little.
REST = {
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
class Rows:
    """Errors (T, N) in standard deviations, and their change with the unknowns (T, N, 82)."""

    errors: Tensor
    change: Tensor


def reprojection(
    pixels: Tensor, depth: Tensor, change: Tensor, seen: Observations, camera: Camera, scale: float
) -> Rows:
    """Points fall where they were seen. `scale` widens the detector's error early on."""
    metres = depth / camera.focal  # a pixel at the point's depth
    error = (pixels - seen.pixels) * metres.unsqueeze(-1)
    moves = _on_picture(pixels, change, camera)
    weight = seen.weight / scale
    weight = weight * _tame((error * weight.unsqueeze(-1)).norm(dim=-1))
    return _flat(error * weight.unsqueeze(-1), moves * weight[..., None, None])


def lip_gaps(
    pixels: Tensor, depth: Tensor, change: Tensor, seen: Observations, camera: Camera
) -> Rows:
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


def directions(points: Tensor, change: Tensor, seen: Observations, strength: float) -> Rows:
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


def priors(pose: Tensor, seen: Observations) -> Rows:
    """The body strays from its rest only for a reason, and hidden arms and hands hardly."""
    target, current, stray = _rest(pose, seen)
    change = torch.eye(UNKNOWNS).to(pose) / stray.unsqueeze(-1)
    return Rows((current - target) / stray, change)


def smoothness(pose: Tensor, reach: Tensor, frames: slice) -> Rows:
    """Each of some frames lies between its neighbours; `reach` (82,) is how far it may lie off.

    `pose` (T, 106) is of all frames; the neighbours are taken to stay where they are.
    """
    current = unknowns(pose)
    middle = current.clone()
    middle[1:-1] = (current[2:] + current[:-2]) / 2
    error = ((current - middle) / reach)[frames]
    change = torch.eye(UNKNOWNS).to(pose) / reach.unsqueeze(-1)
    return Rows(error, change.expand(len(error), -1, -1))


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
        target[:, columns] = pose.new_tensor(REST.get(joint, (0.0, 0.0, 0.0)))
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


def _flat(errors: Tensor, change: Tensor) -> Rows:
    return Rows(errors.flatten(1), change.flatten(1, -2))
