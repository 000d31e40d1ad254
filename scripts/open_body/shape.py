"""Ten shapes: six principal components over whole adults, four over faces of the mean adult."""

from collections.abc import Callable

import numpy as np

from open_body.source import MEAN_ADULT

SAMPLES = 300
SEED = 0
BODY_SHAPES, FACE_SHAPES = 6, 4
HEIGHT_DEVIATION = 0.065  # 7 cm
PHENOTYPE_DEVIATION = 0.17
FACE_DEVIATION = 0.35
HEAD_WEIGHT = 4.0  # the head is small in metres and large in a talking picture

# Local changes of MakeHuman that make faces differ; `*` stands for the left and the right side.
FACE_CHANGES = (
    ("head-scale-horiz-incr", "head-scale-vert-incr", "head-scale-depth-incr", "head-fat-incr")
    + ("forehead-scale-vert-incr", "chin-width-incr", "chin-height-incr", "chin-prominent-incr")
    + ("nose-scale-vert-incr", "nose-scale-horiz-incr", "nose-trans-up", "nose-trans-forward")
    + ("mouth-scale-horiz-incr", "mouth-scale-vert-incr", "mouth-trans-up", "eyebrows-trans-up")
    + ("*-eye-trans-out", "*-eye-trans-up", "*-eye-scale-incr")
    + ("*-cheek-volume-incr", "*-cheek-bones-incr")
)


def random_adult(generator: np.random.Generator) -> dict[str, float]:
    """Return phenotypes of an adult; of the two ends of gender most people are near one."""
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


def random_face(generator: np.random.Generator) -> dict[str, float]:
    """Return local changes of a face, the same on both sides."""
    changes = {}
    for label in FACE_CHANGES:
        value = float(np.clip(generator.normal(0, FACE_DEVIATION), -1, 1))
        changes |= {label.replace("*", side): value for side in "lr"}
    return changes


def shape_directions(
    tpose: Callable[[dict | None, dict | None], np.ndarray], weights_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return ten directions (N, 3, 10), a standard deviation each, and their shares of variance.

    Args:
        tpose: phenotypes and local changes of a person to vertices and joints (N, 3).
        weights_N: how much each vertex counts.
    """
    generator = np.random.default_rng(SEED)
    bodies = np.stack([tpose(random_adult(generator), None) for _ in range(SAMPLES)])
    faces = np.stack([tpose(None, random_face(generator)) for _ in range(SAMPLES)])
    of_body, body_share = principal_directions(bodies, weights_N, BODY_SHAPES)
    of_face, face_share = principal_directions(faces, weights_N, FACE_SHAPES)
    return np.concatenate([of_body, of_face], -1), np.concatenate([body_share, face_share])


def principal_directions(
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
