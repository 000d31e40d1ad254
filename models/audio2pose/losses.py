"""How far poses are from the truth, part by part. All rebuilt: the paper's abstract gives none.

Body, hands and face are weighed apart, because fingers and lips move less in numbers and matter
more to the eye.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import BODY_JOINTS, POINT_INDEX, POINTS, indices

LIP_PAIRS = tuple((f"face_{i}", f"face_{j}") for i, j in ((61, 67), (62, 66), (63, 65)))  # iBUG 68
LEAST_SPEED = 1e-3  # standard deviations a frame: what moves less in all the data stands still
LEVER_ARMS = {  # metres
    "trunk": {"spine": 0.5, "neck": 0.25, "head": 0.15},
    "arms": {"collar": 0.6, "shoulder": 0.55, "elbow": 0.3, "wrist": 0.1},
}


def part_weights(weights: Mapping[str, float]) -> Tensor:
    """Return (106,) of part -> weight, each shared by its numbers; all sum to 1."""
    table = torch.zeros(POSE_SIZE)
    for name, weight in weights.items():
        where = POSE_SLICES[name]
        table[where] = weight / (where.stop - where.start)
    return table / table.sum()


def weighted_huber_loss(error_NTP: Tensor, weight_NTP: Tensor) -> Tensor:
    """Return the weighted Huber loss of errors (N, T, P), per frame and summed over P."""
    zero = torch.zeros_like(error_NTP)
    loss_NTP = huber_loss(error_NTP, zero, reduction="none", delta=1.0)
    return (loss_NTP * weight_NTP).sum(-1).mean()


def velocity_loss(error_NTP: Tensor, weight_NTP: Tensor) -> Tensor:
    """Return the weighted Huber loss of the errors' change from frame to frame."""
    both = torch.minimum(weight_NTP[:, 1:], weight_NTP[:, :-1])
    return weighted_huber_loss(error_NTP.diff(dim=1), both)


def energy_loss(
    pose_NTP: Tensor, truth_NTP: Tensor, weight_NTP: Tensor, *, usual: float, order: int = 1
) -> Tensor:
    """Return by how much windows are too lively or too stiff: squared difference of energies.

    A regression that does not know when a hand will move holds it still. This asks each window for
    the truth's mean squared speed, whichever way it goes. `usual` is the data's RMS speed, whose
    square counts 1. Order 1 is speed; 3 is jerk, which tells trembling from moving. Energies and
    not speeds are compared: their means over windows are what must agree.
    """
    counts = weight_NTP.unfold(1, order + 1, 1).amin(-1)  # of the frames it takes
    share = counts / counts.sum(dim=(1, 2), keepdim=True).clamp(min=1e-8)
    energies = [
        ((_differences(motion, order) / usual).square() * share).sum(dim=(1, 2))
        for motion in (pose_NTP, truth_NTP)
    ]
    return (energies[0] - energies[1]).square().mean()


def rms_speed(motions: Sequence[Tensor], weight_P: Tensor, *, order: int = 1) -> float:
    """Return the weighted RMS of the differences of an order in motions (T, 106)."""
    rates = [_differences(motion, order).square() for motion in motions if len(motion) > order]
    mean_P = torch.cat(rates).mean(0)
    mean = (weight_P * mean_P).sum() / weight_P.sum().clamp(min=1e-8)
    return max(float(mean.sqrt()), LEAST_SPEED)


def _differences(motion: Tensor, order: int) -> Tensor:
    return motion.diff(n=order, dim=-2)


def lever_arms(part: str) -> Tensor:
    """Return (106,) about how far a radian of each number of a part carries what hangs on it, m.

    `part` is a key of `LEVER_ARMS`. Trunk and arms are apart, or a trembling head would not be seen
    beside the arms.
    """
    table = torch.zeros(POSE_SIZE)
    if part == "trunk":
        table[POSE_SLICES["translation"]] = 1.0
        table[POSE_SLICES["root_orientation"]] = LEVER_ARMS["trunk"]["spine"]
    for joint, name in enumerate(BODY_JOINTS[1:]):
        start = POSE_SLICES["body"].start + 3 * joint
        lever = next((metres for key, metres in LEVER_ARMS[part].items() if key in name), 0.0)
        table[start : start + 3] = lever
    return table


def joint_loss(points_MK3: Tensor, truth_MK3: Tensor, weight_M: Tensor) -> Tensor:
    """Return the mean distance in metres of upper-body joints and finger tips."""
    distance_MJ = (points_MK3[:, _JOINTS] - truth_MK3[:, _JOINTS]).norm(dim=-1)
    return (distance_MJ.mean(1) * weight_M).mean()


def lip_loss(points_MK3: Tensor, truth_MK3: Tensor, weight_M: Tensor) -> Tensor:
    """Return the mean error in metres of the lips' shape about their middle, and of their gap.

    The gap counts once more by itself: whether lips close on p, b and m is seen at once.
    """
    shapes, gaps = [], []
    for points in (points_MK3, truth_MK3):
        lips_ML3 = points[:, _LIPS]
        shapes.append(lips_ML3 - points[:, _NOSE : _NOSE + 1])
        gaps.append((points[:, _UPPER] - points[:, _LOWER]).norm(dim=-1))
    error_M = (shapes[0] - shapes[1]).norm(dim=-1).mean(1) + (gaps[0] - gaps[1]).abs().mean(1)
    return (error_M * weight_M).mean()


def _used(name: str) -> bool:
    legs = ("knee", "ankle", "foot", "toe", "heel", "hip", "eye", "ear", "face_")
    return not any(word in name for word in legs)


_JOINTS = [i for i, name in enumerate(POINTS) if _used(name)]
_LIPS = indices(tuple(f"face_{i}" for i in range(48, 68)))
_NOSE = POINT_INDEX["face_30"]
_UPPER, _LOWER = (indices(tuple(pair[side] for pair in LIP_PAIRS)) for side in (0, 1))
