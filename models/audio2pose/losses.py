"""Losses of audio2pose. All are our own design: the paper's abstract names none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from speech2video.models.audio2pose.network import SpeechToPose
from speech2video.util.body.body_model import Body
from speech2video.util.body.joint_limits import limit_penalty
from speech2video.util.body.pose_vector import POSE_SIZE, pose_columns, vector_to_smplx
from speech2video.util.body.skeleton import BODY_JOINTS, POINT_INDEX, POINTS, indices

LIP_PAIRS = tuple((f"face_{i}", f"face_{j}") for i, j in ((61, 67), (62, 66), (63, 65)))  # iBUG 68
MIN_RMS = 1e-3  # standard deviations per frame, minimum of the data's speed
SPEED, JERK = 1, 3  # orders of differences
PARTS = {  # weights within each part
    "face": {"expression": 1.0, "jaw": 1.0},
    "body": {"translation": 0.1, "root_orientation": 0.1, "body": 1.0},
    "hands": {"left_hand": 1.0, "right_hand": 1.0},
}
LEVER_ARMS = {  # metres
    "trunk": {"spine": 0.5, "neck": 0.25, "head": 0.15},
    "arms": {"collar": 0.6, "shoulder": 0.55, "elbow": 0.3, "wrist": 0.1},
}


@dataclass(frozen=True)
class LossTerm:
    """One loss: its weight, and the parts (of `PARTS` or `LEVER_ARMS`) that it acts on.

    The losses of body and hands skip the frames of dictionary gestures, which are inserted after
    prediction: the network learns the motion between gestures, and gestures are not averaged.
    """

    weight: float
    parts: tuple[str, ...] = ()
    during_gestures: bool = False


# Every loss acts from the first step on.
LOSSES = {
    "face": LossTerm(2.0, ("face",), during_gestures=True),
    "face_velocity": LossTerm(4.0, ("face",), during_gestures=True),
    "body": LossTerm(0.25, ("body",)),  # low: the mean of all motions that fit is stiff
    "hands": LossTerm(0.15, ("hands",)),
    "body_velocity": LossTerm(0.2, ("body", "hands")),
    "energy": LossTerm(0.5, ("trunk", "arms", "hands")),
    "jitter": LossTerm(0.1, ("trunk", "arms", "hands")),
    "joints": LossTerm(0.3, ("body", "hands")),  # per metre
    "lips": LossTerm(150.0, ("face",), during_gestures=True),  # per metre
    "limits": LossTerm(10.0, ("body",), during_gestures=True),
    "gan": LossTerm(0.1, ("body", "hands")),
}
ENERGY_ORDERS = {"energy": SPEED, "jitter": JERK}


class PoseLosses:
    """Computes all losses of `LOSSES` but "gan" from standardised poses.

    Args:
        network: gives the pose statistics.
        body: on the network's device.
        motions: pose vectors (T, 106) of the training clips, for their RMS speed and jerk.
    """

    def __init__(
        self,
        network: SpeechToPose,
        body: Body,
        motions: Sequence[Tensor],
        device: torch.device | str = "cpu",
    ) -> None:
        self._network, self._body = network, body
        pose_std = network.pose_std.cpu()
        moving = pose_std > 0
        per_std = torch.where(moving, 1 / pose_std, 0)
        weights = {part: (lever_arms(part) * pose_std).square() for part in LEVER_ARMS}
        weights |= {part: part_weights(shares) * moving for part, shares in PARTS.items()}
        standard = [motion * per_std for motion in motions]
        self._rms = {
            (name, part): rms_speed(standard, weights[part], order=order)
            for name, order in ENERGY_ORDERS.items()
            for part in LOSSES[name].parts
        }
        self.moving, self._per_std = moving.to(device), per_std.to(device)
        self._weights = {part: weight_P.to(device) for part, weight_P in weights.items()}

    def standardise(self, pose_NTP: Tensor) -> Tensor:
        """Return poses in standard deviations from the mean; constant numbers become 0."""
        return (pose_NTP - self._network.pose_mean) * self._per_std

    def __call__(
        self, pose_NTP: Tensor, true_NTP: Tensor, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the unweighted losses of standardised poses by name."""
        error_NTP = pose_NTP - true_NTP
        valid_NT1 = batch["weight"].unsqueeze(-1)
        free_NT1 = valid_NT1 * (1 - batch["gesture"].unsqueeze(-1))
        losses = {}
        for name in ("face", "face_velocity", "body", "hands", "body_velocity"):
            term = LOSSES[name]
            frames_NT1 = valid_NT1 if term.during_gestures else free_NT1
            weight_NTP = reduce(torch.add, (self._weights[p] * frames_NT1 for p in term.parts))
            function = velocity_loss if name.endswith("velocity") else weighted_huber_loss
            losses[name] = function(error_NTP, weight_NTP)
        for name, order in ENERGY_ORDERS.items():
            energies = []
            for part in LOSSES[name].parts:
                weight_NTP, rms = self._weights[part] * free_NT1, self._rms[name, part]
                energies.append(energy_loss(pose_NTP, true_NTP, weight_NTP, rms=rms, order=order))
            losses[name] = reduce(torch.add, energies)
        return losses | self._frame_losses(pose_NTP, batch)

    def _frame_losses(self, pose_NTP: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses of some frames' body: joints, lips and joint limits."""
        frames = torch.arange(len(pose_NTP), device=pose_NTP.device).unsqueeze(1), batch["frames"]
        pose_MP = self._network.destandardise(pose_NTP[frames]).flatten(0, 1)
        points_MK3 = self._body.points(pose_MP)
        with torch.no_grad():
            true_MK3 = self._body.points(batch["pose"][frames].flatten(0, 1))
        valid_M, gesture_M = (batch[key][frames].flatten() for key in ("weight", "gesture"))
        return {
            "joints": joint_loss(points_MK3, true_MK3, valid_M * (1 - gesture_M)),
            "lips": lip_loss(points_MK3, true_MK3, valid_M),
            "limits": limit_penalty(vector_to_smplx(pose_MP, self._body.hands).rotations),
        }


def part_weights(weights: Mapping[str, float]) -> Tensor:
    """Return weights (106,) of {part: weight}, each shared among its numbers; all sum to 1."""
    table = torch.zeros(POSE_SIZE)
    for name, weight in weights.items():
        columns = pose_columns(name)
        table[columns] = weight / len(columns)
    return table / table.sum()


def lever_arms(part: str) -> Tensor:
    """Return metres (106,) by which a radian of each number of a part moves what hangs on it.

    `part` is a key of `LEVER_ARMS`; trunk and arms are apart, because the arms' motion would
    outweigh jitter of the head.
    """
    table = torch.zeros(POSE_SIZE)
    if part == "trunk":
        table[pose_columns("translation")] = 1.0
        table[pose_columns("root_orientation")] = LEVER_ARMS["trunk"]["spine"]
    for name in BODY_JOINTS[1:]:
        arm = next((metres for key, metres in LEVER_ARMS[part].items() if key in name), 0.0)
        table[pose_columns(name)] = arm
    return table


def weighted_huber_loss(error_NTP: Tensor, weight_NTP: Tensor) -> Tensor:
    """Return the weighted Huber loss, summed over P and averaged over frames."""
    loss_NTP = huber_loss(error_NTP, torch.zeros_like(error_NTP), reduction="none")
    return (loss_NTP * weight_NTP).sum(-1).mean()


def velocity_loss(error_NTP: Tensor, weight_NTP: Tensor) -> Tensor:
    """Return the weighted Huber loss of the errors' change from frame to frame."""
    both_NTP = torch.minimum(weight_NTP[:, 1:], weight_NTP[:, :-1])
    return weighted_huber_loss(error_NTP.diff(dim=1), both_NTP)


def energy_loss(
    pose_NTP: Tensor, true_NTP: Tensor, weight_NTP: Tensor, *, rms: float, order: int = SPEED
) -> Tensor:
    """Return the squared difference of the windows' motion energies.

    A regression holds a hand motionless where its time of moving cannot be predicted. This loss
    asks each window for the ground truth's mean squared speed (or jerk), whatever its direction.

    Args:
        rms: of the data's differences; its square counts 1.
        order: of the differences: `SPEED`, or `JERK`, which separates jitter from motion.
    """
    counts = weight_NTP.unfold(1, order + 1, 1).amin(-1)  # all frames of a difference must count
    share = counts / counts.sum(dim=(1, 2), keepdim=True).clamp(min=1e-8)
    energy_N, true_N = (
        ((motion_NTP.diff(n=order, dim=-2) / rms).square() * share).sum(dim=(1, 2))
        for motion_NTP in (pose_NTP, true_NTP)
    )
    return (energy_N - true_N).square().mean()


def rms_speed(motions: Sequence[Tensor], weight_P: Tensor, *, order: int = SPEED) -> float:
    """Return the weighted RMS of the differences of an order in motions (T, 106)."""
    squares = [m.diff(n=order, dim=-2).square() for m in motions if len(m) > order]
    mean_P = torch.cat(squares).mean(0)
    mean = (weight_P * mean_P).sum() / weight_P.sum().clamp(min=1e-8)
    return max(float(mean.sqrt()), MIN_RMS)


def joint_loss(points_MK3: Tensor, true_MK3: Tensor, weight_M: Tensor) -> Tensor:
    """Return the mean distance in metres of upper-body joints and finger tips."""
    distance_MJ = (points_MK3[:, _JOINTS] - true_MK3[:, _JOINTS]).norm(dim=-1)
    return (distance_MJ.mean(1) * weight_M).mean()


def lip_loss(points_MK3: Tensor, true_MK3: Tensor, weight_M: Tensor) -> Tensor:
    """Return the mean error in metres of the lips relative to the nose, plus that of their opening.

    The opening counts once more, because viewers notice lips that stay open on p, b and m.
    """
    lips_ML3, true_ML3 = (p[:, _LIPS] - p[:, _NOSE : _NOSE + 1] for p in (points_MK3, true_MK3))
    gap_MG, true_MG = ((p[:, _UPPER] - p[:, _LOWER]).norm(dim=-1) for p in (points_MK3, true_MK3))
    error_M = (lips_ML3 - true_ML3).norm(dim=-1).mean(1) + (gap_MG - true_MG).abs().mean(1)
    return (error_M * weight_M).mean()


_LOWER_BODY_AND_FACE = ("knee", "ankle", "foot", "toe", "heel", "hip", "eye", "ear", "face_")
_JOINTS = [k for k, name in enumerate(POINTS) if not any(w in name for w in _LOWER_BODY_AND_FACE)]
_LIPS = indices(tuple(f"face_{i}" for i in range(48, 68)))
_NOSE = POINT_INDEX["face_30"]
_UPPER, _LOWER = (indices(tuple(pair[side] for pair in LIP_PAIRS)) for side in (0, 1))
