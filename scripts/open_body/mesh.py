"""Which of MakeHuman's vertices and triangles the open body keeps, and in which order."""

from dataclasses import dataclass

import cv2
import numpy as np
from smplx.vertex_ids import vertex_ids

from open_body.source import AnnySource

# Groups of MakeHuman's base mesh. Its hair is a guide that hangs over the face: left out.
PARTS = {
    "skin": ("body",),
    "tongue": ("helper-tongue",),
    "left_eye": ("helper-l-eye",),
    "right_eye": ("helper-r-eye",),
    "upper_teeth": ("helper-upper-teeth",),
    "lower_teeth": ("helper-lower-teeth",),
    "lashes": tuple(f"helper-{side}-eyelashes-{row}" for side in "lr" for row in (1, 2)),
    "cloth": ("helper-tights",),
}


TEETH = ("upper_teeth", "lower_teeth")
COLLAR_RINGS = 2  # of the cloth's triangles about the neck: it would hide the chin
BITING = 0.35  # share of a normal that points up or down


@dataclass(frozen=True)
class Mesh:
    """Kept vertices, as indices into the source's V, and triangles between them."""

    kept_N: np.ndarray
    faces_F3: np.ndarray  # indices into kept_N
    uv_faces_F3: np.ndarray  # indices into uv_U2
    uv_U2: np.ndarray
    parts_N: np.ndarray  # index into PARTS

    def part(self, *names: str) -> np.ndarray:
        """Return which kept vertices (N,) belong to these parts."""
        return np.isin(self.parts_N, [list(PARTS).index(name) for name in names])

    def part_faces(self, *names: str) -> np.ndarray:
        """Return the triangles of these parts."""
        return self.faces_F3[self.part(*names)[self.faces_F3[:, 0]]]


def read_groups(source: AnnySource) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return group -> quads (Q, 4, 2) of vertex and texture indices, and texture points (U, 2)."""
    groups: dict[str, list] = {}
    uv, group = [], ""
    for line in (source.data / "mpfb2/3dobjs/base.obj").read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "g":
            group = rest.strip()
        elif kind == "vt":
            uv.append([float(number) for number in rest.split()[:2]])
        elif kind == "f":
            corners = [
                [int(index) - 1 for index in corner.split("/")[:2]] for corner in rest.split()
            ]
            groups.setdefault(group, []).append(corners)
    return {name: np.array(quads) for name, quads in groups.items()}, np.array(uv)


def build_mesh(source: AnnySource, vertices_V3: np.ndarray, neck_V: np.ndarray) -> Mesh:
    """Return the kept mesh, in the source's order of vertices, the cloth without its collar."""
    groups, uv_U2 = read_groups(source)
    triangles, parts = [], []
    for part, names in enumerate(PARTS.values()):
        for name in names:
            triangles.append(_triangles(groups[name], vertices_V3))
            parts.append(np.full(len(triangles[-1]), part))
    corners_F32 = np.concatenate(triangles)
    parts_F = np.concatenate(parts)
    collar_F = _collar(corners_F32[..., 0], parts_F == list(PARTS).index("cloth"), neck_V)
    corners_F32, parts_F = corners_F32[~collar_F], parts_F[~collar_F]
    # A biting edge is sharp: its vertices are kept twice, so that smooth shading stays off it.
    teeth_F = np.isin(parts_F, [list(PARTS).index(part) for part in TEETH])
    biting_F = teeth_F & _faces_up_or_down(vertices_V3[corners_F32[..., 0]])
    doubled_F3 = corners_F32[..., 0] + len(vertices_V3) * biting_F[:, None]
    kept_N, faces = np.unique(doubled_F3, return_inverse=True)
    kept_N = kept_N % len(vertices_V3)
    faces_F3 = faces.reshape(-1, 3)
    kept_U, uv_faces = np.unique(corners_F32[..., 1], return_inverse=True)
    parts_N = np.zeros(len(kept_N), int)
    parts_N[faces_F3] = parts_F[:, None]
    return Mesh(kept_N, faces_F3, uv_faces.reshape(-1, 3), uv_U2[kept_U], parts_N)


def _triangles(quads_Q42: np.ndarray, vertices_V3: np.ndarray) -> np.ndarray:
    """Split quads along the shorter diagonal, which is the same one on both sides of the body."""
    points_Q43 = vertices_V3[quads_Q42[..., 0]]
    diagonal_02 = np.linalg.norm(points_Q43[:, 0] - points_Q43[:, 2], axis=1)
    diagonal_13 = np.linalg.norm(points_Q43[:, 1] - points_Q43[:, 3], axis=1)
    along_02 = (diagonal_02 <= diagonal_13 + 1e-7)[:, None, None]
    first = np.where(along_02, quads_Q42[:, [0, 1, 2]], quads_Q42[:, [0, 1, 3]])
    second = np.where(along_02, quads_Q42[:, [0, 2, 3]], quads_Q42[:, [1, 2, 3]])
    return np.concatenate([first, second])


def border(faces_F3: np.ndarray) -> np.ndarray:
    """Return the vertices on edges that only one triangle has."""
    edges = np.concatenate([faces_F3[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    unique, count = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    return np.unique(unique[count == 1])


def _collar(faces_F3: np.ndarray, cloth_F: np.ndarray, neck_V: np.ndarray) -> np.ndarray:
    """Return which triangles (F,) are the cloth's topmost rings; whole rings leave a clean edge."""
    taken_F = np.zeros(len(faces_F3), bool)
    edge = border(faces_F3[cloth_F])
    edge = edge[neck_V[edge]]
    for _ in range(COLLAR_RINGS):
        ring_F = cloth_F & ~taken_F & np.isin(faces_F3, edge).any(1)
        taken_F |= ring_F
        edge = np.intersect1d(border(faces_F3[cloth_F & ~taken_F]), faces_F3[ring_F])
    return taken_F


def _faces_up_or_down(corners_F33: np.ndarray) -> np.ndarray:
    """Return which triangles (F,) face up or down rather than to the side."""
    normals = np.cross(corners_F33[:, 1] - corners_F33[:, 0], corners_F33[:, 2] - corners_F33[:, 0])
    return np.abs(normals[:, 1]) > BITING * np.linalg.norm(normals, axis=1)


def order_vertices(count: int, places: dict[str, int]) -> np.ndarray:
    """Return a permutation (count,): new order -> old index, with `places` where `smplx` looks.

    `smplx` takes nose, eyes, ears, toes, heels and finger tips from vertex numbers written in its
    code (`smplx.vertex_ids`), so the vertices go to the numbers.
    """
    order = np.arange(count)
    slot_of = np.arange(count)
    for name, vertex in places.items():
        slot, current = vertex_ids["smplx"][name], slot_of[vertex]
        other = order[slot]
        order[slot], order[current] = vertex, other
        slot_of[vertex], slot_of[other] = slot, current
    return order


# Regions of the skin, from MakeHuman's texture masks.
REGION_MASKS = {
    "lips": "lips",
    "mouth_inside": "inside-mouth",
    "eyelids": "eyelids",
    "ears": "ears",
    "nails": "fingernails",
    "face": "face",
}


def skin_regions(source: AnnySource, mesh: Mesh) -> dict[str, np.ndarray]:
    """Return region -> how far each kept vertex (N,) lies in it, 0 to 1."""
    skin_F = mesh.part("skin")[mesh.faces_F3[:, 0]]
    corners, uv_corners = mesh.faces_F3[skin_F].ravel(), mesh.uv_faces_F3[skin_F].ravel()
    count_N = np.bincount(corners, minlength=len(mesh.kept_N)).clip(1)
    regions = {}
    for region, mask in REGION_MASKS.items():
        path = source.data / f"mpfb2/textures/mpfb_{mask}.jpg"
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        height, width = image.shape
        column = (mesh.uv_U2[:, 0] * width).astype(int).clip(0, width - 1)
        row = ((1 - mesh.uv_U2[:, 1]) * height).astype(int).clip(0, height - 1)
        inside_U = image[row, column] / 255
        sums_N = np.bincount(corners, inside_U[uv_corners], minlength=len(mesh.kept_N))
        regions[region] = sums_N / count_N
    return regions
