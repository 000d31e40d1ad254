import numpy as np
import pytest
import torch

from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE
from speech2video.util.body.skeleton import REGION_POINTS, boxes_visible, region_boxes
from speech2video.util.rendering.camera import Camera


@pytest.fixture(scope="module")
def points_TK2(body: Body) -> np.ndarray:
    torch.manual_seed(0)
    points = body.points(torch.randn(20, POSE_SIZE) * 0.1)
    return Camera.framing(points, width=512, height=512).project(points).numpy()


@pytest.mark.parametrize("region", REGION_POINTS)
def test_boxes_are_square_and_hold_the_part(points_TK2: np.ndarray, region: str) -> None:
    boxes = region_boxes(points_TK2, region)
    sides = boxes[:, 2:] - boxes[:, :2]
    assert np.allclose(sides[:, 0], sides[:, 1], atol=1e-3) and (sides > 0).all()
    part = points_TK2[:, REGION_POINTS[region]]
    assert (part >= boxes[:, None, :2]).all() and (part <= boxes[:, None, 2:]).all()


@pytest.mark.parametrize("region", REGION_POINTS)
def test_boxes_move_and_grow_with_the_points(points_TK2: np.ndarray, region: str) -> None:
    boxes = region_boxes(points_TK2, region)
    assert np.allclose(region_boxes(points_TK2 * 2 + 7, region), boxes * 2 + 7, atol=1e-2)


def test_a_missing_part_has_no_box_and_is_not_visible(points_TK2: np.ndarray) -> None:
    points = points_TK2.copy()
    points[3, REGION_POINTS["left_hand"][4]] = np.nan
    boxes = region_boxes(points, "left_hand")
    assert np.isnan(boxes[3]).all() and np.isfinite(boxes[4]).all()
    assert not boxes_visible(boxes, width=512, height=512)[3]


def test_visible_means_half_of_it_in_the_image() -> None:
    boxes = np.array([[0, 0, 10, 10], [-4, 0, 6, 10], [-6, 0, 4, 10], [90, 90, 110, 110.0]])
    assert boxes_visible(boxes, width=100, height=100).tolist() == [True, True, False, False]
