"""Two motions side by side as a skeleton video with sound: what a validation shows."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from speech2video.util.audio import write_wave
from speech2video.util.body.body_model import Body
from speech2video.util.camera import Camera
from speech2video.util.drawing import draw_skeleton
from speech2video.util.video import write_video

SIZE = 256  # pixels of each picture's larger side


def write_motion_video(
    path: Path, poses: list[Tensor], wave_S: np.ndarray, body: Body, camera: Camera | None = None
) -> None:
    """Write skeletons of pose vectors (T, 106), left to right, with 16 kHz sound (S,).

    `camera` is the clip's own; without one all motions together are framed.
    """
    points = [body.points(pose_TP) for pose_TP in poses]
    if camera is None:
        camera = Camera.framing(points[0], width=SIZE, height=SIZE)
    scale = SIZE / max(camera.width, camera.height)
    camera = camera.resized(round(camera.width * scale), round(camera.height * scale))
    maps = [
        draw_skeleton(camera.project(points_TK3).numpy(), width=camera.width, height=camera.height)
        for points_TK3 in points
    ]
    with tempfile.TemporaryDirectory() as scratch:
        sound = Path(scratch) / "sound.wav"
        write_wave(sound, wave_S)
        write_video(path, _side_by_side(maps), audio=sound)


def _side_by_side(videos: list[Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    for frames in zip(*videos, strict=False):
        yield np.concatenate(frames, axis=2)
