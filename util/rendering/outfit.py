"""What is drawn of a body: its skin, eyes, clothes and hair as surfaces for a renderer.

Hair is a grid of strands around the skull it hangs on. A column of the grid is one strand: from the
crown over the skull, straight down past the ears, round the tip, and up again inside. Lengths are
metres in the rest pose of the open body.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, identity, vstack
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

from speech2video.util.body.body_model import NUM_BETAS, OPEN_BODY, Body
from speech2video.util.body.skeleton import JOINTS
from speech2video.util.rendering.appearance import (
    NECKLINE,
    TEXTURE_SIZE,
    TEXTURE_TOP_LEFT,
    Appearance,
    HairStyle,
    flatten_suit,
    sweater_texture,
    to_bytes,
    vertex_colours,
)

SWELL = 0.005  # metres that the clothes stand off
SLEEVE_END, TAPER = 0.70, 0.06  # |x|: the sleeves' edge, and how it lies on
LINED = (0.20, 0.05)  # |x| and height past which the insides of sleeves and collar are visible
HEAD_HEIGHT = 0.2  # height above which hair is shaped by the skin
STATIC = 1e-4  # metres a vertex may move with any expression and yet hold the hair

SKULL_CENTRE = np.array((0.0, 0.31, 0.072))  # level with the brows
COLUMNS, OUTER_ROWS, INNER_ROWS = 152, 24, 7
DROP = 0.1  # metres hung for each radian of reach past a quarter turn: about the skull's radius
SHORT = 0.03  # metres hung, below which hair is too short to curl
INSIDE = 0.012  # metres between the outer and the inner face
SMOOTHING = 3  # rounds of averaging along a strand, where it leaves the skull
QUARTER = np.pi / 2
HAIR_TEXTURE = (256, 1024)  # rows along a strand, columns around the head


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
    mix: Any  # csr_matrix, whose types are incomplete
    swell_N1: np.ndarray


@dataclass(frozen=True)
class BodyRegions:
    """Named vertices of the open body: masks (V,) of parts, shares (V,) uint8 of skin regions.

    Attributes:
        anchors: numbers of the skull's vertices that no expression moves.
    """

    parts: dict[str, np.ndarray]
    regions: dict[str, np.ndarray]
    anchors: np.ndarray


@cache
def open_body_regions() -> BodyRegions:
    """Return the open body's parts and regions, from its file."""
    with np.load(OPEN_BODY, allow_pickle=False) as file:
        names, numbers = file["part_names"], file["vertex_parts"]
        parts = {str(name): numbers == index for index, name in enumerate(names)}
        shares = zip(file["region_names"], file["vertex_regions"], strict=True)
        regions = {str(name): share for name, share in shares}
        scalp = regions["scalp"] / np.float32(255)
        skull = (file["weights"][:, JOINTS.index("head")] > 0.99) & (scalp > 0.9)
        expressions = file["shapedirs"][skull][..., NUM_BETAS:]
        anchors = np.flatnonzero(skull)[np.abs(expressions).max((1, 2)) < STATIC]
    return BodyRegions(parts, regions, anchors)


def build_outfit(body: Body, appearance: Appearance) -> Outfit:
    """Return a body's outfit: the open body's clothes and hair, or one colour for any other."""
    faces_F3 = body.faces.cpu().numpy()
    points_V3 = body.model.v_template.cpu().numpy()
    if body.name == "open":
        return _OpenBodyOutfit(points_V3, faces_F3, appearance).build()
    count = len(points_V3)
    colours_V3 = np.tile(to_bytes(appearance.plain), (count, 1))
    mix = identity(count, dtype=np.float32, format="csr")  # pyright: ignore[reportArgumentType]
    return Outfit((Surface(faces_F3, colours_V3),), mix, np.zeros((count, 1), np.float32))


def affine_weights(points_N3: np.ndarray, anchors_K3: np.ndarray) -> np.ndarray:
    """Return weights (N, K), rows of sum 1, that mix anchors into points, wherever they move to.

    Exact for every affine movement of four or more anchors that lie in no plane.
    """
    basis = np.pad(anchors_K3, ((0, 0), (0, 1)), constant_values=1).T
    return (np.linalg.pinv(basis) @ np.pad(points_N3, ((0, 0), (0, 1)), constant_values=1).T).T


def anchor_mix(
    points_N3: np.ndarray, vertices_V3: np.ndarray, anchors_K: np.ndarray, width: int
) -> Any:
    """Return the mix (N, width) that makes points follow anchor vertices affinely."""
    weights_NK = affine_weights(points_N3, vertices_V3[anchors_K])
    rows_NK, columns_NK = np.mgrid[: len(points_N3), : len(anchors_K)]
    return _sparse(rows_NK, anchors_K[columns_NK], weights_NK, width)


class _OpenBodyOutfit:
    """Builds the outfit of the open body at rest, with its parts and regions."""

    def __init__(self, points_V3: np.ndarray, faces_F3: np.ndarray, appearance: Appearance) -> None:
        self.points_V3, self.faces_F3, self.appearance = points_V3, faces_F3, appearance
        named = open_body_regions()
        self.parts, self.anchors = named.parts, named.anchors
        self.regions = {name: share / np.float32(255) for name, share in named.regions.items()}

    def build(self) -> Outfit:
        """Return the outfit: the body's own points, then the collar's edge, then the hair."""
        count = len(self.points_V3)
        cloth_F3, edge = self._cut_cloth()
        body: Any = vstack((identity(count), edge), "csr", np.float32)
        skull = self.parts["skin"] & (self.points_V3[:, 1] > HEAD_HEIGHT)
        hair_N3, hair = grow_hair(self.points_V3[skull], self.appearance, body.shape[0])
        extremes = self.points_V3[self.anchors]
        anchors = self.anchors[np.unique(np.concatenate((extremes.argmin(0), extremes.argmax(0))))]
        hanging = anchor_mix(hair_N3, self.points_V3, anchors, count)
        mix: Any = vstack((body, hanging), "csr", np.float32)
        swell_N1 = np.zeros((mix.shape[0], 1), np.float32)
        swell_N1[:count, 0] = self._swell()
        swell_N1[count : body.shape[0]] = SWELL / 2
        return Outfit((*self._skin(), *self._cloth(cloth_F3, body), hair), mix, swell_N1)

    def _faces(self, *parts: str) -> np.ndarray:
        """Return the triangles of parts, without the skin that the cloth hides."""
        shown_V = np.any([self.parts[part] for part in parts], 0) & (self.regions["covered"] < 1)
        return self.faces_F3[shown_V[self.faces_F3].all(1)]

    def _skin(self) -> list[Surface]:
        colours_V3 = to_bytes(
            vertex_colours(self.points_V3, self.parts, self.regions, self.appearance)
        )
        return [
            Surface(self._faces("skin", "tongue", "lashes", "brows"), colours_V3, shine=0.10),
            Surface(self._faces("left_eye", "right_eye"), colours_V3, shine=0.7, sharpness=70),
            Surface(self._faces("upper_teeth", "lower_teeth"), colours_V3, shine=0.2),
        ]

    def _cut_cloth(self) -> tuple[np.ndarray, Any]:
        """Return the suit's triangles below the neckline, and the mix of the new edge's points."""
        height_V = flatten_suit(self.points_V3)[:, 1]
        faces_F3, ends_E2, share_E = cut_mesh(self._faces("cloth"), NECKLINE - height_V)
        rows_E2 = np.indices(ends_E2.shape)[0]
        weights_E2 = np.stack((1 - share_E, share_E), 1)
        return faces_F3, _sparse(rows_E2, ends_E2, weights_E2, len(self.points_V3))

    def _cloth(self, faces_F3: np.ndarray, body: Any) -> list[Surface]:
        """Return the sweater and what of its inside can be seen."""
        sheet_N2 = flatten_suit(body @ self.points_V3)
        uv_N2 = (sheet_N2 - TEXTURE_TOP_LEFT) / TEXTURE_SIZE + (0, 1)
        texture = to_bytes(sweater_texture(self.appearance))
        sweater = Surface(faces_F3, texture_HW3=texture, uv_N2=uv_N2, shine=0.02)
        reach, height = LINED
        lined_N = (np.abs(sheet_N2[:, 0]) > reach) | (sheet_N2[:, 1] > height)
        return [sweater, replace(sweater, faces_F3=faces_F3[lined_N[faces_F3].any(1)], inside=True)]

    def _swell(self) -> np.ndarray:
        """Return how far vertices (V,) move outward: cloth out, the skin in the sleeves in."""
        reach = np.abs(self.points_V3[:, 0])
        cloth = self.parts["cloth"] * np.clip((SLEEVE_END - reach) / TAPER, 0.2, 1)
        hidden = (reach > 0.5) * np.clip((SLEEVE_END - reach) / 0.02, 0, 1)
        return SWELL * (cloth - hidden * self.parts["skin"])


def cut_mesh(
    faces_F3: np.ndarray, inside_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a mesh cut along inside = 0: triangles, edges cut (E, 2), share of their second end.

    Triangle corners from N on are points on the cut edges, in their order.
    """
    kept = inside_N >= 0
    number = kept[faces_F3].sum(1)
    edges: dict[tuple[int, int], int] = {}

    def crossing(a: int, b: int) -> int:
        return len(inside_N) + edges.setdefault((min(a, b), max(a, b)), len(edges))

    made = []
    for face in faces_F3[(number == 1) | (number == 2)]:
        odd = int(np.flatnonzero(kept[face] == (kept[face].sum() == 1))[0])
        tip, second, third = (int(face[(odd + step) % 3]) for step in range(3))
        p, q = crossing(tip, second), crossing(third, tip)
        made += [(tip, p, q)] if kept[tip] else [(p, second, third), (p, third, q)]
    ends = np.array(list(edges), int).reshape(-1, 2)
    first, last = inside_N[ends[:, 0]], inside_N[ends[:, 1]]
    faces_F3 = np.concatenate((faces_F3[number == 3], np.array(made, int)))
    return faces_F3, ends, first / (first - last)


def grow_hair(
    skull_V3: np.ndarray, appearance: Appearance, first: int
) -> tuple[np.ndarray, Surface]:
    """Return hair over a head's skin: its points (N, 3) and its surface.

    Args:
        skull_V3: (V, 3) in metres, ears and all.
        appearance: with the hair's style and colour.
        first: number of the hair's first point among the outfit's.
    """
    style = appearance.style
    azimuth_C = np.linspace(-np.pi, np.pi, COLUMNS + 1)  # 0 is the front, the seam at the back
    noise = np.random.default_rng(0)
    reach_C = _reach(azimuth_C, style) + 0.015 * _ripple(azimuth_C, noise, waves=(11, 29))
    along_RC = np.linspace(0, 1, OUTER_ROWS)[:, None] * reach_C
    locks_C = style.locks * _ripple(azimuth_C, noise, waves=(19, 31, 53))
    points_RC3 = _outer_strands(skull_V3, azimuth_C, along_RC, locks_C, style)
    points_RC3 = np.concatenate((points_RC3, _inner_strands(points_RC3)))
    v = np.concatenate((np.linspace(0, 0.85, OUTER_ROWS), np.linspace(0.9, 1, INNER_ROWS)))
    u = np.linspace(0, 1, COLUMNS + 1)
    uv_N2 = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
    surface = Surface(
        _grid_faces(len(points_RC3), COLUMNS + 1) + first,
        texture_HW3=to_bytes(_strand_brightness(noise)[..., None] * appearance.hair),
        uv_N2=np.concatenate((np.zeros((first, 2)), uv_N2 * (1, -1) + (0, 1))),
        shine=0.22,
        sharpness=18,
    )
    return points_RC3.reshape(-1, 3), surface


def _reach(azimuth_C: np.ndarray, style: HairStyle) -> np.ndarray:
    """Return how far strands reach in radians from the crown, DROP metres each when they hang."""
    lower = style.sway * np.sin(2.0 * (azimuth_C + 0.15)) * (np.abs(azimuth_C) < 1.4)
    swept, hung = style.fringe + lower, QUARTER + style.length / DROP
    return swept + _smooth(np.abs(azimuth_C), *style.temple) * (hung - swept)


def _outer_strands(
    skull_V3: np.ndarray,
    azimuth_C: np.ndarray,
    along_RC: np.ndarray,
    locks_C: np.ndarray,
    style: HairStyle,
) -> np.ndarray:
    """Return the outer face (R, C, 3)."""
    angle_RC = np.minimum(along_RC, QUARTER)
    drop_RC = (along_RC - angle_RC) * DROP
    side_C2 = np.stack((np.sin(azimuth_C), np.cos(azimuth_C)), -1)
    flat_RC2 = np.sin(angle_RC)[..., None] * side_C2
    ray_RC3 = np.stack((flat_RC2[..., 0], np.cos(angle_RC), flat_RC2[..., 1]), -1)
    front_C = 1 - _smooth(np.abs(azimuth_C), *style.temple)
    edge_RC = _smooth(along_RC / along_RC[-1], 0.45, 1.0) * front_C
    radius_RC = _skull_radius(skull_V3, ray_RC3) + style.thickness * (1 - 0.85 * edge_RC)
    radius_RC += locks_C * _smooth(along_RC, 0.2, 1.2) * (1 - 0.8 * edge_RC)
    hung_RC = drop_RC / max(style.length, SHORT)
    radius_RC -= style.curl[0] * hung_RC + style.curl[1] * hung_RC**4
    points_RC3 = SKULL_CENTRE + ray_RC3 * radius_RC[..., None]
    points_RC3[..., 1] -= drop_RC
    for _ in range(SMOOTHING):
        points_RC3[1:-1] += (points_RC3[2:] + points_RC3[:-2] - 2 * points_RC3[1:-1]) / 4
    return points_RC3


def _inner_strands(outer_RC3: np.ndarray) -> np.ndarray:
    """Return the inner face (R, C, 3), from the tips up."""
    pick = np.linspace(OUTER_ROWS - 1, OUTER_ROWS // 3, INNER_ROWS).round().astype(int)
    points = outer_RC3[pick]
    away = points - SKULL_CENTRE
    away[..., 1] = np.maximum(away[..., 1], 0)
    return points - INSIDE * away / np.linalg.norm(away, axis=-1, keepdims=True)


def _skull_radius(skull_V3: np.ndarray, ray_RC3: np.ndarray, *, near: int = 10) -> np.ndarray:
    """Return the skull's radius (R, C) about its centre along unit rays, smoothed."""
    away = skull_V3 - SKULL_CENTRE
    radius = np.linalg.norm(away, axis=1)
    distance, index = cKDTree(away / radius[:, None]).query(ray_RC3, k=near)
    weight = np.exp(-((distance / 0.18) ** 2))
    return (weight * radius[index]).sum(-1) / weight.sum(-1)


def _grid_faces(rows: int, columns: int) -> np.ndarray:
    """Return the triangles of a grid of points, outside to the front."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    right, below = corner + 1, corner + columns
    upper = np.stack((corner, below, right), 1)
    return np.concatenate((upper, np.stack((right, below, below + 1), 1)))


def _strand_brightness(noise: np.random.Generator) -> np.ndarray:
    """Return the brightness (H, W) about 1: streaks that meander, dark roots and inside."""
    height, width = HAIR_TEXTURE
    angle = np.linspace(-np.pi, np.pi, width)
    v = np.linspace(0, 1, height)[:, None]
    streaks = np.zeros(())
    for waves, strength in (((9, 23), 0.07), ((47, 71), 0.09), ((131, 211), 0.10)):
        first, second = (_ripple(angle, noise, waves=waves) for _ in range(2))
        streaks = streaks + strength * (first * (1 - v) + second * v)
    halo = 0.26 * np.exp(-(((v - 0.42) / 0.12) ** 2))
    inside = 1 - 0.6 * _smooth(v, 0.85, 0.92)
    return (1 + halo * (1 + 4 * streaks) + streaks) * (0.8 + 0.2 * _smooth(v, 0, 0.15)) * inside


def _ripple(angle: np.ndarray, noise: np.random.Generator, *, waves: tuple[int, ...]) -> np.ndarray:
    """Return periodic noise within ±1 of about these waves to the turn."""
    total = np.zeros(())
    for wave in waves:
        for step in (0, 1, 3):
            total = total + np.sin((wave + step) * angle + noise.uniform(0, 2 * np.pi))
    return total / (3 * len(waves))


def _smooth(x: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _sparse(rows: np.ndarray, columns: np.ndarray, weights: np.ndarray, width: int) -> Any:
    entries = (weights.ravel(), (rows.ravel(), columns.ravel()))
    return csr_matrix(entries, (int(rows.max()) + 1, width), dtype=np.float32)
