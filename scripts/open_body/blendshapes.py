"""What deforms the open body: ten shapes, ten expressions, the jaw; and the body in progress.

A field (N, 3, C) holds the template and every direction it can move in, so that one weighted mean
of rows makes a vertex that follows shape, expression and jaw.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from open_body.source import MAKEHUMAN, MEAN_ADULT, AnnySource

from speech2video.util.body.skeleton import JOINTS

# Shapes: six principal components over whole adults, four over faces of the mean adult.
BODY_SHAPES, FACE_SHAPES = 6, 4
NUM_SHAPES = BODY_SHAPES + FACE_SHAPES
SAMPLES, SEED = 300, 0
HEIGHT_DEVIATION = 0.065  # 7 cm
PHENOTYPE_DEVIATION = 0.17
FACE_DEVIATION = 0.35
HEAD_WEIGHT = 4.0  # the head is small in metres and large in a talking image
# Local changes of MakeHuman that make faces differ; `*` stands for the left and the right side.
FACE_CHANGES: list[str] = MAKEHUMAN["face_changes"]
# name -> ARKit-style facial actions (MakeHuman's face units by Mika Suominen, CC0) done together.
EXPRESSION_ACTIONS: dict[str, list[str]] = MAKEHUMAN["expressions"]
# MakeHuman's blink drives the upper lid 3 mm past the lower one; at 1 the lids shall just meet.
EXPRESSION_SCALE = {"blink": 0.73}
NEEDS_OPEN_JAW = ("mouth_close",)  # closes the lips over a jaw opened by the full angle
JAW = JOINTS.index("jaw")


def shape_directions(
    tpose: Callable[[dict | None, dict | None], np.ndarray], weights_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return ten directions (N, 3, 10), a standard deviation each, and their shares of variance.

    Args:
        tpose: phenotypes and local changes of a person to vertices and joints (N, 3).
        weights_N: how much each vertex counts.
    """
    generator = np.random.default_rng(SEED)
    bodies = np.stack([tpose(_random_adult(generator), None) for _ in range(SAMPLES)])
    faces = np.stack([tpose(None, _random_face(generator)) for _ in range(SAMPLES)])
    of_body, body_share = _principal_directions(bodies, weights_N, BODY_SHAPES)
    of_face, face_share = _principal_directions(faces, weights_N, FACE_SHAPES)
    return np.concatenate([of_body, of_face], -1), np.concatenate([body_share, face_share])


def _random_adult(generator: np.random.Generator) -> dict[str, float]:
    """Return phenotypes of an adult; most people are near one of the two ends of gender."""
    phenotypes = {
        "gender": generator.beta(0.5, 0.5),
        "age": generator.uniform(0.55, 0.9),
        "height": generator.normal(MEAN_ADULT["height"], HEIGHT_DEVIATION),
    }
    for label in ("muscle", "weight", "proportions", "cupsize", "firmness"):
        phenotypes[label] = np.clip(generator.normal(0.5, PHENOTYPE_DEVIATION), 0.05, 0.95)
    for label in ("african", "asian", "caucasian"):
        phenotypes[label] = generator.exponential()
    return {label: float(value) for label, value in phenotypes.items()}


def _random_face(generator: np.random.Generator) -> dict[str, float]:
    """Return local changes of a face, the same on both sides."""
    changes = {}
    for label in FACE_CHANGES:
        value = float(np.clip(generator.normal(0, FACE_DEVIATION), -1, 1))
        changes |= {label.replace("*", side): value for side in "lr"}
    return changes


def _principal_directions(
    samples_SN3: np.ndarray, weights_N: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return principal directions (N, 3, count) and their shares of the weighted variance."""
    mean_N3 = samples_SN3.mean(0)
    scale_N1 = np.sqrt(weights_N)[:, None]
    flat = ((samples_SN3 - mean_N3) * scale_N1).reshape(len(samples_SN3), -1)
    values, left = np.linalg.eigh(flat @ flat.T)  # squared singular values, smallest first
    values, left = values[::-1][:count], left[:, ::-1][:, :count]
    share = values / (flat**2).sum()
    directions = (left.T @ flat / np.sqrt(len(flat) - 1)).reshape(count, -1, 3) / scale_N1
    top = directions[:, mean_N3[:, 1].argmax(), 1]
    directions *= np.where(top < 0, -1, 1)[:, None, None]  # a positive coefficient is taller
    return directions.transpose(1, 2, 0), share


@dataclass(frozen=True)
class Jaw:
    """A hinge about the x axis through `centre`; `angle` is its full opening in radians."""

    centre_3: np.ndarray
    angle: float

    @classmethod
    def fit(cls, vertices_V3: np.ndarray, opening_V3: np.ndarray, teeth: np.ndarray) -> "Jaw":
        """Fit the hinge to the lower teeth's motion in `jawOpen` (Procrustes in the yz plane)."""
        before, after = vertices_V3[teeth, 1:], (vertices_V3 + opening_V3)[teeth, 1:]
        mean_before, mean_after = before.mean(0), after.mean(0)
        a, b = before - mean_before, after - mean_after
        angle = np.arctan2((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum(), (a * b).sum())
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]])
        centre = np.linalg.solve(np.eye(2) - turn, mean_after - turn @ mean_before)
        return cls(np.array([0.0, *centre]), float(angle))

    def rotation(self) -> np.ndarray:
        """Return the rotation (3, 3) at the full opening."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])

    def displacement(self, points_V3: np.ndarray) -> np.ndarray:
        """Return how points (V, 3) fixed to the jaw move when it opens fully."""
        return (points_V3 - self.centre_3) @ (self.rotation() - np.eye(3)).T

    def add_weights(
        self, weights_VJ: np.ndarray, vertices_V3: np.ndarray, opening_V3: np.ndarray
    ) -> np.ndarray:
        """Return weights in which the jaw's share is the part of `jawOpen` the hinge explains."""
        hinge_V3 = self.displacement(vertices_V3)
        share_V = (opening_V3 * hinge_V3).sum(1) / (hinge_V3**2).sum(1).clip(1e-8)
        share_V = np.where(np.linalg.norm(opening_V3, axis=1) > 1e-5, share_V.clip(0, 1), 0.0)
        weights_VJ = weights_VJ.copy()
        weights_VJ[:, JOINTS.index("head")] += weights_VJ[:, JAW]
        weights_VJ[:, JAW] = 0
        weights_VJ *= 1 - share_V[:, None]
        weights_VJ[:, JAW] = share_V
        return weights_VJ

    def corrective(
        self, weights_VJ: np.ndarray, vertices_V3: np.ndarray, opening_V3: np.ndarray
    ) -> np.ndarray:
        """Return what the hinge leaves of `jawOpen` (V, 3), per unit of the sine of the angle."""
        share_V = weights_VJ[:, JAW]
        missing_V3 = opening_V3 - share_V[:, None] * self.displacement(vertices_V3)
        return self.before_skinning(missing_V3, share_V) / np.sin(self.angle)

    def before_skinning(self, displacement_V3: np.ndarray, share_V: np.ndarray) -> np.ndarray:
        """Return what to add before skinning for the open jaw to turn it into `displacement`."""
        share = share_V[:, None, None]
        turn_V33 = (1 - share) * np.eye(3) + share * self.rotation()
        return np.linalg.solve(turn_V33, displacement_V3[..., None])[..., 0]


def expression_directions(source: AnnySource, weights_VJ: np.ndarray, jaw: Jaw) -> np.ndarray:
    """Return the displacement (V, 3, 10) of each expression at coefficient 1, its full action."""
    directions = []
    for name, actions in EXPRESSION_ACTIONS.items():
        direction_V3 = EXPRESSION_SCALE.get(name, 1.0) * source.action(*actions)
        if name in NEEDS_OPEN_JAW:
            direction_V3 = jaw.before_skinning(direction_V3, weights_VJ[:, JAW])
        directions.append(direction_V3)
    return np.stack(directions, -1)


@dataclass(frozen=True)
class BodyDraft:
    """The open body while it is built: N vertices in the T-pose and what moves them."""

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

    def without(self, part: str) -> "BodyDraft":
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
    ) -> "BodyDraft":
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
        """Return the vertices (N, 3) with the jaw opened by an angle, radians, as skinning does."""
        jaw = Jaw(self.joints_J3C[JAW, :, 0], angle)
        before_N3 = self.template_N3 + np.sin(angle) * self.field_N3C[..., -1]
        return before_N3 + self.weights_NJ[:, JAW][:, None] * jaw.displacement(before_N3)
