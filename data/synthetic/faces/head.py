"""A demo face's head: the open body's mesh with more facial actions, beards and glasses.

Only what an image of the head shows is skinned. Three facial actions are added to the open body's
ten, without which sadness, fear and disgust would be too similar: bumps of displacement that its
skin, brows and lashes share. Lengths and places are metres at rest.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, vstack
from torch import Tensor

from speech2video.data.synthetic.faces.people import DemoPerson
from speech2video.util.body.body_model import Body, PartialBody
from speech2video.util.body.pose_vector import vector_to_smplx
from speech2video.util.body.skeleton import IBUG68
from speech2video.util.files import read_json
from speech2video.util.rendering.appearance import Colour, blend_colours, scale_colour, to_bytes
from speech2video.util.rendering.outfit import (
    Outfit,
    Surface,
    anchor_mix,
    build_outfit,
    open_body_regions,
)

SHOWN = ((-0.24, 0.10, -0.3), (0.24, 0.6, 0.4))  # corners of what is drawn
CONTOUR = 17  # iBUG's first landmarks, which slide as the head turns; 51 are fixed to the skin

BEARD_TOP, BEARD_BACK, EDGE = 0.262, 0.05, 0.006  # the lower face where a beard grows; soft edge
GOATEE = (0.024, 0.05)  # half width, and height from the nose down
MOUSTACHE = ((0.0, 0.2475), (0.027, 0.0075))  # middle and half axes
BEARD_STRENGTH = {"full": 0.85, "goatee": 0.85, "moustache": 0.9, "stubble": 0.3}
SHAVED = 0.45  # share of the hair's colour on a shaved scalp

FRAME: Colour = (0.10, 0.09, 0.10)
LENS_AT, LENS, WIRE = (0.0325, 0.297, 0.176), (0.0255, 0.0185), 0.0017
HINGE, EAR = (0.063, 0.302, 0.158), (0.074, 0.298, 0.075)  # where the temples run
SQUARE = 3.2  # exponent of the lens' superellipse: 2 is an ellipse
AROUND, ACROSS = 28, 5  # points along a frame and around its wire


@dataclass(frozen=True)
class Bump:
    """A patch of skin that an action moves.

    Attributes:
        at: middle on the left; the right side mirrors it.
        moved: metres by which it is displaced by the full action.
        wide, up, down: metres in which the displacement fades to the sides, above and below.
    """

    at: tuple[float, float, float]
    moved: tuple[float, float, float]
    wide: float
    up: float
    down: float


ACTIONS = {
    name: [Bump(*bump) for bump in bumps]
    for name, bumps in read_json(Path(__file__).with_name("actions.json"), what="actions").items()
}


class Head:
    """The part of the open body that an image of a head shows, for one person's shape.

    Attributes:
        outfit: surfaces over the points that `vertices` gives.

    Args:
        betas: (10,) the person's shape.
        outfit: the whole body's, as `person_outfit` returns it.
    """

    def __init__(self, body: Body, betas: tuple[float, ...], outfit: Outfit) -> None:
        self._body, self._betas = body, torch.tensor(betas)
        model = body.model
        rest_N3 = outfit.mix @ model.v_template.numpy()[: outfit.mix.shape[1]]
        trimmed, shown = _trimmed(outfit, rest_N3)
        corners = body.faces[model.lmk_faces_idx].numpy()
        used, where = np.unique(np.concatenate((shown, corners.ravel())), return_inverse=True)
        self._corners = torch.from_numpy(where[len(shown) :].reshape(-1, 3))
        self.outfit = replace(trimmed, mix=_columns(trimmed.mix, where[: len(shown)]))
        actions = torch.from_numpy(action_directions(body)).float()
        directions = torch.cat((model.shapedirs, model.expr_dirs, actions), -1)
        self._count = len(used)
        self._partial = PartialBody.of(model, torch.from_numpy(used), directions)

    def vertices(self, pose_TP: Tensor, actions_TA: Tensor) -> Tensor:
        """Return the vertices (T, V, 3), metres, of pose vectors (T, 106) and extra actions."""
        full = vector_to_smplx(pose_TP, self._body.hands)
        betas = self._betas.expand(len(pose_TP), -1)
        coefficients = torch.cat((betas, full.expression, actions_TA), -1)
        vertices, _ = self._partial.skin(coefficients, full.rotations)
        return vertices[:, : self._count] + full.translation.unsqueeze(1)

    def landmarks(self, pose_TP: Tensor, vertices_TV3: Tensor) -> Tensor:
        """Return iBUG's 68 points (T, 68, 3), metres, of a pose and its vertices."""
        points = self._body.points(pose_TP, betas=self._betas)[:, list(IBUG68)]
        weights = self._body.model.lmk_bary_coords.unsqueeze(-1)
        inner = (vertices_TV3[:, self._corners] * weights).sum(-2)
        return torch.cat((points[:, :CONTOUR], inner), 1)


def action_directions(body: Body) -> np.ndarray:
    """Return the displacement (V, 3, A) of each of `ACTIONS` at its full size, metres."""
    points_V3 = body.model.v_template.numpy()
    parts = open_body_regions().parts
    moved_V = parts["skin"] | parts["brows"] | parts["lashes"]
    return np.stack(
        [
            moved_V[:, None] * sum(_displaced(points_V3, bump) for bump in bumps)
            for bumps in ACTIONS.values()
        ],
        -1,
    )


def _displaced(points_V3: np.ndarray, bump: Bump) -> np.ndarray:
    """Return by how much a bump and its mirror image displace points (V, 3)."""
    total_V3 = np.zeros_like(points_V3)
    for side in (1, -1) if bump.at[0] else (1,):
        x, y, z = (points_V3 - np.array(bump.at) * (side, 1, 1)).T
        height = y / np.where(y > 0, bump.up, bump.down)
        share_V = np.exp(-((x / bump.wide) ** 2) - height**2 - (z / 0.03) ** 2)
        total_V3 += share_V[:, None] * (np.array(bump.moved) * (side, 1, 1))
    return total_V3


def _trimmed(outfit: Outfit, rest_N3: np.ndarray) -> tuple[Outfit, np.ndarray]:
    """Return an outfit of the triangles that an image shows, and which vertices it mixes."""
    low, high = (np.array(corner) for corner in SHOWN)
    inside_N = np.all((rest_N3 > low) & (rest_N3 < high), axis=1)
    kept = [surface.faces_F3[inside_N[surface.faces_F3].any(1)] for surface in outfit.surfaces]
    used = np.unique(np.concatenate([faces.ravel() for faces in kept]))
    number = np.zeros(len(rest_N3), int)
    number[used] = np.arange(len(used))
    surfaces = tuple(
        replace(
            surface,
            faces_F3=number[faces],
            colours_N3=_rows(surface.colours_N3, used),
            uv_N2=_rows(surface.uv_N2, used),
        )
        for surface, faces in zip(outfit.surfaces, kept, strict=True)
        if len(faces)
    )
    mix = outfit.mix[used]
    shown = np.unique(mix.indices)
    return Outfit(surfaces, mix[:, shown], outfit.swell_N1[used]), shown


def _rows(values: np.ndarray | None, used: np.ndarray) -> np.ndarray | None:
    """Return rows; a surface's table may end before the points of later surfaces begin."""
    return None if values is None else values[used.clip(max=len(values) - 1)]


def _columns(mix: Any, where: np.ndarray) -> Any:
    """Return a mix whose columns are moved to other places."""
    width = int(where.max()) + 1
    return csr_matrix((mix.data, where[mix.indices], mix.indptr), (mix.shape[0], width))


@lru_cache(maxsize=64)  # people recur, sentence after sentence
def person_outfit(person: DemoPerson, body: Body) -> Outfit:
    """Return a person's outfit over the open body's vertices."""
    outfit = build_outfit(body, person.appearance)
    surfaces = list(outfit.surfaces)
    skin = surfaces[0]
    surfaces[0] = replace(skin, colours_N3=_skin(person, body, skin))
    if person.head != "hair":
        surfaces = surfaces[:-1]
    outfit = replace(outfit, surfaces=tuple(surfaces))
    return _with_glasses(outfit, body) if person.glasses else outfit


def _skin(person: DemoPerson, body: Body, skin: Surface) -> np.ndarray:
    """Return the skin's colours (V, 3) uint8 with a beard, and the scalp as it is."""
    points_V3 = body.model.v_template.numpy()
    named = open_body_regions()
    scalp_V, lips_V = (named.regions[name] / 255 for name in ("scalp", "lips"))
    hair = person.appearance.hair
    assert skin.colours_N3 is not None
    colours = skin.colours_N3 / 255.0
    if person.head != "hair":
        share = SHAVED if person.head == "shaved" else 0.0
        scalp = np.array(blend_colours(person.appearance.skin, hair, share))
        colours += (scalp - colours) * np.clip(1.3 * scalp_V, 0, 1)[:, None]
    if person.beard:
        share_V = BEARD_STRENGTH[person.beard] * _beard(points_V3, person.beard)
        share_V = share_V * named.parts["skin"] * (1 - np.clip(2 * lips_V, 0, 1))
        colours += (np.array(scale_colour(hair, 0.8)) - colours) * share_V[:, None]
    return np.round(colours * 255).clip(0, 255).astype(np.uint8)


def _beard(points_V3: np.ndarray, kind: str) -> np.ndarray:
    """Return how much of a beard grows at points (V, 3), 0 to 1."""
    x, y, z = np.abs(points_V3[:, 0]), points_V3[:, 1], points_V3[:, 2]
    (_, middle), (wide, high) = MOUSTACHE
    moustache = _inside(1 - np.hypot(x / wide, (y - middle) / high), 0.5) * (z > 0.12)
    if kind == "moustache":
        return moustache
    edge = BEARD_TOP - 0.9 * np.clip(0.055 - x, 0, 1)  # cheeks are bare, sideburns are not
    full = _inside((edge - y) / EDGE, 1.0) * _inside((z - BEARD_BACK) / EDGE, 1.0)
    if kind == "goatee":
        wide, _ = GOATEE
        full = full * _inside((wide - x) / EDGE, 1.0)
    return np.maximum(full * (y > 0.17), moustache)


def _inside(depth: np.ndarray, edge: float) -> np.ndarray:
    """Return 0 outside, 1 from `edge` inside on, smoothly."""
    share = np.clip(depth / edge, 0, 1)
    return share * share * (3 - 2 * share)


def _with_glasses(outfit: Outfit, body: Body) -> Outfit:
    """Return the outfit with glasses that follow the skull and its shape."""
    points_N3, faces_F3 = _glasses()
    mix = anchor_mix(
        points_N3, body.model.v_template.numpy(), _glasses_anchors(body), outfit.mix.shape[1]
    )
    first = outfit.mix.shape[0]
    colours_N3 = np.tile(to_bytes(FRAME), (first + len(points_N3), 1))
    surface = Surface(faces_F3 + first, colours_N3, shine=0.5, sharpness=40)
    swell_N1 = np.concatenate((outfit.swell_N1, np.zeros((len(points_N3), 1), np.float32)))
    return Outfit((*outfit.surfaces, surface), vstack((outfit.mix, mix), "csr"), swell_N1)


def _glasses_anchors(body: Body) -> np.ndarray:
    """Return vertices around the eyes and ears that expressions leave alone, to hang glasses on."""
    points_V3 = body.model.v_template.numpy()
    static_V = np.abs(body.model.expr_dirs.numpy()).max((1, 2)) < 1e-4
    near_V = (np.abs(points_V3[:, 1] - LENS_AT[1]) < 0.05) & (points_V3[:, 1] > 0.25)
    skin_V = open_body_regions().parts["skin"]
    found = np.flatnonzero(static_V & skin_V & near_V & (np.abs(points_V3[:, 0]) < 0.1))
    return found[:: max(1, len(found) // 200)]


def _glasses() -> tuple[np.ndarray, np.ndarray]:
    """Return points (N, 3) and triangles (F, 3) of two frames, a bridge and two temples."""
    angle = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    corner = np.stack((np.cos(angle), np.sin(angle)), 1)
    corner = np.sign(corner) * np.abs(corner) ** (2 / SQUARE) * LENS
    points, faces, count = [], [], 0
    for side in (1, -1):
        x, y, z = LENS_AT
        bend = -0.22 * np.maximum(corner[:, 0], -0.01)  # frames bend around the face
        ring = np.stack((side * (x + corner[:, 0]), y + corner[:, 1], z + bend), 1)
        temple = np.linspace(HINGE, EAR, 6) * (side, 1, 1)
        outer = np.array((side * (x + LENS[0]), HINGE[1], z - 0.22 * LENS[0]))
        for path, closed in ((ring, True), (np.concatenate((outer[None], temple)), False)):
            tube_N3, tube_F3 = _tube(path, closed)
            points.append(tube_N3)
            faces.append(tube_F3 + count)
            count += len(tube_N3)
    inner = LENS_AT[0] - LENS[0]
    arch = np.linspace(-1, 1, 7)
    bridge = np.stack(
        (inner * arch, LENS_AT[1] + 0.006 + 0.003 * (1 - arch**2), 0 * arch + LENS_AT[2] + 0.002), 1
    )
    tube_N3, tube_F3 = _tube(bridge, False)
    return np.concatenate((*points, tube_N3)), np.concatenate((*faces, tube_F3 + count))


def _tube(path_N3: np.ndarray, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the wire along a path: points and triangles, seen from both sides."""
    ahead = np.roll(path_N3, -1, 0) - np.roll(path_N3, 1, 0)
    if not closed:
        ahead[0], ahead[-1] = path_N3[1] - path_N3[0], path_N3[-1] - path_N3[-2]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    side = np.cross(ahead, (0.1, 0.3, 0.95))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(ahead, side)
    turn = np.linspace(0, 2 * np.pi, ACROSS, endpoint=False)
    ring = side[:, None] * np.cos(turn)[:, None] + up[:, None] * np.sin(turn)[:, None]
    points = path_N3[:, None] + WIRE * ring
    count = len(path_N3)
    i, j = np.meshgrid(np.arange(count if closed else count - 1), np.arange(ACROSS), indexing="ij")
    a, b = i * ACROSS + j, i * ACROSS + (j + 1) % ACROSS
    c, d = ((i + 1) % count) * ACROSS + j, ((i + 1) % count) * ACROSS + (j + 1) % ACROSS
    quads = np.stack((a, b, c, d), -1).reshape(-1, 4)
    faces = np.concatenate((quads[:, (0, 1, 2)], quads[:, (1, 3, 2)]))
    return points.reshape(-1, 3), np.concatenate((faces, faces[:, ::-1]))
