"""Which of MediaPipe's landmarks is which of the body's points (`skeleton.POINTS`).

MediaPipe's own numbering: https://ai.google.dev/edge/mediapipe, pose (33), hand (21), FaceMesh
(468, and ten of the irises behind them). Its left and right are the person's own, as ours are.
"""

from speech2video.util.body.skeleton import FINGER_TIPS, IBUG68, finger_chain, indices

_SIDED_POSE = {  # name without its side: MediaPipe's index on the left; the right is the next
    "ear": 7,
    "shoulder": 11,
    "elbow": 13,
    "wrist": 15,
    "hip": 23,
    "knee": 25,
    "ankle": 27,
    "heel": 29,
    "big_toe": 31,
}
_POSE_NAMES = {"nose": 0, "left_eye_point": 2, "right_eye_point": 5} | {
    f"{side}_{name}": index + step
    for name, index in _SIDED_POSE.items()
    for step, side in enumerate(("left", "right"))
}
POSE_SOURCE = list(_POSE_NAMES.values())
POSE_TARGET = indices(tuple(_POSE_NAMES))

POSE_SHOULDERS, POSE_ELBOWS, POSE_WRISTS = (11, 12), (13, 14), (15, 16)  # left, right
POSE_PINKY_ROOTS, POSE_INDEX_ROOTS = (17, 18), (19, 20)

# FaceMesh vertices at the places of iBUG 68.
FACEMESH_IBUG68 = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # contour
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),  # brows
    *(168, 197, 5, 4, 98, 97, 2, 326, 327),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lips
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips
)
FACEMESH_POINTS = 468
FACE_SOURCE = [*FACEMESH_IBUG68, 468, 473]  # then the pupils: right, left
FACE_TARGET = [*IBUG68, *indices(("right_eye", "left_eye"))]

# A hand is the wrist, then four points of each finger from root to tip, thumb first.
HAND_ROOTS = [5, 9, 13]  # the knuckles where index, middle and ring finger begin
HAND_MIDDLE_ROOT = 9


def _hand_target(side: str) -> list[int]:
    fingers = [finger_chain(side, finger)[1:] for finger in FINGER_TIPS]
    return indices((f"{side}_wrist", *(name for chain in fingers for name in chain)))


HAND_TARGETS = (_hand_target("left"), _hand_target("right"))  # their indices in `POINTS`
