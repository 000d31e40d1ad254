"""The open body while it is being built: one row for each vertex, parts that come and go."""

from dataclasses import dataclass, replace

import numpy as np

from open_body import face, shape
from speech2video.util.body.skeleton import JOINTS

SHAPES = shape.BODY_SHAPES + shape.FACE_SHAPES
EXPRESSIONS = len(face.EXPRESSIONS)


@dataclass(frozen=True)
class OpenBody:
    """N vertices in the T-pose and what moves them."""

    field_N3C: np.ndarray  # template, shape and expression directions, corrective of the jaw
    weights_NJ: np.ndarray
    joints_J3C: np.ndarray  # the same columns for the 55 joints
    faces_F3: np.ndarray
    parts_N: np.ndarray  # index into part_names
    part_names: tuple[str, ...]
    regions: dict[str, np.ndarray]  # name -> (N,), 0 to 1
    uv_U2: np.ndarray
    uv_faces_F3: np.ndarray
    shape_share: np.ndarray  # of the variance, for each shape direction

    @property
    def template_N3(self) -> np.ndarray:
        return self.field_N3C[..., 0]

    def part(self, name: str) -> np.ndarray:
        """Return which vertices (N,) belong to a part."""
        return self.parts_N == self.part_names.index(name)

    def part_faces(self, name: str) -> np.ndarray:
        """Return the triangles of a part."""
        return self.faces_F3[self.part(name)[self.faces_F3[:, 0]]]

    def without(self, part: str) -> "OpenBody":
        """Return the body less the vertices and triangles of a part."""
        stay_N, stay_F = ~self.part(part), ~self.part(part)[self.faces_F3[:, 0]]
        new_index = np.cumsum(stay_N) - 1
        return replace(
            self,
            field_N3C=self.field_N3C[stay_N],
            weights_NJ=self.weights_NJ[stay_N],
            faces_F3=new_index[self.faces_F3[stay_F]],
            uv_faces_F3=self.uv_faces_F3[stay_F],
            parts_N=self.parts_N[stay_N],
            regions={name: inside[stay_N] for name, inside in self.regions.items()},
        )

    def with_part(
        self,
        part: str,
        field_M3C: np.ndarray,
        weights_MJ: np.ndarray,
        faces: np.ndarray,
        regions: dict[str, np.ndarray] | None = None,
    ) -> "OpenBody":
        """Return the body with more vertices (M, ...) in a part, and triangles between them."""
        count, added = len(self.parts_N), len(field_M3C)
        names = tuple(dict.fromkeys((*self.part_names, part)))
        regions = regions or {}
        blank = {name: np.zeros(count) for name in regions if name not in self.regions}
        return replace(
            self,
            field_N3C=np.concatenate([self.field_N3C, field_M3C]),
            weights_NJ=np.concatenate([self.weights_NJ, weights_MJ]),
            faces_F3=np.concatenate([self.faces_F3, faces + count]),
            uv_faces_F3=np.concatenate([self.uv_faces_F3, np.zeros_like(faces)]),
            parts_N=np.append(self.parts_N, np.full(added, names.index(part))),
            part_names=names,
            regions={
                name: np.append(inside, regions.get(name, np.zeros(added)))
                for name, inside in (self.regions | blank).items()
            },
        )

    def with_open_jaw(self, angle: float) -> np.ndarray:
        """Return the vertices (N, 3) with the jaw opened, radians."""
        jaw = JOINTS.index("jaw")
        return face.open_jaw(
            self.template_N3,
            self.field_N3C[..., -1],
            self.weights_NJ[:, jaw],
            self.joints_J3C[jaw, :, 0],
            angle,
        )
