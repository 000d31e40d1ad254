"""What is drawn of a body: its skin, eyes, clothes and hair as surfaces for a renderer."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix, identity, vstack

from speech2video.util.body.body_model import NUM_BETAS, OPEN_BODY, Body
from speech2video.util.body.skeleton import JOINTS
from speech2video.util.rendering import clothes, hair
from speech2video.util.rendering.appearance import Appearance
from speech2video.util.rendering.skin_colours import vertex_colours

SWELL = 0.005  # metres that the clothes stand off
SLEEVE_END, TAPER = 0.70, 0.06  # |x|, metres at rest: the sleeves' edge, and how it lies on
LINED = (0.20, 0.05)  # |x| and height, metres, past which one may look into sleeves and collar
HEAD_HEIGHT = 0.2  # metres at rest above which hair is shaped by the skin
STILL = 1e-4  # metres a vertex may move with any expression and yet hold the hair


@dataclass(frozen=True)
class Surface:
    """Triangles of one material: vertex colours (N, 3), or a texture (H, W, 3) with `uv_N2`.

    Colours are uint8. v points up. Seen from outside only, or from `inside` only.
    """

    faces_F3: np.ndarray
    colours_N3: np.ndarray | None = None
    texture_HW3: np.ndarray | None = None
    uv_N2: np.ndarray | None = None
    shine: float = 0.12
    sharpness: float = 12.0
    inside: bool = False


@dataclass(frozen=True)
class Outfit:
    """Surfaces over N points that follow a body's V vertices.

    Attributes:
        surfaces: what to draw.
        mix: (N, V) sparse; times the vertices, it gives the points.
        swell_N1: how far each point then moves along its normal, metres.
    """

    surfaces: tuple[Surface, ...]
    mix: csr_matrix
    swell_N1: np.ndarray


def build_outfit(body: Body, appearance: Appearance) -> Outfit:
    """Return a body's outfit: the open body's clothes and hair, or one colour for any other."""
    faces_F3 = body.faces.cpu().numpy()
    points_V3 = body.model.v_template.cpu().numpy()
    if body.name == "open":
        return _OpenBody(points_V3, faces_F3).build_outfit(appearance)
    count = len(points_V3)
    colours_V3 = np.tile(_bytes(appearance.plain), (count, 1))
    still_V1 = np.zeros((count, 1), np.float32)
    return Outfit((Surface(faces_F3, colours_V3),), identity(count, np.float32, "csr"), still_V1)


class _OpenBody:
    """The open body at rest, its parts and regions."""

    def __init__(self, points_V3: np.ndarray, faces_F3: np.ndarray) -> None:
        self.points_V3, self.faces_F3 = points_V3, faces_F3
        with np.load(OPEN_BODY, allow_pickle=False) as file:
            names, numbers = file["part_names"], file["vertex_parts"]
            self.parts = {str(name): numbers == index for index, name in enumerate(names)}
            regions = zip(file["region_names"], file["vertex_regions"], strict=True)
            self.regions = {str(name): share / np.float32(255) for name, share in regions}
            skull = (file["weights"][:, JOINTS.index("head")] > 0.99) & (
                self.regions["scalp"] > 0.9
            )
            expressions = file["shapedirs"][skull][..., NUM_BETAS:]
            self.anchors = np.flatnonzero(skull)[np.abs(expressions).max((1, 2)) < STILL]

    def build_outfit(self, appearance: Appearance) -> Outfit:
        """Return the outfit: the body's own points, then the collar's edge, then the hair."""
        own = identity(len(self.points_V3), np.float32, "csr")
        cloth_F3, edge = self._cut_cloth()
        skull = self.parts["skin"] & (self.points_V3[:, 1] > HEAD_HEIGHT)
        style = hair.grow(self.points_V3[skull], appearance.style)
        body = vstack((own, edge), "csr")
        mix = vstack((body, self._hang(style)), "csr").astype(np.float32)
        swell_N1 = np.zeros((mix.shape[0], 1), np.float32)
        swell_N1[: len(self.points_V3), 0] = self._swell()
        swell_N1[len(self.points_V3) : body.shape[0]] = SWELL / 2
        surfaces = (*self._skin(appearance), *self._cloth(cloth_F3, body, appearance))
        return Outfit((*surfaces, _hair(style, body.shape[0], appearance)), mix, swell_N1)

    def _faces(self, *parts: str) -> np.ndarray:
        """Return the triangles of parts, without the skin that the cloth hides."""
        shown_V = np.any([self.parts[part] for part in parts], 0) & (self.regions["covered"] < 1)
        return self.faces_F3[shown_V[self.faces_F3].all(1)]

    def _skin(self, appearance: Appearance) -> list[Surface]:
        colours_V3 = _bytes(vertex_colours(self.points_V3, self.parts, self.regions, appearance))
        return [
            Surface(self._faces("skin", "tongue", "lashes", "brows"), colours_V3, shine=0.10),
            Surface(self._faces("left_eye", "right_eye"), colours_V3, shine=0.7, sharpness=70),
            Surface(self._faces("upper_teeth", "lower_teeth"), colours_V3, shine=0.2),
        ]

    def _cut_cloth(self) -> tuple[np.ndarray, csr_matrix]:
        """Return the suit's triangles below the neckline, and the mix of the new edge's points."""
        height_V = clothes.slanted(self.points_V3)[:, 1]
        faces_F3, ends_E2, share_E = clothes.cut(self._faces("cloth"), clothes.NECKLINE - height_V)
        rows_E2 = np.repeat(np.arange(len(ends_E2)), 2)
        weights_E2 = np.stack((1 - share_E, share_E), 1)
        return faces_F3, _sparse(rows_E2, ends_E2, weights_E2, len(self.points_V3))

    def _cloth(
        self, faces_F3: np.ndarray, body: csr_matrix, appearance: Appearance
    ) -> list[Surface]:
        """Return the sweater and what of its inside can be seen."""
        sheet_N2 = clothes.slanted(body @ self.points_V3)
        uv_N2 = (sheet_N2 - clothes.TOP_LEFT) / clothes.SIZE_METRES + (0, 1)
        texture = _bytes(clothes.sweater(appearance))
        sweater = Surface(faces_F3, texture_HW3=texture, uv_N2=uv_N2, shine=0.02)
        reach, height = LINED
        lined_N = (np.abs(sheet_N2[:, 0]) > reach) | (sheet_N2[:, 1] > height)
        return [sweater, replace(sweater, faces_F3=faces_F3[lined_N[faces_F3].any(1)], inside=True)]

    def _hang(self, style: hair.Hair) -> csr_matrix:
        """Return the mix that hangs the hair on the skull's farthest vertices."""
        skull = self.points_V3[self.anchors]
        anchors = self.anchors[np.unique(np.concatenate((skull.argmin(0), skull.argmax(0))))]
        weights_NK = hair.hang(style.points_N3, self.points_V3[anchors])
        rows_NK, columns_NK = np.indices(weights_NK.shape)
        return _sparse(rows_NK, anchors[columns_NK], weights_NK, len(self.points_V3))

    def _swell(self) -> np.ndarray:
        """Return how far vertices (V,) move outward: cloth out, the skin in the sleeves in."""
        reach = np.abs(self.points_V3[:, 0])
        cloth = self.parts["cloth"] * np.clip((SLEEVE_END - reach) / TAPER, 0.2, 1)
        hidden = (reach > 0.5) * np.clip((SLEEVE_END - reach) / 0.02, 0, 1)
        return SWELL * (cloth - hidden * self.parts["skin"])


def _hair(style: hair.Hair, first: int, appearance: Appearance) -> Surface:
    """Return the hair, whose points begin at number `first`."""
    uv_N2 = np.concatenate((np.zeros((first, 2)), style.uv_N2 * (1, -1) + (0, 1)))
    texture = _bytes(style.strands_HW[..., None] * appearance.hair)
    faces_F3 = style.faces_F3 + first
    return Surface(faces_F3, texture_HW3=texture, uv_N2=uv_N2, shine=0.22, sharpness=18)


def _sparse(rows: np.ndarray, columns: np.ndarray, weights: np.ndarray, width: int) -> csr_matrix:
    entries = (weights.ravel(), (rows.ravel(), columns.ravel()))
    return csr_matrix(entries, (int(rows.max()) + 1, width), dtype=np.float32)


def _bytes(colours: np.ndarray | tuple[float, ...]) -> np.ndarray:
    return np.round(np.clip(colours, 0, 1) * 255.0).astype(np.uint8)
