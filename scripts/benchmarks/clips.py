"""Small data sets for benchmarks and checks: random images, motion and voices, made in seconds."""

from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks import speech_noise
from speech2video.data.clip import Clip, ClipInfo
from speech2video.data.motion import motion_from_pose
from speech2video.data.motion_io import write_motion
from speech2video.data.speech2face.clip import LANDMARKS, LEFT_EYE, RIGHT_EYE, FaceClip, FaceInfo
from speech2video.util.audio.audio_io import write_audio
from speech2video.util.body.body_model import Body
from speech2video.util.body.pose_vector import POSE_SIZE, POSE_SLICES
from speech2video.util.rendering.camera import Camera
from speech2video.util.timing import FPS
from speech2video.util.video.writer import write_video

FACES = [  # speaker, emotion and sentence of each clip
    (speaker, emotion, sentence)
    for speaker in ("ann", "bob")
    for emotion in ("neutral", "happy")
    for sentence in ("one", "two", "three")
]
MOUTH = slice(48, LANDMARKS)  # landmarks


def write_body_clips(dataset: Path, body: Body, *, size: int, frames: int = 40) -> Path:
    """Write clips "a" and "b" of a swaying body, with video and audio; return the dataset."""
    for seed, name in enumerate("ab"):
        with Clip.create(dataset / name) as clip:
            rng = np.random.default_rng(seed)
            pose_TP = torch.zeros(frames, POSE_SIZE)
            waves_TP = np.cumsum(rng.normal(0, 0.02, (frames, 43)), 0)
            pose_TP[:, POSE_SLICES["root_orientation"].start] = torch.linspace(-0.2, 0.2, frames)
            pose_TP[:, POSE_SLICES["body"]][:, :43] = torch.from_numpy(waves_TP).float()
            pose_TP[:, POSE_SLICES["jaw"].start] = 0.1 * torch.rand(frames)
            camera = Camera.framing(body.points(pose_TP), width=size, height=size)
            write_motion(clip.pose, motion_from_pose(pose_TP, body, camera=camera))
            write_video(clip.video, _moving_image(rng, size, frames), preset="ultrafast")
            write_audio(clip.audio, next(speech_noise(frames / FPS)))
            clip.write_info(ClipInfo(f"{name}.mp4", frames, size, size, "", body.name))
    return dataset


def write_face_clips(dataset: Path, *, size: int, frames: int = 30) -> Path:
    """Write clips of faces whose mouths open and close, for `FACES`; return the dataset."""
    for number, (speaker, emotion, sentence) in enumerate(FACES):
        with FaceClip.create(dataset / f"{speaker}_{emotion}_{sentence}") as clip:
            rng = np.random.default_rng(number)
            images = _moving_image(rng, size, frames)
            points_TK2 = np.full((frames, LANDMARKS, 2), size / 2, np.float32)
            points_TK2 += rng.normal(0, size / 64, points_TK2.shape).astype(np.float32)
            for eye, x in ((RIGHT_EYE, 0.35), (LEFT_EYE, 0.65)):
                points_TK2[:, eye] += (np.array([x, 0.38]) - 0.5) * size
            points_TK2[:, MOUTH, 1] += 0.2 * size
            write_video(clip.video, images, preset="ultrafast")
            write_audio(clip.audio, next(speech_noise(frames / FPS)))
            clip.write_points(points_TK2)
            clip.write_info(FaceInfo("noise", frames, size, speaker, emotion, sentence))
    return dataset


def _moving_image(rng: np.random.Generator, size: int, frames: int) -> list[np.ndarray]:
    """Return frames (3, H, W) uint8 of a smooth random image that shifts."""
    noise = cv2.GaussianBlur(rng.uniform(0, 255, (size, size, 3)).astype(np.float32), (0, 0), 3)
    low, high = noise.min(), noise.max()
    image_3HW = (255 * (noise - low) / (high - low)).astype(np.uint8).transpose(2, 0, 1)
    return [np.ascontiguousarray(np.roll(image_3HW, (t, 2 * t), (1, 2))) for t in range(frames)]
