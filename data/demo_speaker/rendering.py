"""The demo speaker's picture: her camera, and her pose vectors rendered frame by frame."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from speech2video.util.body.body_model import Body
from speech2video.util.body.look import Look
from speech2video.util.camera import FOCAL_RATIO, Camera
from speech2video.util.render import MeshRenderer

DISTANCE = 1.65  # metres from the camera to the hips
HEIGHT = 0.06  # metres above the body's origin: hands at rest are seen, and hands held high


def demo_camera(size: int) -> Camera:
    """Return the studio's camera, for square pictures of `size` pixels.

    It looks straight at the speaker, from the hips up, with room for wide gestures.
    """
    return Camera(
        focal=FOCAL_RATIO * size,
        center=(size / 2, size / 2),
        width=size,
        height=size,
        translation=(0.0, HEIGHT, DISTANCE),
    )


def render_speaker(
    pose_TP: Tensor,
    camera: Camera,
    *,
    size: int,
    look: Look | None = None,
    body: Body | None = None,
) -> Iterator[np.ndarray]:
    """Yield the pictures (3, H, W) uint8 RGB of pose vectors (T, 106), the larger side `size`.

    Frames are made one by one as they are taken. `body` is the open body by default, and only that
    one has clothes and hair. Raises `UserError` where PyVista is not installed.
    """
    scale = size / max(camera.width, camera.height)
    camera = camera.resized(round(camera.width * scale), round(camera.height * scale))
    with MeshRenderer(body or Body.load(), camera, look=look) as renderer:
        yield from renderer.frames(pose_TP)
