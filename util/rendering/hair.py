"""Hair for the open body, grown as a grid of strands around the skull it hangs on.

A column of the grid is one strand: from the crown over the skull, straight down past the ears,
round the tip, and up again inside. Metres, in the rest pose of the open body.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

CENTRE = np.array((0.0, 0.31, 0.072))  # of the skull, level with the brows
COLUMNS, OUTER_ROWS, INNER_ROWS = 152, 24, 7
DROP = 0.1  # metres hung for each radian of reach past a quarter turn: about the skull's radius
SHORT = 0.03  # metres hung, below which hair is too short to curl
INSIDE = 0.012  # metres between the outer and the inner face
SMOOTHING = 3  # rounds of averaging along a strand, where it leaves the skull
QUARTER = np.pi / 2
TEXTURE = (256, 1024)  # rows along a strand, columns around the head


@dataclass(frozen=True)
class HairStyle:
    """How hair is cut; by default a side-swept bob.

    Attributes:
        fringe: radians from the crown to the hairline over the face.
        length: metres hung below the brows; negative ends above them.
        temple: radians from the front: the fringe ends, the full length begins.
        thickness: metres over the skull, at the crown and the sides.
        locks: metres that locks stand out.
        sway: radians by which the fringe is lower on one side.
        curl: metres that the hung part turns inward: evenly, and at its tips.
    """

    fringe: float = 0.95
    length: float = 0.088
    temple: tuple[float, float] = (0.62, 1.12)
    thickness: float = 0.017
    locks: float = 0.0022
    sway: float = 0.17
    curl: tuple[float, float] = (0.004, 0.014)


BOB = HairStyle()


@dataclass(frozen=True)
class Hair:
    """A hair style: `points_N3` metres at rest, `faces_F3`, `uv_N2`, brightness (H, W) about 1."""

    points_N3: np.ndarray
    faces_F3: np.ndarray
    uv_N2: np.ndarray
    strands_HW: np.ndarray


def grow(skull_V3: np.ndarray, style: HairStyle) -> Hair:
    """Return hair over a head's skin, `skull_V3` (V, 3) in metres, ears and all."""
    azimuth_C = np.linspace(-np.pi, np.pi, COLUMNS + 1)  # 0 is the front, the seam at the back
    noise = np.random.default_rng(0)
    reach_C = _reach(azimuth_C, style) + 0.015 * _ripple(azimuth_C, noise, waves=(11, 29))
    outer = np.linspace(0, 1, OUTER_ROWS)[:, None] * reach_C
    locks_C = style.locks * _ripple(azimuth_C, noise, waves=(19, 31, 53))
    points_RC3 = _outer(skull_V3, azimuth_C, outer, locks_C, style)
    points_RC3 = np.concatenate((points_RC3, _inner(points_RC3)))
    rows = len(points_RC3)
    v = np.concatenate((np.linspace(0, 0.85, OUTER_ROWS), np.linspace(0.9, 1, INNER_ROWS)))
    u = np.linspace(0, 1, COLUMNS + 1)
    uv_N2 = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
    return Hair(points_RC3.reshape(-1, 3), _grid(rows, COLUMNS + 1), uv_N2, _strands(noise))


def hang(points_N3: np.ndarray, anchors_K3: np.ndarray) -> np.ndarray:
    """Return weights (N, K), rows of sum 1, that mix anchors into points, wherever they move to.

    Exact for every affine movement of four or more anchors that lie in no plane.
    """
    basis = np.pad(anchors_K3, ((0, 0), (0, 1)), constant_values=1).T
    return (np.linalg.pinv(basis) @ np.pad(points_N3, ((0, 0), (0, 1)), constant_values=1).T).T


def _reach(azimuth_C: np.ndarray, style: HairStyle) -> np.ndarray:
    """Return how far strands reach in radians from the crown, DROP metres each when they hang."""
    lower = style.sway * np.sin(2.0 * (azimuth_C + 0.15)) * (np.abs(azimuth_C) < 1.4)
    swept, hung = style.fringe + lower, QUARTER + style.length / DROP
    return swept + _smooth(np.abs(azimuth_C), *style.temple) * (hung - swept)


def _outer(
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
    radius_RC = _radius(skull_V3, ray_RC3) + style.thickness * (1 - 0.85 * edge_RC)
    radius_RC += locks_C * _smooth(along_RC, 0.2, 1.2) * (1 - 0.8 * edge_RC)
    hung_RC = drop_RC / max(style.length, SHORT)
    radius_RC -= style.curl[0] * hung_RC + style.curl[1] * hung_RC**4
    points_RC3 = CENTRE + ray_RC3 * radius_RC[..., None]
    points_RC3[..., 1] -= drop_RC
    for _ in range(SMOOTHING):
        points_RC3[1:-1] += (points_RC3[2:] + points_RC3[:-2] - 2 * points_RC3[1:-1]) / 4
    return points_RC3


def _inner(outer_RC3: np.ndarray) -> np.ndarray:
    """Return the inner face (R, C, 3), from the tips up."""
    pick = np.linspace(OUTER_ROWS - 1, OUTER_ROWS // 3, INNER_ROWS).round().astype(int)
    points = outer_RC3[pick]
    away = points - CENTRE
    away[..., 1] = np.maximum(away[..., 1], 0)
    return points - INSIDE * away / np.linalg.norm(away, axis=-1, keepdims=True)


def _radius(skull_V3: np.ndarray, ray_RC3: np.ndarray, *, near: int = 10) -> np.ndarray:
    """Return the skull's radius (R, C) about CENTRE along unit rays, smoothed."""
    away = skull_V3 - CENTRE
    radius = np.linalg.norm(away, axis=1)
    distance, index = cKDTree(away / radius[:, None]).query(ray_RC3, k=near)
    weight = np.exp(-((distance / 0.18) ** 2))
    return (weight * radius[index]).sum(-1) / weight.sum(-1)


def _grid(rows: int, columns: int) -> np.ndarray:
    """Return the triangles of a grid of points, outside to the front."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    right, below = corner + 1, corner + columns
    upper = np.stack((corner, below, right), 1)
    return np.concatenate((upper, np.stack((right, below, below + 1), 1)))


def _strands(noise: np.random.Generator) -> np.ndarray:
    """Return the brightness of the hair's texture: streaks that wander, dark roots and inside."""
    height, width = TEXTURE
    angle = np.linspace(-np.pi, np.pi, width)
    v = np.linspace(0, 1, height)[:, None]
    streaks = 0.0
    for waves, strength in (((9, 23), 0.07), ((47, 71), 0.09), ((131, 211), 0.10)):
        first, second = (_ripple(angle, noise, waves=waves) for _ in range(2))
        streaks = streaks + strength * (first * (1 - v) + second * v)
    halo = 0.26 * np.exp(-(((v - 0.42) / 0.12) ** 2))
    inside = 1 - 0.6 * _smooth(v, 0.85, 0.92)
    return (1 + halo * (1 + 4 * streaks) + streaks) * (0.8 + 0.2 * _smooth(v, 0, 0.15)) * inside


def _ripple(angle: np.ndarray, noise: np.random.Generator, *, waves: tuple[int, ...]) -> np.ndarray:
    """Return periodic noise within ±1 of about these waves to the turn."""
    total = 0.0
    for wave in waves:
        for step in (0, 1, 3):
            total = total + np.sin((wave + step) * angle + noise.uniform(0, 2 * np.pi))
    return total / (3 * len(waves))


def _smooth(x: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
