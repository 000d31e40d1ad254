"""Face landmarks of the open body: MediaPipe's FaceMesh on rendered heads, put onto triangles.

The head is drawn from a few sides; each landmark becomes a triangle and barycentric coordinates.
F triangles, S samples of the surface, K = 468 FaceMesh points.
"""

from dataclasses import dataclass

import numpy as np
from open_body.blendshapes import BodyDraft
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

from speech2video.data.keypoints import FACE_MESH_POINTS
from speech2video.data.preprocessing.detection.mediapipe_networks import FACEMESH_IBUG68
from speech2video.util.body.skeleton import JOINTS

CONTOUR = slice(0, 17)
NOSE_BASE = 33

IMAGE = 720  # pixels
EXTENT = 0.36  # metres of head that the image shows
VIEWS = ((0, 0), (-12, 0), (12, 0), (0, -10), (0, 10))  # yaw, pitch in degrees
STEPS = 10  # samples along a triangle's edge, less than half a millimetre apart
SLICE = 0.003  # half the thickness of a slice through the head, metres
MIDDLE = 1e-4  # metres from the plane between left and right
NEAR_MIDDLE = 0.0015  # a detected point this near is meant to lie on that plane
HIDDEN = 0.004  # metres behind the nearest surface of its pixel
YAWS = (*range(0, -40, -1), *range(1, 40))  # degrees, in the order of smplx's table of 79 rows
JAW_DRAWN = 0.2  # radians: lips apart, so that the detector separates upper and lower lip
LIP_REGION = 0.05
FACE_REGIONS = ("face", "lips", "eyelids")

COLOURS = {
    "skin": (224, 176, 150),
    "lips": (190, 95, 95),
    "eye": (235, 235, 235),
    "iris": (70, 50, 35),
    "mouth": (90, 30, 30),
    "teeth": (240, 235, 220),
    "lashes": (50, 40, 35),
}


Meshes = list[tuple[np.ndarray, np.ndarray]]  # triangles and vertex colours of each part


@dataclass(frozen=True)
class SurfaceSamples:
    """Points spread densely over triangles, by which a place on the skin is found and kept."""

    faces_F3: np.ndarray
    face_S: np.ndarray  # index of the triangle of each sample
    bary_S3: np.ndarray

    @classmethod
    def spread(cls, faces_F3: np.ndarray, chosen_F: np.ndarray) -> "SurfaceSamples":
        """Return samples on the chosen triangles, corners and edges included."""
        grid = [(i, j, STEPS - i - j) for i in range(STEPS + 1) for j in range(STEPS + 1 - i)]
        bary_G3 = np.array(grid) / STEPS
        face_S = np.repeat(np.flatnonzero(chosen_F), len(bary_G3))
        return cls(faces_F3, face_S, np.tile(bary_G3, (int(chosen_F.sum()), 1)))

    def positions(self, vertices_N3: np.ndarray) -> np.ndarray:
        """Return where the samples (S, 3) lie on a mesh."""
        corners_S33 = vertices_N3[self.faces_F3[self.face_S]]
        return np.einsum("sc,scx->sx", self.bary_S3, corners_S33)

    def interpolate(self, array_N: np.ndarray, samples_R: np.ndarray) -> np.ndarray:
        """Return what a per-vertex array (N, ...) holds at some of the samples (R, ...)."""
        corners_R3 = self.faces_F3[self.face_S[samples_R]]
        return np.einsum("rc,rc...->r...", self.bary_S3[samples_R], array_N[corners_R3])


@dataclass(frozen=True)
class FaceLandmarks:
    """Landmarks as samples of the surface."""

    surface: SurfaceSamples
    facemesh_K: np.ndarray  # 468
    ibug_68: np.ndarray
    contour_table: np.ndarray  # (79, 17)


def find_landmarks(body: BodyDraft) -> FaceLandmarks:
    """Return the landmarks: lips as seen on the opened mouth, all else on the resting face."""
    on_face = np.maximum.reduce([body.regions[name] for name in FACE_REGIONS]) > 0.2
    on_face &= (body.regions["mouth_inside"] < 0.6) & body.part("skin")
    surface = SurfaceSamples.spread(body.faces_F3, on_face[body.faces_F3].all(1))
    centre_3 = body.joints_J3C[JOINTS.index("head"), :, 0] + (0, 0.03, 0.06)
    meshes = _coloured_head(body)
    closed_K, opened_K = (
        _locate(surface, body.with_open_jaw(angle), meshes, centre_3) for angle in (0.0, JAW_DRAWN)
    )
    lips_K = surface.interpolate(body.regions["lips"], closed_K) > LIP_REGION
    facemesh_K = np.where(lips_K, opened_K, closed_K)
    ibug_68 = facemesh_K[list(FACEMESH_IBUG68)]
    table = _contour_table(surface, body.template_N3, ibug_68)
    return FaceLandmarks(surface, facemesh_K, ibug_68, table)


def _coloured_head(body: BodyDraft) -> Meshes:
    """Return triangles and vertex colours of the head's parts, plain but enough for a detector."""
    colour = {name: np.array(rgb, float) for name, rgb in COLOURS.items()}
    skin_N3 = np.tile(colour["skin"], (len(body.parts_N), 1))
    for region, name in (("lips", "lips"), ("mouth_inside", "mouth")):
        share_N1 = body.regions[region][:, None]
        skin_N3 = skin_N3 * (1 - share_N1) + colour[name] * share_N1
    eye_N3 = np.where(body.regions["iris"][:, None] > 0, colour["iris"], colour["eye"])
    plain = {"upper_teeth": "teeth", "lower_teeth": "teeth", "tongue": "lips", "lashes": "lashes"}
    coloured = {part: np.tile(colour[name], (len(skin_N3), 1)) for part, name in plain.items()}
    coloured |= {"skin": skin_N3, "left_eye": eye_N3, "right_eye": eye_N3}
    return [(body.part_faces(part), colours) for part, colours in coloured.items()]


def _yaw_pitch(yaw: float, pitch: float) -> np.ndarray:
    """Return a rotation (3, 3) about y and then x, degrees."""
    a, b = np.radians(yaw), np.radians(pitch)
    turn_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return turn_x @ turn_y


def _detect(image: np.ndarray) -> np.ndarray:
    """Return FaceMesh's points (468, 2) in pixels of an RGB image."""
    from mediapipe.python.solutions.face_mesh import (  # pyright: ignore[reportMissingImports]
        FaceMesh,
    )

    with FaceMesh(static_image_mode=True, refine_landmarks=True) as net:
        found = getattr(net.process(image), "multi_face_landmarks")  # noqa: B009
    if not found:
        raise RuntimeError("MediaPipe finds no face in the rendered head")
    points = [(point.x, point.y) for point in found[0].landmark[:FACE_MESH_POINTS]]
    return np.array(points) * image.shape[1::-1]


def _draw_head(vertices_N3: np.ndarray, meshes: Meshes, centre_3: np.ndarray) -> np.ndarray:
    """Return an RGB image of triangles with colours (N, 3) of vertices, seen from the front."""
    import pyvista

    plotter = pyvista.Plotter(off_screen=True, window_size=[IMAGE, IMAGE])
    plotter.renderer.set_background("#b8c4cf")
    for faces_F3, colours_N3 in meshes:
        cells = np.insert(faces_F3, 0, 3, axis=1).ravel()
        part = pyvista.PolyData(vertices_N3, cells)
        part.point_data["colour"] = colours_N3.astype(np.uint8)
        plotter.add_mesh(part, scalars="colour", rgb=True, smooth_shading=True)
    plotter.renderer.enable_parallel_projection()
    plotter.camera.focal_point = centre_3
    plotter.camera.position = centre_3 + np.array([0.0, 0.0, 2.0])
    plotter.camera.up = (0, 1, 0)
    plotter.camera.parallel_scale = EXTENT / 2
    plotter.camera.clipping_range = (0.5, 5.0)
    image = plotter.screenshot(return_img=True)
    plotter.close()
    assert image is not None
    return np.asarray(image)


def _to_pixels(points_K3: np.ndarray, centre_3: np.ndarray) -> np.ndarray:
    """Return the pixels (K, 2) of points in the image of `_draw_head`."""
    return IMAGE / 2 + (points_K3 - centre_3)[:, :2] * (1, -1) * IMAGE / EXTENT


def _visible(points_S3: np.ndarray, centre_3: np.ndarray) -> np.ndarray:
    """Return which samples (S,) are not hidden from a viewer in front."""
    cell_S2 = (_to_pixels(points_S3, centre_3) / 2).astype(int).clip(0, IMAGE // 2 - 1)
    cell_S = cell_S2[:, 0] + cell_S2[:, 1] * (IMAGE // 2)
    nearest = np.full((IMAGE // 2) ** 2, -np.inf)
    np.maximum.at(nearest, cell_S, points_S3[:, 2])
    return points_S3[:, 2] > nearest[cell_S] - HIDDEN


def _locate(
    surface: SurfaceSamples, vertices_N3: np.ndarray, meshes: Meshes, centre_3: np.ndarray
) -> np.ndarray:
    """Return the 468 FaceMesh points as samples of the surface (468,), the same on both sides."""
    samples_S3 = surface.positions(vertices_N3)
    places = []
    for yaw, pitch in VIEWS:
        turn = _yaw_pitch(yaw, pitch)
        posed_N3 = (vertices_N3 - centre_3) @ turn.T + centre_3
        turned_S3 = (samples_S3 - centre_3) @ turn.T + centre_3
        seen = np.flatnonzero(_visible(turned_S3, centre_3))
        tree = cKDTree(_to_pixels(turned_S3[seen], centre_3))
        _, nearest = tree.query(_detect(_draw_head(posed_N3, meshes, centre_3)))
        places.append(samples_S3[seen[nearest]])
    points_K3 = np.median(places, axis=0)
    mirror_image = points_K3 * (-1, 1, 1)
    distances = np.linalg.norm(points_K3[:, None] - mirror_image[None], axis=-1)
    partner_K = linear_sum_assignment(distances**2)[1]
    middle_K = np.abs(points_K3[:, 0]) < NEAR_MIDDLE
    partner_K[middle_K] = np.flatnonzero(middle_K)
    points_K3 = (points_K3 + mirror_image[partner_K]) / 2
    middle_S = np.flatnonzero(np.abs(samples_S3[:, 0]) < MIDDLE)
    result = np.asarray(cKDTree(samples_S3).query(points_K3)[1])
    nearest = cKDTree(samples_S3[middle_S]).query(points_K3[middle_K])[1]
    result[middle_K] = middle_S[nearest]
    return result


def _contour_table(
    surface: SurfaceSamples, vertices_N3: np.ndarray, ibug_68: np.ndarray
) -> np.ndarray:
    """Return the samples (79, 17) of the face's contour for each turn of the head.

    On the side that turns away the contour moves forward to where the cheek ends against the
    background; each of its points moves in a slice through the head, between its place in the
    frontal view and the nose.
    """
    samples_S3 = surface.positions(vertices_N3)
    nose_3 = samples_S3[ibug_68[NOSE_BASE]]
    table = np.empty((len(YAWS), 17), int)
    for column, start in enumerate(ibug_68[CONTOUR]):
        outward = (samples_S3[start] - nose_3) * (1, 1, 0)
        length = np.linalg.norm(outward)
        outward /= length
        offset_S3 = samples_S3 - nose_3
        along_S = offset_S3 @ outward
        across_S = offset_S3[:, 0] * outward[1] - offset_S3[:, 1] * outward[0]
        near = (np.abs(across_S) < SLICE) & (along_S > 0.35 * length) & (along_S < length)
        near &= samples_S3[:, 2] > samples_S3[start, 2] - SLICE
        slice_I = np.append(np.flatnonzero(near), start)
        for row, yaw in enumerate(YAWS):
            reach = (samples_S3[slice_I] - nose_3) @ _yaw_pitch(yaw, 0).T @ outward
            table[row, column] = slice_I[reach.argmax()]
    return table
