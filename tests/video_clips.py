"""Clips of image and pose: a textured image that moves, under a body that does, too."""

from pathlib import Path

import cv2
import numpy as np
import torch

from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import write_motion
from speech2video.data.synthetic.speaker.recording import demo_camera
from speech2video.util.body.body_model import Body
from speech2video.util.video.writer import write_video

SIZE = 96  # pixels
STEP = (2, 1)  # pixels right and down from frame to frame


def texture(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """Return a smooth random image (H, W, 3) uint8."""
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)
    calm = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(calm, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def moving_texture(frames: int, *, seed: int = 0) -> np.ndarray:
    """Return frames (T, H, W, 3) uint8 of a texture that comes round and round by `STEP`."""
    image = texture(SIZE, SIZE, seed=seed)
    return np.stack([np.roll(image, (STEP[1] * t, STEP[0] * t), (0, 1)) for t in range(frames)])


def write_moving_clip(folder: Path, body: Body, *, frames: int = 120, seed: int = 0) -> Clip:
    """Write a clip whose images move and whose body sways."""
    clip = Clip(folder)
    folder.mkdir(parents=True)
    write_video(clip.video, moving_texture(frames, seed=seed).transpose(0, 3, 1, 2), quality=1)
    pose_TP = torch.zeros(frames, 106)
    pose_TP[:, 0] = torch.linspace(-0.2, 0.2, frames)
    pose_TP[:, 10:40] = 0.1 * torch.sin(torch.linspace(0, 9, frames))[:, None]
    write_motion(clip.pose, motion_from_pose(pose_TP, body, camera=demo_camera(SIZE)))
    clip.write_info(ClipInfo("a.mp4", frames, SIZE, SIZE, "", body.name))
    return clip
