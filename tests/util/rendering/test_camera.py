import math

import pytest
import torch

from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.body.skeleton import POINT_INDEX
from speech2video.util.rendering.camera import Camera


def standing(body: Body, yaw: float = 0.0) -> torch.Tensor:
    pose = torch.zeros(3, POSE_SIZE)
    pose[:, POSE_SLICES["root_orientation"]] = torch.tensor([0.0, yaw, 0.0])
    pose[:, POSE_SLICES["translation"]] = torch.tensor([[0.0, 0, 0], [0.2, 0, 0], [0, 0, 0.3]])
    return body.points(pose)


def test_a_known_point_falls_on_a_known_pixel() -> None:
    camera = Camera(500.0, (320.0, 240.0), 640, 480, translation=(0.0, 0.0, 2.0))
    pixels = camera.project(torch.tensor([[0.0, 0.0, 0.0], [0.4, 0.4, 0.0], [0.0, 0.0, 1.0]]))
    assert torch.allclose(pixels, torch.tensor([[320.0, 240], [420, 140], [320, 240]]))


def test_what_is_behind_the_camera_is_missing() -> None:
    camera = Camera(500.0, (320.0, 240.0), 640, 480)
    assert camera.project(torch.tensor([[0.0, 0.0, 1.0]])).isnan().all()


@pytest.mark.parametrize("yaw", [0.0, 0.8, -2.5])
def test_framing_faces_the_person_and_holds_the_upper_body(body: Body, yaw: float) -> None:
    points = standing(body, yaw)
    camera = Camera.framing(points, width=512, height=512)
    pixels = camera.project(points)
    for name in ("left_wrist", "right_wrist", "head", "pelvis", "left_hip"):
        assert ((pixels[:, POINT_INDEX[name]] > 0) & (pixels[:, POINT_INDEX[name]] < 512)).all()
    left, right = pixels[0, POINT_INDEX["left_shoulder"]], pixels[0, POINT_INDEX["right_shoulder"]]
    assert left[0] > right[0], "seen from the front, a person's left is on the right"
    nose, head = camera.to_camera(points)[0, [POINT_INDEX["nose"], POINT_INDEX["head"]]]
    assert nose[2] < head[2], "the nose is nearer than the skull"


def test_resizing_scales_the_image(body: Body) -> None:
    points = standing(body)
    camera = Camera.framing(points, width=512, height=512)
    assert torch.allclose(
        camera.resized(256, 256).project(points) * 2, camera.project(points), atol=1e-2
    )
    wide = camera.resized(1024, 512).project(points)
    assert torch.allclose(wide - torch.tensor([256.0, 0]), camera.project(points), atol=1e-3)


def test_the_world_turns_with_the_camera() -> None:
    turned = ((0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0))
    camera = Camera(100.0, (0.0, 0.0), 10, 10, rotation=turned)
    point = camera.project(torch.tensor([math.e, 0.0, 0.0]))
    assert torch.allclose(point, torch.zeros(2))
