"""A demo face's head as a mesh that moves: the open body's, with more to its expression.

Only what a picture of the head shows is skinned. Three facial actions are added to the open body's
ten, without which sadness, fear and disgust would look alike: bumps of displacement, in metres at
rest, that its skin, brows and lashes share.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse import csr_matrix
from smplx import lbs
from torch import Tensor
from torch.nn.functional import pad

from speech2video.util.body.body_model import OPEN_BODY, Body
from speech2video.util.body.pose_vector import vector_to_smplx
from speech2video.util.body.skeleton import IBUG68, JOINTS
from speech2video.util.rendering.outfit import Outfit

SHOWN = ((-0.24, 0.10, -0.3), (0.24, 0.6, 0.4))  # metres at rest: corners of what is drawn
CONTOUR = 17  # iBUG's first landmarks, which slide as the head turns; 51 are fixed to the skin


@dataclass(frozen=True)
class Bump:
    """A stretch of skin that an action moves.

    Attributes:
        at: middle on the left, metres at rest; the right side mirrors it.
        moved: metres by which it is displaced by the full action.
        wide, up, down: metres in which the displacement fades to the sides, above and below.
    """

    at: tuple[float, float, float]
    moved: tuple[float, float, float]
    wide: float
    up: float
    down: float


ACTIONS: dict[str, tuple[Bump, ...]] = {
    "inner_brows_up": (
        Bump((0.014, 0.317, 0.165), (-0.0015, 0.0075, 0.001), 0.013, 0.02, 0.008),
        Bump((0.045, 0.316, 0.155), (0.0, -0.002, 0.0), 0.012, 0.012, 0.008),
    ),
    "nose_wrinkle": (
        Bump((0.016, 0.268, 0.165), (0.0012, 0.0045, 0.001), 0.010, 0.014, 0.008),
        Bump((0.0, 0.306, 0.170), (0.0, -0.0035, 0.0005), 0.012, 0.008, 0.012),
    ),
    "cheeks_up": (Bump((0.043, 0.265, 0.145), (0.001, 0.0045, 0.003), 0.017, 0.016, 0.014),),
}
_MOVED = ("skin", "brows", "lashes")  # parts


class Head:
    """What a picture of a head shows of the open body, for one person's shape.

    Attributes:
        outfit: surfaces over the points that `vertices` gives.

    Args:
        betas: (10,) the person's shape.
        outfit: the whole body's, as `util.body.outfit.dress` returns it.
    """

    def __init__(self, body: Body, betas: tuple[float, ...], outfit: Outfit) -> None:
        self._body, self._betas = body, torch.tensor(betas)
        model = body.model
        rest_N3 = outfit.mix @ model.v_template.numpy()[: outfit.mix.shape[1]]
        trimmed, shown = _trimmed(outfit, rest_N3)
        corners = body.faces[model.lmk_faces_idx].numpy()
        self._used, where = np.unique(np.concatenate((shown, corners.ravel())), return_inverse=True)
        self._corners = torch.from_numpy(where[len(shown) :].reshape(-1, 3))
        self.outfit = replace(trimmed, mix=_columns(trimmed.mix, where[: len(shown)]))
        self._small = self._small_body(body)

    def vertices(self, pose_TP: Tensor, actions_TA: Tensor) -> Tensor:
        """Return the vertices (T, V, 3), metres, of pose vectors (T, 106) and extra actions."""
        full = vector_to_smplx(pose_TP, self._body.hands)
        betas = self._betas.expand(len(pose_TP), -1)
        small = self._small
        vertices, _ = lbs.lbs(
            torch.cat((betas, full.expression, actions_TA), -1),
            full.rotations.flatten(1),
            small["template"],
            small["directions"],
            small["correctives"],
            small["regressor"],
            self._body.model.parents,
            small["weights"],
        )
        return vertices[:, : len(self._used)] + full.translation.unsqueeze(1)

    def landmarks(self, pose_TP: Tensor, vertices_TV3: Tensor) -> Tensor:
        """Return iBUG's 68 points (T, 68, 3), metres, of a pose and its vertices."""
        points = self._body.points(pose_TP, betas=self._betas)[:, list(IBUG68)]
        weights = self._body.model.lmk_bary_coords.unsqueeze(-1)
        inner = (vertices_TV3[:, self._corners] * weights).sum(-2)
        return torch.cat((points[:, :CONTOUR], inner), 1)

    def _small_body(self, body: Body) -> dict[str, Tensor]:
        """Return what skinning the shown vertices takes; the joints are vertices at the end."""
        model, used = body.model, torch.from_numpy(self._used)
        actions = torch.from_numpy(action_directions(body)).float()
        directions = torch.cat((model.shapedirs, model.expr_dirs, actions), -1)
        at_joints = torch.einsum("jv,vcd->jcd", model.J_regressor, directions)
        correctives = model.posedirs.unflatten(1, (-1, 3))[:, used].float()
        joints = len(JOINTS)
        template, regressor = model.v_template, model.J_regressor
        return {
            "template": torch.cat((template[used], regressor @ template)),
            "directions": torch.cat((directions[used], at_joints)),
            "correctives": pad(correctives, (0, 0, 0, joints)).flatten(1),
            "regressor": pad(torch.eye(joints), (len(used), 0)),
            "weights": torch.cat((model.lbs_weights[used], torch.eye(joints))),
        }


def action_directions(body: Body) -> np.ndarray:
    """Return the displacement (V, 3, A) of each of `ACTIONS` at its full size, metres."""
    points_V3 = body.model.v_template.numpy()
    with np.load(OPEN_BODY, allow_pickle=False) as file:
        parts = [str(name) for name in file["part_names"]]
        moved_V = np.isin(file["vertex_parts"], [parts.index(name) for name in _MOVED])
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
    """Return an outfit of the triangles that a picture shows, and which vertices it mixes."""
    low, high = (np.array(corner) for corner in SHOWN)
    inside_N = ((rest_N3 > low) & (rest_N3 < high)).all(1)
    kept = [surface.faces_F3[inside_N[surface.faces_F3].any(1)] for surface in outfit.surfaces]
    used = np.unique(np.concatenate([faces.ravel() for faces in kept]))
    number = np.zeros(len(rest_N3), int)
    number[used] = np.arange(len(used))
    surfaces = tuple(
        replace(
            surface,
            faces_F3=number[faces],
            colours_N3=None if surface.colours_N3 is None else _rows(surface.colours_N3, used),
            uv_N2=None if surface.uv_N2 is None else _rows(surface.uv_N2, used),
        )
        for surface, faces in zip(outfit.surfaces, kept, strict=True)
        if len(faces)
    )
    mix = outfit.mix[used]
    shown = np.unique(mix.indices)
    return Outfit(surfaces, mix[:, shown], outfit.swell_N1[used]), shown


def _rows(values: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Return rows; a surface's table may end before the points of later surfaces begin."""
    return values[used.clip(max=len(values) - 1)]


def _columns(mix: csr_matrix, where: np.ndarray) -> csr_matrix:
    """Return a mix whose columns are moved to other places."""
    width = int(where.max()) + 1
    return csr_matrix((mix.data, where[mix.indices], mix.indptr), (mix.shape[0], width))
