"""The body model: pose vectors to joints, landmarks and mesh, by the `smplx` package.

One code path for both bodies: the open one that ships beside this file, and a user's own
SMPLX_NEUTRAL.npz. Joints and landmarks need some hundred vertices, so only those are skinned.
"""

import contextlib
import copy
import io
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import smplx
import torch
from smplx import lbs
from torch import Tensor
from torch.nn.functional import pad

from speech2video.util.body.pose_vector import (
    HAND_COMPONENTS,
    NUM_EXPRESSIONS,
    HandBasis,
    split_pose,
    vector_to_smplx,
)
from speech2video.util.body.skeleton import JOINTS, POINTS
from speech2video.util.errors import DataError

OPEN_BODY = Path(__file__).parent / "open_body.npz"
REGISTRATION = "https://smpl-x.is.tue.mpg.de"
CHUNK = 2000  # frames skinned at a time: bounds memory to some hundred MB
NUM_BETAS = 10


class Body:
    """A body of fixed shape that takes pose vectors (T, 106); differentiable.

    Not an `nn.Module`, so that a user's licence-bound body cannot slip into a checkpoint.

    Attributes:
        hands: what the 12 coefficients of a hand mean in this body.
        faces: triangles (F, 3) of the mesh, vertex numbers.
        name: "open" for the body that ships, "smplx" for a registered user's own file. Expressions,
            hand coefficients and shapes mean something else in each; rotations mean the same.
    """

    def __init__(self, model: smplx.SMPLX, *, name: str, betas: Tensor | None = None) -> None:
        self.name = name
        self.model = model.requires_grad_(False)
        shape = torch.zeros(NUM_BETAS) if betas is None else betas.float()[:NUM_BETAS]
        self.betas = pad(shape, (0, NUM_BETAS - len(shape)))
        self.faces = model.faces_tensor
        means = torch.stack((model.left_hand_mean, model.right_hand_mean))
        components = torch.stack((model.left_hand_components, model.right_hand_components))
        self.hands = HandBasis(means.float(), components.float())
        self._small = self._collect_point_vertices()

    @classmethod
    def load(cls, path: Path | None = None, *, betas: Tensor | None = None) -> "Body":
        """Return the body of an SMPL-X npz file, the open body by default.

        Args:
            path: SMPLX_NEUTRAL.npz or another file of that layout. Read in place, never copied.
            betas: shape coefficients (10,) of that body; its mean shape by default.

        Raises:
            DataError: no such file, or not SMPL-X's layout.
        """
        path = OPEN_BODY if path is None else Path(path)
        if not path.is_file():
            raise DataError(
                f"{path}: no such body file; register at {REGISTRATION} for SMPLX_NEUTRAL.npz, "
                "or leave --body out to use the open body"
            )
        arrays = _read_body_file(path)
        name = str(arrays["body_name"]) if "body_name" in arrays else "smplx"
        return cls(_build(path, arrays), name=name, betas=betas)

    def to(self, device: torch.device | str) -> "Body":
        """Return this body on another device."""
        moved = copy.copy(self)
        moved.model = copy.deepcopy(self.model).to(device)
        moved.betas = self.betas.to(device)
        moved.hands = HandBasis(self.hands.mean.to(device), self.hands.components.to(device))
        moved._small = {key: value.to(device) for key, value in self._small.items()}
        return moved

    def points(self, pose_TP: Tensor, *, betas: Tensor | None = None) -> Tensor:
        """Return the 144 points (T, 144, 3) of `skeleton.POINTS` in metres.

        `betas` (10,) are used in place of the body's own; a fit gets its gradients through them.
        """
        betas = self.betas if betas is None else betas
        chunks = [self._points(chunk, betas) for chunk in pose_TP.split(CHUNK)]
        return torch.cat(chunks) if len(chunks) != 1 else chunks[0]

    def joints(self, pose_TP: Tensor) -> Tensor:
        """Return the 55 joints (T, 55, 3) in metres."""
        return self.points(pose_TP)[:, : len(JOINTS)]

    def vertices(self, pose_TP: Tensor) -> Tensor:
        """Return the skinned mesh (T, V, 3) in metres; skinning all of it takes 50 times longer."""
        parts = split_pose(pose_TP)
        count = len(pose_TP)
        still = pose_TP.new_zeros(count, 3)
        output = self.model(
            betas=self.betas.expand(count, -1),
            global_orient=parts["root_orientation"],
            body_pose=parts["body"],
            left_hand_pose=parts["left_hand"],
            right_hand_pose=parts["right_hand"],
            jaw_pose=parts["jaw"],
            leye_pose=still,
            reye_pose=still,
            expression=parts["expression"],
            transl=parts["translation"],
        )
        return output.vertices

    def point_skinning(self) -> tuple[Tensor, Tensor]:
        """Return what the points hang on: weights (144, 55), shape directions (144, 3, 20).

        Joints have weight one on themselves. The contour is that of a face seen from the front.
        """
        small, model = self._small, self.model
        corners = torch.cat((small["inner_corners"], small["contour_corners"][0]))
        mix = torch.cat((model.lmk_bary_coords, model.dynamic_lmk_bary_coords[0])).unsqueeze(-1)
        joints, skin = slice(-len(JOINTS), None), small["skin"]
        weights, directions = small["weights"], small["directions"].flatten(1)
        mixed = [
            torch.cat((values[joints], values[skin], (values[corners] * mix).sum(1)))
            for values in (weights, directions)
        ]
        return mixed[0], mixed[1].unflatten(1, (3, -1))

    def _collect_point_vertices(self) -> dict[str, Tensor]:
        """Return, of the whole mesh, what the points need: a small body with the same skeleton.

        The joints are appended as vertices of their own, so that `lbs` finds them by a regressor
        of ones and zeros.
        """
        model = self.model
        skin = model.vertex_joint_selector.extra_joints_idxs
        landmark_faces = torch.cat((model.lmk_faces_idx, model.dynamic_lmk_faces_idx.flatten()))
        used, where = torch.cat((skin, model.faces_tensor[landmark_faces].flatten())).unique(
            return_inverse=True
        )
        count, joints = len(used), len(JOINTS)
        directions = torch.cat((model.shapedirs, model.expr_dirs), -1)
        regressor = model.J_regressor
        joint_directions = torch.einsum("jv,vcd->jcd", regressor, directions)
        corners = where[len(skin) :].view(-1, 3)
        inner = len(model.lmk_faces_idx)
        return {
            "template": torch.cat((model.v_template[used], regressor @ model.v_template)),
            "directions": torch.cat((directions[used], joint_directions)),
            "regressor": pad(torch.eye(joints), (count, 0)),
            "weights": torch.cat((model.lbs_weights[used], torch.eye(joints))),
            "correctives": self._corrective_rows(used),
            "skin": where[: len(skin)],
            "inner_corners": corners[:inner],
            "contour_corners": corners[inner:].view(*model.dynamic_lmk_faces_idx.shape, 3),
        }

    def _corrective_rows(self, used: Tensor) -> Tensor:
        """Return the pose-corrective directions (486, 3·(used + joints)) of the vertices kept."""
        directions = self.model.posedirs.unflatten(1, (-1, 3))[:, used].float()
        return pad(directions, (0, 0, 0, len(JOINTS))).flatten(1)

    def _points(self, pose_TP: Tensor, betas: Tensor) -> Tensor:
        full = vector_to_smplx(pose_TP, self.hands)
        betas = betas.expand(len(pose_TP), -1)
        vertices, joints = lbs.lbs(
            torch.cat((betas, full.expression), -1),
            full.rotations.flatten(1),
            self._small["template"],
            self._small["directions"],
            self._small["correctives"],
            self._small["regressor"],
            self.model.parents,
            self._small["weights"],
        )
        landmarks = self._landmarks(vertices, full.rotations)
        points = torch.cat((joints, vertices[:, self._small["skin"]], landmarks), 1)
        return points + full.translation.unsqueeze(1)

    def _landmarks(self, vertices: Tensor, rotations: Tensor) -> Tensor:
        inner = _barycentric(vertices[:, self._small["inner_corners"]], self.model.lmk_bary_coords)
        rows, weights = lbs.find_dynamic_lmk_idx_and_bcoords(
            vertices,
            rotations.flatten(1),
            self._contour_row_numbers(),
            self.model.dynamic_lmk_bary_coords,
            self.model.neck_kin_chain,
        )
        frames = torch.arange(len(vertices), device=vertices.device)
        corners = self._small["contour_corners"][rows[:, 0]]
        contour = _barycentric(vertices[frames.view(-1, 1, 1), corners], weights)
        return torch.cat((inner, contour), 1)

    def _contour_row_numbers(self) -> Tensor:
        """Return a table of its own row numbers, for smplx to look the head's turn up in."""
        rows = torch.arange(
            len(self._small["contour_corners"]), device=self._small["template"].device
        )
        return rows.unsqueeze(1).expand(-1, self._small["contour_corners"].shape[1])


def _barycentric(corners: Tensor, weights: Tensor) -> Tensor:
    """Return (T, L, 3) of corners (T, L, 3, 3) and weights (L, 3) or (T, L, 3)."""
    return (corners * weights.unsqueeze(-1)).sum(-2)


def _read_body_file(path: Path) -> dict[str, np.ndarray]:
    """Return the file's arrays; pickled ones (SMPL-X has some nobody needs) stay unread."""
    arrays = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                with contextlib.suppress(ValueError):  # numpy's word for "this needs pickle"
                    arrays[key] = file[key]
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not an npz file ({error}); a body model is needed") from None
    needed = {"v_template", "f", "weights", "J_regressor", "shapedirs", "posedirs", "kintree_table"}
    needed |= {"lmk_faces_idx", "lmk_bary_coords", "dynamic_lmk_faces_idx"}
    needed |= {"dynamic_lmk_bary_coords", "hands_meanl", "hands_componentsl"}
    missing = sorted(needed - set(arrays))
    if missing:
        raise DataError(
            f"{path}: not an SMPL-X body, {', '.join(missing)} missing; SMPLX_NEUTRAL.npz "
            f"with expression and hand components, from {REGISTRATION}, is needed"
        )
    return arrays


def _widen(model: smplx.SMPLX, _: object) -> None:
    """Bring the pose correctives to 32 bits when the whole mesh is asked for first."""
    model.posedirs = model.posedirs.float()


def _build(path: Path, arrays: dict[str, np.ndarray]) -> smplx.SMPLX:
    """Return smplx's model of arrays already read.

    smplx opens the file with pickle allowed, which would run whatever a stranger's file says; it is
    given the arrays read without. It also prints warnings about the number of coefficients.
    """
    settings: dict[str, Any] = {
        "use_pca": True,
        "num_pca_comps": HAND_COMPONENTS,
        "flat_hand_mean": False,
        "num_betas": NUM_BETAS,
        "num_expression_coeffs": NUM_EXPRESSIONS,
        "use_face_contour": True,
        "create_transl": False,
    }
    # smplx would copy the largest array twice; points need a few rows of it, so it stays as read.
    correctives = arrays["posedirs"]
    arrays = arrays | {"posedirs": np.zeros((*correctives.shape[:2], 1), np.float32)}
    silence = contextlib.redirect_stdout(io.StringIO())
    unpickled = mock.patch("smplx.body_models.np.load", lambda *_, **__: arrays)
    try:
        with silence, unpickled:
            model = smplx.SMPLX(str(path), **settings)
    except (KeyError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        raise DataError(f"{path}: smplx cannot use this body ({error})") from None
    if len(model.parents) != len(JOINTS) or len(POINTS) != 144:
        raise DataError(f"{path}: {len(model.parents)} joints; SMPL-X's {len(JOINTS)} are needed")
    if correctives.dtype != np.float16:
        correctives = correctives.astype(np.float32)
    model.posedirs = torch.from_numpy(correctives.reshape(-1, correctives.shape[-1])).T
    model.register_forward_pre_hook(_widen)
    # Weights stored in 16 bits do not quite sum to one, which would move the points by millimetres.
    model.lbs_weights /= model.lbs_weights.sum(1, keepdim=True)
    return model.eval()
