"""What the fit is to explain: keypoints as tensors, each with how far it may be off."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from speech2video.data.keypoints import Keypoints
from speech2video.data.preprocessing.detector_offsets import ARM_BONES as CORRECTED_BONES
from speech2video.data.preprocessing.detector_offsets import Detector, detector_table
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
    detector = detector_table(keypoints.source)
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


def _sigmas(detector: Detector) -> np.ndarray:
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


def _directions(keypoints: Keypoints, detector: Detector) -> Tensor:
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
