import numpy as np
import pytest

from speech2video.util.rendering.appearance import Appearance
from speech2video.util.rendering.renderer import VertexNormals, studio_background

# A regular octahedron: its normals are its points.
POINTS = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32)
FACES = np.array(
    [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
)


def test_normals_are_the_directions_of_a_solid_about_the_origin():
    np.testing.assert_allclose(VertexNormals(FACES, 6)(POINTS), POINTS, atol=1e-6)


def test_normals_ignore_place_and_size_and_turn_with_the_body():
    chance = np.random.default_rng(0)
    points = POINTS + 0.1 * chance.normal(size=POINTS.shape).astype(np.float32)
    turn, _ = np.linalg.qr(chance.normal(size=(3, 3)))
    turn = (turn * np.sign(np.linalg.det(turn))).astype(np.float32)
    normals = VertexNormals(FACES, 6)
    moved = normals(3 * points @ turn + np.float32(2))
    np.testing.assert_allclose(moved, normals(points) @ turn, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-5)


def test_a_point_without_triangles_has_no_normal():
    points = np.concatenate((POINTS, [[5, 5, 5]])).astype(np.float32)
    assert (VertexNormals(FACES, 7)(points)[6] == 0).all()


@pytest.mark.parametrize(("width", "height"), [(64, 64), (65, 31)])
def test_the_background_is_soft_and_bright_behind_the_head(width: int, height: int):
    image = studio_background(width, height, Appearance())
    assert image.shape == (height, width, 3) and image.min() >= 0 and image.max() < 255
    assert np.abs(np.diff(image, axis=1)).max() < 4
    middle = image[int(0.38 * height), width // 2]
    assert (middle > image[-1, 0] + 20).all()
