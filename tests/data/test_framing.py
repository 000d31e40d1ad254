"""Pictures, points and cameras that are framed stay together, whatever the sizes."""

import cv2
import numpy as np
import pytest
import torch

from speech2video.data.framing import Framing
from speech2video.util.camera import Camera
from speech2video.util.errors import DataError

SIZES = [(512, 384, 256, 256), (384, 512, 256, 192), (100, 100, 200, 300), (641, 359, 64, 48)]


@pytest.mark.parametrize("sizes", SIZES)
def test_the_box_is_centred_whole_and_of_the_shape(sizes: tuple[int, int, int, int]):
    framing = Framing(*sizes)
    x, y, width, height = framing.box
    assert min(x, y) >= 0 and x + width <= sizes[0] and y + height <= sizes[1]
    assert width == sizes[0] or height == sizes[1]
    assert abs(sizes[0] - width - 2 * x) <= 1 and abs(sizes[1] - height - 2 * y) <= 1
    assert abs(width * sizes[3] - height * sizes[2]) <= max(sizes[2:]) / 2  # half a source pixel


def test_its_own_size_changes_nothing():
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    framing = Framing(60, 40, 60, 40)
    points = np.random.default_rng(0).uniform(0, 60, (5, 2))
    assert np.array_equal(framing.picture(picture), picture)
    assert np.array_equal(framing.points(points), points)


@pytest.mark.parametrize("sizes", SIZES)
def test_what_is_drawn_at_a_point_is_found_at_the_framed_point(sizes: tuple[int, int, int, int]):
    framing = Framing(*sizes)
    x_W, y_H = np.arange(sizes[0]) + 0.5, np.arange(sizes[1])[:, None] + 0.5
    random = np.random.default_rng(0)
    x, y, width, height = framing.box
    spread = min(width, height) / 12
    for _ in range(5):
        point = random.uniform((x + 3 * spread, y + 3 * spread), (x + width / 2, y + height / 2))
        spot = 255 * np.exp(-((x_W - point[0]) ** 2 + (y_H - point[1]) ** 2) / (2 * spread**2))
        framed = framing.picture(np.repeat(spot[..., None], 3, -1).astype(np.uint8))
        assert framed.shape == (sizes[3], sizes[2], 3)
        moments = cv2.moments(np.where(framed[..., 0] > 20, framed[..., 0], 0).astype(np.float32))
        found = np.array((moments["m10"], moments["m01"])) / moments["m00"] + 0.5
        np.testing.assert_allclose(found, framing.points(point), atol=0.15)


@pytest.mark.parametrize("sizes", SIZES)
def test_the_framed_camera_projects_to_the_framed_points(sizes: tuple[int, int, int, int]):
    framing = Framing(*sizes)
    camera = Camera(300.0, (sizes[0] / 2 + 3, sizes[1] / 2 - 5), *sizes[:2], translation=(0, 0, 2))
    points_K3 = torch.rand(20, 3) - 0.5
    framed = framing.camera(camera)
    assert (framed.width, framed.height) == sizes[2:]
    wanted_K2 = framing.points(camera.project(points_K3).numpy())
    off = np.abs(framed.project(points_K3).numpy() - wanted_K2).max()
    assert off <= max(1e-3, 0.6 * sizes[2] / framing.box[2])


@pytest.mark.parametrize("size", [(0, 64), (-4, 64), (64, 30), (62, 64)])
def test_sizes_that_cannot_be_are_refused(size: tuple[int, int]):
    with pytest.raises(DataError, match="positive multiples of 4"):
        Framing(100, 100, *size)


def test_other_pictures_are_refused():
    with pytest.raises(DataError, match="shape"):
        Framing(100, 80, 64, 64).picture(np.zeros((100, 80, 3), np.uint8))
    with pytest.raises(DataError, match="at least one"):
        Framing(0, 80, 64, 64)
