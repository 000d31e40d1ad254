"""The jaw as a hinge, and ten facial actions of speech as expression directions."""

from dataclasses import dataclass

import numpy as np

from open_body.source import AnnySource
from speech2video.util.body.skeleton import JOINTS

# name -> ARKit-style facial actions (MakeHuman's face units by Mika Suominen, CC0) done together.
EXPRESSIONS = {
    "mouth_funnel": ("mouthFunnel",),
    "mouth_pucker": ("mouthPucker",),
    "mouth_close": ("mouthClose",),
    "mouth_smile": ("mouthSmileLeft", "mouthSmileRight"),
    "mouth_stretch": ("mouthStretchLeft", "mouthStretchRight"),
    "upper_lip_up": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "lower_lip_down": ("mouthLowerDownLeft", "mouthLowerDownRight"),
    "brows_up": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "brows_down": ("browDownLeft", "browDownRight"),
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
}
# MakeHuman's blink drives the upper lid 3 mm past the lower one; at 1 the lids shall just meet.
SCALE = {"blink": 0.73}
NEEDS_OPEN_JAW = ("mouth_close",)  # closes the lips over a jaw opened by the full angle


@dataclass(frozen=True)
class Jaw:
    """A hinge about the x axis through `centre`; `angle` is its full opening in radians."""

    centre_3: np.ndarray
    angle: float

    def rotation(self, share: float = 1.0) -> np.ndarray:
        """Return the rotation (3, 3) at a share of the full opening."""
        cos, sin = np.cos(share * self.angle), np.sin(share * self.angle)
        return np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])

    def displacement(self, points_V3: np.ndarray) -> np.ndarray:
        """Return how points (V, 3) fixed to the jaw move when it opens fully."""
        return (points_V3 - self.centre_3) @ (self.rotation() - np.eye(3)).T


def fit_jaw(vertices_V3: np.ndarray, opening_V3: np.ndarray, teeth: np.ndarray) -> Jaw:
    """Fit the hinge to how the lower teeth move under `jawOpen` (Procrustes in the yz plane)."""
    before, after = vertices_V3[teeth, 1:], (vertices_V3 + opening_V3)[teeth, 1:]
    mean_before, mean_after = before.mean(0), after.mean(0)
    a, b = before - mean_before, after - mean_after
    angle = np.arctan2((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum(), (a * b).sum())
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    centre = np.linalg.solve(np.eye(2) - turn, mean_after - turn @ mean_before)
    return Jaw(np.array([0.0, *centre]), float(angle))


def add_jaw(
    weights_VJ: np.ndarray, jaw: Jaw, vertices_V3: np.ndarray, opening_V3: np.ndarray
) -> np.ndarray:
    """Return weights in which the jaw's share is the part of `jawOpen` that its hinge explains."""
    hinge_V3 = jaw.displacement(vertices_V3)
    share_V = (opening_V3 * hinge_V3).sum(1) / (hinge_V3**2).sum(1).clip(1e-8)
    share_V = np.where(np.linalg.norm(opening_V3, axis=1) > 1e-5, share_V.clip(0, 1), 0.0)
    weights_VJ = weights_VJ.copy()
    index = JOINTS.index("jaw")
    weights_VJ[:, JOINTS.index("head")] += weights_VJ[:, index]
    weights_VJ[:, index] = 0
    weights_VJ *= 1 - share_V[:, None]
    weights_VJ[:, index] = share_V
    return weights_VJ


def jaw_corrective(
    weights_VJ: np.ndarray, jaw: Jaw, vertices_V3: np.ndarray, opening_V3: np.ndarray
) -> np.ndarray:
    """Return what the hinge leaves of `jawOpen` (V, 3), per unit of the sine of the jaw's angle."""
    share_V = weights_VJ[:, JOINTS.index("jaw")]
    missing_V3 = opening_V3 - share_V[:, None] * jaw.displacement(vertices_V3)
    return _before_jaw(missing_V3, share_V, jaw) / np.sin(jaw.angle)


def expression_directions(source: AnnySource, weights_VJ: np.ndarray, jaw: Jaw) -> np.ndarray:
    """Return the displacement (V, 3, 10) of each expression at coefficient 1, its full action."""
    share_V = weights_VJ[:, JOINTS.index("jaw")]
    directions = []
    for name, actions in EXPRESSIONS.items():
        direction_V3 = SCALE.get(name, 1.0) * source.action(*actions)
        if name in NEEDS_OPEN_JAW:
            direction_V3 = _before_jaw(direction_V3, share_V, jaw)
        directions.append(direction_V3)
    return np.stack(directions, -1)


def _before_jaw(displacement_V3: np.ndarray, share_V: np.ndarray, jaw: Jaw) -> np.ndarray:
    """Return what to add before skinning so that the open jaw turns it into `displacement`."""
    share = share_V[:, None, None]
    turn_V33 = (1 - share) * np.eye(3) + share * jaw.rotation()
    return np.linalg.solve(turn_V33, displacement_V3[..., None])[..., 0]


def open_jaw(
    points_N3: np.ndarray,
    corrective_N3: np.ndarray,
    share_N: np.ndarray,
    centre_3: np.ndarray,
    angle: float,
) -> np.ndarray:
    """Return points (N, 3) with the jaw opened by an angle in radians, as skinning does it."""
    jaw = Jaw(centre_3, angle)
    before_N3 = points_N3 + np.sin(angle) * corrective_N3
    return before_N3 + share_N[:, None] * jaw.displacement(before_N3)
