"""The face's landmarks of a finished body, found by a detector in pictures of it."""

from dataclasses import dataclass

import numpy as np

from open_body import details, landmarks
from open_body.body import OpenBody
from speech2video.util.body.skeleton import JOINTS

JAW_DRAWN = 0.2  # radians: lips apart, so that a detector tells upper from lower
LIP_REGION = 0.05
FACE_REGIONS = ("face", "lips", "eyelids")


@dataclass(frozen=True)
class FaceMarks:
    """Landmarks as samples of the surface."""

    surface: landmarks.Surface
    facemesh_K: np.ndarray  # 468
    ibug_68: np.ndarray
    contour_table: np.ndarray  # (79, 17)


def face_marks(body: OpenBody) -> FaceMarks:
    """Return the landmarks: lips as seen on the opened mouth, all else on the resting face."""
    on_face = np.maximum.reduce([body.regions[name] for name in FACE_REGIONS]) > 0.2
    on_face &= (body.regions["mouth_inside"] < 0.6) & body.part("skin")
    surface = landmarks.spread(body.faces_F3, on_face[body.faces_F3].all(1))
    centre_3 = body.joints_J3C[JOINTS.index("head"), :, 0] + (0, 0.03, 0.06)
    found = []
    for angle in (0.0, JAW_DRAWN):
        posed_N3 = body.with_open_jaw(angle)
        found.append(landmarks.locate(surface, posed_N3, coloured_head(body), centre_3))
    lips_K = details.rows_at(body.regions["lips"], surface, found[0]) > LIP_REGION
    facemesh_K = np.where(lips_K, found[1], found[0])
    ibug_68 = facemesh_K[list(landmarks.FACEMESH_IBUG68)]
    table = landmarks.contour_table(surface, body.template_N3, ibug_68)
    return FaceMarks(surface, facemesh_K, ibug_68, table)


def coloured_head(body: OpenBody) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return triangles and vertex colours of the head's parts, plain but enough for a detector."""
    colour = {name: np.array(rgb, float) for name, rgb in landmarks.COLOURS.items()}
    skin_N3 = np.tile(colour["skin"], (len(body.parts_N), 1))
    for region, name in (("lips", "lips"), ("mouth_inside", "mouth")):
        share_N1 = body.regions[region][:, None]
        skin_N3 = skin_N3 * (1 - share_N1) + colour[name] * share_N1
    eye_N3 = np.where(body.regions["iris"][:, None] > 0, colour["iris"], colour["eye"])
    plain = {"upper_teeth": "teeth", "lower_teeth": "teeth", "tongue": "lips", "lashes": "lashes"}
    coloured = {part: np.tile(colour[name], (len(skin_N3), 1)) for part, name in plain.items()}
    coloured |= {"skin": skin_N3, "left_eye": eye_N3, "right_eye": eye_N3}
    return [(body.part_faces(part), colours) for part, colours in coloured.items()]
