"""What a demo face wears besides the open body's outfit: a beard or none, glasses, no hair."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_matrix, vstack

from speech2video.data.synthetic.faces.people import DemoPerson
from speech2video.util.body.body_model import OPEN_BODY, Body
from speech2video.util.rendering import hair
from speech2video.util.rendering.appearance import Colour, blend_colours, scale_colour
from speech2video.util.rendering.outfit import Outfit, Surface, build_outfit

# metres at rest: the lower face where a beard grows, the lips' middle, the soft edge
BEARD_TOP, BEARD_BACK, LIPS_AT, EDGE = 0.262, 0.05, (0.0, 0.2305), 0.006
GOATEE = (0.024, 0.05)  # half width, and height from the nose down
MOUSTACHE = ((0.0, 0.2475), (0.027, 0.0075))  # middle and half axes
BEARD_STRENGTH = {"full": 0.85, "goatee": 0.85, "moustache": 0.9, "stubble": 0.3}
SHAVED = 0.45  # how much of the hair's colour a shaved scalp has

FRAME: Colour = (0.10, 0.09, 0.10)
LENS_AT, LENS, WIRE = (0.0325, 0.297, 0.176), (0.0255, 0.0185), 0.0017  # metres
HINGE, EAR = (0.063, 0.302, 0.158), (0.074, 0.298, 0.075)  # where the temples run
SQUARE = 3.2  # exponent of the lens' superellipse: 2 is an ellipse
AROUND, ACROSS = 28, 5  # points along a frame and around its wire


@lru_cache(maxsize=64)  # people come round again, sentence after sentence
def person_outfit(person: DemoPerson, body: Body) -> Outfit:
    """Return a person's outfit over the open body's vertices."""
    outfit = build_outfit(body, person.appearance)
    surfaces = list(outfit.surfaces)
    skin = surfaces[0]
    surfaces[0] = replace(skin, colours_N3=_skin(person, body, skin.colours_N3))
    if person.head != "hair":
        surfaces = surfaces[:-1]
    outfit = replace(outfit, surfaces=tuple(surfaces))
    return _with_glasses(outfit, body) if person.glasses else outfit


def _skin(person: DemoPerson, body: Body, colours_V3: np.ndarray) -> np.ndarray:
    """Return the skin's colours (V, 3) uint8 with a beard, and the scalp as it is."""
    points_V3 = body.model.v_template.numpy()
    with np.load(OPEN_BODY, allow_pickle=False) as file:
        names = [str(name) for name in file["region_names"]]
        scalp_V, lips_V = (
            file["vertex_regions"][names.index(name)] / 255 for name in ("scalp", "lips")
        )
        parts = [str(name) for name in file["part_names"]]
        skin_V = file["vertex_parts"] == parts.index("skin")
    colours = colours_V3 / 255.0
    if person.head != "hair":
        share = SHAVED if person.head == "shaved" else 0.0
        scalp = np.array(blend_colours(person.appearance.skin, person.appearance.hair, share))
        colours += (scalp - colours) * np.clip(1.3 * scalp_V, 0, 1)[:, None]
    if person.beard:
        share_V = BEARD_STRENGTH[person.beard] * _beard(points_V3, person.beard)
        share_V = share_V * skin_V * (1 - np.clip(2 * lips_V, 0, 1))
        colours += (np.array(scale_colour(person.appearance.hair, 0.8)) - colours) * share_V[
            :, None
        ]
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
    rest_V3 = body.model.v_template.numpy()
    anchors = _anchors(body)
    weights_NK = hair.hang(points_N3, rest_V3[anchors])
    rows, columns = np.indices(weights_NK.shape)
    entries = (weights_NK.ravel(), (rows.ravel(), anchors[columns].ravel()))
    mix = csr_matrix(entries, (len(points_N3), outfit.mix.shape[1]), dtype=np.float32)
    first = outfit.mix.shape[0]
    colour = np.round(np.array(FRAME) * 255).astype(np.uint8)
    surface = Surface(
        faces_F3 + first, np.tile(colour, (first + len(points_N3), 1)), shine=0.5, sharpness=40
    )
    swell_N1 = np.concatenate((outfit.swell_N1, np.zeros((len(points_N3), 1), np.float32)))
    return Outfit((*outfit.surfaces, surface), vstack((outfit.mix, mix), "csr"), swell_N1)


def _anchors(body: Body) -> np.ndarray:
    """Return vertices around the eyes and ears that expressions leave alone, to hang glasses on."""
    points_V3 = body.model.v_template.numpy()
    still_V = np.abs(body.model.expr_dirs.numpy()).max((1, 2)) < 1e-4
    with np.load(OPEN_BODY, allow_pickle=False) as file:
        parts = [str(name) for name in file["part_names"]]
        skin_V = file["vertex_parts"] == parts.index("skin")
    near_V = (np.abs(points_V3[:, 1] - LENS_AT[1]) < 0.05) & (points_V3[:, 1] > 0.25)
    found = np.flatnonzero(still_V & skin_V & near_V & (np.abs(points_V3[:, 0]) < 0.1))
    return found[:: max(1, len(found) // 200)]


def _glasses() -> tuple[np.ndarray, np.ndarray]:
    """Return points (N, 3) and triangles (F, 3) of two frames, a bridge and two temples."""
    angle = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    corner = np.stack((np.cos(angle), np.sin(angle)), 1)
    corner = np.sign(corner) * np.abs(corner) ** (2 / SQUARE) * LENS
    points, faces, count = [], [], 0
    for side in (1, -1):
        x, y, z = LENS_AT
        bend = -0.22 * np.maximum(corner[:, 0], -0.01)  # frames go round the face
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
