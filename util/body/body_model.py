"""The body model: pose vectors to joints, landmarks and mesh, with the `smplx` package.

One code path serves the open body, which ships next to this file, and a user's SMPLX_NEUTRAL.npz.
Joints and landmarks need some hundred vertices, so only those are skinned.
"""

import contextlib
import copy
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import smplx
import torch
from smplx import lbs
from torch import Tensor
from torch.nn.functional import pad

from speech2video.util.body import pose_vector
from speech2video.util.body.pose_vector import HandBasis, vector_to_smplx
from speech2video.util.body.skeleton import JOINTS, POINTS
from speech2video.util.errors import DataError
from speech2video.util.files import read_npz

OPEN_BODY = Path(__file__).parent / "open_body.npz"
REGISTRATION = "https://smpl-x.is.tue.mpg.de"
CHUNK = 2000  # frames skinned at a time: bounds memory to some hundred MB
NUM_BETAS = 10


@dataclass(frozen=True)
class PartialBody:
    """Some of a body's U vertices and all its joints, which are vertices of their own at the end.

    Attributes:
        template: (U + 55, 3) rest pose, metres.
        directions: (U + 55, 3, D) of shape and expression.
        correctives: (486, 3 (U + 55)) of the pose.
        regressor: (55, U + 55) ones and zeros, which give the joints to `lbs`.
        weights: (U + 55, 55) of skinning.
        parents: (55,).
    """

    template: Tensor
    directions: Tensor
    correctives: Tensor
    regressor: Tensor
    weights: Tensor
    parents: Tensor

    @classmethod
    def of(cls, model: Any, used: Tensor, directions: Tensor) -> "PartialBody":
        """Return the part of a model with the vertices `used` (U,) and directions (V, 3, D)."""
        joints, regressor = len(JOINTS), model.J_regressor
        correctives = model.posedirs.unflatten(1, (-1, 3))[:, used].float()
        at_joints = torch.einsum("jv,vcd->jcd", regressor, directions)
        return cls(
            template=torch.cat((model.v_template[used], regressor @ model.v_template)),
            directions=torch.cat((directions[used], at_joints)),
            correctives=pad(correctives, (0, 0, 0, joints)).flatten(1),
            regressor=pad(torch.eye(joints), (len(used), 0)),
            weights=torch.cat((model.lbs_weights[used], torch.eye(joints))),
            parents=model.parents,
        )

    def to(self, device: torch.device | str) -> "PartialBody":
        """Return this part on another device; `parents` stay here.

        `lbs` takes them as indices one by one, and each would have to wait for a GPU.
        """
        moved = {field.name: getattr(self, field.name).to(device) for field in fields(self)}
        return PartialBody(**moved | {"parents": self.parents})

    def skin(self, coefficients_TD: Tensor, rotations_TJ3: Tensor) -> tuple[Tensor, Tensor]:
        """Return vertices (T, U + 55, 3) and joints (T, 55, 3) in metres, untranslated."""
        blend_skinning: Any = lbs.lbs
        return blend_skinning(
            coefficients_TD,
            rotations_TJ3.flatten(1),
            self.template,
            self.directions,
            self.correctives,
            self.regressor,
            self.parents,
            self.weights,
        )


class Body:
    """A body of fixed shape that takes pose vectors (T, 106); differentiable.

    Not an `nn.Module`, so that a user's licensed body cannot be saved in a checkpoint.

    Attributes:
        hands: what the 12 coefficients of a hand mean in this body.
        faces: triangles (F, 3) of the mesh, vertex numbers.
        name: "open" for the body that ships, "smplx" for a registered user's own file. Expressions,
            hand coefficients and shapes mean something else in each; rotations mean the same.
    """

    def __init__(self, model: Any, *, name: str, betas: Tensor | None = None) -> None:
        self.name = name
        self.model = model.requires_grad_(False)
        shape = torch.zeros(NUM_BETAS) if betas is None else betas.float()[:NUM_BETAS]
        self.betas = pad(shape, (0, NUM_BETAS - len(shape)))
        self.faces: Tensor = model.faces_tensor
        means = torch.stack((model.left_hand_mean, model.right_hand_mean))
        components = torch.stack((model.left_hand_components, model.right_hand_components))
        self.hands = HandBasis(means.float(), components.float())
        # The vertices of skin points and landmarks, and their numbers among these.
        skin = model.vertex_joint_selector.extra_joints_idxs
        landmark_faces = torch.cat((model.lmk_faces_idx, model.dynamic_lmk_faces_idx.flatten()))
        corners = model.faces_tensor[landmark_faces].flatten()
        used, where = torch.cat((skin, corners)).unique(return_inverse=True)
        directions = torch.cat((model.shapedirs, model.expr_dirs), -1)
        self._partial = PartialBody.of(model, used, directions)
        self._skin, corners = where[: len(skin)], where[len(skin) :].view(-1, 3)
        inner = len(model.lmk_faces_idx)
        self._inner_corners = corners[:inner]
        self._contour_corners = corners[inner:].view(*model.dynamic_lmk_faces_idx.shape, 3)

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
        try:
            return cls(_build(path, arrays), name=name, betas=betas)
        except (
            ValueError,
            IndexError,
            RuntimeError,
            TypeError,
        ) as error:  # sizes that do not match
            raise DataError(f"{path}: not SMPL-X's arrays ({error})") from None

    def to(self, device: torch.device | str) -> "Body":
        """Return this body on another device."""
        moved = copy.copy(self)
        moved.model = copy.deepcopy(self.model).to(device)
        moved.betas = self.betas.to(device)
        moved.hands = HandBasis(self.hands.mean.to(device), self.hands.components.to(device))
        moved._partial = self._partial.to(device)
        for name in ("_skin", "_inner_corners", "_contour_corners"):
            setattr(moved, name, getattr(self, name).to(device))
        return moved

    def with_shape(self, betas: Sequence[float]) -> "Body":
        """Return this body with other shape coefficients: the first ten, zeros for missing ones."""
        shaped = copy.copy(self)
        given = torch.tensor([*betas][:NUM_BETAS]).to(self.betas)
        shaped.betas = pad(given, (0, NUM_BETAS - len(given)))
        return shaped

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

    def vertices(self, pose_TP: Tensor, eyes_T23: Tensor | None = None) -> Tensor:
        """Return the skinned mesh (T, V, 3) in metres; skinning all of it takes 50 times longer.

        Args:
            eyes_T23: axis-angle of the left and the right eye, straight ahead by default.
        """
        parts = pose_vector.split_pose(pose_TP)
        count = len(pose_TP)
        if eyes_T23 is None:
            eyes_T23 = pose_TP.new_zeros(count, 2, 3)
        output = self.model(
            betas=self.betas.expand(count, -1),
            global_orient=parts["root_orientation"],
            body_pose=parts["body"],
            left_hand_pose=parts["left_hand"],
            right_hand_pose=parts["right_hand"],
            jaw_pose=parts["jaw"],
            leye_pose=eyes_T23[:, 0],
            reye_pose=eyes_T23[:, 1],
            expression=parts["expression"],
            transl=parts["translation"],
        )
        return output.vertices

    def point_skinning(self) -> tuple[Tensor, Tensor]:
        """Return the points' skinning weights (144, 55) and shape directions (144, 3, 20).

        Joints have weight one on themselves. The contour is that of a face seen from the front.
        """
        model, partial = self.model, self._partial
        corners = torch.cat((self._inner_corners, self._contour_corners[0]))
        mix = torch.cat((model.lmk_bary_coords, model.dynamic_lmk_bary_coords[0])).unsqueeze(-1)
        joints = slice(-len(JOINTS), None)
        mixed = [
            torch.cat((values[joints], values[self._skin], (values[corners] * mix).sum(1)))
            for values in (partial.weights, partial.directions.flatten(1))
        ]
        return mixed[0], mixed[1].unflatten(1, (3, -1))

    def _points(self, pose_TP: Tensor, betas: Tensor) -> Tensor:
        full = vector_to_smplx(pose_TP, self.hands)
        coefficients = torch.cat((betas.expand(len(pose_TP), -1), full.expression), -1)
        vertices, joints = self._partial.skin(coefficients, full.rotations)
        landmarks = self._landmarks(vertices, full.rotations)
        points = torch.cat((joints, vertices[:, self._skin], landmarks), 1)
        return points + full.translation.unsqueeze(1)

    def _landmarks(self, vertices: Tensor, rotations: Tensor) -> Tensor:
        inner = _barycentric(vertices[:, self._inner_corners], self.model.lmk_bary_coords)
        # smplx picks rows of a table by the head's turn; a table of row numbers gives these.
        rows = torch.arange(len(self._contour_corners), device=vertices.device)
        table = rows.unsqueeze(1).expand(-1, self._contour_corners.shape[1])
        find_contour: Any = lbs.find_dynamic_lmk_idx_and_bcoords
        rows, weights = find_contour(
            vertices,
            rotations.flatten(1),
            table,
            self.model.dynamic_lmk_bary_coords,
            self.model.neck_kin_chain,
        )
        frames = torch.arange(len(vertices), device=vertices.device)
        corners = self._contour_corners[rows[:, 0]]
        contour = _barycentric(vertices[frames.view(-1, 1, 1), corners], weights)
        return torch.cat((inner, contour), 1)


def _barycentric(corners: Tensor, weights: Tensor) -> Tensor:
    """Return (T, L, 3) of corners (T, L, 3, 3) and weights (L, 3) or (T, L, 3)."""
    return (corners * weights.unsqueeze(-1)).sum(-2)


_HAND = 45  # numbers of its 15 joints' rotations
_SHAPES: dict[str, tuple[Any, ...]] = {  # of SMPL-X's arrays; "V" is the number of vertices
    "v_template": ("V", 3),
    "f": (None, 3),
    "weights": ("V", len(JOINTS)),
    "J_regressor": (len(JOINTS), "V"),
    "shapedirs": ("V", 3, None),
    "posedirs": ("V", 3, 9 * (len(JOINTS) - 1)),
    "kintree_table": (2, len(JOINTS)),
    "lmk_faces_idx": (51,),
    "lmk_bary_coords": (51, 3),
    "dynamic_lmk_faces_idx": (79, 17),
    "dynamic_lmk_bary_coords": (79, 17, 3),
    "hands_meanl": (_HAND,),
    "hands_meanr": (_HAND,),
    "hands_componentsl": (_HAND, _HAND),
    "hands_componentsr": (_HAND, _HAND),
}


def _read_body_file(path: Path) -> dict[str, np.ndarray]:
    """Return the file's arrays but for pickled ones, which SMPL-X has and nothing needs."""
    arrays = read_npz(path, what="a body model", skip_pickled=True)
    missing = sorted(set(_SHAPES) - set(arrays))
    if missing:
        raise DataError(
            f"{path}: not an SMPL-X body, {', '.join(missing)} missing; SMPLX_NEUTRAL.npz "
            f"with expression and hand components, from {REGISTRATION}, is needed"
        )
    _check_arrays(path, arrays)
    return arrays


def _check_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise `DataError` for arrays of another shape or type, NaN, and indices out of range."""
    vertices, faces = (len(np.atleast_1d(arrays[name])) for name in ("v_template", "f"))
    for name, sizes in _SHAPES.items():
        array, shape = arrays[name], tuple(vertices if size == "V" else size for size in sizes)
        fits = array.ndim == len(shape) and all(
            size in (None, found) for size, found in zip(shape, array.shape, strict=True)
        )
        if not fits or array.dtype.kind not in "fiu":
            needed = ", ".join("any" if size is None else str(size) for size in shape)
            found = f"{name} is {array.dtype} {array.shape}"
            raise DataError(f"{path}: {found}; numbers ({needed}) are needed")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"{path}: {name} holds NaN or infinity; finite numbers are needed")
    for name, end in (("f", vertices), ("lmk_faces_idx", faces), ("dynamic_lmk_faces_idx", faces)):
        if arrays[name].min() < 0 or arrays[name].max() >= end:
            raise DataError(f"{path}: {name} has numbers outside 0 to {end - 1}")
    parents = arrays["kintree_table"][0, 1:].astype(np.int64)
    if (parents < 0).any() or (parents > np.arange(len(parents))).any():
        raise DataError(f"{path}: kintree_table has a joint before its parent")


def _widen(model: Any, _: object) -> None:
    """Bring the pose correctives to 32 bits when the whole mesh is first skinned."""
    model.posedirs = model.posedirs.float()


def _build(path: Path, arrays: dict[str, np.ndarray]) -> Any:
    """Return smplx's model of arrays already read.

    smplx opens the file with pickle allowed, which would run any code in the file; it gets the
    arrays read without. It also prints warnings about the number of coefficients.
    """
    settings: dict[str, Any] = {
        "use_pca": True,
        "num_pca_comps": pose_vector.HAND_COMPONENTS,
        "flat_hand_mean": False,
        "num_betas": NUM_BETAS,
        "num_expression_coeffs": pose_vector.NUM_EXPRESSIONS,
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
            model: Any = smplx.SMPLX(str(path), **settings)
    except (KeyError, ValueError, AttributeError, IndexError, RuntimeError, TypeError) as error:
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
